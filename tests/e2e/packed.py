"""Compressed csv and json files that are not whole: DuckDB's readers see fewer rows, or others, and say nothing.
`packed.py`, in an empty directory."""
import gzip
import os
import sys

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

FILES, ROWS = 6, 5_000
PIPELINE = """version: 1
pipeline: packed
sources:
  sales: {{files: in/*.csv.gz, columns: {{id: BIGINT, amount: BIGINT}}, partition: 1KiB{retry}}}
  names: {{files: in/*.jsonl.gz, format: json, columns: {{id: BIGINT, name: VARCHAR}}}}
stages:
  totals: {{partition_by: all, sql: "SELECT count(*) AS n, sum(amount) AS amount FROM sales"}}
  named: {{partition_by: all, sql: "SELECT count(*) AS n, sum(id) AS ids FROM names"}}
outputs:
  totals: {{from: totals, publish: {{parquet: published/totals}}}}
  named: {{from: named, publish: {{parquet: published/named}}}}
"""


def pipeline(retry=""):
    write("pipeline.yaml", PIPELINE.format(retry=f", retry: {{data: {{quarantine: {retry}}}}}" if retry else ""))


def packed(path, text):
    with open(path, "wb") as file:
        file.write(gzip.compress(text.encode(), mtime=0))


def sales(number):
    packed(f"in/{number}.csv.gz", "id,amount\n" + "".join(f"{i},{i * number}\n" for i in range(ROWS)))


def names():
    packed("in/names.jsonl.gz", "".join(f'{{"id": {i}, "name": "n{i}"}}\n' for i in range(ROWS)))


def harmed(path, how):
    with open(path, "rb") as file:
        whole = file.read()
    with open(path, "wb") as file:
        file.write(how(whole))


def run(code=0):
    return tidegate("run", "pipeline.yaml", "--json", code=code)


def totals(output="totals"):
    said = tidegate("query", f"SELECT * FROM {output}", "--json", "--state", ".tidegate", code=0).lines[0]
    return [int(value) for value in said.values()]


def expected(numbers):
    return [ROWS * len(numbers), sum(n * i for n in numbers for i in range(ROWS))]


def cut(whole):
    return whole[: len(whole) // 2]


def changed(whole):
    return whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:]  # its CRC: every row reads as if nothing were


pipeline()
os.mkdir("in")
for number in range(FILES):
    sales(number)
names()
run()
expect(totals() == expected(range(FILES)), f"{totals()}")
for path, output, how, why in (
    ("in/3.csv.gz", "totals", cut, "ends in the middle"),
    ("in/3.csv.gz", "totals", changed, "is damaged"),
    ("in/names.jsonl.gz", "named", cut, "ends in the middle"),
):
    standing, rows = generation(output, ".tidegate"), totals(output)
    harmed(path, how)
    answer = run(code=3)
    failed = answer.events("task_failed")
    expect(failed and all(f["class"] == "data" and f["code"] == "source.bad_file" for f in failed), answer.told())
    expect(path in failed[0]["message"], failed)
    explained = tidegate("explain", output, "--state", ".tidegate", code=(0, 1))
    expect(why in answer.out + explained.out, f"{why}: {answer.told()}{explained.told()}")
    expect(generation(output, ".tidegate") == standing and totals(output) == rows, f"{output} changed")
    sales(3)
    names()
    run()
    expect(totals(output) == rows, f"{output} did not come back")

# One in six may be left out: what is in it is in no row, and counted.
harmed("in/3.csv.gz", cut)
pipeline("20%")
answer = run()
left = [n for n in range(FILES) if n != 3]
expect(totals() == expected(left), f"{totals()} for {expected(left)}")
entries = tidegate("quarantine", "list", "--json", "--state", ".tidegate", code=0).document["entries"]
expect([(os.path.basename(e["file"]), e["state"]) for e in entries] == [("3.csv.gz", "open")], f"{entries}")
shown = tidegate("quarantine", "show", entries[0]["entry"], "--json", "--state", ".tidegate", code=0).document
expect("ends in the middle" in json.dumps(shown), f"{shown}")
read = [e for e in answer.events("source_read") if e["source"] == "sales"][-1]
expect(read["files_quarantined"] == 1 and abs(read["rows_quarantined"] / read["rows_read"] - 1 / FILES) < 0.02, f"{read}")

# One that is no gzip at all is found while planning; both are too many.
harmed("in/4.csv.gz", lambda whole: b"id,amount\n1,1\n")
standing = generation("totals", ".tidegate")
answer = run(code=4)
expect("quarantine(sales)" in json.dumps(answer.events("check_finished")), answer.told())
expect(generation("totals", ".tidegate") == standing, "published beyond what the contract allows")
pipeline("60%")
answer = run()
left = [n for n in left if n != 4]
expect(totals() == expected(left), f"{totals()} for {expected(left)}")

# A person accepts one loss; the other file is mended.
entries = tidegate("quarantine", "list", "--json", "--state", ".tidegate", code=0).document["entries"]
expect(sorted(os.path.basename(e["file"]) for e in entries) == ["3.csv.gz", "4.csv.gz"], f"{entries}")
for entry in entries:
    if "3.csv.gz" in entry["file"]:
        tidegate("quarantine", "drop", entry["entry"], "--state", ".tidegate", code=0)
sales(4)
pipeline("0.1%")
answer = run()
left = sorted([*left, 4])
expect(totals() == expected(left), f"{totals()} for {expected(left)}")
read = [e for e in answer.events("source_read") if e["source"] == "sales"][-1]
expect(read["rows_quarantined"] == 0, f"{read}")
