"""The import rules of docs/architecture.md, read from the source with ast: nothing is imported to check them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "analysis", "benchmarks", "drills", "faults", "harness", "judging", "load", "managers", "reports", "runtime", "tests",
    "topologies", "verifying",
)  # fmt: skip
LARGEST_SHARE = 0.30  # of the code, tests apart: a room that holds more hides rooms in it
MAY_IMPORT = {
    "analysis": {"judging"},
    "benchmarks": {"faults", "harness", "judging", "managers", "runtime", "topologies", "verifying"},
    "drills": {"harness", "judging", "faults", "runtime", "topologies"},
    "faults": {"runtime", "topologies"},
    "harness": {
        "analysis",
        "judging",
        "faults",
        "runtime",
        "topologies",
        "reports",
        "verifying",
    },  # reports from one module only: see below
    "judging": set[str](),
    "load": set[str](),
    "managers": {"runtime", "topologies"},
    "reports": {"analysis", "judging"},
    "runtime": {"topologies"},
    "topologies": set[str](),
    "verifying": set[str](),
}
LIVE_ROOMS = ("drills", "faults", "managers", "runtime", "topologies")
ENGINE = {"runtime/engine.py", "runtime/images/__init__.py", "runtime/startup.py"}
ONLY_IMPORTERS = {
    "docker": ENGINE,
    "testcontainers": {"runtime/startup.py"},
    "toxiproxy": {"runtime/toxics.py"},  # docs/decisions/0003-toxiproxy-client.md
    "locust": {"load/customers.py", "load/workers.py"},
    "gevent": {"load/customers.py", "load/workers.py"},
}
ONLY_ROOMS = {"matplotlib": "reports", "jinja2": "reports"}
HEAVY = ("docker", "jinja2", "locust", "matplotlib", "pandas", "psycopg", "pydantic", "requests", "rich", "testcontainers")
WORK_TREE = {".venv", "runs", "build"}


@dataclass(frozen=True)
class Import:
    """One imported module. `lazy`: inside a function. `typing`: under `if TYPE_CHECKING`."""

    file: str
    line: int
    module: str
    lazy: bool
    typing: bool

    @property
    def room(self) -> str:
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def sources() -> list[Path]:
    found = [p for p in ROOT.rglob("*.py") if not WORK_TREE & set(p.relative_to(ROOT).parts)]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), path, lazy=False, typing=False))


def _walk(node: ast.AST, path: Path, *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for module in _modules(child, path):
                yield Import(name_of(path), child.lineno, module, lazy, typing)
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = typing or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test))
        yield from _walk(child, path, lazy=inside, typing=checking)


def _modules(node: ast.Import | ast.ImportFrom, path: Path) -> list[str]:
    """Full names; `from harness import runbooks` is harness.runbooks where that is a module, else harness."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = path.parent.relative_to(ROOT).parts
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    here = ROOT.joinpath(*base.split("."))
    named = [alias.name for alias in node.names]
    below = [f"{base}.{n}" for n in named if (here / f"{n}.py").is_file() or (here / n / "__init__.py").is_file()]
    return below if len(below) == len(named) else [base, *below]


ALL = [one for path in sources() for one in imports_of(path)]
OURS = [one for one in ALL if one.room in ROOMS]


def room_of(one: Import) -> str:
    return one.file.partition("/")[0]


def told(found: list[Import]) -> str:
    return "\n".join(map(str, found))


def test_the_rooms_are_there() -> None:
    assert {name_of(p).partition("/")[0] for p in sources()} == {*ROOMS, "conftest.py"}
    assert len(OURS) > 100, "the imports were not found: the rules below would hold of nothing"


def test_no_room_holds_too_much_of_the_code() -> None:
    lines = Counter[str]()
    for path in sources():
        lines[name_of(path).partition("/")[0]] += len(path.read_text(encoding="utf-8").splitlines())
    del lines["tests"]
    room, most = lines.most_common(1)[0]
    assert most < LARGEST_SHARE * lines.total(), f"{room} holds {most} of {lines.total()} lines"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_each_room_imports_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    assert not told([one for one in OURS if room_of(one) == room and one.room not in allowed])


def test_judging_imports_neither_engine_nor_load_nor_driver() -> None:
    """A sealed run is judged on a machine that could not run it."""
    live = {"docker", "gevent", "locust", "psycopg", "requests", "rich", "testcontainers"}
    assert not told([one for one in ALL if room_of(one) in ("analysis", "judging", "reports", "verifying") and one.room in live])


def test_every_package_is_installed() -> None:
    """Run from a checkout, nothing misses a package that the distribution leaves out."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    rooms = set(ROOMS) - {"benchmarks", "tests"}
    folders = {p.parent.relative_to(ROOT) for p in sources() if p.relative_to(ROOT).parts[0] in rooms}
    assert listed == {".".join(folder.parts) for folder in folders}


def test_conftest_imports_the_harness_alone() -> None:
    assert not told([one for one in OURS if one.file == "conftest.py" and one.room != "harness"])


def test_architecture_tells_the_same_rules() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*) \|$", text, flags=re.MULTILINE)
    table = {room: set(re.findall(r"`(\w+)`", may)) for room, may in rows if room in ROOMS}
    assert table == {**MAY_IMPORT, "tests": set()}  # tests: "everything"
    for name in (*ENGINE, "harness/handover.py", "runtime/links.py"):
        assert f"`{name}`" in text


def test_nobody_imports_load_but_tests() -> None:
    assert not told([one for one in OURS if one.room == "load" and room_of(one) not in ("load", "tests")])


def test_handover_alone_calls_reports_and_not_before_it_must() -> None:
    found = [one for one in OURS if one.room == "reports" and room_of(one) == "harness"]
    assert found
    assert not told([one for one in found if one.file != "harness/handover.py" or not one.lazy])


def test_drills_take_no_internals_of_the_machine() -> None:
    """A drill declares, injects and waits; it neither runs itself nor judges itself."""
    closed = {"harness.runner", "judging.judge", "judging.measure", "harness.handover", "harness.cli"}
    assert not told([one for one in OURS if room_of(one) == "drills" and one.module in closed])


def test_what_comes_after_the_seal_needs_the_files_alone() -> None:
    by_module: dict[str, list[Import]] = {}
    for one in ALL:
        by_module.setdefault(one.file.removesuffix(".py").replace("/", "."), []).append(one)
    seen: set[str] = set()
    todo = ["harness.handover"]
    while todo:
        module = todo.pop()
        seen.add(module)
        for one in by_module.get(module, []):
            assert one.room not in ("topologies", "runtime", "managers", "faults", "drills", "load", "docker", "psycopg"), str(
                one
            )
            if one.room in ROOMS and not one.typing and one.module not in seen:
                todo.append(one.module)
    assert {"judging.measure", "judging.judge", "judging.books", "reports.page", "reports.charts"} <= seen


@pytest.mark.parametrize("package", ONLY_IMPORTERS)
def test_only_these_import(package: str) -> None:
    found = [one for one in ALL if one.room == package and room_of(one) != "tests"]
    assert not told([one for one in found if one.file not in ONLY_IMPORTERS[package]])


@pytest.mark.parametrize("package", ONLY_ROOMS)
def test_only_this_room_imports(package: str) -> None:
    found = [one for one in ALL if one.room == package and room_of(one) != "tests"]
    assert not told([one for one in found if room_of(one) != ONLY_ROOMS[package]])


def test_only_toxics_speaks_toxiproxys_http() -> None:
    speaking = re.compile(r"/proxies\b|/populate\b|/toxics$|/toxics/|:8474\b")
    found = []
    for path in sources():
        name = name_of(path)
        if name.startswith("tests/") or name == "runtime/toxics.py":
            continue
        constants = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Constant)]
        found += [f"{name}:{n.lineno} {n.value!r}" for n in constants if n.value == 8474 or speaking.search(str(n.value))]
    assert not found


def test_no_module_is_named_utils() -> None:
    bad = {"util", "utils", "helper", "helpers", "common", "misc"}
    assert not [name_of(p) for p in sources() if p.stem in bad or bad & set(p.relative_to(ROOT).parts)]


def test_the_command_line_imports_nothing_heavy() -> None:
    script = f"import sys, harness.cli; print(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [], "import these inside the command that needs them"
