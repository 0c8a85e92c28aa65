"""Many runs on one page: every value as a dot, the median and its interval, and what the counts prove. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from analysis.comparison import Comparison, Effect
from analysis.distribution import MORE_IS_BETTER, NEVER, SEGMENTS, Distribution, Row, Summary
from judging.sentence import seconds
from reports.charts import NARROW, WIDE, Cut
from reports.page import templates
from reports.svg import ACCENT, BAD, INK, LINE, MUTED, PAPER, SOFT, Canvas, Hit, drawing, inline
from reports.words import Words, words

DRAWN = ("rto_s", "interruption_s", "unprotected_s")
TITLE, BAND, FOOT = 24.0, 58.0, 34.0
DOT = 7.0  # px, across and from one dot to the next above it
TICK_CHAR = 7.0


def distribution_page(groups: Sequence[Distribution], comparison: Comparison | None = None, *, language: str = "en") -> str:
    """`*.distribution.html` of one group, or the page of a comparison of several."""
    text = words(language)
    figure = next((name for name in DRAWN if any(_told(group, name) for group in groups)), DRAWN[0])
    title = text("many.chart_title", figure=text.or_plain(f"figures.{figure}"))
    desc = " ".join(_described(group, figure, text) for group in groups)
    charts = [dots_chart(groups, figure, text, cut, label=title, desc=desc) for cut in (WIDE, NARROW)]
    view: dict[str, Any] = {
        "t": text, "groups": groups, "comparison": comparison, "charts": charts, "chart_title": title, "drill": groups[0].drill,
        "name": lambda group: group.label or group.drill, "figure_rows": lambda group: figure_rows(group, text),
        "effect_rows": [effect_row(effect, text) for effect in comparison.effects] if comparison else [],
        "run_rows": run_rows, "invalid": sum(group.verdicts["INVALID"] for group in groups),
    }  # fmt: skip
    return templates().get_template("distribution.html.j2").render(view)


# --- Rows of the tables -----------------------------------------------------------------------------------------------
def figure_rows(group: Distribution, text: Words) -> list[dict[str, Any]]:
    return [
        {
            "name": text.or_plain(_key(one.figure)),
            "part": one.figure in SEGMENTS,
            "count": one.count,
            "best": value(one, one.best),
            "median": value(one, one.median),
            "median_between": between(one, one.median_low, one.median_high),
            "p95": value(one, one.p95),
            "p95_between": between(one, one.p95_low, one.p95_high),
            "worst": value(one, one.worst),
        }
        for one in group.summaries
    ]


def _key(figure: str) -> str:
    """Where the catalogue names it."""
    return f"segments.{figure.removeprefix('phases.').removesuffix('_s')}" if figure in SEGMENTS else f"figures.{figure}"


def value(one: Summary, number: float | None) -> str:
    return words()("many.never") if number is None and one.never else "–" if number is None else told(one.figure, number)


def told(figure: str, number: float) -> str:
    if figure in MORE_IS_BETTER:
        return f"{number:.2%}"
    return seconds(number) if figure.endswith("_s") else f"{number:,.0f}"


def between(one: Summary, low: float | None, high: float | None) -> str:
    """Both sides of an interval; `?`: the runs are too few to bound that side, or service never returned there."""
    sides = (high, low) if one.figure in MORE_IS_BETTER else (low, high)
    return " … ".join("?" if side is None else told(one.figure, side) for side in sides)


def effect_row(effect: Effect, text: Words) -> dict[str, Any]:
    sign = "" if effect.difference is None else "+" if effect.difference >= 0 else "−"
    size = None if effect.difference is None else told(effect.figure, abs(effect.difference))
    sides = [None if side is None else _signed(effect.figure, side) for side in (effect.low, effect.high)]
    return {
        "name": text.or_plain(f"figures.{effect.figure}"),
        "pair": text("many.pair", other=effect.other, base=effect.base),
        "medians": [None if m is None else told(effect.figure, m) for m in (effect.base_median, effect.other_median)],
        "difference": None if size is None else f"{sign}{size}",
        "between": None if sides[0] is None else f"{sides[0]} … {sides[1]}",
        "told": text("many.shown") if effect.shown else effect.told,
    }


def _signed(figure: str, number: float) -> str:
    return ("+" if number >= 0 else "−") + told(figure, abs(number))


def run_rows(group: Distribution) -> list[dict[str, Any]]:
    """Every run in order; a link to its report, which lies beside this page."""
    return [
        {"row": row, "values": [_run_value(row, name) for name in DRAWN], "lost": row.values.get("lost_transactions")}
        for row in group.runs
    ]


def _run_value(row: Row, name: str) -> str:
    number = row.values.get(name)
    if number is None:
        return words()("many.never") if name in NEVER and row.verdict == "FAIL" else "–"
    return told(name, number)


# --- The chart --------------------------------------------------------------------------------------------------------
def _told(group: Distribution, figure: str) -> list[float]:
    return [v for row in group.runs if (v := row.values.get(figure)) is not None and v > 0]


def _described(group: Distribution, figure: str, text: Words) -> str:
    own = next((one for one in group.summaries if one.figure == figure), None)
    if own is None or own.median is None:
        return text("many.desc_none", name=group.label or group.drill)
    return text(
        "many.desc", name=group.label or group.drill, count=own.count, median=told(figure, own.median),
        between=between(own, own.median_low, own.median_high),
    )  # fmt: skip


def dots_chart(groups: Sequence[Distribution], figure: str, text: Words, cut: Cut, *, label: str, desc: str) -> Markup:
    """A band for each group: a dot a run (hollow: INVALID), the median's interval, the median, the 95th percentile."""
    largest = max((v for group in groups for v in _told(group, figure)), default=1.0) * 1.04
    right = cut.right + 34
    scale = (cut.width - 2 * right) / largest
    stacks = [_stack(group, figure, scale) for group in groups]
    bands = [TITLE + max(BAND, 26 + DOT * max((level for _, level, _ in stack), default=0)) for stack in stacks]
    with drawing(f"dots-{cut.name}"):
        canvas = Canvas(cut.width, sum(bands) + FOOT)
        top, hits = 0.0, list[Hit]()
        for group, stack, height in zip(groups, stacks, bands, strict=True):
            base = top + height - 14
            canvas.text(right, top + 12, group.label or group.drill, weight="bold")
            if left_out := len(group.runs) - len(stack):
                canvas.text(cut.width - right, top + 12, text("many.without", count=left_out), ha="right", size=11.5, color=BAD)
            _interval(canvas, group, figure, right, scale, top + TITLE, base)
            for x, level, row in stack:
                y = base - 6 - DOT * level
                _dot(canvas, right + x, y, row)
                hits.append(Hit(right + x - 4, y - 4, 8, 8, f"{row.run}: {row.verdict}, {_run_value(row, figure)}"))
            canvas.line([right, cut.width - right], [base, base], color=LINE, linewidth=1)
            top += height
        _axis(canvas, top, largest, right, scale, cut, text("many.axis", figure=text.or_plain(f"figures.{figure}")))
        return inline(canvas.figure, label=label, desc=desc, css=cut.name, hits=tuple(hits))


def _stack(group: Distribution, figure: str, scale: float) -> list[tuple[float, int, Row]]:
    """Where each dot stands: dots that would cover each other stand on each other."""
    seen: Counter[int] = Counter()
    placed = []
    for row in sorted(group.runs, key=lambda row: row.values.get(figure) or 0.0):
        number = row.values.get(figure)
        if number is None:
            continue
        column = round(number * scale / DOT)
        placed.append((number * scale, seen[column], row))
        seen[column] += 1
    return placed


def _dot(canvas: Canvas, x: float, y: float, row: Row) -> None:
    color = BAD if row.verdict == "FAIL" else ACCENT if row.verdict == "PASS" else MUTED
    canvas.line(
        [x], [y], marker="o", markersize=DOT - 1, markeredgewidth=1.2, markeredgecolor=color, linestyle="none", zorder=5,
        markerfacecolor=PAPER if row.verdict == "INVALID" else color,
    )  # fmt: skip


def _interval(canvas: Canvas, group: Distribution, figure: str, left: float, scale: float, top: float, base: float) -> None:
    own = next((one for one in group.summaries if one.figure == figure), None)
    if own is None:
        return
    if own.median_low is not None and own.median_high is not None:
        width = max(1.0, (own.median_high - own.median_low) * scale)
        canvas.rectangle(left + own.median_low * scale, top, width, base - top, facecolor=SOFT, zorder=1)
    if own.median is not None:
        canvas.line([left + own.median * scale] * 2, [top, base], color=INK, linewidth=1.6, zorder=4)
    if own.p95 is not None:
        canvas.line([left + own.p95 * scale] * 2, [top + 8, base], color=MUTED, linewidth=1.1, linestyle=(0, (3, 2)), zorder=4)


def _axis(canvas: Canvas, top: float, largest: float, left: float, scale: float, cut: Cut, title: str) -> None:
    for tick in MaxNLocator(cut.ticks, steps=[1, 2, 5, 10]).tick_values(0, largest):
        if 0 <= tick <= largest:
            canvas.line([left + tick * scale] * 2, [top - 14, top - 10], color=LINE, linewidth=1)
            canvas.text(left + tick * scale, top - 2, f"{tick:g}", ha="center", size=11, color=MUTED)
    canvas.text(left, top + 18, title, size=11.5, color=MUTED)
