# timeout: 60
# Rows that cannot be read: named with file and line, set aside within a tolerance, refused beyond it.
set -euo pipefail
fail() { echo "FAIL: $*" >&2; exit 1; }

pipeline() {  # FIELDS of the source
  cat >p.yaml <<YAML
version: 1
pipeline: p
sources:
  t:
    files: in/*.csv
    options: {header: true}
    columns: {k: VARCHAR, v: BIGINT}
$1
stages:
  s:
    partition_by: [k]
    sql: SELECT k, sum(v) AS v FROM t GROUP BY k
outputs:
  o:
    from: s
    publish: [{parquet: published/o}]
YAML
}
rows() {  # FILE FIRST COUNT
  { echo k,v; seq "$2" $(($2 + $3 - 1)) | sed 's/.*/k&,&/'; } >"$1"
}
run() {  # EXIT
  local rc=0
  "$TIDEGATE" run p.yaml --json >events 2>talk || rc=$?
  [ "$rc" -eq "$1" ] || fail "run exits $rc, not $1: $(cat talk)"
}
generation() { basename "$("$TIDEGATE" path o)"; }

mkdir in
rows in/a.csv 1 500
rows in/b.csv 1001 500
pipeline ""
run 0
first=$(generation)

# A bad value, a ragged row and a bad quote: each by itself ends the run with the place.
for bad in 'x,12y' 'x,1,2' 'x,"1'; do
  rows in/b.csv 1001 500
  sed -i "251s/.*/$bad/" in/b.csv
  run 3
  grep -q 'b\.csv" line 251' talk || fail "$bad: the place is not told: $(cat talk)"
  [ "$(generation)" = "$first" ] || fail "$bad: the old generation does not stand"
done

# Within the tolerance: published, counted, the rows can be read in the journal.
rows in/b.csv 1001 500
sed -i '251s/.*/x,12y/; 300s/.*/x,1,2/' in/b.csv
pipeline "    retry: {data: {quarantine: 1%}}"
run 0
[ "$(generation)" != "$first" ] || fail "nothing new was published"
second=$(generation)
"$TIDEGATE" events --json >journal
python3 - <<'PY' || fail "rows_quarantined is not as it should be"
import json
for name in ("events", "journal"):
    found = [json.loads(line) for line in open(name) if '"rows_quarantined"' in line and '"event":"rows_quarantined"' in line]
    assert found, name
    data = found[-1].get("data", found[-1])
    assert data["source"] == "t" and sum(f.get("data", f)["rows"] for f in found) == 2, found
    assert "b.csv" in data["file"], data
    text = json.dumps([f.get("data", f)["samples"] for f in found])
    assert "251" in text and "300" in text and "12y" in text, text
PY
[ "$("$TIDEGATE" query --csv 'SELECT count(*) AS n FROM o' 2>/dev/null | tr -d '\r' | tail -1)" = 998 ] || fail "not the 998 good rows"
run 0
"$TIDEGATE" run p.yaml >summary 2>&1 || fail "a person's run exits $?"

# Beyond it: refused, the generation before stands.
sed -i '2,40s/.*/x,12y/' in/b.csv
run 4
[ "$(generation)" = "$second" ] || fail "what stands is not the generation before"
"$TIDEGATE" run p.yaml >summary 2>&1 && fail "a person's run exits 0"
grep -q '41 of 1000 rows of "t" were set aside, at most 1% may be' summary || fail "the refusal says: $(cat summary)"

# Quote that swallows the rest, bytes that are no UTF-8, a file cut within a row.
rows in/b.csv 1001 500
pipeline ""
printf 'k,v\na,1\n\xff\xfe,2\n' >in/b.csv
run 3
grep -q 'b\.csv" line 3' talk || fail "bad encoding: $(cat talk)"
{ rows in/b.csv 1001 500; truncate -s -6 in/b.csv; }
run 3
grep -q 'b\.csv" line 501' talk || fail "cut within the last row: $(cat talk)"
[ "$(generation)" = "$second" ] || fail "the old generation does not stand"
