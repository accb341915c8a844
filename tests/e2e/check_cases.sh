# timeout: 120
# What `tidegate check` says of each bad input in tests/cases/check, to the letter.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/check_cases.py" "$TIDEGATE" "$TIDEGATE_SOURCE/tests/cases/check"
