"""How much of a wrong judge the tests would notice: `python -m benchmarks.mutation [--sample 300] [--seed 1] [--only outage]`.

Changes one small thing in a copy of the judge (`>` for `>=`, `+` for `-`, None for a value, and so on), runs the tests that
reach the changed function, and counts how many of these mutants a test notices. What no test noticed is printed with its
change, to be read: docs/mutation.md explains each. The tool is mutmut, which is no dependency of the project:
`pip install mutmut==3.8.1`, in an environment of its own or in .venv. Everything is made in build/mutation.

mutmut leaves decorated functions alone, and most of the rule of outages stands in properties. So in the copy each
`@property` and `@cached_property` is a plain function first, and a property made of it on the next line: the same code.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import binomtest

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "mutation"
MODULES = ("outage", "measure", "books", "judge", "intervals")
TESTS = (
    "test_outage", "test_outage_edges", "test_intervals", "test_books", "test_measure", "test_measure_edges", "test_judge",
    "test_judge_edges", "test_columns",
)  # fmt: skip
BATCH = 100  # mutants asked at a time: a run that is stopped leaves whole batches, each drawn by chance
COPIED = (
    "analysis", "benchmarks", "drills", "faults", "harness", "judging", "load", "managers", "reports", "runtime", "tests",
    "topologies", "verifying",
)  # fmt: skip
BUDGET_S = 12  # of CPU for the tests of one mutant, the quickest first: see tests/quickened.py
WORDS = {
    0: "survived",
    1: "killed",
    3: "killed",
    33: "no test",
    36: "timed out",
    -24: "timed out",
    24: "timed out",
    None: "not run",
}
NOTICED = {"killed", "timed out"}  # a mutant that never ends is noticed, too
PROPERTIES = {"property", "cached_property"}


@dataclass(frozen=True)
class Mutant:
    name: str
    module: str
    outcome: str  # a word of WORDS


# The copy


def prepare() -> None:
    """Lay the copy anew; what was found before stays in build/mutation/mutants until the code changes."""
    WORK.mkdir(parents=True, exist_ok=True)
    for room in COPIED:
        shutil.copytree(ROOT / room, WORK / room, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", WORK)
    for module in MODULES:
        path = WORK / "judging" / f"{module}.py"
        path.write_text(undecorated(path.read_text(encoding="utf-8")), encoding="utf-8")
        stamp = (ROOT / "judging" / f"{module}.py").stat().st_mtime
        os.utime(path, (stamp, stamp))  # mutmut makes mutants anew for files that are younger than theirs
    settings = {
        "source_paths": ["judging"],
        "only_mutate": [f"judging/{module}.py" for module in MODULES],
        "also_copy": [*(room for room in COPIED if room != "judging"), "conftest.py"],
        "pytest_add_cli_args": ["-p", "tests.quickened", "-p", "no:cacheprovider"],
        "pytest_add_cli_args_test_selection": [f"tests/{test}.py" for test in TESTS],
        "timeout_multiplier": 60,  # by the wall clock, and the machine may be busy
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    text = "\n".join([project, "[tool.mutmut]", *lines, "use_git_change_detection = false", ""])
    (WORK / "pyproject.toml").write_text(text, encoding="utf-8")


def undecorated(source: str) -> str:
    """The same module, with every property made by a call instead of a decorator."""
    lines = source.splitlines()
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(found, key=lambda one: -one.lineno):
        kinds = [one.id for one in node.decorator_list if isinstance(one, ast.Name)]
        if len(node.decorator_list) != 1 or not PROPERTIES & set(kinds):
            continue
        assert node.end_lineno is not None
        indent = " " * node.col_offset
        lines.insert(node.end_lineno, f"{indent}{node.name} = {kinds[0]}(_of_{node.name})")
        lines[node.lineno - 1] = lines[node.lineno - 1].replace(f"def {node.name}(", f"def _of_{node.name}(", 1)
        del lines[node.lineno - 2]
    return "\n".join(lines) + "\n"


# mutmut


def mutmut(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it in the copy, one process at a time. The hashes of names are fixed, so that sets have an order."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    settings = {"DRILLBOOK_MUTATION_KEPT": str(WORK / "kept" / unmutated()), "DRILLBOOK_MUTATION_BUDGET_S": str(BUDGET_S)}
    environment = {**os.environ, **settings, "PYTHONHASHSEED": "0"}
    with (WORK / "mutmut.log").open("a", encoding="utf-8") as log:
        return subprocess.run(command, cwd=WORK, env=environment, stdout=log, stderr=log, text=True, check=False)


def unmutated() -> str:
    """A digest of all that makes and reads runs and is not mutated: what was kept for other code must not be taken."""
    files = [path for path in sorted((ROOT / "judging").rglob("*.py")) if path.stem not in MODULES]
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*files, ROOT / "tests" / "synthetic.py"])).hexdigest()[:16]


def generate() -> None:
    """Make the mutants and find out which tests reach them. mutmut has no command for that alone: a name that nobody has."""
    mutmut("run", "--max-children", "1", "nobody")


def known() -> dict[str, Mutant]:
    found: dict[str, Mutant] = {}
    for module in MODULES:
        meta = WORK / "mutants" / "judging" / f"{module}.py.meta"
        if not meta.is_file():
            raise SystemExit(f"mutmut made no mutants: see {WORK / 'mutmut.log'} (pip install mutmut==3.8.1?)")
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"]
        found |= {name: Mutant(name, module, WORDS.get(code, f"exit code {code}")) for name, code in codes.items()}
    return found


def change_of(name: str) -> str:
    """What the mutant changes, as the differing lines of its function."""
    _, module, function = name.split(".", 2)
    source = (WORK / "mutants" / "judging" / f"{module}.py").read_text(encoding="utf-8")
    stem = function.rpartition("__mutmut_")[0]
    texts = {
        node.name: ast.get_source_segment(source, node) or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name in (function, f"{stem}__mutmut_orig")
    }
    before, after = texts[f"{stem}__mutmut_orig"].splitlines()[1:], texts[function].splitlines()[1:]
    differing = [line for line in difflib.unified_diff(before, after, n=0, lineterm="") if line[:3] not in ("---", "+++")]
    return "\n".join(line for line in differing if not line.startswith("@@"))


# Figures


def told(mutants: Sequence[Mutant]) -> Iterator[str]:
    for module in (*MODULES, "all"):
        chosen = [one for one in mutants if module in (one.module, "all")]
        if not chosen:
            continue
        noticed = sum(one.outcome in NOTICED for one in chosen)
        interval = binomtest(noticed, len(chosen)).proportion_ci(method="wilson")
        yield (
            f"{module:<10} {noticed:>4} of {len(chosen):>4} mutants noticed: {noticed / len(chosen):.1%}"
            f" (95 % interval {interval.low:.1%} to {interval.high:.1%})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sample", type=int, default=300, help="how many mutants, drawn by chance; 0: all (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(MODULES), help="modules of judging, by commas (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help="ask only those that a run before did not come to")
    parser.add_argument("mutants", nargs="*", help="these alone, by name")
    options = parser.parse_args()
    prepare()
    generate()
    everything = known()
    names = sorted(name for name, one in everything.items() if one.module in options.only.split(","))
    if options.mutants:
        chosen = [name for name in names if name in options.mutants]
    else:
        random.Random(options.seed).shuffle(names)  # so that a smaller sample is the beginning of a larger one
        chosen = names[: options.sample or len(names)]
    print(f"{len(chosen)} of {len(names)} mutants, seed {options.seed}", flush=True)
    results: list[Mutant] = []
    for start in range(0, len(chosen), BATCH):
        batch = chosen[start : start + BATCH]
        asked = [name for name in batch if not options.resume or everything[name].outcome == "not run"]
        if asked:
            mutmut("run", "--max-children", "1", *asked)
        results += [one for name, one in known().items() if name in batch]
        print(f"{len(results)} asked, {sum(one.outcome in NOTICED for one in results)} noticed", flush=True)
    for one in results:
        if one.outcome not in NOTICED:
            print(f"\n{one.name}: {one.outcome}\n{change_of(one.name)}")
    print()
    for line in told(results):
        print(line)


if __name__ == "__main__":
    main()
