"""The rules of tests/split/rules.case by the binary: what is accepted runs in 1, 2, 7 and 64 buckets over files and is
compared with DuckDB over the whole input; what must be refused is refused by `check` with its code. In an empty directory."""
import json
import os
import re
import sys
import time
from collections import defaultdict

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from duckdb_library import DuckDB, Error  # noqa: E402
from whole import compare, last_event, tidegate, with_buckets  # noqa: E402

ROWS = """CASE WHEN r % 9 = 0 THEN NULL WHEN r % 3 = 0 THEN 1 ELSE r % {0} END::INTEGER AS k,
  CASE WHEN r % 7 = 0 THEN NULL ELSE chr(97 + (r % 4)::INTEGER) END AS x,
  CASE WHEN r % 11 = 0 THEN NULL WHEN r % 13 = 0 THEN 'NaN'::DOUBLE WHEN r % 17 = 0 THEN -0.0::DOUBLE ELSE r % 6 END::DOUBLE AS v,
  DATE '2001-01-01' + (r % 5)::INTEGER AS d, CASE WHEN r % 5 = 0 THEN NULL ELSE (r % 8) / 4 END::DECIMAL(9,2) AS n,
  r::INTEGER AS i FROM range({1}) q(r)"""
TABLES = {
    "a": "SELECT " + ROWS.format(12, 90),
    "b": "SELECT (CASE WHEN r % 8 = 0 THEN NULL ELSE r % 15 END)::BIGINT AS k, CASE WHEN r % 6 = 0 THEN NULL ELSE chr(97 + (r % 5)::INTEGER) "
         "END AS x, (CASE WHEN r % 10 = 0 THEN NULL ELSE r % 4 END)::DOUBLE AS w, TIMESTAMP '2001-01-01' + INTERVAL (r % 6) DAY AS ts, "
         "((r % 8) / 4)::DECIMAL(12,4) AS n, r::INTEGER AS j FROM range(60) q(r)",
    "c": "SELECT " + ROWS.format(8, 40),
    "dim": "SELECT (CASE WHEN r = 0 THEN NULL ELSE r END)::INTEGER AS k, 'l' || r AS label, (r % 3)::DOUBLE AS f FROM range(10) q(r)",
}


def read_cases():
    cases, one = [], None
    with open(f"{here}/rules.case", encoding="utf-8") as file:
        for line in file.read().splitlines() + [""]:
            if one is not None and "sql" in one:
                if line.strip():
                    one["sql"] += "\n" + line
                    continue
                one = None
            if not line.strip() or line.startswith("#"):
                continue
            key, _, value = line.partition(" ") if line.startswith("case ") else line.partition(":")
            if key == "case":
                one = {"name": value.strip()}
                cases.append(one)
            else:
                one[key] = value.strip()
    return cases


def keys(text):
    """`k, x` or `a: k; b: y` of a case file as YAML."""
    if ":" not in text:
        return text if text == "all" else f"[{text}]"
    entries = [entry.partition(":") for entry in text.split(";")]
    return "{" + ", ".join(f"{table.strip()}: [{columns.strip()}]" for table, _, columns in entries) + "}"


def pipeline(cases, upstream):
    """Sources, stages of these cases, and the text of the whole."""
    behind = {entry.partition(":")[0].strip(): entry.partition(":")[2].strip() for entry in upstream.split(";") if entry.strip()}
    sources = "".join(f"  {'raw_' if t in behind else ''}{t}: {{files: data/{t}/*.parquet, partition: 1KiB}}\n" for t in TABLES)
    stages = "".join(f"  {t}:\n    partition_by: [{k}]\n    sql: SELECT * FROM raw_{t}\n" for t, k in behind.items())
    for case in cases:
        stages += f"  {case['name']}:\n"
        if case.get("partition_by"):
            stages += f"    partition_by: {keys(case['partition_by'])}\n"
        if case.get("broadcast"):
            stages += f"    broadcast: [{case['broadcast']}]\n"
        stages += "    sql: |\n" + "".join(f"      {line}\n" for line in case["sql"].split("\n"))
    outputs = "".join(f"  {c['name']}: {{from: {c['name']}, publish: {{parquet: published/{c['name']}}}}}\n" for c in cases)
    return f"version: 1\npipeline: rules\nsources:\n{sources}stages:\n", stages, f"outputs:\n{outputs}"


def write(parts):
    with open("rules.yaml", "w", encoding="utf-8") as file:
        file.write("".join(parts))


def check_refused(cases, upstream):
    """All in one file: check says every mistake at once, each in the lines of its stage."""
    parts = pipeline(cases, upstream)
    write(parts)
    rc, out, _ = tidegate("check", "rules.yaml", "--json")
    lines, said = "".join(parts).splitlines(), defaultdict(set)
    for diagnostic in map(json.loads, out.splitlines()):
        if diagnostic["severity"] == "error":
            at = diagnostic["line"] - 1
            while not re.fullmatch(r"  \w+:", lines[at]):
                at -= 1
            said[lines[at].strip(" :")].add(diagnostic["code"])
    wrong = [f"{c['name']}: check says {sorted(said[c['name']])}, not {c['expect']}" for c in cases
             if said[c["name"]] != {c["expect"]}]
    return wrong + ([] if rc == 2 else [f"check exits {rc}, not 2"])


def run_accepted(db, cases, upstream, buckets):
    header, stages, outputs = pipeline(cases, upstream)
    write((header, with_buckets(stages, buckets), outputs))
    rc, out, err = tidegate("run", "rules.yaml", "--json", "--state", "state", timeout=600)
    if rc:
        failed = [line for line in out.splitlines() if '"task_failed"' in line]
        return [f"{upstream} in {buckets} buckets: run exits {rc}\n{err}{failed[:3]}{out[-1000:]}"]
    last_event(out)
    return [f"{c['name']} in {buckets} buckets: {difference}" for c in cases
            if (difference := compare(db, c["sql"], f"published/{c['name']}/current"))]


def main():
    began, db = time.monotonic(), DuckDB()
    for table, sql in TABLES.items():
        os.makedirs(f"data/{table}")
        db.run(f"CREATE TABLE {table} AS {sql}; CREATE VIEW raw_{table} AS FROM {table}")
        for i in range(2):
            db.run(f"COPY (FROM {table} WHERE rowid % 2 = {i}) TO 'data/{table}/{i}.parquet'")
    db.run("CREATE MACRO run_time() AS TIMESTAMPTZ '2001-01-01 00:00:00+00'")
    wrong, counts = [], defaultdict(int)
    groups = defaultdict(list)
    for case in read_cases():
        if re.search(r"\bodd\b", case["sql"]) or "run_time" in case["sql"]:
            counts["left to the unit tests"] += 1  # types that no Parquet file has, and a clock
        elif case["expect"] == "accept":
            unordered = "unordered" in case.get("result", "")
            try:
                db.run(case["sql"])
            except Error:
                counts["fails in DuckDB too"] += 1
                continue
            groups["accept" if not unordered else "unordered", case.get("upstream", "")].append(case)
        else:
            groups["refuse", case.get("upstream", "")].append(case)
    for (kind, upstream), cases in groups.items():
        counts[kind] += len(cases)
        if kind == "refuse":
            wrong += check_refused(cases, upstream)
            continue
        for buckets in (1, 2, 7, 64) if kind == "accept" else ():
            wrong += run_accepted(db, cases, upstream, buckets)
    for line in wrong:
        print(line)
    print(f"{dict(counts)}, {len(wrong)} wrong; {time.monotonic() - began:.1f} s")
    return 1 if wrong or not counts["accept"] or not counts["refuse"] else 0


sys.exit(main())
