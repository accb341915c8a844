"""Rows set aside, from a person's side: the entries of csv and json files, their side tables, what `drop` and `release` change
in counts and verdicts, and which tasks run again. `quarantine.py`, in an empty directory."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

STATE, FILES, ROWS = "state", 4, 300
PIPELINE = """version: 1
pipeline: quarantine
sources:
  sales:
    files: in/*.csv
    columns: {{key: VARCHAR, amount: BIGINT}}
    arrives: {{every: 1d, path: "{{date}}", from: 2001-01-01, to: 2001-01-04}}
    partition: 1KiB
    retry: {{data: {{quarantine: {tolerance}}}}}
  names:
    files: in/names.jsonl
    format: json
    columns: {{key: VARCHAR, id: INTEGER}}
    retry: {{data: {{quarantine: 50%}}}}
stages:
  clean:
    sql: SELECT key, amount FROM sales WHERE amount >= 0
  totals:
    partition_by: [key]
    buckets: 2
    sql: SELECT key, sum(amount) AS amount FROM clean GROUP BY key
  ids:
    sql: SELECT key, id FROM names
outputs:
  totals: {{from: totals, freshness: {{through: 2001-01-04, completeness: {complete}}}, publish: {{parquet: published/totals}}}}
  ids: {{from: ids, publish: {{parquet: published/ids}}}}
"""


def pipeline(tolerance="1%", complete="99%"):
    write("pipeline.yaml", PIPELINE.format(tolerance=tolerance, complete=complete))


def name_of(day):
    return f"in/2001-01-0{day}.csv"


def lines_of(day):
    return ["key,amount"] + [f"k{row % 20},{day * 1000 + row}" for row in range(ROWS)]


def sales(day, bad=None):
    """`bad`: line number (from 1, the header's) -> what stands there instead."""
    lines = lines_of(day)
    for number, text in (bad or {}).items():
        lines[number - 1] = text
    write(name_of(day), "\n".join(lines) + "\n")


def names(bad=()):
    lines = [f'{{"key": "k{i}", "id": {i}}}' for i in range(10)]
    for number, text in bad:
        lines[number - 1] = text
    write("in/names.jsonl", "\n".join(lines) + "\n")


def run(code=0):
    return tidegate("run", "pipeline.yaml", "--json", "--state", STATE, "--workers", 2, code=code)


def ran(answer):
    return answer.last["tasks"]["ran"]


def entries(*more):
    return tidegate("quarantine", "list", "--json", "--state", STATE, *more, code=0).document["entries"]


def by_file():
    return {os.path.basename(e["file"]): e for e in entries()}


def show(entry, code=0):
    return tidegate("quarantine", "show", entry, "--json", "--state", STATE, code=code)


def settle(verb, *arguments, code=0):
    return tidegate("quarantine", verb, *arguments, "--json", "--state", STATE, code=code)


def part(output, name):
    for reason in verdict(output, STATE)["reasons"]:
        if reason["part"] == name:
            return reason
    return None


def sees_nothing_where_nothing_is_set_aside():
    pipeline()
    for day in range(1, FILES + 1):
        sales(day)
    names()
    first = run()
    expect(entries() == [], "entries without a bad row")
    answer = tidegate("quarantine", "list", "pipeline.yaml", "--state", STATE, code=0)
    expect(answer.out == "nothing is set aside\n", answer.told())
    return ran(first)


def names_rows_of_csv_and_json():
    sales(2, {100: "x,12y", 200: 'a,1,"2\x1b[2J"'})
    names([(3, '{"key": "k2", "id": "two"}'), (5, "{oops")])
    run()
    found = by_file()
    expect(sorted(found) == ["2001-01-02.csv", "names.jsonl"], f"entries: {found}")
    one = found["2001-01-02.csv"]
    expect(one["source"] == "sales" and one["rows"] == 2 and one["state"] == "open", f"{one}")
    expect(one["stage"] == "totals" or one["stage"] == "clean", f"{one}")
    shown = show(one["entry"]).document
    rows = {row["line"]: row for row in shown["set_aside"]}
    expect(sorted(rows) == [100, 200], f"{shown}")
    expect(rows[100]["column"] == "amount" and "12y" in rows[100]["raw"] and rows[100]["reason"], f"{rows}")
    # Any tool reads the table: JSON lines, with all that a person needs.
    table = [json.loads(line) for line in open(shown["tables"][0])]
    expect([(r["source"], r["line"]) for r in table] == [("sales", 100), ("sales", 200)], f"{table}")
    expect(set(table[0]) == {"source", "file", "line", "column", "reason", "raw", "stage", "attempt"}, f"{table}")
    shown = show(found["names.jsonl"]["entry"]).document
    rows = {row["line"]: row for row in shown["set_aside"]}
    expect(sorted(rows) == [3, 5] and rows[3]["column"] == "id" and rows[5]["column"] == "", f"{shown}")
    expect(rows[5]["raw"] == "{oops", f"{rows}")
    text = tidegate("quarantine", "show", one["entry"], "--state", STATE, code=0).out
    expect('line 100 column "amount"' in text and "x,12y" in text and "table: " in text, text)
    expect("\x1b" not in text and "2.[2J" in text, f"what a bad row has works on the terminal: {text!r}")
    listed = tidegate("quarantine", "list", "--state", STATE, code=0)
    expect("2001-01-02.csv" in listed.out and "quarantine drop" in listed.err, listed.told())
    # Nothing new: the same entries, by the tasks that are reused.
    before = entries("--all")
    expect(ran(run()) == 0 and entries("--all") == before, "a run without work changes the quarantine")


def repairing_a_file_runs_only_what_it_touches(all_tasks):
    was = by_file()
    sales(2)
    again = run()
    # The file's task and the two buckets that it feeds; neither the other files nor the other output.
    expect(ran(again) == 3 and all_tasks > 3, f"{ran(again)} of {all_tasks} tasks ran for one repaired file")
    started = {e["stage"] for e in again.events("task_started")}
    expect("ids" not in started, f"ran: {started}")
    expect(sorted(by_file()) == ["names.jsonl"], f"{by_file()}")
    closed = {e["entry"]: e for e in entries("--all")}[was["2001-01-02.csv"]["entry"]]
    expect(closed["state"] == "closed", f"{closed}")
    why = [e for e in journal(STATE, "--type", "quarantine_closed") if e["entry"] == closed["entry"]]
    expect(why and why[0]["why"] == "the file was changed", f"{why}")


def dropping_counts_no_more():
    """41 of 1200 rows are more than 1%: refused until a person accepts their loss."""
    sales(3, {number: "x,12y" for number in range(10, 51)})
    standing = generation("totals", STATE)
    refused = run(code=4)
    said = " ".join(r for e in refused.events("output_refused") for r in e["reasons"])
    expect("41 of 1200 rows" in said, f"refused with: {said}")
    entry = by_file()["2001-01-03.csv"]
    expect(entry["rows"] == 41, f"{entry}")
    answer = settle("drop", entry["entry"], "--why", "the till was broken").document
    expect(answer["entries"][0]["state"] == "dropped", f"{answer}")
    told = journal(STATE, "--type", "quarantine_dropped")
    expect(told[-1]["why"] == "the till was broken", f"{told}")
    again = run()
    expect(ran(again) == 0, f"a drop made {ran(again)} tasks run")
    expect(generation("totals", STATE) != standing, "what was dropped still refuses")
    expect(verdict("totals", STATE)["verdict"] == "TRUSTED", f"{verdict('totals', STATE)}")
    expect("41 rows dropped by a person" in part("totals", "complete")["message"], f"{part('totals', 'complete')}")
    read = [e for e in again.events("source_read") if e["source"] == "sales"][-1]
    expect(read["rows_quarantined"] == 0 and read["rows_dropped"] == 41, f"{read}")
    expect(by_file()["2001-01-03.csv"]["state"] == "dropped", f"{by_file()}")
    settle("drop", entry["entry"])  # once more is no mistake
    return entry["entry"]


def what_is_set_aside_is_not_complete():
    """Within the tolerance, but short of the promised completeness of a closed source."""
    pipeline(tolerance="10%")
    sales(1, {number: "x,12y" for number in range(10, 51)})
    said = run(code=4).events("check_finished")
    failed = [c for c in said if c["status"] == "fail"]
    expect([c["kind"] for c in failed] == ["complete"] and "41 of 1200 rows" in failed[0]["message"], f"{said}")
    sales(1)
    pipeline()
    run()


def one_more_bad_row_is_not_dropped(entry):
    sales(3, {number: "x,12y" for number in range(10, 52)})
    run(code=4)
    now = by_file()["2001-01-03.csv"]
    expect(now["state"] == "open" and now["rows"] == 42 and now["entry"] != entry, f"{now}")
    sales(3, {20: "x,12y"})
    run()


def releasing_reads_again_what_is_touched(entry):
    settle("drop", entry)
    run()
    expect(by_file()["2001-01-03.csv"]["state"] == "dropped", f"{by_file()}")
    answer = settle("release", entry).document["entries"][0]
    expect(answer["state"] == "released", f"{answer}")
    again = run()
    # The file's task and the two buckets that it feeds, though the file looks the same; then nothing.
    expect(ran(again) == 3, f"{ran(again)} tasks ran after a release")
    expect("ids" not in {e["stage"] for e in again.events("task_started")}, "another output's task ran")
    expect(ran(run()) == 0, "what was released runs again and again")
    now = by_file()["2001-01-03.csv"]
    expect(now["state"] == "open" and now["rows"] == 1 and now["entry"] != entry, f"{now}")
    read = [e for e in again.events("source_read") if e["source"] == "sales"][-1]
    expect(read["rows_quarantined"] == 1 and "rows_dropped" not in read, f"{read}")
    answer = settle("release", entry, code=2)
    expect("quarantine.settled" in answer.out, answer.told())
    # And once more: each release is of the file as it was named then.
    settle("release", now["entry"])
    expect(ran(run()) == 3 and by_file()["2001-01-03.csv"]["state"] == "open", f"{by_file()}")


def gc_takes_the_table_with_its_result():
    entry = by_file()["2001-01-03.csv"]["entry"]
    tidegate("gc", "--limit", "0B", "--state", STATE, code=0)
    shown = show(entry).document
    expect(shown["tables"] == [] and shown["set_aside"][0]["line"] == 20, f"{shown}")
    run()
    shown = show(entry).document
    expect(len(shown["tables"]) == 1 and shown["set_aside"][0]["line"] == 20, f"{shown}")
    expect(glob.glob(os.path.join(STATE, "spill", "*")) == [], "something was left in spill/")


def a_lost_journal_finds_the_tables_again():
    """The results are adopted, with their tables: no task runs, and each row is told once."""
    before = {name: entry["rows"] for name, entry in by_file().items()}
    os.unlink(os.path.join(STATE, "journal.db"))
    again = run(code=(0, 3))
    expect(ran(again) == 0, f"{ran(again)} tasks ran")
    expect({name: entry["rows"] for name, entry in by_file().items()} == before, f"{before}, then {by_file()}")
    shown = show(by_file()["2001-01-03.csv"]["entry"]).document
    expect(len(shown["tables"]) == 1 and [r["line"] for r in shown["set_aside"]] == [20], f"{shown}")
    for output in ("totals", "ids"):
        tidegate("audit", output, "--state", STATE)


def tables_are_bounded_and_counts_are_not():
    pipeline(tolerance="100%", complete="1%")
    write(name_of(4), "key,amount\n" + "x,12y\n" * 6000 + "k1,1\n")
    run()
    entry = by_file()["2001-01-04.csv"]
    expect(entry["rows"] == 6000, f"{entry}")
    path = show(entry["entry"]).document["tables"][0]
    expect(sum(1 for _ in open(path)) == 4096, "the side table is not bounded")
    text = tidegate("quarantine", "show", entry["entry"], "--state", STATE, code=0).out
    expect("and 5,000 more" in text, text[-500:])
    write("pipeline.yaml", open("pipeline.yaml").read().replace("100%", "80%"))
    expect("6001 of" in run(code=4).out, "the count stops with the table")


def says_what_is_wrong():
    for arguments in (["show", "999"], ["show", "x"], ["drop", "999"], ["release", "0"]):
        answer = tidegate("quarantine", *arguments, "--state", STATE, code=2)
        expect("quarantine list --all" in answer.err and "quarantine.unknown" in answer.err, answer.told())
    tidegate("quarantine", code=2)
    tidegate("quarantine", "drop", code=2)
    for verb in ("list", "show", "release", "drop"):
        expect("--state" in tidegate("quarantine", verb, "--help", code=0).out, f"{verb} --help")
    answer = tidegate("quarantine", "list", "--state", "nowhere", code=2)
    expect("state.missing" in answer.err, answer.told())
    # One wrong number of several changes nothing.
    entry = by_file()["2001-01-04.csv"]
    settle("drop", entry["entry"], "999", code=2)
    expect(by_file()["2001-01-04.csv"] == entry, "a wrong command dropped something")


PARQUET = """version: 1
pipeline: files
sources:
  days:
    files: days/*.parquet
    arrives: {{every: 1d, path: "{{date}}", from: 2001-01-01, to: 2001-01-04}}
    partition: {partition}
    retry: {{data: {{quarantine: {tolerance}}}}}
stages:
  clean:
    sql: SELECT key, amount FROM days WHERE amount >= 0
outputs:
  clean:
    from: clean
    freshness: {{through: 2001-01-04, completeness: 70%}}
    checks: [{{references: {{columns: [key], to: days, to_columns: [key]}}}}]
    publish: {{parquet: published/clean}}
"""
SPLIT = """version: 1
pipeline: split
sources:
  sales: {files: "in/2001-*.csv", columns: {key: VARCHAR, amount: BIGINT}}
stages:
  days: {sql: "SELECT '2001-01-0' || (amount // 1000) AS day, key, amount FROM sales"}
outputs:
  days: {from: days, publish: {parquet: published/days, by: [day], compression: none}}
"""


def files_pipeline(tolerance="50%", partition="1KiB"):
    write("pipeline.yaml", PARQUET.format(tolerance=tolerance, partition=partition))


def whole_parquet_files():
    """Four files of a day each; their whole bytes, by name."""
    for day in range(1, FILES + 1):
        sales(day)
    write("split.yaml", SPLIT)
    tidegate("run", "split.yaml", "--state", "split", code=0)
    whole = {}
    for path in glob.glob(os.path.join(generation("days", "split")[1], "part-day=*.parquet")):
        with open(path, "rb") as file:
            whole[os.path.basename(path).split("=")[1][:10] + ".parquet"] = file.read()
    expect(sorted(whole) == [f"2001-01-0{d}.parquet" for d in range(1, 5)], f"{sorted(whole)}")
    for name, content in whole.items():
        put(name, content)
    return whole


def put(name, content):
    os.makedirs("days", exist_ok=True)
    with open(os.path.join("days", name), "wb") as file:
        file.write(content)


def broken_pages(content):
    """What a bad disk makes of it: the footer is whole, the pages are not."""
    return content[:4] + bytes(byte ^ 0xff for byte in content[4:400]) + content[400:]


def rows_published():
    return sum(1 for _ in tidegate("query", "SELECT * FROM clean", "--json", "--state", STATE, code=0).lines)


def a_cut_file_is_set_aside_when_planned_with(whole):
    put("2001-01-02.parquet", whole["2001-01-02.parquet"][:-100])
    first = run()
    expect("set aside" in first.out or "set aside" in first.err, first.told())
    found = entries("pipeline.yaml")
    expect([(e["file"], e["rows"], e["state"]) for e in found] == [("days/2001-01-02.parquet", 0, "open")], f"{found}")
    shown = show(found[0]["entry"]).document
    expect(shown["set_aside"][0]["line"] == 0 and "cut off" in shown["set_aside"][0]["reason"], f"{shown}")
    expect(rows_published() == 3 * ROWS, f"{rows_published()} rows")
    read = [e for e in first.events("source_read")][-1]
    expect(read["arrived"] == 3 and read["missing"] == ["2001-01-02"] and read["files_quarantined"] == 1, f"{read}")
    complete = part("clean", "complete")["message"]
    expect("3 of 4" in complete and "1 files quarantined" in complete, complete)
    return found[0]["entry"]


def broken_pages_are_set_aside_when_read(whole):
    put("2001-01-03.parquet", broken_pages(whole["2001-01-03.parquet"]))
    refused = run(code=4)
    said = " ".join(r for e in refused.events("output_refused") for r in e["reasons"])
    expect("were set aside" in said and "expected partitions" in said, f"refused with: {said}")
    found = {e["file"]: e for e in entries("pipeline.yaml")}
    one = found["days/2001-01-03.parquet"]
    expect(one["rows"] == ROWS and one["stage"] == "clean", f"{one}")
    shown = show(one["entry"]).document
    expect(len(shown["tables"]) == 1 and shown["set_aside"][0]["line"] == 0 and shown["set_aside"][0]["reason"], f"{shown}")
    text = tidegate("quarantine", "show", one["entry"], "--state", STATE, code=0).out
    expect("300 rows" in text and "more" not in text, text)
    return one["entry"]


def accepted_files_count_no_more(entries_of):
    settle("drop", *entries_of)
    again = run()
    expect(ran(again) == 0, f"a drop made {ran(again)} tasks run")
    expect(rows_published() == 2 * ROWS, f"{rows_published()} rows")
    read = [e for e in again.events("source_read")][-1]
    expect(read["arrived"] == 4 and "files_quarantined" not in read and read["rows_dropped"] == ROWS, f"{read}")
    expect(verdict("clean", STATE)["verdict"] == "TRUSTED", f"{verdict('clean', STATE)}")


def repaired_files_run_alone(whole):
    for name in ("2001-01-02.parquet", "2001-01-03.parquet"):
        put(name, whole[name])
        again = run()
        expect(ran(again) == 1, f"{ran(again)} tasks ran for one repaired file")
    expect(entries("pipeline.yaml") == [] and rows_published() == 4 * ROWS, f"{entries('pipeline.yaml')}")


def of_several_files_of_a_task_only_the_broken_are_lost(whole):
    files_pipeline(partition="64MiB")
    for name in ("2001-01-01.parquet", "2001-01-04.parquet"):
        put(name, broken_pages(whole[name]))
    refused = run(code=4)
    expect(ran(refused) == 1, "not one task for all files")
    found = {e["file"]: e["rows"] for e in entries("pipeline.yaml")}
    expect(found == {"days/2001-01-01.parquet": ROWS, "days/2001-01-04.parquet": ROWS}, f"{found}")
    settle("drop", *[e["entry"] for e in entries("pipeline.yaml")])
    run()
    expect(rows_published() == 2 * ROWS, f"{rows_published()} rows")


def without_a_tolerance_nothing_is_set_aside(whole):
    write("pipeline.yaml", open("pipeline.yaml").read().replace("    retry: {data: {quarantine: 50%}}\n", ""))
    answer = run(code=3)
    expect("source.bad_file" in answer.out and "2001-01-01.parquet" in answer.out, answer.told())
    for name, content in whole.items():
        put(name, content[:-100])
    files_pipeline()
    answer = run(code=2)  # where every file is bad there is nothing to go by
    expect(answer.out.count("is cut off") == 4, answer.told())


def the_state_is_found_beside_the_file():
    pipeline(tolerance="100%", complete="1%")
    write("pipeline.yaml", open("pipeline.yaml").read().replace("published/", "beside/"))
    sales(1, {20: "x,12y"})
    run_here = {key: value for key, value in os.environ.items() if key != "TIDEGATE_STATE"}
    done = subprocess.run([TIDEGATE, "run", "pipeline.yaml", "--quiet"], env=run_here, capture_output=True)
    expect(done.returncode == 0, done.stderr.decode())
    write("elsewhere/note", "")
    done = subprocess.run([TIDEGATE, "quarantine", "list", "../pipeline.yaml"], env=run_here, cwd="elsewhere",
                          capture_output=True)
    expect(done.returncode == 0 and b"2001-01-01.csv" in done.stdout, f"{done}")


def parquet_files():
    files_pipeline()
    whole = whole_parquet_files()
    run()
    cut = a_cut_file_is_set_aside_when_planned_with(whole)
    broken = broken_pages_are_set_aside_when_read(whole)
    accepted_files_count_no_more([cut, broken])
    repaired_files_run_alone(whole)
    of_several_files_of_a_task_only_the_broken_are_lost(whole)
    without_a_tolerance_nothing_is_set_aside(whole)


tasks = sees_nothing_where_nothing_is_set_aside()
names_rows_of_csv_and_json()
repairing_a_file_runs_only_what_it_touches(tasks)
dropped = dropping_counts_no_more()
what_is_set_aside_is_not_complete()
one_more_bad_row_is_not_dropped(dropped)
a_lost_journal_finds_the_tables_again()
releasing_reads_again_what_is_touched(by_file()["2001-01-03.csv"]["entry"])
gc_takes_the_table_with_its_result()
tables_are_bounded_and_counts_are_not()
says_what_is_wrong()
the_state_is_found_beside_the_file()
parquet_files()
