# timeout: 120
# Compressed files that are not whole are found before a row of them counts.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/packed.py" "$@"
