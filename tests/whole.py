"""What the tests of results share: run a pipeline by the binary, and compare what it published with what one
DuckDB answers over the whole input."""
import json
import math
import os
import re
import subprocess

from duckdb_library import Error

# Parquet has no such type: what it is published as (docs/contract.md).
STORED_AS = [(r"\bU?HUGEINT\b", "DECIMAL(38,0)"), (r"\bTIMESTAMP_M?S\b", "TIMESTAMP"), (r"\bENUM\([^)]*\)", "VARCHAR"),
             (r"\bBIT\b", "VARCHAR"), (r"\[\d+\]", "[]"), (r"\bINTERVAL\b(?=\[)", "VARCHAR")]


def tidegate(*arguments, timeout=120):
    """Runs a command; its exit code, standard output and standard error."""
    done = subprocess.run([os.environ["TIDEGATE"], *arguments], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def with_buckets(stages, count):
    """The text of `stages:` with so many buckets in each reduce stage that is not one task, and ranges in each that sorts."""
    split = r"(?:partition_by: (?!all\b)|sort_by: )"
    return re.sub(rf"(?m)^( *){split}(.*)$", rf"\g<0>\n\g<1>buckets: {count}",
                  re.sub(rf"\{{(?={split})", f"{{buckets: {count}, ", stages))


def same_number(a, b, tolerance):
    if a == b:
        return True
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return False
    return math.isclose(x, y, rel_tol=tolerance)


def refused(path):
    """What `check` says against stages of a pipeline file whose `stages:` are written as blocks: (stage, code) for each
    error, and for each warning that a result goes by the order of rows (T0503)."""
    rc, out, err = tidegate("check", path, "--json")
    said = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    said = [d for d in said if d.get("severity") == "error" or d.get("code") == "T0503"]
    if not any(d.get("severity") == "error" for d in said):
        assert rc == 0, (rc, out, err)
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    out = []
    for one in said:
        at = one["line"] - 1
        while not re.fullmatch(r"  \w+:", lines[at]):
            at -= 1
        out.append((lines[at].strip(" :"), one["code"]))
    return out


def compare(db, whole, path, tolerance=0.0, loose=None):
    """Difference of the rows of the Parquet files in `path` from those of the SQL `whole`, in words; "" if the
    multisets are equal. With a tolerance doubles may differ by so much, relatively. `loose` says how far each of some
    columns may differ, relatively and absolutely; the others must tell the rows apart."""
    files = f"(FROM read_parquet('{path}/*.parquet'))"
    want = db.run(f"DESCRIBE {whole}")
    have = db.run(f"DESCRIBE FROM {files}")
    if [column[0] for column in want] != [column[0] for column in have]:
        return f"columns {[c[0] for c in have]}, not {[c[0] for c in want]}"
    for (name, wanted, *_), (_, had, *_) in zip(want, have):
        stored = wanted
        for pattern, name_of_stored in STORED_AS:
            stored = re.sub(pattern, name_of_stored, stored)
        if had != stored:
            return f"column {name} is {had}, not {stored}"
    if tolerance:
        return compare_nearly(db, whole, files, want, tolerance)
    quoted = ['"' + c[0].replace('"', '""') + '"' for c in want]
    names = ", ".join(f"{name}::{h[1]} AS {name}" for name, h in zip(quoted, have))
    db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_whole AS SELECT {names} FROM ({whole})")
    db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_split AS FROM {files}")
    said, strict = [], f"* EXCLUDE ({', '.join(loose)})" if loose else "*"
    for label, left, right in (("only split", "split", "whole"), ("only whole", "whole", "split")):
        rows = db.run(f"SELECT {strict} FROM tidegate_{left} EXCEPT ALL SELECT {strict} FROM tidegate_{right}")
        if rows:
            said.append(f"{len(rows)} rows {label}, as {rows[:3]}")
    if loose and not said:
        order = ", ".join([q for q, c in zip(quoted, want) if c[0] not in loose] + list(loose))
        rows = f"SELECT *, row_number() OVER (ORDER BY {order}) AS tidegate_row"
        far = " OR ".join(f"NOT (w.{c} IS NOT DISTINCT FROM s.{c} OR coalesce(isfinite(w.{c}) AND isfinite(s.{c}) AND abs(w.{c} - s.{c}) <= "
                          f"{rel} * greatest(abs(w.{c}), abs(s.{c})) + {absolute}, false))" for c, (rel, absolute) in loose.items())
        rows = db.run(f"SELECT w::VARCHAR, s::VARCHAR FROM ({rows} FROM tidegate_whole) w JOIN ({rows} FROM tidegate_split) s USING (tidegate_row) WHERE {far}")
        if rows:
            said.append(f"{len(rows)} rows too far, as whole and split {rows[:2]}")
    return "; ".join(said)


def out_of_order(db, order, path):
    """Where the rows of the Parquet files in `path`, file after file by name, are not in this order; "" if they are."""
    rows = db.run(f"SELECT * EXCLUDE (tidegate_before) FROM (SELECT *, lag(tidegate_rank) OVER (ORDER BY filename, file_row_number) AS "
                  f"tidegate_before FROM (SELECT *, rank() OVER (ORDER BY {order}) AS tidegate_rank FROM "
                  f"read_parquet('{path}/*.parquet', filename = true, file_row_number = true))) WHERE tidegate_before > tidegate_rank LIMIT 3")
    return f"not in order at {rows}" if rows else ""


def compare_nearly(db, whole, files, columns, tolerance):
    loose = [c[1] in ("DOUBLE", "FLOAT") for c in columns]
    order = [str(i + 1) for i, is_loose in enumerate(loose) if not is_loose]
    order += [str(i + 1) for i, is_loose in enumerate(loose) if is_loose]
    left = db.run(f"FROM ({whole}) ORDER BY {', '.join(order)}")
    right = db.run(f"FROM {files} ORDER BY {', '.join(order)}")
    if len(left) != len(right):
        return f"{len(right)} rows, not {len(left)}"
    for one, other in zip(left, right):
        for is_loose, a, b in zip(loose, one, other):
            if a != b and not (is_loose and same_number(a, b, tolerance)):
                return f"split has {other}, whole {one}"
    return ""


def last_event(text):
    """The last line of `run --json`, which must be that of run_finished."""
    event = json.loads(text.splitlines()[-1])
    assert event["event"] == "run_finished", event
    return event


__all__ = ["Error", "tidegate", "with_buckets", "compare", "out_of_order", "refused", "last_event"]
