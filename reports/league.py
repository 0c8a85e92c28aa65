"""The page of managers side by side: a table for each drill, and every run behind it. Pure."""

from __future__ import annotations

from typing import Any

from analysis.distribution import MORE_IS_BETTER
from analysis.league import Cell, League
from reports.distribution import between, run_rows, value
from reports.page import templates
from reports.words import words

VERDICTS = ("PASS", "FAIL", "INVALID")
COLUMNS = ("rto_s", "interruption_s", "unprotected_s", "availability")


def league_page(found: League, *, language: str = "en") -> str:
    """One page, from the table alone."""
    text = words(language)
    view: dict[str, Any] = {
        "t": text, "league": found, "verdicts": VERDICTS, "columns": COLUMNS, "figures": figures,
        "run_rows": lambda cell: run_rows(cell.runs),
        "thin": any(cell.thin for cell in found.cells), "runs": sum(len(cell.runs.runs) for cell in found.cells),
    }  # fmt: skip
    return templates().get_template("league.html.j2").render(view)


def figures(cell: Cell) -> list[tuple[str, str]]:
    """(median, its interval) of each column; empty where no run could tell."""
    told = []
    for column in COLUMNS:
        one = cell.summary(column)
        told.append(("–", "") if one is None else (value(one, one.median), between(one, one.median_low, one.median_high)))
    assert set(COLUMNS) >= MORE_IS_BETTER
    return told
