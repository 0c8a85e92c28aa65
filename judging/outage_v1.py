"""When service was disturbed and when it was back, by the rule of evidence version 1, from the probe's payments alone.

Runs of version 1 are judged by it for good. Version 2 (`judging/outage.py`) keeps its baseline, its pauses and its first
success, and has another rule of return. Every time is int64 nanoseconds of the host's monotonic clock. Nothing here knows
of faults beyond their times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
SECOND_NS = 1_000_000_000
IN_FLIGHT_NS = 3 * SECOND_NS  # a payment due this long before the fault may still have been waiting for its answer
TAKES_HOLD_NS = 1 * SECOND_NS  # what still gets through while a fault takes hold is no return of service
PAUSE_NS_MAX = 1 * SECOND_NS  # a longer pause is always an interruption
PAUSE_NS_MIN = 100_000_000  # a shorter one never is: it is what a busy host does by itself
SUSTAINED_NS = 10 * SECOND_NS
SUSTAINED_SHARE = 0.95
END_NS = 5 * SECOND_NS


@dataclass(frozen=True)
class Pauses:
    """Between two acknowledgements: `start` and `end` by the time of the answer. `open`: nothing came until the end."""

    start: Times
    end: Times
    open: Flags

    def where(self, chosen: Flags) -> Pauses:
        return Pauses(self.start[chosen], self.end[chosen], self.open[chosen])

    @property
    def longest_ns(self) -> int:
        return int((self.end - self.start).max(initial=0))


@dataclass(frozen=True)
class Episode:
    """One stretch of time in which service was out of order. `return_ns` None: it did not come back while it was watched."""

    began_ns: int
    return_ns: int | None

    @property
    def length_ns(self) -> int | None:
        return None if self.return_ns is None else self.return_ns - self.began_ns


@dataclass(frozen=True)
class Outage:
    """What one fault did to service. Times are absolute; None: it did not happen while it was watched."""

    disturbed: bool
    first_success_ns: int | None
    return_ns: int | None
    unsettled_return_ns: int | None
    relapses: int
    episodes: tuple[Episode, ...] = ()  # version 2: from the fault to its first return, then every relapse


class Service:
    """The probe's payments, made ready for questions: when each was due and done, and whether it was acknowledged."""

    def __init__(self, due: Times, done: Times, acknowledged: Flags, *, interval_ns: int) -> None:
        self.due, self.done, self.acknowledged = due, done, acknowledged
        order = np.argsort(self.done[self.acknowledged], kind="stable")
        self.ack_done: Times = self.done[self.acknowledged][order]
        self.ack_due: Times = self.due[self.acknowledged][order]
        self.interval_ns = interval_ns
        self.end_ns = int(self.due.max()) + interval_ns if len(self.due) else 0
        self.rate_per_s = SECOND_NS / interval_ns
        self.baseline_pause_ns = 0

    def take_baseline(self, from_ns: int, to_ns: int) -> tuple[float | None, int | None]:
        """Acknowledgements per second and the longest pause, ns, of the undisturbed window."""
        inside = self.ack_done[(self.ack_done >= from_ns) & (self.ack_done < to_ns)]
        due = (self.due >= from_ns) & (self.due < to_ns)
        if len(inside) < 2 or not due.any():
            return None, None
        # Counted by due time: answers that queued up before the window would make a rate that nobody can sustain.
        self.rate_per_s = float(self.acknowledged[due].mean()) * SECOND_NS / self.interval_ns
        self.baseline_pause_ns = int(np.diff(inside).max())
        return self.rate_per_s, self.baseline_pause_ns

    @property
    def pause_ns(self) -> int:
        """A pause has to be longer than this to be the fault's and not the host's."""
        return min(PAUSE_NS_MAX, max(PAUSE_NS_MIN, 3 * self.baseline_pause_ns))

    @cached_property
    def pauses(self) -> Pauses:
        begins = self.ack_done if len(self.ack_done) else self.due[:1]
        ends = np.append(begins[1:], max(self.end_ns, int(begins[-1]))) if len(begins) else begins
        still_open = np.zeros(len(begins), dtype=bool)
        still_open[-1:] = True
        return Pauses(begins, ends, still_open)

    def pauses_in(self, before_ns: int, window_end_ns: int, *, longer_than_ns: int = 0) -> Pauses:
        """Pauses that end after the fault and begin before its window is over."""
        p = self.pauses
        return p.where((p.end > before_ns) & (p.start < window_end_ns) & (p.end - p.start > longer_than_ns))

    def felt_in(self, before_ns: int, until_ns: int) -> Pauses:
        """As `pauses_in`; of one that the next fault finds under way, what came before that."""
        p = self.pauses_in(before_ns, until_ns)
        return p if until_ns >= self.end_ns else Pauses(p.start, np.minimum(p.end, until_ns), p.open)

    def due_in(self, from_ns: int, to_ns: int) -> int:
        return int(((self.due >= from_ns) & (self.due < to_ns)).sum())

    @property
    def in_order_at_end(self) -> bool:
        """Whether 95 % of the payments due in the last 5 s were acknowledged within 1 s: the end is no outage."""
        share = self.availability(self.end_ns - END_NS)
        return share is not None and share >= SUSTAINED_SHARE

    def availability(self, from_ns: int) -> float | None:
        """The share of the payments due from then on that were acknowledged within 1 s of their due time."""
        due = self.due >= from_ns
        prompt = due & self.acknowledged & (self.done - self.due <= SECOND_NS)
        return float(prompt.sum() / due.sum()) if due.any() else None

    # Sustained service, asked of every acknowledgement at once

    @cached_property
    def _next_long_pause(self) -> Times:
        """For each acknowledgement, when the next pause over 1 s begins."""
        p = self.pauses
        starts = p.start[p.end - p.start > PAUSE_NS_MAX] if len(self.ack_done) else p.start[:0]
        never = np.iinfo(np.int64).max
        return np.append(starts, never)[np.searchsorted(starts, self.ack_done, side="left")]

    @cached_property
    def sustained(self) -> Flags:
        """Whether the 10 s from each acknowledgement on held 95 % of the baseline rate without a pause over 1 s."""
        until = self.ack_done + SUSTAINED_NS
        return (until <= self.end_ns) & self._holds(until)

    @cached_property
    def unsettled(self) -> Flags:
        """Service looked sustained, and the probe ended before 10 s were over: nobody can tell."""
        until = np.minimum(self.ack_done + SUSTAINED_NS, self.end_ns)
        return (self.ack_done + SUSTAINED_NS > self.end_ns) & (self.ack_done < self.end_ns) & self._holds(until)

    def _holds(self, until: Times) -> Flags:
        count = np.searchsorted(self.ack_done, until, side="left") - np.arange(len(self.ack_done))
        enough = count >= SUSTAINED_SHARE * self.rate_per_s * (until - self.ack_done) / SECOND_NS
        return enough & (self._next_long_pause >= until)

    # One fault

    def outage(self, *, before_ns: int, after_ns: int, window_end_ns: int) -> Outage:
        """What customers saw of a fault between `before_ns` and the end of its window."""
        failed_ns = self._first_failure(before_ns, window_end_ns)
        # Of a pause across the window's end, what lies beyond belongs to what ended it: the next fault, or the heal.
        pauses = self.pauses_in(before_ns, window_end_ns - self.pause_ns, longer_than_ns=self.pause_ns)
        if failed_ns is None and not len(pauses.start):
            return Outage(False, before_ns, before_ns, None, 0)
        first = self._first_success(failed_ns, pauses, before_ns=before_ns, after_ns=after_ns)
        if first is None or self.ack_done[first] > window_end_ns:
            return Outage(True, None, None, None, 0)
        back, relapses = self._last_return(first, window_end_ns)
        first_ns, back_ns = int(self.ack_done[first]), None
        if isinstance(back, int):
            back_ns = int(self.ack_done[back])
        unsettled = None if back_ns is not None else self._unsettled_return(first, window_end_ns)
        return Outage(True, first_ns, back_ns, unsettled, relapses)

    def _first_failure(self, before_ns: int, window_end_ns: int) -> int | None:
        failed = (
            ~self.acknowledged & (self.due >= before_ns - IN_FLIGHT_NS) & (self.due < window_end_ns) & (self.done >= before_ns)
        )
        return int(self.due[failed].min()) if failed.any() else None

    def _first_success(self, failed_ns: int | None, pauses: Pauses, *, before_ns: int, after_ns: int) -> int | None:
        """The index of the first acknowledgement after the disturbance; None: there was none."""
        began = min(t for t in (failed_ns, *pauses.start[:1].tolist()) if t is not None)
        held_ns = max(began, after_ns) + TAKES_HOLD_NS
        its_own = pauses.where(pauses.start <= held_ns)
        if its_own.open.any():
            return None
        eligible = self.ack_done >= max(before_ns, int(its_own.end.max(initial=0)))
        if failed_ns is not None and failed_ns <= held_ns:
            eligible &= self.ack_due > failed_ns
        return _first(eligible)

    def _last_return(self, first: int, window_end_ns: int) -> tuple[int | None, int]:
        """The index of the acknowledgement from which service was sustained until the window's end, and the relapses."""
        # A pause that begins at the end of the window belongs to what ended it: the next fault, or the heal.
        long_pauses = self.pauses_in(0, window_end_ns - PAUSE_NS_MAX, longer_than_ns=PAUSE_NS_MAX)
        relapses = 0
        while True:
            back = _first(self.sustained, first)
            if back is None or self.ack_done[back] > window_end_ns:
                return None, relapses
            later = long_pauses.where(long_pauses.start >= self.ack_done[back])
            if not len(later.start):
                return back, relapses
            relapses += 1
            if later.open[0]:
                return None, relapses
            first = int(np.searchsorted(self.ack_done, later.end[0], side="left"))

    def _unsettled_return(self, first: int, window_end_ns: int) -> int | None:
        index = _first(self.unsettled, first)
        if index is None or self.ack_done[index] > window_end_ns:
            return None
        return int(self.ack_done[index])


def _first(chosen: npt.NDArray[Any], start: int = 0) -> int | None:
    """The index of the first True from `start` on."""
    found = np.flatnonzero(chosen[start:])
    return int(found[0]) + start if len(found) else None
