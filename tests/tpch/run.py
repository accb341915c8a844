"""Runs TPC-H as staged pipelines over dbgen(0.1) and compares each answer, in its order, with the one that
DuckDB's tpch extension ships. Arguments: numbers of queries (default: all). In an empty directory."""
import json
import os
import re
import subprocess
import sys
import time
from decimal import Decimal

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from duckdb_library import DuckDB  # noqa: E402

SCALE = 0.1
FILES = {"lineitem": 3, "orders": 2}


def same(ours, theirs):
    if ours is None or ours == theirs:
        return (ours or "") == theirs
    try:
        a, b = Decimal(ours), Decimal(theirs)
    except ArithmeticError:
        return False
    return abs(a - b) <= Decimal("1e-12") * abs(b)


db = DuckDB(threads=2)
db.run(f"LOAD '{os.environ['TIDEGATE_TPCH']}'")
db.run(f"CALL dbgen(sf={SCALE})")
for (table,) in db.run("SELECT table_name FROM duckdb_tables()"):
    os.makedirs(f"data/{table}")
    files = FILES.get(table, 1)
    for i in range(files):
        db.run(f"COPY (FROM {table} WHERE rowid % {files} = {i}) TO 'data/{table}/{i}.parquet' "
               "(ROW_GROUP_SIZE 40960)")
answers = {int(number): answer.splitlines() for number, answer in
           db.run(f"SELECT query_nr, answer FROM tpch_answers() WHERE scale_factor = {SCALE}")}
assert len(answers) == 22, len(answers)

wrong, began = [], time.monotonic()


def buckets(text, count):
    """The same pipeline with so many buckets in each stage that is not one task."""
    return re.sub(r"(?m)^    partition_by: [\[{].*$", rf"\g<0>\n    buckets: {count}", text)


def compare(number, label):
    """Runs one query's file; what it says is a difference or ""."""
    name = f"q{number:02d}"
    start = time.monotonic()
    run = subprocess.run([os.environ["TIDEGATE"], "run", f"{name}.yaml", "--state", "state", "--json"],
                         capture_output=True, text=True)
    if run.returncode:
        return f"run exits {run.returncode}\n{run.stderr or run.stdout[-2000:]}"
    tasks = json.loads(run.stdout.splitlines()[-1])["tasks"]["ran"]
    published = f"FROM 'published/{name}/current/*.parquet'"
    rows = db.run(published)
    header, *expected = [line.split("|") for line in answers[number]]
    columns = [column[0] for column in db.run(f"DESCRIBE {published}")]
    bad = [f"  ours {ours}\n  theirs {theirs}" for ours, theirs in zip(rows, expected)
           if len(ours) != len(theirs) or not all(map(same, ours, theirs))]
    print(f"{name} {label}: {len(rows)} rows, {tasks} tasks, {time.monotonic() - start:.2f} s", flush=True)
    if tasks == 0 or columns != header or len(rows) != len(expected) or bad:
        return "\n".join([f"{len(rows)} rows of {len(expected)}, {len(bad)} differ; {columns} {header}", *bad[:3]])
    return ""


for number in [int(a) for a in sys.argv[1:]] or sorted(answers):
    with open(f"{here}/q{number:02d}.yaml", encoding="utf-8") as file:
        text = file.read()
    for label, variant in (("as planned", text), ("in 7 buckets", buckets(text, 7))):
        with open(f"q{number:02d}.yaml", "w", encoding="utf-8") as file:
            file.write(variant)
        if "buckets: 7" not in variant and label != "as planned":
            continue
        if said := compare(number, label):
            wrong.append(number)
            print(f"q{number:02d} {label}: {said}")
print(f"{len(wrong)} wrong {wrong}; {time.monotonic() - began:.1f} s")
sys.exit(1 if wrong else 0)
