# timeout: 3600
# Random pipelines against DuckDB over the whole input; TIDEGATE_GENERATED=5000 for the long form. 60 s.
set -euo pipefail
exec python3 -B "$TIDEGATE_SOURCE/tests/generate/run.py"
