"""The timeline and the bar of segments, drawn with matplotlib. Sizes are CSS pixels; each chart in a wide and a narrow cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from judging.measure import FaultMeasurement
from judging.sentence import seconds
from reports.figures import Span, Timeline, held, recovering_from_s
from reports.host import Host, what_to_see
from reports.svg import ACCENT, BAD, BAD_WASH, INK, LINE, MUTED, PAPER, SOFT, WASH, Canvas, Hit, drawing, inline
from reports.words import Words

CHAR = 6.6  # px of an average letter at 12 px, on the wide side
ROW = 16.0  # px between two rows of mark labels


@dataclass(frozen=True)
class Cut:
    """The measures of one cut of a chart."""

    name: str
    width: float
    left: float
    right: float
    panel: float  # height of a panel
    header: float  # above each panel: its title and what its lines mean
    ticks: int

    def scale(self, data: Timeline) -> float:
        """Pixels a second."""
        return (self.width - self.left - self.right) / (data.end_s - data.start_s)


WIDE = Cut("wide", 920, 48, 14, 112, 34, 12)
NARROW = Cut("narrow", 360, 38, 8, 96, 48, 5)
STRIP_ROW = 20.0
FOOT = 46.0


@dataclass(frozen=True)
class Label:
    x: float
    row: int
    text: str
    flipped: bool
    name: str


@dataclass(frozen=True)
class Panel:
    """One of the stacked panels: its axes, and where it lies on the canvas."""

    axes: Axes
    canvas: Canvas
    cut: Cut
    top: float
    height: float


def timeline_chart(data: Timeline, words: Words, cut: Cut, *, label: str, desc: str) -> Markup:
    """Panels under each other on one x-axis, marks with words through all of them."""
    with drawing(f"timeline-{cut.name}"):
        labels = place_marks(data, words, cut)
        top = (1 + max((item.row for item in labels), default=0)) * ROW + 6
        heights = {"rates": cut.panel, "latency": cut.panel * 0.9}
        heights |= {"delays": cut.panel * 0.75, "shares": cut.panel * 0.5} if data.host else {}
        heights |= {"lag": cut.panel * 0.75, "copies": STRIP_ROW * max(1, len(data.copies)), "phases": STRIP_ROW}
        total = top + sum(heights.values()) + cut.header * len(heights) + FOOT
        canvas = Canvas(cut.width, total)
        panels = _panels(canvas, cut, heights, top, data)
        _rates(panels["rates"], data, words)
        _latency(panels["latency"], data, words)
        _lag(panels["lag"], data, words)
        if data.host:
            _delays(panels["delays"], data.host, data, words)
            _shares(panels["shares"], data.host, data, words)
        _copy_strip(panels["copies"], data, words)
        _phase_strip(panels["phases"], data, words)
        _shade(panels, data, words)
        _x_axis(panels["phases"].axes, words("timeline.x_axis" if data.faulted else "timeline.x_axis_no_fault"), cut)
        _draw_marks(list(panels.values()), labels, top)
        hits = _hits(data, words, cut, top, total) if cut is WIDE else ()
        return inline(canvas.figure, label=label, desc=desc, css=cut.name, hits=hits)


def _panels(canvas: Canvas, cut: Cut, heights: dict[str, float], top: float, data: Timeline) -> dict[str, Panel]:
    panels, y = {}, top
    for name, height in heights.items():
        y += cut.header
        axes = canvas.figure.add_axes(canvas.box(cut.left, y, cut.width - cut.left - cut.right, height))
        axes.set_xlim(data.start_s, data.end_s)
        axes.xaxis.set_major_locator(NullLocator())
        axes.spines["left"].set_visible(False)
        panels[name] = Panel(axes, canvas, cut, y, height)
        y += height
    return panels


def _title(panel: Panel, text: str, keys: Sequence[tuple[str, dict[str, Any]]] = ()) -> None:
    """The panel's name at the left above it; what its lines mean at the right, or on a row of their own."""
    cut, canvas = panel.cut, panel.canvas
    wide = cut is WIDE
    canvas.text(cut.left, panel.top - (14 if wide or not keys else 29), text, weight="bold", size=12)
    widths = [len(name) * CHAR + 34 for name, _ in keys]
    x = cut.width - cut.right - sum(widths) + 10 if wide else cut.left
    for (name, style), width in zip(keys, widths, strict=True):
        canvas.line([x, x + 15], [panel.top - 13] * 2, **style)
        canvas.text(x + 19, panel.top - 12.5, name, size=11)
        x += width if wide else width - 12


def _grid(panel: Panel, locator: Any, formatter: Any) -> None:
    axes = panel.axes
    axes.yaxis.set_major_locator(locator)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(formatter)
    axes.grid(axis="y")
    axes.set_axisbelow(True)


def _number(value: float, _position: int = 0) -> str:
    return f"{value:,.0f}" if abs(value) >= 1 or value == 0 else f"{value:g}"


def _stairs(panel: Panel, values: Any, data: Timeline, style: dict[str, Any]) -> None:
    width = data.bin_s
    edges = data.rates.index.to_numpy(dtype=float)
    panel.axes.stairs(values, np.append(edges, edges[-1] + width), baseline=None, **style)


def _rates(panel: Panel, data: Timeline, words: Words) -> None:
    acknowledged = {"color": ACCENT, "linewidth": 1.6}
    errors = {"color": BAD, "linewidth": 1.4, "linestyle": (0, (4, 1.5))}
    keys = [(words("timeline.acknowledged"), acknowledged), (words("timeline.errors"), errors)]
    _title(panel, words("timeline.panel_rates"), keys)
    if not data.rates.notna().to_numpy().any():
        return _nothing(panel, words)
    failed = data.rates["errors"]
    around = failed.rolling(3, center=True, min_periods=1).max()
    _stairs(panel, failed.where(around > 0).to_numpy(dtype=float), data, errors)  # a row of zeros says nothing
    _stairs(panel, data.rates["acknowledged"].to_numpy(dtype=float), data, acknowledged)
    high = np.nanmax(data.rates.to_numpy(dtype=float))
    panel.axes.set_ylim(0, max(high, 1) * (1.32 if data.outages else 1.12))  # room for the outage's name
    _grid(panel, MaxNLocator(4, integer=True), FuncFormatter(_number))
    return None


def _latency(panel: Panel, data: Timeline, words: Words) -> None:
    median = {"color": ACCENT, "linewidth": 1.6}
    tail = {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 1.5))}
    _title(panel, words("timeline.panel_latency"), [("p50", median), ("p99", tail)])
    _milliseconds(panel, data.latency, {"p99": tail, "p50": median}, data, words, top=1.0)


def _milliseconds(
    panel: Panel, lines: pd.DataFrame, styles: dict[str, dict[str, Any]], data: Timeline, words: Words, *, top: float
) -> None:
    """Durations as stairs on a logarithmic axis, the first at the back, up to `top` ms at least; words where there are none."""
    if not lines.notna().to_numpy().any():
        return _nothing(panel, words)
    for column, style in styles.items():
        _stairs(panel, lines[column].to_numpy(dtype=float), data, style)
    values = lines.to_numpy(dtype=float)
    low, high = _round_125(max(np.nanmin(values), 0.1), down=True), _round_125(max(np.nanmax(values), top), down=False)
    panel.axes.set_yscale("log")
    panel.axes.set_ylim(low, high)
    _grid(panel, FixedLocator(_log_ticks(low, high)), FuncFormatter(_number))
    return None


def _round_125(value: float, *, down: bool) -> float:
    """The next 1-2-5 step below or above."""
    power = 10.0 ** np.floor(np.log10(value))
    steps = [float(power * step) for step in (1, 2, 5, 10)]
    return max(s for s in steps if s <= value) if down else min(s for s in steps if s >= value)


def _log_ticks(low: float, high: float) -> list[float]:
    """1-2-5 steps where there is room for them, else powers of ten."""
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    ticks = [float(step * 10.0**power) for power in powers for step in (1, 2, 5)]
    inside = [tick for tick in ticks if low <= tick <= high]
    return inside if len(inside) <= 5 else [float(10.0**power) for power in powers if low <= 10.0**power <= high]


LAG_STYLES: tuple[dict[str, Any], ...] = (
    {"color": ACCENT, "linewidth": 1.6},
    {"color": INK, "linewidth": 1.2, "linestyle": (0, (4, 1.5))},
    {"color": INK, "linewidth": 1.4, "linestyle": (0, (1, 1.2))},
    {"color": MUTED, "linewidth": 1.2},
    {"color": ACCENT, "linewidth": 1.2, "linestyle": (0, (6, 1.5, 1, 1.5))},
)


def _lag(panel: Panel, data: Timeline, words: Words) -> None:
    largest = max((float(f["bytes"].max()) for f in data.lag.values()), default=0.0)
    unit, divisor = _bytes_unit(largest)
    styles = {node: LAG_STYLES[i % len(LAG_STYLES)] for i, node in enumerate(data.lag)}
    _title(panel, words("timeline.panel_lag", unit=unit), list(styles.items())[: 8 if panel.cut is WIDE else 5])
    if not data.lag:
        return _nothing(panel, words)
    for node, frame in data.lag.items():
        panel.axes.plot(frame["t_s"], frame["bytes"] / divisor, drawstyle="steps-post", **styles[node])
    panel.axes.set_ylim(0, max(largest / divisor, 1) * 1.15)
    _grid(panel, MaxNLocator(3), FuncFormatter(_number))
    return None


def _delays(panel: Panel, host: Host, data: Timeline, words: Words) -> None:
    """How long the host's disk and its cores kept a small piece of work waiting; its stalls as blocks."""
    sync = {"color": ACCENT, "linewidth": 1.6}
    wake = {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 1.5))}
    keys = [(words("host.sync"), sync), (words("host.wake"), wake), (words("host.stall"), {"color": LINE, "linewidth": 9})]
    _title(panel, what_to_see(host, words), keys)
    _milliseconds(panel, host.delays, {"wake": wake, "sync": sync}, data, words, top=10.0)


def _shares(panel: Panel, host: Host, data: Timeline, words: Words) -> None:
    foreign = {"color": ACCENT, "linewidth": 1.6}
    disk = {"color": INK, "linewidth": 1.1, "linestyle": (0, (4, 1.5))}
    cpu = {"color": INK, "linewidth": 1.3, "linestyle": (0, (1, 1.2))}
    styles = {"io": disk, "cpu": cpu, "foreign": foreign}
    _title(panel, words("host.panel_shares"), [(words(f"host.{name}"), styles[name]) for name in ("foreign", "io", "cpu")])
    if not host.shares.notna().to_numpy().any():
        return _nothing(panel, words)
    for name, style in styles.items():
        _stairs(panel, host.shares[name].to_numpy(dtype=float), data, style)
    panel.axes.set_ylim(0, 100)
    _grid(panel, FixedLocator([0, 50, 100]), FuncFormatter(_number))
    return None


def _bytes_unit(largest: float) -> tuple[str, float]:
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if largest >= 2 * size:
            return unit, size
    return "bytes", 1.0


def _nothing(panel: Panel, words: Words) -> None:
    cut = panel.cut
    panel.axes.yaxis.set_major_locator(NullLocator())
    panel.canvas.text(
        (cut.left + cut.width - cut.right) / 2, panel.top + panel.height / 2, words("timeline.nothing"), ha="center",
        color=MUTED, zorder=6, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 2},
    )  # fmt: skip


COPY_STYLES: dict[str, dict[str, Any]] = {  # told apart by height as well as by color
    "primary": {"facecolor": INK, "height": 0.7},
    "sync": {"facecolor": ACCENT, "height": 0.5},
    "async": {"facecolor": SOFT, "height": 0.28},
}


def _copy_strip(panel: Panel, data: Timeline, words: Words) -> None:
    keys = [
        (words(f"timeline.copy_{name}"), {"color": style["facecolor"], "linewidth": STRIP_ROW * style["height"]})
        for name, style in COPY_STYLES.items()
    ]
    _title(panel, words("timeline.panel_copies"), keys)
    axes, centers = panel.axes, sorted(data.copies)
    axes.set_ylim(max(1, len(centers)) - 0.5, -0.5)
    if not centers:
        return _nothing(panel, words)
    axes.yaxis.set_major_locator(FixedLocator(range(len(centers))))
    axes.set_yticklabels(centers)
    axes.tick_params(axis="y", labelcolor=INK)
    for i, center in enumerate(centers):
        axes.axhline(i, color=LINE, linewidth=0.6, zorder=1)
        for span in data.copies[center]:
            style = COPY_STYLES[span.name]
            axes.barh(i, span.end_s - span.start_s, left=span.start_s, linewidth=0, zorder=2, **style)
    for span in data.unsampled:
        axes.axvspan(span.start_s, span.end_s, facecolor=PAPER, edgecolor=MUTED, hatch="xxx", linewidth=0, zorder=3)
    return None


def _phase_strip(panel: Panel, data: Timeline, words: Words) -> None:
    _title(panel, words("timeline.panel_phases"))
    panel.axes.set_ylim(1, 0)
    panel.axes.yaxis.set_major_locator(NullLocator())
    scale = panel.cut.scale(data)
    for i, span in enumerate(data.phases):
        start, end = max(span.start_s, data.start_s), min(span.end_s, data.end_s)
        if end <= start:
            continue
        panel.axes.barh(0.5, end - start, left=start, height=0.9, facecolor=SOFT if i % 2 else WASH, linewidth=0)
        name = words.or_plain(f"phases.{span.name}")
        if len(name) * CHAR < (end - start) * scale:
            panel.axes.text(start + 4 / scale, 0.52, name, va="center", size=11)


def _shade(panels: dict[str, Panel], data: Timeline, words: Words) -> None:
    """The outage behind all panels but the phases, the unprotected time across the copies, each with its name."""
    scale, rates, copies = panels["rates"].cut.scale(data), panels["rates"].axes, panels["copies"].axes
    for span in data.outages:
        for panel in (p for name, p in panels.items() if name != "phases"):
            panel.axes.axvspan(span.start_s, span.end_s, facecolor=BAD_WASH, linewidth=0, zorder=0)
        text = words("timeline.outage", duration=seconds(span.end_s - span.start_s))
        if len(text) * CHAR < (span.end_s - span.start_s) * scale:
            rates.text(span.start_s + 5 / scale, rates.get_ylim()[1] * 0.96, text, va="top", color=BAD, size=11)
    _shade_host(panels, data)
    for span in data.unprotected:
        copies.axvspan(span.start_s, span.end_s, facecolor="none", edgecolor=BAD, hatch="////", linewidth=0, zorder=1.5)


def _shade_host(panels: dict[str, Panel], data: Timeline) -> None:
    """The host's stalls from the payments down to its own panels, so that the eye sees what fell together."""
    if data.host is None:
        return
    shortest = 2 / panels["rates"].cut.scale(data)
    for name in ("rates", "latency", "delays", "shares"):
        for stall in data.host.stalls:
            end_s = max(stall.end_s, stall.start_s + shortest)
            panels[name].axes.axvspan(stall.start_s, end_s, facecolor=LINE, linewidth=0, zorder=0.5)
    for start_s, end_s in data.host.silent:
        for name in ("delays", "shares"):
            panels[name].axes.axvspan(start_s, end_s, facecolor=PAPER, edgecolor=MUTED, hatch="xxx", linewidth=0, zorder=3)


def _x_axis(axes: Axes, label: str, cut: Cut) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(cut.ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
    axes.set_xlabel(label, size=11, labelpad=4)


def place_marks(data: Timeline, words: Words, cut: Cut) -> list[Label]:
    """Rows for the labels of the marks: a staircase downwards, so that no label and no line crosses another label."""
    scale = cut.scale(data)
    placed: list[tuple[float, float, Label]] = []
    for mark in data.marks:
        text = words("timeline.mark", word=words.or_plain(f"marks.{mark.name}"), at=seconds(mark.t_s))
        x, width = cut.left + (mark.t_s - data.start_s) * scale, len(text) * CHAR + 8
        flipped = x + width > cut.width
        left, right = (x - width, x) if flipped else (x, x + width)
        row = 1 + max((p.row for low, high, p in placed if low - 2 <= right and high + 2 >= left), default=-1)
        placed.append((left, right, Label(x, row, text, flipped, mark.name)))
    return [label for _, _, label in placed]


def _draw_marks(panels: list[Panel], labels: list[Label], top: float) -> None:
    """Each mark's line, broken where a panel's title stands, then the labels on top of all lines."""
    canvas = panels[0].canvas
    for item in labels:
        strong = item.name in ("fault", "sustained")
        style = {"color": INK if strong else MUTED, "linewidth": 1.1 if strong else 0.7, "zorder": 4}
        spans = [
            (4 + item.row * ROW, top + 2),
            *((p.top, p.top + p.height) for p in panels[:-1]),
        ]  # the phases keep their names clear
        for upper, lower in spans:
            canvas.line([item.x, item.x], [upper, lower], **style)
    for item in labels:
        strong = item.name in ("fault", "sustained")
        canvas.text(
            item.x + (-4 if item.flipped else 4), 10 + item.row * ROW, item.text, ha="right" if item.flipped else "left",
            size=11.5, weight="bold" if strong else "normal", zorder=6,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip


def _hits(data: Timeline, words: Words, cut: Cut, top: float, total: float) -> tuple[Hit, ...]:
    """One transparent column a bin, with every value of that moment."""
    scale, starts = cut.scale(data), data.rates.index.to_numpy(dtype=float)
    rates, latency = data.rates.to_numpy(dtype=float), data.latency.to_numpy(dtype=float)
    lags = {node: held(frame, "bytes", starts + data.bin_s) for node, frame in data.lag.items()}
    hits = []
    for i, start in enumerate(starts):
        left, right = max(start, data.start_s), min(start + data.bin_s, data.end_s)
        if right <= left:
            continue
        told = {node: values[i] for node, values in lags.items()}
        lines = _values_at(words, float(start), rates[i], latency[i], told) + _host_at(words, data.host, i)
        text = "\n".join(lines)
        hits.append(Hit(cut.left + (left - data.start_s) * scale, top, (right - left) * scale, total - top - FOOT, text))
    return tuple(hits)


def _values_at(words: Words, t_s: float, rates: Any, latency: Any, lags: dict[str, float]) -> list[str]:
    lines = [words("timeline.hover_at", at=f"{t_s:.1f}".replace("-", "−"))]
    if np.isnan(rates[0]):
        lines.append(words("timeline.hover_gap"))
    else:
        lines.append(words("timeline.hover_rates", acknowledged=f"{rates[0]:,.0f}", errors=f"{rates[1]:,.0f}"))
    if not np.isnan(latency[0]):
        lines.append(words("timeline.hover_latency", p50=f"{latency[0]:,.0f}", p99=f"{latency[1]:,.0f}"))
    lines += [words("timeline.hover_lag", node=n, lag=f"{lag:,.0f}") for n, lag in lags.items() if not np.isnan(lag)]
    return lines


def _host_at(words: Words, host: Host | None, i: int) -> list[str]:
    if host is None:
        return []
    delays, shares = host.delays.iloc[i], host.shares.iloc[i]
    told = {name: delays[name] for name in ("sync", "wake") if not np.isnan(delays[name])}
    lines = [words("host.hover_delay", name=words(f"host.{name}"), ms=f"{value:,.1f}") for name, value in told.items()]
    if not np.isnan(shares["foreign"]):
        lines.append(words("host.hover_foreign", share=f"{shares['foreign']:.0f}"))
    return lines


# --- where the time went -----------------------------------------------------

SEGMENTS = ("detect", "decide", "promote", "reroute", "warm_up")
_TINTS = (ACCENT, SOFT, INK, MUTED, ACCENT)


def segments_chart(fault: FaultMeasurement, words: Words, cut: Cut, *, label: str, desc: str) -> Markup:
    """The segments of the RTO as one bar; each name on a row of its own below, so that narrow segments keep theirs."""
    begin_s = recovering_from_s(fault)
    shown = [Span(s.start_s - begin_s, s.end_s - begin_s, s.name) for s in segment_spans(fault) if s.end_s > s.start_s]
    total = max((span.end_s for span in shown), default=1.0)
    with drawing(f"segments-{fault.id}-{cut.name}"):
        canvas = Canvas(cut.width, 44 + 22 * len(shown))
        scale = (cut.width - 2) / total
        for i, span in enumerate(shown):
            _segment(canvas, span, words, scale, 48 + 22 * (len(shown) - 1 - i))
        for span in shown:
            early_s = uncertain_from(fault, span)
            _uncertain(canvas, early_s, span, scale)
        return inline(canvas.figure, label=label, desc=desc, css=cut.name)


def _segment(canvas: Canvas, span: Span, words: Words, scale: float, y: float) -> None:
    """A block of the bar, and its name at height `y` with a line up to it."""
    left, width = 1 + span.start_s * scale, (span.end_s - span.start_s) * scale
    gap = 1.5 if width > 6 else 0
    canvas.rectangle(left, 4, max(width - gap, 1), 26, facecolor=_TINTS[SEGMENTS.index(span.name)])
    name = words.or_plain(f"segments.{span.name}")
    text = words("segments.label", name=name, duration=seconds(span.end_s - span.start_s))
    anchor = left + min(width / 2, 12)
    flipped = anchor + len(text) * CHAR + 10 > canvas.width
    canvas.line([anchor, anchor], [30, y + 4], color=MUTED, linewidth=0.8)
    canvas.text(
        anchor + (-5 if flipped else 5), y, text, ha="right" if flipped else "left", size=12, zorder=5,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


def _uncertain(canvas: Canvas, from_s: float | None, span: Span, scale: float) -> None:
    """Hatches the part of the bar in which the border may lie."""
    if from_s is None or (span.end_s - from_s) * scale < 2:
        return
    left, right = 1 + max(from_s, 0.0) * scale, 1 + span.end_s * scale
    canvas.rectangle(left, 4, right - left, 26, facecolor="none", edgecolor=PAPER, hatch="/////")


def uncertain_from(fault: FaultMeasurement, span: Span) -> float | None:
    """The earliest that the end of a segment may lie, seconds from the fault; None when its record says no more."""
    border = next((b for b in fault.borders if b.segment == span.name), None)
    if border is None or border.from_ns is None or border.from_ns >= border.t_ns or "not seen" in border.source:
        return None
    return span.end_s - (border.t_ns - border.from_ns) / 1e9


def border_notes(fault: FaultMeasurement, segment: str) -> list[str]:
    """What other records say of the same border, where they say something else."""
    border = next((b for b in fault.borders if b.segment == segment), None)
    return list(border.notes) if border else []


def segment_spans(fault: FaultMeasurement) -> list[Span]:
    """The segments in order, seconds from the fault, zero-length ones included."""
    spans, at = [], recovering_from_s(fault)
    for name in SEGMENTS:
        length = getattr(fault.phases, f"{name}_s")
        if length is not None:
            spans.append(Span(at, at + length, name))
            at += length
    return spans
