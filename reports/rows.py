"""The tables of the report as plain rows, ready to print: every value already a string with its unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import pandas as pd

from judging.edges import EdgeFigures
from judging.judge import Verdict
from judging.measure import Measurement
from judging.sentence import seconds, what_happened
from reports.figures import Clockwork
from reports.sources import Sources
from reports.words import Words

LOST_SHOWN = 20


class Interval(Protocol):
    """Where a figure's true value lies, in its unit; None: no bound is known on that side."""

    low: float | None
    high: float | None
    reasons: list[str]


@dataclass(frozen=True)
class Bar:
    """Places along a bar, shares of its length; `target` is where the figure may reach."""

    value: float
    low: float
    high: float
    target: float


@dataclass(frozen=True)
class Guard:
    """A figure's interval, in its own unit: where the true value lies. None: no bound is known on that side."""

    low: float | None
    high: float | None
    low_text: str
    high_text: str
    between: str  # `21.6 – 22.0 s`
    reasons: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return self.low is not None and self.low == self.high


@dataclass(frozen=True)
class FigureRow:
    """A figure against its target. `state` is met, missed, untold or no_target; `used` a share of the target."""

    key: str
    value: float | None
    wanted: float | None
    measured: str
    target: str
    margin: str
    resolution: str
    state: str
    used: float | None
    basis: str
    source: str
    guard: Guard | None = None  # None: the evidence gives no interval (version 1)
    bar: Bar | None = None
    at_least: bool = False

    @property
    def undecided(self) -> bool:
        """The target lies inside the interval: the figure is known, and not well enough."""
        return self.state == "untold" and self.guard is not None and (self.value is not None or self.guard.low is not None)


@dataclass(frozen=True)
class _Figure:
    key: str
    value: float | None
    target: float | None
    show: Callable[[float], str]
    resolution: str
    source: str
    at_least: bool = False  # availability: more is better
    interval: Interval | None = None


def figure_rows(sources: Sources, measurement: Measurement, verdict: Verdict, words: Words) -> list[FigureRow]:
    targets = verdict.targets
    probe_step = sources.plan.load.probe_interval_ms / 1000
    sample_step = _sample_step(sources)
    by_probe = seconds(probe_step)
    by_sample = words("figures.unknown") if sample_step is None else seconds(sample_step)
    by_rto = words("figures.unknown")
    if measurement.rto_resolution_s is not None:
        by_rto = seconds(measurement.rto_resolution_s)
    one = words("figures.one_payment")
    share = words("figures.one_payment_share")
    figures = [
        _Figure("rto_s", measurement.rto_s, targets.rto_s, seconds, by_rto, "probe.csv, events.jsonl"),
        _Figure("rto_first_success_s", measurement.rto_first_success_s, None, seconds, by_rto, "probe.csv, events.jsonl"),
        _Figure("rpo_s", measurement.rpo_s, targets.rpo_s, seconds, by_probe, "probe.csv, ledger.csv, copies/"),
        _Figure("lost_transactions", measurement.lost_transactions, targets.lost_transactions, _count, one,
                "probe.csv, ledger.csv, copies/"),
        _Figure("interruption_s", measurement.interruption_s, targets.interruption_s, seconds, by_probe, "probe.csv"),
        _Figure("detect_s", measurement.detect_s, targets.detect_s, seconds, by_sample, "events.jsonl"),
        _Figure("availability", measurement.availability, targets.availability, _percent, share, "probe.csv", True),
        _Figure("unprotected_s", measurement.unprotected_s, targets.unprotected_s, seconds, by_sample,
                "samples.csv, probe.csv, ledger.csv"),
    ]  # fmt: skip
    if targets.p99_back_s is not None:
        figures += [
            _Figure("p99_back_s", measurement.p99_back_s, targets.p99_back_s, seconds, by_probe, "probe.csv, events.jsonl")
        ]
    if measurement.edges is not None:
        figures += _at_edges(measurement.edges, by_probe, one)
    intervals: dict[str, Interval | None] = getattr(verdict.measured, "intervals", None) or {}  # version 1 has none
    return [_figure_row(replace(f, interval=intervals.get(f.key)), targets.basis, words) for f in figures]


def _at_edges(seen: EdgeFigures, by_probe: str, one: str) -> list[_Figure]:
    """What customers had of edges that authorise by themselves."""
    source = "edges/, probe.csv, ledger.csv"
    return [
        _Figure("edge_authorised", seen.authorised, None, _count, one, source),
        _Figure("edge_elsewhere", seen.elsewhere, None, _count, one, source),
        _Figure("edge_latency_p50_s", seen.latency_p50_s, None, seconds, by_probe, source),
        _Figure("edge_latency_p99_s", seen.latency_p99_s, None, seconds, by_probe, source),
        _Figure("edge_refused", seen.refused, None, _count, one, source),
        _Figure("edge_refused_p99_s", seen.refused_p99_s, None, seconds, by_probe, source),
        _Figure("edge_small_refused", seen.small_refused, None, _count, one, source),
        _Figure("edge_forwarded_s", seen.forwarded_s, None, seconds, by_probe, "edges/, events.jsonl"),
    ]


def _figure_row(figure: _Figure, basis: dict[str, str], words: Words) -> FigureRow:
    value, target = figure.value, figure.target
    margin, used = "", None
    if value is not None and target is not None:
        room = value - target if figure.at_least else target - value
        margin = ("+" if room > 0 else "−" if room < 0 else "") + figure.show(abs(room)).replace(" %", " pp")
        spent, allowed = (1 - value, 1 - target) if figure.at_least else (value, target)
        used = spent / allowed if allowed > 0 else (0.0 if spent <= 0 else 1.0 + spent)
    return FigureRow(
        key=figure.key,
        value=value,
        wanted=target,
        guard=None if figure.interval is None else _guard(figure, figure.interval, words),
        bar=_bar(figure),
        at_least=figure.at_least,
        measured=words("figures.not_told") if value is None else figure.show(value),
        target=words("figures.no_target") if target is None else _target(figure, target),
        margin=margin,
        resolution=figure.resolution if value is not None else "",
        state=_state(figure),
        used=used,
        basis=basis.get(figure.key, ""),
        source=figure.source,
    )


def _state(figure: _Figure) -> str:
    """Met when the whole interval meets the target, missed when the whole interval misses it. Without one: the figure."""
    target, known = figure.target, figure.interval
    if target is None:
        return "no_target"
    best, worst = (figure.value, figure.value) if known is None else (known.low, known.high)
    if figure.at_least:
        best, worst = worst, best
    within: Callable[[float], bool] = (lambda v: v >= target) if figure.at_least else (lambda v: v <= target)
    if worst is not None and within(worst):
        return "met"
    return "missed" if best is not None and not within(best) else "untold"


def _guard(figure: _Figure, interval: Interval, words: Words) -> Guard:
    low, high = interval.low, interval.high
    low_text, high_text = _apart(figure, low, high)
    if low is None or high is None:
        known = low_text if high is None else high_text
        key = "figures.from_on" if high is None else "figures.up_to"
        between = words(key, bound=known) if known else words("figures.no_bound")
    elif low == high:
        between = words("figures.exact")
    else:
        unit = low_text.rpartition(" ")[2] if " " in low_text else ""
        between = words("figures.between", low=low_text.removesuffix(f" {unit}"), high=high_text)
    return Guard(low, high, low_text, high_text, between, tuple(interval.reasons))


def _apart(figure: _Figure, low: float | None, high: float | None) -> tuple[str, str]:
    """Both ends with as many digits as it takes to tell them from each other and from the target."""
    ends = [low, high]
    if not figure.key.endswith("_s"):
        return ("" if low is None else figure.show(low), "" if high is None else figure.show(high))
    wanted = [v for v in (low, high, figure.target) if v is not None]
    first = min((_digits(v) for v in wanted), default=1)
    digits = next((d for d in range(first, 3) if len({round(v, d) for v in wanted}) == len(set(wanted))), 3)
    low_text, high_text = ("" if end is None else f"{end:,.{digits}f} s".replace("-", "−") for end in ends)
    return low_text, high_text


def _digits(value: float) -> int:
    return len(seconds(value).removesuffix(" s").partition(".")[2])


def _bar(figure: _Figure) -> Bar | None:
    """The bar reaches past the target by a quarter, or as far as the interval; none where nothing at all is allowed."""
    if figure.value is None or figure.target is None:
        return None
    low, high = figure.value, figure.value
    if figure.interval is not None:
        low = figure.value if figure.interval.low is None else figure.interval.low
        high = figure.value if figure.interval.high is None else figure.interval.high
    if figure.at_least:
        allowed, spent, low, high = 1 - figure.target, 1 - figure.value, 1 - high, 1 - low
    else:
        allowed, spent = figure.target, figure.value
    if allowed <= 0:
        return None
    whole = max(1.25 * allowed, high, spent)
    return Bar(spent / whole, max(0.0, low / whole), high / whole, allowed / whole)


def _target(figure: _Figure, target: float) -> str:
    sign = "≥" if figure.at_least else "≤"
    return f"{sign} {target:,g} s" if figure.key.endswith("_s") else f"{sign} {figure.show(target)}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    return f"{share * 100:.3f} %"


def _sample_step(sources: Sources) -> float | None:
    """The usual time between two samples of one node, seconds."""
    samples = sources.samples
    if len(samples) < 3:
        return None
    steps = samples.sort_values("t_ns").groupby("node")["t_ns"].diff().dropna()
    return float(steps.median()) / 1e9 if len(steps) else None


def ledger_rows(measurement: Measurement, words: Words) -> list[dict[str, Any]]:
    """One row a source and their sum; `adds_up` compares each sum with its parts (None: a part is not known)."""
    rows = [source.model_dump() for source in measurement.sources]
    if len(rows) > 1:
        total: dict[str, Any] = {k: _sum([row[k] for row in rows]) for k in rows[0] if k != "source"}
        rows.append({**total, "source": words("ledger.all")})
    for row in rows:
        told = _sum([row["acknowledged_present"], row["lost"]])
        unknown = _sum([row["unknown_committed"], row["unknown_absent"]])
        sent = row["acknowledged"] + row["refused"] + row["unknown"]
        looked_up = (row["sent"], row["acknowledged"], row["unknown"]) == (sent, told, unknown)
        row["adds_up"] = None if told is None or unknown is None else looked_up
    return rows


def _sum(parts: list[int | None]) -> int | None:
    """None when a part is not known: without a copy that counts, nothing can be looked up."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def side_rows(measurement: Measurement, words: Words) -> list[dict[str, str]]:
    """A row for each fault and side: what that side's customers saw. None where no side has customers of its own."""
    return [
        {
            "fault": what_happened(fault, words.sentence),
            "side": side.center,
            "rto": words("sides.not_back") if side.rto_s is None else seconds(side.rto_s),
            "pause": "–" if side.interruption_s is None else seconds(side.interruption_s),
            "in_order": "–" if side.availability is None else _percent(side.availability),
        }
        for fault in measurement.faults
        for side in fault.sides
    ]


def proof_blocks(sources: Sources, measurement: Measurement, clock: Clockwork) -> list[dict[str, Any]]:
    """For each fault: when it was read back, each check, and the payments that were due through it."""
    proofs = {str(e.data.get("id", "")): e for e in sources.of_kind("proof")}
    blocks = []
    for fault in measurement.faults:
        event = proofs.get(fault.id)
        checks = [c for c in event.data.get("checks", []) if isinstance(c, dict)] if event else []
        blocks.append(
            {
                "fault": fault,
                "at": seconds((event.t_ns - fault.before_ns) / 1e9) if event else None,
                "wall": event.wall if event else "",
                "window": seconds((fault.after_ns - fault.before_ns) / 1e9),
                "started": seconds(clock.s(fault.before_ns)),
                "checks": sorted(checks, key=lambda c: str(c.get("side", "")), reverse=True),
                "customers": _through(sources.ledger, fault.before_ns, fault.window_end_ns),
            }
        )
    return blocks


def _through(frame: pd.DataFrame, from_ns: int, to_ns: int) -> int:
    return int(frame["due_ns"].between(from_ns, to_ns).sum()) if len(frame) else 0


def reach_grids(sources: Sources, clock: Clockwork) -> list[dict[str, Any]]:
    """Each reach event as a grid: rows dial, columns answer; None where nothing was dialled."""
    grids = []
    for event in sources.of_kind("reach"):
        cells = {
            (str(c.get("source")), str(c.get("target"))): bool(c.get("ok"))
            for c in event.data.get("cells", [])
            if isinstance(c, dict)
        }
        names = [str(c.get("name")) for c in sources.plan.topology.get("centers", [])]
        rows = list(dict.fromkeys([*[n for n in names if any(n == s for s, _ in cells)], *[s for s, _ in cells]]))
        columns = list(dict.fromkeys([*[n for n in names if any(n == t for _, t in cells)], *[t for _, t in cells]]))
        lines = [(source, [cells.get((source, target)) for target in columns]) for source in rows]
        cut = sum(not ok for ok in cells.values())
        moment = str(event.data.get("moment", ""))
        grids.append({"moment": moment, "at": seconds(clock.s(event.t_ns)), "columns": columns, "lines": lines, "cut": cut})
    return grids


def setting_rows(values: dict[str, Any], skip: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Names and values of a mapping; what is nested goes one level down by `name.inner`."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if name in skip:
            continue
        if isinstance(value, dict) and value:
            rows += [(f"{name}.{inner}", _plain(v)) for inner, v in value.items()]
        else:
            rows.append((str(name), _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | dict):
        return ", ".join(map(str, value)) if _flat(value) else json.dumps(value, ensure_ascii=False)
    return str(value)


def _flat(value: list[Any] | dict[str, Any]) -> bool:
    return isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)
