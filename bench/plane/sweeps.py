"""The figures over tidegate itself: what happens to its time and memory when one thing is varied."""

import json
import os
import shutil
import subprocess
import threading
import time

from plane import queries
from plane.data import CHANGED, FILES
from plane.engines import DUCKDB, TIDEGATE
from plane.figures import _short
from plane.queries import QUERIES

MEMORY = ("128MiB", "256MiB", "512MiB", "1GiB", "2GiB")
MEMORY_QUERIES = ("a", "b", "d", "e", "g", "j")
GROWTH_QUERIES = ("a", "b", "d", "e", "g")
GROWTH_FILES = (2, 4, 8, 16, 32)
CGROUP_QUERIES = ("a", "b", "d", "e")


def _asked(bench, letters):
    """Those of a sweep's queries that were asked for; all of them where no --queries was given."""
    return [letter for letter in letters if not bench.options.chosen or letter in bench.options.queries]


def _series(bench, cell, *arguments, **how):
    bench.attempt(cell, _runs, cell, *arguments, **how)


def _runs(bench, cell, query, sources, reference_name, **how):
    """n runs of tidegate alone into one cell."""
    content = bench.begin(cell)
    if content is None:
        return
    runs = content["runs"]
    reference = bench.reference(reference_name, query, sources)
    bench.warm(query, sources)
    while len(runs) < bench.options.n:
        ran = bench.ours(query, sources, reference, **how)
        runs.append(ran.stored())
        bench.keep(content)
        bench.say(f"{cell} {len(runs)}/{bench.options.n}: {_short(runs[-1])}")
        if ran.state != "done":
            break
    bench.keep(content, finished=True)


def skew(bench):
    """keys uniform, Zipf, one key of 50% and 90%, all NULL: for a, d, e, g, j"""
    letters = _asked(bench, queries.SKEWED)
    bench.data.make(["skew"] + ["dim"] * ("e" in letters) + ["orders"] * ("j" in letters))
    for letter in letters:
        for key in queries.SKEW_KEYS:
            query = queries.SKEWED[letter](key, "skew")
            _series(bench, f"skew.{letter}.{key}", query, bench.sources(query), f"skew.{letter}.{key}")


def memory(bench):
    """bounds of a task from 128 MiB to 2 GiB"""
    for letter in _asked(bench, MEMORY_QUERIES):
        query = QUERIES[letter]
        bench.data.make(query.tables())
        for size in MEMORY:
            _series(bench, f"memory.{letter}.{size}", query, bench.sources(query), letter, memory=size)


def growth(bench):
    """from a sixteenth of the files to all of them"""
    for letter in _asked(bench, GROWTH_QUERIES):
        query = QUERIES[letter]
        bench.data.make(query.tables())
        for count in GROWTH_FILES:
            sources = bench.sources(query)
            sources["facts"] = sources["facts"][:: FILES // count]
            _series(bench, f"growth.{letter}.{count:02}", query, sources,
                    letter if count == FILES else f"growth.{letter}.{count:02}")


def one_file(bench):
    """one of 32 files changed: a, b, and shops published by day"""
    bench.data.make(["facts", "changed"])
    for letter, query, by in (("a", QUERIES["a"], None), ("b", QUERIES["b"], None), ("by-day", queries.BY_DAY, "day")):
        if letter in _asked(bench, ("a", "b")) or (letter == "by-day" and not bench.options.chosen):
            bench.attempt(f"one-file.{letter}", _one_file, letter, query, by)


def _one_file(bench, letter, query, by):
    cell = f"one-file.{letter}"
    content = bench.begin(cell)
    if content is None:
        return
    place = bench.data.place / "linked"
    runs = content["runs"]
    changed = bench.data.files("changed")[0]
    facts = bench.data.files("facts")
    sources = {"facts": [place / file.name for file in facts]}
    whole = bench.reference(f"one-file.{letter}.whole", query, {"facts": facts})
    after = bench.reference(f"one-file.{letter}.after", query,
                            {"facts": [f for n, f in enumerate(facts) if n != CHANGED] + [changed]})
    bench.warm(query, {"facts": facts})
    while len(runs) < bench.options.n:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for file in facts:
            os.link(file, place / file.name)
        # A file younger than two seconds is known by its bytes, too: that is not what is measured.
        time.sleep(2.1)
        full = bench.ours(query, sources, whole, publish_by=by)
        again = full
        if full.state == "done":
            sources["facts"][CHANGED].unlink()
            os.link(changed, sources["facts"][CHANGED])
            time.sleep(2.1)
            again = bench.ours(query, sources, after, again=True, publish_by=by)
        runs.append({"full": full.stored(), "again": again.stored()})
        bench.keep(content)
        bench.say(f"{cell} {len(runs)}/{bench.options.n}: {_short(runs[-1]['full'])}, then {_short(runs[-1]['again'])}")
        if again.state != "done":
            break
    shutil.rmtree(place, ignore_errors=True)
    bench.keep(content, finished=True)


def workers(bench):
    """one worker against two, beside one DuckDB scan of one thread against two of them"""
    query, cell = QUERIES["a"], "workers.a"
    content = bench.begin(cell)
    if content is None:
        return
    bench.data.make(query.tables())
    sources, runs = bench.sources(query), content["runs"]
    reference = bench.reference("a", query, sources)
    bench.warm(query, sources)
    bench.peers.build()
    file = bench.peers.place / "scan.sql"
    file.write_text(";\n".join(queries.scan(query, sources)))
    command = [bench.peers.binary, "--threads", "1", file]

    def scans(count):
        start = time.perf_counter()
        running = [threading.Thread(target=subprocess.run, args=(command,), kwargs={"check": True})
                   for _ in range(count)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return time.perf_counter() - start

    while len(runs) < bench.options.n:
        one, two = (bench.ours(query, sources, reference, workers=count) for count in (1, 2))
        runs.append({"one": one.stored(), "two": two.stored(), "scan": scans(1), "scans": scans(2)})
        bench.keep(content)
        bench.say(f"{cell} {len(runs)}/{bench.options.n}: {_short(runs[-1]['one'])}, {_short(runs[-1]['two'])}; scan "
                  f"{runs[-1]['scan']:.2f} s, two at once {runs[-1]['scans']:.2f} s")
        if (one.state, two.state) != ("done", "done"):
            break
    file.unlink()
    bench.keep(content, finished=True)


def cgroup(bench):
    """a, b, d, e with each worker in a cgroup of its bound: the page cache of its spill counts"""
    for letter in _asked(bench, CGROUP_QUERIES):
        query = QUERIES[letter]
        bench.data.make(query.tables())
        # tidegate makes the cgroups itself wherever it may: the runs say whether it did.
        _series(bench, f"cgroup.{letter}", query, bench.sources(query), letter, cgroup=True)
        content = bench.store.read(f"cgroup.{letter}")
        if content and not any(run.get("cgroups") for run in content["runs"]):
            content["skipped"] = "no worker was in a memory cgroup: there is no controller that this process may write"
            bench.store.write(content["cell"], content)
            bench.say(f"cgroup.{letter}: skipped, {content['skipped']}")


def metadata(bench):
    """what 10,000 map outputs of 10,000 buckets cost in metadata alone"""
    content = bench.begin("metadata")
    if content is None:
        return
    build = TIDEGATE.resolve().parent
    done = subprocess.run(["ninja", "-C", build, "shuffle_metadata"], capture_output=True, text=True)
    if done.returncode != 0:
        bench.say(f"metadata: skipped, cannot build shuffle_metadata beside {TIDEGATE}: {done.stdout[-300:]}")
        return
    place = bench.data.place / "metadata"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    done = subprocess.run([build / "shuffle_metadata", place], capture_output=True, text=True,
                          env=dict(os.environ, TIDEGATE_DUCKDB=str(DUCKDB)))
    shutil.rmtree(place, ignore_errors=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    content["runs"] = [json.loads(done.stdout)]
    bench.keep(content, finished=True)
    bench.say(f"metadata: {done.stdout.strip()}")


SWEEPS = {"skew": skew, "memory": memory, "growth": growth, "one-file": one_file, "workers": workers,
          "cgroup": cgroup, "metadata": metadata}
