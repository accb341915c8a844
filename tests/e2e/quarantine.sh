# timeout: 120
# Rows set aside: listed, shown, dropped, released; a repaired file runs again and nothing else does.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/quarantine.py" "$@"
