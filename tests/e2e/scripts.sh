# timeout: 60
# What the scripts at the top of the repository say without doing anything.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

for script in quickstart test scripts/deps tests/fuzz/run; do
  bash -n "$TIDEGATE_SOURCE/$script" || fail "$script does not parse"
  out=$("$TIDEGATE_SOURCE/$script" --help </dev/null) || fail "$script --help exits $?"
  case $out in usage:*) ;; *) fail "$script --help: $out" ;; esac
  rc=0
  "$TIDEGATE_SOURCE/$script" --no-such </dev/null >out 2>err || rc=$?
  [ "$rc" -eq 2 ] || fail "$script --no-such exits $rc, not 2"
  [ ! -s out ] || fail "$script --no-such writes to standard output"
  grep -q 'usage:' err || fail "$script --no-such does not show its usage"
  ! grep -q $'\e' err || fail "$script colours what is no terminal"
done

rc=0
"$TIDEGATE_SOURCE/scripts/deps" --duckdb "$PWD/nowhere" 2>err </dev/null || rc=$?
[ "$rc" -eq 1 ] || fail "--duckdb of a missing directory exits $rc"
grep -q "there is no libduckdb.so in $PWD/nowhere" err || fail "unclear: $(cat err)"

# A download whose checksum is wrong must leave nothing behind that could be taken for whole.
mkdir -p copy/scripts bin
cp "$TIDEGATE_SOURCE"/scripts/deps "$TIDEGATE_SOURCE"/scripts/steps.sh copy/scripts/
cat >bin/npm <<'NPM'
#!/bin/sh
mkdir -p package/data && echo wrong >package/libduckdb.so && tar czf wrong.tgz package
NPM
chmod +x bin/npm
rc=0
PATH=$PWD/bin:$PATH copy/scripts/deps 2>err </dev/null || rc=$?
[ "$rc" -eq 1 ] || fail "a wrong checksum exits $rc"
grep -q 'checksum of wrong.tgz is wrong' err || fail "does not name the checksum: $(cat err)"
grep -q 'duckdb/node-bindings' err || fail "does not name the package: $(cat err)"
grep -q -- '--duckdb DIR' err || fail "does not say what to do: $(cat err)"
[ ! -e copy/.deps/duckdb/libduckdb.so ] || fail "a half-installed library was left"
[ -z "$(find copy/.deps -name 'aside.*')" ] || fail "the download was left in .deps"

# A manifest of the example that is missing is noticed, written without a download, and then all is there.
mkdir -p copy/examples/flights/data copy/.deps/duckdb
touch copy/.deps/duckdb/libduckdb.so
touch copy/examples/flights/data/flights-3m.parquet copy/examples/flights/data/airports.csv
rm -f bin/npm
copy/scripts/deps --list 2>listed || fail "--list exits $?"
grep -q 'their manifests' listed || fail "missing manifests are not noticed: $(cat listed)"
if ! grep -q 'Debian packages' listed; then
  copy/scripts/deps 2>err </dev/null || fail "manifests: $(cat err)"
  grep -q '"path": "airports.csv", "rows": 3376' copy/examples/flights/data/airports-manifest.json ||
    fail "the airports' manifest is wrong"
  rm copy/examples/flights/data/airports-manifest.json
  copy/scripts/deps --list >listed 2>&1
  grep -q 'their manifests' listed || fail "one missing manifest is not noticed"
fi
