"""Outputs `by` columns: one file a value; where one day changed, that day's file is new and every other is the same
inode as in the generation before. Each case in a directory of its own."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from duckdb_library import DuckDB
from e2e_support import *  # noqa: F403

TOP = os.getcwd()
DAY = "2001-03-05"


def pipeline(sql="amount >= 0", checks="", keep=2, memory="256MiB"):
    return f"""version: 1
pipeline: shop
sources:
  sales:
    files: in/sales-*.csv
    columns: {{key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}
    partition: 1KiB
defaults: {{memory: {memory}}}
stages:
  clean:
    sql: SELECT key, grp, day, amount FROM sales WHERE {sql}
  per_day:
    partition_by: [day]
    buckets: 4
    sql: SELECT day, count(*) AS sales, CAST(sum(amount) AS BIGINT) AS amount FROM clean GROUP BY day
outputs:
  rows:
    from: clean
    keep: {keep}
    checks: [{{not_null: [key]}}{checks}]
    publish:
      - parquet: published/rows
        by: [day]
  per_day:
    from: per_day
    keep: {keep}
    checks: [{{unique: [day]}}]
    publish: {{parquet: published/per_day, by: day}}
  plain:
    from: clean
    keep: {keep}
    publish: {{parquet: published/plain}}
"""


def new_input(seed=1, files=8, rows=200):
    for part in range(files):
        csv(f"in/sales-{part}.csv", seed * 100 + part, rows)
    age()


def age():
    old = time.time() - 3600
    for name in os.listdir("in"):
        os.utime(f"in/{name}", (old, old))


def change_one_day(part=3, more=7):
    with open(f"in/sales-{part}.csv") as file:
        lines = file.read().splitlines()
    changed = [",".join(line.split(",")[:3] + [str(abs(int(line.split(",")[3])) + more)]) if DAY in line else line for line in lines]
    expect(changed != lines, "the input has no such day")
    write(f"in/sales-{part}.csv", "\n".join(changed) + "\n")
    old = time.time() - 3000
    os.utime(f"in/sales-{part}.csv", (old, old))


def run(*arguments, code=0, file="pipeline.yaml"):
    return tidegate("run", file, "--json", "--state", "state", *arguments, code=code)


def label(name):
    found = re.fullmatch(r"part-(.*)-\d{6,}-[0-9a-f]{4}\.parquet", name)
    expect(found, f"a name without a generation's token: {name}")
    return found[1]


def files(output="rows"):
    """What stands: label -> path."""
    _, directory = generation(output, "state")
    return {label(name): os.path.join(directory, name) for name in os.listdir(directory) if name != "manifest.json"}


def inodes(output="rows"):
    return {name: os.stat(path).st_ino for name, path in files(output).items()}


def manifest(output="rows"):
    _, directory = generation(output, "state")
    with open(f"{directory}/manifest.json") as file:
        return json.load(file)


def trusted(*arguments):
    for name, said in verdicts("state", *arguments).items():
        expect(said["verdict"] == "TRUSTED", f"{name} is not trusted: {said}")


def table(output, columns, order):
    db = DuckDB()
    try:
        return db.run(f"SELECT {columns} FROM read_parquet('published/{output}/current/*.parquet', hive_partitioning = false) ORDER BY {order}")
    finally:
        db.close()


def one_day_changes():
    new_input()
    write("pipeline.yaml", pipeline())
    first = run()
    days = [f"day=2001-03-{day:02}" for day in range(1, 29)]
    expect(sorted(files()) == days and sorted(files("per_day")) == days, f"files: {sorted(files())}")
    expect(first.last["files"]["rows"] == {"new": 28, "shared": 0}, first.last)
    db = DuckDB()
    for name, path in files().items():
        rows = db.run(f"SELECT min(day), max(day), count(*), count(DISTINCT key) > 1 FROM read_parquet('{path}')")[0]
        expect(rows[0] == rows[1] == name[4:] and rows[3] == "true", f"{name}: {rows}")
        expect(os.stat(path).st_mode & 0o777 == 0o444, f"{path} may be written")
    whole = "SELECT {} FROM read_csv('in/sales-*.csv') WHERE amount >= 0 ORDER BY ALL"
    expect(table("rows", "key, grp, day, amount", "ALL") == db.run(whole.format("key, grp, day, amount")), "other rows")
    trusted()

    before, sums, plain = inodes(), inodes("per_day"), inodes("plain")
    change_one_day()
    second = run()
    for output, old in (("rows", before), ("per_day", sums)):
        now = inodes(output)
        expect(sorted(n for n in now if now[n] != old[n]) == [f"day={DAY}"], f"{output}: other files are new")
        expect(second.last["files"][output] == {"new": 1, "shared": 27}, second.last)
        shared = {f["name"]: f.get("shared_from") for f in manifest(output)["files"]}
        expect(sum(1 for n in shared.values() if n) == 27 and shared[[n for n in shared if DAY in n][0]] is None, shared)
    now = inodes("plain")
    expect(len([n for n in now if now[n] != plain[n]]) == 1, "without `by`, the changed file alone is new")
    expect(table("rows", "key, grp, day, amount", "ALL") == db.run(whole.format("key, grp, day, amount")), "other rows after the change")
    expect(table("per_day", "*", "ALL") == db.run("SELECT day, count(*), sum(amount) FROM read_csv('in/sales-*.csv') WHERE amount >= 0 GROUP BY day ORDER BY ALL"), "other sums")
    # One map task, one bucket of per_day, one bucket of each output.
    expect(second.last["tasks"]["ran"] <= 4, f"too much ran again: {second.last}")
    trusted()
    trusted("--verify")

    # Nothing changed in the rows: nothing is published.
    with open("in/sales-2.csv", "a") as file:
        file.write("k1,g1,2001-03-01,-5\n")
    age()
    third = run()
    expect(not third.events("output_published") or [e["output"] for e in third.events("output_published")] == ["plain"], third.told())
    said = tidegate("run", "pipeline.yaml", "--state", "state", code=0)
    expect("unchanged" in said.out + said.err, said.told())
    change_one_day(more=9)
    said = tidegate("run", "pipeline.yaml", "--state", "state", code=0)
    expect("27 of 28 files are those of the generation before" in said.out + said.err, said.told())
    # A query and the audit go on exactly these files.
    answer = tidegate("query", "SELECT count(*) AS n, count(DISTINCT day) AS days FROM rows", "--json", "--state", "state", code=0)
    expect("28" in answer.out, answer.told())
    for output in ("rows", "per_day", "plain"):
        tidegate("audit", output, "--state", "state", code=0)


def generations_share_and_go():
    new_input()
    write("pipeline.yaml", pipeline(keep=1))
    run()
    first = inodes()
    hashed = {}
    for more in range(1, 5):
        change_one_day(more=more)
        run()
        trusted()
        hashed[more] = [e for e in journal("state") if e["event"] == "output_reaudited"]
    expect(len(os.listdir("published/rows/gen")) == 2, "generations stay")
    kept = [n for n, inode in inodes().items() if inode == first[n]]
    expect(len(kept) == 27, f"a day that never changed has a new file: {len(kept)}")
    # Dropping a generation moves ctimes; the bytes of what is shared are not read for that.
    published_at = {e["generation"]: e["hashed_us"] for e in journal("state") if e["event"] == "output_published" and e["output"] == "rows"}
    expect(len(set(published_at.values())) == 1, f"hashed again: {published_at}")
    expect(all(e["hashed_us"] in published_at.values() for e in hashed[4] if e["output"] == "rows"), hashed[4])
    now, data = generation("rows", "state"), published(["rows"], "state")
    change_one_day(more=20)
    run()
    tidegate("rollback", "rows", "--state", "state", code=0)
    expect(generation("rows", "state") == now and published(["rows"], "state") == data, "rolled back to something else")
    trusted("--verify", "rows")
    tidegate("gc", "--limit", "0B", "--state", "state", code=0)
    trusted("rows")
    tidegate("audit", "rows", "--state", "state", code=0)
    # Results are gone: all is made again, comes out the same, and is shared by its bytes.
    before = inodes()
    change_one_day(more=30)
    run()
    after = inodes()
    expect(sorted(n for n in after if after[n] != before[n]) == [f"day={DAY}"], "the same bytes are not shared")
    # A shared file that someone altered is not passed on.
    path = files()["day=2001-03-07"]
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)
        file.seek(100)
        file.write(bytes([byte[0] ^ 1]))
    os.chmod(path, 0o444)
    change_one_day(more=40)
    said = run(code=(0, 3))
    if said.code == 0:
        trusted("--verify", "rows")
    else:
        expect("publish.result_torn" in said.told(), said.told())


def refused_leaves_what_stands():
    new_input()
    write("pipeline.yaml", pipeline())
    run()
    before, names = inodes(), os.listdir("published/rows/gen")
    change_one_day()
    write("pipeline.yaml", pipeline(checks=", {expect: key <> 'k1'}"))
    run(code=4)
    expect(inodes() == before and os.listdir("published/rows/gen") == names, "a refused generation changed what stands")
    said = verdict("rows", "state", "--verify")
    expect(is_old_but_right(said), f"what stands is not as right as it was: {said}")


VALUES = """version: 1
pipeline: values
sources:
  t: {files: in/*.parquet, partition: 1KiB}
stages:
  s:
    sql: SELECT * FROM t
outputs:
  o:
    from: s
    publish: {parquet: published/o, by: [%s]%s}
"""


def values_as_names():
    db = DuckDB()
    os.makedirs("in")
    long = "x" * 150 + "/" + "é" * 60
    texts = ["'plain'", "''", "NULL", "'a/b'", "'..'", "'näme'", "'a=b+c~d%e'", "'null'", "'UPPER'", "'upper'", "E'tab\\tline\\n'", f"'{long}'", f"'{long}2'", "'*?[x]'"]
    types = {
        "txt": ("VARCHAR", texts),
        "flag": ("BOOLEAN", ["true", "false", "NULL"]),
        "small": ("TINYINT", ["-128", "0", "127"]),
        "huge": ("DECIMAL(38,0)", ["-99999999999999999999999999999999999999", "0", "7"]),
        "dec": ("DECIMAL(9,2)", ["-1.50", "0.00", "12345.67"]),
        "day": ("DATE", ["'2001-06-30'", "'0044-03-15 (BC)'", "NULL", "'infinity'"]),
        "tod": ("TIME", ["'00:00:00'", "'23:59:59.999999'"]),
        "ts": ("TIMESTAMP", ["'2001-01-01 00:00:00'", "'2001-01-01 00:00:00.000001'"]),
        "tz": ("TIMESTAMPTZ", ["'2001-01-01 00:00:00+00'", "'2001-01-01 01:00:00+00'"]),
        "id": ("UUID", ["'00000000-0000-0000-0000-000000000001'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
        "kind": ("ENUM('new', 'done')", ["'new'", "'done'", "NULL"]),
    }
    columns = ", ".join(f"CAST([{', '.join(v)}][1 + (i * {p} + i // 7) % {len(v)}] AS {t}) AS {c}"
                        for p, (c, (t, v)) in zip((1, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31), types.items()))
    db.run(f"CREATE TABLE t AS SELECT i, [i, NULL] AS nested, {columns} FROM range(600) r(i)")
    for part in range(3):
        db.run(f"COPY (FROM t WHERE i % 3 = {part}) TO 'in/{part}.parquet'")
    names = {}
    cases = [(c, "", columns) for c in types for columns in ("*", "* EXCLUDE (nested)")]  # DuckDB's COPY, our writer
    for by, more, columns in cases + [("txt, day", "", "*"), ("day, flag, kind", ", compression: snappy", "* EXCLUDE (nested)")]:
        # Parquet has neither of these two types: the stage makes them again.
        stage = columns + " REPLACE (CAST(huge AS HUGEINT) AS huge, CAST(kind AS ENUM('new', 'done')) AS kind)"
        write("pipeline.yaml", (VALUES % (by, more)).replace("SELECT *", f"SELECT {stage}"))
        run()
        found = files("o")
        wanted = db.run(f"SELECT count(*) FROM (SELECT DISTINCT {by} FROM read_parquet('in/*.parquet'))")[0][0]
        expect(len(found) == int(wanted), f"{by}: {len(found)} files for {wanted} values: {sorted(found)}")
        for name, path in found.items():
            expect(re.fullmatch(r"[A-Za-z0-9._=+~%-]+", name) and len(os.path.basename(path)) < 256, f"{by}: {name}")
            rows = db.run(f"SELECT count(*) FROM (SELECT DISTINCT {by} FROM read_parquet('{path}'))")
            expect(rows == [["1"]], f"{by}: {name} has {rows} values")
        listed = [p.replace("'", "''") for p in found.values()]
        expect(db.run(f"SELECT count(*) FROM (SELECT * FROM read_parquet({listed}, hive_partitioning = false) EXCEPT ALL SELECT {columns} FROM read_parquet('in/*.parquet'))") == [["0"]]
               and db.run(f"SELECT count(*) FROM read_parquet({listed})") == [["600"]], f"{by}: other rows")
        names[by] = set(found)
        trusted()
    expect({"txt=", "txt~null", "txt=null", "txt=a%2Fb", "txt=..", "txt=UPPER", "txt=a%3Db%2Bc%7Ed%25e", "txt=n%C3%A4me"} <= names["txt"], names["txt"])
    expect(len([n for n in names["txt"] if re.search("~[0-9a-f]{32}$", n)]) == 2, names["txt"])
    expect(names["day"] == {"day=2001-06-30", "day=0044-03-15%20%28BC%29", "day~null", "day=infinity"}, names["day"])
    expect("day~null+flag~null+kind=done" in names["day, flag, kind"], names["day, flag, kind"])
    answer = tidegate("query", "SELECT count(*) AS n FROM o", "--json", "--state", "state", code=0)
    expect("600" in answer.out, answer.told())
    # No row at all: one file with the columns.
    write("pipeline.yaml", (VALUES % ("day", "")).replace("FROM t", "FROM t WHERE i < 0"))
    run()
    _, directory = generation("o", "state")
    name = [n for n in os.listdir(directory) if n != "manifest.json"]
    expect(len(name) == 1 and re.match(r"part-00000-", name[0]), name)
    expect(db.run(f"SELECT count(*), count(day) FROM read_parquet('{directory}/{name[0]}')")[0][0] == "0", "rows")
    trusted()


def nothing_to_copy():
    """Columns that our own writer knows, so that the files are written by it."""
    db = DuckDB()
    os.makedirs("in")
    db.run("COPY (SELECT i, i % 50 AS v, 'text ' || i % 1000 AS txt FROM range(30000) r(i)) TO 'in/a.parquet'")
    write("pipeline.yaml", VALUES % ("v", ""))
    run()
    expect(sorted(files("o")) == sorted(f"v={v}" for v in range(50)), sorted(files("o")))
    for name, path in files("o").items():
        expect(db.run(f"SELECT count(*), min(v), max(v), bool_and(txt = 'text ' || i % 1000) FROM read_parquet('{path}')") == [["600", name[2:], name[2:], "true"]], name)
        rows = db.run(f"SELECT i FROM read_parquet('{path}')")
        expect(rows == sorted(rows, key=lambda r: int(r[0])), f"{name}: rows lost their order")


def limits():
    db = DuckDB()
    os.makedirs("in")
    for by, rows, code in (("i", 30000, "publish.by_values"), ("txt", 3, "publish.by_value")):
        db.run(f"COPY (SELECT i, repeat('x', 1100) || i AS txt FROM range({rows}) r(i)) TO 'in/a.parquet'")
        write("pipeline.yaml", VALUES % (by, ""))
        said = run(code=3)
        failed = said.events("task_failed", "output_refused")
        expect(code in said.told() and '"class":"data"' in said.out.replace(" ", ""), f"{by}: {failed} {said.told()}")
        expect(generation("o", "state") is None, "it is published")
    # In the whole output more than in any one task.
    db.run("COPY (SELECT i % 12000 AS i, md5(CAST(i AS VARCHAR)) AS txt, md5(CAST(i + 1 AS VARCHAR)) AS more FROM range(150000) r(i)) TO 'in/a.parquet'")
    write("pipeline.yaml", VALUES % ("i", ""))
    said = run(code=3)
    expect("publish.by_values" in said.told(), said.told())


def within_memory():
    """Many values, more rows than fit: one file's buffers are held at a time."""
    db = DuckDB()
    os.makedirs("in")
    for part in range(4):
        db.run(f"COPY (SELECT (i * 7919 + {part}) % 500 AS v, i, hash(i) AS h, md5(CAST(i AS VARCHAR)) AS txt FROM range({part * 400000}, {part * 400000 + 400000}) r(i)) TO 'in/{part}.parquet'")
    write("pipeline.yaml", (VALUES % ("v", "")).replace("stages:", "defaults: {memory: 128MiB}\nstages:").replace("1KiB", "128MiB"))
    said = run("--workers", 2)
    expect(len(files("o")) == 500, len(files("o")))
    expect(said.last["peak_rss"] <= 128 << 20, f"{said.last['peak_rss'] >> 20} MiB in a worker")
    listed = list(files("o").values())
    expect(db.run(f"SELECT count(*), sum(i), bit_xor(h) FROM read_parquet({listed})") == db.run("SELECT count(*), sum(i), bit_xor(h) FROM read_parquet('in/*.parquet')"), "other rows")


for case in (one_day_changes, generations_share_and_go, refused_leaves_what_stands, values_as_names, nothing_to_copy, limits,
             within_memory):
    if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
        continue
    os.makedirs(f"{TOP}/{case.__name__}")
    os.chdir(f"{TOP}/{case.__name__}")
    began = time.monotonic()
    try:
        case()
    except SystemExit:
        print(f"in {case.__name__}", file=sys.stderr)
        if "KEEP_GOING" not in os.environ:
            raise
    print(f"{time.monotonic() - began:5.1f} s  {case.__name__}", flush=True)
