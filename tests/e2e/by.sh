# timeout: 300
# Outputs in a file a value: names, what a change makes new and what it shares, limits, memory, nested columns.
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/by.py"
