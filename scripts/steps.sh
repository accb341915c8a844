# Sourced by quickstart, test and scripts/deps: what they say, and how a step fails.
# Each step is a function with its name, its log and its advice, so that a failure always says which
# step it was, where to read more and what to do. Needs $root.

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi

logs=$root/build/logs

say() { printf '%s\n' "$*" >&2; }
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }

# die MESSAGE [ADVICE...]: the end of a script, one reason and lines of what to do.
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  shift
  local line
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# watch LOG: shows a compiler's count beside the step's name while this script lives.
watch() {
  local count width=12
  while sleep 0.5 && kill -0 $$ 2>/dev/null; do
    count=$(tail -c 400 "$1" 2>/dev/null | grep -ao '^\[[0-9]*/[0-9]*\]' | tail -n 1) || continue
    printf '%-*s\e[%dD' $width "$count" $width >&2
  done
}

# step NAME ADVICE COMMAND...: runs a command with its output in a log; says how long it took.
step() {
  local name=$1 advice=$2 start=$SECONDS log rc watcher=''
  shift 2
  mkdir -p "$logs"
  log=$logs/${name// /-}.log
  printf '  %-28s ' "$name" >&2
  if [ -t 2 ]; then
    watch "$log" &
    watcher=$!
  fi
  # Not "|| rc=$?": that would switch off set -e inside the command.
  set +e
  (set -e; "$@") >"$log" 2>&1 </dev/null
  rc=$?
  if [ -n "$watcher" ]; then
    kill "$watcher" 2>/dev/null
    wait "$watcher" 2>/dev/null
  fi
  set -e
  if [ "$rc" -ne 0 ]; then
    printf '%sfailed%s after %d s%s\n\n' "$red" "$plain" $((SECONDS - start)) "${watcher:+      }" >&2
    tail -n 25 "$log" | sed 's/^/    /' >&2
    printf '\n' >&2
    die "step '$name' failed (exit $rc)" "log:  $log" "help: $advice"
  fi
  printf '%sdone%s  %s%d s%s%s\n' "$green" "$plain" "$dim" $((SECONDS - start)) "$plain" "${watcher:+      }" >&2
}

# as many compilers as there are cores and 2 GiB of memory for each.
jobs_of_this_host() {
  local cores memory jobs
  cores=$(nproc 2>/dev/null || echo 1)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 2097152) }' /proc/meminfo 2>/dev/null || echo 1)
  jobs=$((cores < memory ? cores : memory))
  echo $((jobs < 1 ? 1 : jobs))
}

# A home that cannot be written must not break the compiler's cache.
if [ -z "${CCACHE_DIR:-}" ] && ! { [ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ]; }; then
  export CCACHE_DIR=$root/.deps/ccache
fi

# configure DIR ARG...: a build directory that another checkout made is made again.
configure() {
  local dir=$1 home
  shift
  if [ -f "$dir/CMakeCache.txt" ]; then
    home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$dir/CMakeCache.txt")
    if [ "$home" != "$root" ]; then rm -rf "$dir"; fi
  fi
  cmake -S "$root" -B "$dir" -G Ninja "$@"
}

# link_duckdb DIR: the library lies beside the binary, which looks for it there first.
link_duckdb() {
  mkdir -p "$1"
  ln -sfn "$root/.deps/duckdb/libduckdb.so" "$1/libduckdb.so"
}
