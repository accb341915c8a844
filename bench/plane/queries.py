"""The queries: as DuckDB's SQL over whole tables, and as the stages of a pipeline file."""

import dataclasses

AGGREGATES = "count(*) AS n, CAST(sum(amount) AS BIGINT) AS amount, max(price) AS price"


@dataclasses.dataclass(frozen=True)
class Query:
    """`stages` are (name, lines before `sql`, SQL); the last one is published. `sql` is the same in one piece.

    `answer` gives the type that each column is compared as; columns in `rounded` may differ by 1e-9.
    `reads` names the columns of each table that any engine has to read. `target` and `target_1g` are the
    ratios to reach against DuckDB without and with a limit of 1 GB.
    """

    title: str
    sql: str
    stages: tuple
    answer: dict
    reads: dict
    target: float | None = None
    target_1g: float | None = None
    rounded: tuple = ()
    order: tuple = ()
    any_peer: bool = True  # 1.3 x the fastest peer of all is asked for
    rate: bool = False     # bytes of input a second and core are asked for

    def tables(self):
        return list(self.reads)


def _one(title, by, sql, answer, columns, table="facts", **more):
    return Query(title, sql, (("answer", f"partition_by: [{by}]", sql),), answer, {table: columns}, **more)


def group_ints(key, table="facts", **more):
    return _one(f"GROUP BY integers ({key}): count, sum, max", key,
                f"SELECT {key}, {AGGREGATES} FROM {table} GROUP BY {key}",
                {key: "BIGINT", "n": "BIGINT", "amount": "BIGINT", "price": "DOUBLE"},
                (key, "amount", "price"), table, **more)


def distinct(key, table="facts", **more):
    return _one(f"COUNT(DISTINCT {key}) by 200 countries", "country",
                f"SELECT country, count(DISTINCT {key}) AS n FROM {table} GROUP BY country",
                {"country": "VARCHAR", "n": "BIGINT"}, ("country", key), table, **more)


def join_small(key, table="facts", **more):
    joined = (f"SELECT d.segment, f.amount, f.price FROM {table} AS f JOIN dim AS d ON f.{key} = d.k")
    total = f"SELECT segment, {AGGREGATES} FROM %s GROUP BY segment"
    return Query("join with the dimension, then GROUP BY 1,000 segments", total % f"({joined})",
                 (("joined", f"partition_by: {{{table}: [{key}], dim: [k]}}", joined),
                  ("answer", "partition_by: [segment]", total % "joined")),
                 {"segment": "INTEGER", "n": "BIGINT", "amount": "BIGINT", "price": "DOUBLE"},
                 {table: (key, "amount", "price"), "dim": ("k", "segment")}, **more)


def latest(key, table="facts", **more):
    return _one(f"latest row for each {key}, 5 columns", key,
                f"SELECT {key}, ts, country, amount, price FROM {table} "
                f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY ts DESC) = 1",
                {key: "BIGINT", "ts": "TIMESTAMP", "country": "VARCHAR", "amount": "INTEGER", "price": "DOUBLE"},
                (key, "ts", "country", "amount", "price"), table, **more)


def join_large(key, table="facts", **more):
    sql = (f"SELECT f.{key} AS key, count(*) AS n, CAST(sum(f.amount * o.quantity) AS BIGINT) AS total "
           f"FROM {table} AS f JOIN orders AS o ON f.{key} = o.k GROUP BY f.{key}")
    return Query("join with the second fact, both shuffled, then GROUP BY the key", sql,
                 (("answer", f"partition_by: {{{table}: [{key}], orders: [k]}}", sql),),
                 {"key": "BIGINT", "n": "BIGINT", "total": "BIGINT"},
                 {table: (key, "amount"), "orders": ("k", "quantity")}, **more)


_SORT = "SELECT k, ts, amount, price FROM facts ORDER BY k, ts"
_RECORDS = "SELECT key, payload FROM records ORDER BY key"
_SESSIONS = ("SELECT k, count(*) AS n, CAST(sum(CASE WHEN ts <= before + INTERVAL '3 days' THEN 0 ELSE 1 END) AS "
             "BIGINT) AS sessions FROM (SELECT k, ts, lag(ts) OVER (PARTITION BY k ORDER BY ts) AS before FROM facts) "
             "AS visits GROUP BY k")


QUERIES = {
    "a": group_ints("k", target=3.5, target_1g=5),
    "az": group_ints("z", target=2),
    "b": _one("GROUP BY strings (url): count, sum, max", "url", f"SELECT url, {AGGREGATES} FROM facts GROUP BY url",
              {"url": "VARCHAR", "n": "BIGINT", "amount": "BIGINT", "price": "DOUBLE"}, ("url", "amount", "price"),
              target=2.5),
    "c": _one("GROUP BY 200 countries: count, sum, avg", "country",
              "SELECT country, count(*) AS n, CAST(sum(amount) AS BIGINT) AS amount, avg(price) AS price "
              "FROM facts GROUP BY country",
              {"country": "VARCHAR", "n": "BIGINT", "amount": "BIGINT", "price": "DOUBLE"},
              ("country", "amount", "price"), rounded=("price",), target=0.95, any_peer=False),
    "d": distinct("k", target=7),
    "e": join_small("k", target=2.5, target_1g=4),
    "f": Query("sort by key and time, to Parquet", _SORT, (("answer", "sort_by: [k, ts]", _SORT),),
               {"k": "BIGINT", "ts": "TIMESTAMP", "amount": "INTEGER", "price": "DOUBLE"},
               {"facts": ("k", "ts", "amount", "price")}, order=("k", "ts"), target=2),
    "f100": Query("sort of 100-byte records by their first 10", _RECORDS,
                  (("answer", "sort_by: [key]", _RECORDS),), {"key": "VARCHAR", "payload": "VARCHAR"},
                  {"records": ("key", "payload")}, order=("key",), rate=True),
    "g": latest("k", target=3),
    "h": _one("GROUP BY an integer and a string: 6 aggregates", "shop, country",
              "SELECT shop, country, count(*) AS n, CAST(sum(amount) AS BIGINT) AS amount, min(price) AS low, "
              "max(price) AS high, avg(amount) AS mean, max(ts) AS last FROM facts GROUP BY shop, country",
              {"shop": "INTEGER", "country": "VARCHAR", "n": "BIGINT", "amount": "BIGINT", "low": "DOUBLE",
               "high": "DOUBLE", "mean": "DOUBLE", "last": "TIMESTAMP"},
              ("shop", "country", "amount", "price", "ts"), rounded=("mean",), target=2.5),
    "i": _one("median and COUNT(DISTINCT) for each m", "m",
              "SELECT m, median(price) AS price, count(DISTINCT shop) AS shops FROM facts GROUP BY m",
              {"m": "BIGINT", "price": "DOUBLE", "shops": "BIGINT"}, ("m", "price", "shop"), rounded=("price",),
              target=3),
    "j": join_large("k", target=2.5),
    "k": _one("running sum for each key", "k",
              "SELECT k, ts, amount, CAST(sum(amount) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN UNBOUNDED "
              "PRECEDING AND CURRENT ROW) AS BIGINT) AS running FROM facts",
              {"k": "BIGINT", "ts": "TIMESTAMP", "amount": "INTEGER", "running": "BIGINT"}, ("k", "ts", "amount"),
              target=2),
    "l": _one("sessions for each key: a GROUP BY over a window", "k", _SESSIONS,
              {"k": "BIGINT", "n": "BIGINT", "sessions": "BIGINT"}, ("k", "ts"), target_1g=1.5, any_peer=False),
}

# What the skew sweep asks, over the table `skew`, for each of its key columns.
SKEWED = {"a": group_ints, "d": distinct, "e": join_small, "g": latest, "j": join_large}
SKEW_KEYS = {"k": "uniform", "z": "Zipf 1.0", "z15": "Zipf 1.5", "hot50": "one key 50%", "hot90": "one key 90%",
             "void": "all NULL"}

_DAYS = "SELECT CAST(ts AS DATE) AS day, shop, amount FROM facts"
_BY_DAY = "SELECT day, shop, count(*) AS n, CAST(sum(amount) AS BIGINT) AS amount FROM %s GROUP BY day, shop"
BY_DAY = Query("shops of a day, published by day", _BY_DAY % f"({_DAYS})",
               (("days", "", _DAYS), ("answer", "partition_by: [day]", _BY_DAY % "days")),
               {"day": "DATE", "shop": "INTEGER", "n": "BIGINT", "amount": "BIGINT"},
               {"facts": ("ts", "shop", "amount")})


def pipeline(query, sources, memory="512MiB", publish_by=None):
    """The pipeline file. `sources` gives each table's list of files or patterns."""
    text = "version: 1\npipeline: plane\nowner: bench@example.com\nsources:\n"
    for table in query.tables():
        text += f"  {table}:\n    files: [{', '.join(str(path) for path in sources[table])}]\n"
    text += f"defaults:\n  memory: {memory}\nstages:\n"
    for name, before, sql in query.stages:
        text += f"  {name}:\n" + (f"    {before}\n" if before else "") + f"    sql: |\n      {sql}\n"
    text += "outputs:\n  answer:\n    from: answer\n    publish:\n      - parquet: published/answer\n"
    if publish_by:
        text += f"        by: [{publish_by}]\n"
    return text


def over_files(query, sources):
    """The SQL with the tables as common table expressions over their files: what a peer of DuckDB runs."""
    views = []
    for table in query.tables():
        names = ", ".join(f"'{path}'" for path in sources[table])
        views.append(f"{table} AS (SELECT * FROM read_parquet([{names}]))")
    return f"WITH {', '.join(views)} {query.sql}"


def scan(query, sources):
    """Reads the same columns and does next to nothing with them: one statement a table."""
    statements = []
    for table, columns in query.reads.items():
        names = ", ".join(f"'{path}'" for path in sources[table])
        looks = []
        for column in columns:
            text = column in ("url", "country", "key", "payload")
            looks.append(f"max(strlen({column}))" if text else
                         f"max(epoch_us({column}))" if column == "ts" else
                         f"max(-{column})" if column in ("price", "rate") else f"bit_xor({column})")
        statements.append(f"SELECT {', '.join(looks)} FROM read_parquet([{names}])")
    return statements
