"""What tests/generate/aggregate.py makes up: random tables of every type and random stages over them, each of whose answers is
settled by its SQL."""

import os

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
    """`form` has {items}, {where} and {having}; items, where and having can go while it still differs. `joined_by`: the
    columns whose equal values make pairs of its two inputs' rows. `order`: of the published rows."""

    def __init__(self, name, form, fixed, items, fields, inputs):
        self.name, self.form, self.fixed, self.items = name, form, fixed, items
        self.fields, self.inputs, self.where, self.having = fields, inputs, "", ""
        self.joined_by, self.order = (), ""

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
                 f"arg_min_null({x}, {up})", f"min_by({x}, {up})",
                 f"list({x} ORDER BY {total})", f"list({x} ORDER BY {up} DESC)"]
        if flat:
            kinds += [f"count(DISTINCT {x})", f"count(DISTINCT {x})", f"string_agg(substr({x}::VARCHAR, 1, 20), ',' ORDER BY {total})",
                      f"quantile_disc({x}, {self.pick([0.0, 0.25, 0.5, 0.9, 1.0])})", f"approx_count_distinct({x})",
                      f"bool_and({self.condition(relation, dot)})", f"bool_or({self.condition(relation, dot)})"]
            other = dot + self.pick(self.columns(relation, nested=False)).name
            kinds += [f"count(DISTINCT ({x}, {other}))", f"bool_or(DISTINCT {self.condition(relation, dot)})",
                      f"count_if({self.condition(relation, dot)})"]
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
            kinds += [f"sum({x})", f"avg({x})", f"sum({x})", f"avg({x})", f"sum(DISTINCT {x})", f"avg(DISTINCT {x})"]
        if kind in NUMBERS and c.plain:
            kinds += [f"{self.pick(['stddev_samp', 'stddev_pop', 'var_samp', 'var_pop'])}({x})"] * 2
            others = [o for o in self.columns(relation) if o.kind in NUMBERS and o.plain]
            kinds += [f"{self.pick(['covar_samp', 'covar_pop', 'corr'])}({x}, {dot}{self.pick(others).name})"] * 2
        sql = self.pick(kinds)
        name = sql.split("(")[0]
        # Equal intervals may look different, but one that is of a certain row is as it is there.
        if kind == "INTERVAL" and name in ("any_value", "first", "last", "arg_min", "arg_max", "max_by", "min_by", "arg_max_null", "arg_min_null"):
            return Item(f"({sql}{filter_})::VARCHAR")
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
                "memory": self.pick(["128MiB" if small else "192MiB", "256MiB", "384MiB", "512MiB"]), **({"skew": "split"} if self.chance(30) else {})}

    def stage(self, number):
        r = self.pick(self.by_name)
        kind = self.pick(["group"] * 8 + ["distinct", "latest", "latest", "latest", "top", "join", "join", "joined", "joined", "found", "sort"] + ["window"] * 3)
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
        form = f"SELECT {{items}} FROM {p} p {kind} {q} q ON {on}{{where}}"
        if kind == "JOIN" and self.chance(30):
            form = f"SELECT {{items}} FROM {p} p, {q} q WHERE {on}"
        elif " AND p.u" not in on and " IS " not in on and self.chance(30):
            form = f"SELECT {{items}} FROM {p} p {kind} {q} q USING ({', '.join(keys)}){{where}}"
        out = Stage(name, form, fixed, items, self.fields(keys[:self.pick([1, 2])]), [p, q])
        out.joined_by = keys
        return out

    def found(self, name, _):
        """Rows of one table by what is in another."""
        p, q, on, keys = self.sides()
        where = f"{self.pick(['', 'NOT '])}EXISTS (SELECT 1 FROM {q} q WHERE {on})"
        if len(keys) == 1 and " AND " not in on and self.chance(40):
            where = f"p.{keys[0]} IN (SELECT {keys[0]} FROM {q})"
        items = [Item(f"p.{c.name}") for c in self.rng.sample(self.columns(p), 3)]
        fields = self.fields(keys)
        if self.chance(40):
            keyed = [f"p.{k}" for k in keys]
            items = [item for item in (self.item(p, "p.") for _ in range(3)) if "(SELECT" not in item.sql]
            return Stage(name, f"SELECT {{items}} FROM {p} p WHERE {where} GROUP BY {', '.join(keyed)}", keyed, items, fields, [p, q])
        return Stage(name, f"SELECT {{items}} FROM {p} p WHERE {where}", ["p.u"], items, fields, [p, q])

    def sort(self, name, r):
        """Rows in an order, of which `u` settles the rest."""
        columns = [c for c in self.columns(r, nested=False) if not c.kind.startswith("ENUM")]
        chosen = self.rng.sample(columns, min(len(columns), self.pick([1, 1, 2, 3])))
        ways = [self.pick(["asc", "desc", "asc nulls first", "desc nulls first"]) for _ in chosen]
        by = [f"{{{c.name}: {way}}}" for c, way in zip(chosen, ways)] + ["u"]
        items = [Item(c.name) for c in self.columns(r) if c not in chosen and self.chance(50)]
        fields = self.fields([])
        fields.pop("partition_by")
        fields.pop("skew", None)
        out = Stage(name, f"SELECT {{items}} FROM {r}{{where}}", ["u"] + [c.name for c in chosen], items, {"sort_by": f"[{', '.join(by)}]", **fields}, [r])
        out.order = ", ".join([f"{c.name} {way}" for c, way in zip(chosen, ways)] + ["u"])
        out.where = self.condition(r) if self.chance(25) else ""
        return out

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
        out.joined_by = keys
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
        # Of a certain row: an interval as it is there.
        form = "({})::VARCHAR" if c.kind == "INTERVAL" else "{}"
        kinds = [Item(f"{self.pick(['rank', 'dense_rank', 'percent_rank', 'cume_dist'])}() OVER ({peers})")] * 3
        kinds += [Item(f"row_number() OVER ({total})"), Item(f"ntile({self.pick([1, 3, 50])}) OVER ({total})")]
        kinds += [Item(form.format(f"{self.pick(['lag', 'lead'])}({c.name}{self.pick(['', ', 1', ', 3', f', 2, {c.name}'])}) OVER ({total})"))] * 3
        kinds += [Item(form.format(f"{value}{nulls}) OVER ({total}{frame})"))
                  for value in (f"first_value({c.name}", f"last_value({c.name}", f"nth_value({c.name}, {self.pick([1, 2, 5])}")]
        kinds += [Item(f"{self.pick(['max', 'min'])}({c.name}) OVER ({total} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)")]
        folds = ["count(*)", f"count_if({self.condition(r)})", f"count({c.name})", f"min({c.name})", f"max({c.name})"]
        only = f" FILTER (WHERE {self.condition(r)})" if self.chance(15) else ""
        kinds += [Item(f"{self.pick(folds)}{only} OVER ({self.pick([peers, total + frame])})")] * 3
        sums = [s for s in self.columns(r) if s.kind in NUMBERS and s.plain and s.kind not in ("HUGEINT", "UHUGEINT")]
        kinds += [Item(f"{self.pick(['sum', 'avg'])}({s.name}){only} OVER ({self.pick([peers, total + frame])})", (1e-12, 1e-9)) for s in sums[:2]]
        return self.pick(kinds)
