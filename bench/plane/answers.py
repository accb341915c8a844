"""Compares answers: row count, an order-independent hash of the rows, and sums for what is rounded."""

TOLERANCE = 1e-9


def fingerprint(rows_of, query, files):
    """Of a Parquet answer. Every column is compared as the type that the query declares."""
    names = ", ".join(f"'{file}'" for file in files)
    exact = ", ".join(f"CAST({c} AS {t})" for c, t in query.answer.items() if c not in query.rounded)
    # A rounded value counts with a weight that its row's exact columns give: a swap of two is found, too.
    columns = [f"hash({exact}) AS row_hash"] + [f"CAST({c} AS DOUBLE) AS {c}" for c in query.rounded]
    # Halves of the hash: their sums stay whole in a BIGINT for 2^31 rows.
    sums = ["count(*) AS row_count", "CAST(coalesce(sum(row_hash >> 32), 0) AS BIGINT) AS high",
            "CAST(coalesce(sum(row_hash & 4294967295), 0) AS BIGINT) AS low"]
    for c in query.rounded:
        weight = "(1 + (row_hash >> 11) / 9007199254740992.0)"
        sums += [f"coalesce(fsum({c} * {weight}), 0) AS \"{c}\"", f"coalesce(fsum(abs({c})), 0) AS \"{c} size\""]
    return rows_of(f"SELECT {', '.join(sums)} FROM (SELECT {', '.join(columns)} FROM read_parquet([{names}]))")[0]


def differs(query, mine, reference):
    """Why the two are not the same answer; empty if they are."""
    if mine["row_count"] != reference["row_count"]:
        return f"{mine['row_count']:,} rows instead of {reference['row_count']:,}"
    if (mine["high"], mine["low"]) != (reference["high"], reference["low"]):
        return "other rows"
    for column in query.rounded:
        if abs(mine[column] - reference[column]) > TOLERANCE * reference[f"{column} size"]:
            return f"{column} differs: {mine[column]!r} and {reference[column]!r}"
    return ""


def out_of_order(rows_of, query, files):
    """Rows that come before one that sorts lower, over the files in the order of their names."""
    keys = ", ".join(query.order)
    names = ", ".join(f"'{file}'" for file in files)
    row = f"({keys})" if len(query.order) > 1 else keys
    before = ", ".join(f"lag({key}) OVER () AS before_{key}" for key in query.order)
    last = ", ".join(f"before_{key}" for key in query.order)
    last = f"({last})" if len(query.order) > 1 else last
    return rows_of(f"SELECT count(*) AS rows FROM (SELECT {keys}, {before} FROM read_parquet([{names}])) "
                   f"WHERE before_{query.order[0]} IS NOT NULL AND {row} < {last}")[0]["rows"]
