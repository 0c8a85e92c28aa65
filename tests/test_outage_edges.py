"""Where the rule of outages turns, to the nanosecond and to the payment: docs/evidence.md, "How RTO follows"."""

from __future__ import annotations

import numpy as np
import pytest

from judging.outage import SECOND_NS, Service, Spans, Times, _mean_up
from tests.test_outage import FAULT_S, Gone, outage, record

MS = 1_000_000
S = SECOND_NS
BEGAN_NS = round(FAULT_S * 1e9)


def spans(*stretches: tuple[int, int]) -> Spans:
    return Spans(*(np.array([stretch[n] for stretch in stretches], dtype=np.int64) for n in (0, 1)))


def answered(late_ns: dict[int, int] | None = None, *, failed: tuple[int, ...] = (), step_ms: int = 10, seconds: int = 60,
             level_ns: int = S, host: Spans | None = None) -> Service:  # fmt: skip
    """All answered after 4 ms, but for those by number: so much later, or refused."""
    due = np.arange(0, seconds * 1000, step_ms, dtype=np.int64) * MS
    done, acknowledged = due + 4 * MS, np.ones(len(due), dtype=np.bool_)
    for number, nanoseconds in (late_ns or {}).items():
        done[number] = due[number] + nanoseconds
    acknowledged[list(failed)] = False
    return Service(due, done, acknowledged, interval_ns=step_ms * MS, level_ns=level_ns, host=host)


# In order


@pytest.mark.parametrize(("took_ns", "out"), [(S, False), (S + 1, True)])
def test_a_payment_is_in_order_when_it_took_the_service_level_and_no_longer(took_ns: int, out: bool) -> None:
    assert answered({500: took_ns}).out_of_order[500] == out
    assert answered({500: took_ns // 2}, level_ns=S // 2).out_of_order[500] == (took_ns // 2 > S // 2)


@pytest.mark.parametrize(("took_ns", "out"), [(3 * S, False), (3 * S + 1, True)])
def test_a_stall_excuses_as_long_as_it_lasted(took_ns: int, out: bool) -> None:
    stalled = spans((5 * S, 7 * S))  # payment 500 is due when it begins
    assert answered({500: took_ns}, host=stalled).out_of_order[500] == out
    assert answered({500: took_ns}, host=spans((30 * S, 32 * S))).out_of_order[500]


def test_a_stall_excuses_a_refusal_that_it_touched_and_no_other() -> None:
    service = answered(failed=(500, 900), host=spans((5 * S, 7 * S)))
    assert np.flatnonzero(service.out_of_order).tolist() == [900]


def test_forgiving_changes_nothing_else() -> None:
    service = record(Gone(10, 15), Gone(3, 3.3, "hang"), level_s=0.5)
    service.end_ns -= 7
    again = service.forgiving(spans((50 * S, 50 * S + 1)))
    for name in ("level_ns", "end_ns", "rate_per_s", "baseline_pause_ns", "baseline_answer_ns", "interval_ns", "strict"):
        assert getattr(again, name) == getattr(service, name), name
    assert (again.out_of_order == service.out_of_order).all()
    assert service.host is None
    assert service.baseline_answer_ns > 4 * MS


def test_payments_are_put_in_the_order_of_their_due_times() -> None:
    due = np.array([30, 10, 20], dtype=np.int64) * S
    service = Service(due, due + np.array([3, 1, 2]), np.array([False, True, True]), interval_ns=10 * S)
    assert (service.due.tolist(), (service.done - service.due).tolist()) == ([10 * S, 20 * S, 30 * S], [1, 2, 3])
    assert service.acknowledged.tolist() == [True, True, False]


@pytest.mark.parametrize(("step_ms", "strict", "most"), [(10, 50, 100), (20, 25, 50), (40, 12, 25), (30, 16, 33), (1000, 0, 1)])
def test_allowances_are_whole_numbers_rounded_down(step_ms: int, strict: int, most: int) -> None:
    service = answered(step_ms=step_ms)
    assert service.allowances.tolist() == list(range(strict, most + 1))
    assert service.strict == strict


# The baseline


def test_the_baselines_answer_is_what_all_but_one_in_a_hundred_took() -> None:
    for slow, expected_ns in ((1, 4 * MS), (2, 500 * MS)):  # of a hundred and one
        service = answered({100 + n: 500 * MS for n in range(slow)})
        service.take_baseline(1 * S, 2 * S + 1)
        assert service.baseline_answer_ns == expected_ns
    edges = answered({99: 500 * MS, 200: 500 * MS, 201: 500 * MS})
    edges.take_baseline(1 * S, 2 * S)  # a payment due at its end is not in it
    assert edges.baseline_answer_ns == 4 * MS
    first = answered(dict.fromkeys((100, 101), 500 * MS), failed=(102,))
    first.take_baseline(1 * S, 2 * S)
    assert first.baseline_answer_ns == 500 * MS


def test_a_baseline_without_an_answer_says_nothing() -> None:
    service = answered(failed=tuple(range(100, 200)))
    assert service.take_baseline(1 * S, 2 * S) == (None, None)
    assert service.baseline_answer_ns == 0


@pytest.mark.parametrize(
    ("baseline_pause_ms", "level_ns", "expected_ms"), [(0, S, 50), (33, S, 50), (34, S, 51), (500, S, 750),
     (700, S, 1000), (700, 2 * S, 1050)],
)  # fmt: skip
def test_a_pause_is_dark_from_what_the_baseline_knew_on(baseline_pause_ms: int, level_ns: int, expected_ms: int) -> None:
    service = answered(level_ns=level_ns)
    service.baseline_pause_ns = baseline_pause_ms * MS
    assert service.dark_pause_ns == expected_ms * MS


# Dark


def dark(service: Service) -> list[tuple[float, float]]:
    return [(start / MS, end / MS) for start, end in zip(service.dark.start.tolist(), service.dark.end.tolist(), strict=True)]


def test_a_payment_out_of_order_is_dark_until_the_next_is_due() -> None:
    assert dark(answered(failed=(500,))) == [(5000, 5010)]


@pytest.mark.parametrize(
    ("after", "stretches"),
    [
        (1, [(5000, 5020)]),
        (6, [(5000, 5070)]),
        (11, [(5000, 5120)]),  # ten in order between: all of them
        (12, [(5000, 5100), (5120, 5130)]),  # eleven: nine of them
        (16, [(5000, 5060), (5160, 5170)]),
        (20, [(5000, 5020), (5200, 5210)]),
        (21, [(5000, 5010), (5210, 5220)]),  # twenty: none
        (40, [(5000, 5010), (5400, 5410)]),
    ],
)
def test_what_lies_close_between_two_is_dark_with_them(after: int, stretches: list[tuple[float, float]]) -> None:
    assert dark(answered(failed=(500, 500 + after))) == stretches


@pytest.mark.parametrize(
    ("held", "lasts_ms"),
    [(4, 0), (5, 20), (6, 40), (8, 80), (9, 100), (10, 110), (30, 310)],  # a pause of ten more than ten times that
)
def test_of_a_pause_its_beginning_is_dark_and_of_a_long_one_all(held: int, lasts_ms: float) -> None:
    """Payments 500 on wait until the last of them is answered; a pause of more than 50 ms is dark, at first in part."""
    late = {500 + n: (held - n) * 10 * MS + 4 * MS for n in range(held)}
    assert dark(answered(late)) == ([(4994, 4994 + lasts_ms)] if lasts_ms else [])


def test_a_pause_is_dark_less_what_the_host_stood_still() -> None:
    late = {500 + n: (30 - n) * 10 * MS + 4 * MS for n in range(30)}
    assert dark(answered(late, host=spans((5 * S, 5 * S + 200 * MS)))) == [(4994, 5104)]
    assert dark(answered(late, host=spans((5 * S, 5 * S + 250 * MS)))) == [(4994, 5014)]
    assert dark(answered(late, host=spans((5 * S, 5 * S + 270 * MS)))) == []


@pytest.mark.parametrize(("stall_ns", "left_ns"), [((9 * S, 13 * S), 1_004 * MS), ((50 * S, 51 * S), 3_010 * MS)])
def test_an_interruption_is_the_longest_pause_less_the_hosts_part(stall_ns: tuple[int, int], left_ns: int) -> None:
    service = record(Gone(11, 14, "hang"), Gone(30, 31, "hang"))
    assert service.interruption_ns(BEGAN_NS, 60 * S) == 3_010 * MS
    seen = service.forgiving(spans(stall_ns)).interruption_ns(BEGAN_NS, 60 * S)
    assert seen == max(left_ns, 1_010 * MS)  # then the other one is the longest
    assert service.interruption_ns(40 * S, 60 * S) == 10 * MS


def test_an_empty_record_has_no_interruption() -> None:
    nothing: Times = np.zeros(0, dtype=np.int64)
    assert Service(nothing, nothing, np.zeros(0, dtype=np.bool_), interval_ns=10 * MS).interruption_ns(0, 5) == 0


# Return


def test_a_return_at_the_windows_very_end_is_one() -> None:
    service = record(Gone(FAULT_S, 12))
    back_ns = outage(service).episodes[0].return_ns
    assert back_ns == 12 * S + 4 * MS  # when the next acknowledgement came
    assert outage(service, window_end_s=back_ns / 1e9).return_ns == back_ns
    assert outage(service, window_end_s=(back_ns - 1) / 1e9).return_ns is None


def test_a_relapse_back_at_the_windows_very_end_is_settled() -> None:
    service = record(Gone(FAULT_S, 11.6), Gone(32, 36), seconds=70)
    back_ns = 36 * S + 4 * MS
    assert outage(service, window_end_s=back_ns / 1e9).episodes[1].return_ns is not None
    assert outage(service, window_end_s=(back_ns - 1) / 1e9).episodes[1].return_ns is None


def test_ten_seconds_in_order_have_to_be_watched_to_the_nanosecond() -> None:
    service = record(seconds=20)
    assert service.end_ns == 20 * S
    assert outage(service).return_ns == BEGAN_NS
    service = record(seconds=20)
    service.end_ns -= 1
    assert outage(service).return_ns is None


def test_out_of_order_from_the_fault_on_by_one_more_than_allowed_is_no_return_yet() -> None:
    """50 of 1000 may be out of order in the strictest window, and not 51; spread out, they are not dark."""
    fifty, more = (answered(failed=tuple(1000 + 19 * n for n in range(count))) for count in (50, 51))
    assert outage(fifty).episodes[0].return_ns == fifty._bitten_ns(BEGAN_NS)  # all allowances take the window from the fault on
    assert outage(more).episodes[0].return_ns != more._bitten_ns(BEGAN_NS)


@pytest.mark.parametrize(
    ("times", "mean"), [([5], 5), ([1, 2], 2), ([1, 1, 2], 2), ([2, 4], 3), ([7 << 60, (7 << 60) + 1], (7 << 60) + 1)]
)
def test_a_mean_is_rounded_up_and_does_not_overflow(times: list[int], mean: int) -> None:
    assert _mean_up(np.array(times, dtype=np.int64)) == mean


def test_what_was_disturbed_was_not_nothing() -> None:
    assert not outage(record()).disturbed
    assert outage(answered(failed=(1200,))).disturbed
    assert outage(record(Gone(FAULT_S, 60))).disturbed


def test_the_longest_of_several_relapses_has_its_own_length() -> None:
    seen = outage(record(Gone(FAULT_S, 12), Gone(30, 31.5), Gone(50, 56), Gone(80, 82), seconds=110), window_end_s=95)
    assert seen.relapses == 3
    assert [round((e.began_ns) / 1e9) for e in seen.episodes] == [10, 30, 50, 80]
    assert [e.length_ns / 1e9 for e in seen.episodes] == pytest.approx([2.0, 1.5, 6.0, 2.0], abs=0.05)  # type: ignore[operator]
    assert seen.return_ns == seen.episodes[-1].return_ns


def test_of_a_relapse_in_pieces_each_allowance_takes_the_longest() -> None:
    """Gone from 30 s to 31.2 s and from 60 s to 66 s, 7 % between: one stretch of 36 s for the strict, and of 6 s for others."""
    pieces = {*range(3000, 3120), *range(6000, 6600), *(n for n in range(3120, 6000) if n % 100 < 7)}
    _, relapse = outage(answered(failed=tuple(sorted(pieces)), seconds=100)).episodes
    assert relapse.began_ns == pytest.approx(30e9, abs=0.02e9)
    strict, generous = 20, 31  # of the 51 allowances
    assert relapse.length_ns == pytest.approx((strict * 36e9 + generous * 6e9) / 51, rel=0.1)  # and what is dark beside them


def test_a_return_that_was_not_watched_is_told_from_the_first_moment_in_order() -> None:
    """At the end, fewer than 5 % of what was still due may be out of order."""
    service = record(Gone(FAULT_S, 20), seconds=26)
    assert outage(service).unsettled_return_ns == 20 * S + 4 * MS
    assert outage(service, window_end_s=20.004).unsettled_return_ns == 20 * S + 4 * MS
    assert outage(service, window_end_s=20.003).unsettled_return_ns is None
    strays = record(Gone(FAULT_S, 20), Gone(23, 23.2), seconds=26)  # 20 of 600
    assert outage(strays).unsettled_return_ns == pytest.approx(20 * S + 204 * MS, abs=15 * MS)
    never = record(Gone(FAULT_S, 26), seconds=26)
    assert outage(never).unsettled_return_ns is None


def test_an_unsettled_relapse_is_told_from_where_it_began() -> None:
    """`before_ns` and how long it lasted: for the figure is the length of an episode, not the time since the fault."""
    service = record(Gone(FAULT_S, 12), Gone(40, 45), seconds=50)
    seen = outage(service)
    assert seen.episodes[-1].return_ns is None
    assert seen.unsettled_return_ns == pytest.approx(BEGAN_NS + 5 * S, abs=0.02e9)


# The end


@pytest.mark.parametrize(("failed", "in_order"), [(25, True), (26, False)])
def test_at_the_end_nineteen_in_twenty_are_in_order(failed: int, in_order: bool) -> None:
    service = answered(failed=tuple(range(5600, 5600 + failed)))
    assert service.in_order_at_end is in_order


def test_only_the_last_five_seconds_are_the_end() -> None:
    assert answered(failed=tuple(range(5400, 5500))).in_order_at_end
    assert not answered(failed=tuple(range(5474, 5526))).in_order_at_end  # 26 of them due in the last 5 s
    nothing: Times = np.zeros(0, dtype=np.int64)
    assert not Service(nothing, nothing, np.zeros(0, dtype=np.bool_), interval_ns=10 * MS).in_order_at_end


def test_availability_counts_from_that_moment_on() -> None:
    service = answered(failed=(1000, 2000))
    assert service.availability(10 * S) == 1 - 2 / 5000
    assert service.availability(10 * S + 1) == 1 - 1 / 4999
    assert service.availability(60 * S) is None
