# timeout: 600
# Heavy keys under small bounds: every shape of keys, every kind of stage, the rows of one DuckDB and no
# process above its bound.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/skew.py" "$@"
