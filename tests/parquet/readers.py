#!/usr/bin/env python3
"""Compares what pyarrow and Polars read of Parquet files with what DuckDB reads.

usage: readers.py DIR...    with pyarrow, polars and duckdb where they are to be had

Installs nothing; a reader that cannot be imported is named and left out. Files of every type come from
  TIDEGATE_PARQUET_KEEP=DIR build/dev/test_sink --gtest_filter='All/*'
"""
import decimal
import math
import pathlib
import struct
import sys
import tempfile
import uuid

READERS = {}


def arrow_rows(path):
    """Rows by pyarrow: a list of values for each column."""
    table = pyarrow.parquet.read_table(path)
    return {name: [plain(value) for value in arrow_values(table.column(name))] for name in table.column_names}


def arrow_values(column):
    kind = column.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_time64(kind) or pyarrow.types.is_date(kind):
        # As numbers: Python's own types are too narrow for DuckDB's infinities.
        wide = pyarrow.int32() if pyarrow.types.is_date(kind) else pyarrow.int64()
        return [None if v is None else v for v in column.cast(wide).to_pylist()]
    if isinstance(kind, pyarrow.BaseExtensionType):
        column = pyarrow.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if kind == pyarrow.binary(12):  # an INTERVAL
        return [None if v is None else list(struct.unpack("<III", v)) for v in column.to_pylist()]
    return column.to_pylist()


def polars_rows(path):
    frame = polars.read_parquet(path)
    out = {}
    for name in frame.columns:
        series = frame[name]
        if series.dtype == polars.Time:  # nanoseconds there
            series = series.to_physical() // 1000
        elif series.dtype.is_temporal():
            series = series.to_physical()
        out[name] = [plain(value) for value in series.to_list()]
    return out


def plain(value):
    """A value in a form that all three agree on."""
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return repr(value)
    if isinstance(value, decimal.Decimal):
        return value.normalize().to_eng_string() if value else "0"
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    return value


NUMBERS = {"DATE": "date_diff('day', DATE '1970-01-01', {})", "TIME": "epoch_us({})",
           "TIMESTAMP": "epoch_us({})", "TIMESTAMP WITH TIME ZONE": "epoch_us({})", "TIMESTAMP_NS": "epoch_ns({})"}


def duckdb_rows(connection, path):
    """Rows by DuckDB, and the (column, row) that have values other readers' types lack."""
    connection.execute(f"CREATE OR REPLACE TABLE t AS FROM '{path}'")
    schema = connection.execute("DESCRIBE t").fetchall()
    outside, out = set(), {}
    for name, kind, *_ in schema:
        column = f'"{name}"'
        expression = column
        if kind in NUMBERS:
            expression = NUMBERS[kind].format(column)
            if kind != "TIME":
                expression = f"CASE WHEN isfinite({column}) THEN {expression} END"
                rows = connection.execute(f"SELECT rowid FROM t WHERE NOT isfinite({column})").fetchall()
            else:  # 24:00 is none to Polars
                rows = connection.execute(f"SELECT rowid FROM t WHERE {column} = TIME '24:00:00'").fetchall()
            outside.update((name, row) for (row,) in rows)
        if kind == "INTERVAL":
            day = f"datepart('hour', {column}) * 3600000 + datepart('minute', {column}) * 60000 + " \
                  f"datepart('millisecond', {column})"
            expression = f"CASE WHEN {column} IS NOT NULL THEN [datepart('year', {column}) * 12 + " \
                         f"datepart('month', {column}), datepart('day', {column}), {day}] END"
        if kind == "UUID":
            expression = f"{column}::UUID"
        if kind == "JSON":
            expression = f"{column}::VARCHAR::BLOB"  # JSON is bytes to Polars
        values = connection.execute(f"SELECT {expression} FROM t ORDER BY rowid").fetchall()
        out[name] = [plain(value) for (value,) in values]
    return out, outside


def refuses_duckdbs_own(connection, rows):
    """True if the reader fails on the same rows as DuckDB writes them, too."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "peer.parquet"
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
        try:
            rows(path)
        except BaseException:  # Polars panics
            return True
    return False


def main(paths):
    if not READERS or duckdb is None:
        print("duckdb and one of pyarrow and polars are needed")
        return 77
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    bad = 0
    counts = dict.fromkeys(READERS, 0)
    for path in sorted(p for d in paths for p in ([pathlib.Path(d)] if d.endswith(".parquet") else
                                                  pathlib.Path(d).glob("*.parquet"))):
        expected, outside = duckdb_rows(connection, path)
        for reader, rows in READERS.items():
            try:
                got = rows(path)
            except BaseException as error:  # a reader's own refusal, or Polars' panic, is the finding
                if refuses_duckdbs_own(connection, rows):
                    print(f"{path.name}: {reader} does not read this type, from DuckDB either")
                    continue
                print(f"{path.name}: {reader}: {type(error).__name__}: {str(error)[:200]}")
                bad += 1
                continue
            for name, values in expected.items():
                mine = got[name]
                wrong = [i for i, (a, b) in enumerate(zip(values, mine, strict=True))
                         if a != b and (name, i) not in outside]
                if wrong:
                    i = wrong[0]
                    print(f"{path.name}: {reader}: {name}: {len(wrong)} of {len(values)} rows differ, the first in row "
                          f"{i}: DuckDB {values[i]!r}, {reader} {mine[i]!r}")
                    bad += 1
            counts[reader] += 1
    for reader, count in counts.items():
        print(f"{reader} read {count} files")
    print(f"{bad} differences")
    return 1 if bad else 0


try:
    import duckdb
except ImportError:
    duckdb = None
try:
    import pyarrow
    import pyarrow.parquet
    READERS["pyarrow " + pyarrow.__version__] = arrow_rows
except ImportError:
    print("no pyarrow here")
try:
    import polars
    READERS["polars " + polars.__version__] = polars_rows
except ImportError:
    print("no polars here")

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
