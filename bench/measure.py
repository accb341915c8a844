"""Runs a command and measures it: wall time, processor time, memory of its whole process tree."""

import contextlib
import dataclasses
import os
import signal
import statistics
import subprocess
import threading
import time

SAMPLE_SECONDS = 0.01
PSS_EVERY = 25  # samples: reading it stops the process for a moment
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Measured:
    """One run. Memory in bytes; `process_peak` is the largest single process."""

    code: int
    wall: float
    cpu: float
    own_cpu: float
    tree_rss: int
    tree_pss: int
    process_peak: int
    out: str
    err: str


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _tree(pid):
    found, new = [], [pid]
    while new:
        found += new
        children = []
        for parent in new:
            try:
                tasks = os.listdir(f"/proc/{parent}/task")
            except OSError:
                continue
            for task in tasks:
                children += [int(c) for c in _read(f"/proc/{parent}/task/{task}/children").split()]
        new = children
    return found


class _Sampler(threading.Thread):
    def __init__(self, pid, watch):
        super().__init__(daemon=True)
        self.pid, self.watch, self.done = pid, watch, threading.Event()
        self.rss = self.pss = self.peak = 0
        self.own_cpu = 0.0

    def run(self):
        count = 0
        while not self.done.is_set():
            rss = pss = 0
            tree = _tree(self.pid)
            if self.watch and count % PSS_EVERY == 0:
                self.watch(tree)
            for pid in tree:
                statm = _read(f"/proc/{pid}/statm").split()
                if len(statm) < 2:
                    continue
                size = int(statm[1]) * PAGE
                rss += size
                self.peak = max(self.peak, size)
                if count % PSS_EVERY == PSS_EVERY - 1:
                    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
                        if line.startswith("Pss:"):
                            pss += int(line.split()[1]) * 1024
            stat = _read(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
            if len(stat) > 12:
                self.own_cpu = (int(stat[11]) + int(stat[12])) / TICKS
            self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)
            count += 1
            self.done.wait(SAMPLE_SECONDS)


def run(command, sample=True, timeout=3600, watch=None, **options):
    """Runs `command` to its end. With sample=False nothing looks on: for what takes milliseconds.

    `watch` is called four times a second with the process ids of the tree, where something samples.
    """
    before = os.times()
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, **options)
    sampler = None
    if sample:
        sampler = _Sampler(process.pid, watch)
        sampler.start()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    except BaseException:  # interrupted: what was started ends with us
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    wall = time.perf_counter() - start
    after = os.times()
    if sampler:
        sampler.done.set()
        sampler.join()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(process.returncode, wall, cpu, sampler.own_cpu if sampler else 0.0,
                    sampler.rss if sampler else 0, sampler.pss if sampler else 0,
                    sampler.peak if sampler else 0, out, err)


def alternate(count, ours, peer):
    """Runs both `count` times, by turns, each first every other time. Returns two lists."""
    left, right = [], []
    for i in range(count):
        pair = [(left, ours), (right, peer)]
        for into, what in pair if i % 2 == 0 else reversed(pair):
            into.append(what())
    return left, right


def median(runs, field="wall"):
    return statistics.median(getattr(r, field) for r in runs)


def mib(size):
    return f"{size / 2**20:,.0f} MiB"
