"""sandbox.py TIDEGATE CASES: tries each way of CASES/*.case, see there."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

TIDEGATE, CASES = sys.argv[1], sys.argv[2]
SECRET = "PLANTED-5d1c7e"
HERE = os.getcwd()
OUTSIDE = os.path.join(HERE, "outside")
SECONDS = 20  # of one command; the slowest way, a task that fails, takes 0.3 s

PIPELINE = """version: 1
pipeline: p
sources:
  t:
    files: in.csv
    options: {header: true}
    columns: {v: BIGINT, k: VARCHAR}
stages:
  s:
    partition_by: all
    sql: |
%s
outputs:
  o:
    from: s
%s    publish:
      - parquet: published/o
"""


def cases(path):
    found, case, field = [], None, None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("#") and case is None:
            continue
        if line.startswith("case "):
            case, field = {"name": line[5:]}, None
            found.append(case)
        elif case is not None:
            match = re.match(r"(sql|expr|stage|query|check|run|link|yaml|output|says):( (.*))?$", line)
            if match and field != "yaml":
                field = match[1]
                case[field] = match[3] or ""
            elif field:
                case[field] += "\n" + line
    for case in found:
        for key in case:
            case[key] = case[key].strip("\n").replace("OUTSIDE", OUTSIDE)
    assert len({c["name"] for c in found}) == len(found), "two cases of one name"
    return found


def call(*arguments, cwd=HERE):
    environment = dict(os.environ, TIDEGATE_TEST_SECRET=SECRET)
    return subprocess.run([TIDEGATE, *arguments], cwd=cwd, env=environment, stdin=subprocess.DEVNULL, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")


def outside():
    listing = []
    for base, directories, files in os.walk(OUTSIDE):
        for name in sorted(directories + files):
            path = os.path.join(base, name)
            status = os.lstat(path)
            listing.append((path, status.st_size, status.st_mtime_ns, status.st_ino))
    return sorted(listing)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def indent(sql):
    return "\n".join("      " + line for line in sql.split("\n"))


def place(name):
    directory = os.path.join(HERE, "case-" + name)
    os.makedirs(directory, exist_ok=True)
    write(os.path.join(directory, "in.csv"), "v,k\n1,a\n2,b\n")
    return directory


def shown(result, bad, what):
    text = result.stdout + result.stderr
    # The SQL that a caret points at may name the secret's file, never its content.
    if SECRET in text:
        bad.append(f"{what} shows the secret:\n{text}")
    if result.returncode < 0:
        bad.append(f"{what} crashed: signal {-result.returncode}\n{text}")
    return text


def check_code(result):
    match = re.search(r"error\[(T\d+)\]", result.stdout + result.stderr)
    return match[1] if match else f"exit {result.returncode}"


def try_sql(case):
    bad = []
    directory = place(case["name"])
    sql = case.get("sql") or f"SELECT {case['expr']} AS x FROM t"
    write(directory + "/p.yaml", PIPELINE % (indent(sql), ""))
    result = call("check", "p.yaml", cwd=directory)
    text = shown(result, bad, "check")
    if (result.returncode, check_code(result)) != (2, case.get("stage")):
        bad.append(f"check: exit {result.returncode}, {check_code(result)}, not {case.get('stage')}:\n{text}")
    if os.environ.get("SANDBOX_SHOW"):
        print(f"--- {case['name']}\n{text}")
    if "expr" in case:
        check = "    checks:\n      - expect: |\n          (%s) IS NOT NULL\n" % case["expr"]
        write(directory + "/e.yaml", PIPELINE % (indent("SELECT v FROM t"), check))
        result = call("check", "e.yaml", cwd=directory)
        text = shown(result, bad, "check of expect")
        if result.returncode != 2:
            bad.append(f"check of expect: exit {result.returncode}, {check_code(result)}:\n{text}")
        if os.environ.get("SANDBOX_SHOW"):
            print(text)
    result = call("query", "--state", HERE + "/.tidegate", re.sub(r"\bt\b", "o", sql), cwd=directory)
    text = shown(result, bad, "query")
    if result.returncode != 2:
        bad.append(f"query: exit {result.returncode}, not 2:\n{text}")
    if os.environ.get("SANDBOX_SHOW"):
        print("query:", text)
    for made in ("published", ".tidegate"):
        if os.path.exists(os.path.join(directory, made)):
            bad.append(f"{made} was made")
    shutil.rmtree(directory)
    return case["name"], bad


def try_yaml(case):
    bad = []
    directory = place(case["name"])
    for link in filter(None, case.get("link", "").split("\n")):
        name, target = link.split(" -> ")
        os.makedirs(os.path.dirname(os.path.join(directory, name)) or directory, exist_ok=True)
        os.symlink(target, os.path.join(directory, name))
    write(directory + "/p.yaml", case["yaml"] + "\n")
    result = call("check", "p.yaml", cwd=directory)
    text = shown(result, bad, "check")
    if os.environ.get("SANDBOX_SHOW"):
        print(f"--- {case['name']}\n{text}")
    if "check" in case:
        if (result.returncode, check_code(result)) != (2, case["check"]):
            bad.append(f"check: exit {result.returncode}, {check_code(result)}, not {case['check']}:\n{text}")
    else:
        result = call("run", "p.yaml", cwd=directory)
        text = shown(result, bad, "run")
        if os.environ.get("SANDBOX_SHOW"):
            print(f"run: exit {result.returncode}\n{text}")
        if str(result.returncode) != case.get("run"):
            bad.append(f"run: exit {result.returncode}, not {case.get('run')}:\n{text}")
        for word in filter(None, case.get("says", "").split("\n")):
            if word not in text:
                bad.append(f"run does not say {word!r}:\n{text}")
        if "output" in case:
            result = call("query", "--csv", "SELECT * FROM o ORDER BY ALL", cwd=directory)
            if result.stdout.strip() != case["output"]:
                bad.append(f"published:\n{result.stdout}{result.stderr}\nnot\n{case['output']}")
        for base, _, files in os.walk(directory + "/.tidegate"):
            for name in files:
                with open(os.path.join(base, name), "rb") as file:
                    if SECRET.encode() in file.read():
                        bad.append(f"the secret lies in {base}/{name}")
    subprocess.run(["chmod", "-R", "u+w", directory], check=True)
    shutil.rmtree(directory)
    return case["name"], bad


def main():
    os.makedirs(OUTSIDE)
    for name, text in (("secret.csv", f"v,k\n7,{SECRET}\n"), ("secret.json", f'{{"v":7,"k":"{SECRET}"}}\n'),
                       ("secret.txt", SECRET + "\n")):
        write(os.path.join(OUTSIDE, name), text)
    # A published output for `query` to run over, and a Parquet file made by it.
    write(HERE + "/p.yaml", PIPELINE % (indent("SELECT v, k FROM t"), ""))
    write(HERE + "/in.csv", "v,k\n1,a\n2,b\n")
    result = call("run", "p.yaml")
    assert result.returncode == 0, result.stderr
    made = call("query", f"SELECT 7 AS v, '{SECRET}' AS k", "--parquet", OUTSIDE + "/secret.parquet")
    assert made.returncode == 0, made.stderr
    before = outside()
    wanted = sys.argv[3:]
    failed = count = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [(try_sql, case) for case in cases(CASES + "/sql.case")]
        jobs += [(try_yaml, case) for case in cases(CASES + "/yaml.case")]
        jobs = [(job, case) for job, case in jobs if not wanted or case["name"] in wanted]
        for name, bad in pool.map(lambda job: job[0](job[1]), jobs):
            count += 1
            for problem in bad:
                failed += 1
                print(f"FAIL {name}: {problem}\n")
    if outside() != before:
        failed += 1
        print("FAIL: outside the inputs something changed:", sorted(set(before) ^ set(outside())))
    print(f"{count} ways, {failed} failures")
    return 1 if failed or not count else 0


sys.exit(main())
