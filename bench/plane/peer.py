"""One query by an engine from PyPI; run by bench/plane/engines.py in its venv: peer.py JOB.json

Exit 0: the answer is written; 3: this engine has no way to ask the query; else it failed.
"""

import json
import pathlib
import sys

THREADS = 2


def duckdb_new(job):
    import duckdb
    connection = duckdb.connect(config={"threads": THREADS, "temp_directory": job["temp"]})
    connection.execute(job["copy"])


def datafusion(job):
    import datafusion as df
    context = df.SessionContext(df.SessionConfig().with_target_partitions(THREADS))
    for table, files in job["sources"].items():
        frames = pathlib.Path(job["temp"]) / table  # one directory of links: a table is one path
        frames.mkdir()
        for file in files:
            (frames / pathlib.Path(file).name).symlink_to(file)
        context.register_parquet(table, f"{frames}/")
    context.sql(f"COPY ({job['sql']}) TO '{job['answer']}' STORED AS PARQUET "
                "OPTIONS ('format.compression' 'zstd(3)')").collect()


def polars(job):
    import polars as pl
    tables = {table: pl.scan_parquet(files) for table, files in job["sources"].items()}
    query = POLARS.get(job["query"])
    if query is None:
        sys.exit(3)
    # What a query does not name is not read.
    query(pl, tables).sink_parquet(job["answer"], compression="zstd", engine="streaming")


def _aggregates(pl):
    return (pl.len().alias("n"), pl.col("amount").cast(pl.Int64).sum(), pl.col("price").max())


def _by(key):
    return lambda pl, t: t["facts"].group_by(key).agg(*_aggregates(pl))


def _sessions(pl, t):
    gaps = t["facts"].select("k", "ts").sort("k", "ts").with_columns(
        gap=pl.col("ts").diff(), same=pl.col("k") == pl.col("k").shift(1))
    new = ~(pl.col("same").fill_null(False) & (pl.col("gap") <= pl.duration(days=3)))
    return gaps.with_columns(new=new.cast(pl.Int64)).group_by("k").agg(n=pl.len(), sessions=pl.col("new").sum())


def _running(pl, t):
    return t["facts"].select("k", "ts", "amount").sort("k", "ts").with_columns(
        running=pl.col("amount").cast(pl.Int64).cum_sum().over("k"))


POLARS = {
    "a": _by("k"),
    "az": _by("z"),
    "b": _by("url"),
    "c": lambda pl, t: t["facts"].group_by("country").agg(
        pl.len().alias("n"), pl.col("amount").cast(pl.Int64).sum(), pl.col("price").mean()),
    "d": lambda pl, t: t["facts"].group_by("country").agg(n=pl.col("k").n_unique()),
    "e": lambda pl, t: t["facts"].join(t["dim"], on="k").group_by("segment").agg(*_aggregates(pl)),
    "f": lambda pl, t: t["facts"].select("k", "ts", "amount", "price").sort("k", "ts"),
    "f100": lambda pl, t: t["records"].sort("key"),
    "g": lambda pl, t: t["facts"].group_by("k").agg(
        pl.col("ts").max(), *(pl.col(c).sort_by("ts").last() for c in ("country", "amount", "price"))),
    "h": lambda pl, t: t["facts"].group_by("shop", "country").agg(
        pl.len().alias("n"), pl.col("amount").cast(pl.Int64).sum().alias("amount"), pl.col("price").min().alias("low"),
        pl.col("price").max().alias("high"), pl.col("amount").mean().alias("mean"), pl.col("ts").max().alias("last")),
    "i": lambda pl, t: t["facts"].group_by("m").agg(pl.col("price").median(), shops=pl.col("shop").n_unique()),
    "j": lambda pl, t: t["facts"].join(t["orders"], on="k").group_by(key="k").agg(
        n=pl.len(), total=(pl.col("amount").cast(pl.Int64) * pl.col("quantity")).sum()),
    "k": _running,
    "l": _sessions,
}

if __name__ == "__main__":
    job = json.loads(pathlib.Path(sys.argv[1]).read_text())
    {"duckdb-new": duckdb_new, "datafusion": datafusion, "polars": polars}[job["engine"]](job)
