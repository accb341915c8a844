"""What may and may not be published, whoever comes between: each case in a directory of its own."""
import json
import os
import shutil
import signal
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

TOP = os.getcwd()


def pipeline(sql="amount >= 0", checks="", day_checks="", more="", together=False, slow=False, keep=2, name="shop"):
    slow_checks = "".join(f"\n      - {{expect: \"md5(repeat(key, 40000 + {i})) <> 'x'\", name: slow {i}}}" for i in range(60)) if slow else ""
    return f"""version: 1
pipeline: {name}
{"publish_together: true" if together else ""}
sources:
  sales:
    files: in/sales.csv
    columns: {{key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}
stages:
  clean:
    sql: SELECT key, day, amount FROM sales WHERE {sql}
  by_key:
    partition_by: [key]
    buckets: 2
    sql: SELECT key, count(*) AS sales, CAST(sum(amount) AS BIGINT) AS amount FROM clean GROUP BY key
  by_day:
    partition_by: [day]
    buckets: 2
    sql: SELECT day, CAST(sum(amount) AS BIGINT) AS amount FROM clean GROUP BY day
outputs:
  by_key:
    from: by_key
    keep: {keep}
    checks:
      - unique: [key]{slow_checks}{checks}
    publish: {{parquet: published/by_key}}
  by_day:
    from: by_day
    keep: {keep}
    checks:
      - unique: [day]{day_checks}
    publish: {{parquet: published/by_day}}
{more}"""


def new_input(seed, rows=600):
    csv("in/sales.csv", seed, rows)


def run(*arguments, code=0, state="state", file="pipeline.yaml"):
    return tidegate("run", file, "--json", "--state", state, *arguments, code=code)


def stands(output="by_key", state="state"):
    found = generation(output, state)
    expect(found is not None, f"{output} has no generation")
    return found[0]


def generations(output="by_key"):
    return sorted(os.listdir(f"published/{output}/gen"))


def trusted(state="state", outputs=("by_key", "by_day")):
    said = verdicts(state)
    expect(all(said[o]["verdict"] == "TRUSTED" for o in outputs), f"not trusted: {said}")


def first_part(output="by_key", state="state"):
    _, directory = generation(output, state)
    return os.path.join(directory, sorted(n for n in os.listdir(directory) if n.endswith(".parquet"))[0])


def second_conductor_in_one_state_directory():
    write("pipeline.yaml", pipeline(slow=True))
    process = start("run", "pipeline.yaml", "--json", "--state", "state")
    for line in process.stdout:
        if b'"task_started"' in line:
            break
    process.send_signal(signal.SIGSTOP)
    for command in (["run", "pipeline.yaml"], ["audit", "by_key"], ["gc"]):
        refused = tidegate(*command, "--state", "state", code=2)
        expect("state.locked" in refused.err and f"process {process.pid} " in refused.err and "tidegate run pipeline.yaml" in refused.err,
               f"{command} does not say who holds it: {refused.told()}")
    said = tidegate("trust", "--json", "--state", "state", code=5)  # reading goes on
    expect(said.document["outputs"] == [], said.told())
    process.send_signal(signal.SIGCONT)
    expect(finish(process).code == 0, "the first one is disturbed")
    trusted()


def second_state_directory():
    write("pipeline.yaml", pipeline())
    run()
    before = published(["by_key", "by_day"], "state"), generations()
    new_input(2)
    # Before any task runs, whether the other state directory is a new one or has results.
    for state, file in (("other", "pipeline.yaml"), ("other", "pipeline.yaml"), ("third", "elsewhere.yaml"), ("third", "pipeline.yaml")):
        write("elsewhere.yaml", pipeline().replace("published/", "elsewhere/"))
        if file == "elsewhere.yaml":
            run(state=state, file=file)
            continue
        planned = tidegate("plan", file, "--state", state, code=2)
        refused = run(state=state, file=file, code=2)
        for said in (planned, refused):
            expect("publish.foreign_owner" in said.err and "another state directory" in said.err, said.told())
        expect(not refused.events("run_started", "task_started"), refused.told())
    expect(os.listdir("published/by_key/log") == ["000001.json"], "something was committed")
    write("letters/by_key/mine.txt", "mine")
    write("letters.yaml", pipeline().replace("published/", "letters/"))
    for command in ("plan", "run"):
        said = tidegate(command, "letters.yaml", "--state", "state", code=2)
        expect("publish.foreign_directory" in said.err and "mine.txt" in said.err, said.told())
    expect((published(["by_key", "by_day"], "state"), generations()) == before, "it changed what stands")
    trusted()
    run()
    trusted()


def conductor_that_sleeps_between_check_and_swap():
    write("pipeline.yaml", pipeline())
    run()
    old = stands()
    shutil.copytree("state", "copy")  # the same state directory, restored elsewhere: the same owner
    write("slow.yaml", pipeline(sql="amount >= 10", slow=True))
    write("fast.yaml", pipeline(sql="amount >= 20"))
    sleeper = start("run", "slow.yaml", "--json", "--state", "state")
    wait_until(lambda: len(generations()) == 2, "the sleeper to stage")
    sleeper.send_signal(signal.SIGSTOP)
    expect(stands() == old, "it was committed before its checks ran")
    time.sleep(0.7)  # its worker ends the checks meanwhile
    run(state="copy", file="fast.yaml")
    winner = stands(state="copy")
    expect(winner != old, "nothing was published")
    data = published(["by_key", "by_day"], "copy")
    sleeper.send_signal(signal.SIGCONT)
    lost = finish(sleeper)
    expect(lost.code == 3, f"the sleeper must lose: {lost.told()}")
    expect(stands(state="copy") == winner and published(["by_key", "by_day"], "copy") == data, "the sleeper changed what the other published")
    trusted("copy")
    expect(os.path.realpath("published/by_key/current").endswith(winner), "current")
    for output in ("by_key", "by_day"):
        expect(verdict(output, "state")["verdict"] != "TRUSTED", "a state directory that was overtaken still trusts")
    run(state="copy", file="fast.yaml")
    trusted("copy")


def lost_journal():
    write("pipeline.yaml", pipeline())
    run()
    name, data = stands(), published(["by_key", "by_day"], "state")
    os.remove("state/journal.db")
    if os.path.exists("state/journal.db-journal"):
        os.remove("state/journal.db-journal")
    for output in ("by_key", "by_day"):
        said = tidegate("trust", output, "--json", "--state", "state", code=5).document["outputs"]
        expect(said[0]["verdict"] == "UNKNOWN", f"{said}")
        tidegate("audit", f"published/{output}", "--state", "state", code=0)
        expect(verdict(output, "state")["verdict"] == "TRUSTED", f"after an audit: {verdict(output, 'state')}")
    recovered = journal("state", "--type", "journal_recovered")
    expect(len(recovered) == 1, f"{recovered}")
    again = run()
    expect(stands() == name and published(["by_key", "by_day"], "state") == data, "a lost journal makes a new generation")
    expect(again.last["tasks"]["ran"] == 0, f"results on disk are not adopted: {again.last}")
    trusted()


def lost_state_directory():
    write("pipeline.yaml", pipeline())
    run()
    name, data = stands(), published(["by_key", "by_day"], "state")
    shutil.rmtree("state")
    tidegate("trust", "by_key", "--state", "state", code=(2, 5))
    refused = run(code=2)
    expect("another state directory" in refused.err and "--take-over" in refused.err, f"it does not say the way out: {refused.told()}")
    expect(verdict("by_key", "state")["verdict"] == "UNKNOWN", "unknown to the new journal")
    for output in ("by_key", "by_day"):
        refused = tidegate("audit", f"published/{output}", "--state", "state", code=(2, 3))
        taken = tidegate("audit", f"published/{output}", "--take-over", "--json", "--state", "state", code=0)
        expect(taken.document["broken"] == [], taken.told())
        expect(verdict(output, "state")["verdict"] == "TRUSTED", f"{verdict(output, 'state')}")
    run()
    expect(stands() == name and published(["by_key", "by_day"], "state") == data, "the same rows are published again")
    new_input(2)
    run()
    expect(generations()[-1] > name, f"numbers go on: {generations()}")
    trusted()


def altered_and_missing_files():
    write("pipeline.yaml", pipeline())
    run()
    part = first_part()
    clean = open(part, "rb").read()
    before = os.stat(part)
    os.chmod(part, 0o644)
    with open(part, "r+b") as file:
        file.seek(len(clean) // 3)
        file.write(bytes([clean[len(clean) // 3] ^ 1]))
    os.utime(part, ns=(before.st_atime_ns, before.st_mtime_ns))
    os.chmod(part, 0o444)
    said = verdict("by_key", "state")
    expect(said["verdict"] == "UNTRUSTED" and any(r["part"] == "intact" and r["status"] == "fail" for r in said["reasons"]), f"altered: {said}")
    expect(verdict("by_day", "state")["verdict"] == "TRUSTED", "the other output is as it was")
    refused = tidegate("query", "SELECT count(*) FROM by_key", "--require", "trusted", "--state", "state")
    expect(refused.code != 0, f"query --require trusted: {refused.told()}")
    tidegate("audit", "by_key", "--state", "state", code=3)
    old = stands()
    # The result that was linked is altered with it: it is made again, and published as a new generation.
    again = run()
    expect(stands() != old and verdict("by_key", "state")["verdict"] == "TRUSTED", f"not made good: {again.told()}")
    expect(open(first_part(), "rb").read() == clean, "other bytes than at first")
    # Missing, and one too many.
    part = first_part()
    os.rename(part, "aside")
    expect(verdict("by_key", "state")["verdict"] == "UNTRUSTED", "missing")
    os.rename("aside", part)
    expect(verdict("by_key", "state")["verdict"] == "TRUSTED", "as it was")
    extra = os.path.join(os.path.dirname(part), "part-99999.parquet")
    shutil.copy(part, extra)
    expect(verdict("by_key", "state")["verdict"] == "UNTRUSTED", "a file too many")
    os.remove(extra)
    trusted()
    # Altered behind everyone's back, to be seen only by reading.
    os.remove(part)
    answer = run()
    trusted()
    expect(answer.last["state"] == "succeeded", answer.told())


def rolled_back():
    write("pipeline.yaml", pipeline())
    run()
    a = stands()
    data_a = published(["by_key"], "state")
    new_input(2)
    run()
    b = stands()
    data_b = published(["by_key"], "state")
    answer = tidegate("rollback", "by_key", "--json", "--state", "state", code=0).document
    expect(answer == {"output": "by_key", "from": b, "to": a, "damaged": False} and stands() == a, f"{answer}")
    expect(published(["by_key"], "state") == data_a, "the old rows")
    trusted()
    refused = run(code=4)
    expect("--force" in refused.out + refused.err, f"it does not say --force: {refused.told()}")
    expect(stands() == a, "a rejected identity was published again")
    run(code=4)
    new_input(3)
    run()
    c = stands()
    expect(c not in (a, b), "another input publishes")
    new_input(2)
    run(code=(0, 4))
    run("--force")
    expect(published(["by_key"], "state") == data_b, "--force publishes it")
    trusted()
    tidegate("rollback", "by_key", "--to", c, "--state", "state", code=0)
    expect(stands() == c, "--to names the generation")
    tidegate("rollback", "by_key", "--to", "000999-abcd", "--state", "state", code=3)
    expect(stands() == c, "a generation that is not there")


def together():
    write("pipeline.yaml", pipeline(together=True))
    run()
    first = stands("by_key"), stands("by_day")
    for checks in ({"checks": "\n      - rows: {max: 1}"}, {"day_checks": "\n      - rows: {max: 1}"}):
        for slow in (False, True):
            write("bad.yaml", pipeline(sql="amount >= 7", together=True, slow=slow, **checks))
            answer = run(file="bad.yaml", code=4)
            expect((stands("by_key"), stands("by_day")) == first, f"one of two was published: {answer.told()}")
            expect(generations("by_key") == [first[0]] and generations("by_day") == [first[1]], "something was left behind")
    write("pipeline.yaml", pipeline(sql="amount >= 8", together=True))
    run()
    expect(stands("by_key") != first[0] and stands("by_day") != first[1], "both move")
    for output in ("by_key", "by_day"):
        expect(os.path.realpath(f"published/{output}/current").endswith(stands(output)), "current")
    trusted()
    # One of the two is unchanged, the other moves.
    write("pipeline.yaml", pipeline(sql="amount >= 8", together=True).replace("count(*) AS sales", "count(key) AS sales"))
    day = stands("by_day")
    run()
    expect(stands("by_day") == day, "an unchanged member stays")
    trusted()


def kept_generations():
    made = []
    for seed in range(5):
        new_input(seed)
        write("pipeline.yaml", pipeline(keep=1))
        run()
        made.append(stands())
    expect(generations() == made[-2:], f"keep: 1 of {made} leaves {generations()}")
    trusted()
    tidegate("rollback", "by_key", "--state", "state", code=0)
    expect(stands() == made[-2], "the one that was kept")
    tidegate("rollback", "by_key", "--state", "state", code=3)
    write("pipeline.yaml", pipeline(keep=0))
    new_input(9)
    run()
    expect(generations() == [stands()], f"keep: 0 leaves {generations()}")


def only_checks_changed():
    write("pipeline.yaml", pipeline())
    run()
    before = generations(), published(["by_key", "by_day"], "state")
    write("pipeline.yaml", pipeline(checks="\n      - expect: sales > 0"))
    answer = run()
    expect(answer.last["tasks"]["ran"] == 0, f"{answer.last}")
    expect((generations(), published(["by_key", "by_day"], "state")) == before, "a generation was made")
    expect(any(e["name"].startswith("expect") for e in answer.events("check_finished")), "it was not verified again")
    expect(not answer.events("output_published"), "published")
    trusted()
    write("pipeline.yaml", pipeline(checks="\n      - rows: {max: 3}"))
    for turn in range(2):  # it fails each time it is asked for, not only at first
        answer = run(code=4)
        expect((generations(), published(["by_key", "by_day"], "state")) == before, "what stands was touched")
        expect(verdict("by_key", "state")["verdict"] == "UNTRUSTED", f"turn {turn}: {verdict('by_key', 'state')}")
        expect(verdict("by_day", "state")["verdict"] == "TRUSTED", "the other one")
    write("pipeline.yaml", pipeline())
    run()
    trusted()


def failing_check_keeps_the_old_generation():
    write("pipeline.yaml", pipeline(checks="\n      - rows: {max: 40}"))
    run()
    before = stands(), published(["by_key"], "state")
    old_day = stands("by_day")
    with open("in/sales.csv", "a") as file:
        file.write("kNEW,g1,2001-03-01,5\n")
    answer = run(code=4)
    expect(answer.last["state"] == "refused", answer.told())
    expect((stands(), published(["by_key"], "state")) == before, "the old generation does not stand")
    expect(stands("by_day") != old_day, "the output that passed is not published")
    (refused,) = journal("state", "--type", "output_refused")
    expect(refused["output"] == "by_key" and "41" in str(refused["reasons"]), f"{refused}")
    expect(len(generations()) == 1, f"left behind: {generations()}")
    trusted(outputs=["by_day"])
    expect(is_old_but_right(verdict("by_key", "state")), f"{verdict('by_key', 'state')}")
    again = run(code=4)
    expect(again.last["tasks"]["ran"] == 0, f"what was made is not kept: {again.last}")


def interrupted():
    write("pipeline.yaml", pipeline(slow=True))
    new_input(1, 60000)
    process = start("run", "pipeline.yaml", "--json", "--state", "state", "--workers", 1)
    text = ""
    for line in process.stdout:
        text += line.decode()
        if b'"task_finished"' in line:
            break
    process.send_signal(signal.SIGINT)
    rest = finish(process)
    answer = Answer(rest.code, text + rest.out, rest.err)
    expect(answer.code == 130, f"Ctrl-C: {answer.told()}")
    expect(len(answer.events("run_interrupted")) == 1 and not answer.events("run_finished"), answer.told())
    expect(generation("by_key", "state") is None, "published")
    done = {e["identity"] for e in answer.events("task_finished")}
    # During the checks, twice: at once.
    process = start("run", "pipeline.yaml", "--json", "--state", "state", "--workers", 1)
    wait_until(lambda: os.path.isdir("published/by_key/gen") and generations(), "the checks to begin")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    answer = finish(process)
    expect(answer.code == 130 and time.monotonic() - began < 1, f"twice: {time.monotonic() - began} s, {answer.told()}")
    expect(not {e["identity"] for e in answer.events("task_started")} & done, "ran again though finished")
    # SIGTERM is a Ctrl-C too. What the run before left staged goes first, so its own is waited for.
    process = start("run", "pipeline.yaml", "--json", "--state", "state", "--workers", 1)
    for line in process.stdout:
        if b'"run_started"' in line:
            break
    wait_until(lambda: generations(), "the checks to begin")
    process.send_signal(signal.SIGTERM)
    expect(finish(process).code == 130, "SIGTERM")
    answer = run()
    expect(answer.events("run_started")[0].get("resumed_from"), "it does not say what it resumes")
    trusted()
    expect(len(generations()) == 1, f"left behind: {generations()}")
    expect(not os.listdir("state/spill"), "left in spill")


def saved_plan():
    write("pipeline.yaml", pipeline())
    tidegate("plan", "pipeline.yaml", "-o", "PLAN", "--state", "state", "--quiet", code=0)
    answer = run(file="PLAN")
    expect(answer.last["tasks"]["ran"] == 5, f"{answer.last}")
    trusted()
    refused = run(file="PLAN", code=(0, 2))  # all of it is there by now
    expect(refused.code == 0 or "what is reused" in refused.err, refused.told())
    name = stands()
    new_input(2)
    tidegate("plan", "pipeline.yaml", "-o", "PLAN", "--state", "state", "--quiet", code=0)
    new_input(3)
    refused = run(file="PLAN", code=2)
    expect("plan.changed" in refused.err and "source sales" in refused.err, f"it does not name the input: {refused.told()}")
    tidegate("plan", "pipeline.yaml", "-o", "PLAN", "--state", "state", "--quiet", code=0)
    write("pipeline.yaml", pipeline(checks="\n      - not_null: [key]"))
    refused = run(file="PLAN", code=2)
    expect("plan.changed" in refused.err and "the pipeline file" in refused.err, f"it does not name the file: {refused.told()}")
    write("pipeline.yaml", pipeline(sql="amount >= 1"))
    refused = run(file="PLAN", code=2)
    expect("plan.changed" in refused.err and "the recipe of clean" in refused.err, f"it does not name the stage: {refused.told()}")
    expect(stands() == name, "a plan that was refused ran")
    # A plan whose run was interrupted can be run to its end.
    write("pipeline.yaml", pipeline(slow=True))
    tidegate("plan", "pipeline.yaml", "-o", "PLAN", "--state", "state", "--quiet", code=0)
    process = start("run", "PLAN", "--json", "--state", "state", "--workers", 1)
    for line in process.stdout:
        if b'"task_finished"' in line:
            break
    process.kill()
    finish(process)
    run(file="PLAN")
    trusted()
    write("broken", '{"format": "tidegate-plan", "version": 99}')
    refused = run(file="broken", code=2)
    expect("plan.version" in refused.err, refused.told())


for case in (second_conductor_in_one_state_directory, second_state_directory, conductor_that_sleeps_between_check_and_swap,
             lost_journal, lost_state_directory, altered_and_missing_files, rolled_back, together, kept_generations,
             only_checks_changed, failing_check_keeps_the_old_generation, interrupted, saved_plan):
    if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
        continue
    os.makedirs(f"{TOP}/{case.__name__}")
    os.chdir(f"{TOP}/{case.__name__}")
    new_input(1)
    began = time.monotonic()
    try:
        case()
    except SystemExit:
        print(f"in {case.__name__}", file=sys.stderr)
        if "KEEP_GOING" not in os.environ:
            raise
    print(f"{time.monotonic() - began:5.1f} s  {case.__name__}", flush=True)
