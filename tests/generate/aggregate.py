"""Random reduce stages by the binary against DuckDB over the whole input: aggregates, DISTINCT, latest rows, joins, windows.

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
from whole import compare, refused, tidegate  # noqa: E402

BATCH = 50
ROWS_MAX = 20000
NINES = "9" * 38
# A type: what Parquet keeps of it (none: the type itself), a value from {n} >= 0, and the ends of its range.
TYPES = {
    "TINYINT": (None, "{n} % 200 - 100", ["-128", "127"]),
    "SMALLINT": (None, "{n} % 60000 - 100", ["-32768", "32767"]),
    "INTEGER": (None, "{n} - 50", ["-2147483648", "2147483647"]),
    "BIGINT": (None, "{n} * 3 - 70", ["-9223372036854775808", "9223372036854775807"]),
    "HUGEINT": ("DECIMAL(38,0)", "{n} * 5 - 20", ["'-" + NINES + "'", "'" + NINES + "'", "18446744073709551616"]),
    "UTINYINT": (None, "{n} % 256", ["0", "255"]),
    "USMALLINT": (None, "{n} % 65536", ["0", "65535"]),
    "UINTEGER": (None, "{n} * 2", ["0", "4294967295"]),
    "UBIGINT": (None, "{n} * 7", ["0", "18446744073709551615"]),
    "UHUGEINT": ("DECIMAL(38,0)", "{n} * 2", ["0", "'" + NINES + "'"]),
    "FLOAT": (None, "{n} / 64.0 - 3", ["'nan'", "'-0.0'", "'inf'", "'-inf'", "1e-45", "3.4e38", "-3.4e38"]),
    "DOUBLE": (None, "{n} / 64.0 - 3", ["'nan'", "'-0.0'", "'inf'", "'-inf'", "5e-324", "1.7976931348623157e308"]),
    "CENTS": ("DOUBLE", "({n} % 9000 + 1) / 100.0", ["0.01"]),
    "DECIMAL(4,1)": (None, "{n} % 900 * 0.1 - 3", ["-999.9", "999.9"]),
    "DECIMAL(9,2)": (None, "{n} * 0.25 - 3", ["-9999999.99", "9999999.99"]),
    "DECIMAL(18,3)": (None, "{n} * 1.125 - 3", ["-999999999999999.999", "999999999999999.999"]),
    "DECIMAL(38,5)": (None, "{n} * 1.00001 - 3", ["'-" + "9" * 33 + ".99999'", "'" + "9" * 33 + ".99999'"]),
    "BOOLEAN": (None, "{n} % 2 = 0", ["true", "false"]),
    "DATE": (None, "DATE '2020-02-27' + ({n} % 3000)::INTEGER", ["'0001-01-01'", "'9999-12-31'", "'1969-12-31'"]),
    "TIME": (None, "TIME '00:00:00' + to_microseconds({n} * 1000003 % 86400000000)", ["'00:00:00'", "'23:59:59.999999'"]),
    "TIMESTAMP_S": ("TIMESTAMP", "TIMESTAMP '2001-01-01' + to_seconds({n} * 61)", ["'0100-01-01'", "'9999-12-31 23:59:59'"]),
    "TIMESTAMP_MS": ("TIMESTAMP", "TIMESTAMP '2001-01-01' + to_milliseconds({n} * 61)", ["'0100-01-01'", "'9999-12-31 23:59:59.999'"]),
    "TIMESTAMP": (None, "TIMESTAMP '2001-01-01' + to_microseconds({n} * 86399999)", ["'0100-01-01'", "'9999-12-31 23:59:59.999999'"]),
    "TIMESTAMP_NS": (None, "make_timestamp_ns({n} * 1000000007)", ["'1700-01-01'", "'2262-01-01 00:00:00.123456789'"]),
    "TIMESTAMPTZ": (None, "TIMESTAMPTZ '2001-01-01 00:00:00+00' + to_seconds({n} * 1801)", ["'0100-01-01 00:00:00+00'", "'9999-12-31 23:59:59+00'"]),
    "INTERVAL": (None, "to_months(({n} % 5)::INTEGER) + to_days(({n} % 40)::INTEGER) + to_milliseconds({n} % 1000)", ["'1 month'", "'30 days'", "'400 days'"]),
    "UUID": (None, "md5({n}::VARCHAR)", ["'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"]),
    "VARCHAR": (None, "chr((97 + {n} % 26)::INTEGER) || {n}", ["''", "'a '", "'A'", "'é'", "chr(0)", "'a' || chr(0)", "repeat('z', 4000)"]),
    "PREFIXED": ("VARCHAR", "'https://example.com/a/' || {n}", ["''", "'https://example.com/a/'", "'https://example.com'"]),
    "LONG": ("VARCHAR", "repeat('many words ', 4) || {n} || repeat('x', ({n} % 50)::INTEGER)", ["'many'", "'0'"]),
    "BLOB": (None, "('b' || {n})::BLOB", ["''", "'\\x00'", "'\\xFF\\xFF'"]),
    "ENUM('d', 'a', 'c', '')": ("VARCHAR", "['d', 'a', 'c', ''][({n} % 4 + 1)::INTEGER]", ["'d'"]),
    "INTEGER[]": (None, "[{n}, NULL, {n} % 3]", ["[]", "[NULL]"]),
    "STRUCT(a BIGINT, b VARCHAR)": (None, "{{'a': {n}, 'b': 'x' || {n}}}", ["{'a': NULL, 'b': ''}"]),
}
SIGNED = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"}
INTEGERS = SIGNED | {"UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"}
NUMBERS = INTEGERS | {"FLOAT", "DOUBLE", "CENTS"} | {t for t in TYPES if t.startswith("DECIMAL")}
TIMES = {"DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMPTZ"}
TEXTS = {"VARCHAR", "PREFIXED", "LONG"}
NESTED = {"INTEGER[]", "STRUCT(a BIGINT, b VARCHAR)"}
CALLED = {"CENTS": "DOUBLE", "PREFIXED": "VARCHAR", "LONG": "VARCHAR"}
SUM, MOMENT = (1e-12, 0.0), (1e-9, 1e-9)


class Column:
    def __init__(self, rng, name, kind, salt):
        self.name, self.kind = name, kind
        self.called = CALLED.get(kind, kind)
        self.stored = TYPES[kind][0] or self.called
        self.plain = rng.random() < 0.5  # no ends of the range
        self.spread = rng.choice([1, 2, 3, 7, 40, 40, 300, 2000, ROWS_MAX])
        self.nulls = rng.choice([0, 0, 5, 5, 30, 100 if rng.random() < 0.1 else 2])
        ends = [] if self.plain else TYPES[kind][2]
        draw = f"(hash(i, '{name}', {salt}) // 1000)"
        n = f"({draw} % {self.spread})::BIGINT"
        shape = rng.choice(["uniform", "uniform", "hot", "zipf"])
        if shape == "hot":
            n = f"CASE WHEN hash(i, '{name} hot', {salt}) % 100 < {rng.choice([20, 50, 90])} THEN 0 ELSE {n} END"
        elif shape == "zipf":
            n = f"floor({self.spread} * pow(({draw} % 10000) / 10000.0, 5))::BIGINT"
        chance, low = f"hash(i, '{name} null', {salt}) % 100", self.nulls
        whens = f"WHEN {chance} < {low} THEN NULL " if low else ""
        for end in ends:
            low += 2
            whens += f"WHEN {chance} < {low} THEN ({end})::{self.stored} "
        value = f"({TYPES[kind][1].format(n=f'({n})')})::{self.stored}"
        self.sql = f"CASE {whens}ELSE {value} END" if whens else value

    def read(self, mapped):
        return self.called if mapped else self.stored


class Table:
    """Rows by number `u`, in files; `keep` is a condition that minimising adds."""

    def __init__(self, rng, name, shared):
        self.name, self.salt = name, rng.randrange(1 << 30)
        self.rows = rng.choice([0, 1, 3, 40, 40, 300, 300, 300, 300, 2000, 2000, 2000, 6000, ROWS_MAX])
        self.files, self.keep = rng.choice([1, 1, 1, 2, 2, 3, 5]), []
        self.partition = rng.choice(["1KiB", "1KiB", "16KiB", "1MiB"])
        kinds = [(f"k{i}", kind) for i, kind in enumerate(shared)]
        kinds += [(f"c{i}", kind) for i, kind in enumerate(rng.choices(list(TYPES), k=rng.randrange(4, 9)))]
        kinds.append(("n", rng.choice(sorted(NUMBERS))))
        self.columns = [Column(rng, column, kind, self.salt) for column, kind in kinds]

    def sql(self):
        columns = "".join(f",\n  {c.sql} AS {c.name}" for c in self.columns)
        keep = f"\nWHERE {' AND '.join(self.keep)}" if self.keep else ""
        return f"SELECT i AS u{columns}\nFROM range({self.rows}) r(i){keep}"

    def map_sql(self):
        """What gives the columns their own types; the stage that does so is called m_ and the table's name."""
        return "SELECT u" + "".join(f", {c.name}::{c.called} AS {c.name}" for c in self.columns) + f" FROM {self.name}"

    def write(self, db, directory):
        db.run(f"CREATE OR REPLACE TEMP TABLE tidegate_rows AS {self.sql()}")
        os.makedirs(f"{directory}/data/{self.name}")
        for i in range(self.files):
            db.run(f"COPY (FROM tidegate_rows WHERE u * {self.files} // {max(self.rows, 1)} = {i} ORDER BY u) TO "
                   f"'{directory}/data/{self.name}/{i}.parquet' (ROW_GROUP_SIZE 2048)")
        db.run(f"CREATE OR REPLACE TEMP TABLE {self.name} AS FROM read_parquet('{directory}/data/{self.name}/*.parquet')")
        db.run(f"CREATE OR REPLACE TEMP TABLE m_{self.name} AS {self.map_sql()}")
        return f"  {self.name}: {{files: data/{self.name}/*.parquet, on_empty: allow, partition: {self.partition}}}\n"


class Item:
    """An expression of a stage's SELECT, and how far its DOUBLEs may differ."""

    def __init__(self, sql, loose=None):
        self.sql, self.loose = sql, loose


class Stage:
    """`form` has {items}, {where} and {having}; items, where and having can go while it still differs."""

    def __init__(self, name, form, fixed, items, fields, inputs):
        self.name, self.form, self.fixed, self.items = name, form, fixed, items
        self.fields, self.inputs, self.where, self.having = fields, inputs, "", ""

    def sql(self):
        parts = self.fixed + [f"{item.sql} AS x{i}" for i, item in enumerate(self.items)]
        return self.form.format(items=", ".join(parts), where=f" WHERE {self.where}" if self.where else "",
                                having=f" HAVING {self.having}" if self.having else "")

    def loose(self, db):
        """Of the columns that are doubles."""
        types = {row[0]: row[1] for row in db.run(f"DESCRIBE FROM want_{self.name}")}
        return {f"x{i}": item.loose for i, item in enumerate(self.items)
                if item.loose and types[f"x{i}"] == "DOUBLE"}

    def tables(self):
        return {name.removeprefix("m_") for name in self.inputs}

    def yaml(self, indent="  "):
        text = f"{indent}{self.name}:\n" + "".join(f"{indent}  {k}: {v}\n" for k, v in self.fields.items())
        return text + f"{indent}  sql: |\n{indent}    {self.sql()}\n"


class Maker:
    """Makes up tables and stages."""

    def __init__(self, rng):
        self.rng = rng
        keys = [t for t in TYPES if t not in NESTED]
        shared = [rng.choice(["INTEGER", "BIGINT", "VARCHAR", "PREFIXED", rng.choice(keys)]), rng.choice(keys)]
        self.tables = [Table(rng, name, shared) for name in ("a", "b")]
        self.buckets = rng.choices([1, 2, 3, 4, 5, 7], k=2)  # few, so that stages share a shuffle
        self.by_name = {prefix + t.name: t for t in self.tables for prefix in ("", "m_")}

    def chance(self, percent):
        return self.rng.random() * 100 < percent

    def pick(self, values):
        return self.rng.choice(list(values))

    def columns(self, relation, nested=True):
        return [c for c in self.by_name[relation].columns if nested or c.kind not in NESTED]

    def condition(self, relation, dot=""):
        c = self.pick(self.columns(relation, nested=False))
        x, kind = dot + c.name, c.kind
        if kind in NUMBERS:
            return self.pick([f"{x} > 2", f"{x} IS NOT NULL", f"{x} <= 10", f"{x} IS NULL"])
        if kind in TEXTS:
            return self.pick([f"{x} < 'https://example.com/a/5'", f"length({x}) > 3", f"{x} IS NOT NULL"])
        if kind in TIMES:
            return self.pick([f"{x} >= TIMESTAMP '2001-01-01 12:00:00'", f"{x} IS NULL"])
        return self.pick([f"{x} IS NOT NULL", f"{dot}u % 3 <> 1"])

    def key_expression(self, c, dot=""):
        x = dot + c.name
        if c.kind in INTEGERS and c.kind != "UHUGEINT":
            return self.pick([f"{x} % 3", f"{x} > 0"])
        if c.kind in TEXTS:
            return self.pick([f"substr({x}, 1, 1)", f"length({x})", f"upper({x})"])
        if c.kind in TIMES:
            return self.pick([f"date_trunc('month', {x})", f"year({x})"])
        return self.pick([f"{x} IS NULL", f"{dot}u % 2"])

    def order(self, relation, dot=""):
        """A total order."""
        parts = [f"{dot}{c.name}{self.pick(['', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST'])}"
                 for c in self.rng.sample(self.columns(relation, nested=False), self.pick([0, 1, 1, 2]))]
        return ", ".join(parts + [f"{dot}u{self.pick(['', ' DESC'])}"])

    def aggregate(self, relation, dot=""):
        """An aggregate whose value no order of rows can change, as SQL, and how far it may differ."""
        c = self.pick(self.columns(relation))
        x, kind, loose = dot + c.name, c.kind, None
        flat, filter_ = kind not in NESTED, ""
        if self.chance(15):
            filter_ = f" FILTER (WHERE {self.condition(relation, dot)})"
        total, up = self.order(relation, dot), f"{dot}u"
        kinds = ["count(*)", f"count({x})", f"min({x})", f"max({x})", f"any_value({x} ORDER BY {total})", f"first({x} ORDER BY {total})",
                 f"last({x} ORDER BY {total})", f"arg_min({x}, {up})", f"arg_max({x}, {up})", f"max_by({x}, {up})", f"arg_max_null({x}, {up})",
                 f"list({x} ORDER BY {total})", f"list({x} ORDER BY {up} DESC)"]
        if flat:
            kinds += [f"count(DISTINCT {x})", f"count(DISTINCT {x})", f"string_agg(substr({x}::VARCHAR, 1, 20), ',' ORDER BY {total})",
                      f"quantile_disc({x}, {self.pick([0.0, 0.25, 0.5, 0.9, 1.0])})", f"approx_count_distinct({x})",
                      f"bool_and({self.condition(relation, dot)})", f"bool_or({self.condition(relation, dot)})"]
            way = self.pick(["", " DESC", " DESC NULLS LAST", " NULLS FIRST"])
            kinds += [f"{self.pick(['list', 'array_agg'])}(DISTINCT {x} ORDER BY {x}{way})"] * 2
            kinds += [f"string_agg(DISTINCT {x}::VARCHAR, '|' ORDER BY {x}::VARCHAR{way})"]
            if not filter_:
                kinds.append(f"CASE WHEN count(DISTINCT {x}) <= 2 AND count({x}) % 2 = 1 THEN mode({x}) END")
        if kind == "BOOLEAN":
            kinds += [f"bool_and({x})", f"bool_or({x})"] * 3
        if kind in INTEGERS:
            kinds += [f"bit_and({x})", f"bit_or({x})", f"bit_xor({x})"]
        if kind in NUMBERS or kind in TIMES:
            kinds += [f"median({x})", f"quantile_cont({x}, {self.pick([0.0, 0.1, 0.5, 0.75, 1.0])})"]
        wide = kind in ("HUGEINT", "UHUGEINT", "DECIMAL(38,5)", "FLOAT", "DOUBLE")
        if kind in NUMBERS and (c.plain or not wide):
            kinds += [f"sum({x})", f"avg({x})", f"sum({x})", f"avg({x})", f"sum(DISTINCT {x})"]
        if kind in NUMBERS and c.plain:
            kinds += [f"{self.pick(['stddev_samp', 'stddev_pop', 'var_samp', 'var_pop'])}({x})"] * 2
            others = [o for o in self.columns(relation) if o.kind in NUMBERS and o.plain]
            kinds += [f"{self.pick(['covar_samp', 'covar_pop', 'corr'])}({x}, {dot}{self.pick(others).name})"] * 2
        sql = self.pick(kinds)
        name = sql.split("(")[0]
        if name in ("sum", "avg"):
            loose = SUM
        elif name.startswith(("std", "var")):
            loose = MOMENT
        elif name.startswith("co") and name != "count":
            loose = (1e-9, 1e-6 if name == "corr" else 1e-2)
        return Item(sql + filter_, loose)

    def item(self, relation, dot=""):
        one = self.aggregate(relation, dot)
        if self.chance(20):
            return self.pick([
                Item(f"CASE WHEN count(*) > 2 THEN {one.sql} END", one.loose), Item(f"({one.sql}) IS NULL") if one.loose is None else one,
                Item(f"sum({dot}u) * 2 + count(*)"), Item("count(*) % 7"), Item(f"max({dot}u) - min({dot}u)"),
                Item(f"round(avg({dot}u), 3)", (0, 0.0011))])
        return one

    def fields(self, keys):
        small = all(t.rows <= 2000 for t in self.tables)
        return {"partition_by": keys if isinstance(keys, str) else "[" + ", ".join(keys) + "]",
                "buckets": self.rng.randrange(1, 65) if self.chance(4) else self.pick(self.buckets),
                "memory": self.pick(["128MiB" if small else "192MiB", "256MiB", "384MiB", "512MiB"])}

    def stage(self, number):
        r = self.pick(self.by_name)
        kind = self.pick(["group"] * 8 + ["distinct", "latest", "latest", "latest", "top", "join", "join", "joined", "joined", "window", "window"])
        return getattr(self, kind)(f"s{number}", r)

    def keys(self, r, most):
        """Columns to group by, most often those that the tables share."""
        columns = self.columns(r, nested=False)
        names = self.rng.sample(columns[:2] * 3 + columns, self.rng.randrange(1, most + 1))
        return list({c.name: c for c in names}.values())

    def group(self, name, r):
        keys = self.keys(r, 4)
        partition = self.rng.sample(keys, self.pick([1, 1, len(keys)]))
        fixed = [c.name for c in keys]
        if self.chance(30):
            fixed.append(f"{self.key_expression(self.pick(self.columns(r, nested=False)))} AS e")
        group = "ALL" if self.chance(30) else ", ".join(k.removesuffix(" AS e") for k in fixed)
        items = [self.item(r) for _ in range(self.rng.randrange(1, 7))]
        out = Stage(name, f"SELECT {{items}} FROM {r}{{where}} GROUP BY {group}{{having}}", fixed, items, self.fields([c.name for c in partition]), [r])
        if self.chance(25):
            out.where = self.condition(r)
        if self.chance(20):
            out.having = self.pick(["count(*) > 1", "max(u) % 2 = 0", "min(u) < 500 OR count(*) > 3"])
        return out

    def distinct(self, name, r):
        keys = self.keys(r, 4)
        out = Stage(name, f"SELECT DISTINCT {{items}} FROM {r}{{where}}", [c.name for c in keys], [], self.fields([self.pick(keys).name]), [r])
        if self.chance(40):
            out.items = [Item(self.key_expression(self.pick(self.columns(r, nested=False))))]
        if self.chance(25):
            out.where = self.condition(r)
        return out

    def latest(self, name, r):
        keys, order = ", ".join(c.name for c in self.keys(r, 2)), self.order(r)
        items = [Item(c.name) for c in self.rng.sample(self.columns(r), min(4, len(self.columns(r))))]
        form = self.pick([
            f"SELECT {{items}} FROM {r}{{where}} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1",
            f"SELECT {{items}} FROM (SELECT *, row_number() OVER (PARTITION BY {keys} ORDER BY {order}) AS rn FROM {r}{{where}}) WHERE rn = 1",
            f"SELECT DISTINCT ON ({keys}) {{items}} FROM {r}{{where}} ORDER BY {keys}, {order}",
            f"SELECT DISTINCT ON ({keys}) {{items}} FROM {r}{{where}} ORDER BY {order}"])
        out = Stage(name, form, ["u"] + keys.split(", "), items, self.fields(keys.split(", ")), [r])
        out.where = self.condition(r) if self.chance(25) else ""
        return out

    def top(self, name, r):
        keys, order = ", ".join(c.name for c in self.keys(r, 2)), self.order(r)
        items = [Item(c.name) for c in self.rng.sample(self.columns(r), min(4, len(self.columns(r))))]
        form = f"SELECT {{items}} FROM {r}{{where}} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) <= {self.pick([1, 2, 3])}"
        return Stage(name, form, ["u"] + keys.split(", "), items, self.fields(keys.split(", ")), [r])

    def sides(self):
        p, q = self.rng.sample(["a", "b"], 2)
        if self.chance(15):
            q = p
        mapped = self.chance(60)
        p, q = [("m_" if mapped else "") + side for side in (p, q)]
        keys = self.pick([["k0"], ["k0"], ["k1"], ["k0", "k1"]])
        equal = self.pick(["=", "=", "=", "IS NOT DISTINCT FROM"])
        on = " AND ".join(f"p.{k} {equal} q.{k}" for k in keys)
        if self.chance(15):
            on += f" AND p.u {self.pick(['<', '<>'])} q.u"
        return p, q, on, keys

    def join(self, name, _):
        p, q, on, keys = self.sides()
        kind = self.pick(["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"])
        items = [Item(f"p.{c.name}") for c in self.rng.sample(self.columns(p), 3)]
        fixed = ["p.u AS pu"]
        if kind not in ("SEMI JOIN", "ANTI JOIN"):
            fixed.append("q.u AS qu")
            items += [Item(f"q.{c.name}") for c in self.rng.sample(self.columns(q), 3)]
        return Stage(name, f"SELECT {{items}} FROM {p} p {kind} {q} q ON {on}{{where}}", fixed, items, self.fields(keys[:self.pick([1, 2])]), [p, q])

    def joined(self, name, _):
        """GROUP BY over a join."""
        p, q, on, keys = self.sides()
        kind, side = self.pick([("JOIN", "p"), ("JOIN", "q"), ("LEFT JOIN", "p"), ("RIGHT JOIN", "q"), ("SEMI JOIN", "p"), ("ANTI JOIN", "p")])
        items = []
        for _ in range(self.rng.randrange(1, 4)):
            other = side if kind in ("SEMI JOIN", "ANTI JOIN") else self.pick("pq")
            items.append(self.item(p if other == "p" else q, other + "."))
            # Several rows of a join have one u: only what needs no order is settled.
            while any(word in items[-1].sql for word in ("ORDER BY", "arg_", "max_by")):
                items[-1] = self.item(p if other == "p" else q, other + ".")
        fixed = [f"{side}.{k}" for k in keys]
        if self.chance(40):
            fixed.append(f"{self.key_expression(self.pick(self.columns(p, nested=False)), side + '.')} AS e" if p == q or side == "p" else f"{side}.u % 5 AS e")
        group = ", ".join(k.removesuffix(" AS e") for k in fixed)
        out = Stage(name, f"SELECT {{items}} FROM {p} p {kind} {q} q ON {on}{{where}} GROUP BY {group}{{having}}", fixed, items, self.fields(keys), [p, q])
        if self.chance(20):
            out.having = "count(*) > 1"
        return out

    def window(self, name, r):
        """Mostly over one PARTITION BY, in orders of which each begins the longest; else as it comes, or over several of both."""
        keys = [c.name for c in self.keys(r, 2)]
        partition = f"PARTITION BY {', '.join(keys)}"
        one = self.order(r).split(", ") if self.chance(70) else None
        items = [self.window_item(r, partition, one or self.order(r).split(", ")) for _ in range(self.rng.randrange(1, 5))]
        if self.chance(40):
            within = f"{partition}, {self.pick(self.columns(r, nested=False)).name}"
            items += [self.window_item(r, self.pick([partition, within]), self.order(r).split(", ")) for _ in range(self.rng.randrange(1, 4))]
            self.rng.shuffle(items)
        if not one and self.chance(50):
            o = self.pick(self.columns(r, nested=False)).name
            items.append(Item(f"dense_rank() OVER ({partition} ORDER BY {o} DESC)"))
        form = f"SELECT {{items}} FROM {r}{{where}}"
        if self.chance(15):
            form += f" QUALIFY {self.pick(['rank', 'row_number'])}() OVER ({partition} ORDER BY {', '.join(one or ['u'])}) % 3 = 1"
        out = Stage(name, form, ["u"] + keys, items, self.fields(keys), [r])
        out.where = self.condition(r) if self.chance(25) else ""
        return out

    def window_item(self, r, partition, order):
        """A window function whose value no order of ties can change; `order` is total."""
        c = self.pick(self.columns(r))
        total, some = ", ".join(order), order[:self.rng.randrange(len(order) + 1)]
        total, peers = f"{partition} ORDER BY {total}", partition + (f" ORDER BY {', '.join(some)}" if some else "")
        frame = self.pick(["", " ROWS UNBOUNDED PRECEDING", " ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING"])
        nulls = self.pick(["", "", " IGNORE NULLS"])
        kinds = [Item(f"{self.pick(['rank', 'dense_rank', 'percent_rank', 'cume_dist'])}() OVER ({peers})")] * 3
        kinds += [Item(f"row_number() OVER ({total})"), Item(f"ntile({self.pick([1, 3, 50])}) OVER ({total})")]
        kinds += [Item(f"{self.pick(['lag', 'lead'])}({c.name}{self.pick(['', ', 1', ', 3', f', 2, {c.name}'])}) OVER ({total})")] * 3
        kinds += [Item(f"{value}{nulls}) OVER ({total}{frame})")
                  for value in (f"first_value({c.name}", f"last_value({c.name}", f"nth_value({c.name}, {self.pick([1, 2, 5])}")]
        kinds += [Item(f"{self.pick(['max', 'min'])}({c.name}) OVER ({total} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)")]
        folds = ["count(*)", f"count({c.name})", f"min({c.name})", f"max({c.name})"]
        only = f" FILTER (WHERE {self.condition(r)})" if self.chance(15) else ""
        kinds += [Item(f"{self.pick(folds)}{only} OVER ({self.pick([peers, total + frame])})")] * 3
        sums = [s for s in self.columns(r) if s.kind in NUMBERS and s.plain and s.kind not in ("HUGEINT", "UHUGEINT")]
        kinds += [Item(f"{self.pick(['sum', 'avg'])}({s.name}){only} OVER ({self.pick([peers, total + frame])})", (1e-12, 1e-9)) for s in sums[:2]]
        return self.pick(kinds)


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
        if len(stage.inputs) == 2:
            p, q = stage.inputs
            on = stage.form.split(" ON ")[1].split("{where}")[0].split(" AND p.u")[0]
            keys = [part.split(".")[1] for part in on.replace(" IS NOT DISTINCT FROM ", " = ").split(" AND ") for part in part.split(" = ")[:1]]
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
        return compare(self.db, f"FROM want_{stage.name}", f"{directory}/published/{stage.name}/current", loose=stage.loose(self.db))

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
