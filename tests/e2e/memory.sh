# timeout: 300
# alone
# The bound of a task holds for its whole process, whatever the SQL allocates.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/memory.py" "$TIDEGATE"
