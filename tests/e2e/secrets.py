"""Secrets come by reference: no file, output or word of tidegate holds one, in success or failure."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ["TIDEGATE_SOURCE"], "tests"))
from e2e_support import *  # noqa: F403

BY_ENV, BY_FILE = "PLANTED-env-8c41f2", "PLANTED-file-d90b37"
os.environ["TEST_SECRET"] = BY_ENV
write("vault/secret.txt", BY_FILE + "\n")
PIPELINE = """version: 1
pipeline: secret
sources:
  sales:
    files: in/*.csv
    options:
      nullstr: "${env:TEST_SECRET}"
      dateformat: "${file:vault/secret.txt}%%Y-%%m-%%d"
    columns: {key: VARCHAR, day: DATE, amount: BIGINT}%s
stages:
  clean: {sql: "SELECT key, day, amount FROM sales"}
outputs:
  out: {from: clean, checks: [{rows: {min: 1}}], publish: {parquet: published/out}}
"""
said = []


def ask(*command, code=None, env=None):
    answer = tidegate(*command, code=code, env=env)
    said.append((" ".join(map(str, command)), answer))
    return answer


def hunt(where):
    for secret in (BY_ENV, BY_FILE):
        for command, answer in said:
            expect(secret not in answer.out and secret not in answer.err, f"{where}: `{command}` says {secret}: {answer.told()}")
        for root in ("state", "published", "PLAN"):
            for top, _, names in os.walk(root) if os.path.isdir(root) else [(".", [], [root])]:
                for name in names:
                    path = os.path.join(top, name)
                    if os.path.isfile(path):
                        with open(path, "rb") as file:
                            expect(secret.encode() not in file.read(), f"{where}: {path} holds {secret}")


write("in/a.csv", f"key,day,amount\nk1,{BY_FILE}2001-03-01,1\nk2,{BY_FILE}2001-03-02,{BY_ENV}\n")
write("pipeline.yaml", PIPELINE % "")
ask("check", "pipeline.yaml", "--state", "state", code=0)
ask("plan", "pipeline.yaml", "--state", "state", "-o", "PLAN", code=0)
ask("plan", "pipeline.yaml", "--state", "state", "--json", code=0)
first = ask("run", "pipeline.yaml", "--state", "state", "--json", code=0)
ask("run", "pipeline.yaml", "--state", "state", code=0)
count = ask("query", "SELECT count(*), count(amount), min(day) FROM out", "--csv", "--state", "state", code=0)
expect("2,1,2001-03-01" in count.out, f"the secrets are not used: {count.told()}")
for command in (("trust", "--json"), ("runs", "--json"), ("events", "--json"), ("explain", "out"), ("audit", "out")):
    ask(*command, "--state", "state", code=0)
hunt("a run that went well")

# Another secret, the same rows: not part of the identity.
os.environ["TEST_SECRET"] = other = "PLANTED-other-55aa"
again = ask("plan", "pipeline.yaml", "--state", "state", "--json", code=0).document
expect(again["tasks"]["run"] == 0, f"the secret's value is part of an identity: {again['tasks']}")
os.environ["TEST_SECRET"] = BY_ENV

# What goes wrong is told without it.
for bad in ("k3,2001-03-03,1\n", f"k3,{BY_FILE}2001-13-99,1\n", "k3\n", f"k3,{BY_FILE}2001-03-03,abc\n", f'k3,"{BY_FILE}2001\n'):
    write("in/b.csv", "key,day,amount\n" + bad)
    for form in ((), ("--json",)):
        # The bad row itself may be shown as a sample of the data; the options that read it may not.
        answer = tidegate("run", "pipeline.yaml", "--state", "state", *form)
        expect(answer.code in (2, 3), f"{bad!r}: {answer.told()}")
        expect(BY_ENV not in answer.out + answer.err, f"{bad!r}: says the secret: {answer.told()}")
        if BY_FILE not in bad:
            expect(BY_FILE not in answer.out + answer.err, f"{bad!r}: says the secret: {answer.told()}")
os.remove("in/b.csv")
for top, _, names in os.walk("state"):
    for name in names:
        with open(os.path.join(top, name), "rb") as file:
            expect(BY_ENV.encode() not in file.read(), f"after failures: {name} holds the secret")

# A reference to nothing names what is missing.
write("in/c.csv", f"key,day,amount\nk4,{BY_FILE}2001-03-04,4\n")
del os.environ["TEST_SECRET"]
missing = tidegate("run", "pipeline.yaml", "--state", "state", code=(2, 3))
expect("TEST_SECRET" in missing.err, f"it does not name the variable: {missing.told()}")
os.environ["TEST_SECRET"] = BY_ENV
os.rename("vault/secret.txt", "vault/away.txt")
missing = tidegate("run", "pipeline.yaml", "--state", "state", code=(2, 3))
expect("vault/secret.txt" in missing.err, f"it does not name the file: {missing.told()}")
