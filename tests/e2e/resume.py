"""kill -9 at random moments of a short run: the same command then publishes byte for byte what an undisturbed run
publishes, what was finished is never run again, and nothing is ever torn on the way."""
import json
import os
import random
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

KILLS = int(os.environ.get("KILLS", "200"))
SEED = int(os.environ.get("SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
OUTPUTS = ["by_key", "by_day", "days"]
STATE = os.path.abspath("state")
PIPELINE = """version: 1
pipeline: resume
sources:
  sales:
    files: in/sales-*.csv
    columns: {key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}
    partition: 1KiB
  groups:
    files: in/groups.csv
    columns: {grp: VARCHAR, title: VARCHAR}
defaults: {memory: 256MiB}
stages:
  clean:
    sql: SELECT key, grp, day, amount FROM sales WHERE amount >= 0
  key_day:
    partition_by: [key]
    buckets: 4
    sql: SELECT key, grp, day, count(*) AS sales, CAST(sum(amount) AS BIGINT) AS amount FROM clean GROUP BY ALL
  by_key:
    partition_by: [key]
    buckets: 4
    broadcast: [groups]
    sql: |
      SELECT k.key, g.title, CAST(sum(k.sales) AS BIGINT) AS sales, CAST(sum(k.amount) AS BIGINT) AS amount
      FROM key_day k LEFT JOIN groups g ON k.grp = g.grp GROUP BY ALL
  by_day:
    partition_by: [day]
    buckets: 3
    sql: SELECT day, CAST(sum(amount) AS BIGINT) AS amount, count(*) AS keys FROM key_day GROUP BY day
outputs:
  by_key:
    from: by_key
    checks: [{unique: [key, title]}, {not_null: [key, title]}]
    publish: {parquet: published/by_key}
  by_day:
    from: by_day
    checks: [{unique: [day]}]
    publish: {parquet: published/by_day}
  days:
    from: key_day
    publish: {parquet: published/days, by: [day]}
"""


def make_input(variant):
    shutil.rmtree("in", ignore_errors=True)
    for part in range(5):
        csv(f"in/sales-{part}.csv", variant * 100 + part, 400)
    write("in/groups.csv", "grp,title\n" + "".join(f"g{g},title {g} of {variant}\n" for g in range(7)))
    old = time.time() - 3600
    for name in os.listdir("in"):
        os.utime(f"in/{name}", (old, old))


def clean():
    shutil.rmtree(STATE, ignore_errors=True)
    shutil.rmtree("published", ignore_errors=True)


def command():
    return ["run", "pipeline.yaml", "--json", "--workers", 2, "--state", STATE]


class Watch(threading.Thread):
    """Reads a run's events as they come."""
    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.text, self.pids = process, [], {}

    def run(self):
        for line in self.process.stdout:
            self.text.append(line.decode(errors="replace"))
            if b'"worker_started"' in line:
                event = json.loads(line)
                self.pids[event["worker"]] = event["pid"]

    def answer(self):
        self.process.wait(timeout=120)
        self.join(timeout=20)
        return Answer(self.process.returncode, "".join(self.text), self.process.stderr.read().decode(errors="replace"))


def check_consistent(where, allowed):
    """Whatever a kill leaves: what stands is whole, and is one of `allowed`; no verdict says otherwise."""
    if not os.path.exists(os.path.join(STATE, "version")):
        return
    answer = tidegate("trust", "--json", "--state", STATE)
    if answer.code == 2:
        expect("journal" in answer.err or "state" in answer.err, f"{where}: trust: {answer.told()}")
        said = {}
    else:
        expect(answer.code in (0, 5), f"{where}: trust: {answer.told()}")
        said = {o["output"]: o for o in answer.document["outputs"]}
    for output in OUTPUTS:
        link = f"published/{output}/current"
        if os.path.lexists(link):
            expect(parts(link) in [a[output] for a in allowed], f"{where}: current of {output} is torn")
            expect(os.path.exists(f"{link}/manifest.json"), f"{where}: current of {output} has no manifest")
        standing = generation(output, STATE)
        if standing is None:
            expect(output not in said or said[output]["verdict"] != "TRUSTED", f"{where}: {output} trusted, but nothing stands")
            continue
        expect(parts(standing[1]) in [a[output] for a in allowed], f"{where}: {output} stands torn in {standing}")
        if output in said and said[output]["verdict"] == "TRUSTED":
            expect(said[output]["generation"] == standing[0], f"{where}: {output}: trusted {said[output]}, but {standing} stands")


print(f"seed {SEED}: SEED={SEED} does this again, KILLS={KILLS}")
draw = random.Random(SEED)
write("pipeline.yaml", PIPELINE)

# Undisturbed runs of two inputs: what is published, and how long it takes.
reference, tasks, seconds = {}, {}, 60
for variant in (1, 2):
    make_input(variant)
    shutil.copytree("in", f"in-{variant}", copy_function=shutil.copy2)
    clean()
    began = time.monotonic()
    answer = tidegate(*command(), code=0)
    seconds = min(seconds, time.monotonic() - began)
    reference[variant] = published(OUTPUTS, STATE)
    tasks[variant] = answer.last["tasks"]["ran"]
    expect(answer.last["tasks"]["reused"] == 0, answer.told())
    clean()
    tidegate(*command(), code=0)
    expect(published(OUTPUTS, STATE) == reference[variant], "two undisturbed runs differ")
expect(reference[1] != reference[2], "the two inputs give the same")
expect(tasks[1] == tasks[2] and tasks[1] >= 10, f"tasks: {tasks}")
total = tasks[1]
print(f"an undisturbed run: {total} tasks, {seconds:.2f} s")


def use_input(variant):
    """The files themselves change, so that every run sees inodes of its own."""
    shutil.rmtree("in", ignore_errors=True)
    shutil.copytree(f"in-{variant}", "in", copy_function=shutil.copy2)


killed_conductors = killed_workers = adopted = rerun = over_old = late = 0
began = time.monotonic()
for round_ in range(KILLS):
    where = f"seed {SEED}, kill {round_}"
    clean()
    allowed = [reference[2]]
    if draw.random() < 0.3:  # an old generation stands
        use_input(1)
        tidegate(*command(), code=0)
        allowed.append(reference[1])
        over_old += 1
    use_input(2)
    before = results(STATE)
    process = start(*command())
    watch = Watch(process)
    watch.start()
    moment = draw.uniform(0.0, seconds * 1.05)
    if draw.random() < 0.3:
        victim = draw.randrange(2)
        wait_until(lambda: len(watch.pids) == 2 or process.poll() is not None, "the workers", 60)
        time.sleep(moment * 0.8)
        if process.poll() is None:
            try:
                os.kill(watch.pids[victim], signal.SIGKILL)
                killed_workers += 1
            except (ProcessLookupError, KeyError):
                pass
        answer = watch.answer()
        expect(answer.code == 0, f"{where}: a killed worker failed the run: {answer.told()}")
        failures = answer.events("task_failed")
        expect(all(f["class"] == "lost" for f in failures), f"{where}: {failures}")
        expect(len(failures) <= 1, f"{where}: one worker killed, failed: {failures}")
        expect(answer.last["tasks"]["retried"] == len(failures), f"{where}: {answer.last}")
        expect(answer.last["tasks"]["ran"] == total, f"{where}: {answer.last}")
        check_consistent(where, [reference[2]])
    else:
        time.sleep(moment)
        kills = 2 if draw.random() < 0.2 else 1
        for again in range(kills):
            if again:
                process = start(*command())
                watch = Watch(process)
                watch.start()
                time.sleep(draw.uniform(0.0, seconds))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                killed_conductors += 1
            answer = watch.answer()
            expect(answer.code in (-signal.SIGKILL, 0), f"{where}: {answer.told()}")
            late += answer.code == 0
            if draw.random() < 0.8:  # else the next run comes while its workers may still die
                wait_until(lambda: not any(map(alive, watch.pids.values())), "orphaned workers to end")
            check_consistent(f"{where}, after it", allowed)
    # The same command.
    finished = {e["identity"] for e in answer.events("task_finished", "task_adopted")}
    on_disk = results(STATE) - before
    expect(finished <= on_disk, f"{where}: results of finished tasks are not there: {finished - on_disk}")
    still = any(map(alive, watch.pids.values()))
    resumed = tidegate(*command(), code=0)
    again = {e["identity"] for e in resumed.events("task_started")}
    expect(not again & finished, f"{where}: ran again though finished: {again & finished}")
    expect(not again & on_disk, f"{where}: ran again though its result was there: {again & on_disk}")
    ran, reused = resumed.last["tasks"]["ran"], resumed.last["tasks"]["reused"]
    expect(ran + reused == total, f"{where}: {ran} ran, {reused} reused, of {total}")
    if not still:
        expect(ran == total - len(on_disk), f"{where}: {ran} ran, but {len(on_disk)} of {total} were finished")
    adopted += len(resumed.events("task_adopted"))
    rerun += ran
    expect(published(OUTPUTS, STATE) == reference[2], f"{where}: differs from an undisturbed run")
    said = verdicts(STATE)
    expect(all(said[o]["verdict"] == "TRUSTED" for o in OUTPUTS), f"{where}: {said}")
    spill = os.listdir(os.path.join(STATE, "spill"))
    expect(not spill or still, f"{where}: left in spill: {spill}")
    for output in OUTPUTS:
        kept = [g for g in os.listdir(f"published/{output}/gen")]
        expect(len(kept) <= len(allowed), f"{where}: generations of {output}: {kept}")

print(f"{killed_conductors} conductors and {killed_workers} workers killed, {late} runs were done before; {over_old} over an "
      f"old generation; {rerun} tasks run again, {adopted} adopted; {time.monotonic() - began:.0f} s")
expect(KILLS < 50 or (killed_conductors > KILLS // 4 and killed_workers > KILLS // 20), "too few kills came in time")

# Rows that were set aside by a task whose events were lost with its conductor are told by the run that adopts it.
clean()
use_input(2)
with open("in/sales-0.csv", "a") as file:
    file.write("k1,g1,2001-03-01,many\n")
write("pipeline.yaml", PIPELINE.replace("    partition: 1KiB\n", "    partition: 1KiB\n    retry: {data: {quarantine: 5%}}\n"))
process = start("run", "pipeline.yaml", "--json", "--workers", 1, "--state", STATE)
for line in process.stdout:
    if b'"task_finished"' in line:
        break
process.kill()
finish(process)
tidegate(*command(), code=0)
told = journal(STATE, "--type", "rows_quarantined")
expect([(e["source"], e["rows"]) for e in told] == [("sales", 1)], f"rows set aside: {told}")
