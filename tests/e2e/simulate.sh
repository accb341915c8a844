# timeout: 900
# A pipeline in worlds that fail: 20,000 runs over the profiles, none of which breaks a promise; what the command
# says, and that a seed gives the same world again.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/simulate.py" "$@"
