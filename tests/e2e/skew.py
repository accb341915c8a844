"""skew.py [KEYS...]: stages over keys of which one has most rows, with `skew: split` and the least bound. In an empty
directory. Each stage must publish what one DuckDB answers, with no task above its bound, and must have split or spilled
where a key is heavy."""
import json
import os
import re
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from duckdb_library import DuckDB  # noqa: E402
from whole import compare, last_event, tidegate  # noqa: E402

ROWS = 1_500_000
BOUND = 128 << 20
KEYS = {
    "uniform": "(hash(i) % 300000)::BIGINT",
    "zipf": "(300000 * pow((hash(i) % 1000000 + 1) / 1000000, 6))::BIGINT",
    "half": "CASE WHEN hash(i) % 2 = 0 THEN 7 ELSE (hash(i) % 300000)::BIGINT END",
    "most": "CASE WHEN hash(i) % 10 > 0 THEN 7 ELSE (hash(i) % 300000)::BIGINT END",
    "null": "NULL::BIGINT",
}
ONE_HEAVY = ("half", "most", "null")
LISTS_TOO_LARGE = ("most", "null")  # under the bound; half of the rows make one that fits
# Stages that hold nothing, or something, of each row of a key; those of HEAVY must split where one key has most rows.
STAGES = {
    "sums": "SELECT k, count(*) AS n, sum(v) AS s, max(name) AS m FROM t GROUP BY k",
    "distincts": "SELECT k, count(DISTINCT name || i) AS d, sum(v) AS s FROM t GROUP BY k",
    "numbers": "SELECT k, count(DISTINCT v) AS d, sum(v) AS s FROM t GROUP BY k",
    "medians": "SELECT k, median(v) AS m, quantile_disc(v, 0.9) AS q FROM t GROUP BY k",
    "lists": "SELECT k, list(DISTINCT u ORDER BY u DESC) AS l, count(*) AS n FROM t GROUP BY k",
    "texts": "SELECT k, string_agg(DISTINCT name, ',' ORDER BY name) AS s FROM t GROUP BY k",
    "modes": "SELECT k, mode(u) AS m, count(*) AS n FROM t GROUP BY k",
    "firsts": "SELECT * FROM t QUALIFY row_number() OVER (PARTITION BY k ORDER BY v DESC, i) = 1",
    "joined": "SELECT t.k, count(*) AS n, sum(v + w) AS s FROM t JOIN o ON t.k = o.k GROUP BY t.k",
    "left_joined": "SELECT t.k, count(*) AS n, count(w) AS c FROM t LEFT JOIN o ON t.k = o.k GROUP BY t.k",
    "found": "SELECT k, i FROM t WHERE EXISTS (SELECT 1 FROM h WHERE h.k = t.k)",
    "in_order": "SELECT k, i, v FROM t",
    # No kernel: DuckDB crosses its bound, and does it in parts.
    "plain": "SELECT k, len(list(DISTINCT name || i)) AS n FROM t GROUP BY k",
}
HEAVY = {"distincts", "medians", "lists"}
SORTED = {"in_order"}
BUCKETS = {"plain": 1, "in_order": 4}
# What DuckDB cannot do of a single heavy key under that bound.
NOT = {("plain", keys) for keys in ONE_HEAVY}


def stages_of(keys):
    return {name: sql for name, sql in STAGES.items() if (name, keys) not in NOT}


def write_pipeline(keys):
    lines = ["version: 1", f"pipeline: skew_{keys}", "defaults: {memory: 128MiB, skew: split}", "sources:",
             "  t: {files: t/*.parquet}", "  o: {files: o/*.parquet}", "  h: {files: h/*.parquet}", "stages:"]
    for name, sql in stages_of(keys).items():
        how = "sort_by" if name in SORTED else "partition_by"
        lines += [f"  {name}:", f"    {how}: [k]", f"    buckets: {BUCKETS.get(name, 2)}", f"    sql: {sql}"]
    lines += ["outputs:"] + [f"  {name}: {{from: {name}, publish: {{parquet: published/{name}}}}}" for name in stages_of(keys)]
    with open("p.yaml", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def fails(keys):
    """With `skew: fail`, and no larger bound, the same key is a failure that says what to do, and publishes nothing."""
    with open("p.yaml", encoding="utf-8") as file:
        text = file.read()
    head, stage = text[:text.index("stages:")], text[text.index("  distincts:"):text.index("  medians:")]
    with open("f.yaml", "w", encoding="utf-8") as file:
        file.write(head.replace("skew: split", "skew: fail, retry: {memory: fail}").replace(f"skew_{keys}", "fails") + f"stages:\n{stage}" +
                   "outputs: {d: {from: distincts, publish: {parquet: published/d}}}\n")
    # In another state directory: here the result stands, and is the same for both.
    rc, _, said = tidegate("run", "f.yaml", "--state", "other", timeout=250)
    told = all(words in said for words in ("(reduce.memory, memory)", " rows of bucket ", "%)", "`skew: split`"))
    if rc == 3 and told and not os.path.exists("published/d/current"):
        return []
    return [f"{keys}: with `skew: fail` the run exits {rc}\n{said}"]


def too_large(db, keys):
    """A list that is larger than its share of the bound is a failure that says which bound is enough, and that one is. Where
    the host has room a larger one is given once, and said."""
    sql, first = "SELECT k, list(v ORDER BY i) AS l FROM t GROUP BY k", "128MiB"
    memory = first
    for retry, rc_wanted in (("fail", 3), ("split", 0), ("fail", 0)):
        with open("g.yaml", "w", encoding="utf-8") as file:
            file.write(f"version: 1\npipeline: too_large\n"
                       f"defaults: {{memory: {first if retry == 'split' else memory}, skew: split, retry: {{memory: {retry}}}}}\n"
                       f"sources:\n  t: {{files: t/*.parquet}}\n"
                       f"stages:\n  large:\n    partition_by: [k]\n    buckets: 2\n    sql: {sql}\n"
                       "outputs: {large: {from: large, publish: {parquet: published/large}}}\n")
        rc, _, said = tidegate("run", "g.yaml", "--state", f"large-{retry}-{rc_wanted}", timeout=250)
        if rc != rc_wanted:
            return [f"{keys}: a large list: with {memory} and `memory: {retry}` the run exits {rc}\n{said}"]
        told = re.search(r"the list of one key takes .* give the stage `memory: (\d+MiB)`", said)
        if (rc or retry == "split") and (not told or "(reduce.memory, memory)" not in said):
            return [f"{keys}: a large list: the failure is\n{said}"]
        if retry == "split" and "again with 256 MiB, declare that as its `memory`" not in said:
            return [f"{keys}: a large list: no larger bound was given\n{said}"]
        memory = told[1] if rc else memory
        if not rc:
            difference = compare(db, sql, "published/large/current")
            if difference:
                return [f"{keys}: a large list: {difference}"]
            shutil.rmtree("published/large")
    print(f"{keys}: a list that needs {memory}", flush=True)
    return []


def make_tables(db, keys):
    for table in ("t", "o", "h"):
        os.makedirs(table)
    db.run(f"CREATE TABLE t AS SELECT {KEYS[keys]} AS k, i, (hash(i + 1) % 1000000000)::BIGINT AS v, (hash(i + 2) % 400000)::INTEGER "
           f"AS u, 'name ' || (hash(i) % 100000) AS name FROM range({ROWS}) r(i)")
    db.run("CREATE TABLE o AS SELECT CASE WHEN i < 20 THEN 7 ELSE i END AS k, i AS w FROM range(200000) r(i)")
    db.run(f"CREATE TABLE h AS SELECT {KEYS[keys]} AS k, hash(i) AS x FROM range({ROWS // 2}) r(i)")
    for table in ("t", "o", "h"):
        db.run(f"COPY {table} TO '{table}/0.parquet' (ROW_GROUP_SIZE 65536)")


def run(keys):
    os.makedirs(keys)
    os.chdir(keys)
    problems, db, began = [], DuckDB(), time.monotonic()
    make_tables(db, keys)
    write_pipeline(keys)
    rc, out, said = tidegate("run", "p.yaml", "--json", "--workers", "2", timeout=250)
    if rc:
        return [f"{keys}: run exits {rc}\n{said}"]
    last_event(out)
    splits, peak, parts = {}, 0, 0
    for line in out.splitlines():
        event = json.loads(line)
        parts = max(parts, event.get("parts", 0))
        if event.get("event") == "task_finished":
            splits[event["stage"]] = splits.get(event["stage"], 0) + event.get("splits", 0)
            peak = max(peak, event.get("peak_rss", 0))
    for stage, sql in stages_of(keys).items():
        difference = compare(db, sql, f"published/{stage}/current")
        if difference:
            problems.append(f"{keys}: {stage}: {difference}")
    if peak > BOUND:
        problems.append(f"{keys}: a task took {peak >> 20} MiB")
    if keys in ONE_HEAVY:
        problems += [f"{keys}: {stage} did not split" for stage in HEAVY if not splits.get(stage)] + fails(keys)
        problems += too_large(db, keys) if keys in LISTS_TOO_LARGE else []
    elif parts < 16:
        problems.append(f"{keys}: no task ran in parts")
    split = ", ".join(f"{stage} {count}" for stage, count in splits.items() if count)
    print(f"{keys}: {len(stages_of(keys))} stages, peak {peak >> 20} MiB, splits: {split}; {time.monotonic() - began:.1f} s", flush=True)
    db.close()
    os.chdir("..")
    return problems


def main():
    problems = []
    for keys in sys.argv[1:] or KEYS:
        problems += run(keys)
    for problem in problems:
        print(problem)
    return 1 if problems else 0


sys.exit(main())
