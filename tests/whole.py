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
             (r"\bBIT\b", "VARCHAR"), (r"\[\d+\]", "[]")]


def tidegate(*arguments, timeout=120):
    """Runs a command; its exit code, standard output and standard error."""
    done = subprocess.run([os.environ["TIDEGATE"], *arguments], capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def with_buckets(stages, count):
    """The text of `stages:` with so many buckets in each reduce stage that is not one task."""
    return re.sub(r"(?m)^( *)partition_by: (?!all\b)(.*)$", rf"\g<0>\n\g<1>buckets: {count}",
                  re.sub(r"\{partition_by: (?!all\b)", f"{{buckets: {count}, partition_by: ", stages))


def same_number(a, b, tolerance):
    if a == b:
        return True
    try:
        x, y = float(a), float(b)
    except (TypeError, ValueError):
        return False
    return math.isclose(x, y, rel_tol=tolerance)


def compare(db, whole, path, tolerance=0.0):
    """Difference of the rows of the Parquet files in `path` from those of the SQL `whole`, in words; "" if the
    multisets are equal. With a tolerance doubles may differ by so much, relatively."""
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
    names = ", ".join('"' + c[0].replace('"', '""') + '"::' + h[1] for c, h in zip(want, have))
    db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_whole AS SELECT {names} FROM ({whole})")
    db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_split AS FROM {files}")
    said = []
    for label, left, right in (("only split", "split", "whole"), ("only whole", "whole", "split")):
        rows = db.run(f"FROM tidegate_{left} EXCEPT ALL FROM tidegate_{right}")
        if rows:
            said.append(f"{len(rows)} rows {label}, as {rows[:3]}")
    return "; ".join(said)


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


__all__ = ["Error", "tidegate", "with_buckets", "compare", "last_event"]
