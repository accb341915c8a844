# timeout: 180
# All 22 TPC-H queries as staged pipelines over dbgen(0.1), equal to the answers that the tpch extension ships. 15 s.
set -euo pipefail
if [ ! -f "${TIDEGATE_TPCH:-}" ]; then
  echo "skipped: TIDEGATE_TPCH names no tpch extension"
  exit 77
fi
exec python3 -B "$TIDEGATE_SOURCE/tests/tpch/run.py"
