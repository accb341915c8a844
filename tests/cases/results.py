"""Runs the cases of tests/cases/results: pipelines whose published rows must be those of one DuckDB over the whole
input. Arguments: names of cases (default: all). In an empty directory.

A case is a text file of sections. What stands before the first `---` are comments and `key: value` lines:
  files: N      each table in N files (default 1)           groups: N   rows a row group (default 2048)
  buckets: ...  counts to run with (default 1 2 7), or as_written       tolerance: X   of doubles, relative (default exact)
  partition: SIZE   how much one task reads (default 1KiB: one task a file)
--- input       SQL; each table it makes becomes Parquet files and a source of its name, unless `--- sources` is there
--- sources     YAML of `sources:`, for files that the input's own COPY statements write under data/
--- stages      YAML of `stages:`; `buckets:` is added
--- whole [S]   SQL over the input's tables whose rows stage S (default: the last one) must publish
--- order ORDER     what follows ORDER BY: the rows of the last `--- whole` before it are published in this order (may stand several times)
--- refused T0401 [TEXT]    YAML of `stages:` (default: the last `--- stages`); check exits 2, says this code and this text
"""
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(here))
from duckdb_library import DuckDB, Error  # noqa: E402
from whole import compare, last_event, out_of_order, tidegate, with_buckets  # noqa: E402


def indent(text, by):
    return "".join(" " * by + line if line.strip() else line for line in text.splitlines(keepends=True))


def read_case(path):
    """Options, and sections as (name, argument, text)."""
    options, sections = {"files": "1", "groups": "2048", "buckets": "1 2 7", "partition": "1KiB", "tolerance": "0"}, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("--- "):
                name, _, argument = line[4:].strip().partition(" ")
                assert name in ("input", "sources", "stages", "whole", "order", "refused"), f"{path}: {line}"
                sections.append([name, argument, ""])
            elif sections:
                sections[-1][2] += line
            elif line.strip() and not line.startswith("#"):
                key, _, value = line.partition(":")
                assert key in options, f"{path}: {line}"
                options[key] = value.strip()
    return options, sections


def write_tables(db, directory, options):
    """Each table as files of the directory; YAML of their sources."""
    yaml = ""
    for table, in db.run("SELECT table_name FROM duckdb_tables() ORDER BY table_oid"):
        os.makedirs(f"{directory}/data/{table}")
        rows, files = int(db.run(f"SELECT count(*) FROM \"{table}\"")[0][0]), int(options["files"])
        for i in range(files):
            db.run(f"COPY (FROM \"{table}\" WHERE rowid * {files} // greatest({rows}, 1) = {i}) TO "
                   f"'{directory}/data/{table}/{i}.parquet' (ROW_GROUP_SIZE {options['groups']})")
        yaml += f"{table}: {{files: data/{table}/*.parquet, partition: {options['partition']}, on_empty: allow}}\n"
    return yaml


def last_stage(stages):
    return re.findall(r"(?m)^(\w+):", stages)[-1]


def run_case(name):
    """What is wrong with a case, and how many runs it took."""
    options, sections = read_case(f"{here}/results/{name}.case")
    directory = os.path.abspath(name)
    os.makedirs(f"{directory}/data")
    of = {section: text for section, _, text in sections}
    db = DuckDB()
    try:
        db.run(of["input"].replace("data/", f"{directory}/data/"))
        sources = of["sources"] if "sources" in of else write_tables(db, directory, options)
        stages, runs = of.get("stages", ""), 0
        wholes = [(argument or last_stage(stages), text.strip().rstrip(";"))
                  for section, argument, text in sections if section == "whole"]
        orders, stage = [], ""
        for section, argument, text in sections:
            stage = (argument or last_stage(stages)) if section == "whole" else stage
            orders += [(stage, argument)] if section == "order" else []
        path = f"{directory}/{name}.yaml"

        def write(text, outputs):
            lines = "".join(f"  {s}: {{from: {s}, publish: {{parquet: published/{s}}}}}\n" for s in outputs)
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"version: 1\npipeline: {name}\nsources:\n{indent(sources, 2)}stages:\n"
                           f"{indent(text, 2)}outputs:\n{lines}")

        for section, argument, text in sections:
            if section != "refused":
                continue
            runs += 1
            text = text if text.strip() else stages
            write(text, [last_stage(text)])
            code, _, words = argument.partition(" ")
            rc, _, said = tidegate("check", path)
            if rc != 2 or f"error[{code}]" not in said or words not in said:
                return f"check exits {rc}, not 2 with {code} {words}\n{text}{said}", runs
        assert wholes or runs, f"{name}: nothing to compare with"
        counts = options["buckets"].split() if with_buckets(stages, 1) != stages else ["as_written"]
        for count in counts if wholes else []:
            write(stages if count == "as_written" else with_buckets(stages, count), [stage for stage, _ in wholes])
            rc, out, said = tidegate("run", path, "--json", "--workers", "1")
            runs += 1
            if rc:
                return f"buckets {count}: run exits {rc}\n{said}{out[-3000:]}", runs
            last_event(out)
            for stage, whole in wholes:
                difference = compare(db, whole, f"{directory}/published/{stage}/current", float(options["tolerance"]))
                if difference:
                    return f"buckets {count}: {stage}: {difference}", runs
            for stage, order in orders:
                difference = out_of_order(db, order, f"{directory}/published/{stage}/current")
                if difference:
                    return f"buckets {count}: {stage}: {difference}", runs
        return "", runs
    except (Error, AssertionError, KeyError, ValueError) as error:
        return f"{type(error).__name__}: {error}", 0
    finally:
        db.close()


def main():
    began, failed, total = time.monotonic(), [], 0
    names = sys.argv[1:] or sorted(file[:-5] for file in os.listdir(f"{here}/results") if file.endswith(".case"))
    with ThreadPoolExecutor(2) as pool:
        for name, (said, runs) in zip(names, pool.map(run_case, names)):
            total += runs
            if said:
                failed.append(name)
                print(f"{name}: {said}", flush=True)
    print(f"{len(names)} cases, {total} runs, {len(failed)} wrong {failed}; {time.monotonic() - began:.1f} s")
    return 1 if failed or not names else 0


sys.exit(main())
