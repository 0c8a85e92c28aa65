"""What the charts show, worked out of the evidence: frames and plain values, no drawing.

Times are seconds from the first fault (from the probe's start when there was none), as floats.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from judging.measure import FaultMeasurement, Measurement
from reports.host import Host, host
from reports.primaries import reigning
from reports.sources import Sources

SAMPLE_GAP_S = 2.0  # docs/evidence.md: over 2 s without a sample is time that nothing is known of
BIN_WIDTHS_S = (0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
MARKS = ("fault", "detected", "promoted", "first_payment", "sustained", "healed", "redundant")  # in order, at a tie
BINS = 240  # a column stays wider than 3 px at full width


@dataclass(frozen=True)
class Mark:
    """A moment with a word: `name` is a key of the catalogue's `[marks]`."""

    name: str
    t_s: float


@dataclass(frozen=True)
class Span:
    start_s: float
    end_s: float
    name: str = ""


@dataclass(frozen=True)
class Timeline:
    """Everything under the one x-axis."""

    start_s: float
    end_s: float
    bin_s: float
    rates: pd.DataFrame  # index: start of the bin; acknowledged, errors per second; NaN where nothing was recorded
    latency: pd.DataFrame  # index as above; p50, p99 in ms; NaN where nothing was acknowledged
    lag: dict[str, pd.DataFrame]  # by standby: t_s, bytes; NaN at gaps
    copies: dict[str, list[Span]]  # by center; name is primary | sync | async
    phases: list[Span]
    marks: list[Mark]
    outages: list[Span]
    unprotected: list[Span]
    unsampled: list[Span]
    baseline_per_s: float | None = None
    faulted: bool = True  # whether second 0 is a fault
    host: Host | None = None  # None: no witness watched the host


@dataclass(frozen=True)
class Clockwork:
    """Turns nanoseconds of the host's clock into seconds from the first fault."""

    origin_ns: int

    def s(self, t_ns: float) -> float:
        return (t_ns - self.origin_ns) / 1e9


@dataclass
class Copies:
    """What each primary sample said about who held a copy."""

    spans: dict[str, list[Span]] = field(default_factory=dict)
    lag: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    unprotected: list[Span] = field(default_factory=list)
    unsampled: list[Span] = field(default_factory=list)
    holders: list[tuple[float, set[str]]] = field(default_factory=list)  # at each primary sample: centers with a copy


def clockwork(sources: Sources, measurement: Measurement) -> Clockwork:
    if measurement.faults:
        return Clockwork(min(fault.before_ns for fault in measurement.faults))
    if len(sources.probe):
        return Clockwork(int(sources.probe["due_ns"].min()))
    if sources.events:
        return Clockwork(sources.events[0].t_ns)
    return Clockwork(sources.plan.clock.monotonic_ns)


def timeline(sources: Sources, measurement: Measurement, clock: Clockwork) -> Timeline:
    copies = _copies(sources, clock)
    marks = _marks(sources, measurement, clock, copies)
    start_s, end_s = _extent(sources, marks, clock)
    bin_s = next((w for w in BIN_WIDTHS_S if (end_s - start_s) / w <= BINS), BIN_WIDTHS_S[-1])
    edges = np.arange(math.floor(start_s / bin_s) * bin_s, end_s + bin_s, bin_s)
    return Timeline(
        start_s=start_s,
        end_s=end_s,
        bin_s=bin_s,
        rates=_rates(sources, clock, edges),
        latency=_latency(sources, clock, edges),
        lag={node: _lag_frame(points) for node, points in sorted(copies.lag.items())},
        copies=copies.spans,
        phases=_phases(sources, clock, end_s),
        marks=[m for m in marks if start_s <= m.t_s <= end_s],
        outages=_outages(measurement, clock),
        unprotected=copies.unprotected,
        unsampled=copies.unsampled,
        baseline_per_s=measurement.baseline_rate_per_s,
        faulted=bool(measurement.faults),
        host=host(sources.witness, sources.cores, clock.origin_ns, edges),
    )


def _extent(sources: Sources, marks: list[Mark], clock: Clockwork) -> tuple[float, float]:
    """From the first payment to the last payment or mark: what comes before and after says nothing of service."""
    times = [mark.t_s for mark in marks]
    for frame in (sources.probe, sources.ledger):
        if len(frame):
            times += [clock.s(frame["due_ns"].min()), clock.s(frame["done_ns"].max())]
    if not (len(sources.probe) or len(sources.ledger)):
        times += [clock.s(event.t_ns) for event in sources.events]
    times = times or [0.0]
    low, high = min(times), max(times)
    return (low, high) if high - low >= 1 else (low - 0.5, low + 0.5)


def _payments(sources: Sources) -> pd.DataFrame:
    frames = [f[["due_ns", "done_ns", "outcome"]] for f in (sources.probe, sources.ledger) if len(f)]
    return pd.concat(frames) if frames else pd.DataFrame({"due_ns": [], "done_ns": [], "outcome": []})


def _count(times_s: Any, edges: Any) -> Any:
    return np.histogram(np.asarray(times_s, dtype=float), bins=edges)[0]


def _rates(sources: Sources, clock: Clockwork, edges: Any) -> pd.DataFrame:
    """Acknowledged and failed payments per second, by when the customer knew."""
    payments = _payments(sources)
    width = edges[1] - edges[0]
    done = (payments["done_ns"].astype(float) - clock.origin_ns) / 1e9
    acknowledged = payments["outcome"] == "acknowledged"
    frame = pd.DataFrame(
        {
            "acknowledged": _count(done[acknowledged], edges) / width,
            "errors": _count(done[~acknowledged], edges) / width,
        },
        index=edges[:-1],
    )
    due = (payments["due_ns"].astype(float) - clock.origin_ns) / 1e9
    recorded = (_count(due, edges) > 0) | (frame["acknowledged"] > 0) | (frame["errors"] > 0)
    return frame.where(recorded)  # a bin in which nothing was due or answered was not recorded: a gap, not a zero


def _latency(sources: Sources, clock: Clockwork, edges: Any) -> pd.DataFrame:
    """p50 and p99 of the acknowledged payments, from the moment each was due, by that moment."""
    index = pd.Index(edges[:-1])
    probe = sources.probe if len(sources.probe) else sources.ledger
    answered = probe[probe["outcome"] == "acknowledged"]
    if not len(answered):
        return pd.DataFrame({"p50": np.nan, "p99": np.nan}, index=index)
    due_s = (answered["due_ns"].astype(float) - clock.origin_ns) / 1e9
    waited_ms = (answered["done_ns"] - answered["due_ns"]).astype(float) / 1e6
    bins = pd.Series(np.clip(np.digitize(due_s, edges) - 1, 0, len(index) - 1), index=answered.index)
    grouped = waited_ms.groupby(bins).quantile(np.array([0.5, 0.99])).unstack()
    grouped.columns = pd.Index(["p50", "p99"])
    return grouped.reindex(range(len(index))).set_axis(index)


# --- who held a copy ---------------------------------------------------------


def centers_of(plan_topology: dict[str, Any]) -> dict[str, str]:
    """The center of each node, by name."""
    return {
        str(node.get("name", "")): str(center.get("name", ""))
        for center in plan_topology.get("centers", [])
        for node in center.get("nodes", [])
    }


def _copies(sources: Sources, clock: Clockwork) -> Copies:
    found = Copies()
    center_of = centers_of(sources.plan.topology)
    spelled = {re.sub(r"\W|_", "-", node): node for node in center_of}  # application_name may say dc1_a for dc1-a
    rows = reigning(sources.samples)
    _unsampled(sources.samples, clock, found)
    ends = [clock.s(row.t_ns) for row in rows[1:]] + ([clock.s(rows[-1].t_ns)] if rows else [])
    acknowledged = _acknowledged_at(sources, clock)
    before: tuple[float, bool] | None = None
    for row, end_s in zip(rows, ends, strict=True):
        start_s = clock.s(row.t_ns)
        end_s = end_s if end_s - start_s <= SAMPLE_GAP_S else start_s  # after a gap nothing is known
        entries = _replication(row.replication, spelled)
        states = {center_of.get(row.node, "?"): "primary"}
        for entry in entries:
            _note(found, states, entry, center_of, start_s, row.flush_lsn)
        found.holders.append((start_s, set(states)))
        for center, state in states.items():
            _extend(found.spans.setdefault(center, []), Span(start_s, end_s, state))
        guarded = _guarded(str(row.sync_names), row.node, center_of, spelled)
        if before and start_s - before[0] <= SAMPLE_GAP_S and not (guarded and before[1]):
            lone = np.searchsorted(acknowledged, [before[0], start_s])
            if lone[1] > lone[0]:
                _extend(found.unprotected, Span(before[0], start_s))
        before = (start_s, guarded)
    return found


def _acknowledged_at(sources: Sources, clock: Clockwork) -> Any:
    payments = _payments(sources)
    done = payments.loc[payments["outcome"] == "acknowledged", "done_ns"].astype(float)
    return np.sort((done.to_numpy() - clock.origin_ns) / 1e9)


def _replication(text: Any, spelled: dict[str, str]) -> list[dict[str, Any]]:
    try:
        entries = json.loads(text) if isinstance(text, str) and text else []
    except ValueError:
        return []
    known = [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    return [{**e, "name": spelled.get(re.sub(r"\W|_", "-", str(e.get("name"))), str(e.get("name")))} for e in known]


def _note(
    found: Copies, states: dict[str, str], entry: dict[str, Any], center_of: dict[str, str], t_s: float, flush: Any
) -> None:
    node = entry["name"]
    if node not in center_of or entry.get("state") != "streaming":
        return
    state = "sync" if entry.get("sync_state") in ("sync", "quorum") else "async"
    center = center_of[node]
    if states.get(center) != "primary" and states.get(center) != "sync":
        states[center] = state
    if isinstance(entry.get("flush_lsn"), int) and not pd.isna(flush):
        found.lag.setdefault(node, []).append((t_s, max(0.0, float(flush) - entry["flush_lsn"])))


def _guarded(sync_names: str, primary: str, center_of: dict[str, str], spelled: dict[str, str]) -> bool:
    """Whether a commit must wait for a copy outside the primary's center (docs/evidence.md, Unprotected)."""
    match = re.fullmatch(r"\s*(?:(?:ANY|FIRST)\s+)?(\d+)\s*\((.*)\)\s*", sync_names, re.IGNORECASE)
    demanded, names = (int(match[1]), match[2]) if match else (1, sync_names)
    listed = [n.strip().strip('"') for n in names.split(",") if n.strip()]
    if not listed:
        return False
    here = center_of.get(primary)
    if "*" in listed:
        listed = [node for node in center_of if node != primary]
    nodes = [spelled.get(re.sub(r"\W|_", "-", name), name) for name in listed]
    return demanded > sum(center_of.get(node) == here for node in nodes)


def _extend(spans: list[Span], span: Span) -> None:
    last = spans[-1] if spans else None
    if last and last.name == span.name and span.start_s - last.end_s < 0.001:
        spans[-1] = Span(last.start_s, span.end_s, span.name)
    elif span.end_s > span.start_s:
        spans.append(span)


def _unsampled(samples: pd.DataFrame, clock: Clockwork, found: Copies) -> None:
    if len(samples) < 2:
        return
    times = np.sort(samples["t_ns"].to_numpy(dtype=float))
    for i in np.nonzero(np.diff(times) > SAMPLE_GAP_S * 1e9)[0]:
        found.unsampled.append(Span(clock.s(times[i]), clock.s(times[i + 1])))


def _lag_frame(points: list[tuple[float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(points, columns=["t_s", "bytes"]).drop_duplicates("t_s")
    gaps = frame["t_s"].diff() > SAMPLE_GAP_S
    holes = pd.DataFrame({"t_s": frame["t_s"].shift()[gaps] + 0.001, "bytes": np.nan})
    return pd.concat([frame, holes]).sort_values("t_s").reset_index(drop=True) if len(holes) else frame


# --- marks, phases, outages --------------------------------------------------


def _marks(sources: Sources, measurement: Measurement, clock: Clockwork, copies: Copies) -> list[Mark]:
    marks = []
    for fault in measurement.faults:
        marks.append(Mark("fault", clock.s(fault.before_ns)))
        marks += _recovery_marks(fault, clock)
    for event in sources.of_kind("healed"):
        marks.append(Mark("healed", clock.s(event.t_ns)))
    if measurement.faults and (again := _redundant_again(copies)) is not None:
        marks.append(Mark("redundant", again))
    return sorted(set(marks), key=lambda mark: (mark.t_s, MARKS.index(mark.name)))


def _recovery_marks(fault: FaultMeasurement, clock: Clockwork) -> list[Mark]:
    if not fault.disturbed:
        return []
    borders = {b.segment: clock.s(b.t_ns) for b in fault.borders if "not seen" not in b.source}
    marks = [Mark(name, borders[seg]) for seg, name in (("detect", "detected"), ("promote", "promoted")) if seg in borders]
    start = clock.s(fault.before_ns)
    if fault.rto_first_success_s is not None:
        marks.append(Mark("first_payment", start + fault.rto_first_success_s))
    if fault.rto_s is not None:
        marks.append(Mark("sustained", start + recovering_from_s(fault) + fault.rto_s))
    return marks


def recovering_from_s(fault: FaultMeasurement) -> float:
    """Where the stretch that is the RTO begins, seconds from the fault: later when a relapse was longer."""
    return float(getattr(fault, "rto_from_s", 0.0))


def _redundant_again(copies: Copies) -> float | None:
    """When every center that held a copy before the first fault held one again, for good. None: never, or never lost."""
    before = {center for t_s, held in copies.holders if t_s < 0 for center in held}
    after = [(t_s, before <= held) for t_s, held in copies.holders if t_s >= 0]
    lacking = [i for i, (_, whole) in enumerate(after) if not whole]
    if not lacking or lacking[-1] == len(after) - 1:
        return None
    return after[lacking[-1] + 1][0]


def _phases(sources: Sources, clock: Clockwork, end_s: float) -> list[Span]:
    begun = sources.of_kind("phase")
    ends = [clock.s(e.t_ns) for e in begun[1:]] + [max(end_s, clock.s(begun[-1].t_ns))] if begun else []
    return [Span(clock.s(e.t_ns), end, str(e.data.get("name", ""))) for e, end in zip(begun, ends, strict=True)]


def _outages(measurement: Measurement, clock: Clockwork) -> list[Span]:
    """Each stretch of time out of order. Version 1 knows one a fault, from the fault to the last return."""
    spans = []
    for fault in measurement.faults:
        start = clock.s(fault.before_ns)
        if not fault.disturbed:
            continue
        stretches: list[Any] = getattr(fault, "episodes", [])
        if not stretches:
            spans.append(Span(start, start + (fault.observed_s if fault.rto_s is None else fault.rto_s)))
        for one in stretches:
            end_s = fault.observed_s if one.lasted_s is None else one.began_s + one.lasted_s
            spans.append(Span(start + one.began_s, start + end_s))
    return spans


def held(frame: pd.DataFrame, column: str, times_s: Any) -> Any:
    """The value in force at each time: that of the last row before it; NaN before the first row and in a gap."""
    places = np.searchsorted(frame["t_s"].to_numpy(), times_s, side="right") - 1
    return np.where(places < 0, np.nan, frame[column].to_numpy(dtype=float)[np.maximum(places, 0)])
