"""Which change re-runs which tasks, by `plan --json`; inputs that change under a run; whose run_time() a run has."""
import json
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

STATE = os.path.abspath("state")
BASE = """version: 1
pipeline: base
owner: someone@example.com
sources:
  sales:
    files: in/sales-*.csv
    options: {header: true}
    columns: {key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}
    partition: 1KiB
  groups:
    files: in/groups.csv
    columns: {grp: VARCHAR, title: VARCHAR}
defaults:
  memory: 256MiB
stages:
  clean:
    sql: SELECT key, grp, day, amount FROM sales WHERE amount >= 0
  key_day:
    partition_by: [key]
    sql: |
      SELECT key, grp, day, count(*) AS sales, CAST(sum(amount) AS BIGINT) AS amount
      FROM clean GROUP BY ALL
    buckets: 4
  by_key:
    partition_by: [key]
    broadcast: [groups]
    sql: |
      SELECT k.key, g.title, CAST(sum(k.sales) AS BIGINT) AS sales
      FROM key_day k LEFT JOIN groups g ON k.grp = g.grp GROUP BY ALL
  by_day:
    partition_by: [day]
    buckets: 3
    sql: SELECT day, CAST(sum(amount) AS BIGINT) AS amount FROM key_day GROUP BY day
outputs:
  by_key:
    from: by_key
    description: sales of each key
    checks: [{unique: [key, title]}]
    publish: {parquet: published/by_key}
  by_day:
    from: by_day
    keep: 2
    publish: {parquet: published/by_day, compression: zstd}
"""
ALL = {"clean": 5, "key_day": 4, "by_key": 4, "by_day": 3}
cases = 0


def settle(path):
    """Older than what is hashed for being young; a test of its own looks at young files."""
    old = time.time() - 3600
    os.utime(path, (old, old))


def to_run(text=None, state=STATE, file="pipeline.yaml"):
    """Stage -> tasks that would run."""
    if text is not None:
        write(file, text)
    document = tidegate("plan", file, "--json", "--state", state, code=0).document
    found = {s["stage"]: sum(t["state"] == "run" for t in s["tasks"]) for s in document["stages"]}
    expect(sum(found.values()) == document["tasks"]["run"], f"plan counts wrongly: {document['tasks']} {found}")
    return {stage: tasks for stage, tasks in found.items() if tasks}


def changed(what, old, new, want):
    global cases
    expect(BASE.count(old) == 1, f"{what}: {old!r} is there {BASE.count(old)} times")
    found = to_run(BASE.replace(old, new))
    expect(found == want, f"{what}: wanted {want} to run again, got {found}")
    cases += 1


for part in range(1, 6):
    csv(f"in/sales-2001-03-0{part}.csv", part, 300)
write("in/groups.csv", "grp,title\n" + "".join(f"g{g},title {g}\n" for g in range(7)))
write("in/manifest.json", json.dumps({"files": [{"path": f"sales-2001-03-0{part}.csv", "rows": 300} for part in range(1, 6)],
                                      "complete_to": "2001-03-06T00:00:00Z"}))
for name in os.listdir("in"):
    settle(f"in/{name}")
time.sleep(2.1)  # inputs are no longer young: their identity is their stat from here on

expect(to_run(BASE) == ALL, f"at first all runs: {to_run(BASE)}")
tidegate("run", "pipeline.yaml", "--state", STATE, "--quiet", code=0)
expect(to_run(BASE) == {}, f"nothing changed, yet to run: {to_run(BASE)}")

# Nothing of this decides a byte of a result.
NONE = {}
changed("a comment", "version: 1\n", "# a comment\nversion: 1   # and another\n", NONE)
changed("owner", "someone@example.com", "another@example.com", NONE)
changed("no owner", "owner: someone@example.com\n", "", NONE)
changed("description", "sales of each key", "what each key sold", NONE)
changed("no description", "    description: sales of each key\n", "", NONE)
changed("key order of a source", "    files: in/groups.csv\n    columns: {grp: VARCHAR, title: VARCHAR}\n",
        "    columns: {grp: VARCHAR, title: VARCHAR}\n    files: in/groups.csv\n", NONE)
changed("key order of the file", "owner: someone@example.com\n", "", NONE)
changed("key order of a stage", "    partition_by: [day]\n    buckets: 3\n", "    buckets: 3\n    partition_by: [day]\n", NONE)
stage = BASE[BASE.index("  by_day:\n    partition_by"):BASE.index("outputs:")]
expect(to_run(BASE.replace(stage, "").replace("stages:\n", "stages:\n" + stage)) == NONE, "the order of stages counts")
top = BASE[BASE.index("defaults:"):BASE.index("stages:")]
expect(to_run(BASE.replace(top, "") + top) == NONE, "the order of sections counts")
first = BASE[BASE.index("  by_key:\n    from"):BASE.index("  by_day:\n    from")]
expect(to_run(BASE.replace(first, "") + first) == NONE, "the order of outputs counts")
groups = BASE[BASE.index("  groups:\n"):BASE.index("defaults:")]
expect(to_run(BASE.replace(groups, "").replace("sources:\n", "sources:\n" + groups)) == NONE, "the order of sources counts")
cases += 4
changed("checks", "{unique: [key, title]}", "{unique: [key, title]}, {not_null: [key]}, {expect: sales > 0, severity: warn}", NONE)
changed("no checks", "    checks: [{unique: [key, title]}]\n", "", NONE)
changed("freshness", "    keep: 2\n", "    keep: 2\n    freshness: {max_age: 24h, completeness: 99%}\n", NONE)
changed("keep", "keep: 2", "keep: 5", NONE)
changed("memory", "memory: 256MiB", "memory: 384MiB", NONE)
changed("memory of a stage", "    buckets: 3\n", "    buckets: 3\n    memory: 300MiB\n", NONE)
changed("retry", "    buckets: 3\n", "    buckets: 3\n    retry: {transient: 1, lost: 0}\n", NONE)
changed("default retry", "  memory: 256MiB\n", "  memory: 256MiB\n  retry: {transient: 9}\n", NONE)
changed("timeout", "    buckets: 3\n", "    buckets: 3\n    timeout: 5m\n", NONE)
changed("on_empty of a stage", "    buckets: 3\n", "    buckets: 3\n    on_empty: allow\n", NONE)
changed("on_empty of an output", "    keep: 2\n", "    keep: 2\n    on_empty: fail\n", NONE)
changed("on_empty of a source", "    files: in/groups.csv\n", "    files: in/groups.csv\n    on_empty: warn\n", NONE)
changed("event_time", "    partition: 1KiB\n", "    partition: 1KiB\n    event_time: day\n", NONE)
changed("arrives", "    partition: 1KiB\n", "    partition: 1KiB\n    arrives: {every: 1d, path: \"sales-{date}\"}\n", NONE)
changed("manifest", "    partition: 1KiB\n", "    partition: 1KiB\n    manifest: in/manifest.json\n", NONE)
# Its directories belong to the pipeline of that name, so that another publishes elsewhere.
expect(to_run(BASE.replace("pipeline: base", "pipeline: other").replace("published/", "published-other/")) == NONE, "the pipeline's name")
cases += 3
expect(to_run(BASE.replace("  by_day:\n    from", "  days:\n    from").replace("published/by_day", "published/days")) == NONE,
       "an output's name")
changed("an output's place", "published/by_day", "published/days", NONE)
expect(to_run(BASE.replace("version: 1\n", "version: 1\npublish_together: true\n").replace("published/", "published-together/")) == NONE,
       "publish_together")
changed("the default compression, in words", ", compression: zstd", "", NONE)
changed("spaces and a comment in SQL", "SELECT day, CAST(sum(amount) AS BIGINT) AS amount FROM key_day GROUP BY day",
        "|\n      SELECT   day, -- of sale\n        CAST(sum(amount) AS BIGINT) AS amount\n      FROM key_day /* all */ GROUP BY day", NONE)
more = BASE + "  again:\n    from: by_day\n    publish: {parquet: published/again}\n"
expect(to_run(more) == NONE, "one more output of the same stage re-runs it")

# What decides bytes re-runs what it touches and what depends on that, and nothing else.
downstream = {k: v for k, v in ALL.items() if k != "clean"}
changed("a condition of the map", "amount >= 0", "amount > 0", ALL)
changed("an expression at the end", "CAST(sum(amount) AS BIGINT) AS amount FROM", "CAST(max(amount) AS BIGINT) AS amount FROM", {"by_day": 3})
changed("a string in SQL", "g.title, CAST", "g.title || 'x' AS title, CAST", {"by_key": 4})
changed("case of a string counts", "WHERE amount >= 0", "WHERE amount >= 0 AND grp <> 'G'", ALL)
changed("SQL in the middle, after the aggregates", "count(*) AS sales", "count(*) + 1 AS sales", downstream)
changed("SQL in the middle, over columns that are there", "count(*) AS sales", "count(amount) AS sales", downstream)
# What an aggregate takes in is computed by the tasks that make the rows.
changed("an argument in the middle", "count(*) AS sales", "count(amount % 7) AS sales", ALL)
changed("buckets at the end", "buckets: 3", "buckets: 2", {"key_day": 4, "by_key": 4, "by_day": 2})
changed("buckets in the middle", "buckets: 4", "buckets: 2", {"clean": 5, "key_day": 2, "by_key": 2, "by_day": 3})
changed("partition_by", "  key_day:\n    partition_by: [key]", "  key_day:\n    partition_by: [key, day]", dict(ALL, by_key=1))
changed("compression", "compression: zstd", "compression: snappy", {"by_day": 3})
changed("an option of a source", "{header: true}", "{header: true, nullstr: k1}", ALL)
changed("a column's type", "amount: BIGINT}", "amount: INTEGER}", ALL)
changed("a column's type of the side table", "{grp: VARCHAR, title: VARCHAR}", "{grp: VARCHAR, title: BLOB}", {"by_key": 4})
changed("partition", "partition: 1KiB", "partition: 1MiB", {"clean": 1, "key_day": 4, "by_key": 4, "by_day": 3})
changed("quarantine", "    partition: 1KiB\n", "    partition: 1KiB\n    retry: {data: {quarantine: 1%}}\n", ALL)
changed("a stage more", "outputs:\n", "  more:\n    partition_by: [day]\n    sql: SELECT day, CAST(sum(amount) AS BIGINT) AS total "
        "FROM by_day GROUP BY day\noutputs:\n  more:\n    from: more\n    publish: {parquet: published/more}\n",
        {"more": 3, "by_day": 3})
changed("run_time() used", "SELECT day, CAST(sum(amount) AS BIGINT) AS amount FROM", "SELECT day, run_time() AS made, "
        "CAST(sum(amount) AS BIGINT) AS amount FROM", {"by_day": 3})
write("pipeline.yaml", BASE)

# Inputs.
def input_changed(what, want, state=STATE):
    global cases
    found = to_run(BASE, state)
    expect(found == want, f"{what}: wanted {want} to run again, got {found}")
    cases += 1


def run_again():
    tidegate("run", "pipeline.yaml", "--state", STATE, "--quiet", code=0)
    expect(to_run(BASE) == {}, "a run leaves nothing to run")


one = dict(ALL, clean=1)
stat = os.stat("in/sales-2001-03-03.csv")
with open("in/sales-2001-03-03.csv", "r+b") as file:
    text = file.read()
    at = text.rindex(b"k")  # the last row's key: another one, of the same length
    file.seek(at + 1)
    file.write(b"9" if text[at + 1:at + 2] != b"9" else b"8")
os.utime("in/sales-2001-03-03.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
now = os.stat("in/sales-2001-03-03.csv")
expect((now.st_size, now.st_mtime_ns, now.st_ino) == (stat.st_size, stat.st_mtime_ns, stat.st_ino), "same size, time and inode")
input_changed("one inner value, same size and mtime", one)
run_again()
with open("in/sales-2001-03-03.csv", "r+b", buffering=0) as file:  # thrice within the clock's tick, while the file is young
    for byte in b"123":
        file.seek(at + 1)
        file.write(bytes([byte]))
        os.fsync(file.fileno())
        os.utime("in/sales-2001-03-03.csv", ns=(stat.st_atime_ns, stat.st_mtime_ns))
        input_changed(f"a young file's value {byte}", one)
        run_again()
os.replace("in/sales-2001-03-04.csv", "aside")
shutil.copy2("aside", "in/sales-2001-03-04.csv")
input_changed("a file replaced by an equal copy: by stat it is another", one)
run_again()
csv("in/sales-2001-03-07.csv", 7, 300)
input_changed("one more file", one)
os.remove("in/sales-2001-03-07.csv")
input_changed("and it is gone again", {})
os.remove("in/sales-2001-03-05.csv")
input_changed("one file less", downstream)
csv("in/sales-2001-03-05.csv", 5, 300)
run_again()
with open("in/groups.csv", "a") as file:
    file.write("g9,title 9\n")
input_changed("the side table", {"by_key": 4})
run_again()

# identity: content survives a copy, and sees a change that stat could not show.
content = BASE.replace("pipeline: base", "pipeline: content").replace("published/", "published-content/").replace("    partition: 1KiB\n", "    partition: 1KiB\n    identity: content\n")
write("content.yaml", content)
tidegate("run", "content.yaml", "--state", "state-content", "--quiet", code=0)
shutil.copy2("in/sales-2001-03-01.csv", "aside")
os.replace("aside", "in/sales-2001-03-01.csv")
os.utime("in/sales-2001-03-01.csv")
found = to_run(None, "state-content", "content.yaml")
expect("clean" not in found, f"identity: content, and a copy counts as a change: {found}")
with open("in/sales-2001-03-01.csv", "a") as file:
    file.write("k1,g1,2001-03-01,5\n")
found = to_run(None, "state-content", "content.yaml")
expect(found.get("clean") == 1, f"identity: content, and a new row is not noticed: {found}")
cases += 2

# Two Parquet files with the same footer and other data.
write("flat.yaml", """version: 1
pipeline: flat
sources:
  sales: {files: in/sales-2001-03-02.csv, columns: {key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}
stages:
  flat: {sql: "SELECT key, amount FROM sales"}
outputs:
  flat: {from: flat, publish: {parquet: published/flat, compression: none}}
""")
tidegate("run", "flat.yaml", "--state", "state-flat", "--quiet", code=0)
_, directory = generation("flat", "state-flat")
(made,) = [n for n in os.listdir(directory) if n.endswith(".parquet")]
data = open(os.path.join(directory, made), "rb").read()
footer = int.from_bytes(data[-8:-4], "little") + 8
other = bytearray(data)
other[(len(data) - footer) // 2] ^= 1
expect(bytes(other[-footer:]) == data[-footer:] and bytes(other) != data, "same footer, other data")
os.makedirs("pq")
for name, bytes_ in (("pq/a.parquet", data), ("pq/b.parquet", bytes(other))):
    with open(name, "wb") as file:
        file.write(bytes_)
    os.utime(name, (10**9, 10**9))
read = """version: 1
pipeline: read
sources:
  t: {files: pq/x.parquet%s}
stages:
  s: {sql: "SELECT key, amount FROM t"}
outputs:
  o: {from: s, publish: {parquet: published/o}}
"""
for how, mark in (("by stat", ""), ("by content", ", identity: content")):
    state = f"state-pq{len(mark)}"
    write("read.yaml", read % mark)
    names = []
    for name in ("a", "b"):
        shutil.copy2(f"pq/{name}.parquet", "pq/x.parquet.new")
        os.replace("pq/x.parquet.new", "pq/x.parquet")
        document = tidegate("plan", "read.yaml", "--json", "--state", state, code=0).document
        names.append(document["stages"][0]["tasks"][0]["identity"])
        if name == "a":
            tidegate("run", "read.yaml", "--state", state, "--quiet", "--force", code=(0, 3) if mark else 0)
    expect(names[0] != names[1], f"{how}: two files with equal footers have one identity")
    expect(to_run(None, state, "read.yaml") == {"s": 1}, f"{how}: the other file is taken for the one that was read")
    cases += 1
    shutil.rmtree("published/o", ignore_errors=True)

# A file replaced while a task reads it fails that task.
write("slow.yaml", BASE.replace("pipeline: base", "pipeline: slow").replace("published/", "published-slow/")
      .replace("256MiB", "512MiB").replace("amount >= 0", "amount >= 0 AND md5(repeat(key, 100000)) <> 'x'"))
process = start("run", "slow.yaml", "--json", "--state", "state-slow", "--workers", 1)
seen, pid, partition = "", None, None
for line in process.stdout:
    seen += line.decode()
    event = json.loads(line)
    if event["event"] == "worker_started":
        pid = event["pid"]
        os.kill(pid, signal.SIGSTOP)
    if event["event"] == "task_started":
        partition = event["partition"]
    if pid and partition is not None:
        break
with open(f"in/sales-2001-03-0{partition + 1}.csv", "a") as file:
    file.write("k1,g1,2001-03-01,5\n")
os.kill(pid, signal.SIGCONT)
rest = finish(process)
answer = Answer(rest.code, seen + rest.out, rest.err)
failures = [e for e in answer.events("task_failed")]
expect(answer.code == 3, f"a file changed under a task: {answer.told()}")
expect([(f["class"], f["code"], f["partition"]) for f in failures] == [("dependency", "source.changed", partition)], f"{failures}")
expect(f"sales-2001-03-0{partition + 1}.csv" in failures[0]["message"], f"it does not name the file: {failures}")
expect(generation("by_day", "state-slow") is None, "it published all the same")
tidegate("run", "slow.yaml", "--state", "state-slow", "--quiet", code=0)

# run_time(): an interrupted run's is adopted, a run after a success has its own.
write("timed.yaml", BASE.replace("pipeline: base", "pipeline: timed").replace("published/", "published-timed/")
      .replace("amount >= 0", "amount >= 0 AND day < CAST(run_time() AS DATE)"))


def started(answer):
    (event,) = answer.events("run_started")
    return event


def interrupted(stop_after, how):
    process = start("run", "timed.yaml", "--json", "--state", "state-timed", "--workers", 1)
    seen, finished_ = "", 0
    for line in process.stdout:
        seen += line.decode()
        finished_ += b'"task_finished"' in line
        if finished_ >= stop_after:
            process.send_signal(how)
            break
    rest = finish(process)
    return Answer(rest.code, seen + rest.out, rest.err)


first = interrupted(3, signal.SIGKILL)
expect(first.code == -signal.SIGKILL, first.told())
time.sleep(0.05)
planned = tidegate("plan", "timed.yaml", "--json", "--state", "state-timed", code=0).document
expect(planned["run_time_us"] == started(first)["run_time_us"], "plan does not adopt the interrupted run's run_time()")
expect(planned["tasks"]["reused"] >= 3, f"plan reuses nothing of it: {planned['tasks']}")
second = interrupted(2, signal.SIGINT)
expect(second.code == 130, second.told())
third = tidegate("run", "timed.yaml", "--json", "--state", "state-timed", "--workers", 1, code=0)
times = [started(a)["run_time_us"] for a in (first, second, third)]
expect(len(set(times)) == 1, f"run_time() is not adopted: {times}")
expect(started(second)["resumed_from"] == started(first)["run"] and started(third)["resumed_from"] == started(second)["run"], "resumed_from")
expect("resumed_from" not in started(first), "the first resumes nothing")
expect(third.last["tasks"]["reused"] >= 5, f"{third.last}")
fourth = tidegate("run", "timed.yaml", "--json", "--state", "state-timed", code=0)
expect(started(fourth)["run_time_us"] > times[0] and "resumed_from" not in started(fourth), "a fresh run has its own run_time()")
expect(fourth.last["tasks"] == {"ran": sum(ALL.values()), "reused": 0, "retried": 0}, f"{fourth.last}")
print(f"{cases} changes")
