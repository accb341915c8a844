"""tidegate and its peers: each runs one query over the same files and writes its answer to Parquet."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import measure
from plane import queries

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TIDEGATE = pathlib.Path(os.environ.get("TIDEGATE", ROOT / "build/release/tidegate"))
DUCKDB = pathlib.Path(os.environ.get("TIDEGATE_DUCKDB", ROOT / ".deps/duckdb/libduckdb.so"))

LINKED = {"duckdb": "DuckDB", "duckdb-1g": "DuckDB at 1 GB"}
PACKAGES = {"duckdb-new": "duckdb", "datafusion": "datafusion", "polars": "polars"}
NAMES = LINKED | {"duckdb-new": "newest DuckDB", "datafusion": "DataFusion", "polars": "Polars"}


@dataclasses.dataclass
class Ran:
    """One run of one engine. `state`: done, unsupported (refused before it started) or failed."""

    state: str
    why: str = ""
    wall: float = 0.0
    cpu: float = 0.0
    rss: int = 0       # the most that the process tree had at once
    pss: int = 0       # the same, shared pages counted once
    process: int = 0   # the largest process
    read: int = 0
    shuffled: int = 0
    spilled: int = 0
    written: int = 0
    cgroups: dict = dataclasses.field(default_factory=dict)

    def stored(self):
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


def bytes_below(place):
    total = 0
    for base, _, files in os.walk(place):
        for name in files:
            try:
                total += os.lstat(os.path.join(base, name)).st_blocks * 512
            except OSError:
                pass
    return total


def _ran(done, **more):
    return Ran("done", wall=done.wall, cpu=done.cpu, rss=done.tree_rss, pss=done.tree_pss, process=done.process_peak,
               **more)


class Guard:
    """Ends a peer that is about to take the whole machine's memory; measures what it spills."""

    def __init__(self, temp):
        self.temp, self.spilled, self.ended = temp, 0, False

    def __call__(self, tree):
        self.spilled = max(self.spilled, bytes_below(self.temp))
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        size = {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
        if size["MemAvailable"] < size["MemTotal"] / 20 and not self.ended:
            self.ended = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(tree[0], signal.SIGKILL)


def _tail(text):
    return re.sub(r"\s+", " ", text.strip())[-400:]


def _ended(done, timeout):
    return f"took longer than {timeout:.0f} s" if done.wall >= timeout else f"ended by signal {-done.code}"


class Cgroups:
    """Looks for the memory cgroups of tidegate's workers while they run, and what was charged to them."""

    def __init__(self):
        self.peaks = {}

    def __call__(self, tree):
        for pid in tree:
            try:
                lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                _, controllers, path = line.split(":", 2)
                if "tidegate-" not in path or controllers not in ("memory", ""):
                    continue
                v1 = controllers == "memory"
                base = pathlib.Path("/sys/fs/cgroup" + ("/memory" if v1 else "") + path)
                peak = base / ("memory.max_usage_in_bytes" if v1 else "memory.peak")
                limit = base / ("memory.limit_in_bytes" if v1 else "memory.max")
                try:
                    old = self.peaks.get(base.name, [0, 0])
                    self.peaks[base.name] = [max(old[0], int(peak.read_text())), int(limit.read_text())]
                except (OSError, ValueError):
                    pass


class Tidegate:
    """A state directory and a published directory of its own below `place`."""

    def __init__(self, place, timeout):
        self.place, self.timeout = place, timeout

    def answer(self):
        return sorted(self.place.glob("published/answer/current/*.parquet"))

    def clear(self):
        for name in ("published", ".tidegate"):
            shutil.rmtree(self.place / name, ignore_errors=True)

    def run(self, query, sources, workers=2, memory="512MiB", again=False, publish_by=None, cgroup=False):
        """`again`: over what the last run left, as after a change."""
        self.place.mkdir(parents=True, exist_ok=True)
        if not again:
            self.clear()
        file = self.place / "pipeline.yaml"
        file.write_text(queries.pipeline(query, sources, memory, publish_by), encoding="utf-8")
        watch = Cgroups()
        options = ["--cgroup"] if cgroup else []
        done = measure.run([TIDEGATE, "run", file, "--workers", workers, "--json", *options], timeout=self.timeout,
                           watch=watch)
        if done.code == 2:
            return Ran("unsupported", self.refusal(done.out) or _tail(done.err))
        if done.code != 0:
            return Ran("failed", f"exit {done.code}: {_tail(done.err)}" if done.code > 0
                       else _ended(done, self.timeout))
        event = next(e for e in map(json.loads, reversed(done.out.splitlines())) if e.get("event") == "run_finished")
        ran = _ran(done, **{name: event.get("bytes", {}).get(name, 0)
                            for name in ("read", "shuffled", "spilled", "written")})
        ran.cgroups = watch.peaks
        return ran

    @staticmethod
    def refusal(lines):
        """The errors among the diagnostics that a refused file gets."""
        found = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
        return "; ".join(f"{d['code']}: {d['message']}" for d in found if d.get("severity") == "error")


class Peers:
    """Everything that is not tidegate. Python packages live in a venv below the data directory."""

    def __init__(self, place, timeout, say):
        self.place, self.timeout, self.say = place, timeout, say
        self.binary = place / "duckdb_peer"
        self.venv = place / "venv"
        self.versions = {}

    def build(self):
        source = ROOT / "bench/duckdb_peer.c"
        if not self.binary.exists() or self.binary.stat().st_mtime < source.stat().st_mtime:
            subprocess.run(["cc", "-O2", "-o", self.binary, source, f"-I{ROOT}/third_party/duckdb", DUCKDB,
                            f"-Wl,-rpath,{DUCKDB.parent}"], check=True)

    def sql(self, text, *arguments, sample=False, threads=2, watch=None):
        """Statements by the linked DuckDB; temporary files go below the data directory."""
        self.build()
        file = self.place / f"peer-{os.getpid()}.sql"
        file.write_text(text, encoding="utf-8")
        temp = self.place / "temp"
        shutil.rmtree(temp, ignore_errors=True)
        temp.mkdir()
        try:
            return measure.run([self.binary, "--threads", threads, "--temp", temp, *arguments, file], sample=sample,
                               timeout=self.timeout, watch=watch)
        finally:
            file.unlink()
            shutil.rmtree(temp, ignore_errors=True)

    def sql_must(self, text, *arguments, **options):
        done = self.sql(text, *arguments, **options)
        if done.code != 0:
            raise RuntimeError(f"DuckDB: {_tail(done.err) or f'exit {done.code}'}")
        return done

    def rows(self, select):
        """The rows of a small SELECT, as dictionaries."""
        file = self.place / f"rows-{os.getpid()}.json"
        try:
            self.sql_must(f"COPY ({select}) TO '{file}' (FORMAT json)")
            return [json.loads(line) for line in file.read_text().splitlines()]
        finally:
            file.unlink(missing_ok=True)

    def linked_version(self):
        return self.rows("SELECT version() AS version")[0]["version"]

    def install(self, names):
        """Installs what of the packages is missing; name -> reason for those that cannot be used."""
        reasons, python = {}, self.venv / "bin/python"
        wanted = [name for name in names if name in PACKAGES]
        if wanted and not python.exists():
            done = subprocess.run([sys.executable, "-m", "venv", self.venv], capture_output=True, text=True)
            if done.returncode != 0:
                return {name: f"no venv: {_tail(done.stdout + done.stderr)}" for name in wanted}
        for name in wanted:
            if self.version(name):
                continue
            self.say(f"installing {PACKAGES[name]} into {self.venv}")
            done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                                   PACKAGES[name]], capture_output=True, text=True)
            if done.returncode != 0 or not self.version(name):
                reasons[name] = f"cannot be installed: {_tail(done.stderr)}"
        return reasons

    def version(self, name):
        """Empty where it is not installed."""
        if not self.versions.get(name):
            self.versions[name] = self.linked_version() if name in LINKED else self._package_version(name)
        return self.versions[name]

    def _package_version(self, name):
        python = self.venv / "bin/python"
        if not python.exists():
            return ""
        done = subprocess.run([python, "-c", f"import {PACKAGES[name]} as p; print(p.__version__)"],
                              capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def answer(self, name):
        place = self.place / f"answer-{name}"
        return sorted(place.glob("*.parquet"))

    def run(self, name, letter, query, sources):
        """Writes the answer below answer-NAME."""
        answer = self.place / f"answer-{name}"
        shutil.rmtree(answer, ignore_errors=True)
        answer.mkdir()
        temp = self.place / "temp"
        guard = Guard(temp)
        copy = f"COPY ({queries.over_files(query, sources)}) TO '{answer}/answer.parquet' " \
               "(FORMAT parquet, COMPRESSION zstd)"
        if name in LINKED:
            limit = ("--memory-limit", "1GB") if name == "duckdb-1g" else ()
            done = self.sql(copy, *limit, sample=True, watch=guard)
        else:
            shutil.rmtree(temp, ignore_errors=True)
            temp.mkdir()
            job = self.place / f"job-{os.getpid()}.json"
            job.write_text(json.dumps({"engine": name, "query": letter, "sql": query.sql, "copy": copy,
                                       "sources": {t: [str(f) for f in fs] for t, fs in sources.items()},
                                       "answer": str(answer / "answer.parquet"), "temp": str(temp)}))
            environment = dict(os.environ, POLARS_MAX_THREADS="2", TOKIO_WORKER_THREADS="2", TMPDIR=str(temp),
                               POLARS_TEMP_DIR=str(temp))
            done = measure.run([self.venv / "bin/python", ROOT / "bench/plane/peer.py", job], timeout=self.timeout,
                               watch=guard, env=environment)
            job.unlink()
            shutil.rmtree(temp, ignore_errors=True)
        if done.code == 3:
            return Ran("unsupported", _tail(done.err))
        if guard.ended:
            return Ran("failed", "ended: it was about to take all memory of the machine")
        if done.code < 0:
            return Ran("failed", _ended(done, self.timeout))
        if done.code != 0:
            return Ran("failed", _tail(done.err))
        return _ran(done, spilled=guard.spilled, written=bytes_below(answer))

    def drop(self, name):
        shutil.rmtree(self.place / f"answer-{name}", ignore_errors=True)
