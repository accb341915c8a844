"""simulate.py: `tidegate simulate` over a pipeline of 50 tasks and a small one whose outputs are published together. RUNS
(20,000) are made in all, spread over the profiles; SEED is the first seed. In an empty directory."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import csv, expect, tidegate, write  # noqa: E402

RUNS = int(os.environ.get("RUNS") or 20_000)
SEED = int(os.environ.get("SEED") or 1)
PROFILES = ["workers", "hosts", "results", "disk", "crashes", "rivals", "clock", "checks", "all"]
PIPELINE = """version: 1
pipeline: simulated
sources:
  sales: {files: in/*.csv, columns: {key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}, partition: 1KiB}
stages:
  clean: {sql: "SELECT key, grp, day, amount FROM sales WHERE amount >= 0"}
  by_key:
    partition_by: [key]
    buckets: 16
    sql: SELECT key, day, count(*) AS sales, CAST(sum(amount) AS BIGINT) AS amount FROM clean GROUP BY ALL
  by_day:
    partition_by: [day]
    buckets: 10
    sql: SELECT day, CAST(sum(amount) AS BIGINT) AS amount FROM by_key GROUP BY day
outputs:
  by_key: {from: by_key, checks: [{rows: {min: 1}}], publish: {parquet: published/by_key}}
  by_day: {from: by_day, checks: [{unique: [day]}], publish: {parquet: published/by_day}}
"""
SMALL = PIPELINE.replace("buckets: 16", "buckets: 3").replace("buckets: 10", "buckets: 2").replace("in/*.csv", '"in/0[0-2].csv"')
TOGETHER = SMALL.replace("outputs:", "publish_together: true\noutputs:")


def simulate(pipeline, *more, code=0):
    return json.loads(tidegate("simulate", pipeline, "--json", *more, code=code, timeout=280).out)


write("pipeline.yaml", PIPELINE)
write("together.yaml", TOGETHER)
for number in range(24):
    csv(f"in/{number:02}.csv", number, 100)
runs = events = 0
seconds, faults, failures = 0.0, {}, {}
for pipeline, share in (("pipeline.yaml", 0.7), ("together.yaml", 0.3)):
    for profile in PROFILES:
        said = simulate(pipeline, "--faults", profile, "--seeds", f"{SEED}..{SEED + 9}")
        each = said["runs"] / said["seeds"]
        seeds = max(10, round(RUNS * share / len(PROFILES) / each))
        said = simulate(pipeline, "--faults", profile, "--seeds", f"{SEED}..{SEED + seeds - 1}")
        expect(not said["failing"], f"{pipeline} {profile}: {said['failing']}")
        runs, events, seconds = runs + said["runs"], events + said["events"], seconds + said["seconds"]
        for total, part in ((faults, said["faults"]), (failures, said["failures"])):
            for name, count in part.items():
                total[name] = total.get(name, 0) + count
        print(f"{pipeline} {profile}: seeds {SEED}..{SEED + seeds - 1}, {said['runs']} runs, {said['runs'] / said['seconds']:.0f} runs/s")
expect(runs >= RUNS * 0.9, f"{runs} runs")
never = [name for name, count in faults.items() if count == 0]
expect(not never, f"these faults never happened: {never}")
print(f"{runs} runs, {events} events, {runs / seconds:.0f} runs/s, {events / seconds:.0f} events/s")
print("faults: " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items())))
print("failures by class: " + ", ".join(f"{name} {count}" for name, count in sorted(failures.items())))

once, again = (
    tidegate("simulate", "pipeline.yaml", "--seeds", "7", "--trace", "--faults", "all", code=0).out.rsplit("\n1 seeds", 1)[0].split("\n")
    for _ in range(2)
)
apart = next((i for i in range(max(len(once), len(again))) if once[i : i + 1] != again[i : i + 1]), None)
expect(apart is None, f"a seed gave two worlds, from line {apart} on: {once[apart or 0:][:3]} and {again[apart or 0:][:3]}")
expect(all(any(event in line for line in once) for event in ("run_started", "output_published")), once[:20])
for wrong in (("--seeds", "9..3"), ("--seeds", "x"), ("--faults", "everything"), ("--faults", "worker_dies=2")):
    tidegate("simulate", "pipeline.yaml", *wrong, code=2)
