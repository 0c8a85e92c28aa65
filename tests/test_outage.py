"""Version 2's rule of return: by hand, against the page word by word, and with no jump wherever a pause goes."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging.intervals import longest
from judging.outage import SECOND_NS, Outage, Service, Spans

MS = 1_000_000
FAULT_S = 10.0


@dataclass(frozen=True)
class Gone:
    """Service is gone for a while. `how`: refused, hang (answered when it is over), half (every second is refused), slow."""

    from_s: float
    to_s: float
    how: str = "refused"


def record(*gone: Gone, seconds: float = 60, step_ms: int = 10, answer_ms: float = 4, level_s: float = 1.0) -> Service:
    due = np.arange(0, round(seconds * 1000), step_ms, dtype=np.int64) * MS
    done, acknowledged = due + round(answer_ms * MS), np.ones(len(due), dtype=np.bool_)
    for one in gone:
        start, end = round(one.from_s * 1e9), round(one.to_s * 1e9)
        if one.how == "hang":
            held = (due + round(answer_ms * MS) > start) & (due < end)
            done[held] = np.maximum(done[held], end + round(answer_ms * MS))
            continue
        held = (due >= start) & (due < end)
        if one.how == "slow":
            done[held] += round(1.5e9)
        else:
            acknowledged[held & ((np.arange(len(due)) % 2 == 0) | (one.how == "refused"))] = False
    service = Service(due, done, acknowledged, interval_ns=step_ms * MS, level_ns=round(level_s * 1e9))
    service.take_baseline(0, 8 * SECOND_NS)
    return service


def outage(service: Service, *, window_end_s: float | None = None, before_s: float = FAULT_S) -> Outage:
    end_ns = service.end_ns if window_end_s is None else round(window_end_s * 1e9)
    return service.outage(before_ns=round(before_s * 1e9), after_ns=round(before_s * 1e9), window_end_ns=end_ns)


def first_s(service: Service, **window: float) -> float | None:
    length_ns = outage(service, **window).episodes[0].length_ns
    return None if length_ns is None else length_ns / 1e9


# By hand


@pytest.mark.parametrize("how", ["refused", "hang", "half", "slow"])
@pytest.mark.parametrize("seconds", [0.2, 0.4, 0.7, 0.95, 1.3, 5.0, 30.0])
def test_an_outage_lasts_until_it_is_over_however_service_was_gone(how: str, seconds: float) -> None:
    seen = first_s(record(Gone(FAULT_S, FAULT_S + seconds, how), seconds=70))
    assert seen == pytest.approx(seconds, abs=0.016)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 0.8, 2.0])
def test_an_outage_counts_from_the_fault_though_it_took_a_moment_to_bite(seconds: float) -> None:
    assert first_s(record(Gone(FAULT_S + 0.15, FAULT_S + 0.15 + seconds))) == pytest.approx(0.15 + seconds, abs=0.016)


def test_a_fault_that_hits_nothing_has_an_rto_of_zero() -> None:
    seen = outage(record())
    assert (seen.disturbed, seen.return_ns, seen.relapses, seen.first_success_ns) == (False, 10 * SECOND_NS, 0, 10 * SECOND_NS)


def test_what_happened_before_the_fault_is_not_the_faults() -> None:
    assert first_s(record(Gone(8.5, 9.9))) == 0.0


def test_answers_a_little_slower_than_before_are_in_order() -> None:
    assert first_s(record(Gone(FAULT_S, 20, "slow"), level_s=2.0)) == pytest.approx(
        1.5, abs=0.016
    )  # nobody was answered at first
    assert first_s(record(Gone(FAULT_S, 20, "slow"), level_s=1.0)) == pytest.approx(10, abs=0.016)


def test_a_stray_failure_long_after_the_return_costs_next_to_nothing() -> None:
    alone = first_s(record(Gone(FAULT_S, 15)))
    stray = first_s(record(Gone(FAULT_S, 15), Gone(22, 22.01)))
    assert alone is not None
    assert stray == pytest.approx(alone, abs=0.02)


def test_a_stall_after_the_return_counts_for_as_long_as_it_lasts() -> None:
    """Payments were back after 22.6 s; 7 s later all answers paused for 1.06 s. Version 1 said 30.6 s."""
    service = record(Gone(FAULT_S, 32.6), Gone(39.6, 40.66, "hang"), seconds=80)
    assert first_s(service) == pytest.approx(22.6 + 1.06, abs=0.02)


def test_one_failure_in_ten_for_long_is_no_return_and_one_in_fifty_is_one() -> None:
    due = np.arange(0, 60_000, 10, dtype=np.int64) * MS
    for every, back in ((10, None), (50, 0.4)):
        failed = (due >= 10 * SECOND_NS) & (np.arange(len(due)) % every == 0)
        service = Service(due, due + 4 * MS, ~failed, interval_ns=10 * MS)
        seen = first_s(service)
        assert seen is None if back is None else seen == pytest.approx(back, abs=0.05)


def test_ten_seconds_and_no_less_show_that_service_is_back() -> None:
    for watched_s, settled in ((10.0, True), (9.4, False)):
        service = record(Gone(FAULT_S, 20), seconds=20 + watched_s)
        seen = outage(service)
        assert (seen.return_ns is not None) is settled
        if not settled:
            assert seen.unsettled_return_ns == pytest.approx(20e9, abs=0.02e9)


def test_a_return_after_the_windows_end_is_none() -> None:
    service = record(Gone(FAULT_S, 30))
    assert first_s(service, window_end_s=30.3) == pytest.approx(20, abs=0.02)
    assert first_s(service, window_end_s=29.9) is None
    assert outage(service, window_end_s=29.9).unsettled_return_ns is None


def test_a_pause_that_the_windows_end_cuts_is_neither_a_relapse_nor_part_of_the_rto() -> None:
    service = record(Gone(FAULT_S, 12), Gone(39.9, 44), seconds=70)
    seen = outage(service, window_end_s=40.0)
    assert seen.relapses == 0
    assert seen.episodes[0].length_ns == pytest.approx(2e9, abs=0.02e9)


@pytest.mark.parametrize(("begins_s", "ends_s"), [(32, 36), (21.9, 30), (45, 45.8)])
def test_a_relapse_is_measured_from_its_own_beginning(begins_s: float, ends_s: float) -> None:
    seen = outage(record(Gone(FAULT_S, 11.6), Gone(begins_s, ends_s), seconds=70), window_end_s=58)
    first, relapse = seen.episodes
    assert first.length_ns == pytest.approx(1.6e9, abs=0.02e9)
    assert relapse.began_ns == pytest.approx(begins_s * 1e9, abs=0.02e9)
    full = ends_s - begins_s > 1
    assert relapse.length_ns == pytest.approx((ends_s - begins_s) * 1e9, abs=0.02e9) if full else (relapse.length_ns or 0) > 0


def test_a_fault_that_bites_late_is_measured_from_when_it_bites() -> None:
    """The first 10 s are in order: what comes later counts, and it is no RTO of zero."""
    seen = outage(record(Gone(25, 33), seconds=70))
    assert longest(seen).began_ns == pytest.approx(25e9, abs=0.02e9)
    assert longest(seen).length_ns == pytest.approx(8e9, abs=0.02e9)
    assert seen.disturbed


def test_a_relapse_without_an_end_is_no_return() -> None:
    seen = outage(record(Gone(FAULT_S, 11.6), Gone(40, 58), seconds=70), window_end_s=50)
    assert (seen.return_ns, seen.relapses) == (None, 1)
    assert longest(seen).began_ns == pytest.approx(40e9, abs=0.02e9)


def test_several_faults_have_each_its_own() -> None:
    service = record(Gone(FAULT_S, 12), Gone(30, 33), seconds=60)
    assert first_s(service, window_end_s=30) == pytest.approx(2, abs=0.02)
    assert first_s(service, before_s=30.0) == pytest.approx(3, abs=0.02)


def test_a_busy_baseline_makes_short_pauses_normal() -> None:
    short = Gone(15, 15.15, "hang")
    assert first_s(record(short)) == pytest.approx(0.3, abs=0.03)
    assert first_s(record(Gone(4, 4.2, "hang"), short)) == 0.0


def test_a_host_that_stalled_is_forgiven_and_a_bank_that_hangs_is_not() -> None:
    def lenient_s(gone: Gone, stalls: Sequence[tuple[float, float]]) -> float | None:
        spans = Spans(*(np.array([round(t[n] * 1e9) for t in stalls], dtype=np.int64) for n in (0, 1)))
        return first_s(record(gone).forgiving(spans))

    hang = Gone(12, 14, "hang")
    assert lenient_s(hang, [(12, 14.05)]) == pytest.approx(0, abs=0.02)
    assert lenient_s(hang, [(12, 12.03)]) == pytest.approx(first_s(record(hang)), abs=0.1)  # 30 ms excuse 30 ms
    assert lenient_s(Gone(12, 20), [(12, 12.5)]) == pytest.approx(10, abs=0.02)


def test_stretches_of_time_become_one_where_they_overlap() -> None:
    spans = Spans(np.array([5, 1, 8, 20, 30]), np.array([9, 3, 10, 20, 31]))
    assert (spans.start.tolist(), spans.end.tolist()) == ([1, 5, 30], [3, 10, 31])
    assert spans.before([0, 2, 3, 4, 7, 30, 40]).tolist() == [0, 1, 2, 2, 4, 7, 8]
    assert Spans(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).before(7) == 0


def test_a_million_payments_take_less_than_a_second() -> None:
    dice = np.random.default_rng(1)
    due = np.arange(1_000_000, dtype=np.int64) * 10 * MS
    out = (dice.random(len(due)) < 0.02) | ((due > 3000 * SECOND_NS) & (due < 3600 * SECOND_NS) & (dice.random(len(due)) < 0.3))
    service = Service(due, due + 4 * MS, ~out, interval_ns=10 * MS)
    began = time.process_time()
    seen = service.outage(before_ns=100 * SECOND_NS, after_ns=100 * SECOND_NS, window_end_ns=9000 * SECOND_NS)
    took_s = time.process_time() - began
    assert seen.relapses == 1
    assert took_s < 1


# Against the words of the page: plain, slow, and written from them alone


class Plain:
    """docs/evidence.md, "How RTO follows", payment by payment, in exact arithmetic."""

    def __init__(self, service: Service, pause_ns: int) -> None:
        rows = zip(service.due.tolist(), service.done.tolist(), service.acknowledged.tolist(), strict=True)
        self.rows = sorted(rows)
        self.interval, self.level, self.pause_ns = service.interval_ns, service.level_ns, pause_ns
        self.end = service.end_ns
        self.bad = [due for due, done, ok in self.rows if not ok or done - due > self.level]
        self.dark = self._dark()

    def _dark(self) -> list[tuple[int, int]]:
        spans = []
        for due, following in zip(self.bad, [*self.bad[1:], None][: len(self.bad)], strict=True):
            lit = 0 if following is None else (following - due - self.interval)
            near = 10 * self.interval
            extra = lit if lit <= near else max(0, 2 * near - lit)
            spans.append((due, due + self.interval + (0 if following is None else extra)))
        acks = sorted(done for _, done, ok in self.rows if ok)
        for start, end in zip(acks, [*acks[1:], max(self.end, acks[-1])], strict=True):
            length = end - start
            if length > self.pause_ns:
                spans.append((start, start + (length if length >= 2 * self.pause_ns else 2 * (length - self.pause_ns))))
        merged: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return merged

    def inside(self, start: int, end: int) -> list[tuple[int, int]]:
        return [(max(a, start), min(b, end)) for a, b in self.dark if b > start and a < end]

    def out(self, start: int, end: int) -> int:
        return sum(1 for due in self.bad if start <= due < end)

    def rto_ns(self, before: int, window_end: int) -> int | None:
        n = 10 * SECOND_NS / Fraction(self.interval)
        allowances = range(int(n / 20), int(n / 10) + 1)
        back = [self._back(before, k) for k in allowances]
        if back[0] is None or back[0] > window_end:
            return None
        known = [t for t in back if t is not None]
        return -(-sum(t - before for t in known) // len(known))

    def _back(self, before: int, allowed: int) -> int | None:
        for t in [before, *(due for due, _, _ in self.rows if due >= before)]:
            if t + 10 * SECOND_NS > self.end:
                return None
            if self.out(t, t + 10 * SECOND_NS) <= allowed:
                dark = self.inside(t, t + 10 * SECOND_NS)
                return int(t + sum(b - a for a, b in dark) + (self._lit(before, dark) if t == before else 0))
        return None

    @staticmethod
    def _lit(before: int, dark: list[tuple[int, int]]) -> int:
        """Each dark moment takes along one lit moment before it, while there are any."""
        taken, lit, at = 0, 0, before
        for start, end in dark:
            lit += start - at
            taken += min(end - start, lit - taken)
            at = end
        return taken


@pytest.mark.parametrize("seed", range(40))
def test_the_figure_is_what_the_page_says_on_random_records(seed: int) -> None:
    dice = random.Random(seed)
    lengths = [0.06, 0.12, 0.4, 0.9, 1.3, 6.0]
    gone = [Gone(t, t + dice.choice(lengths), dice.choice(["refused", "hang", "half", "slow"]))
            for t in sorted(dice.uniform(9.8, 28) for _ in range(dice.choice([1, 2, 4])))]  # fmt: skip
    service = record(*gone, step_ms=dice.choice([20, 40]), seconds=45)
    if dice.random() < 0.5:
        unlucky = np.array([dice.random() < dice.choice([0.01, 0.06, 0.2]) for _ in service.due]) & (service.due > 10 * SECOND_NS)
        service = Service(service.due, service.done, service.acknowledged & ~unlucky, interval_ns=service.interval_ns)
        service.take_baseline(0, 8 * SECOND_NS)
    before, window_end = round(dice.uniform(9.9, 10.1) * 1e9), round(dice.choice([20, 30, 44]) * 1e9)
    seen = service.outage(before_ns=before, after_ns=before, window_end_ns=window_end)
    assert seen.episodes[0].length_ns == Plain(service, service.dark_pause_ns).rto_ns(before, window_end)


# No jump, wherever a pause goes


def longest_s(service: Service) -> float:
    length_ns = longest(outage(service)).length_ns
    assert length_ns is not None
    return length_ns / 1e9


hows = st.sampled_from(["refused", "hang", "half"])
pauses = st.builds(
    lambda from_s, length_s, how: Gone(from_s, from_s + length_s, how), st.floats(11, 45), st.floats(0.02, 2.5), hows
)


@given(
    lasts_s=st.sampled_from([0.0, 0.3, 0.8, 3.0, 12.0]),
    others=st.lists(pauses, max_size=2),
    pause=pauses,
    change_ms=st.floats(0.1, 40),
    how=st.sampled_from(["moved", "stretched", "added"]),
)
@settings(max_examples=4 * settings().max_examples, deadline=None)
def test_a_small_change_changes_the_figure_a_little(
    lasts_s: float, others: list[Gone], pause: Gone, change_ms: float, how: str
) -> None:
    """The bound is stated in docs/evidence.md: a change of e changes the figure by at most e × spread / 0.5 s, and a trifle.

    The spread is the time from the return to the last pause: what the strictest and the most generous allowance can differ by.
    """
    change_s = change_ms / 1000
    changed = {
        "moved": replace(pause, from_s=pause.from_s + change_s, to_s=pause.to_s + change_s),
        "stretched": replace(pause, to_s=pause.to_s + change_s),
        "added": replace(pause, to_s=pause.from_s + change_s),
    }[how]
    original = [] if how == "added" else [pause]
    outages = [Gone(FAULT_S, FAULT_S + lasts_s), *others]
    one = longest_s(record(*outages, *original, seconds=75))
    two = longest_s(record(*outages, changed, seconds=75))
    spread_s = max(g.to_s for g in [*outages, pause, changed]) - FAULT_S - lasts_s
    touched = 2 * (change_s / 0.010 + 1)  # payments that can change sides, at both ends of the pause
    assert abs(one - two) <= touched * (spread_s + 1) / 51 + 4 * change_s + 0.02
