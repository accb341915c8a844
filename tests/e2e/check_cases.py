"""check_cases.py TIDEGATE DIRECTORY [NAME...]: runs NAME.case files of sections that begin with "=== ":

    === file PATH        the lines below are the file; pipeline.yaml is what is checked
    === query SQL        the file in the head's first word is written by `tidegate query SQL --parquet`:
                         "=== query PATH SQL"
    === cut PATH N       cuts the file to N bytes
    === mode PATH OCTAL  its permissions (cases with it run as nobody if the runner is root)
    === directory PATH
    === touch PATH
    === command          words after `tidegate` on the line below (default: check pipeline.yaml)
    === exit N
    === expect           standard error, then standard output, to the letter

With UPDATE_CASES=1 the exit and expect sections are written anew, and the run fails: read them.
"""
import os
import shutil
import subprocess
import sys

TIDEGATE, CASES = sys.argv[1], sys.argv[2]
HERE = os.getcwd()
NOBODY = 65534


def sections(path):
    found = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("=== "):
                found.append([line[4:].rstrip("\n"), ""])
            elif found:
                found[-1][1] += line
            elif line.strip() and not line.startswith("#"):
                sys.exit(f"{path}: text before the first section")
    return found


def run_case(name):
    """What is told, the exit code, and the sections."""
    parts = sections(f"{CASES}/{name}.case")
    directory = f"{HERE}/{name}"
    os.makedirs(directory)
    command, as_nobody = ["check", "pipeline.yaml"], False
    for head, body in parts:
        kind, *words = head.split(" ")
        path = os.path.join(directory, words[0]) if words else ""
        if kind in ("file", "query"):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        if kind == "file":
            with open(path, "w", encoding="utf-8") as file:
                file.write(body)
        elif kind == "query":
            os.makedirs(f"{HERE}/state", exist_ok=True)
            made = subprocess.run([TIDEGATE, "query", "--state", f"{HERE}/state", " ".join(words[1:]), "--parquet", path],
                                  capture_output=True, text=True)
            assert made.returncode == 0, made.stderr
        elif kind == "directory":
            os.makedirs(path)
        elif kind == "touch":
            open(path, "w").close()
        elif kind == "cut":
            os.truncate(path, int(words[1]))
        elif kind == "mode":
            os.chmod(path, int(words[1], 8))
            as_nobody = os.geteuid() == 0
        elif kind == "command":
            command = body.split()
        elif kind not in ("exit", "expect"):
            sys.exit(f"{name}: what is `{kind}`?")
    if as_nobody:
        for base, directories, _ in os.walk(directory):
            os.chown(base, NOBODY, NOBODY)
    done = subprocess.run([TIDEGATE, *command], cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=30, **({"user": NOBODY, "group": NOBODY} if as_nobody else {}))
    told = (done.stderr + done.stdout).replace(directory, "DIR")
    shutil.rmtree(directory)
    return told, done.returncode, parts


def main():
    names = sys.argv[3:] or sorted(name[:-5] for name in os.listdir(CASES) if name.endswith(".case"))
    # A state directory for `query`, which needs one but no output in it.
    os.makedirs(f"{HERE}/seed")
    with open(f"{HERE}/seed/in.csv", "w") as file:
        file.write("v\n1\n")
    with open(f"{HERE}/seed/p.yaml", "w") as file:
        file.write("version: 1\npipeline: p\nsources:\n  t: {files: in.csv, options: {header: true}, columns: {v: BIGINT}}\n"
                   "stages:\n  s: {sql: SELECT v FROM t}\noutputs:\n  o: {from: s, publish: [{parquet: published/o}]}\n")
    seeded = subprocess.run([TIDEGATE, "run", "--state", f"{HERE}/state", f"{HERE}/seed/p.yaml"], capture_output=True, text=True)
    assert seeded.returncode == 0, seeded.stderr
    failed = 0
    for name in names:
        told, code, parts = run_case(name)
        wanted_code = next((int(head.split()[1]) for head, _ in parts if head.startswith("exit ")), 2)
        wanted = next((body for head, body in parts if head == "expect"), None)
        if told == wanted and code == wanted_code:
            continue
        failed += 1
        if os.environ.get("UPDATE_CASES"):
            with open(f"{CASES}/{name}.case", "w", encoding="utf-8") as file:
                for head, body in parts:
                    if head != "expect" and not head.startswith("exit "):
                        file.write(f"=== {head}\n{body}")
                file.write(f"=== exit {code}\n=== expect\n{told}")
            print(f"{name}: written anew, read it")
        else:
            print(f"FAIL {name}: exit {code}, wanted {wanted_code}\n--- told\n{told}--- wanted\n{wanted}")
    print(f"{len(names)} cases, {failed} failures")
    return 1 if failed or not names else 0


sys.exit(main())
