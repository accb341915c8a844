"""What follows when an output is not as promised. `incident_response.py [CASE...]`, in an empty directory."""
import glob
import http.server
import os
import shutil
import signal
import sqlite3
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

TOP, STATE, SECRET = os.getcwd(), "state", "hunter2-of-the-webhook"
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
os.environ.pop("TIDEGATE_STATE", None)
PIPELINE = """version: 1
pipeline: shop
owner: shop@example.com
sources:
  sales: {{files: in/sales.csv, columns: {{key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}}}
stages:
  clean: {{sql: "SELECT key, {amount} AS amount FROM sales"}}
outputs:
  clean: {{from: clean, checks: [{{expect: amount < {below}}}], {rollback} publish: {{parquet: published/clean, compression: none}}}}
{notify}
"""


def pipeline(amount="amount", below=20000, rollback="", notify=""):
    rollback = f"rollback: {rollback}," if rollback else ""
    write("pipeline.yaml", PIPELINE.format(amount=amount, below=below, rollback=rollback, notify=notify))


def rows(seed):
    csv("in/sales.csv", seed, 50)


def run(*more, code=0, **named):
    return tidegate("run", "pipeline.yaml", "--state", STATE, *more, code=code, **named)


def incidents(*more):
    return tidegate("incidents", "--json", "--state", STATE, *more, code=0).document["incidents"]


def standing():
    return os.path.basename(os.readlink("published/clean/current"))


class Receiver:
    """A webhook on loopback that keeps what it is sent. `behave` may take the place of an answer."""

    def __init__(self, port=0, behave=None):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
                self.send_response(behave() if behave else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.got = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        os.environ["HOOK"] = f"http://127.0.0.1:{self.port}/{SECRET}"

    def keys(self):
        return [key for _, key, _ in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def say_nothing_of_the_secret(*answers):
    for answer in answers:
        expect(SECRET not in answer.out + answer.err, f"the secret is told: {answer.told()}")
    with sqlite3.connect(f"{STATE}/journal.db") as database:
        told = [data for (data,) in database.execute("SELECT data FROM events") if SECRET in data]
    database.close()
    expect(not told, f"the secret is journaled: {told[:1]}")


NOTIFY = """notify:
  - command: [./tell.sh, "a team"]
  - webhook: ${env:HOOK}"""


def notified():
    """Both targets hear that an incident opens and closes, once each."""
    write("tell.sh", "#!/bin/sh\ncat >> \"$1\"\n")
    os.chmod("tell.sh", 0o755)
    receiver = Receiver()
    pipeline(notify=NOTIFY)
    rows(1)
    run("--quiet")
    expect(not receiver.got and not os.path.exists("a team"), "told of nothing")
    pipeline(notify=NOTIFY, amount="amount + 50000")
    refused = run(code=4)
    expect(len(receiver.got) == 1, f"told {receiver.got}")
    path, key, news = receiver.got[0]
    expect(path == f"/{SECRET}" and key == news["key"], f"{path} {key} {news}")
    expect(news["about"] == "opened" and news["output"] == "clean" and news["code"] == "check.failed" and
           news["stands"] == standing() and "mend" in news["advice"], news)
    expect([json.loads(line) for line in open("a team")] == [news], open("a team").read())
    again = run(code=4)
    expect(len(receiver.got) == 1, "told twice of one incident")
    pipeline(notify=NOTIFY)
    healed = run("--json")
    expect(healed.lines[-1]["event"] == "run_finished", f"the last line is another: {healed.lines[-1]}")
    expect([n["about"] for _, _, n in receiver.got] == ["opened", "closed"], receiver.got)
    expect(len(open("a team").readlines()) == 2, open("a team").read())
    say_nothing_of_the_secret(refused, again, healed)
    one, = incidents("--all")
    expect(one["state"] == "closed" and 0 <= one["mitigate_us"] <= one["notify_us"] <= one["repair_us"], one)
    receiver.close()


def nobody_there():
    """A receiver that is down changes nothing of the run; its news arrives later, once."""
    receiver = Receiver()
    pipeline(notify=NOTIFY.replace('  - command: [./tell.sh, "a team"]\n', ""))
    rows(1)
    run("--quiet")
    receiver.close()
    text = open("pipeline.yaml").read()
    write("pipeline.yaml", text.replace("SELECT key, amount", "SELECT key, amount + 50000"))
    answer = run(code=4)
    expect("notify.refused" in answer.err and "tidegate notify pipeline.yaml" in answer.err, answer.told())
    failed = journal(STATE, "--type", "notification_failed")
    expect(len(failed) == 1 and failed[0]["tries"] == 3 and failed[0]["code"] == "notify.refused", failed)
    down = tidegate("notify", "pipeline.yaml", "--json", "--state", STATE, code=3)
    expect(down.document["failed"][0]["incident"] == 1 and not down.document["sent"], down.told())
    receiver = Receiver(receiver.port)
    up = tidegate("notify", "pipeline.yaml", "--json", "--state", STATE, code=0)
    expect(len(up.document["sent"]) == 1 and receiver.keys() == [failed[0]["key"]], up.told())
    idle = tidegate("notify", "pipeline.yaml", "--state", STATE, code=0)
    expect("nothing is due" in idle.out and len(receiver.got) == 1, idle.told())
    say_nothing_of_the_secret(answer, down, up, idle)
    receiver.close()


def killed_while_it_tells():
    """Who dies between the answer and the journal tells it again, under the same key."""
    victim = []

    def kill_first():
        if victim:
            victim.pop().send_signal(signal.SIGKILL)
            time.sleep(0.2)
        return 204

    receiver = Receiver(behave=kill_first)
    pipeline(notify="notify: [{webhook: \"${env:HOOK}\"}]", below=1)
    rows(1)
    process = start("run", "pipeline.yaml", "--state", STATE, "--quiet")
    victim.append(process)
    died = finish(process)
    expect(died.code == -signal.SIGKILL and len(receiver.got) == 1, f"{receiver.got} {died.told()}")
    expect(not journal(STATE, "--type", "notification_sent"), "it lived long enough to write it down")
    tidegate("notify", "pipeline.yaml", "--state", STATE, code=0)
    tidegate("notify", "pipeline.yaml", "--state", STATE, code=0)
    expect(len(receiver.got) == 2 and len(set(receiver.keys())) == 1, f"told {receiver.keys()}")
    expect(receiver.got[0][2] == receiver.got[1][2], "two forms of one news")
    receiver.close()


def never_answers():
    """A receiver that holds the line costs a bounded time, and another run may begin meanwhile."""
    held = threading.Event()
    receiver = Receiver(behave=lambda: held.wait(60) and 204 or 204)
    pipeline(notify="notify: [{webhook: \"${env:HOOK}\"}]", below=1)
    rows(1)
    began = time.monotonic()
    process = start("run", "pipeline.yaml", "--state", STATE, "--json")
    wait_until(lambda: receiver.got, "the webhook to be called")
    run("--quiet", code=4)  # the state directory is free: what it sends in turn is bounded as well
    answer = finish(process)
    expect(answer.code == 4 and answer.last["state"] == "refused", answer.told())
    expect("notify.timeout" in answer.err, answer.told())
    expect(time.monotonic() - began < 60, f"it took {time.monotonic() - began:.0f} s")
    expect(len(set(receiver.keys())) == 1, receiver.keys())
    held.set()
    receiver.close()


def publish_two(rollback):
    pipeline(rollback=rollback)
    for seed in (1, 2):
        rows(seed)
        run("--quiet")
    return sorted(os.listdir("published/clean/gen"))


def tamper(generation):
    path, = glob.glob(f"published/clean/gen/{generation}/*.parquet")
    os.chmod(path, 0o644)
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 8)


def damaged_and_rolled_back():
    first, second = publish_two("{when: {verdict: UNTRUSTED}, to: previous}")
    expect(tidegate("audit", "clean", "--json", "--state", STATE, code=0).document["incident"] is None, "none is open")
    tamper(second)
    answer = tidegate("audit", "clean", "--json", "--state", STATE, code=3)
    expect(answer.document["rolled_back"] and answer.document["incident"] == 1 and answer.document["broken"], answer.told())
    expect(standing() == first and verdict("clean", STATE)["verdict"] == "DEGRADED", f"{standing()} stands")
    one, = incidents()
    expect(one["code"] == "publish.broken" and one["mitigate_us"] >= 0 and "repair_us" not in one, one)
    story = tidegate("incident", "1", "--state", STATE, code=0).out
    for said in ("evidence", "class     lost", "rule", f"generation {first} stands again instead of {second}", "to do"):
        expect(said in story, f"the story does not say {said!r}:\n{story}")
    # It is rolled back once, and stays until the rows are right.
    for command in (("audit", "clean"), ("trust", "--record")):
        tidegate(*command, "--state", STATE, code=(0, 5))
    expect(len(journal(STATE, "--type", "output_rolled_back")) == 1 and len(incidents()) == 1, "not once")
    # Its files were damaged, and nothing was said against its rows: the next run makes them again.
    run("--quiet")
    expect(standing() not in (first, second) and verdict("clean", STATE)["verdict"] == "TRUSTED" and not incidents(), "it is not repaired")
    one, = incidents("--all")
    expect(one["mitigate_us"] < one["repair_us"], one)


def killed_while_it_rolls_back():
    """Whenever an audit dies, one rollback is journaled in the end, and the incident stays open."""
    first, second = publish_two("{when: {verdict: UNTRUSTED}}")
    tamper(second)
    shutil.copytree(STATE, "state.before", symlinks=True)
    shutil.copytree("published", "published.before", symlinks=True)
    died = 0
    for step in range(24):
        for name in (STATE, "published"):
            shutil.rmtree(name)
            subprocess.run(["cp", "-a", f"{name}.before", name], check=True)
        process = start("audit", "clean", "--state", STATE)
        time.sleep(0.004 * step)
        process.kill()
        died += finish(process).code == -signal.SIGKILL
        tidegate("audit", "clean", "--state", STATE, code=(0, 3))
        tidegate("trust", "--record", "--state", STATE, code=5)
        back = journal(STATE, "--type", "output_rolled_back")
        expect(len(back) == 1 and back[0]["to"] == first, f"step {step}: {back}")
        expect(standing() == first, f"step {step}: {standing()} stands")
        expect([one["incident"] for one in incidents("--all")] == [1] and len(incidents()) == 1, f"step {step}: {incidents('--all')}")
    expect(died >= 3, f"only {died} of them died in time")


def check_that_changed():
    """A check that the standing rows do not pass: back by rule, or a word to a person."""
    first, second = publish_two("{when: check_failed_after_publish}")
    pipeline(rollback="{when: check_failed_after_publish}", below=1)
    answer = run(code=4)
    expect("stands again instead of" in answer.err and standing() == first, answer.told())
    one, = incidents()
    expect(one["code"] == "check.failed" and "stands" not in one and one["mitigate_us"] >= 0, one)
    pipeline(rollback="{when: check_failed_after_publish}")
    rows(3)
    run("--quiet")
    third = standing()
    expect(not incidents() and third not in (first, second), f"{third} stands")
    pipeline(rollback="{when: check_failed_after_publish, mode: manual}", below=1)
    answer = run(code=4)
    expect("tidegate rollback clean" in answer.err and standing() == third, answer.told())
    one, = incidents()
    expect(one["command"] == "tidegate rollback clean" and "mitigate_us" not in one, one)
    tidegate("rollback", "clean", "--state", STATE, code=0)
    one, = incidents()
    expect(one["mitigate_us"] >= 0, one)


def stale():
    """An output that grows too old opens an incident by `trust --record`, and is not rolled back."""
    pipeline(rollback="{when: {verdict: UNTRUSTED}}")
    text = open("pipeline.yaml").read().replace("published/clean, compression: none}", "published/clean}, freshness: {through: 2040-01-01}")
    text = text.replace("files: in/sales.csv", "files: in/sales.csv, manifest: m.json")
    write("pipeline.yaml", text)
    rows(1)
    for end in ("2001-01-01", "2002-01-01"):
        write("m.json", json.dumps({"files": [{"path": "in/sales.csv"}], "complete_to": f"{end}T00:00:00Z"}))
        run("--quiet")
    before = standing()
    asked = tidegate("trust", "--state", STATE, code=5)
    expect("UNTRUSTED" in asked.out and not incidents("--all"), asked.told())
    recorded = tidegate("trust", "--record", "--state", STATE, code=5)
    one, = incidents()
    expect(one["code"] == "trust.untrusted" and "fresh" in one["message"], one)
    expect(standing() == before and "incident 1" in recorded.err, recorded.told())
    expect(tidegate("trust", "--record", "--at", "2001-01-01", "--state", STATE).code == 2, "--record --at")


def explained():
    """A failure of a task by its run, its task, its code; and the runbook."""
    pipeline(amount="CAST(key AS BIGINT)", notify="notify: [{webhook: \"${env:HOOK}\"}]")
    rows(1)
    nothing = tidegate("runbook", "pipeline.yaml", "--state", STATE, code=0)
    expect("no run yet" in nothing.out and "## Stage clean" in nothing.out, nothing.told())
    os.environ["HOOK"] = f"http://127.0.0.1:9/{SECRET}"
    run("--quiet", code=3)
    name = tidegate("runs", "--json", "--state", STATE, code=0).lines[0]["run"]
    told = tidegate("explain", name, "--state", STATE, code=0).out
    for said in ("stage clean", "evidence  ", "sql.conversion", "the type of DuckDB's error", "class     data", "rule", "done      it opened incident 1",
                 "outcome   unhealed", "to do     `TRY_CAST`"):
        expect(said in told, f"explain does not say {said!r}:\n{told}")
    failure, = tidegate("explain", name, "--json", "--state", STATE, code=0).events("failure_explained")
    expect(failure["class"] == "data" and failure["stage"] == "clean" and failure["advice"], failure)
    task = tidegate("explain", failure["identity"][:10], "--json", "--state", STATE, code=0)
    expect(task.events("failure_explained")[0]["code"] == "sql.conversion", task.told())
    code = tidegate("explain", "sql.conversion", "--json", "--state", STATE, code=0).document
    expect(code["classes"][0]["class"] == "data" and code["advice"], code)
    tidegate("explain", "sql.conversations", "--state", STATE, code=2)
    pipeline(amount="CASE WHEN amount > 0 THEN 50000 ELSE amount END")
    run("--quiet", code=4)
    pipeline()
    run("--quiet")
    book = tidegate("runbook", "pipeline.yaml", "--json", "--state", STATE, code=0).document
    found = {(part["name"], row["what"]): row for part in book["parts"] for row in part["rows"]}
    data = found[("clean", "data")]
    expect(data["times"] == 1 and data["healed"] == 0 and data["last"]["code"] == "sql.conversion", data)
    expect(data["to_do"] == failure["advice"], data)
    expect(found[("clean", "its checks refuse it")]["last"]["outcome"] == "unhealed", found)
    expect(book["runs"] == 3 and book["incidents"] == [1], book)
    page = tidegate("runbook", "pipeline.yaml", "--state", STATE, code=0).out
    expect("`sql.conversion`" in page and "never seen" in page and SECRET not in page, page)
    tidegate("runbook", "nowhere.yaml", code=2)
    write("bad.yaml", "version: 1\n")
    tidegate("runbook", "bad.yaml", code=2)
    tidegate("notify", "bad.yaml", code=2)
    tidegate("notify", code=2)
    for command in ("runbook", "notify"):
        expect("FILE" in tidegate(command, "--help", code=0).out, f"{command} --help")


CASES = [notified, nobody_there, killed_while_it_tells, never_answers, damaged_and_rolled_back, killed_while_it_rolls_back,
         check_that_changed, stale, explained]
for case in CASES:
    if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
        continue
    os.chdir(TOP)
    shutil.rmtree(case.__name__, ignore_errors=True)
    os.makedirs(case.__name__)
    os.chdir(case.__name__)
    began = time.monotonic()
    case()
    print(f"{case.__name__}: {time.monotonic() - began:.1f} s", flush=True)
