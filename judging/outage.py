"""When service was out of order and when it was back, from the probe's payments alone: the rule of evidence version 2.

A payment is in order when it was acknowledged within the service level of its due time. An allowance says how many of the
payments due in 10 s may be out of order: from 5 % to 10 % of them, and every figure is the mean over all allowances. So no
single threshold decides, and a small change of the record changes a figure a little. docs/evidence.md has the words.

Every time is int64 nanoseconds of the host's monotonic clock. Nothing here knows of faults beyond their times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from judging import outage_v1
from judging.outage_v1 import END_NS, SECOND_NS, SUSTAINED_NS, Episode, Flags, Outage, Times

__all__ = ["END_NS", "SECOND_NS", "SUSTAINED_NS", "Episode", "Flags", "Outage", "Service", "Spans", "Times"]

ALLOWED_SHARE_MIN, ALLOWED_SHARE_MAX = 0.05, 0.10  # of the payments due in 10 s
SLOW_SHARE = 0.01  # of the payments due in 10 s: with no more out of order, the 99th percentile is within the service level
PAUSE_NS_MIN = 50_000_000  # a shorter pause is what a busy host does by itself
PAUSE_FACTOR = 1.5  # times the longest pause of the baseline
ANSWER_QUANTILE = 0.99  # how long an answer may take of itself
BRIDGED = 10  # payments in order between two that are not: so many are dark with them, twice as many are not
FAILED_MIN = 3  # in one second before the first fault: fewer may fail in a bank that is in order
FAILED_SHARE_MAX = 0.05  # and so may this share of them


class Spans:
    """Stretches of time that don't overlap, in order, and how much of them lies before any moment."""

    def __init__(self, start: Times, end: Times) -> None:
        """From stretches in any order; those that overlap or touch become one."""
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
        start, end = start[end > start], end[end > start]
        reach = np.maximum.accumulate(end) if len(end) else end
        fresh = np.append(True, start[1:] > reach[:-1]) if len(start) else np.zeros(0, dtype=bool)
        self.start: Times = start[fresh]
        self.end: Times = reach[np.append(np.flatnonzero(fresh)[1:] - 1, len(reach) - 1)] if len(start) else reach
        self._total = np.concatenate(([0], np.cumsum(self.end - self.start))).astype(np.int64)

    def before(self, t_ns: npt.ArrayLike) -> Times:
        """How much of the stretches lies before each time, ns."""
        t = np.asarray(t_ns, dtype=np.int64)
        begun = np.searchsorted(self.start, t, side="left")
        if not len(self.start):
            return np.zeros_like(t)
        last = np.maximum(begun - 1, 0)
        cut = np.where(begun > 0, np.maximum(0, self.end[last] - t), 0)
        return np.asarray(self._total[begun] - cut, dtype=np.int64)

    def inside(self, from_ns: npt.ArrayLike, to_ns: npt.ArrayLike) -> Times:
        """How much of the stretches lies between two times, ns."""
        return np.asarray(self.before(to_ns) - self.before(from_ns), dtype=np.int64)


@dataclass(frozen=True)
class _Stay:
    """Windows of 10 s by the index of their first payment: out of order from `first`, in order again from `back`.

    Payments from `floor` (when the 10 s in order before were over) to `until` (the end of the fault's window) count.
    """

    first: int
    back: int | None
    floor: int
    until: int


def forgiven(due: Times, done: Times, host: Spans, level_ns: int) -> Flags:
    """Which payments out of order the host's stalls account for.

    A stall excuses what it touched for as long as it lasted, and no more: a bank that hangs can't hide behind it.
    """
    stalled = host.inside(due, done)
    return np.asarray((stalled > 0) & (done - due - stalled <= level_ns), dtype=np.bool_)


def failing_second(due: Times, failed: Flags) -> tuple[int, int, int] | None:
    """The first second, from the due time of a payment that failed on, in which too many failed.

    That time, how many failed, and of how many. `due` is in order. None where every second is as in a bank that is in order.
    """
    until = np.searchsorted(due, due + SECOND_NS, side="left")
    before = np.concatenate(([0], np.cumsum(failed)))
    bad, among = before[until] - before[:-1], until - np.arange(len(due))
    wrong = np.flatnonzero(failed & (bad >= FAILED_MIN) & (bad > FAILED_SHARE_MAX * among))
    return (int(due[wrong[0]]), int(bad[wrong[0]]), int(among[wrong[0]])) if len(wrong) else None


class Service(outage_v1.Service):
    """The probe's payments, made ready for questions: when each was due and done, and whether it was in order."""

    def __init__(
        self,
        due: Times,
        done: Times,
        acknowledged: Flags,
        *,
        interval_ns: int,
        level_ns: int = SECOND_NS,
        host: Spans | None = None,
    ) -> None:
        """`host`: stalls of the host that payments and pauses are to be forgiven for; None: as the record says."""
        order = np.argsort(due, kind="stable")
        super().__init__(due[order], done[order], acknowledged[order], interval_ns=interval_ns)
        self.level_ns, self.host = level_ns, host
        self.baseline_answer_ns = 0
        due_in_window = SUSTAINED_NS / interval_ns
        self.strict = int(ALLOWED_SHARE_MIN * due_in_window + 1e-9)
        self.allowances = np.arange(self.strict, int(ALLOWED_SHARE_MAX * due_in_window + 1e-9) + 1)

    def forgiving(self, host: Spans) -> Self:
        """The same payments, without what those stalls of the host may account for."""
        other = type(self)(
            self.due, self.done, self.acknowledged, interval_ns=self.interval_ns, level_ns=self.level_ns, host=host
        )  # fmt: skip
        other.end_ns, other.rate_per_s = self.end_ns, self.rate_per_s
        other.baseline_pause_ns, other.baseline_answer_ns = self.baseline_pause_ns, self.baseline_answer_ns
        return other

    def take_baseline(self, from_ns: int, to_ns: int) -> tuple[float | None, int | None]:
        inside = (self.due >= from_ns) & (self.due < to_ns) & self.acknowledged
        if inside.any():
            self.baseline_answer_ns = int(np.quantile(self.done[inside] - self.due[inside], ANSWER_QUANTILE, method="higher"))
        return super().take_baseline(from_ns, to_ns)

    # In order or not, payment by payment

    @cached_property
    def out_of_order(self) -> Flags:
        out = ~(self.acknowledged & (self.done - self.due <= self.level_ns))
        if self.host is not None and out.any():
            out[out] = ~forgiven(self.due[out], self.done[out], self.host, self.level_ns)
        return out

    @cached_property
    def _out_before(self) -> Times:
        """How many payments before each one are out of order; one entry more, for all of them."""
        return np.concatenate(([0], np.cumsum(self.out_of_order))).astype(np.int64)

    @cached_property
    def _out_ahead(self) -> Times:
        """For each payment, how many of those due in the 10 s from its due time on are out of order."""
        until = np.searchsorted(self.due, self.due + SUSTAINED_NS, side="left")
        return np.asarray(self._out_before[until] - self._out_before[:-1], dtype=np.int64)

    @cached_property
    def _whole(self) -> int:
        """How many payments are watched for 10 s from their due time on."""
        return int(np.searchsorted(self.due, self.end_ns - SUSTAINED_NS, side="right"))

    @cached_property
    def _strictly_in_order(self) -> npt.NDArray[np.intp]:
        """The payments from which on 10 s were watched and in order under the strictest allowance."""
        return np.flatnonzero(self._out_ahead[: self._whole] <= self.strict)

    # What is dark

    @property
    def dark_pause_ns(self) -> int:
        """A pause between two acknowledgements has to be longer than this to be dark."""
        return min(self.level_ns, max(PAUSE_NS_MIN, round(PAUSE_FACTOR * self.baseline_pause_ns)))

    @cached_property
    def dark(self) -> Spans:
        """When payments out of order were due, what lies close between two of them, and pauses between acknowledgements."""
        due = self.due[self.out_of_order]
        between = np.maximum(0, np.diff(due, append=due[-1:] + (1 << 61)) - self.interval_ns)
        near = BRIDGED * self.interval_ns
        bridged = np.clip(np.minimum(between, 2 * near - between), 0, None)
        p, pause = self.pauses, self.dark_pause_ns
        length = p.end - p.start
        if self.host is not None:
            length = length - self.host.inside(p.start, p.end)
        counted = np.where(length >= 2 * pause, length, np.maximum(0, 2 * (length - pause)))
        return Spans(np.append(due, p.start), np.append(due + self.interval_ns + bridged, p.start + counted))

    # The rule of return

    def _return_ns(self, from_ns: npt.ArrayLike) -> Times:
        """For 10 s in order from each time on: when service was back, which is later by what was dark in them."""
        start = np.asarray(from_ns, dtype=np.int64)
        return np.asarray(start + self.dark.inside(start, start + SUSTAINED_NS), dtype=np.int64)

    def _bitten_ns(self, before_ns: int) -> int:
        """As `_return_ns`, where the 10 s from the fault itself on are in order: a short outage.

        A fault takes a moment to bite, and the outage counts from the fault on. So each dark moment takes along one lit
        moment before it, while there are any left: an outage shorter than the time before it counts twice, and no more.
        """
        until_ns = before_ns + SUSTAINED_NS
        near = (self.dark.end > before_ns) & (self.dark.start < until_ns)
        start, end = np.maximum(self.dark.start[near], before_ns), np.minimum(self.dark.end[near], until_ns)
        dark = np.cumsum(end - start)
        if not len(dark):
            return before_ns
        lit = start - before_ns - (dark - (end - start))
        taken = min(int(dark[-1]), int((lit + dark[-1] - dark).min()))  # none after a stretch but what was lit before it
        return before_ns + int(dark[-1]) + taken

    def outage(self, *, before_ns: int, after_ns: int, window_end_ns: int) -> Outage:
        """What customers saw of a fault between `before_ns` and the end of its window: its episodes, and the longest's return."""
        first, start = self._first(before_ns, window_end_ns)
        episodes = [first, *self._relapses(start, window_end_ns)] if start is not None else [first]
        success_ns = self._first_success_ns(before_ns, after_ns, window_end_ns)
        if episodes[-1].return_ns is None:
            unsettled = self._unsettled(episodes[-1], before_ns, window_end_ns)
            return Outage(True, success_ns, None, unsettled, len(episodes) - 1, tuple(episodes))
        disturbed = any(episode.length_ns for episode in episodes)
        return Outage(disturbed, success_ns, episodes[-1].return_ns, None, len(episodes) - 1, tuple(episodes))

    def _first(self, before_ns: int, window_end_ns: int) -> tuple[Episode, int | None]:
        """From the fault to the first return; and where the first 10 s in strict order begin (None: nowhere in the window)."""
        start = int(np.searchsorted(self.due, before_ns, side="left"))
        # The 10 s from the fault itself on hold the same payments as those from the next due time on, or one fewer at the end.
        at_fault = int(self._out_before[np.searchsorted(self.due, before_ns + SUSTAINED_NS)] - self._out_before[start])
        if before_ns + SUSTAINED_NS > self.end_ns:
            return Episode(before_ns, None), None
        back = self._next_in_order(start) if at_fault > self.strict else start
        if back is None:
            return Episode(before_ns, None), None
        times = np.append(before_ns, self.due[start : back + 1])
        fewest = np.minimum.accumulate(np.append(at_fault, self._out_ahead[start : back + 1]))
        chosen = times[np.searchsorted(-fewest, -self.allowances, side="left")]
        returns = np.where(chosen == before_ns, self._bitten_ns(before_ns), self._return_ns(chosen))
        if returns[0] > window_end_ns:
            return Episode(before_ns, None), None
        mean_ns = _mean_up(returns)
        return Episode(before_ns, mean_ns), int(np.searchsorted(self.due, int(chosen[0]), side="left"))

    def _next_in_order(self, index: int) -> int | None:
        """The first payment from that one on, from which on 10 s are in order under the strictest allowance."""
        found = np.searchsorted(self._strictly_in_order, index, side="left")
        return int(self._strictly_in_order[found]) if found < len(self._strictly_in_order) else None

    # Relapses

    def _relapses(self, start: int, window_end_ns: int) -> list[Episode]:
        """Each later time in the window at which service was out of order under the strictest allowance."""
        found: list[Episode] = []
        until = int(np.searchsorted(self.due, window_end_ns, side="left"))
        while True:
            stay = self._next_stay(start, until)
            if stay is None:
                return found
            found.append(self._relapse(stay, window_end_ns))
            if found[-1].return_ns is None or stay.back is None:
                return found
            start = stay.back

    def _next_stay(self, start: int, until: int) -> _Stay | None:
        """The next 10 s out of order after the 10 s in order from `start` on, up to the window's end."""
        if start >= until:
            return None
        floor = int(np.searchsorted(self.due, self.due[start] + SUSTAINED_NS, side="left"))
        out = np.flatnonzero(self._out_between(start, until, floor, until) > self.strict)
        if not len(out):
            return None
        first = start + int(out[0])
        return _Stay(first, self._next_in_order(first), floor, until)

    def _out_between(self, first: int, last: int, floor: int, until: int) -> Times:
        """As `_out_ahead`, of payments from `floor` to `until` alone: not what the return before left, not what ended it all."""
        windows = np.minimum(np.searchsorted(self.due, self.due[first:last] + SUSTAINED_NS, side="left"), until)
        begins = np.maximum(np.arange(first, last), floor)
        return np.asarray(np.maximum(self._out_before[windows] - self._out_before[begins], 0), dtype=np.int64)

    def _relapse(self, stay: _Stay, window_end_ns: int) -> Episode:
        """Measured from both sides by the same rule; an allowance under which it is no relapse adds nothing."""
        began_ns = int(self._left_ns(np.array([stay.first]), stay)[0])
        if stay.back is None or self._return_ns(self.due[stay.back]) > window_end_ns:
            return Episode(began_ns, None)
        out = np.append(self._out_between(stay.first, stay.back, stay.floor, stay.until), 0)
        longest = [self._longest_ns(out > allowed, stay) for allowed in self.allowances.tolist()]
        return Episode(began_ns, began_ns + _mean_up(np.array(longest, dtype=np.int64)))

    def _longest_ns(self, out: Flags, stay: _Stay) -> int:
        """The longest stretch out of order under one allowance; `out` tells it of the windows from the first payment on."""
        edges = np.diff(out.astype(np.int8), prepend=0)
        starts, backs = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        lasted = self._return_ns(self.due[stay.first + backs]) - self._left_ns(stay.first + starts, stay)
        return int(lasted.max(initial=0))

    def _left_ns(self, first: npt.NDArray[np.intp], stay: _Stay) -> Times:
        """When service left order: the 10 s before payment `first`'s were in order, and what was dark in them is its end."""
        end = self.due[first] - self.interval_ns + SUSTAINED_NS
        begin = np.maximum(end - SUSTAINED_NS, self.due[stay.floor])
        return np.asarray(end - self.dark.inside(begin, np.maximum(begin, end)), dtype=np.int64)

    def p99_back_ns(self, before_ns: int, window_end_ns: int) -> int | None:
        """From when on, after that moment, 10 s of the window had at most 1 % of their payments out of order; None: never."""
        allowed = int(SLOW_SHARE * SUSTAINED_NS / self.interval_ns + 1e-9)
        due = self.due[(self.due >= before_ns) & (self.due + SUSTAINED_NS <= window_end_ns)]
        times = np.append(before_ns, due) if before_ns + SUSTAINED_NS <= window_end_ns else due
        out = (
            self._out_before[np.searchsorted(self.due, times + SUSTAINED_NS)] - self._out_before[np.searchsorted(self.due, times)]
        )
        quick = np.flatnonzero(out <= allowed)
        return int(times[quick[0]]) if len(quick) else None

    # What remains as it was in version 1, and what can't be told

    def _first_success_ns(self, before_ns: int, after_ns: int, window_end_ns: int) -> int | None:
        failed_ns = self._first_failure(before_ns, window_end_ns)
        pauses = self.pauses_in(before_ns, window_end_ns - self.pause_ns, longer_than_ns=self.pause_ns)
        if failed_ns is None and not len(pauses.start):
            return before_ns
        first = self._first_success(failed_ns, pauses, before_ns=before_ns, after_ns=after_ns)
        return None if first is None or self.ack_done[first] > window_end_ns else int(self.ack_done[first])

    def _unsettled(self, episode: Episode, before_ns: int, window_end_ns: int) -> int | None:
        """`before_ns` plus how long service was out of order, if it looked in order then and the probe ended within 10 s."""
        start = max(int(np.searchsorted(self.due, episode.began_ns, side="left")), self._whole)
        late = self._out_before[-1] - self._out_before[start:-1]
        left = self.end_ns - self.due[start:]
        index = np.flatnonzero(late * SUSTAINED_NS <= self.strict * left)
        if not len(index):
            return None
        t_ns = int(self.due[start + int(index[0])])
        back_ns = t_ns + int(self.dark.inside(t_ns, self.end_ns))
        return before_ns + back_ns - episode.began_ns if back_ns <= window_end_ns else None

    @property
    def in_order_at_end(self) -> bool:
        """Whether 95 % of the payments due in the last 5 s were acknowledged within the service level: the end is no outage."""
        share = self.availability(self.end_ns - END_NS)
        return share is not None and share >= outage_v1.SUSTAINED_SHARE

    def availability(self, from_ns: int) -> float | None:
        """The share of the payments due from then on that were in order."""
        due = self.due >= from_ns
        return float((due & ~self.out_of_order).sum() / due.sum()) if due.any() else None

    def interruption_ns(self, from_ns: int, to_ns: int) -> int:
        """The longest pause between two acknowledgements that overlaps those times, less the host's stalls in it.

        Where the payments go on after them, the next fault came then, and what is left of a pause is its own.
        """
        pauses = self.felt_in(from_ns, to_ns)
        length = pauses.end - pauses.start
        if self.host is not None:
            length = length - self.host.inside(pauses.start, pauses.end)
        return int(length.max(initial=0))


def _mean_up(times: Times) -> int:
    """The mean of times, ns, rounded up. Differences from the smallest first: sums of absolute times would overflow."""
    base = int(times.min())
    return base + -(-int((times - base).sum()) // len(times))
