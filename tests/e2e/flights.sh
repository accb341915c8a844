# timeout: 300
# examples/flights: published, trusted, equal to one DuckDB over the whole input, and reused.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

cp -r "$TIDEGATE_SOURCE/examples/flights" flights
rm -rf flights/published flights/.tidegate
export TIDEGATE_STATE=$PWD/flights/.tidegate
"$TIDEGATE" check flights/pipeline.yaml || fail "check exits $?"
"$TIDEGATE" run flights/pipeline.yaml --json >events || fail "run exits $?"
"$TIDEGATE" trust --json >trust || fail "trust exits $?: $(cat trust)"
python3 - <<'PY'
import json
outputs = json.load(open("trust"))["outputs"]
assert sorted(o["output"] for o in outputs) == ["airport_day", "route_delay", "set_aside"], outputs
assert all(o["verdict"] == "TRUSTED" for o in outputs), outputs
last = json.loads(open("events").read().splitlines()[-1])
assert last["event"] == "run_finished" and last["state"] == "succeeded", last
assert last["tasks"]["ran"] > 0, last
PY

# The same SQL by one DuckDB over everything; error() ends it at the first difference.
cc -O1 -o peer "$TIDEGATE_SOURCE/bench/duckdb_peer.c" -I"$TIDEGATE_SOURCE/third_party/duckdb" \
  "$TIDEGATE_DUCKDB" -Wl,-rpath,"$(dirname "$TIDEGATE_DUCKDB")"
python3 -B "$TIDEGATE_SOURCE/bench/flights_sql.py" "$PWD/flights" >whole.sql
for pair in route_delay:route_delay airport_day:airport_day set_aside:implausible; do
  path=$("$TIDEGATE" path "${pair%%:*}")
  cat >>whole.sql <<SQL
CREATE VIEW split_${pair%%:*} AS FROM '$path/*.parquet';
SELECT CASE WHEN count(*) > 0 THEN error('${pair%%:*} differs in ' || count(*) || ' rows') END FROM (
  (FROM split_${pair%%:*} EXCEPT ALL FROM ${pair##*:})
  UNION ALL (FROM ${pair##*:} EXCEPT ALL FROM split_${pair%%:*}));
SQL
done
./peer whole.sql || fail "differs from DuckDB over the whole"

"$TIDEGATE" run flights/pipeline.yaml --json >again || fail "the second run exits $?"
python3 - <<'PY'
import json
last = json.loads(open("again").read().splitlines()[-1])
assert last["tasks"]["ran"] == 0, last
PY
