"""What was measured: one JSON file a cell, written after each pair, so that a run goes on where it was."""

import hashlib
import json
import os
import statistics
import subprocess
import time

from plane import answers, queries
from plane.engines import TIDEGATE, Ran


class Store:
    def __init__(self, place):
        self.place = place

    def _file(self, cell):
        return self.place / (cell.replace("/", "-") + ".json")

    def read(self, cell):
        try:
            return json.loads(self._file(cell).read_text())
        except (OSError, ValueError):
            return None

    def write(self, cell, content):
        self.place.mkdir(parents=True, exist_ok=True)
        aside = self._file(cell).with_suffix(".new")
        aside.write_text(json.dumps(content, indent=1))
        os.replace(aside, self._file(cell))

    def cells(self):
        return sorted(file.stem for file in self.place.glob("*.json"))

    def drop(self, wanted):
        """A cell, or all that begin with `wanted` and a dot. Returns their names."""
        found = [cell for cell in self.cells() if cell == wanted or cell.startswith(wanted + ".")]
        for cell in found:
            self._file(cell).unlink()
        return found


def binary_hash():
    return hashlib.sha256(TIDEGATE.read_bytes()).hexdigest()[:12] if TIDEGATE.exists() else "none"


class Bench:
    """Everything that a figure needs: data, engines, the store, and what was asked for."""

    def __init__(self, options, data, store, tidegate, peers, say):
        self.options, self.data, self.store = options, data, store
        self.tidegate, self.peers, self.say = tidegate, peers, say
        self.binary = binary_hash()
        self.warmed = None
        self.failed = []

    def attempt(self, cell, measure, *arguments, **how):
        """One cell that cannot be measured, because DuckDB cannot say what is right, does not end the others."""
        try:
            measure(self, *arguments, **how)
        except (RuntimeError, subprocess.CalledProcessError, OSError) as reason:
            self.say(f"{cell}: failed: {reason}")
            self.failed.append(cell)

    def sources(self, query):
        return {table: self.data.files(table) for table in query.tables()}

    def begin(self, cell, **facts):
        """The stored content, or a new one; None if it is finished."""
        content = self.store.read(cell)
        if content and content.get("data") != self.data.digest():
            content = None
        if content and content.get("finished", 0) >= self.options.n:
            return None
        if content is None or content.get("binary") != self.binary:
            content = {"cell": cell, "binary": self.binary, "data": self.data.digest(), "runs": []} | facts
        content.pop("finished", None)  # more runs are wanted than there were
        return content

    def keep(self, content, finished=False):
        if finished:
            content["finished"] = self.options.n
        content["load"] = max(content.get("load", 0), round(os.getloadavg()[0], 1))
        content["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.store.write(content["cell"], content)

    def reference(self, name, query, sources):
        """The right answer's fingerprint, by the linked DuckDB, kept beside the cells.

        DuckDB gets half of the machine's memory and may spill, so that it answers where it would not
        in a measured run (it takes a good deal more than its limit).
        """
        files = {table: [str(file) for file in paths] for table, paths in sources.items()}
        what = json.dumps([self.data.digest(), query.sql, query.answer, files])
        key = hashlib.sha256(what.encode()).hexdigest()[:16]
        stored = self.store.read(f"reference.{name}")
        if stored and stored["key"] == key:
            return stored["fingerprint"]
        self.say(f"{name}: the right answer, by DuckDB")
        place = self.peers.place / "answer-reference"
        place.mkdir(exist_ok=True)
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        self.peers.sql_must(f"COPY ({queries.over_files(query, sources)}) TO '{place}/answer.parquet' "
                            "(FORMAT parquet)", "--memory-limit", f"{memory >> 20}MiB")
        found = answers.fingerprint(self.peers.rows, query, [place / "answer.parquet"])
        self.peers.drop("reference")
        self.store.write(f"reference.{name}", {"cell": f"reference.{name}", "key": key, "fingerprint": found})
        return found

    def judged(self, ran, query, files, reference):
        """The run, failed if its answer is not the right one."""
        if ran.state != "done":
            return ran
        try:
            why = answers.differs(query, answers.fingerprint(self.peers.rows, query, files), reference)
            if not why and query.order:
                wrong = answers.out_of_order(self.peers.rows, query, files)
                why = f"{wrong:,} rows out of order" if wrong else ""
        except (RuntimeError, KeyError) as reason:
            why = f"cannot be read: {reason}"
        return Ran("failed", f"wrong answer: {why}") if why else ran

    def ours(self, query, sources, reference, **how):
        return self.judged(self.tidegate.run(query, sources, **how), query, self.tidegate.answer(), reference)

    def theirs(self, name, letter, query, sources, reference):
        ran = self.peers.run(name, letter, query, sources)
        ran = self.judged(ran, query, self.peers.answer(name), reference)
        self.peers.drop(name)
        return ran

    def warm(self, query, sources):
        """Brings the columns into the page cache, so that the first run of a cell is like the others."""
        statements = queries.scan(query, sources)
        if self.warmed != statements:
            self.peers.sql_must(";\n".join(statements))
            self.warmed = statements


def middle(runs, field="wall"):
    return statistics.median(run.get(field, 0) for run in runs)


def failure(runs):
    """The first run that did not come to a right answer."""
    return next((run for run in runs if run["state"] != "done"), None)
