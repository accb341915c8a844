# timeout: 300
# State directories that are newer, read-only or full, outputs without space: the old generation stands.
# Mounts are the script's own: in a mount namespace, so that nothing of them stays.
if unshare -m true 2>/dev/null; then
  exec unshare -m python3 -B "$TIDEGATE_SOURCE/tests/e2e/failures.py"
fi
exec unshare -rm python3 -B "$TIDEGATE_SOURCE/tests/e2e/failures.py"
