"""lookup.py: joins with a side that is held as a table, in an empty directory, beside what DuckDB answers."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from duckdb_library import DuckDB  # noqa: E402
from whole import compare, last_event, tidegate  # noqa: E402

FILES, ROWS = 4, 120_000  # of facts, in each file
TABLES = {
    # Places close together, with holes; a tenth of the facts finds nothing.
    "dim": "SELECT i AS k, (i % 100)::INTEGER AS segment, CASE WHEN i % 7 > 0 THEN 'name ' || i END AS name "
           "FROM range(0, 60000) r(i) WHERE i % 10 > 0",
    "names": "SELECT 'key ' || i AS t, i AS number FROM range(0, 30000) r(i)",
    # Two rows of one key, where no sample sees them.
    "twice": "SELECT least(i, 49998) AS k, i AS v FROM range(0, 50000) r(i)",
    # A lie: closer together than the rest, by its first rows.
    "wide": "SELECT CASE WHEN i < 25000 THEN i ELSE i * 1000003 END AS k, repeat('x', 600) || i AS v FROM range(0, 50000) r(i)",
}
INPUTS = {"dim": "k", "names": "t", "twice": "k", "wide": "k"}
# name: (the table that is held, whether it can be, the SQL)
STAGES = {
    "inner_joined": ("dim", True, "SELECT f.k, f.i, d.segment, d.name, f.v + d.segment AS s FROM facts f JOIN dim d ON f.k = d.k"),
    "left_joined": ("dim", True, "SELECT f.i, d.segment, d.k AS other FROM facts f LEFT JOIN dim d ON f.k = d.k WHERE f.v > 5"),
    "right_joined": ("dim", True, "SELECT i, segment FROM dim RIGHT JOIN facts USING (k)"),
    "found": ("dim", True, "SELECT k, i FROM facts WHERE EXISTS (SELECT 1 FROM dim WHERE dim.k = facts.k)"),
    "not_found": ("dim", True, "SELECT f.k, f.i FROM facts f ANTI JOIN dim d ON f.k = d.k"),
    "by_text": ("names", True, "SELECT f.i, n.number FROM facts f JOIN names n ON f.t = n.t"),
    "with_partners": ("twice", False, "SELECT f.i, d.v FROM facts f JOIN twice d ON f.k = d.k"),
    "too_wide": ("wide", False, "SELECT f.i, length(d.v) AS v FROM facts f LEFT JOIN wide d ON f.k = d.k"),
}


def make_file(db, number, salt):
    db.run(f"COPY (SELECT (hash(i + {salt}) % 60000)::BIGINT AS k, 'key ' || hash(i) % 40000 AS t, i + {number * ROWS} AS i, "
           f"(hash(i + 1) % 10)::INTEGER AS v FROM range({ROWS}) r(i)) TO 'facts/{number}.parquet'")


def write_pipeline():
    lines = ["version: 1", "pipeline: lookup", "defaults: {memory: 128MiB}", "sources:", "  facts: {files: facts/*.parquet}"]
    lines += [f"  {table}: {{files: {table}.parquet}}" for table in TABLES] + ["stages:"]
    for name, (held, _, sql) in STAGES.items():
        key = INPUTS[held]
        lines += [f"  {name}:", f"    partition_by: {{facts: [{key}], {held}: [{key}]}}", f"    sql: {sql}"]
    lines += ["  totals:", "    partition_by: [segment]",
              "    sql: SELECT segment, count(*) AS n, sum(s) AS s FROM inner_joined GROUP BY segment"]
    lines += ["outputs:"]
    for name in [*STAGES, "totals"]:
        lines.append(f"  {name}: {{from: {name}, publish: {{parquet: published/{name}}}}}")
    with open("p.yaml", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def run(db, problems):
    rc, out, said = tidegate("run", "p.yaml", "--json", "--workers", "2", timeout=200)
    if rc:
        problems.append(f"run exits {rc}\n{said}")
        return {}
    last_event(out)
    finished = {}
    for line in out.splitlines():
        event = json.loads(line)
        if event.get("event") == "task_finished":
            finished.setdefault(event["stage"], []).append(event)
    for table in ["facts", *TABLES]:
        path = "facts/*.parquet" if table == "facts" else f"{table}.parquet"
        db.run(f"CREATE OR REPLACE VIEW {table} AS FROM read_parquet('{path}')")
    db.run(f"CREATE OR REPLACE VIEW inner_joined AS {STAGES['inner_joined'][2]}")
    expected = {name: sql for name, (_, _, sql) in STAGES.items()}
    expected["totals"] = "SELECT segment, count(*) AS n, sum(s) AS s FROM inner_joined GROUP BY segment"
    for name, sql in expected.items():
        difference = compare(db, sql, f"published/{name}/current")
        if difference:
            problems.append(f"{name}: {difference}")
    return finished


def main():
    problems, db = [], DuckDB()
    os.makedirs("facts")
    for number in range(FILES):
        make_file(db, number, 0)
    for table, sql in TABLES.items():
        db.run(f"COPY ({sql}) TO '{table}.parquet'")
    write_pipeline()
    _, plan, _ = tidegate("plan", "p.yaml", "--json")
    held = [group for group in json.loads(plan)["stages"] if "holds" in group.get("why", "")]
    if len(held) != len(STAGES):
        problems.append(f"{len(held)} of {len(STAGES)} stages hold a side: {[group.get('name') for group in held]}")
    finished = run(db, problems)
    for name, (_, can_be, _) in STAGES.items():
        tasks = finished.get(name, [])
        gave_up = sum(task.get("splits", 0) > 0 for task in tasks)
        if len(tasks) < 2 or gave_up != (0 if can_be else len(tasks)):
            problems.append(f"{name}: {len(tasks)} tasks, {gave_up} could not hold its side")
    make_file(db, 2, 77)
    again = run(db, problems)
    for name in STAGES:
        if len(again.get(name, [])) != 1:
            problems.append(f"{name}: {len(again.get(name, []))} tasks ran for one file")
    for problem in problems:
        print(problem)
    print(f"{len(STAGES)} joins, {len(problems)} problems")
    return 1 if problems else 0


sys.exit(main())
