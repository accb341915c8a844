"""A clear error, the documented exit code, and the old generation stands, whatever is wrong with the machine."""
import os
import shutil
import sqlite3
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

TOP = os.getcwd()
NOBODY = 65534
OUTPUTS = ["by_key"]
PIPELINE = """version: 1
pipeline: shop
sources:
  sales: {files: in/sales.csv, columns: {key: VARCHAR, grp: VARCHAR, day: DATE, amount: BIGINT}}
stages:
  clean: {sql: "SELECT key, grp, day, amount FROM sales WHERE amount >= 0"}
  by_key:
    partition_by: [key]
    buckets: 2
    sql: SELECT key, day, grp, CAST(sum(amount) AS BIGINT) AS amount, count(*) AS sales FROM clean GROUP BY ALL
outputs:
  by_key: {from: by_key, checks: [{unique: [key, day, grp]}], publish: {parquet: published/by_key, compression: none}}
"""
failed = []


def standing():
    """What a plain reader sees, which needs no state directory."""
    return os.readlink("published/by_key/current"), parts("published/by_key/current"), sorted(os.listdir("published/by_key/gen"))


def prepare(rows=3000):
    csv("in/sales.csv", 1, rows)
    write("pipeline.yaml", PIPELINE)
    tidegate("run", "pipeline.yaml", "--state", "state", "--quiet", code=0)
    before = standing()
    csv("in/sales.csv", 2, rows)
    return before


def refused(what, code, *said, command=("run", "pipeline.yaml"), **more):
    answer = tidegate(*command, "--state", "state", **more)
    codes = (code,) if isinstance(code, int) else code
    expect(answer.code in codes, f"{what}: wanted exit {codes}: {answer.told()}")
    for text in said:
        expect(text in answer.err + answer.out, f"{what}: does not say {text!r}: {answer.told()}")
    return answer


def newer_journal():
    before = prepare()
    database = sqlite3.connect("state/journal.db")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    database.execute("PRAGMA user_version = 999")
    database.commit()
    database.close()
    bytes_ = sha256("state/journal.db")
    refused("run", 2, "journal.newer", "999")
    refused("plan", 2, "journal.newer", command=("plan", "pipeline.yaml"))
    answer = refused("trust", 5, command=("trust", "by_key", "--json"))
    expect(answer.document["outputs"][0]["verdict"] == "UNKNOWN" and "newer" in answer.out, answer.told())
    for command in (("runs",), ("events",), ("path", "by_key"), ("audit", "by_key"), ("rollback", "by_key"), ("query", "SELECT 1"), ("gc",)):
        refused(command, 2, "newer", command=command)
    expect(standing() == before and sha256("state/journal.db") == bytes_, "something was touched")
    database = sqlite3.connect("state/journal.db")
    database.execute(f"PRAGMA user_version = {version}")
    database.commit()
    database.close()
    tidegate("run", "pipeline.yaml", "--state", "state", "--quiet", code=0)
    expect(standing() != before and verdict("by_key", "state")["verdict"] == "TRUSTED", "as before")


def newer_state_directory():
    before = prepare()
    text = open("state/version").read()
    for wrong, code in (("tidegate-state 7 0123456789abcdef\n", "state.newer"), ("something else\n", "state.corrupt"), ("", "state.corrupt")):
        os.remove("state/version")
        write("state/version", wrong)
        for command in (("run", "pipeline.yaml"), ("plan", "pipeline.yaml"), ("runs",), ("events",), ("audit", "by_key"), ("path", "by_key")):
            refused(command, 2, code, command=command)
        refused("trust", (2, 5), command=("trust", "by_key"))
        expect(standing() == before, "something was touched")
    write("state/version", text)
    tidegate("run", "pipeline.yaml", "--state", "state", "--quiet", code=0)
    expect(standing() != before, "as before")


def foreign_state_directory():
    before = prepare()
    os.makedirs("foreign")
    write("foreign/letters.txt", "mine")
    answer = tidegate("run", "pipeline.yaml", "--state", "foreign", code=2)
    expect("state.foreign" in answer.err and "letters.txt" in answer.err, answer.told())
    expect(os.listdir("foreign") == ["letters.txt"] and standing() == before, "something was touched")
    write("file", "mine")
    answer = tidegate("run", "pipeline.yaml", "--state", "file", code=2)
    expect(open("file").read() == "mine", answer.told())


def damaged_journal():
    before = prepare()
    size = os.path.getsize("state/journal.db")
    with open("state/journal.db", "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * 8192)
    answer = tidegate("trust", "by_key", "--json", "--state", "state", code=5)
    expect(answer.document["outputs"][0]["verdict"] == "UNKNOWN", answer.told())
    answer = tidegate("run", "pipeline.yaml", "--state", "state", code=0)
    expect(verdict("by_key", "state")["verdict"] == "TRUSTED" and standing() != before, "a run makes it known again")
    expect(any(name.startswith("journal.db.damaged") for name in os.listdir("state")), "the damaged file is not kept")
    with open("state/journal.db", "r+b") as file:
        file.write(b"not a database at all" * 100)
    now = standing()
    answer = tidegate("trust", "by_key", "--state", "state", code=(2, 5))
    answer = tidegate("run", "pipeline.yaml", "--state", "state", code=(0, 2, 3))
    expect(answer.code == 0 or "audit" in answer.err, f"no way out is said: {answer.told()}")
    expect(standing() == now, "something was touched")


def as_nobody(*command):
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command)


def read_only_state_directory():
    before = prepare()
    for top, folders, files in os.walk("."):
        for name in files:
            if not os.path.islink(os.path.join(top, name)):
                os.chmod(os.path.join(top, name), 0o444)
    prefix = ()
    if os.geteuid() == 0:
        prefix = as_nobody()
        if subprocess.run([*prefix, TIDEGATE, "--version"], capture_output=True).returncode != 0 or \
           subprocess.run([*prefix, "test", "-r", "in/sales.csv"], capture_output=True).returncode != 0:
            subprocess.run(["mount", "--bind", "state", "state"], check=True)
            subprocess.run(["mount", "-o", "remount,ro,bind", "state"], check=True)
            prefix = ()
    else:
        os.chmod("state", 0o555)
    refused("run", 2, "state.read_only", prefix=prefix)
    refused("audit", 2, "state.read_only", command=("audit", "by_key"), prefix=prefix)
    refused("gc", 2, "state.read_only", command=("gc",), prefix=prefix)
    # Reading needs no writing.
    answer = refused("trust", 0, command=("trust", "--json"), prefix=prefix)
    expect(answer.document["outputs"][0]["verdict"] == "TRUSTED", answer.told())
    refused("path", 0, before[0], command=("path", "by_key"), prefix=prefix)
    refused("plan", 0, command=("plan", "pipeline.yaml"), prefix=prefix)
    refused("runs", 0, "succeeded", command=("runs",), prefix=prefix)
    refused("events", 0, "output_published", command=("events",), prefix=prefix)
    refused("query", 0, command=("query", "SELECT count(*) FROM by_key"), prefix=prefix)
    if prefix:
        answer = tidegate("run", "pipeline.yaml", "--state", "nowhere", prefix=prefix, code=2)
        expect("state.read_only" in answer.err and "--state" in answer.err, answer.told())
        # A state directory that can be written to, but an output that cannot.
        os.makedirs("own")
        os.chown("own", NOBODY, NOBODY)
        answer = tidegate("run", "pipeline.yaml", "--state", "own/state", prefix=prefix, code=2)
        expect("publish.foreign_owner" in answer.err, answer.told())
        write("closed.yaml", PIPELINE.replace("published/", "closed/"))
        os.makedirs("closed")
        answer = tidegate("run", "closed.yaml", "--state", "own/state", prefix=prefix, code=3)
        expect("closed" in answer.err + answer.out, answer.told())
    expect(standing() == before, "something was touched")


def small_disk(path, kib):
    os.makedirs(path, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "none", path], capture_output=True).returncode != 0:
        print("a small tmpfs cannot be mounted here: the cases of a full disk are left out")
        return False
    return True


def fill(path, left_kib):
    with open(os.path.join(path, ".filler"), "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
    size = os.path.getsize(os.path.join(path, ".filler"))
    os.truncate(os.path.join(path, ".filler"), max(0, size - left_kib * 1024))


def full_state_directory():
    if not small_disk("disk", 8192):
        return
    os.makedirs("disk/state")
    os.symlink("disk/state", "state")
    before = prepare(20000)
    for left in (0, 4, 12, 40, 64, 100, 160, 260):
        fill("disk", left)
        answer = refused(f"{left} KiB left for the state directory", (0, 2, 3))
        if answer.code == 0:
            break
        expect("disk" in answer.err + answer.out or "space" in answer.err + answer.out, f"{left} KiB: no word of it: {answer.told()}")
        expect(answer.code == 3, f"{left} KiB: {answer.told()}")
        expect(standing() == before, f"{left} KiB: something was touched")
        said = verdict("by_key", "state")
        expect(is_old_but_right(said, state_may_be_full=True), f"{left} KiB: {said}")
        os.remove("disk/.filler")
    else:
        left = None
    if os.path.exists("disk/.filler"):
        os.remove("disk/.filler")
    print(f"       a run went through with {left} KiB left")
    tidegate("run", "pipeline.yaml", "--state", "state", "--quiet", code=0)
    expect(standing()[1] != before[1] and verdict("by_key", "state")["verdict"] == "TRUSTED", "with space again")
    expect(not os.listdir("disk/state/spill"), f"left in spill: {os.listdir('disk/state/spill')}")


def full_output():
    if not small_disk("published", 2048):
        return
    before = prepare(20000)
    for left in (0, 4, 8, 16, 40, 64, 80, 120):
        fill("published", left)
        answer = refused(f"{left} KiB left for the output", (0, 3))
        if answer.code == 0:
            break
        expect("space" in answer.err + answer.out, f"{left} KiB: no word of it: {answer.told()}")
        # What was staged and could not be removed is the next run's to remove.
        expect(standing()[:2] == before[:2], f"{left} KiB: {standing()}, before {before}")
        expect(is_old_but_right(verdict("by_key", "state")), f"{left} KiB: {verdict('by_key', 'state')}")
        os.remove("published/.filler")
    else:
        left = None
    if os.path.exists("published/.filler"):
        os.remove("published/.filler")
    print(f"       a run went through with {left} KiB left")
    answer = tidegate("run", "pipeline.yaml", "--json", "--state", "state", code=0)
    expect(answer.last["tasks"]["ran"] == 0, "what was made is not kept")
    expect(len(standing()[2]) == 2, f"left behind: {standing()[2]}")
    expect(standing()[1] != before[1] and verdict("by_key", "state")["verdict"] == "TRUSTED", "with space again")


def value_that_parquet_has_not():
    before = prepare()
    write("pipeline.yaml", PIPELINE.replace("count(*) AS sales", "min(day) - TIMESTAMP '2100-01-01' AS ago, count(*) AS sales"))
    answer = refused("a negative INTERVAL", 3, "parquet.value", "ago", "negative")
    expect("dependency" not in answer.err, answer.told())
    expect(standing() == before and is_old_but_right(verdict("by_key", "state")), "something was touched")


def workers_of(pid):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = open(f"/proc/{name}/stat").read()
                if int(stat.rsplit(")", 1)[1].split()[1]) == pid and b"worker" in open(f"/proc/{name}/cmdline", "rb").read():
                    found.append(int(name))
            except (OSError, IndexError):
                pass
    return found


def replaced_program():
    """A new build takes the program's place while it runs: its next workers are of the old one."""
    csv("in/sales.csv", 1, 3000)
    slow = PIPELINE.replace("WHERE amount >= 0", "WHERE amount >= 0 AND (SELECT count(*) FROM range(400000000) r(i) WHERE i % 7 = 3) > 1")
    write("pipeline.yaml", slow)
    os.makedirs("bin")
    shutil.copy(TIDEGATE, "bin/tidegate")
    process = subprocess.Popen(["bin/tidegate", "run", "pipeline.yaml", "--json", "--state", "state", "--workers", "1"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    for line in process.stdout:
        if b'"task_started"' in line:
            break
    write("bin/new", "#!/bin/sh\nexit 9\n")
    os.chmod("bin/new", 0o755)
    os.rename("bin/new", "bin/tidegate")
    before = workers_of(process.pid)
    expect(len(before) == 1, f"workers: {before}")
    os.kill(before[0], 9)
    wait_until(lambda: workers_of(process.pid) not in ([], before), "another worker")
    answer = finish(process)
    expect(answer.code == 0, answer.told())


os.chmod(TOP, 0o755)
for case in (newer_journal, newer_state_directory, foreign_state_directory, damaged_journal, read_only_state_directory,
             full_state_directory, full_output, value_that_parquet_has_not, replaced_program):
    if len(sys.argv) > 1 and case.__name__ not in sys.argv[1:]:
        continue
    os.makedirs(f"{TOP}/{case.__name__}")
    os.chdir(f"{TOP}/{case.__name__}")
    began = time.monotonic()
    try:
        case()
    except SystemExit:
        print(f"in {case.__name__}", file=sys.stderr)
        if "KEEP_GOING" not in os.environ:
            raise
    finally:
        for mounted in ("disk", "published", "state"):
            subprocess.run(["umount", "-l", mounted], capture_output=True)
    print(f"{time.monotonic() - began:5.1f} s  {case.__name__}", flush=True)
