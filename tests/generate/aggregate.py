"""Random reduce stages by the binary against DuckDB over the whole input: aggregates, DISTINCT, latest rows, joins, windows, sorts.

Random tables (every type, skew, NULLs, extremes, few and many keys, several files), read as they are and through a map that
gives them types that Parquet lacks; many stages run as outputs of one pipeline with random buckets, bounds, partitions and
workers. Every answer is settled by its SQL: `u` numbers the rows, so an ORDER BY with it is total. A stage that differs is made
smaller and written as NAME.case for tests/cases/results. TIDEGATE_AGGREGATES: stages to run (default 300); TIDEGATE_SEED: the
seed, printed. In an empty directory.
"""
import copy
import json
import os
import random
import re
import shutil
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from duckdb_library import DuckDB, Error  # noqa: E402
from random_stages import ROWS_MAX, Maker, Stage  # noqa: E402
from whole import compare, out_of_order, refused, tidegate  # noqa: E402

BATCH = 50


def write_pipeline(directory, name, tables, sources, stages):
    maps = "".join(f"  m_{t.name}: {{sql: \"{t.map_sql()}\"}}\n" for t in tables if any(f"m_{t.name}" in s.inputs for s in stages))
    outputs = "".join(f"  {s.name}: {{from: {s.name}, publish: {{parquet: published/{s.name}}}}}\n" for s in stages)
    path = f"{directory}/p.yaml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"version: 1\npipeline: {name}\nsources:\n{sources}stages:\n{maps}{''.join(s.yaml() for s in stages)}outputs:\n{outputs}")
    return path


def run_pipeline(path, workers):
    """What a run that fails says; "" if it does not."""
    rc, out, err = tidegate("run", path, "--json", "--workers", str(workers), timeout=900)
    if not rc:
        return ""
    events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    why = [f"{e.get('stage')}: {e.get('code')} {e.get('message')}" for e in events if e.get("event") == "task_failed"]
    return f"run exits {rc}: {why[:3] or (err + out)[-500:]}"


class Hunt:
    def __init__(self, seed):
        self.seed, self.db = seed, DuckDB()
        self.tried = self.compared = 0
        self.codes, self.wrong = Counter(), []

    def want(self, stage):
        """Makes what the stage should publish; false if DuckDB itself cannot, or the rows are too many."""
        rows = self.db.run(f"SELECT count(*) FROM (FROM ({self.bounded(stage)}) LIMIT {ROWS_MAX * 2 + 1})")
        if int(rows[0][0]) > ROWS_MAX * 2:
            raise Error("too many rows")
        self.db.run(f"CREATE OR REPLACE TEMP TABLE want_{stage.name} AS {stage.sql()}")
        # Parquet has these as DECIMAL(38,0).
        wide = [row[0] for row in self.db.run(f"DESCRIBE FROM want_{stage.name}") if row[1] in ("HUGEINT", "UHUGEINT")]
        if wide:
            self.db.run(f"SELECT {', '.join(f'max({c}::DECIMAL(38,0))' for c in wide)} FROM want_{stage.name}")

    def bounded(self, stage):
        """The stage's SQL, or an error where a join would make too many rows of a hot key."""
        if stage.joined_by:
            (p, q), keys = stage.inputs, stage.joined_by
            names = ", ".join(keys)
            n = self.db.run(f"SELECT coalesce(sum(x.n * y.n), 0) FROM (SELECT {names}, count(*) AS n FROM {p} GROUP BY ALL) x JOIN "
                            f"(SELECT {names}, count(*) AS n FROM {q} GROUP BY ALL) y ON {' AND '.join(f'x.{k} IS NOT DISTINCT FROM y.{k}' for k in keys)}")
            if int(n[0][0]) > ROWS_MAX * 4:
                raise Error("too many pairs")
        return stage.sql()

    def batch(self, number, size):
        rng = random.Random(f"{self.seed} {number}")
        maker, directory = Maker(rng), f"batch{number}"
        sources = "".join(t.write(self.db, directory) for t in maker.tables)
        stages = []
        for _ in range(size * 4):
            if len(stages) == size:
                break
            stage = maker.stage(len(stages))
            self.tried += 1
            try:
                self.want(stage)
            except Error as error:
                self.codes["DuckDB: " + str(error).split(":")[0][:24]] += 1
                continue
            stages.append(stage)
        path = write_pipeline(directory, f"batch{number}", maker.tables, sources, stages)
        bad = {name: code for name, code in refused(path) if code != "T0503"}
        self.codes.update(bad.values())
        stages = [s for s in stages if s.name not in bad]
        workers = rng.choice([1, 2, 2, 3])
        path = write_pipeline(directory, f"batch{number}", maker.tables, sources, stages)
        said = run_pipeline(path, workers)
        found = []
        if said:
            print(f"seed {self.seed} batch {number}: {said}", flush=True)
            for stage in stages:  # each on its own
                alone = self.alone(maker.tables, stage, f"{directory}/alone_{stage.name}", workers)
                self.compared += 1
                if alone:
                    found.append((stage, alone))
            if not found:
                self.wrong.append(f"batch {number}")
        else:
            for stage in stages:
                self.compared += 1
                difference = self.difference(stage, directory)
                if difference:
                    found.append((stage, difference))
        for stage, difference in found[:3]:
            name = f"found_{self.seed}_{number}_{stage.name}"
            self.wrong.append(name)
            print(f"seed {self.seed} batch {number} {stage.name}: {difference[:2000]}\n{stage.yaml()}", flush=True)
            self.minimise(copy.deepcopy(maker.tables), copy.deepcopy(stage), name, workers)
        shutil.rmtree(directory, ignore_errors=True)

    def difference(self, stage, directory):
        path = f"{directory}/published/{stage.name}/current"
        said = compare(self.db, f"FROM want_{stage.name}", path, loose=stage.loose(self.db))
        return said or (out_of_order(self.db, stage.order, path) if stage.order else "")

    def alone(self, tables, stage, directory, workers):
        """What is wrong with one stage over these tables; "" if nothing is, or DuckDB cannot run it."""
        shutil.rmtree(directory, ignore_errors=True)
        try:
            sources = "".join(t.write(self.db, directory) for t in tables if t.name in stage.tables())
            self.want(stage)
            path = write_pipeline(directory, "alone", tables, sources, [stage])
            return run_pipeline(path, workers) or self.difference(stage, directory)
        except Error as error:
            self.codes["DuckDB: " + str(error).split(":")[0][:24]] += 1
            return ""
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def minimise(self, tables, stage, name, workers):
        """Takes away what can go while the stage still differs; writes the rest as a case."""
        began, last = time.monotonic(), ""

        def still():
            nonlocal last
            said = self.alone(tables, stage, "minimise", workers) if time.monotonic() - began < 120 else ""
            last = said or last
            return bool(said)

        def attempt(owner, member, value):
            old = getattr(owner, member)
            if old == value:
                return True
            setattr(owner, member, value)
            if still():
                return True
            setattr(owner, member, old)
            return False

        if not still():
            print(f"{name}: it does not differ on its own", flush=True)
            return
        attempt(stage, "where", "")
        attempt(stage, "having", "")
        for item in list(stage.items):
            attempt(stage, "items", [i for i in stage.items if i is not item])
        used = [t for t in tables if t.name in stage.tables()]
        for field, value in (("buckets", 2), ("buckets", 1), ("memory", "512MiB")):
            attempt(stage, "fields", {**stage.fields, field: value})
        for table in used:
            for column in list(table.columns):
                if not re.search(rf"\b{column.name}\b", stage.sql()):
                    attempt(table, "columns", [c for c in table.columns if c is not column])
        for table in used:
            attempt(table, "files", 1)
            attempt(table, "partition", "1MiB")
            low, high = 0, table.rows
            while high - low > 1:
                middle = (low + high) // 2
                if attempt(table, "keep", [f"i >= {low}", f"i < {middle}"]):
                    high = middle
                elif attempt(table, "keep", [f"i >= {middle}", f"i < {high}"]):
                    low = middle
                else:
                    break
            for divisor in (2, 3, 5, 7, 11) if high - low > 1 else ():
                for rest in range(divisor):
                    if attempt(table, "keep", table.keep + [f"i % {divisor} = {rest}"]):
                        break
            if high - low <= 64:
                for i in range(low, high):
                    attempt(table, "keep", table.keep + [f"i <> {i}"])
        self.write_case(used, stage, name, last)

    def write_case(self, used, stage, name, said):
        maps = [t for t in used if f"m_{t.name}" in stage.inputs]
        with open(f"{name}.case", "w", encoding="utf-8") as file:
            file.write("".join(f"# {line}\n" for line in said[:300].splitlines()))
            loose = max([item.loose[0] for item in stage.items if item.loose], default=0)
            file.write(f"files: {max(t.files for t in used)}\npartition: {used[0].partition}\nbuckets: {stage.fields['buckets']}\ntolerance: {loose}\n--- input\n")
            for table in used:
                file.write(f"CREATE TABLE {table.name} AS {table.sql()};\n")
            fields = {k: v for k, v in stage.fields.items() if k != "buckets"}
            shown = Stage(stage.name, stage.form, stage.fixed, stage.items, fields, stage.inputs)
            shown.where, shown.having = stage.where, stage.having
            file.write("--- stages\n" + "".join(f"m_{t.name}: {{sql: \"{t.map_sql()}\"}}\n" for t in maps) + shown.yaml(""))
            ctes = ", ".join(f"m_{t.name} AS ({t.map_sql()})" for t in maps)
            file.write(f"--- whole {stage.name}\n{'WITH ' + ctes + ' ' if ctes else ''}{stage.sql()}\n")
        print(f"{name}.case:\n{open(f'{name}.case', encoding='utf-8').read()}", flush=True)


def main():
    count = int(os.environ.get("TIDEGATE_AGGREGATES") or "300")
    seed = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}, {count} stages; TIDEGATE_SEED and TIDEGATE_AGGREGATES set them", flush=True)
    hunt, began, number = Hunt(seed), time.monotonic(), 0
    while hunt.compared < count and len(hunt.wrong) < 10 and hunt.tried < 20 * count:
        hunt.batch(number, min(BATCH, count - hunt.compared))
        number += 1
        if number % 40 == 0:
            print(f"{hunt.compared} compared, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{hunt.tried} stages tried, {hunt.compared} compared, {len(hunt.wrong)} wrong {hunt.wrong[:10]}; {time.monotonic() - began:.1f} s")
    print("not run: " + ", ".join(f"{n} {code}" for code, n in hunt.codes.most_common(25)))
    return 1 if hunt.wrong or hunt.compared < count else 0


sys.exit(main())
