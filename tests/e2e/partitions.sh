# timeout: 200
# What tasks read that combine rows before a shuffle: larger partitions, where states are many; not
# where a source says its own size, or an output is published by value. Its answers are DuckDB's.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/partitions.py" "$@"
