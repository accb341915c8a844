"""The SQL of examples/flights as one DuckDB process would run it.

bench/flights_sql.py DIR   prints it for the example that lies in DIR
"""

import pathlib
import re
import sys

# Read by one stage each and no more than filters: DuckDB folds them into their readers.
VIEWS = ("legs", "implausible")


def stages_of(pipeline):
    """(name, sql) of the stages written as block scalars, in file order."""
    text = re.search(r"^stages:\n(.*?)^outputs:", pipeline, re.S | re.M).group(1)
    return re.findall(r"^  (\w+):\n(?:    (?!sql:).*\n)*    sql: \|\n((?:(?:      .*)?\n)+?)(?=  \S|\Z)",
                      text, re.M)


def outputs_of(pipeline):
    """(output, stage)."""
    return re.findall(r"^  (\w+):\n    from: (\w+)", pipeline, re.M)


def statements(place):
    """Reads the same files into the same tables; the outputs' tables are named as their stages."""
    pipeline = (pathlib.Path(place) / "pipeline.yaml").read_text(encoding="utf-8")
    sql = [f"CREATE VIEW flights AS FROM '{place}/data/flights-3m.parquet'",
           "CREATE TEMP TABLE airports AS FROM read_csv("
           f"'{place}/data/airports.csv', header=true, nullstr='NA', auto_detect=false, columns="
           "{'iata':'VARCHAR','name':'VARCHAR','city':'VARCHAR','state':'VARCHAR','country':'VARCHAR',"
           "'latitude':'DOUBLE','longitude':'DOUBLE'})"]
    for name, text in stages_of(re.sub(r"^ *#.*\n", "", pipeline, flags=re.M)):
        sql.append(f"CREATE {'VIEW' if name in VIEWS else 'TEMP TABLE'} {name} AS {text.strip()}")
    return sql


def copies(place):
    """Writes the outputs beside the example."""
    pipeline = (pathlib.Path(place) / "pipeline.yaml").read_text(encoding="utf-8")
    return [f"COPY {stage} TO '{place}/{output}.parquet' (FORMAT parquet, COMPRESSION zstd)"
            for output, stage in outputs_of(pipeline)]


if __name__ == "__main__":
    print(";\n".join(statements(sys.argv[1])) + ";")
