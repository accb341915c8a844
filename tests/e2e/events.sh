# timeout: 180
# Each event that docs/events.md names is emitted, and none with a field that the page does not name.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$TIDEGATE_SOURCE/tests
exec python3 "$TIDEGATE_SOURCE/tests/e2e/events.py"
