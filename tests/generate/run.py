"""Random pipelines by the binary against DuckDB over the whole input, in search of what is accepted and different.

Random tables (skew, NULL, NaN, -0.0, extremes, empty ones, several files) and random stages over them and over each other;
what `check` refuses is dropped, the rest runs as outputs of one pipeline with random partitions and buckets. Left out of the
SQL is what goes by the order of rows. TIDEGATE_GENERATED: stages to try (default 200); TIDEGATE_SEED: the seed, printed.
In an empty directory.
"""
import json
import os
import random
import shutil
import sys
import time
from collections import Counter

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from duckdb_library import DuckDB, Error  # noqa: E402
from whole import compare, last_event, refused, tidegate  # noqa: E402

BATCH = 25
# A stage that DuckDB alone needs longer for is no case.
REFERENCE_SECONDS = 10
COLUMNS = ["k", "x", "i", "f", "d", "n"]
KEYS = {"k": ["k"], "x": ["x"], "kx": ["k", "x"], "d": ["d"], "n": ["n"], "f": ["f"]}
TYPES = {
    "k": ["INTEGER", "BIGINT", "SMALLINT", "UTINYINT"],
    "d": ["DATE", "TIMESTAMP", "TIMESTAMPTZ"],
    "n": ["DECIMAL(9,2)", "DECIMAL(18,4)", "DECIMAL(30,3)"],
}


class Relation:
    """A source or a stage with the columns k, x, i, f, d and n."""

    def __init__(self, name, kind):
        self.name, self.kind, self.part = name, kind, None


class Batch:
    """Tables, and stages over them, of one pipeline file."""

    def __init__(self, rng, number):
        self.rng, self.name = rng, f"batch{number}"
        self.tables, self.stages = {}, []

    def chance(self, percent):
        return self.rng.random() * 100 < percent

    def pick(self, values):
        return self.rng.choice(values)

    def table_sql(self):
        rows = self.pick([0, 1, 2, 7, 40, 40, 90, 90, 90, 200])
        spread = self.pick([1, 2, 5, 13, 13, 30])
        hot = self.pick([0, 0, 30, 80])
        salt = self.rng.randrange(1 << 30)

        def draw(column, n):
            return f"(hash(i, '{column}', {salt}) % {n})::INTEGER"
        k = f"CASE WHEN {draw('h', 100)} < {hot} THEN 1 WHEN {draw('z', 12)} = 0 THEN NULL ELSE {draw('k', spread)} END"
        extreme = self.pick(["0", "9223372036854775807", "-9223372036854775807"])
        return (f"SELECT ({k})::{self.pick(TYPES['k'])} AS k, "
                f"(['a', 'b', '', NULL, 'é', 'a ', 'A', repeat('long', 9)])[{draw('x', self.pick([2, 4, 8]))} + 1] AS x, "
                f"CASE {draw('e', 40)} WHEN 0 THEN {extreme} WHEN 1 THEN NULL ELSE {draw('i', 20)} END::BIGINT AS i, "
                f"([1.5, -0.0::DOUBLE, 0.0, 'nan'::DOUBLE, NULL, 'inf', '-inf', 2.0, -7.25])[{draw('f', 9)} + 1] AS f, "
                f"(CASE {draw('w', 9)} WHEN 0 THEN NULL WHEN 1 THEN DATE '1969-12-31' ELSE DATE '2020-02-27' + {draw('d', 6)} END)::{self.pick(TYPES['d'])} AS d, "
                f"(CASE {draw('m', 9)} WHEN 0 THEN NULL ELSE {draw('n', 7)} * 0.25 - 0.5 END)::{self.pick(TYPES['n'])} AS n "
                f"FROM range({rows}) r(i)")

    def make_tables(self, db):
        yaml = ""
        for name in self.pick([["ta", "tb", "tc"], ["ta", "tb", "tc", "td"]]):
            self.tables[name] = f"{self.name}_{name}"
            db.run(f"CREATE OR REPLACE TABLE {self.name}_{name} AS {self.table_sql()}")
            os.makedirs(f"{self.name}/data/{name}")
            files = self.pick([1, 1, 2, 3, 5])
            for i in range(files):
                db.run(f"COPY (FROM {self.name}_{name} WHERE rowid % {files} = {i}) TO "
                       f"'{self.name}/data/{name}/{i}.parquet'")
            yaml += (f"  {name}: {{files: data/{name}/*.parquet, on_empty: allow, "
                     f"partition: {self.pick(['1KiB', '1KiB', '2KiB', '1MiB'])}}}\n")
        return yaml

    def base(self, names):
        return self.pick(names)

    def relation(self, depth, names):
        if depth == 0 or self.chance(45):
            return self.base(names)
        return f"({self.query(depth - 1, names)})"

    def equality(self, left, right):
        keys = KEYS[self.key]
        equal = "=" if self.chance(85) else "IS NOT DISTINCT FROM"
        out = " AND ".join(f"{left}.{k} {equal} {right}.{k}" for k in keys)
        if self.chance(6):
            out = f"{left}.x {equal} {right}.x"
        if self.chance(5):
            out = f"{left}.k = {right}.i"
        if self.chance(15):
            out += f" AND {left}.i {self.pick(['<', '>', '='])} {right}.i"
        if self.chance(15):
            out += f" AND {self.pick([left, right])}.x {self.pick(['= chr(97)', 'IS NULL', '<> repeat(chr(97), 0)'])}"
        if self.chance(4):
            out = f"({out}) OR {left}.i = 3"
        return out

    def same(self, alias="", **other):
        """The six columns of an alias, some of them other expressions."""
        dot = f"{alias}." if alias else ""
        return ", ".join(f"{other[c]} AS {c}" if c in other else dot + c for c in COLUMNS)

    def group(self):
        keys = [*KEYS[self.key]]
        if self.chance(8):
            keys = [self.pick(COLUMNS)]
        keys += [c for c in ("x", "k", "d", "i % 3") if c not in keys and self.chance(20)]
        return keys

    def query(self, depth, names):
        q, p = self.relation(depth, names), self.relation(depth, names)
        keys = KEYS[self.key]
        kind = self.rng.randrange(23)
        if kind <= 1:
            where = self.pick(["true", "i > 3", "x <> 'a'", "k IS NOT NULL", "f >= 0", "d > DATE '2020-01-01'", "n < 1"])
            change = self.pick([{}, {"i": "i % 5"}, {"x": "upper(x)"}, {"f": "-f"}, {"k": "k::HUGEINT"}, {"k": "k::BIGINT"}, {"k": "k::DOUBLE"}, {"d": "d::TIMESTAMP"}, {"n": "n::DECIMAL(32,4)"}, {"x": "md5(x)"}, {"k": "(i % 40)::INTEGER", "i": "k::BIGINT"}, {"i": "length(x)::BIGINT"}, {"n": "-n"}])
            return f"SELECT {self.same(**change)} FROM {q} q WHERE {where}"
        if kind <= 5:
            group = self.group()
            other = {"k": "max(k)", "x": "min(x)", "i": self.pick(["count(*)", "count(i)", "min(i)", "count(DISTINCT x)", "max(i)", "bit_xor(i)",
                                                                   "count(*) FILTER (WHERE f > 0)"]),
                     "f": self.pick(["max(f)", "min(f)", "count(f)::DOUBLE", "median(i)"]), "d": "max(d)", "n": self.pick(["min(n)", "max(n)"])}
            for key in group:
                other.pop(key, None)
            if self.chance(8):  # an alias that shadows what is grouped by
                other["k"] = "(max(i) % 7)::INTEGER"
            having = self.pick(["", "", " HAVING count(*) > 1", " HAVING max(i) IS NOT NULL"])
            return f"SELECT {self.same(**other)} FROM {q} q GROUP BY {', '.join(group)}{having}"
        if kind == 6:
            rest = [c for c in ("x", "d", "n") if c not in keys]
            sets = self.pick([f"{', '.join(keys)}, ROLLUP ({', '.join(rest)})", f"GROUPING SETS (({', '.join(keys)}), ({', '.join(keys + rest)}))",
                              f"CUBE ({', '.join(keys)})"])
            other = {c: f"max({c})" for c in COLUMNS if c not in keys + rest}
            if sets.startswith("CUBE"):
                other.update({c: f"max({c})" for c in rest})
            return f"SELECT {self.same(**other)} FROM {q} q GROUP BY {sets}"
        if kind == 7:
            change = self.pick([{}, {"i": "i % 2", "f": "1.0::DOUBLE"}, {"n": "0", "d": "DATE '2020-01-01'"}])
            return f"SELECT DISTINCT {self.same(**{c: e for c, e in change.items() if c not in keys})} FROM {q} q"
        if kind == 8:
            over = ", ".join(self.group())
            window = self.pick(["count(*) OVER ({})", "rank() OVER ({} ORDER BY i)", "max(i) OVER ({} ORDER BY d)", "dense_rank() OVER ({} ORDER BY f DESC, x)",
                                "min(i) OVER ({} ORDER BY d RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW)"])
            return f"SELECT {self.same(i=window.format('PARTITION BY ' + over))} FROM {q} q"
        if kind == 9:
            return f"SELECT * FROM {q} q QUALIFY rank() OVER (PARTITION BY {', '.join(self.group())} ORDER BY i DESC) = 1"
        if kind <= 12:
            join = self.pick(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            mixed = ", ".join(f"{self.pick(['p', 'p', 'q'])}.{c}" for c in COLUMNS)
            return f"SELECT {mixed} FROM {p} p {join} {q} q ON {self.equality('p', 'q')}"
        if kind == 13:
            join = self.pick(["JOIN", "LEFT JOIN", "FULL JOIN", "RIGHT JOIN"])
            mixed = ", ".join(c if c in keys else f"{self.pick('pq')}.{c}" for c in COLUMNS)
            return f"SELECT {mixed} FROM {p} p {join} {q} q USING ({', '.join(keys)})"
        if kind == 14:
            return f"SELECT {self.same('p')} FROM {p} p, {q} q WHERE {self.equality('p', 'q')}"
        if kind == 15:
            return f"SELECT {self.same('p')} FROM {p} p {self.pick(['SEMI', 'ANTI'])} JOIN {q} q ON {self.equality('p', 'q')}"
        if kind == 16:
            return (f"SELECT * FROM {p} p WHERE {self.pick(['', 'NOT '])}EXISTS "
                    f"(SELECT 1 FROM {q} q WHERE {self.equality('p', 'q')})")
        if kind == 17:
            negated = "NOT " if self.chance(15) else ""
            return f"SELECT * FROM {p} p WHERE {keys[0]} {negated}IN (SELECT {self.pick([keys[0], keys[0], 'k', 'i'])} FROM {q} q)"
        if kind == 18:
            scalar = self.pick(["count(*)", "max(q.i)", "min(q.i)", "count(q.x)"])
            return f"SELECT {self.same('p', i=f'(SELECT {scalar} FROM {q} q WHERE ' + self.equality('p', 'q') + ')')} FROM {p} p"
        if kind <= 20:
            operation = self.pick(["UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"])
            return f"SELECT {self.same()} FROM {p} p {operation} SELECT {self.same()} FROM {q} q"
        if kind == 21:
            return (f"SELECT {self.same('p', i='l.i')} FROM {p} p, LATERAL (SELECT i FROM {q} q WHERE {self.equality('p', 'q')} "
                    f"ORDER BY i LIMIT {self.pick([1, 2, 3])}) l")
        join = self.pick(["JOIN", "LEFT JOIN", "FULL JOIN"])
        using = ", ".join(keys)
        mixed = ", ".join(c if c in keys else f"{self.pick('ab')}.{c}" for c in COLUMNS)
        return f"WITH c AS (SELECT {self.same()} FROM {q} q) SELECT {mixed} FROM c a {join} c b USING ({using})"

    def stage(self, number):
        """One more stage: YAML fields and its SQL, over tables and earlier stages."""
        rng = self.rng
        names = list(self.tables) + [s["name"] for s in self.stages[-6:]]
        names = rng.sample(names, min(len(names), rng.randrange(1, 4)))
        self.key = self.pick(["k", "k", "k", "k", "x", "kx", "kx", "d", "n", "f"])
        fields = {}
        broadcast = [n for n in names if len(names) > 1 and self.chance(20)]
        mode = self.pick(["reduce"] * 7 + ["map"] * 2 + ["all"])
        if mode == "all":
            fields["partition_by"] = "all"
            broadcast = []
        elif mode == "reduce":
            keyed = KEYS[self.key][:1] if len(KEYS[self.key]) > 1 and self.chance(40) else KEYS[self.key]
            fields["partition_by"] = "[" + ", ".join(keyed) + "]"
            if keyed == ["k"] and len(names) == 2 and not broadcast and self.chance(10):
                fields["partition_by"] = f"{{{names[0]}: [k], {names[1]}: [i]}}"
            if self.chance(80):
                fields["buckets"] = str(self.pick([1, 2, 3, 5, 7, 7, 16]))
        sql = self.query(self.pick([0, 1, 1, 2]), names)
        broadcast = [n for n in broadcast if f" {n}" in sql]
        if broadcast:
            fields["broadcast"] = "[" + ", ".join(broadcast) + "]"
        return {"name": f"s{number}", "fields": fields, "sql": sql}

    def write(self, sources, stages, path):
        text = f"version: 1\npipeline: {self.name}\nsources:\n{sources}stages:\n"
        for stage in stages:
            text += f"  {stage['name']}:\n" + "".join(f"    {k}: {v}\n" for k, v in stage["fields"].items())
            text += f"    sql: |\n      {stage['sql']}\n"
        text += "outputs:\n" + "".join(f"  {s['name']}: {{from: {s['name']}, publish: {{parquet: published/{s['name']}}}}}\n" for s in stages)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def whole(self, stage):
        """A view of the stage over whole tables; later stages see it by its name."""
        return f"CREATE OR REPLACE TEMP VIEW {stage['name']} AS {stage['sql']}"


class Hunt:
    def __init__(self, seed):
        self.rng, self.db = random.Random(seed), DuckDB()
        self.tried = self.accepted = self.compared = 0
        self.codes, self.wrong = Counter(), []

    def batch(self, number, size):
        """Makes up stages until `size` have been tried; runs those that check accepts."""
        batch = Batch(self.rng, number)
        os.makedirs(f"{batch.name}/data")
        sources = batch.make_tables(self.db)
        for name, table in batch.tables.items():
            self.db.run(f"CREATE OR REPLACE TEMP VIEW {name} AS FROM {table}")
        path = f"{batch.name}/p.yaml"
        # All proposals are checked at once, over tables and over what stood before; rounds build chains.
        rounds = 4
        for turn in range(rounds):
            proposals = []
            for _ in range(size // rounds + (turn < size % rounds)):
                stage = batch.stage(self.tried)
                self.tried += 1
                try:  # What DuckDB itself cannot run is no case.
                    self.db.run(batch.whole(stage))
                    if int(self.db.run(f"SELECT count(*) FROM (FROM {stage['name']} LIMIT 20001)", REFERENCE_SECONDS)[0][0]) > 20000:
                        continue
                    self.db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_tried AS FROM {stage['name']}", REFERENCE_SECONDS)
                except Error as error:
                    self.codes["DuckDB: " + str(error).split(":")[0][:20]] += 1
                    continue
                proposals.append(stage)
            batch.stages += self.checked(batch, sources, proposals, path)
        wrong = len(self.wrong)
        if batch.stages:
            self.run(batch, sources, path)
        if len(self.wrong) == wrong:  # else it stays, to be looked at
            shutil.rmtree(batch.name)
        for table in batch.tables.values():
            self.db.run(f"DROP VIEW IF EXISTS {table.split('_', 1)[1]}; DROP TABLE {table}")

    def checked(self, batch, sources, proposals, path):
        """Those of the proposals that check accepts; stages marked unordered are no case."""
        while proposals:
            batch.write(sources, batch.stages + proposals, path)
            bad = dict(refused(path))
            if not bad:
                break
            assert bad.keys() <= {p["name"] for p in proposals}, bad
            self.codes.update(bad.values())
            proposals = [p for p in proposals if p["name"] not in bad]
        self.accepted += len(proposals)
        return proposals

    def run(self, batch, sources, path):
        batch.write(sources, batch.stages, path)
        rc, out, err = tidegate("run", path, "--json", timeout=600)
        if rc:
            self.wrong.append(batch.name)
            events = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            why = [e.get("message") for e in events if e.get("event") == "task_failed"]
            print(f"{batch.name}: run exits {rc}: {why[:3]} {err[-500:]} {out[-500:] if not why else ''}", flush=True)
            return
        last_event(out)
        for stage in batch.stages:
            difference = compare(self.db, f"FROM {stage['name']}", f"{batch.name}/published/{stage['name']}/current")
            self.compared += 1
            if difference:
                self.wrong.append(stage["name"])
                print(f"{batch.name} {stage}: {difference}", flush=True)


def main():
    count = int(os.environ.get("TIDEGATE_GENERATED", "200"))
    seed = int(os.environ.get("TIDEGATE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"seed {seed}, {count} stages; TIDEGATE_SEED and TIDEGATE_GENERATED set them", flush=True)
    hunt, began, number = Hunt(seed), time.monotonic(), 0
    while hunt.tried < count and len(hunt.wrong) < 10:
        hunt.batch(number, min(BATCH, count - hunt.tried))
        number += 1
    print(f"{hunt.tried} stages tried, {hunt.accepted} accepted, {hunt.compared} compared, {len(hunt.wrong)} wrong {hunt.wrong[:10]}; "
          f"{time.monotonic() - began:.1f} s")
    print("not accepted: " + ", ".join(f"{n} {code}" for code, n in hunt.codes.most_common(25)))
    if hunt.compared < count / 10:
        print("too few were compared")
        return 1
    return 1 if hunt.wrong else 0


sys.exit(main())
