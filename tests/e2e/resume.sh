# timeout: 900
# A conductor or a worker is killed at 200 random moments; the same command goes on from there.
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/resume.py"
