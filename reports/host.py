"""What the host itself did while the drill ran, as its witness saw it from outside all containers: witness.csv.

Times are seconds from the first fault. The thresholds of a stall are the judge's: what is drawn as the host's is what the
verdict takes for the host's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from judging.host import IDLE_SHARE, OTHERS_SHARE, QUICK_MAX, SLOW_IN_A_ROW, SLOW_SYNC_NS, SYNC_LONG_NS, WAKE_LATE_NS
from reports.words import Words

SILENT_S = 2.0  # the witness writes several rows a second: after this long without one it saw nothing
STALLS = {"disk": "sync", "core": "wake", "cores": "cpu"}  # what stalled, by the kind of row that tells it


@dataclass(frozen=True)
class Stall:
    """A time in which the host held everybody up.

    `kind`: disk, slow (the disk, write after write), core (one of them), cores (all, taken by others).
    """

    kind: str
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Host:
    """The witness's panels. Frames are indexed by the start of a bin; NaN where it wrote nothing."""

    delays: pd.DataFrame  # wake, sync: the longest in that bin, ms
    shares: pd.DataFrame  # foreign, io, cpu: percent of the host's processors, or of the time
    stalls: list[Stall]
    silent: list[tuple[float, float]]  # from, to: where it wrote nothing for long, and nobody knows


def host(witness: pd.DataFrame | None, cores: int, origin_ns: int, edges: Any) -> Host | None:
    """None where no witness ran: what it would have seen isn't known. `edges`: of the bins, seconds from `origin_ns`."""
    if witness is None or not len(witness):
        return None
    start_s, end_s = float(edges[0]), float(edges[-1])
    inside = (witness["to_ns"] > origin_ns + start_s * 1e9) & (witness["from_ns"] < origin_ns + end_s * 1e9)
    seen = [_row(record, cores, origin_ns) for record in witness[inside].itertuples()]
    delays = {
        "wake": _largest(_told(seen, "wake", lambda r: r.late_ms), edges),
        "sync": _largest(_told(seen, "sync", lambda r: r.late_ms), edges),
    }
    shares = {
        "foreign": _largest(_told(seen, "cpu", _foreign), edges),
        "io": _largest(_told(seen, "pressure", lambda r: _share(r, "io_some_us")), edges),
        "cpu": _largest(_told(seen, "pressure", lambda r: _share(r, "cpu_some_us")), edges),
    }
    stalls = [stall for kind, told_by in STALLS.items() for stall in _joined(kind, _stalled(seen, told_by))]
    stalls += _joined("slow", _slow(seen))
    return Host(
        delays=pd.DataFrame(delays, index=edges[:-1]),
        shares=pd.DataFrame(shares, index=edges[:-1]),
        stalls=sorted(stalls, key=lambda s: (s.start_s, s.kind)),
        silent=_silences(seen, start_s, end_s),
    )


def what_to_see(host: Host, words: Words) -> str:
    """`The host's disk stalled for 1.1 s at +29.6 s`, with how often more; `The host was quiet`."""
    if not host.stalls:
        return words("host.quiet_unwatched" if host.silent else "host.quiet")
    longest = max(host.stalls, key=lambda s: s.length_s)
    text = words(f"host.title_{longest.kind}", duration=took(longest.length_s), at=signed(longest.start_s))
    return text if len(host.stalls) == 1 else words("host.title_more", first=text, count=len(host.stalls) - 1)


def took(length_s: float) -> str:
    """`1.1 s`, `350 ms`: as the reasons of an interval say it."""
    return f"{length_s:,.1f} s" if length_s >= 1 else f"{length_s * 1000:.0f} ms"


def signed(at_s: float) -> str:
    """`+29.6 s`, `−3.0 s`: a moment beside the first fault."""
    return ("−" if at_s < 0 else "+") + f"{abs(at_s):,.1f} s"


@dataclass(frozen=True)
class _Row:
    """One row of the witness. A wake lies at the moment when the latest thread was due and came, not at its span."""

    kind: str
    from_s: float
    to_s: float
    late_ms: float
    capacity_ns: float  # what the cores can do in that time
    data: dict[str, Any]


def _row(record: Any, cores: int, origin_ns: int) -> _Row:
    late_ns = float("nan") if pd.isna(record.late_ns) else float(record.late_ns)
    needed = record.kind != "wake" or late_ns >= WAKE_LATE_NS  # a run has some hundred thousand wakes in time
    data = _data(record.data) if needed else {}
    due_ns, came_ns = record.from_ns, record.to_ns
    if record.kind == "wake" and isinstance(data.get("at_ns"), int) and not pd.isna(record.late_ns):
        due_ns, came_ns = data["at_ns"], data["at_ns"] + int(record.late_ns)
    capacity_ns = (record.to_ns - record.from_ns) * cores
    return _Row(record.kind, (due_ns - origin_ns) / 1e9, (came_ns - origin_ns) / 1e9, late_ns / 1e6, capacity_ns, data)


def _data(text: Any) -> dict[str, Any]:
    try:
        data = json.loads(text) if isinstance(text, str) and text else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _number(row: _Row, name: str) -> float:
    value = row.data.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def _foreign(row: _Row) -> float:
    """Percent of the cores that neither our containers nor the harness used; NaN where it can't be known."""
    steal = _number(row, "steal_ns")
    taken = _number(row, "busy_ns") - _number(row, "ours_ns") + (0.0 if np.isnan(steal) else steal)
    return min(100.0, max(0.0, 100 * taken / row.capacity_ns)) if row.capacity_ns > 0 else float("nan")


def _share(row: _Row, name: str) -> float:
    """Percent of the time in which at least one task waited."""
    length_us = (row.to_s - row.from_s) * 1e6
    return min(100.0, 100 * _number(row, name) / length_us) if length_us > 0 else float("nan")


def _told(rows: list[_Row], kind: str, value: Any) -> Iterator[tuple[float, float, float]]:
    return ((row.from_s, row.to_s, value(row)) for row in rows if row.kind == kind)


def _largest(spans: Iterator[tuple[float, float, float]], edges: Any) -> Any:
    """The largest value of the spans that touch each bin. Between two spans the last value holds; NaN where it was silent."""
    found = np.full(len(edges) - 1, np.nan)
    for start_s, end_s, value in spans:
        first = max(int(np.searchsorted(edges, start_s, side="right")) - 1, 0)
        last = max(int(np.searchsorted(edges, end_s, side="left")) - 1, first)
        found[first : last + 1] = np.fmax(found[first : last + 1], value)
    series = pd.Series(found)
    empty = series.isna()
    length_s = empty.groupby((~empty).cumsum()).transform("sum") * (edges[1] - edges[0])
    return series.ffill().where(~empty | (length_s <= SILENT_S)).to_numpy()


def _stalled(rows: list[_Row], kind: str) -> Iterator[tuple[float, float]]:
    for row in (r for r in rows if r.kind == kind):
        length_ns = (row.to_s - row.from_s) * 1e9
        if (kind == "wake" and row.late_ms * 1e6 >= WAKE_LATE_NS) or (kind == "sync" and length_ns >= SYNC_LONG_NS):
            yield row.from_s, row.to_s
        if kind == "cpu" and _number(row, "idle_ns") < IDLE_SHARE * row.capacity_ns and _foreign(row) >= 100 * OTHERS_SHARE:
            yield row.from_s, row.to_s


def _slow(rows: list[_Row]) -> Iterator[tuple[float, float]]:
    syncs = sorted((row.from_s, row.to_s) for row in rows if row.kind == "sync")
    for some in (syncs[n : n + SLOW_IN_A_ROW] for n in range(len(syncs) - SLOW_IN_A_ROW + 1)):
        if sum((end_s - start_s) * 1e9 < SLOW_SYNC_NS for start_s, end_s in some) <= QUICK_MAX:
            yield some[0][0], some[-1][1]


def _joined(kind: str, spans: Iterator[tuple[float, float]]) -> list[Stall]:
    """Overlapping spans of one kind, on whichever core, are one stall."""
    joined: list[Stall] = []
    for start_s, end_s in sorted(spans):
        if joined and start_s <= joined[-1].end_s:
            joined[-1] = Stall(kind, joined[-1].start_s, max(joined[-1].end_s, end_s))
        else:
            joined.append(Stall(kind, start_s, end_s))
    return joined


def _silences(rows: list[_Row], start_s: float, end_s: float) -> list[tuple[float, float]]:
    ends = [start_s, *sorted(min(row.to_s, end_s) for row in rows if row.to_s > start_s), end_s]
    return [(a, b) for a, b in pairwise(ends) if b - a > SILENT_S]
