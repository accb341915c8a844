"""Each failure class provoked for real on real workers: what is done about it, the events, the words that a person reads, and
the same rows as an undisturbed run's. `faults.py [CASE...]`, in an empty directory."""
import glob
import os
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

TOP, STATE, OUTPUTS, FILES = os.getcwd(), "state", ["totals"], 6
PIPELINE = """version: 1
pipeline: faults
sources:
  sales: {{files: in/*.csv, columns: {{key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}, partition: 1KiB}}
defaults: {{memory: 256MiB}}
stages:
  clean:
    sql: SELECT key, grp, day, {amount} FROM sales WHERE amount >= 0{only}
{clean}
  totals:
    partition_by: [key]
    buckets: 2
    sql: SELECT key, CAST(sum(amount) AS BIGINT) AS amount, count(*) AS sales FROM clean GROUP BY key{having}
outputs:
  totals: {{from: totals, checks: [{{unique: [key]}}], publish: {{parquet: published/totals, compression: none}}}}
"""
SLOW = "CASE WHEN (SELECT count(*) FROM range({n}) r(i) WHERE i % 7 = 3) > 1 THEN amount END AS amount"


def pipeline(slow=0, clean="", having="", only=""):
    write("pipeline.yaml", PIPELINE.format(amount=SLOW.format(n=slow) if slow else "amount", clean=clean, having=having,
                                           only=only))


def make_input():
    for number in range(FILES):
        csv(f"in/{number}.csv", number, 400)


def run(*more, code=0, **named):
    return tidegate("run", "pipeline.yaml", "--json", "--state", STATE, "--workers", 2, *more, code=code, **named)


def undisturbed():
    """What an undisturbed run publishes, in a state directory that goes again."""
    run()
    rows = published(OUTPUTS, STATE)
    for path in (STATE, "published"):
        shutil.rmtree(path)
    return rows


def workers_of(pid):
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            stat = open(f"/proc/{name}/stat").read()
            if int(stat.rsplit(")", 1)[1].split()[1]) == pid and b"worker" in open(f"/proc/{name}/cmdline", "rb").read():
                found.append(int(name))
        except (OSError, IndexError):
            pass
    return found


class Running:
    """A run in the background, whose events are read as they come."""
    def __init__(self, *more, workers=2):
        self.process = start("run", "pipeline.yaml", "--json", "--state", STATE, "--workers", workers, *more)
        self.lines, self.pids = [], {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "worker_started":
                self.pids[event["worker"]] = event["pid"]
            self.lines.append(event)

    def events(self, kind):
        return [event for event in self.lines if event["event"] == kind]

    def end(self, code=0):
        self.process.wait(timeout=120)
        self.reader.join(timeout=20)
        said = self.process.stderr.read().decode(errors="replace")
        expect(self.process.returncode == code, f"wanted exit {code}, got {self.process.returncode}: {said}\n{self.lines[-5:]}")
        return said


def same_rows(rows, what):
    expect(published(OUTPUTS, STATE) == rows, f"{what}: other rows than undisturbed")
    expect(verdict("totals", STATE)["verdict"] == "TRUSTED", f"{what}: not trusted")


def killed_worker():
    """lost: SIGKILL from outside."""
    pipeline(slow=150_000_000)
    rows = undisturbed()
    running = Running()
    wait_until(lambda: len(running.pids) == 2, "workers")
    time.sleep(0.2)
    os.kill(running.pids[0], signal.SIGKILL)
    running.end()
    failures = running.events("task_failed")
    expect([f["code"] for f in failures] == ["worker.killed"] and failures[0]["class"] == "lost", failures)
    retries = running.events("task_retried")
    expect(len(retries) == 1 and retries[0]["class"] == "lost" and retries[0]["identity"] == failures[0]["identity"], retries)
    same_rows(rows, "a killed worker")
    said = tidegate("explain", failures[0]["identity"][:16], "--state", STATE, code=0).out
    expect("worker.killed" in said and "lost" in said, said)


def poison():
    """defect: a task that takes three workers along."""
    pipeline(slow=600_000_000)
    running = Running(workers=1)
    for _ in range(3):
        before = len(running.events("task_started"))
        wait_until(lambda: len(running.events("task_started")) >= max(before, 1) and workers_of(running.process.pid), "a task")
        first = running.events("task_started")[0]["identity"]
        wait_until(lambda: running.events("task_started")[-1]["identity"] == first, "the same task")
        time.sleep(0.3)
        for pid in workers_of(running.process.pid):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(running.events("worker_ended")) > _, "its end")
    running.process.send_signal(signal.SIGINT)
    running.process.wait(timeout=60)
    running.reader.join(timeout=20)
    codes = [event["code"] for event in running.events("task_failed")]
    expect("task.poison" in codes, f"{codes}")
    expect(not os.path.exists("published/totals/current"), "something was published")


def stopped_worker():
    """lost: SIGSTOP of the only worker."""
    pipeline(slow=60_000_000)
    rows = undisturbed()
    running = Running(workers=1)
    wait_until(lambda: running.pids, "a worker")
    time.sleep(0.1)
    os.kill(running.pids[0], signal.SIGSTOP)
    running.end()
    expect([f["code"] for f in running.events("task_failed")] == ["worker.stopped"], running.events("task_failed"))
    same_rows(rows, "a stopped worker")


def late_task():
    """timeout, before it comes to that: a task that does not move gets a second attempt, which wins."""
    # Its siblings are done well before it counts as standing still.
    pipeline(slow=50_000_000)
    rows = undisturbed()
    running = Running()
    wait_until(lambda: len(running.pids) == 2, "workers")
    time.sleep(0.1)
    os.kill(running.pids[0], signal.SIGSTOP)
    running.end()
    backups = [event for event in running.events("task_started") if event.get("backup")]
    stopped = [f["code"] for f in running.events("task_failed")]
    # The first attempt may be ended for standing still before the second one has won.
    expect(len(backups) == 1 and stopped in ([], ["worker.stopped"]) and not running.events("task_retried"),
           f"{backups} {stopped}")
    finished = [event["identity"] for event in running.events("task_finished")]
    expect(len(finished) == len(set(finished)), "a task has finished twice")
    same_rows(rows, "a late task")


def attempts_are_alike():
    """Two attempts at a task give the same bytes, so that it does not matter which of them wins: each task twice, under two
    names, beside other workers. A map output's first 256 bytes name its attempt."""
    def content(path):
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()[256 if path.endswith(".tgm") else 0:]).hexdigest()

    pipeline()
    said = []
    for workers in (1, 2):
        tidegate("run", "pipeline.yaml", "--json", "--state", STATE, "--workers", workers, code=0)
        said.append({(path.split(os.sep)[3], os.path.basename(path)): content(path)
                     for path in glob.glob(f"{STATE}/results/*/*/*/*") if not path.endswith("result.json")})
        attempts = {path.split(os.sep)[4] for path in glob.glob(f"{STATE}/results/*/*/*")}
        expect(len(attempts) > FILES, f"{attempts}")
        for path in (STATE, "published"):
            shutil.rmtree(path)
    expect(len(said[0]) >= FILES + 2 and said[0] == said[1], f"{said}")


def timeout():
    """timeout: a deadline in the contract."""
    pipeline(slow=4_000_000_000, clean="    timeout: 1s\n    retry: {timeout: 1}")
    answer = run(code=3)
    failures = answer.events("task_failed")
    expect({f["class"] for f in failures} == {"timeout"} and len(failures) >= 2, answer.told())
    expect("raise it" in answer.told(), answer.told())
    expect({e["class"] for e in answer.events("task_retried")} == {"timeout"}, answer.told())


def spoiled_results():
    """lost: map outputs that were changed, cut and deleted after they were made."""
    pipeline()
    run()
    first = published(OUTPUTS, STATE)
    pipeline(having=" HAVING count(*) > 0")
    rows = undisturbed()
    for what in ("changed", "cut", "deleted"):
        shutil.rmtree(STATE, ignore_errors=True)
        shutil.rmtree("published", ignore_errors=True)
        pipeline()
        run()
        expect(published(OUTPUTS, STATE) == first, "another first run")
        victim = sorted(glob.glob(f"{STATE}/results/*/*/*/*.tgm"))[0]
        os.chmod(victim, 0o644)
        size = os.path.getsize(victim)
        if what == "changed":
            with open(victim, "r+b") as file:
                file.seek(size // 3)
                byte = file.read(1)
                file.seek(size // 3)
                file.write(bytes([byte[0] ^ 0x55]))
        elif what == "cut":
            os.truncate(victim, size // 2)
        else:
            os.remove(victim)
        pipeline(having=" HAVING count(*) > 0")
        answer = run()
        lost = [f for f in answer.events("task_failed") if f["class"] == "lost"]
        expect(lost, f"{what}: nobody noticed: {answer.told()}")
        again = {e["identity"] for e in answer.events("task_finished")}
        expect(any(identity in victim for identity in again), f"{what}: its producer did not run again")
        same_rows(rows, what)


def source_replaced():
    """dependency: a source file that changes while it is read."""
    pipeline(slow=400_000_000)
    running = Running()
    wait_until(lambda: len(running.events("task_started")) >= 2, "tasks")
    time.sleep(0.2)
    csv("in/0.csv", 77, 400)
    csv("in/1.csv", 78, 400)
    running.end(code=3)
    expect({f["code"] for f in running.events("task_failed")} == {"source.changed"}, running.events("task_failed"))
    pipeline()
    run()
    rows = published(OUTPUTS, STATE)
    shutil.rmtree(STATE)
    shutil.rmtree("published")
    run()
    same_rows(rows, "after the change")


def many_conductors():
    """One state directory, 64 conductors at once: one runs, the others are told who."""
    pipeline(slow=20_000_000)
    rows = undisturbed()
    all_of_them = [start("run", "pipeline.yaml", "--quiet", "--state", STATE, "--workers", 2) for _ in range(64)]
    answers = [finish(process) for process in all_of_them]
    codes = sorted(answer.code for answer in answers)
    refused = [answer for answer in answers if answer.code != 0]
    expect(codes.count(0) >= 1 and set(codes) <= {0, 2}, f"{codes}")
    expect(all("state.locked" in answer.err for answer in refused), refused and refused[0].told())
    same_rows(rows, "64 conductors")


def clock_set_back():
    """The verdict says that the clock is not to be believed; the rows stand."""
    pipeline()
    for number in range(FILES):
        os.rename(f"in/{number}.csv", f"in/day=2001-03-0{number + 1}.csv")
    text = open("pipeline.yaml").read()
    text = text.replace("files: in/*.csv,", 'files: "in/day=*.csv", event_time: day, arrives: {every: 1d, path: "day={date}"},')
    write("pipeline.yaml", text.replace("{from: totals,", "{from: totals, freshness: {max_age: 36500d},"))
    run()
    rows = published(OUTPUTS, STATE)
    expect(verdict("totals", STATE)["verdict"] == "TRUSTED", verdict("totals", STATE))
    back = ("faketime", "-f", "-3d")
    said = tidegate("trust", "--json", "--state", STATE, "totals", code=5, prefix=back).document["outputs"][0]
    expect(said["verdict"] == "UNKNOWN" and any("clock" in r["message"] for r in said["reasons"]), f"{said}")
    csv("in/day=2001-03-01.csv", 95, 400)
    run(prefix=back)
    expect(published(OUTPUTS, STATE) != rows, "the changed file was not read")
    rows = published(OUTPUTS, STATE)
    shutil.rmtree(STATE)
    shutil.rmtree("published")
    run()
    same_rows(rows, "a clock that was set back")


def incident():
    """An output that is refused opens an incident, and its repair closes it."""
    pipeline()
    run()
    expect(tidegate("incidents", "--json", "--state", STATE, code=0).document == {"incidents": []}, "an incident from nothing")
    csv("in/0.csv", 91, 400)
    text = open("pipeline.yaml").read()
    write("pipeline.yaml", text.replace("{unique: [key]}", "{rows: {max: 3}}"))
    run(code=4)
    run(code=4)
    open_ones = tidegate("incidents", "--json", "--state", STATE, code=0).document["incidents"]
    expect(len(open_ones) == 1 and open_ones[0]["state"] == "open" and open_ones[0]["code"] == "check.failed", open_ones)
    said = verdict("totals", STATE)
    expect(said["verdict"] == "DEGRADED" and any("incident 1" in r["message"] for r in said["reasons"]), said)
    write("pipeline.yaml", text)
    run()
    expect(verdict("totals", STATE)["verdict"] == "TRUSTED", verdict("totals", STATE))
    closed = tidegate("incidents", "--all", "--json", "--state", STATE, code=0).document["incidents"]
    expect(len(closed) == 1 and closed[0]["state"] == "closed" and closed[0]["repair_us"] > 0, closed)
    story = tidegate("incident", "1", "--json", "--state", STATE, code=0).document
    kinds = [event["event"] for event in story["events"]]
    expect(kinds.count("incident_opened") == 1 and kinds.count("incident_added") == 1 and kinds[-1] == "incident_closed"
           and "output_published" in kinds and kinds.count("output_refused") == 2, kinds)
    tidegate("incident", "7", "--state", STATE, code=2)


for case in (killed_worker, poison, stopped_worker, late_task, attempts_are_alike, timeout, spoiled_results, source_replaced, many_conductors,
             clock_set_back, incident):
    if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
        continue
    os.makedirs(f"{TOP}/{case.__name__}")
    os.chdir(f"{TOP}/{case.__name__}")
    make_input()
    began = time.monotonic()
    try:
        case()
    except SystemExit:
        print(f"in {case.__name__}", file=sys.stderr)
        raise
    print(f"{case.__name__}: {time.monotonic() - began:.1f} s")
    os.chdir(TOP)
    shutil.rmtree(f"{TOP}/{case.__name__}")
