"""What the end-to-end scripts share: running tidegate, reading its answers, hashing what it published."""
import hashlib
import json
import os
import random
import subprocess
import sys
import time

TIDEGATE = os.environ["TIDEGATE"]


def fail(message):
    print(f"FAIL: {message}", file=sys.stderr)
    sys.exit(1)


def expect(condition, message):
    if not condition:
        fail(message)


def skip(message):
    print(f"SKIP: {message}")
    sys.exit(77)


class Answer:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self):
        """JSON lines of standard output; a last one that a kill cut off is left out."""
        found = []
        for line in self.out.splitlines():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                pass
        return found

    @property
    def document(self):
        return json.loads(self.out)

    def events(self, *types):
        return [e for e in self.lines if e.get("event") in types]

    @property
    def last(self):
        finished = self.events("run_finished")
        return finished[-1] if finished else None

    def told(self):
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-3000:]}"


def tidegate(*arguments, code=None, env=None, cwd=None, timeout=120, prefix=()):
    """Runs tidegate to its end; `code` is the exit code (or codes) that it must have."""
    done = subprocess.run([*prefix, TIDEGATE, *map(str, arguments)], capture_output=True, cwd=cwd, timeout=timeout,
                          env={**os.environ, **(env or {})})
    answer = Answer(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    codes = (code,) if isinstance(code, int) else code
    if codes is not None and answer.code not in codes:
        fail(f"tidegate {' '.join(map(str, arguments))}: wanted exit {codes}, got {answer.told()}")
    return answer


def start(*arguments, env=None, **more):
    return subprocess.Popen([TIDEGATE, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env={**os.environ, **(env or {})}, **more)


def finish(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    return Answer(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def write(path, text):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def parts(directory):
    """The data of a generation: (name without the generation's token, hash of its bytes)."""
    return sorted((name.rsplit("-", 2)[0], sha256(os.path.join(directory, name)))
                  for name in os.listdir(directory) if name.endswith(".parquet"))


def generation(output, state):
    """(name, directory) of what stands, or nothing."""
    answer = tidegate("path", output, "--json", "--state", state)
    if answer.code != 0:
        return None
    return answer.document["generation"], answer.document["path"]


def published(outputs, state):
    found = {}
    for output in outputs:
        standing = generation(output, state)
        found[output] = parts(standing[1]) if standing else None
    return found


def verdicts(state, *arguments):
    answer = tidegate("trust", "--json", "--state", state, *arguments, code=(0, 5))
    return {o["output"]: o for o in answer.document["outputs"]}


def verdict(output, state, *arguments):
    return verdicts(state, output, *arguments)[output]


def is_old_but_right(said, state_may_be_full=False):
    """A run could not renew the output: what stands keeps all that it promises, and an incident is open."""
    parts = {reason["part"]: reason["status"] for reason in said["reasons"]}
    broken = parts.pop("unbroken", "ok")
    return set(parts.values()) <= {"ok"} and (said["verdict"], broken) in (
        {("DEGRADED", "warn"), ("TRUSTED", "ok")} if state_may_be_full else {("DEGRADED", "warn")})


def journal(state, *arguments):
    answer = tidegate("events", "--json", "--state", state, "--most", 100000, *arguments, code=0)
    return answer.lines


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.002)
    fail(f"waited {seconds} s for {what}")


def results(state):
    """Identities that have a finished result on disk."""
    found = set()
    root = os.path.join(state, "results")
    if not os.path.isdir(root):
        return found
    for prefix in os.listdir(root):
        for identity in os.listdir(os.path.join(root, prefix)):
            home = os.path.join(root, prefix, identity)
            if any(os.path.exists(os.path.join(home, attempt, "result.json")) for attempt in os.listdir(home)):
                found.add(identity)
    return found


def csv(path, seed, rows, keys=40, groups=7):
    """Seeded rows: key, grp, day, amount."""
    draw = random.Random(seed)
    lines = ["key,grp,day,amount"]
    for _ in range(rows):
        lines.append(f"k{draw.randrange(keys)},g{draw.randrange(groups)},2001-03-{draw.randrange(1, 29):02},"
                     f"{draw.randrange(-500, 10000)}")
    write(path, "\n".join(lines) + "\n")
