# timeout: 300
# A pipeline's SQL, its options and ad-hoc SQL reach the declared inputs and nothing else.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/sandbox.py" "$TIDEGATE" "$TIDEGATE_SOURCE/tests/cases/sandbox"
