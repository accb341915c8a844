# timeout: 300
# Publishing: races, rollback, lost journals, altered files, sets, keep, checks, Ctrl-C, saved plans.
exec python3 -B "$TIDEGATE_SOURCE/tests/e2e/publish.py"
