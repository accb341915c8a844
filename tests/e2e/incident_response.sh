# timeout: 300
# What follows when an output is not as promised: incidents with their times, rollback by rule, notifications that arrive
# once by their key whatever dies, explanations, the runbook.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/incident_response.py" "$@"
