"""The same drills on each manager, in turns; and the table over all runs that there are with the same settings and load."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.distribution import Row
from analysis.league import Cell, League, league, manager_of_plan
from harness.comparing import run_compared
from harness.drill import Drill
from harness.repeats import all_runs, plain, row
from harness.runner import Options
from judging.errors import BadInput
from judging.evidence import write_atomically
from runtime.manager import check_managers, managers

ALL = "all"


def chosen(text: str) -> list[str]:
    """`all`, or names separated by commas. Raises BadInput."""
    known = sorted(managers())
    names = known if text == ALL else text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise BadInput(f"--managers: expected all, or some of {', '.join(known)}; seen {', '.join(map(repr, unknown))}")
    if len(set(names)) < len(names):
        raise BadInput(f"--managers: expected each once; seen {text}")
    return names


def run_league(
    drills: Sequence[Drill], options: Options, names: Sequence[str], *, faults: int, per_start: int, tell: Callable[[str], None]
) -> int:
    """Run what is asked for, and nothing where `faults` is 0. Returns the exit code of could-not-start or interrupt, or 0."""
    for drill in drills:
        for name in names:
            try:
                check_managers(drill.topology(**{**options.settings, "manager": name}))
            except ValueError as error:
                raise BadInput(f"{drill.name}: {error}") from error
    if not faults:
        return 0
    for drill in drills:
        _, stopped = run_compared(drill, options, "manager", names, faults=faults, per_start=per_start, tell=tell)
        if stopped:
            return stopped
    return 0


def table(drills: Sequence[Drill], options: Options, names: Sequence[str], runs: Path) -> League:
    """Over every run below `runs` of these drills with these settings and this load, whenever it was made."""
    rows: dict[tuple[str, str], list[Row]] = {(drill.name, name): [] for drill in drills for name in names}
    wanted = {drill.name: _asked(drill, options) for drill in drills}
    for directory in all_runs(runs):
        try:
            plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
            place, asked = (str(plan["drill"]), str(manager_of_plan(plan))), _of_plan(plan)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a plan that is damaged says neither whose run it is nor of what
        if place in rows and asked == wanted[place[0]]:
            rows[place].append(row(directory))
    first = drills[0].topology(**options.settings)
    return league(rows, topology=first.name, settings=first.settings, managers=names)


def _asked(drill: Drill, options: Options) -> tuple[Any, ...]:
    topology = drill.topology(**options.settings)
    return topology.name, _but_manager(topology.settings), drill.load.model_dump(mode="json")


def _of_plan(plan: dict[str, Any]) -> tuple[Any, ...]:
    topology = plan["topology"]
    return topology["name"], _but_manager(topology["settings"]), plan["load"]


def _but_manager(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "manager"}


def write_league(found: League, runs: Path, stamp: str) -> Path:
    """`league/<stamp>.json` and `.html` below `runs`; returns the page's path."""
    from harness.handover import league_page

    directory = runs / "league"
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / f"{stamp}.json", found.model_dump_json(indent=2, by_alias=True) + "\n")
    page = directory / f"{stamp}.html"
    write_atomically(page, league_page(found))
    return page


def told(found: League) -> str:
    """One line a cell; an empty cell says so, and what broke stands below."""
    return "\n".join(_lines(found))


def _lines(found: League) -> Iterator[str]:
    head = (
        f"{'PASS':>5}{'FAIL':>5}{'INV.':>5} {'RTO median':>11} {'95 % interval':>17} {'worst':>8} {'lost':>5} {'unprotected':>12}"
    )
    for drill in found.drills:
        yield f"{drill:<22}{head}"
        for manager in found.managers:
            cell = found.cell(drill, manager)
            if cell is None:
                yield f"  {manager:<20} not drilled"
                continue
            yield _line(cell)
            yield from (f"  {'':<20} {reason[:140]}" for reason in cell.broke)
        yield ""


def _line(cell: Cell) -> str:
    rto, unprotected, v = cell.summary("rto_s"), cell.summary("unprotected_s"), cell.runs.verdicts
    never = rto is not None and rto.never
    between = (
        "—" if rto is None else " … ".join("?" if side is None else plain(side) for side in (rto.median_low, rto.median_high))
    )
    median = "—" if rto is None else "never" if rto.median is None and never else plain(rto.median)
    worst = "—" if rto is None else "never" if rto.worst is None and never else plain(rto.worst)
    lost = "—" if cell.runs.lost_payments is None else str(cell.runs.lost_payments)
    bare = "—" if unprotected is None else plain(unprotected.median)
    thin = "  few runs" if cell.thin else ""
    counts = f"{v['PASS']:>5}{v['FAIL']:>5}{v['INVALID']:>5}"
    return f"  {cell.manager:<20}{counts} {median:>11} {between:>17} {worst:>8} {lost:>5} {bare:>12}{thin}"
