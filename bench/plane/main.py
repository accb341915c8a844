"""bench/run plane: the figures of the data plane, tidegate beside its peers over the same files.

usage: bench/run plane [FIGURE...] [--scale 1|8 | --rows N] [--data DIR] [-n N] [--queries a,b,...] [--peers [NAMES]]
                       [--only PEERS] [--redo CELL]... [--table] [--markdown] [--clean] [--list]

Scale 1 is 200 million rows in 32 files, scale 8 an eighth. Data, answers and what was measured stay in the
data directory: a run that was ended goes on with the next pair. At the end the table of all that has been
measured for this size is printed; exit 1 when a figure is below what it is held to.
"""

import argparse
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from plane import figures, sweeps, table
from plane.cells import Bench, Store, binary_hash
from plane.data import SCALE_1, Data, NoRoom, Shape
from plane.engines import NAMES, PACKAGES, TIDEGATE, Peers, Tidegate
from plane.queries import QUERIES

FIGURES = {"pairs": figures.pairs, "limit": figures.limit} | sweeps.SWEEPS
DEFAULT = ("pairs", "limit")


def say(text):
    print(f"  {text}", flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench/run plane", description=__doc__, usage=argparse.SUPPRESS,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"default: {' '.join(DEFAULT)}; `all` is all")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=int, choices=(1, 8), default=8, help="default 8")
    size.add_argument("--rows", type=int, help="rows of the fact table, instead of a scale")
    parser.add_argument("--data", type=pathlib.Path, help="default: tidegate-bench below $TMPDIR; kept between runs")
    parser.add_argument("-n", type=int, default=3, help="pairs, or runs, of each cell (default 3)")
    parser.add_argument("--queries", help="letters, by commas (default: all)")
    parser.add_argument("--peers", nargs="?", const=",".join(PACKAGES), default="",
                        help=f"also these, from PyPI: {','.join(PACKAGES)} (default with no value: all)")
    parser.add_argument("--only", default="", metavar="PEERS",
                        help=f"pairs with these alone, also from PyPI: {','.join(NAMES)}")
    parser.add_argument("--redo", action="append", default=[], metavar="CELL",
                        help="measure again: `a.polars`, all of `a` or `skew`, or `stale` (another build's)")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds that one run may take (default 3600)")
    parser.add_argument("--table", action="store_true", help="measure nothing, print the table")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--clean", action="store_true", help="remove the data directory and do nothing else")
    parser.add_argument("--list", action="store_true", help="say what figures and queries there are")
    options = parser.parse_args(arguments)
    options.chosen = options.queries is not None
    options.queries = options.queries.split(",") if options.chosen else list(QUERIES)
    options.peers = [name for name in options.peers.split(",") if name]
    options.only = [name for name in options.only.split(",") if name]
    options.figures = list(FIGURES) if "all" in options.figures else options.figures or list(DEFAULT)
    for kind, given, known in (("figure", options.figures, FIGURES), ("query", options.queries, QUERIES),
                               ("peer", options.peers, PACKAGES), ("peer", options.only, NAMES)):
        for name in given:
            if name not in known:
                parser.error(f"no {kind} is called {name}; there are: {', '.join(known)}")
    options.rows = options.rows or SCALE_1 // options.scale
    if options.rows < 1000:
        parser.error("--rows: at least 1000")
    options.n = max(options.n, 1)
    options.data = (options.data or pathlib.Path(tempfile.gettempdir()) / "tidegate-bench").resolve()
    return options


def main(arguments):
    options = parse(arguments)
    if options.list:
        for name, function in FIGURES.items():
            print(f"{name:<10} {function.__doc__}")
        for letter, query in QUERIES.items():
            print(f"  {letter:<8} {query.title}")
        return 0
    if options.clean:
        # Only what is known to be ours: the mark is written before anything else.
        if options.data.exists() and not (options.data / "tidegate-bench").exists():
            print(f"{options.data} is not a data directory of bench/run: not removed")
            return 2
        shutil.rmtree(options.data, ignore_errors=True)
        return 0
    place = options.data / f"rows-{options.rows}"
    store = Store(place / "cells")
    if options.table:
        return tell(options, store)
    if not TIDEGATE.exists():
        print(f"there is no {TIDEGATE}: run ./quickstart first")
        return 2
    if options.data.exists() and any(entry.name not in ("tidegate-bench", place.name) and not entry.name.startswith(
            ("rows-", "venv", "duckdb_peer", "answer-", "temp", "job-", "peer-")) for entry in options.data.iterdir()):
        print(f"{options.data} holds other things: give --data a directory of its own")
        return 2
    place.mkdir(parents=True, exist_ok=True)
    with (options.data / "tidegate-bench").open("a") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"another bench/run works in {options.data}")
            return 2
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return measure(options, place, store)
        except KeyboardInterrupt:
            print("\ninterrupted: the same command goes on from here")
            return 130


def measure(options, place, store):
    for wanted in options.redo:
        cells = [cell for cell in store.cells() if not cell.startswith("reference.") and
                 store.read(cell).get("binary") != binary_hash()] if wanted == "stale" else [wanted]
        found = [name for cell in cells for name in store.drop(cell)]
        print(f"again: {', '.join(found) or f'nothing is called {wanted}'}")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    print(f"{options.rows:,} rows, n = {options.n}, {os.cpu_count()} cores, {memory / 2**30:.0f} GiB, "
          f"load {os.getloadavg()[0]:.1f}, {options.data}", flush=True)
    peers = Peers(options.data, options.timeout, say)
    data = Data(place, options.rows, peers.sql_must, peers.linked_version(), say)
    tidegate = Tidegate(place / "run", options.timeout)
    bench = Bench(options, data, store, tidegate, peers, say)
    failed = []
    for name in options.figures:
        print(f"\n{name}: {FIGURES[name].__doc__}", flush=True)
        try:
            FIGURES[name](bench)
        except NoRoom as reason:
            print(f"  refused: {reason}")
            failed.append(name)
        except (RuntimeError, subprocess.CalledProcessError, OSError) as reason:
            print(f"  failed: {reason}")
            failed.append(name)
        finally:
            tidegate.clear()
    below = tell(options, store)
    failed += bench.failed
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else below


def tell(options, store):
    report = table.Report(store, Shape(options.rows), binary_hash())
    text = report.text(options.markdown)
    print(text or "nothing has been measured yet for this size")
    return 1 if report.below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
