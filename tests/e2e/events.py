"""Makes a pipeline do everything that is journaled, then compares the journal with docs/events.md."""
import json
import os
import re
import signal
import sqlite3

from e2e_support import expect, start, tidegate, write

PAGE = os.path.join(os.environ["TIDEGATE_SOURCE"], "docs/events.md")
NEVER = {"state_imported"}  # as the page says
STATE = ".tidegate"

PIPELINE = """
version: 1
pipeline: events
sources:
  rows:
    files: data/*.csv
    options: {{header: true}}
    columns: {{id: BIGINT, name: VARCHAR}}
    retry: {{data: {{quarantine: 50%}}}}
stages:
  quick:
    partition_by: [name]
    sql: SELECT name, count(*) AS n FROM rows GROUP BY name
  slow:
    partition_by: all
    {timeout}
    sql: SELECT count(*) + {salt} AS n FROM rows, range({work}) t(i) WHERE hash(i) % 7 = id
outputs:
  quick:
    from: quick
    keep: 1
    checks: [{check}]
    rollback: {{when: check_failed_after_publish}}
    publish: {{parquet: published/quick}}
  slow:
    from: slow
    publish: {{parquet: published/slow}}
notify: [{{command: ["true"]}}, {{command: ["false"]}}]
"""

ISOLATED = """
version: 1
pipeline: isolated
sources:
  rows: {files: slow/*.csv, options: {header: true}, columns: {id: BIGINT}, partition: 1KiB}
stages:
  slow: {sql: "SELECT id, (SELECT count(*) FROM range(300000000) t(i) WHERE hash(i) % 7 = 3) AS n FROM rows"}
outputs:
  slow_ones: {from: slow, publish: {parquet: published/slow_ones}}
"""


def pipeline(work=10, salt=0, check="unique: [name]", timeout=""):
    write("p.yaml", PIPELINE.format(work=work, salt=salt, check=check, timeout=timeout))


def data(names):
    rows = "".join(f"{i},{name}\n" for i, name in enumerate(names.split()))
    write("data/a.csv", f"id,name\n{rows}nine,lives\n")


def seen():
    lines = tidegate("events", "--json", "--most", 100000, "--state", STATE, code=0).lines
    return lines


def while_slow(act):
    """Calls act(process, pid of its worker) once the slow stage runs."""
    process = start("run", "p.yaml", "--json", "--state", STATE, "--workers", 2)
    pids, output = {}, []
    for raw in process.stdout:
        output.append(raw)
        event = json.loads(raw)
        if event["event"] == "worker_started":
            pids[event["worker"]] = event["pid"]
        slot = event.get("worker") if event["event"] == "task_started" and event["stage"] == "slow" else None
        if slot is not None:
            while slot not in pids:  # a task may wait for its worker's greeting
                event = json.loads(process.stdout.readline())
                if event["event"] == "worker_started":
                    pids[event["worker"]] = event["pid"]
            act(process, pids[slot])
            break
    rest = process.stdout.read()
    process.stderr.read()
    return process.wait(), rest


LONG = 3_000_000_000

data("ann bob cat ann")
pipeline()
first = tidegate("run", "p.yaml", "--json", "--state", STATE, code=0)
# The bad row counts for the stage that sees the source whole as for the one that reads it in buckets.
counted = {e["output"]: e["failing"] for e in first.events("check_finished") if e["kind"] == "quarantine"}
expect(counted.get("slow") == 1, f"rows set aside of the source: {counted}")
# And it still counts when the results of those who counted are gone.
tidegate("gc", "--limit", "0B", "--state", STATE, code=0)
pipeline(check="expect: n > 0")
again = tidegate("run", "p.yaml", "--json", "--state", STATE, code=0)
recounted = {e["output"]: e["failing"] for e in again.events("check_finished") if e["kind"] == "quarantine"}
expect(recounted.get("quick") == counted.get("quick"), f"set aside: {counted}, after gc {recounted}")
# Only promises change: the standing bytes are audited again. Then one that they break.
pipeline(check="not_null: [name]")
tidegate("run", "p.yaml", "--state", STATE, code=0)
data("ann bob dan")
pipeline(check="accepted: {column: name, values: [ann]}")
for _ in range(2):  # its incident opens, and is added to
    tidegate("run", "p.yaml", "--state", STATE, code=4)
# A person settles what is set aside, once each way.
entry = tidegate("quarantine", "list", "--json", "--state", STATE, code=0).document["entries"][0]["entry"]
tidegate("quarantine", "drop", entry, "--why", "known", "--state", STATE, code=0)
tidegate("quarantine", "release", entry, "--state", STATE, code=0)
# Three generations with one old one kept; then back.
for names in ("ann bob dan", "eve"):
    data(names)
    pipeline()
    tidegate("run", "p.yaml", "--state", STATE, code=0)
tidegate("rollback", "quick", "--state", STATE, code=0)
tidegate("audit", "slow", "--state", STATE, code=0)
# A check that the standing rows break: back by rule.
data("zoe")
pipeline()
tidegate("run", "p.yaml", "--state", STATE, code=0)
pipeline(check="expect: n < 0")
for _ in range(2):
    tidegate("run", "p.yaml", "--state", STATE, code=4)

# A task above its time; a worker that is killed; a run that is interrupted.
pipeline(work=LONG, timeout="timeout: 200ms")
tidegate("run", "p.yaml", "--state", STATE, "--force", code=3)
pipeline(work=300_000_000)
while_slow(lambda process, pid: os.kill(pid, signal.SIGKILL))
pipeline(work=LONG)
code, _ = while_slow(lambda process, pid: process.send_signal(signal.SIGINT))
expect(code == 130, f"an interrupted run exits {code}")

# A worker that is killed over three tasks gets no more work for a while.
write("isolated.yaml", ISOLATED)
for number in range(6):
    write(f"slow/{number}.csv", "id\n" + f"{number}\n" * 600)  # a task each
process = start("run", "isolated.yaml", "--json", "--state", STATE, "--workers", 2)
pid, running, killed = None, None, set()  # of worker 0
for line in process.stdout:
    event = json.loads(line)
    if event["event"] == "worker_started" and event["worker"] == 0:
        pid = event["pid"]
    if event["event"] == "task_started" and event["worker"] == 0:
        running = event["identity"]
    if pid and running and running not in killed:
        killed.add(running)
        os.kill(pid, signal.SIGKILL)
        pid = running = None
    if event["event"] == "isolated":
        expect((event["rung"], event["index"]) == ("worker", 0) and "killed" in event["reason"], f"{event}")
        process.send_signal(signal.SIGINT)
process.stderr.read()
code = process.wait()
expect(code == 130 and len(killed) == 3, f"exit {code}, {len(killed)} tasks lost their worker")

# Results are dropped by gc, adopted when the journal is lost, and a damaged journal is salvaged.
pipeline(salt=1)
tidegate("run", "p.yaml", "--state", STATE, "--force", code=0)
before = seen()
os.unlink(f"{STATE}/journal.db")
pipeline(salt=2)
tidegate("run", "p.yaml", "--state", STATE, "--force", code=(0, 3))
tidegate("gc", "--limit", "0B", "--state", STATE, code=0)
before += seen()
with sqlite3.connect(f"{STATE}/journal.db") as database:
    database.execute("UPDATE events SET data = replace(data, 'quick', 'quack') WHERE sequence = "
                     "(SELECT max(sequence) - 2 FROM events)")
database.close()
pipeline(salt=3)
tidegate("run", "p.yaml", "--state", STATE, "--force")
events = before + seen()

text = open(PAGE, encoding="utf-8").read()
named = {}
for name, body in re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", text, re.M | re.S):
    as_in = re.search(r"[Ff]ields? (?:as|of) `(\w+)`|[Aa]s `(\w+)`", body) if "| field |" not in body else None
    named[name] = {field.rstrip("?") for field in re.findall(r"^\| (\w+\??) \|", body, re.M)} - {"field"}
    if as_in:
        named[name] |= named.get(as_in.group(1) or as_in.group(2), set())
emitted = {event["event"] for event in events}
missing = set(named) - emitted - NEVER
expect(not missing, f"never emitted here, but in docs/events.md: {sorted(missing)}")
unknown = emitted - set(named)
expect(not unknown, f"emitted, but not in docs/events.md: {sorted(unknown)}")
bad = {(e["event"], field) for e in events for field in e
       if field not in {"event", "time", "sequence", "run"} | named[e["event"]]}
expect(not bad, f"fields that docs/events.md does not name: {sorted(bad)}")
print(f"{len(events)} events of {len(emitted)} types")
