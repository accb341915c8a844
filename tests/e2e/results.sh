# timeout: 900
# The cases of tests/cases/results, split in 1, 2, 7 and 64 buckets, equal to DuckDB over the whole input. 90 s.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/cases/results.py"
