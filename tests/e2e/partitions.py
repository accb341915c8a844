"""partitions.py: what the tasks that combine rows read, in an empty directory, beside what DuckDB answers."""
import json
import os
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from duckdb_library import DuckDB  # noqa: E402
from whole import compare, tidegate  # noqa: E402

FILES, ROWS = 24, 20_000
HOLE = 400 << 20  # in each file, of no bytes on the disk: with it they are as large as sources of 10 GB are
STAGES = {
    # Many groups: each task gives all of them on.
    "many": ("facts", "k", "SELECT k, count(*) AS n, sum(v) AS v FROM facts GROUP BY k"),
    # Few: DuckDB combines.
    "few": ("facts", "g", "SELECT g, count(*) AS n, avg(v) AS v FROM facts GROUP BY g"),
    # So many that rows are not combined.
    "each": ("facts", "i", "SELECT i, count(*) AS n FROM facts GROUP BY i"),
    "of_size": ("sized", "k", "SELECT k, count(*) AS n, sum(v) AS v FROM sized GROUP BY k"),
    "by_value": ("facts", "g", "SELECT g, max(v) AS v FROM facts GROUP BY g"),
    "on_the_way": ("facts", "v, g", "SELECT v, g, count(*) AS n FROM facts GROUP BY v, g"),
    "at_its_end": ("on_the_way", "g", "SELECT g, sum(n) AS n FROM on_the_way GROUP BY g"),
}
LARGER, BY = ("many", "few"), ("by_value", "at_its_end")


def make_file(db, number, salt=0):
    path = f"facts/{number:02}.parquet"
    db.run(f"COPY (SELECT (hash(i, {number + salt}) % 6000)::BIGINT AS k, (i % 5)::INTEGER AS g, i + {number * ROWS} AS i, "
           f"(hash(i, 1) % 1000)::INTEGER AS v FROM range({ROWS}) r(i)) TO '{path}'")
    with open(path, "r+b") as file:
        content = file.read()
        footer = 8 + struct.unpack("<I", content[-8:-4])[0]
        file.seek(len(content) - footer)
        file.truncate()
        file.seek(HOLE, os.SEEK_END)
        file.write(content[-footer:])


def write_pipeline(path, stages):
    lines = ["version: 1", "pipeline: partitions", "defaults: {memory: 128MiB}", "sources:",
             "  facts: {files: facts/*.parquet}"]
    if any(table == "sized" for table, _, _ in stages.values()):
        lines += ["  sized: {files: facts/*.parquet, partition: 512MiB}"]
    lines += ["stages:"]
    for name, (_, key, sql) in stages.items():
        lines += [f"  {name}:", f"    partition_by: [{key}]", f"    sql: {sql}"]
    lines += ["outputs:"]
    for name in stages:
        by = ", by: [g]" if name in BY else ""
        lines.append(f"  {name}: {{from: {name}, publish: {{parquet: published/{name}{by}}}}}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def sorts(problems):
    """Rows of Parquet files are made again to be sorted, not stored, where none is dropped on the way."""
    for sql, first in (("SELECT k, v FROM facts", "sampled"), ("SELECT k, v FROM facts WHERE v > 5", "unsorted")):
        with open("sorted.yaml", "w", encoding="utf-8") as file:
            file.write("version: 1\npipeline: sorted\nsources:\n  facts: {files: facts/*.parquet}\nstages:\n"
                       f"  in_order: {{sort_by: [k], sql: \"{sql}\", buckets: 4}}\n"
                       "outputs:\n  in_order: {from: in_order, publish: {parquet: published/in_order}}\n")
        rc, out, said = tidegate("plan", "sorted.yaml", "--json")
        names = [stage["stage"] for stage in json.loads(out)["stages"]] if rc == 0 else said
        if names != [f"in_order, {first}", "in_order, ranges", "in_order"]:
            problems.append(f"{sql}: {names}")


def scans():
    """stage -> tasks of the scan that makes its rows, as planned."""
    rc, out, said = tidegate("plan", "all.yaml", "--json")
    if rc:
        raise SystemExit(f"plan exits {rc}\n{said}")
    stages = json.loads(out)["stages"]
    return {stage["stage"].removeprefix("facts for ").replace("sized", "of_size"): len(stage["tasks"])
            for stage in stages if "scan" in stage["strategy"]}


def run(db, problems):
    rc, out, said = tidegate("run", "larger.yaml", "--json", "--workers", "2", timeout=150)
    if rc:
        problems.append(f"run exits {rc}\n{said}")
        return {}
    ran = {}
    for line in out.splitlines():
        event = json.loads(line)
        if event.get("event") == "task_finished":
            ran[event["stage"]] = ran.get(event["stage"], 0) + 1
    db.run("CREATE OR REPLACE VIEW facts AS FROM read_parquet('facts/*.parquet')")
    for name in LARGER:
        difference = compare(db, STAGES[name][2], f"published/{name}/current")
        if difference:
            problems.append(f"{name}: {difference}")
    return ran


def main():
    problems, db = [], DuckDB()
    os.mkdir("facts")
    for number in range(FILES):
        make_file(db, number)
    time.sleep(2.1)  # a file that was changed just now is read whole for its identity
    write_pipeline("all.yaml", STAGES)
    write_pipeline("larger.yaml", {name: STAGES[name] for name in LARGER})
    tasks = scans()
    for name, expected in {"each": FILES, "of_size": FILES, "by_value": FILES, "on_the_way": FILES}.items():
        if tasks.get(name) != expected:
            problems.append(f"{name}: {tasks.get(name)} tasks, not one a file")
    for name in LARGER:
        if not 4 <= tasks.get(name, 0) <= FILES * 2 // 3:
            problems.append(f"{name}: {tasks.get(name)} tasks for {FILES} files")
    sorts(problems)
    run(db, problems)
    make_file(db, 5, salt=100)
    ran = run(db, problems)
    for name in LARGER:
        if ran.get(f"facts for {name}") != 1:
            problems.append(f"{name}: a changed file makes {ran.get(f'facts for {name}')} tasks of the scan again")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
