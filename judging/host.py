"""What the host itself did while a drill ran, as its witness saw it from outside all containers: host time.

A stall counts as the host's only where the witness saw it too: a bank that is slow by itself leaves no host time. Times are
int64 nanoseconds of the host's monotonic clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from judging.outage import SECOND_NS, Spans
from judging.records import Records

if TYPE_CHECKING:
    import pandas as pd

WAKE_LATE_NS = 20_000_000  # a thread that should have woken: a core was somebody else's for so long
SYNC_LONG_NS = 100_000_000  # a small write with fdatasync: the disk kept it waiting for so long
SLOW_SYNC_NS = 10_000_000  # an undisturbed disk takes a tenth of that: slow when it takes this for most of
SLOW_IN_A_ROW, QUICK_MAX = 8, 3  # eight syncs in a row (2 s), but for three of them
IDLE_SHARE = 0.05  # of what the cores can do: less than this idle, and
OTHERS_SHARE = 0.10  # this much or more taken by others than the drill: the cores were not ours
DRAIN_NS_MAX = SECOND_NS  # what queued up in a stall takes as long again to be served, at most so long


@dataclass(frozen=True)
class Stall:
    """One stretch of host time and what it was: `disk`, `slow` (the disk, write after write), `core` (one) or `cores` (all)."""

    kind: str
    from_ns: int
    to_ns: int
    core: int | None = None


class Host:
    """The stalls of a run, and how much time they take."""

    def __init__(self, stalls: Sequence[Stall]) -> None:
        self.stalls = list(_joined(sorted(stalls, key=lambda stall: (stall.kind, stall.core or 0, stall.from_ns))))

    @cached_property
    def spans(self) -> Spans:
        """Host time: the union of all stalls."""
        return Spans(*self._borders(drain=False))

    @cached_property
    def excuses(self) -> Spans:
        """Host time, and after each stall the time in which what queued up in it is served."""
        return Spans(*self._borders(drain=True))

    def _borders(self, *, drain: bool) -> tuple[Any, Any]:
        start = np.array([stall.from_ns for stall in self.stalls], dtype=np.int64)
        end = np.array([stall.to_ns for stall in self.stalls], dtype=np.int64)
        return start, end + np.minimum(end - start, DRAIN_NS_MAX) * drain

    def inside_ns(self, from_ns: int, to_ns: int) -> int:
        """Host time between two times, ns."""
        return int(self.spans.inside(from_ns, max(from_ns, to_ns)))

    def longest(self, from_ns: int, to_ns: int) -> Stall | None:
        """The longest stall that lies, or reaches, between two times."""
        near = [stall for stall in self.stalls if stall.to_ns > from_ns and stall.from_ns < to_ns]
        return max(near, key=lambda stall: stall.to_ns - stall.from_ns, default=None)


def _joined(stalls: Sequence[Stall]) -> Iterator[Stall]:
    """Stalls of one kind that touch are one: the witness looks at the cores in spans of half a second."""
    last: Stall | None = None
    for stall in stalls:
        if last is not None and (last.kind, last.core) == (stall.kind, stall.core) and stall.from_ns <= last.to_ns:
            last = replace(last, to_ns=max(last.to_ns, stall.to_ns))
            continue
        if last is not None:
            yield last
        last = stall
    if last is not None:
        yield last


def words(stall: Stall, before_ns: int) -> str:
    """`the host's disk stalled for 1.1 s at +29.6 s`: the time is from the fault on."""
    took_s, at_s = (stall.to_ns - stall.from_ns) / SECOND_NS, (stall.from_ns - before_ns) / SECOND_NS
    took, at = f"{took_s:.1f} s" if took_s >= 1 else f"{took_s * 1000:.0f} ms", f"{at_s:+.1f} s".replace("-", "−")
    if stall.kind == "disk":
        return f"the host's disk stalled for {took} at {at}"
    if stall.kind == "slow":
        return f"the host's disk was slow (most small writes took {SLOW_SYNC_NS / 1e6:.0f} ms or more) for {took} at {at}"
    if stall.kind == "core":
        return f"core {stall.core} of the host was not to be had for {took} at {at}"
    return f"others kept the host's cores busy for {took} at {at}"


def read_host(records: Records) -> Host:
    """The stalls that the witness saw. No witness, or rows that make no sense, is a doubt: then nobody can tell."""
    frame = records.witness
    if frame is None:
        if not any("witness" in doubt for doubt in records.doubts):
            records.doubt("No host witness: nothing tells the machine's own stalls from the bank's.")
        return Host([])
    stalls = list(_slow(frame))
    cores = records.witness_count.cores if records.witness_count is not None else 1
    for row in frame[_suspicious(frame)].itertuples(index=False):
        try:
            stalls += _stalls(row, cores)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            records.doubt(f"witness.csv: a row of kind {row.kind} from {row.from_ns} on is not as docs/evidence.md says.")
    return Host(stalls)


def _suspicious(frame: pd.DataFrame) -> pd.Series[bool]:
    """Rows that may tell of a stall: a run has some hundred thousand that don't."""
    late = frame["late_ns"].fillna(0)
    wakes = (frame["kind"] == "wake") & (late >= WAKE_LATE_NS)
    syncs = (frame["kind"] == "sync") & (frame["to_ns"] - frame["from_ns"] >= SYNC_LONG_NS)
    return wakes | syncs | (frame["kind"] == "cpu")


def _slow(frame: pd.DataFrame) -> Iterator[Stall]:
    """Where write after write is slow though none stalls: what waits for several of them has no time left for itself."""
    syncs = frame[frame["kind"] == "sync"].sort_values("from_ns", kind="stable")
    from_ns, to_ns = syncs["from_ns"].to_numpy(dtype=np.int64), syncs["to_ns"].to_numpy(dtype=np.int64)
    if len(syncs) < SLOW_IN_A_ROW:
        return
    quick = np.concatenate(([0], np.cumsum(to_ns - from_ns < SLOW_SYNC_NS)))
    for first in np.flatnonzero(quick[SLOW_IN_A_ROW:] - quick[:-SLOW_IN_A_ROW] <= QUICK_MAX).tolist():
        yield Stall("slow", int(from_ns[first]), int(to_ns[first + SLOW_IN_A_ROW - 1]))


def _stalls(row: Any, cores: int) -> Iterator[Stall]:
    if row.kind == "sync":
        yield Stall("disk", int(row.from_ns), int(row.to_ns))
        return
    data = json.loads(row.data)
    if row.kind == "wake":
        at_ns = int(data["at_ns"])
        yield Stall("core", at_ns, at_ns + int(row.late_ns), core=int(row.core))
    elif _taken_by_others(data, (int(row.to_ns) - int(row.from_ns)) * cores):
        yield Stall("cores", int(row.from_ns), int(row.to_ns))


def _taken_by_others(data: dict[str, Any], capacity_ns: int) -> bool:
    """Whether nothing was idle and others took a share. Where nobody knows what was ours, all that was busy was."""
    busy = int(data.get("busy_ns", 0))
    others = busy - int(data.get("ours_ns", busy)) + int(data.get("steal_ns", 0))
    idle = int(data.get("idle_ns", capacity_ns))
    return capacity_ns > 0 and idle < IDLE_SHARE * capacity_ns and others >= OTHERS_SHARE * capacity_ns
