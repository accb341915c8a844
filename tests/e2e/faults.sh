# timeout: 400
# Each failure class provoked for real: what is done about it, the events, the words, and the same rows as without it.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/faults.py" "$@"
