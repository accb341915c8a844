# timeout: 60
# The shape of the source: modules include only what stands before them, third-party headers stay in
# .cc files, no file is a drawer for everything, and every failure code has its line in docs/errors.md.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
python3 - "$TIDEGATE_SOURCE" <<'PY'
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])
src = root / "src"
cmake = (root / "CMakeLists.txt").read_text(encoding="utf-8")
modules = re.findall(r"^tidegate_module\((\w+)", cmake, re.M)
place = {name: i for i, name in enumerate(modules)}
problems = []

# Headers that may not spread: two cores compile this.
KEPT_IN_CC = re.compile(r"^(nlohmann/|duckdb\.h$|sqlite3\.h$|CLI/|yaml\.h$|xxhash\.h$|openssl/|zstd\.h$|zlib\.h$|snappy|fmt/)")
# Named exceptions: a header that only its own module includes, and says so in its first comment.
HEADER_EXCEPTIONS = {("src/prove/derivation.h", "nlohmann/json.hpp"), ("src/journal/event_data.h", "nlohmann/json.hpp")}
DRAWERS = re.compile(r"(^|_)(utils?|helpers?|common|misc)(_|\.|$)")
DRAWER_EXCEPTIONS = {"src/source/common_schema.cc"}  # the schema that files have in common

for path in sorted(src.rglob("*")):
    if path.is_dir():
        continue
    name = path.relative_to(root).as_posix()
    module = path.relative_to(src).parts[0]
    if module not in place:
        problems.append(f"{name}: there is no module {module}; add tidegate_module({module} ...) to CMakeLists.txt "
                        "after the modules that it includes")
        continue
    if DRAWERS.search(path.name) and name not in DRAWER_EXCEPTIONS:
        problems.append(f"{name}: this name says nothing; name the file after the noun that it holds")
    if path.suffix not in (".cc", ".h", ".inc"):
        continue
    support = path.name.endswith(("_test.cc", "_fixture.h")) or path.name in ("crash_disk.h", "wrapped_effects.h")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if not found:
            continue
        quote, included = found.groups()
        where = f"{name}:{number}"
        first = included.split("/")[0]
        if quote == '"' and "/" in included:
            if first not in place:
                problems.append(f"{where}: \"{included}\" is in no module; include by \"MODULE/FILE.h\" as in src/")
            elif place[first] > place[module]:
                problems.append(f"{where}: module {module} includes {included}, but {first} stands after {module} in "
                                f"CMakeLists.txt; move what is needed down into {module} or before, or turn the "
                                "dependency round by a callback or an interface")
            elif not (src / included).exists():
                problems.append(f"{where}: there is no src/{included}")
        if path.suffix == ".h" and not support and KEPT_IN_CC.match(included) and \
                (name, included) not in HEADER_EXCEPTIONS:
            problems.append(f"{where}: {included} in a header; include it in the .cc of the adapter that owns it and "
                            "declare our own types here (named exceptions are listed in tests/e2e/modules.sh)")

# CMake may link a module to earlier ones only.
for name, dependencies in re.findall(r"^tidegate_module\((\w+)([^)]*)\)", cmake, re.M):
    for dependency in dependencies.split():
        if dependency in place and place[dependency] >= place[name]:
            problems.append(f"CMakeLists.txt: {name} links {dependency}, which does not stand before it")

# Each failure code of the source is in docs/errors.md with what to do, and no other is. A code is a
# string beside its class, or where a failure's code is set.
CODE = re.compile(r'"([a-z]+\.[a-z_]+)"')
BESIDE = re.compile(r"FailureClass::|because\(|\bcode = |\blose\(")
FILE_NAMES = re.compile(r"\.(db|cache|h|so|json|yaml|parquet|csv)$")
used = {}
for path in sorted(src.rglob("*")):
    if path.suffix not in (".cc", ".h") or path.name.endswith(("_test.cc", "_fixture.h")) or \
            path.name in ("crash_disk.h", "wrapped_effects.h"):
        continue
    lines = path.read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if re.match(r"\s*(//|#include)", line) or not BESIDE.search(" ".join(lines[max(0, i - 2):i + 1])):
            continue
        for code in CODE.findall(line):
            if not FILE_NAMES.search(code):
                used.setdefault(code, path.relative_to(root).as_posix())
errors = (root / "docs" / "errors.md").read_text(encoding="utf-8")
listed = errors.split("<!-- failures: begin -->")[-1].split("<!-- failures: end -->")[0]
described = dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| ([a-z, ]+) \| [^|]+ \| [^|]+ \|$", listed, re.M))
for code, where in sorted(used.items()):
    if code not in described:
        problems.append(f"{where}: docs/errors.md does not list `{code}`; add \"| `{code}` | class | what it is | what to "
                        "do |\" between its failure marks")
for code in sorted(set(described) - set(used)):
    problems.append(f"docs/errors.md lists `{code}`, which no source says any more; remove the line")
lines = re.findall(r"^\| `([a-z]+\.[a-z_]+)`", listed, re.M)
if lines != sorted(set(lines)):
    problems.append("docs/errors.md: sort the failure codes, each once")

for problem in problems:
    print(problem)
print(f"{len(problems)} problems in {len(modules)} modules, {len(used)} failure codes")
sys.exit(1 if problems else 0)
PY
