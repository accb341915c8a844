# timeout: 120
# A planted secret is nowhere but where it was planted.
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/secrets.py"
