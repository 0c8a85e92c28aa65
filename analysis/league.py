"""Managers side by side: the same drills on each, with the same load and settings of equal promise. Pure.

A cell is one manager in one drill, over all runs that there are: none is picked; INVALID ones are counted and enter no figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.distribution import Distribution, Row, Summary, distribution
from judging.evidence import Model

SCHEMA = "drillbook.league/1"
FAULTS_MIN = 5  # runs that could be told, for a cell that is to be cited
FIGURES = ("rto_s", "interruption_s", "unprotected_s", "availability")


class Cell(Model):
    """One manager in one drill. `thin`: fewer runs could be told than a cell that is cited should have."""

    drill: str
    manager: str
    runs: Distribution
    thin: bool
    broke: list[str]  # the first reason of each run that isn't PASS, with how often it was given

    def summary(self, figure: str) -> Summary | None:
        return next((one for one in self.runs.summaries if one.figure == figure), None)


class League(Model):
    schema_name: str = SCHEMA
    topology: str
    settings: dict[str, Any]  # of all runs, but for the manager
    drills: list[str]
    managers: list[str]
    cells: list[Cell]

    def cell(self, drill: str, manager: str) -> Cell | None:
        return next((one for one in self.cells if (one.drill, one.manager) == (drill, manager)), None)


def manager_of_plan(plan: Mapping[str, Any]) -> str | None:
    """Who decides for the primary side, by plan.json; None where it doesn't say."""
    groups = plan.get("topology", {}).get("groups") or []
    return next((str(group["manager"]) for group in groups if group.get("upstream") is None and "manager" in group), None)


def league(
    rows: Mapping[tuple[str, str], Sequence[Row]], *, topology: str, settings: Mapping[str, Any], managers: Sequence[str]
) -> League:
    """`rows`: the runs by (drill, manager); cells without runs are left empty, not out."""
    drills = list(dict.fromkeys(drill for drill, _ in rows))
    cells = [
        Cell(
            drill=drill,
            manager=manager,
            runs=(found := distribution(of, label=manager)),
            thin=len(of) - found.verdicts["INVALID"] < FAULTS_MIN,
            broke=broke(of),
        )
        for (drill, manager), of in rows.items()
        if of
    ]
    shared = {name: value for name, value in settings.items() if name != "manager"}
    return League(topology=topology, settings=shared, drills=drills, managers=list(managers), cells=cells)


def broke(rows: Sequence[Row]) -> list[str]:
    """What kept runs from PASS, the most frequent first; a figure in a reason makes it no other reason."""
    kinds: dict[str, list[str]] = {}
    for row in rows:
        if row.verdict != "PASS" and row.reasons:
            kinds.setdefault(f"{row.verdict} {_without_figures(row.reasons[0])}", []).append(row.reasons[0])
    told = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    return [f"{len(reasons)} {name.split(' ', 1)[0]}: {reasons[0]}" for name, reasons in told]


def _without_figures(reason: str) -> str:
    return "".join("#" if letter.isdigit() else letter for letter in reason).replace("#", "")[:40]
