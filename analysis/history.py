"""All runs beside each other in time, by drill: none is left out, and a trend is only told where it is shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.distribution import Row
from judging.evidence import Model

RUNS_MIN = 8  # with fewer, Kendall's test can't tell a trend from chance
TREND_ERROR = 0.05
FIGURES = ("rto_s", "interruption_s", "unprotected_s")


class Trend(Model):
    """Of one figure over the runs that were told: Kendall's rank correlation with time. `word`: rising, falling, none shown."""

    figure: str
    count: int
    tau: float | None
    p_value: float | None
    word: str


class DrillHistory(Model):
    drill: str
    runs: list[Row]  # oldest first
    verdicts: dict[str, int]
    trends: list[Trend]


def history(rows: Sequence[Row]) -> list[DrillHistory]:
    """By drill in the order of their names."""
    found = []
    for drill in sorted({row.drill for row in rows}):
        mine = sorted((row for row in rows if row.drill == drill), key=lambda row: row.run)
        verdicts = {word: sum(row.verdict == word for row in mine) for word in ("PASS", "FAIL", "INVALID")}
        found.append(DrillHistory(drill=drill, runs=mine, verdicts=verdicts, trends=[trend(mine, figure) for figure in FIGURES]))
    return found


def trend(rows: Sequence[Row], figure: str) -> Trend:
    from scipy.stats import kendalltau

    values = [v for row in rows if row.verdict != "INVALID" and (v := row.values.get(figure)) is not None]
    if len(values) < RUNS_MIN or len(set(values)) == 1:
        return Trend(figure=figure, count=len(values), tau=None, p_value=None, word="none shown")
    tau, p_value = (float(number) for number in kendalltau(range(len(values)), values))
    word = "none shown" if p_value >= TREND_ERROR else "rising" if tau > 0 else "falling"
    return Trend(figure=figure, count=len(values), tau=round(tau, 3), p_value=round(p_value, 4), word=word)
