"""What the runs that are there tell of a topology, cell by cell, and what to drill next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import faults
from analysis.coverage import MOMENTS, Cell, Coverage, Drilled, Target, coverage, struck, suggested
from analysis.expected import Expected
from harness import drill
from harness.hold import fault_from_words, topology_named
from harness.rehearsal import CannotRehearse, rehearse
from harness.repeats import all_runs, plain, row
from judging.evidence import Model, Planned, write_atomically
from runtime.manager import manager_of
from topologies.model import Topology

SUGGESTED = 5
BY_HAND_S = 60
NEEDED = ("intent", "injected", "heal_started", "healed", "primary")


class Suggestion(Model):
    """A cell to drill next. `drill` None: none covers it yet, and `command` tries it by hand."""

    fault: str
    victim: str
    moment: str
    expected: Expected
    known: str  # what runs have told of it, in words
    drill: str | None
    command: str
    note: str


def covered(name: str, settings: Mapping[str, str], runs: Path) -> Coverage:
    """The map of a topology over every run below `runs` that was made on it with all its settings. Raises BadInput."""
    topology = topology_named(name, dict(settings))
    return coverage(
        topology.to_json(),
        {group.name: manager_of(group).takes_over for group in topology.groups},
        targets(topology),
        drills=bodies(topology, settings),
        runs=list(drilled(topology, runs)),
    )


def targets(topology: Topology) -> dict[str, list[Target]]:
    """All that each fault can hit, with the effect."""
    found: dict[str, list[Target]] = {}
    for name, fault in faults.FAULTS.items():
        for target in fault.targets(topology):
            e = fault_from_words(name, target).effect(topology)
            found.setdefault(name, []).append(Target(target, e.down, e.cut, e.destroyed, e.damaged, e.impaired))
    return found


def bodies(topology: Topology, settings: Mapping[str, str]) -> dict[str, list[Planned]]:
    """What each drill of that topology would do; one that can't be rehearsed is left out."""
    found: dict[str, list[Planned]] = {}
    for name in drill.catalogue():
        one = drill.load_drill(name)
        try:
            if one.topology(**settings).name == topology.name:
                body = rehearse(one.body, topology)
                if rehearse(one.body, topology, seed=1) == body:  # what a seed draws, a drill can't be counted on for
                    found[name] = body
        except (CannotRehearse, ValueError):
            continue  # ValueError: another topology, without these settings
    return found


def drilled(topology: Topology, runs: Path) -> Iterator[Drilled]:
    """Every run on it. One whose plan or events are damaged says neither of what it is nor what it hit."""
    for directory in all_runs(runs):
        try:
            plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
            if (plan["topology"]["name"], plan["topology"]["settings"]) != (topology.name, topology.settings):
                continue
            at, events = str(plan["clock"]["wall"]), list(_events(directory / "events.jsonl"))
            one = row(directory)
            found = struck(events, _rto_s(directory))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        lost = one.values.get("lost_transactions")
        lost = None if lost is None else int(lost)
        yield Drilled(one.drill, directory.name, at, one.verdict, lost, tuple(found))


def _events(path: Path) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["kind"] in NEEDED:
            yield event["t_ns"], event["kind"], event["data"]


def _rto_s(directory: Path) -> dict[str, float | None]:
    """By the fault's id; empty where the run was never judged."""
    path = directory / "verdict.json"
    verdict = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"faults": []}
    return {fault["id"]: fault["rto_s"] for fault in verdict["faults"]}


def write_coverage(found: Coverage, runs: Path, stamp: str) -> Path:
    """`coverage/<stamp>.json` and `.html` below `runs`; returns the page's path."""
    from harness.handover import coverage_page

    directory = runs / "coverage"
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / f"{stamp}.json", found.model_dump_json(indent=2, by_alias=True) + "\n")
    page = directory / f"{stamp}.html"
    write_atomically(page, coverage_page(found))
    return page


# --- What to drill next -----------------------------------------------------------------------------------------------
def suggestions(found: Coverage, name: str, settings: Mapping[str, str]) -> list[Suggestion]:
    """A handful, the least known first; of each victim of a fault the one moment that is least known."""
    words = [word for setting, value in settings.items() for word in ("--set", f"{setting}={value}")]
    first: dict[tuple[str, str], Cell] = {}
    for cell in suggested(found):
        first.setdefault((cell.fault, cell.victim), cell)
    return [_suggestion(cell, name, words) for cell in list(first.values())[:SUGGESTED]]


def _suggestion(cell: Cell, name: str, words: Sequence[str]) -> Suggestion:
    drilled_by = next(iter(cell.drills), None)
    if drilled_by is not None:
        command, note = ["drillbook", "run", drilled_by, *words], ""
    else:
        command = ["drillbook", "inject", cell.fault, cell.targets[0], "--for", str(BY_HAND_S)]
        up = shlex.join(["drillbook", "up", name, *words])
        when = {"steady": "", "takeover": ", while a takeover after another fault is under way", "heal": ", while another heals"}
        note = f"no drill covers it; on what '{up}' stands up{when[cell.moment]}. A try by hand gives no verdict"
    return Suggestion(
        fault=cell.fault,
        victim=cell.victim,
        moment=cell.moment,
        expected=cell.expected,
        known=known(cell),
        drill=drilled_by,
        command=shlex.join(command),
        note=note,
    )


def known(cell: Cell) -> str:
    """`never drilled`, `2 runs, all INVALID`, `1 run told it, last PASS on 2026-01-15`."""
    if cell.latest is None:
        return "never drilled"
    if cell.state == "invalid":
        return f"{_runs(len(cell.runs))}, all INVALID"
    return f"{_runs(len(cell.told))} told it, last {cell.latest.verdict} on {cell.latest.at[:10]}"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


# --- In the terminal --------------------------------------------------------------------------------------------------
def told(found: Coverage) -> str:
    """One line a victim, the three moments beside each other; a dash where nobody drilled."""
    return "\n".join(_lines(found))


def _lines(found: Coverage) -> Iterator[str]:
    yield counts(found)
    yield "Expected (!: payments may be lost); then the last verdict, PASS/FAIL/INVALID runs, worst RTO, lost payments; -: no run"
    lines: list[tuple[str, ...]] = []
    for fault, victims in found.rows.items():
        lines += [(), (fault, *MOMENTS)]
        lines += [(f"  {victim}", *(_told(found.cell(fault, victim, moment)) for moment in MOMENTS)) for victim in victims]
    widths = [max(map(len, column)) + 2 for column in zip(*filter(None, lines), strict=True)]
    yield from ("".join(f"{word:<{width}}" for word, width in zip(line, widths, strict=False)).rstrip() for line in lines)
    if found.nowhere:
        yield "\nFaults of runs that are in no cell:"
        yield from (f"  {line}" for line in found.nowhere)


def counts(found: Coverage) -> str:
    """`6 of 107 cells were told; INVALID runs alone in 1 more`."""
    invalid = f"; INVALID runs alone in {found.invalid} more" if found.invalid else ""
    return f"{found.topology}: {found.told} of {len(found.cells)} cells were told{invalid}"


def _told(cell: Cell | None) -> str:
    if cell is None:
        return "(can't be)"
    expected = f"{cell.expected.kind}{'!' if cell.expected.loss == 'possible' else ''}"
    if cell.latest is None:
        return f"{expected:<9} -"
    result = f"{cell.latest.verdict} {cell.latest.at[:10]} {'/'.join(map(str, cell.verdicts.values()))}"
    if cell.state == "told":
        worst = "never back" if cell.never else f"{plain(cell.worst_rto_s)} s"
        result += f" {worst}" + ("" if cell.lost is None else f", {cell.lost} lost")
    return f"{expected:<9} {result}"


def proposed(found: Sequence[Suggestion]) -> str:
    return "\n\n".join(_proposal(number, one) for number, one in enumerate(found, 1)) or "Nothing: no cell is left to drill."


def _proposal(number: int, one: Suggestion) -> str:
    loss = "; confirmed payments may be lost" if one.expected.loss == "possible" else ""
    lines = [
        f"{number}. {one.fault}, {one.victim}, {one.moment}: {one.known}",
        f"   expected: {one.expected.kind}{loss} ({one.expected.why})",
        f"   {one.command}",
        *([f"   {one.note}."] if one.note else []),
    ]
    return "\n".join(lines)
