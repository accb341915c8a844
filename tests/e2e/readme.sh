# timeout: 120
# README's first pipeline runs as it is printed, and says what README says that it says.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

unset TIDEGATE_STATE
mkdir bin && ln -s "$TIDEGATE" bin/tidegate
PATH=$PWD/bin:$PATH
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$TIDEGATE_SOURCE/README.md" >printed.sh
[ "$(grep -c '^tidegate ' printed.sh)" -ge 5 ] || fail "README has no first pipeline any more"
# Each command as printed; what it is to end with stands beside it there ("exit N").
awk '/^tidegate / { want = match($0, /exit [0-9]+/) ? substr($0, RSTART + 5, RLENGTH - 5) : 0
       sub(/ +#.*/, "")
       print "rc=0; " $0 " >out" ++n " 2>err" n " || rc=$?"
       print "[ $rc -eq " want " ] || { echo \"command " n " exits $rc, not " want "\"; cat out" n " err" n "; exit 1; } >&2"
       next }
     { print }' printed.sh >run.sh
bash -euo pipefail run.sh || fail "the pipeline of README does not run as printed"
cd shop
grep -q '^spending  *TRUSTED' out3 || fail "trust does not say TRUSTED: $(cat out3)"
grep -q 'bob' out4 && grep -q '3750' out4 && grep -q 'TRUSTED' out4 || fail "query: $(cat out4)"
grep -q 'expect(cents > 0)' out5 || fail "the refusal does not name its check: $(cat out5)"
# The first generation still stands, without the new customer.
tidegate query 'SELECT count(*) AS n FROM spending' --csv 2>err6 | tr -d '\r' >out6
grep -qx 2 out6 || fail "the old generation is gone: $(cat out6 err6)"
# What stands is as right as it was; that newer rows wait is said.
tidegate trust >out7 && fail "the refused run left no trace: $(cat out7)"
grep -q '^spending  *DEGRADED' out7 && [ "$(grep -c ' ok ' out7)" -eq 4 ] && grep -q 'unbroken  warn' out7 ||
  fail "the refused run took the old generation's trust away: $(cat out7)"
