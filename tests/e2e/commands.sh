# timeout: 120
# What the commands around a run print, over the pipeline of `tidegate init`: forms of query, events as
# journaled, gc that only says, plans.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }
unset TIDEGATE_STATE
t() { "$TIDEGATE" "$@"; }

t init . >/dev/null
t check pipeline.yaml >/dev/null || fail "what init makes does not hold"
t run pipeline.yaml --json >live || fail "what init makes does not run"
t events --json --most 1000 >journaled
cmp live journaled || fail "run --json is not what was journaled"
t trust >/dev/null || fail "what init makes is not trusted: $(t trust)"
output=$(t trust --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["outputs"][0]["output"])')

# SQL as people write it: comments and semicolons at its end, two columns of one name, nested values.
answers() {  # SQL LINE...: the answer as CSV lines
  local sql=$1 want
  shift
  want=$(printf '%s\n' "$@")
  t query "$sql" --csv 2>/dev/null | tr -d '\r' >got || fail "query $sql"
  [ "$(cat got)" = "$want" ] || fail "query $sql gives $(cat got)"
}
answers 'SELECT 1 AS x -- why not' x 1
answers 'SELECT 1 AS x; -- and here' x 1
answers 'SELECT 1 AS x /* a */ ;' x 1
answers 'SELECT 1 AS a, 2 AS a' a,a 1,2
answers "SELECT [1, 2] AS l" l '"[1, 2]"'
answers "SELECT n FROM (SELECT count(*) > 0 AS n FROM $output)" n true
answers "SELECT i FROM range(3) t(i) ORDER BY i DESC" i 2 1 0
rc=0; t query "SELECT 1; SELECT 2" >/dev/null 2>&1 || rc=$?
[ "$rc" -eq 2 ] || fail "two statements exit $rc"
t query "FROM $output -- all" --parquet out.parquet 2>err || fail "query --parquet: $(cat err)"
[ "$(head -c 4 out.parquet)" = PAR1 ] || fail "no parquet file"

# gc: only says, then does, then what is published still stands.
kept=$(find .tidegate/results -name result.json | wc -l)
[ "$kept" -gt 0 ] || fail "a run left no results"
t gc --limit 0B --dry-run >/dev/null || fail "gc --dry-run"
[ "$(find .tidegate/results -name result.json | wc -l)" -eq "$kept" ] || fail "gc --dry-run dropped something"
t gc --limit 0B >/dev/null || fail "gc"
[ "$(find .tidegate/results -name result.json | wc -l)" -eq 0 ] || fail "gc dropped nothing"
[ "$(t events --type results_dropped | wc -l)" -ge 1 ] || fail "what gc dropped is not journaled"
t trust >/dev/null || fail "gc took trust away: $(t trust)"
answers "SELECT count(*) > 0 AS n FROM $output" n true

# init never goes over a pipeline; a wrong command line is 2 and says where help is.
rc=0; t init . >/dev/null 2>&1 || rc=$?
[ "$rc" -eq 2 ] || fail "init over a pipeline exits $rc"
rc=0; t run >/dev/null 2>err || rc=$?
[ "$rc" -eq 2 ] && grep -q -- '--help' err || fail "run without a file exits $rc: $(cat err)"
