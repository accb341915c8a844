# timeout: 900
# The cases of tests/cases/results, split in 1, 2 and 7 buckets (some in 64), equal to DuckDB over the whole input. 60 s.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/cases/results.py"
