"""The figures over the queries themselves: pairs with each peer, and the limit of scan and write."""

from plane import queries
from plane.cells import failure
from plane.engines import LINKED, NAMES, PACKAGES
from plane.queries import QUERIES

WITH_LIMIT = ("a", "b", "e")


def pairs(bench):
    """each query by tidegate and each peer by turns"""
    engines = [name for name in NAMES if name in LINKED or name in bench.options.peers]
    if bench.options.only:
        engines = bench.options.only
    letters = bench.options.queries
    bench.data.make(sorted({table for letter in letters for table in QUERIES[letter].tables()}))
    reasons = bench.peers.install(engines)
    for name in PACKAGES:
        if name not in engines:
            bench.say(f"skipped: {NAMES[name]} (it is asked for by --peers)")
        elif name in reasons:
            bench.say(f"skipped: {NAMES[name]} ({reasons[name]})")
    for letter in letters:
        for name in engines:
            if name not in reasons:
                bench.attempt(f"{letter}.{name}", _pair, letter, name)


def _pair(bench, letter, name):
    query, cell = QUERIES[letter], f"{letter}.{name}"
    content = bench.begin(cell, version=bench.peers.version(name))
    if content is None:
        return
    sources, runs = bench.sources(query), content["runs"]
    reference = bench.reference(letter, query, sources)
    bench.warm(query, sources)
    while len(runs) < bench.options.n:
        pair = {}
        order = ("ours", "peer") if len(runs) % 2 == 0 else ("peer", "ours")
        for side in order:
            # A side that failed once is not run again: its first run says why.
            before = [run[side] for run in runs]
            if bad := failure(before):
                pair[side] = bad
            elif side == "ours":
                pair[side] = bench.ours(query, sources, reference).stored()
            else:
                pair[side] = bench.theirs(name, letter, query, sources, reference).stored()
        runs.append(pair)
        bench.keep(content)
        bench.say(f"{cell} {len(runs)}/{bench.options.n}: {_short(pair['ours'])} against {_short(pair['peer'])}")
        if pair["ours"]["state"] != "done":
            break  # nothing to compare with: once is enough to see how long the peer takes
    bench.keep(content, finished=True)


def _short(run):
    return f"{run['wall']:.2f} s" if run["state"] == "done" else f"{run['state']} ({run.get('why', '')[:120]})"


def limit(bench):
    """the least that anything can take: DuckDB's scan of the same columns, and its write of the same rows"""
    letters = [letter for letter in WITH_LIMIT if letter in bench.options.queries]
    bench.data.make(sorted({table for letter in letters for table in QUERIES[letter].tables()}))
    for letter in letters:
        bench.attempt(f"limit.{letter}", _limit, letter)


def _limit(bench, letter):
    query, cell = QUERIES[letter], f"limit.{letter}"
    content = bench.begin(cell)
    if content is None:
        return
    sources, runs = bench.sources(query), content["runs"]
    reference = bench.reference(letter, query, sources)
    scans = queries.scan(query, sources)
    place = bench.peers.place / "answer-limit"
    place.mkdir(exist_ok=True)
    bench.peers.sql_must(f"COPY ({queries.over_files(query, sources)}) TO '{place}/answer.parquet' (FORMAT parquet)",
                         "--memory-limit", "8GB")
    bench.warm(query, sources)  # now: what was read before may have made room for that
    statements = [*scans, f"CREATE TEMP TABLE answer AS FROM '{place}/answer.parquet'",
                  f"COPY answer TO '{place}/again.parquet' (FORMAT parquet, COMPRESSION zstd)"]
    while len(runs) < bench.options.n:
        ours = bench.ours(query, sources, reference)
        seconds = [float(x) for x in bench.peers.sql_must(";\n".join(statements), "--times").out.split()]
        runs.append({"ours": ours.stored(), "scan": sum(seconds[:len(scans)]), "write": seconds[-1]})
        bench.keep(content)
        bench.say(f"{cell} {len(runs)}/{bench.options.n}: {_short(runs[-1]['ours'])}, scan "
                  f"{runs[-1]['scan']:.2f} s + write {runs[-1]['write']:.2f} s")
        if ours.state != "done":
            break
    bench.peers.drop("limit")
    bench.keep(content, finished=True)
