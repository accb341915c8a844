# timeout: 14400
# Random reduce stages against DuckDB over the whole input; TIDEGATE_AGGREGATES=10000 for the long form. 60 s.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/generate/aggregate.py"
