"""Prints what the cells hold, each figure beside what it is held to."""

import math

from measure import mib
from plane import queries
from plane.cells import failure, middle
from plane.engines import NAMES
from plane.queries import QUERIES

PEAK = (1 << 30) + (64 << 20)
PEER_FACTOR = 1.3
BUSY = 4  # a load that two workers or threads alone do not reach
RATE = 60  # MB a second and core, of a sort of 100-byte records


def verdict(holds):
    return "ok" if holds else "below"


class Table:
    """Rows of text under a heading, plain or as Markdown."""

    def __init__(self, title, *heads):
        self.title, self.heads, self.rows = title, heads, []

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self, markdown):
        if not self.rows:
            return ""
        lines = [self.heads, *self.rows]
        if markdown:
            lines = [[cell.replace("|", "\\|") for cell in line] for line in lines]
            shown = ["| " + " | ".join(line) + " |" for line in lines]
            shown.insert(1, "|" + "---|" * len(self.heads))
            return f"\n### {self.title}\n\n" + "\n".join(shown) + "\n"
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.heads))]
        shown = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
        return f"\n{self.title}\n" + "\n".join(shown) + "\n"


def _good(content, *sides):
    """Runs in which every side came to the right answer."""
    return [run for run in content["runs"] if all(run[side]["state"] == "done" for side in sides)]


def _why(run):
    return {"unsupported": "not supported", "failed": "failed"}[run["state"]] + f": {run.get('why', '')}"


def _size(value):
    return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.1f} MB"


class Report:
    def __init__(self, store, shape, binary):
        self.store, self.shape, self.binary = store, shape, binary
        self.stale, self.busy, self.below, self.tables, self.notes = set(), set(), [], [], []

    def cell(self, name):
        content = self.store.read(name)
        if content and content.get("binary") != self.binary:
            self.stale.add(name)
        if content and content.get("load", 0) > BUSY:
            self.busy.add(name)
        return content

    def held(self, name, holds):
        if not holds:
            self.below.append(name)
        return verdict(holds)

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def text(self, markdown):
        for part in (self.pairs, self.ours, self.limit, self.skew, self.memory, self.growth, self.one_file,
                     self.workers, self.cgroup, self.metadata):
            part()
        text = "".join(table.text(markdown) for table in self.tables)
        if self.notes:
            text += "\n" + "\n".join(("- " if markdown else "  ") + note for note in self.notes) + "\n"
        if self.stale:
            text += f"\nmeasured with another build of tidegate: {', '.join(sorted(self.stale))}\n"
        if self.busy:
            text += (f"\nmeasured while the load went above {BUSY} (others were at work, too): "
                     f"{', '.join(sorted(self.busy))}\n")
        if self.below:
            text += f"\nbelow what they are held to: {', '.join(self.below)}\n"
        return text

    def _table(self, *heads):
        self.tables.append(Table(*heads))
        return self.tables[-1]

    def pairs(self):
        table = self._table("Against each peer (medians; ratio = peer's time / tidegate's, of each pair its median)",
                            "query", "peer", "n", "tidegate", "peer's", "ratio", "of each pair", "to reach", "",
                            "peer's peak", "peer's spill")
        for letter, query in QUERIES.items():
            fastest = []
            for name in NAMES:
                content = self.cell(f"{letter}.{name}")
                if content:
                    self._pair(table, letter, query, name, content, fastest)
            # Against the fastest of all that gave the right answer.
            if query.any_peer and fastest:
                ratio, name = min(fastest)
                table.add(letter, "fastest of all", "", "", "", f"{ratio:.2f}", NAMES[name], f"{PEER_FACTOR}",
                          self.held(f"{letter} against {NAMES[name]}", ratio >= PEER_FACTOR), "", "")

    def _pair(self, table, letter, query, name, content, fastest):
        peer = f"{NAMES[name]} {content.get('version', '')}".strip()
        target = {"duckdb": query.target, "duckdb-new": query.target,
                  "duckdb-1g": query.target_1g or query.target}.get(name)
        good = _good(content, "ours", "peer")
        ours = [run["ours"] for run in content["runs"]]
        theirs = [run["peer"] for run in content["runs"]]
        left = f"{middle([r for r in ours if r['state'] == 'done']):.2f} s" if not failure(ours) else \
            "not supported" if failure(ours)["state"] == "unsupported" else "failed"
        done = [r for r in theirs if r["state"] == "done"]
        right = f"{middle(done):.2f} s" if not failure(theirs) else failure(theirs)["state"]
        peak, spill = (mib(max(r.get("pss") or r["rss"] for r in done)),
                       _size(max(r.get("spilled", 0) for r in done))) if done else ("", "")
        if failure(ours):
            self.note(f"{letter}, tidegate {_why(failure(ours))}")
            table.add(letter, peer, len(done), left, right, "", "", target or "",
                      self.held(f"{letter}.{name}", False) if target or query.rate else "", peak, spill)
            return
        if failure(theirs):
            self.note(f"{letter}, {peer} {_why(failure(theirs))}")
            table.add(letter, peer, 0, left, right, "", "", target or "", "ok" if target else "", peak, spill)
            return
        ratios = [run["peer"]["wall"] / run["ours"]["wall"] for run in good]
        ratio = sorted(ratios)[len(ratios) // 2] if len(ratios) % 2 else \
            sum(sorted(ratios)[len(ratios) // 2 - 1:len(ratios) // 2 + 1]) / 2
        fastest.append((ratio, name))
        table.add(letter, peer, len(good), left, right, f"{ratio:.2f}", " ".join(f"{r:.2f}" for r in ratios),
                  target or "", self.held(f"{letter}.{name}", ratio >= target) if target else "", peak, spill)

    def ours(self):
        table = self._table("tidegate: memory and bytes, over all its runs above", "query", "what", "peak PSS",
                            "of RSS", "limit", "", "largest process", "read", "shuffled", "spilled", "written",
                            "MB/s a core")
        for letter, query in QUERIES.items():
            cells = [self.store.read(f"{letter}.{name}") for name in NAMES]
            runs = [run["ours"] for cell in cells if cell for run in cell["runs"] if run["ours"]["state"] == "done"]
            if not runs:
                continue
            peak = max(run.get("pss") or run["rss"] for run in runs)
            rate = ""
            if query.rate:
                speed = self.shape.records * 100 / 1e6 / middle(runs) / 2  # of two workers, a core each
                rate = f"{speed:.0f} (at least {RATE}: {self.held(f'{letter}, MB/s', speed >= RATE)})"
            table.add(letter, query.title, mib(peak), mib(max(run["rss"] for run in runs)), mib(PEAK),
                      self.held(f"{letter}, peak", peak <= PEAK), mib(max(run["process"] for run in runs)),
                      *(_size(middle(runs, field)) for field in ("read", "shuffled", "spilled", "written")), rate)

    def limit(self):
        table = self._table("Against the limit: DuckDB's scan of the same columns and its write of the same rows",
                            "query", "tidegate", "scan", "write", "ratio", "at most", "")
        for letter in QUERIES:
            content = self.cell(f"limit.{letter}")
            good = _good(content, "ours") if content else []
            if good:
                ratio = middle([{"wall": run["ours"]["wall"] / (run["scan"] + run["write"])} for run in good])
                table.add(letter, f"{middle([run['ours'] for run in good]):.2f} s", f"{middle(good, 'scan'):.2f} s",
                          f"{middle(good, 'write'):.2f} s", f"{ratio:.2f}", 1.4,
                          self.held(f"limit.{letter}", ratio <= 1.4))

    def _single(self, table, name, label, base, at_most, bound=PEAK):
        """A row of a sweep: time against a base time; returns the median."""
        content = self.cell(name)
        if not content or not content["runs"]:
            return None
        if bad := failure(content["runs"]):
            self.note(f"{name}: {_why(bad)}")
            table.add(*label, bad["state"], "", at_most or "", self.held(name, False), "", "")
            return None
        wall, peak = middle(content["runs"]), max(run.get("pss") or run["rss"] for run in content["runs"])
        ratio = wall / base if base else None
        holds = (ratio is None or not at_most or ratio <= at_most) and (not bound or peak <= bound)
        table.add(*label, f"{wall:.2f} s", f"{ratio:.2f}" if ratio else "", at_most or "", self.held(name, holds),
                  mib(peak), _size(middle(content["runs"], "spilled")))
        return wall

    def _wall(self, name):
        content = self.store.read(name)
        return middle(content["runs"]) if content and content["runs"] and not failure(content["runs"]) else None

    def skew(self):
        table = self._table("Skew: time against uniform keys, inside the bound", "query", "keys", "time", "ratio",
                            "at most", "", "peak PSS", "spilled")
        for letter in queries.SKEWED:
            base = self._wall(f"skew.{letter}.k")
            for key, title in queries.SKEW_KEYS.items():
                self._single(table, f"skew.{letter}.{key}", (letter, title), base, 1.5)

    def memory(self):
        from plane.sweeps import MEMORY, MEMORY_QUERIES
        table = self._table("Memory of a task, two workers: time against the largest bound", "query", "bound", "time",
                            "ratio", "at most", "", "peak PSS", "spilled")
        for letter in MEMORY_QUERIES:
            base = self._wall(f"memory.{letter}.{MEMORY[-1]}")
            for size in MEMORY:
                number, unit = int(size[:-3]), {"MiB": 20, "GiB": 30}[size[-3:]]
                bound = (number << unit) * 2 + (64 << 20)
                self._single(table, f"memory.{letter}.{size}", (letter, size), base, 2, bound)

    def growth(self):
        from plane.data import FILES
        from plane.sweeps import GROWTH_FILES, GROWTH_QUERIES
        table = self._table("Growth: time over a part of the files", "query", "part", "time", "of all", "at most", "",
                            "peak PSS", "spilled")
        exponents = self._table("Growth: exponent of time over rows, by least squares", "query", "exponent",
                                "at most", "")
        for letter in GROWTH_QUERIES:
            base, points = self._wall(f"growth.{letter}.{FILES:02}"), []
            for count in GROWTH_FILES:
                wall = self._single(table, f"growth.{letter}.{count:02}", (letter, f"{count}/{FILES}"), base, None)
                if wall:
                    points.append((math.log(count), math.log(wall)))
            if len(points) > 1:
                x, y = (sum(p[n] for p in points) / len(points) for n in (0, 1))
                slope = sum((p[0] - x) * (p[1] - y) for p in points) / sum((p[0] - x) ** 2 for p in points)
                exponents.add(letter, f"{slope:.3f}", 1.05, self.held(f"growth.{letter}", slope <= 1.05))

    def one_file(self):
        table = self._table("One of 32 files changed: the second run against the full one", "query", "full", "again",
                            "share", "at most", "")
        for letter, most in (("a", 0.40), ("b", 0.25), ("by-day", 0.08)):
            content = self.cell(f"one-file.{letter}")
            if not content or not content["runs"]:
                continue
            if bad := failure([run["again"] for run in content["runs"]]):
                self.note(f"one-file.{letter}: {_why(bad)}")
                table.add(letter, "", "not supported" if bad["state"] == "unsupported" else "failed", "", f"{most:.0%}",
                          self.held(f"one-file.{letter}", False))
                continue
            full, again = (middle([run[side] for run in content["runs"]]) for side in ("full", "again"))
            share = middle([{"wall": run["again"]["wall"] / run["full"]["wall"]} for run in content["runs"]])
            table.add(letter, f"{full:.2f} s", f"{again:.2f} s", f"{share:.0%}", f"{most:.0%}",
                      self.held(f"one-file.{letter}", share <= most))

    def workers(self):
        table = self._table("One worker against two, beside one DuckDB scan of one thread against two at once", "query",
                            "1 worker", "2 workers", "speedup", "the scans'", "share", "at least", "")
        content = self.cell("workers.a")
        good = _good(content, "one", "two") if content else []
        if good:
            ours = middle([{"wall": run["one"]["wall"] / run["two"]["wall"]} for run in good])
            scans = middle([{"wall": 2 * run["scan"] / run["scans"]} for run in good])
            table.add("a", *(f"{middle([run[side] for run in good]):.2f} s" for side in ("one", "two")), f"{ours:.2f}",
                      f"{scans:.2f}", f"{ours / scans:.0%}", "95%", self.held("workers.a", ours / scans >= 0.95))

    def cgroup(self):
        table = self._table("Each worker in a memory cgroup of its bound, page cache counted", "query", "time",
                            "most charged", "limit", "")
        for letter in QUERIES:
            content = self.cell(f"cgroup.{letter}")
            if not content or not content["runs"]:
                continue
            if bad := failure(content["runs"]):
                self.note(f"cgroup.{letter}: {_why(bad)}")
                table.add(letter, bad["state"], "", "", self.held(f"cgroup.{letter}", False))
                continue
            seen = [pair for run in content["runs"] for pair in run.get("cgroups", {}).values()]
            most, bound = (mib(max(pair[n] for pair in seen)) for n in (0, 1)) if seen else \
                ("skipped", content["skipped"])
            table.add(letter, f"{middle(content['runs']):.2f} s", most, bound, "ok" if seen else "")

    def metadata(self):
        content = self.cell("metadata")
        table = self._table("Metadata of a shuffle of 10,000 map outputs (extrapolated from "
                            f"{content['runs'][0]['files_written'] if content and content['runs'] else 0} real files)",
                            "buckets", "a file", "a bucket of it", "10,000 files", "writer's buffers",
                            "open and verify")
        if not content or not content["runs"]:
            return
        run = content["runs"][0]
        for size in run["sizes"]:
            table.add(f"{size['buckets']:,}", _size(size["metadata_bytes_a_file"]), f"{size['bytes_a_bucket']:.1f} B",
                      _size(size["all_maps_bytes"]), mib(size["writer_peak_bytes"]),
                      f"{size['open_seconds'] * 1000:.2f} ms")
        first, last = run["sizes"][0], run["sizes"][-1]
        times = last["metadata_bytes_a_file"] / first["metadata_bytes_a_file"]
        more = last["buckets"] / first["buckets"]
        self.note(f"metadata: {more:.0f} times the buckets make a file's {times:.1f} times as large; the sum over all "
                  "files is that times the files")
        self.note(f"metadata: a reader of one bucket reads {_size(run['bucket_reader_bytes'])} of it from 10,000 files")
