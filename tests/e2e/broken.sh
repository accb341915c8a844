# timeout: 120
# examples/broken: what breaks its promises is refused, what keeps them is published.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

cp -r "$TIDEGATE_SOURCE/examples/broken" broken
rm -rf broken/published broken/.tidegate
(cd broken && cp -r flights as_committed && ./make-data && diff -r flights as_committed) ||
  fail "examples/broken/flights is not what make-data writes"
export TIDEGATE_STATE=$PWD/broken/.tidegate
rc=0
"$TIDEGATE" run broken/pipeline.yaml >out 2>err || rc=$?
[ "$rc" -eq 4 ] || fail "run exits $rc, not 4: $(cat err)"
for refused in legs route_delay; do
  ! "$TIDEGATE" path $refused >/dev/null 2>&1 || fail "$refused was published"
  grep -q "$refused" out err || fail "nothing is said of $refused"
done
"$TIDEGATE" path days >/dev/null || fail "days was not published"
[ -n "$(find broken/published/days/gen -name '*.parquet')" ] || fail "days has no files"
[ -z "$(find broken/published/legs broken/published/route_delay -name '*.parquet' 2>/dev/null)" ] ||
  fail "files of a refused output lie where readers look"

rc=0
"$TIDEGATE" trust days --json >trust || rc=$?
[ "$rc" -eq 5 ] || fail "trust exits $rc, not 5: $(cat trust)"
grep -q '2001-03-03' trust || fail "trust does not name the day that is missing: $(cat trust)"
