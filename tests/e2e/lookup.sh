# timeout: 300
# Joins of which every worker holds one side: the rows of one DuckDB, whichever side that is, whether or
# not it can be held after all, and a change of one file makes one task again.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/lookup.py" "$@"
