"""The page of what is covered: a map of faults and victims by moments, and every run behind it. Pure."""

from __future__ import annotations

from typing import Any

from analysis.coverage import MOMENTS, Cell, Coverage
from analysis.expected import KINDS
from reports.page import templates
from reports.words import words

STATES = {"PASS": "met", "FAIL": "missed", "INVALID": "untold"}
OUTCOMES = {  # the word, and what it means
    "unnoticed": ("coverage.unnoticed", "coverage.unnoticed_means"),
    "pause": ("coverage.pause", "coverage.pause_means"),
    "takeover": ("coverage.taken_over", "coverage.taken_over_means"),
    "people": ("coverage.people", "coverage.people_means"),
    "unknown": ("coverage.unknown", "coverage.unknown_means"),
    "outage": ("coverage.outage", "coverage.outage_means"),
}
HEADS = {"steady": "coverage.steady", "takeover": "coverage.takeover", "heal": "coverage.heal"}
PREMISES = {"steady": "coverage.in_steady", "takeover": "coverage.in_takeover", "heal": "coverage.in_heal"}


def coverage_page(found: Coverage, *, language: str = "en") -> str:
    """One page, from the map alone."""
    text = words(language)

    def figure(cell: Cell) -> str:
        if cell.state != "told":
            return ""
        worst = text("coverage.never") if cell.never else f"{cell.worst_rto_s:g} s"
        lost = "–" if cell.lost is None else f"{cell.lost:,}"
        return text("coverage.figures", worst=worst, lost=lost)

    def outcome(cell: Cell) -> str:
        word = text(OUTCOMES[cell.expected.kind][0])
        return word if cell.expected.loss == "none" else f"{word}, {text('coverage.loss')}"

    view: dict[str, Any] = {
        "t": text, "map": found, "moments": MOMENTS, "heads": HEADS, "premises": PREMISES, "states": STATES,
        "outcomes": [OUTCOMES[kind] for kind in KINDS], "outcome": outcome, "figure": figure,
        "empty": sum(cell.state == "empty" for cell in found.cells),
        "runs": [(cell, run) for cell in found.cells for run in cell.runs],
    }  # fmt: skip
    return templates().get_template("coverage.html.j2").render(view)
