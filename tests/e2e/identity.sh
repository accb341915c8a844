# timeout: 300
# Each field of a pipeline file and each input is changed in turn: which tasks re-run, and which do not.
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/identity.py"
