# timeout: 900
# The rules of when a stage may be split, by the binary: accepted ones in 1, 2, 7 and 64 buckets, refused ones by their code. 60 s.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/split/run.py"
