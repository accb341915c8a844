"""The data of the data plane's figures: made by DuckDB's SQL alone, the same rows on every machine.

Of N rows (200 million at scale 1) in 32 files of one day each:
  facts   id, k (uniform over N/10), z (Zipf over the same), m (N/200 values), shop (N/4000), url (N/200
          strings), country (200), ts (unique, a day a file, shuffled within 65,536 rows), amount, price (cents)
  dim     N/10 rows: k, segment (1,000), rate            in 4 files
  orders  N/4 rows: k, quantity                          in 8 files
  skew    facts with the key columns k, z, z15 (Zipf 1.5), hot50, hot90 (one key has that share), void (NULL)
  records N/10 rows of 100 bytes: a key of 10, a payload of 90      in 8 files
  changed one file of facts with other amounts
Random numbers are hash(row, salt) of DuckDB: the same for one version of it, which the marker names.
"""

import hashlib
import json
import shutil

FILES = 32
SCALE_1 = 200_000_000
CHANGED = 7  # the file of facts that `changed` replaces
# Bytes of disk for each row of facts, with room to spare: the table itself, and what a run of the
# greediest query keeps beside it (shuffle, spill, result, a peer's result).
TABLE_BYTES = {"facts": 50, "dim": 2, "orders": 3, "skew": 45, "records": 12, "changed": 3}
WORK_BYTES = 120


class NoRoom(Exception):
    """The disk has not the room that the data and the runs need."""


def uniform(salt, size):
    return f"CAST(hash(i, {salt}) % {size} AS BIGINT)"


def _unit(salt):
    """A double in [0, 1)."""
    return f"((hash(i, {salt}) >> 11) / 9007199254740992.0)"


def _scatter(rank, keys):
    """Rank to key, so that heavy keys are no neighbours (the prime shares no factor with any count here)."""
    return f"(({rank}) * 15485863) % {keys}"


class Shape:
    """How many rows and different values there are of everything."""

    def __init__(self, rows):
        self.rows = rows
        self.keys = max(rows // 10, 10)
        self.medium = max(rows // 200, 10)
        self.shops = max(rows // 4000, 5)
        self.dim = self.keys
        self.orders = max(rows // 4, 10)
        self.records = max(rows // 10, 10)


def _zipf(shape, exponent_15=False):
    u = _unit(21)
    if exponent_15:  # the inverse of the continuous distribution function, cut to whole numbers
        rank = f"least(floor(pow(1 - {u} * (1 - pow({shape.keys + 1}, -0.5)), -2)), {shape.keys})"
    else:
        rank = f"floor(pow({shape.keys + 1}, {u}))"
    return _scatter(f"CAST({rank} AS BIGINT)", shape.keys)


def _values(shape, amount=0):
    """Over the columns i, l (row of its file), size (of the file), n (file), v and c: see `Data._make`."""
    day = 86_400_000_000
    step = day // -(-shape.rows // FILES)
    place = "CASE WHEN (l | 65535) < size THEN (l & ~65535) | ((l * 40503) & 65535) ELSE l END"
    return {
        "id": "i",
        "k": uniform(1, shape.keys),
        "z": _zipf(shape),
        "m": uniform(2, shape.medium),
        "shop": f"CAST({uniform(3, shape.shops)} AS INTEGER)",
        "url": "'https://www.shop-' || v % 97 || '.example.com/catalogue/' || v % 1009 || '/item-' || v",
        "country": "chr(CAST(65 + c // 26 AS INTEGER)) || chr(CAST(65 + c % 26 AS INTEGER))",
        "ts": f"make_timestamp(1704067200000000 + n * {day} + ({place}) * {step} + {uniform(6, step)})",
        "amount": f"CAST(({uniform(7, 1000)} + {amount}) % 1000 AS INTEGER)",
        "price": f"{uniform(8, 100_000)} / 100",
    }


def _facts(shape, amount=0):
    return ", ".join(f"{value} AS {name}" for name, value in _values(shape, amount).items())


def _skew(shape):
    values = _values(shape)
    hot = {share: f"CASE WHEN hash(i, 22) % 100 < {share} THEN 7 ELSE {values['k']} END" for share in (50, 90)}
    columns = {"k": values["k"], "z": values["z"], "z15": _zipf(shape, True), "hot50": hot[50], "hot90": hot[90],
               "void": "CAST(NULL AS BIGINT)"}
    columns |= {name: values[name] for name in ("country", "ts", "amount", "price")}
    return ", ".join(f"{value} AS {name}" for name, value in columns.items())


def tables(shape):
    """name -> (rows, files, columns)."""
    return {
        "facts": (shape.rows, FILES, _facts(shape)),
        "dim": (shape.dim, 4, f"(i * 15485863) % {shape.dim} AS k, CAST({uniform(11, 1000)} AS INTEGER) AS segment, "
                              f"{uniform(12, 1000)} / 1000 AS rate"),
        "orders": (shape.orders, 8, f"{uniform(13, shape.keys)} AS k, CAST({uniform(14, 100)} AS INTEGER) AS quantity"),
        "skew": (shape.rows, FILES, _skew(shape)),
        "records": (shape.records, 8, "substr(md5(CAST(i AS VARCHAR)), 1, 10) AS key, "
                                      "substr(md5(CAST(i + 1 AS VARCHAR)) || md5(CAST(i + 2 AS VARCHAR)) || "
                                      "md5(CAST(i + 3 AS VARCHAR)), 1, 90) AS payload"),
        "changed": (shape.rows, FILES, _facts(shape, 500)),
    }


def needed(rows, names):
    return sum(TABLE_BYTES[name] for name in names) * rows + WORK_BYTES * rows + (1 << 28)


class Data:
    """The tables below one directory; what is there is not made again."""

    def __init__(self, place, rows, run_sql, version, say):
        self.place, self.shape, self.run_sql, self.version, self.say = place, Shape(rows), run_sql, version, say

    def directory(self, table):
        return self.place / table

    def files(self, table):
        return sorted(self.directory(table).glob("*.parquet"))

    def make(self, names):
        missing = [name for name in names if not self._whole(name)]
        room, rows = shutil.disk_usage(self.place).free, self.shape.rows
        if room < needed(rows, missing):
            raise NoRoom(f"{self.place} has {room / 1e9:.1f} GB free; {needed(rows, missing) / 1e9:.1f} GB are needed"
                         f" ({', '.join(missing) or 'no table'} to make, and room to work)")
        for name in missing:
            self._make(name)

    def _marker(self, name):
        rows, files, columns = tables(self.shape)[name]
        return {"rows": rows, "files": files, "columns": columns, "duckdb": self.version}

    def digest(self):
        """Of how everything is made: what was measured over other data is no figure of this."""
        markers = json.dumps([self._marker(name) for name in tables(self.shape)])
        return hashlib.sha256(markers.encode()).hexdigest()[:12]

    def _whole(self, name):
        marker = self.directory(name) / "marker.json"
        return marker.exists() and json.loads(marker.read_text()) == self._marker(name)

    def _make(self, name):
        rows, files, columns = tables(self.shape)[name]
        place = self.directory(name)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        self.say(f"making {name}: {rows:,} rows in {1 if name == 'changed' else files} files")
        for n in range(files):
            if name == "changed" and n != CHANGED:
                continue
            begin, end = rows * n // files, rows * (n + 1) // files
            source = (f"SELECT i, i - {begin} AS l, {end - begin} AS size, {n} AS n, "
                      f"{uniform(4, self.shape.medium)} AS v, {uniform(5, 200)} AS c FROM range({begin}, {end}) t(i)")
            self.run_sql(f"COPY (SELECT {columns} FROM ({source})) "
                         f"TO '{place}/{name}-{n:02}.parquet' (FORMAT parquet)")
        (place / "marker.json").write_text(json.dumps(self._marker(name)))
