"""memory.py TIDEGATE [CASE...]: stages that allocate without end, while /proc is watched."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

TIDEGATE = sys.argv[1]
MIB = 1 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
SAMPLE_S = 0.002
# What a process may be seen above its bound: what it allocates between two looks of the conductor.
SLACK = 32 * MIB
BOUND = 256

# Each is the SQL of a stage of one task over `t`, one row. Ends as class memory unless said otherwise.
RUNAWAY = {
    "quantile": "SELECT quantile_cont(i, 0.5) AS x FROM t, range(200000000) r(i)",
    "quantile_of_strings": "SELECT quantile_disc(i::VARCHAR || 'abcdefghijklmnop', 0.5) AS x FROM t, range(50000000) r(i)",
    "list": "SELECT len(list(i)) AS x FROM t, range(300000000) r(i)",
    "string_agg": "SELECT length(string_agg(i::VARCHAR, ',')) AS x FROM t, range(200000000) r(i)",
    "repeat": "SELECT length(repeat('x', v * 1000000000)) AS x FROM t",
    "repeat_constant": "SELECT length(repeat('x', 1000000000)) AS x FROM t",
    "repeat_chain": "SELECT length(replace(repeat(repeat('x', v * 1000), 1000000), 'x', 'yy')) AS x FROM t",
    "histogram": "SELECT cardinality(histogram(i)) AS x FROM t, range(100000000) r(i)",
    "mode": "SELECT mode(i) AS x FROM t, range(100000000) r(i)",
    "list_of_range": "SELECT len(range(v * 1000000000)) AS x FROM t",
    "nested_lists": "SELECT len(list_transform(range(v * 200000000), lambda x: x::VARCHAR)) AS x FROM t",
    "map": "SELECT cardinality(map(range(v * 50000000), range(v * 50000000))) AS x FROM t",
    "wide_rows": "SELECT repeat('x', 20000000) || i AS x FROM t, range(100) r(i)",
    "window_of_lists": "SELECT max(len(l)) AS x FROM (SELECT list(i) OVER (ORDER BY i ROWS BETWEEN 100000 PRECEDING AND CURRENT ROW) AS l FROM t, range(1000000) r(i))",
}
# These are larger than the bound too, but can be done in pieces, by DuckDB or by a kernel.
SPILLS = {
    "group_by_lists": "SELECT sum(len(l)) AS x FROM (SELECT i % 1000 AS g, list(i) AS l FROM t, range(40000000) r(i) GROUP BY 1)",
    "sort": "SELECT i FROM t, range(30000000) r(i) ORDER BY hash(i) LIMIT 30000000 OFFSET 29999990",
    "group_by": "SELECT count(*) AS x FROM (SELECT i * 7 AS g, count(*) AS n FROM t, range(20000000) r(i) GROUP BY 1)",
    "window": "SELECT max(s) + max(n) + max(c) AS x FROM (SELECT sum(i) OVER w AS s, lead(i, 3000000) OVER w AS n, cume_dist() OVER w AS c FROM t, range(8000000) r(i) WINDOW w AS (PARTITION BY i % 2 ORDER BY hash(i), i))",
}

PIPELINE = """version: 1
pipeline: p
sources:
  t:
    files: in.csv
    options: {header: true}
    columns: {v: BIGINT}
%(source)sdefaults:
  memory: %(bound)dMiB
  retry: {memory: fail}
stages:
  good:
    sql: SELECT v + 1 AS v FROM t
  bad:
    partition_by: all
    sql: |
      %(sql)s
outputs:
  fine: {from: good, publish: [{parquet: published/fine}]}
  broken: {from: bad, publish: [{parquet: published/broken}]}
"""


class Watch(threading.Thread):
    """Looks at every worker of a conductor, keeps the largest of each."""

    def __init__(self, pid):
        super().__init__()
        self.pid, self.peak, self.most, self.together, self.looks = pid, {}, 0, 0, 0
        self.stopped = threading.Event()

    def run(self):
        while not self.stopped.wait(SAMPLE_S):
            try:
                with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
                    children = file.read().split()
            except OSError:
                continue
            total = 0
            for child in children:
                try:
                    with open(f"/proc/{child}/statm") as file:
                        _, resident, shared = (int(word) for word in file.read().split()[:3])
                except (OSError, ValueError):
                    continue
                size = (resident - shared) * PAGE
                total += size
                self.peak[child] = max(self.peak.get(child, 0), size)
            self.looks += 1
            self.together = max(self.together, total)
            self.most = max(self.most, len(children))

    def stop(self):
        self.stopped.set()
        self.join()
        return max(self.peak.values(), default=0)


def fresh(name):
    os.makedirs(name)
    os.chdir(name)
    with open("in.csv", "w") as file:
        file.write("v\n1\n")


def write_pipeline(sql, bound=BOUND, source=""):
    with open("p.yaml", "w") as file:
        file.write(PIPELINE % {"sql": sql.replace("\n", " "), "bound": bound, "source": source})


def run(*arguments, timeout=60):
    """Exit code, events and the largest worker."""
    with open("events", "w") as out, open("talk", "w") as talk:
        process = subprocess.Popen([TIDEGATE, "run", "p.yaml", "--json", *arguments], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=talk)
        watch = Watch(process.pid)
        watch.start()
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            peak = watch.stop()
    with open("events") as file:
        events = [json.loads(line) for line in file]
    return code, events, peak, watch


def check(good, *words):
    if not good:
        with open("talk") as file:
            print(*words, "\n", file.read(), file=sys.stderr)
        sys.exit(f"FAIL: {' '.join(str(word) for word in words)}")


def field(event, name):
    return event.get(name, event.get("data", {}).get(name))


def runaway(name, sql):
    write_pipeline(sql)
    check(subprocess.run([TIDEGATE, "check", "p.yaml"], stdout=subprocess.DEVNULL).returncode == 0, name, "check")
    start = time.monotonic()
    code, events, peak, watch = run("--workers", "2")
    seconds = time.monotonic() - start
    failed = [event for event in events if event.get("event") == "task_failed"]
    print(f"{name}: exit {code}, {peak / MIB:.0f} MiB at most, {seconds:.1f} s, {watch.looks} looks,",
          [(field(e, "class"), field(e, "code")) for e in failed], flush=True)
    check(code == 3, name, "exits", code)
    check(failed and all(field(event, "class") == "memory" for event in failed), name, "ends as", failed)
    message = field(failed[-1], "message")
    check("`memory`" in message and f"{BOUND} MiB" in message, name, "does not say what to change:", message)
    check(peak <= BOUND * MIB + SLACK, name, "was seen at", peak // MIB, "MiB")
    check(os.path.exists("published/fine/current"), name, "the other output is not published")
    check(not os.path.exists("published/broken/current"), name, "the broken output is published")
    left = os.listdir(".tidegate/spill")
    check(left == [], name, "left in spill/:", left)


def spills(name, sql):
    write_pipeline(sql)
    code, events, peak, _ = run("--workers", "2")
    last = events[-1]
    print(f"{name}: exit {code}, {peak / MIB:.0f} MiB at most, {last['bytes']['spilled'] // MIB} MiB spilled", flush=True)
    check(code == 0, name, "exits", code)
    check(last["bytes"]["spilled"] > 0, name, "did not spill")
    check(peak <= BOUND * MIB + SLACK, name, "was seen at", peak // MIB, "MiB")
    check(last["peak_rss"] <= BOUND * MIB + SLACK, name, "says of itself", last["peak_rss"] // MIB, "MiB")


def huge_value(name, source, write_file):
    """A value of 1 GB: refused as data, or ended as memory, at any rate in bounds and in words."""
    write_file()
    with open("p.yaml", "w") as file:
        file.write(source)
    code, events, peak, _ = run("--workers", "2")
    failed = [event for event in events if event.get("event") == "task_failed"]
    with open("talk") as file:
        talk = file.read()
    kinds = sorted({field(event, "class") for event in failed})
    print(f"{name}: exit {code}, {peak / MIB:.0f} MiB at most, {kinds} {talk.strip()[:300]!r}", flush=True)
    check(code in (2, 3), name, "exits", code)
    check(not set(kinds) - {"memory", "data"}, name, "ends as", kinds)
    check(kinds or "max_line_size" in talk, name, "says nothing")
    check(peak <= BOUND * MIB + SLACK, name, "was seen at", peak // MIB, "MiB")


def big(head, tail, path):
    def write():
        block = b"x" * MIB
        with open(path, "wb") as file:
            file.write(head)
            for _ in range(1000):
                file.write(block)
            file.write(tail)
    return write


def parquet_value():
    """The same in a Parquet file, which is small: what was published before stands."""
    make = "import sys; from duckdb_library import DuckDB; DuckDB().run(sys.argv[1])"

    def write(bytes_):
        sql = f"COPY (SELECT repeat('x', {bytes_}) AS v) TO 'in.parquet' (COMPRESSION lz4)"
        subprocess.run([sys.executable, "-B", "-c", make, sql], check=True,
                       env={**os.environ, "PYTHONPATH": os.path.join(os.environ["TIDEGATE_SOURCE"], "tests")})

    write(10)
    with open("p.yaml", "w") as file:
        file.write(source_of("in.parquet", ""))
    code, events, _, _ = run("--workers", "2")
    check(code == 0, "parquet_value: the first run exits", code)
    before = os.readlink("published/o/current")
    write(1000000000)
    start = time.monotonic()
    code, events, peak, _ = run("--workers", "2")
    seconds = time.monotonic() - start
    failed = [event for event in events if event.get("event") == "task_failed"]
    print(f"parquet_value: exit {code}, {peak / MIB:.0f} MiB at most, {seconds:.1f} s", flush=True)
    check(code == 3, "parquet_value: exits", code)
    check(failed and all(field(event, "class") == "memory" for event in failed), "parquet_value: ends as", failed)
    check("`memory`" in field(failed[-1], "message"), "parquet_value: does not say what to change:", failed)
    check(peak <= BOUND * MIB + SLACK, "parquet_value: was seen at", peak // MIB, "MiB")
    check(os.readlink("published/o/current") == before, "parquet_value: the old generation does not stand")


def source_of(path, fields):
    return f"""version: 1
pipeline: p
sources:
  t:
    files: {path}
{fields}defaults:
  memory: {BOUND}MiB
  retry: {{memory: fail}}
stages:
  s:
    sql: SELECT length(v) AS n FROM t
outputs:
  o: {{from: s, publish: [{{parquet: published/o}}]}}
"""


def many_workers():
    """--memory is never exceeded by workers x bound, and a host too small is refused."""
    os.makedirs("in")
    for i in range(12):
        with open(f"in/{i:02}.csv", "w") as file:
            file.write("v\n" + "\n".join(str(n) for n in range(1000)) + "\n")
    with open("p.yaml", "w") as file:
        file.write(f"""version: 1
pipeline: p
sources:
  t:
    files: in/*.csv
    options: {{header: true}}
    columns: {{v: BIGINT}}
defaults:
  memory: {BOUND}MiB
stages:
  a:
    partition_by: all
    sql: SELECT sum(v) AS v FROM t
outputs:
  o: {{from: a, publish: [{{parquet: published/o}}]}}
""")
    code, events, _, watch = run("--workers", "8", "--memory", f"{BOUND * 3}MiB")
    check(code == 0, "many workers: exits", code)
    started = [event for event in events if event.get("event") == "run_started"][0]
    check(field(started, "workers") == 3, "workers x bound above --memory:", started)
    check(watch.most <= 3, "seen at one moment:", watch.most, "workers")
    print(f"workers: {watch.most} at most, {watch.together / MIB:.0f} MiB together", flush=True)
    code, events, _, watch = run("--memory", f"{BOUND - 1}MiB")
    with open("talk") as file:
        talk = file.read()
    check(code == 2 and "--memory" in talk, "a host below one bound: exit", code, talk)
    check(watch.most == 0, "a worker was started on a host that is too small")


def interrupt(name, sql):
    """One Ctrl-C ends a call that DuckDB cannot interrupt, within a second."""
    write_pipeline(sql, bound=4096)
    with open("events", "w") as out, open("talk", "w") as talk:
        process = subprocess.Popen([TIDEGATE, "run", "p.yaml", "--json", "--workers", "2", "--memory", "8GiB"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=talk)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with open("events") as file:
                if any('"task_started"' in line and '"bad"' in line for line in file):
                    break
            time.sleep(0.02)
        time.sleep(0.5)
        check(process.poll() is None, name, "was over before the Ctrl-C")
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            workers = file.read().split()
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
        seconds = time.monotonic() - start
    print(f"{name}: exit {code} {seconds * 1000:.0f} ms after the signal", flush=True)
    check(code == 130, name, "exits", code)
    check(seconds < 1, name, "took", seconds, "s to stop")
    check(not any(os.path.exists(f"/proc/{worker}") for worker in workers), name, "a worker lives on")


def groups(pid):
    """Memory cgroups of a conductor: v1 or v2, wherever ours is."""
    found = []
    with open("/proc/self/cgroup") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            base = "/sys/fs/cgroup" + ("/memory" if "memory" in names.split(",") else "") + path
            if names in ("", "memory") and os.path.isdir(base):
                found += [f"{base}/{name}" for name in os.listdir(base) if name.startswith(f"tidegate-{pid}-")]
    return found


def outer_wall():
    """Each worker is in a cgroup of its own where that may be made, and none is left behind."""
    write_pipeline("SELECT sum(hash(i)) AS x FROM t, range(2000000000) r(i)")
    with open("events", "w") as out, open("talk", "w") as talk:
        process = subprocess.Popen([TIDEGATE, "run", "p.yaml", "--json", "--workers", "2", "--cgroup"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=talk)
        time.sleep(1)
        here = groups(process.pid)
        process.send_signal(signal.SIGINT)
        code = process.wait(30)
    with open("talk") as file:
        unavailable = "engine.no_cgroup" in file.read()
    if not unavailable:
        check(code == 130, "outer_wall: exits", code)
    check(groups(process.pid) == [], "left behind:", groups(process.pid))
    print(f"outer_wall: {len(here)} cgroups" if here else "outer_wall: no memory controller may be written here", flush=True)
    check(len(here) == (0 if unavailable else 2), "cgroups of two workers:", here)


def main():
    here = os.getcwd()
    cases = [(name, lambda name=name, sql=sql: runaway(name, sql)) for name, sql in RUNAWAY.items()]
    cases += [(name, lambda name=name, sql=sql: spills(name, sql)) for name, sql in SPILLS.items()]
    csv = "    options: {header: true%s}\n    columns: {v: VARCHAR}\n"
    jsn = "    columns: {v: VARCHAR}\n%s"
    cases += [
        ("csv_value", lambda: huge_value("csv_value", source_of("in.csv", csv % ""), big(b"v\n", b"\n", "in.csv"))),
        ("csv_value_allowed", lambda: huge_value("csv_value_allowed", source_of("in.csv", csv % ", max_line_size: 2000000000"),
                                                 big(b"v\n", b"\n", "in.csv"))),
        ("json_value", lambda: huge_value("json_value", source_of("in.json", jsn % ""),
                                          big(b'{"v":"', b'"}\n', "in.json"))),
        ("json_value_allowed", lambda: huge_value("json_value_allowed",
                                                  source_of("in.json", jsn % "    options: {maximum_object_size: 2000000000}\n"),
                                                  big(b'{"v":"', b'"}\n', "in.json"))),
        ("parquet_value", parquet_value),
        ("workers", many_workers),
        ("outer_wall", outer_wall),
        ("interrupt_repeat", lambda: interrupt("interrupt_repeat",
         "SELECT length(replace(replace(repeat('x', 1000000000), 'x', 'y'), 'y', 'z')) AS x FROM t")),
        ("interrupt_regexp", lambda: interrupt("interrupt_regexp",
         "SELECT length(regexp_replace(repeat('x', 1000000000), '[wx]', 'y', 'g')) AS x FROM t")),
        ("interrupt_cross_join", lambda: interrupt("interrupt_cross_join",
         "SELECT sum(hash(i + j)) AS x FROM t, range(10000000) r(i), range(10000000) s(j)")),
    ]
    wanted = sys.argv[2:]
    for name, case in cases:
        if wanted and name not in wanted:
            continue
        os.chdir(here)
        fresh(name)
        case()
        os.chdir(here)
        subprocess.run(["chmod", "-R", "u+w", name], check=True)
        subprocess.run(["rm", "-rf", name], check=True)


main()
