"""Documents that lag behind the code fail here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import click
import pytest

import topologies
from faults import FAULTS
from harness.cli import main
from harness.drill import DRILLS, catalogue, load_drill
from judging import records
from judging.crosschecks.case import Case
from judging.crosschecks.story import targets_follow_from_their_basis
from judging.evidence import COPY_COLUMNS, EVIDENCE_VERSION, PAYMENT_COLUMNS, SAMPLE_COLUMNS, Load, Plan, Targets
from runtime.manager import managers
from topologies.settings import SYNCHRONOUS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
FIRST = "two-region-three-center"  # the one that the others are told by
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(text: str) -> dict[str, str]:
    """Every row of every table, by the first name in backticks in its first cell."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\| \[?`([^`]+)`", line):
            found[match[1]] = line
    return found


# --- Drills and topologies --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", catalogue())
def test_every_drill_has_its_row_with_claim_and_targets(name: str) -> None:
    text = text_of("docs/drills.md")
    row = rows(text).get(name, "")
    assert catalogue()[name] in row, f"docs/drills.md: give {name} a row in the table at its head, with its claim word for word"
    assert re.search(rf"^## {name}$", text, flags=re.MULTILINE), f"docs/drills.md: give {name} a part, '## {name}'"
    wanted = {k: v for k, v in load_drill(name).targets.model_dump(exclude={"basis"}).items() if v is not None}
    told = {k: float(v) for k, v in re.findall(r"`(\w+)` ([\d.]+)", row)}
    assert told == wanted, f"docs/drills.md: the row of {name} has to say the targets of the code"


@pytest.mark.parametrize("name", catalogue())
def test_every_target_follows_from_its_basis(name: str) -> None:
    """Else every run of it is INVALID."""
    plan = SimpleNamespace(targets=load_drill(name).targets)
    assert list(targets_follow_from_their_basis(cast(Case, SimpleNamespace(plan=plan)))) == []


@pytest.mark.parametrize("name", catalogue())
def test_every_drills_row_names_its_fault(name: str) -> None:
    tree = ast.parse((DRILLS / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8"))
    used = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)} & set(FAULTS)
    row = rows(text_of("docs/drills.md")).get(name, "")
    assert used == set(re.findall(r"`([A-Z]\w+)`", row)), f"docs/drills.md: the row of {name} has to name the faults of its body"


def test_no_row_is_left_of_a_drill_that_is_gone() -> None:
    assert set(rows(text_of("docs/drills.md"))) <= set(catalogue())


def part_of(topology: str) -> str:
    """What docs/topologies.md says of one topology."""
    return text_of("docs/topologies.md").partition(f"\n## {topology}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("topology", topologies.catalogue())
def test_every_setting_has_its_row_with_its_default(topology: str) -> None:
    """In the topology's own part; in the first one's, where the default is the same."""
    first, here = rows(part_of(FIRST)), rows(part_of(topology))
    for name, default in topologies.catalogue()[topology]().settings.items():
        row = here.get(name, first.get(name, ""))
        where = "a row of its own, or the same default as the first topology"
        assert f"| `{name}` | {default} |" in row, f"docs/topologies.md, part {topology}: {name} needs {where}"


@pytest.mark.parametrize("topology", topologies.catalogue())
def test_no_row_is_left_of_a_setting_that_is_gone(topology: str) -> None:
    settings = {*topologies.catalogue()[topology]().settings}
    told = set(rows(part_of(topology))) - set(SYNCHRONOUS)
    assert told == settings if topology == FIRST else told <= settings


def test_every_topology_has_its_part() -> None:
    parts = re.findall(r"^## (.*)$", text_of("docs/topologies.md"), flags=re.MULTILINE)
    assert parts[0] == FIRST
    missing = set(topologies.catalogue()) - set(parts)
    assert not missing, f"docs/topologies.md: give each a part, '## name': {', '.join(sorted(missing))}"
    assert sorted(parts) == sorted(topologies.catalogue())


# --- The command line -------------------------------------------------------------------------------------------------
def options() -> Iterator[tuple[str, str]]:
    for name, command in main.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield name, parameter.opts[0]


@pytest.mark.parametrize("command", main.commands)
def test_every_command_is_in_the_howto(command: str) -> None:
    assert re.search(rf"\bdrillbook {command}\b", text_of("docs/howto.md"))


@pytest.mark.parametrize("option", sorted({option for _, option in options()}))
def test_every_option_is_in_the_howto(option: str) -> None:
    assert re.search(rf"{option}\b", text_of("docs/howto.md"))


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_in_the_howto(fault: str) -> None:
    assert fault in rows(text_of("docs/howto.md")), f"docs/howto.md: give {fault} a row in the table of faults and their targets"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_page_names_a_command_that_is_not_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"^    (.*)$", text, flags=re.MULTILINE)]
    used = {word for line in code for word in re.findall(r"(?:^|[/ ])drillbook ([a-z]+)", line)}
    assert used <= set(main.commands)
    assert {word for line in code for word in re.findall(r"^make ([a-z]+)", line)} <= make_targets()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text_of("Makefile"), flags=re.MULTILINE))


# --- The evidence -----------------------------------------------------------------------------------------------------
def needed_kinds() -> set[str]:
    """The kinds of event that harness modules compute from: the first argument of each `records.of(…)`."""
    found = {"interrupted", "error", "phase"}  # asked for by variable, or by the report
    for path in Path(records.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "of" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(first.value)
    return found


def cells(text: str, *, column: int = 1) -> set[str]:
    """All names in backticks in one column of the tables."""
    lines = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    return {name for line in lines if len(line) > column for name in re.findall(r"`([^`]+)`", line[column])}


def part(text: str, title: str) -> str:
    """The part under `## title`, up to the next."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_kind_that_figures_need_is_described() -> None:
    needed = needed_kinds()
    assert {"injected", "proof", "leader_key", "ready"} <= needed, "the calls were not found"
    assert needed <= cells(part(text_of("docs/evidence.md"), "events.jsonl"))


def test_every_column_is_described() -> None:
    text = text_of("docs/evidence.md")
    assert cells(part(text, "probe.csv and ledger.csv")) == set(PAYMENT_COLUMNS)
    assert cells(part(text, "samples.csv")) == set(SAMPLE_COLUMNS)
    copies = part(text, "copies/ and autopsy/")
    for table, columns in COPY_COLUMNS.items():
        assert f"`{table}`: `{', '.join(columns)}`" in copies


def test_every_field_of_the_plan_is_described() -> None:
    text = part(text_of("docs/evidence.md"), "plan.json")
    assert set(Plan.model_fields) <= cells(text)
    for field in (*Targets.model_fields, *Load.model_fields):
        assert re.search(rf"`{field}(\{{\}})?`", text), field


def test_the_version_is_the_codes() -> None:
    assert f"Version **{EVIDENCE_VERSION}**" in text_of("docs/evidence.md")


# --- The pages themselves ---------------------------------------------------------------------------------------------
def test_every_decision_is_linked_and_numbered_once() -> None:
    decisions = sorted(p.name for p in (DOCS / "decisions").glob("*.md"))
    linked = re.findall(r"\(decisions/([^)]+)\)", part(text_of("docs/architecture.md"), "Decisions"))
    assert linked == decisions
    assert [name[:4] for name in decisions] == [f"{n:04d}" for n in range(1, len(decisions) + 1)]


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("*.md")), ids=lambda p: p.name)
def test_every_decision_has_its_three_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequence"]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_relative_to(ROOT), f"{target} leads out of the tree"
        assert there.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{target}: no such title"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_that_pages_name_are_there(page: Path) -> None:
    rooms = "benchmarks|docs|drills|faults|harness|judging|load|managers|reports|runtime|scripts|tests|topologies"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists(), f"{name} is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_page_names_a_machines_path(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert not re.findall(r"(?<![\w.<>-])/(?:home|root|Users|tmp|mnt|opt|srv)/\S*|\b[A-Z]:\\\S*", text)


def test_the_picture_is_small() -> None:
    assert (DOCS / "report.png").stat().st_size < 300_000


def test_every_manager_has_its_part_and_its_row() -> None:
    page = text_of("docs/managers.md")
    parts, told = (set(re.findall(p, page, flags=re.MULTILINE)) for p in (r"^## (.*)$", r"^\| \[`([a-z-]+)`\]"))
    assert parts == set(managers()), f"docs/managers.md: parts that are missing or too many: {parts ^ set(managers())}"
    assert told == set(managers()), f"docs/managers.md: rows that are missing or too many: {told ^ set(managers())}"
