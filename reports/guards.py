"""A figure's interval on a line, with the target inside it: why a run can tell neither that it was met nor that it was missed."""

from __future__ import annotations

from markupsafe import Markup

from reports.charts import CHAR, Cut
from reports.rows import FigureRow
from reports.svg import ACCENT, INK, MUTED, SOFT, Canvas, drawing, inline
from reports.words import Words

TOP, THICK = 24.0, 14.0


def interval_chart(row: FigureRow, words: Words, cut: Cut, *, label: str) -> Markup:
    """The interval as a block, what was measured above it, the target through it and below."""
    if row.guard is None or row.wanted is None:
        raise ValueError(f"{row.key} has no interval or no target to draw")
    low, high = row.guard.low, row.guard.high
    ends = [v for v in (low, high, row.value, row.wanted) if v is not None]
    least, most = min(ends), max(ends)
    width = min(cut.width, 560.0)
    left, right = 8 + len(row.guard.low_text) * CHAR, width - 8 - len(row.guard.high_text) * CHAR
    scale = (right - left) / (most - least or 1.0)

    def x(value: float) -> float:
        return left + (value - least) * scale

    with drawing(f"interval-{row.key}-{cut.name}"):
        canvas = Canvas(width, TOP + THICK + 30)
        middle = TOP + THICK / 2
        begins, ends_at = (0.0 if low is None else x(low)), (width if high is None else x(high))
        canvas.rectangle(begins, TOP, max(ends_at - begins, 2), THICK, facecolor=SOFT)
        _ends(canvas, row, begins, ends_at, middle)
        if row.value is not None:
            canvas.line([x(row.value)] * 2, [TOP - 3, TOP + THICK], color=ACCENT, linewidth=2.5)
            _centered(canvas, x(row.value), 9, words("figures.measured_at", measured=row.measured))
        canvas.line([x(row.wanted)] * 2, [TOP - 3, TOP + THICK + 8], color=INK, linewidth=1.6)
        _centered(
            canvas, x(row.wanted), TOP + THICK + 18, words("figures.target_at", target=row.target.lstrip("≤≥ ")), weight="bold"
        )
        _sides(canvas, row, words, x(row.wanted), TOP + THICK + 18)
        told = f"{label}. {row.measured}; {row.guard.between}; {row.target}."
        return inline(canvas.figure, label=label, desc=told, css=cut.name)


def _ends(canvas: Canvas, row: FigureRow, begins: float, ends_at: float, y: float) -> None:
    """The bounds beside the block; an end that is open has none."""
    if row.guard is None:
        return
    if row.guard.low is not None:
        canvas.text(begins - 6, y, row.guard.low_text, ha="right", size=12)
    if row.guard.high is not None:
        canvas.text(ends_at + 6, y, row.guard.high_text, ha="left", size=12)


def _sides(canvas: Canvas, row: FigureRow, words: Words, target: float, half: float) -> None:
    """On which side of the target it is met, where there is room to say so."""
    names = [words("figures.meets"), words("figures.misses")]
    before, after = reversed(names) if row.at_least else names
    y = TOP + THICK + 18
    if target - half - len(before) * CHAR > 0:
        canvas.text(target - half, y, f"← {before}", ha="right", size=11, color=MUTED)
    if target + half + len(after) * CHAR < canvas.width:
        canvas.text(target + half, y, f"{after} →", ha="left", size=11, color=MUTED)


def _centered(canvas: Canvas, x: float, y: float, text: str, weight: str = "normal") -> None:
    half = len(text) * CHAR / 2
    canvas.text(min(max(x, half), canvas.width - half), y, text, ha="center", size=12, weight=weight)
