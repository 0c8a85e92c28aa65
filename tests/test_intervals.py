"""The ends of each interval and the reasons of its width, from records and stalls made up by hand."""

from __future__ import annotations

import numpy as np
import pytest

from judging import intervals
from judging.host import Host, Stall
from judging.injections import Injection
from judging.intervals import Interval
from judging.outage import Episode, Outage, Service
from tests.test_outage import Gone, record

S = 1_000_000_000
MS = 1_000_000
QUIET = Host([])


def injection(
    before_s: float = 10.0, took_s: float = 0.4, *, window_end_s: float = 60.0, felt_until_s: float = 60.0
) -> Injection:
    before, after = round(before_s * S), round((before_s + took_s) * S)
    end, felt = round(window_end_s * S), round(felt_until_s * S)
    return Injection("f1", "NodeKilled", "dc1-a", "", before, after, end, felt, proved=True, healed=True)


def disk(*stalls: tuple[float, float]) -> Host:
    return Host([Stall("disk", round(start * S), round(end * S)) for start, end in stalls])


def outage(service: Service, one: Injection) -> Outage:
    return service.outage(before_ns=one.before_ns, after_ns=one.after_ns, window_end_ns=one.window_end_ns)


def rto(service: Service, host: Host, one: Injection, *, late_ns: int = 3 * MS) -> Interval:
    return intervals.rto(service, host, one, outage(service, one), late_ns=late_ns)


# Ends


@pytest.mark.parametrize(
    ("nanoseconds", "down_s", "up_s"),
    [(0, 0, 0), (1, 0, 0.001), (999_999, 0, 0.001), (MS, 0.001, 0.001), (MS + 1, 0.001, 0.002), (22 * S, 22, 22)],
)
def test_a_low_end_is_rounded_down_and_a_high_end_up(nanoseconds: int, down_s: float, up_s: float) -> None:
    assert (intervals.down(nanoseconds), intervals.up(nanoseconds)) == (down_s, up_s)


def test_a_low_end_is_never_below_zero() -> None:
    assert intervals.down(-1) == intervals.down(-5 * S) == 0


def test_an_exact_figure_is_both_ends() -> None:
    assert intervals.exact(None) is None
    assert intervals.exact(4.5) == Interval(low=4.5, high=4.5, reasons=[], host_s=0.0)


def test_of_several_faults_the_largest_ends_and_the_reasons_of_the_highest() -> None:
    one = Interval(low=3.0, high=4.0, reasons=["one"], host_s=1.0)
    two = Interval(low=1.0, high=9.0, reasons=["two"], host_s=2.0)
    endless = Interval(low=None, high=None, reasons=["endless"], host_s=3.0)
    assert intervals.worst([one, two]) == Interval(low=3.0, high=9.0, reasons=["two"], host_s=2.0)
    assert intervals.worst([two, endless, one]) == Interval(low=3.0, high=None, reasons=["endless"], host_s=3.0)
    assert intervals.worst([endless]) == Interval(low=0.0, high=None, reasons=["endless"], host_s=3.0)
    assert intervals.worst([Interval(low=None, high=0.4)]) == Interval(low=0.0, high=0.4)
    assert intervals.worst([]) is None
    assert intervals.worst([one, None]) is None


def test_the_longest_episode_is_the_figure_and_one_without_end_is_longer() -> None:
    first, relapse, endless = Episode(0, 5), Episode(20, 26), Episode(40, None)
    seen = Outage(True, 0, 5, None, 1, (first, relapse))
    assert intervals.longest(seen) == relapse
    assert intervals.longest(Outage(True, 0, None, None, 2, (relapse, endless, first))) == endless


# RTO


def test_an_rto_is_as_exact_as_the_injection_and_the_probe() -> None:
    one = injection(took_s=0.4)
    service = record(Gone(10, 15))
    figure_ns = outage(service, one).episodes[0].length_ns
    assert figure_ns is not None
    assert rto(service, QUIET, one) == Interval(
        low=intervals.down(figure_ns - 400 * MS - 14 * MS),  # a payment every 10 ms, and each may take 4 ms
        high=intervals.up(figure_ns + 13 * MS),
        reasons=[
            "the injection took 400 ms",
            "a payment is due every 10 ms and may take 4 ms",
            "the probe sent payments up to 3 ms late",
        ],
        host_s=0.0,
    )


def test_what_widens_by_less_than_a_millisecond_goes_without_saying() -> None:
    service = record(Gone(10, 15))
    for late_ns, said in ((MS, True), (MS - 1, False)):
        reasons = rto(service, QUIET, injection(), late_ns=late_ns).reasons
        assert any("late" in reason for reason in reasons) is said


def test_times_of_a_second_and_more_are_told_in_seconds() -> None:
    service = record(Gone(10, 15))
    for took_s, words in ((0.9994, "999 ms"), (1.0, "1.0 s"), (2.66, "2.7 s")):
        assert rto(service, QUIET, injection(took_s=took_s)).reasons[0] == f"the injection took {words}"


def test_without_a_return_only_a_low_end_is_known() -> None:
    one = injection(window_end_s=40)
    seen = rto(record(Gone(10, 59)), QUIET, one)
    assert seen.high is None
    assert seen.low == pytest.approx(30 - 0.4 - 0.014, abs=1e-9)


def test_a_stall_of_the_host_is_forgiven_taken_off_and_named_first() -> None:
    one, service = injection(took_s=0), record(Gone(10, 14), Gone(18, 20, "hang"))
    host = disk((18, 20))
    figure_ns = outage(service, one).episodes[0].length_ns
    forgiven_ns = outage(service.forgiving(host.excuses), one).episodes[0].length_ns
    assert figure_ns is not None
    assert forgiven_ns is not None
    assert figure_ns > forgiven_ns + 1.5 * S
    seen = rto(service, host, one)
    assert seen.low == intervals.down(forgiven_ns - 14 * MS - 2 * S)
    assert seen.high == intervals.up(figure_ns + 13 * MS)
    assert seen.host_s == intervals.up(figure_ns - forgiven_ns + 2 * S)
    assert seen.reasons[0] == "the host's disk stalled for 2.0 s at +8.0 s"


def test_host_time_within_the_outage_is_taken_off_though_it_excuses_nothing() -> None:
    """The bank was gone long before and long after the stall: it may still have cost the bank that time."""
    one, service = injection(took_s=0.1), record(Gone(10, 20))
    seen, quiet = rto(service, disk((12, 12.5)), one), rto(service, QUIET, one)
    assert seen.low is not None
    assert quiet.low is not None
    assert seen.low == pytest.approx(quiet.low - 0.5, abs=0.005)  # and what is forgiven ends an answer's time earlier
    assert seen.high == quiet.high
    assert seen.host_s == pytest.approx(0.5, abs=0.005)
    assert seen.reasons[:2] == ["the host's disk stalled for 500 ms at +2.0 s", "the injection took 100 ms"]


def test_a_stall_until_ten_seconds_after_the_return_is_named_and_a_later_one_is_not() -> None:
    service, one = record(Gone(10, 12)), injection()
    host = disk((11, 11.2), (21.9, 22.4))
    assert "500 ms at +11.9 s" in rto(service, host, one).reasons[0] or "500 ms at +11.9 s" in rto(service, host, one).reasons[1]
    reasons = " ".join(rto(service, disk((11, 11.2), (22.1, 22.6)), one).reasons)
    assert "200 ms at +1.0 s" in reasons


def test_a_relapse_of_the_hosts_is_forgiven_and_the_first_return_is_not() -> None:
    one = injection(took_s=0)
    service = record(Gone(10, 14), Gone(25, 35), seconds=70)
    for host, low_s in ((QUIET, 10), (disk((24, 25.5)), 3.5), (disk((5, 6.5)), 10)):
        seen = rto(service, host, one)
        assert seen.low == pytest.approx(low_s - 0.014, abs=0.03)
        assert seen.high == pytest.approx(10, abs=0.05)
    first = rto(record(Gone(10, 20), seconds=70), disk((9.5, 11)), one)
    assert first.low == pytest.approx(
        10 - 1 - 0.014, abs=0.06
    )  # the first outage began in a stall, and is the fault's all the same


def test_a_relapse_without_end_is_as_long_as_it_was_watched() -> None:
    one = injection(took_s=0, window_end_s=50)
    seen = rto(record(Gone(10, 14), Gone(30, 69), seconds=70), disk((2, 2.2)), one)
    assert seen.low == pytest.approx(20 - 0.014, abs=0.02)
    assert seen.high is None


@pytest.mark.parametrize(
    ("stall_ns", "hosts"),
    [
        ((18 * S, 19 * S), True),  # a second long, and ended a second before
        ((18 * S, 19 * S - 1), False),
        ((17 * S, 19 * S - 1), False),  # long enough, and over too early
        ((17 * S, 19 * S), True),
        ((20 * S, 21 * S), True),
        ((20 * S, 21 * S - 1), False),  # a nanosecond too short
        ((21 * S, 22 * S), True),
        ((21 * S + 1, 23 * S), False),  # began too late
    ],
)
def test_a_relapse_may_be_the_hosts_when_it_began_in_a_long_stall(stall_ns: tuple[int, int], hosts: bool) -> None:
    host = Host([Stall("disk", *stall_ns)])
    assert intervals._from_the_host(host, Episode(20 * S, 25 * S), record()) is hosts


def test_one_long_stall_among_short_ones_is_enough() -> None:
    host = Host([Stall("core", 19 * S, 19 * S + 9, 0), Stall("disk", 20 * S, 22 * S), Stall("core", 40 * S, 44 * S, 1)])
    assert intervals._from_the_host(host, Episode(20 * S, 25 * S), record())


# The other figures


def test_an_interruption_is_exact_where_the_host_was_quiet() -> None:
    one, service = injection(), record(Gone(12, 14, "hang"))
    figure_ns = service.interruption_ns(one.before_ns, one.felt_until_ns)
    assert figure_ns == 2010 * MS
    assert intervals.interruption(service, QUIET, one, figure_ns + 1) == Interval(low=2.01, high=2.011)


def test_an_interruption_is_shorter_by_the_hosts_stall() -> None:
    one, service = injection(), record(Gone(12, 14, "hang"))
    figure_ns = service.interruption_ns(one.before_ns, one.felt_until_ns)
    seen = intervals.interruption(service, disk((12.5, 13.5)), one, figure_ns)
    assert seen.low == intervals.down(figure_ns - S)
    assert seen.high == intervals.up(figure_ns)
    assert (seen.host_s, seen.reasons) == (1.0, ["the host's disk stalled for 1.0 s at +2.5 s"])
    early = intervals.interruption(service, disk((3, 9)), one, figure_ns)
    assert (early.host_s, early.reasons) == (0.0, [])  # before the fault


def test_a_detection_lies_between_two_looks_and_is_later_by_the_hosts_stalls() -> None:
    one, t_ns = injection(took_s=0.1), 20 * S + 1
    assert intervals.detection(QUIET, one, t_ns, 2 * S) == Interval(
        low=7.9, high=10.001, reasons=["the look before was 2.0 s earlier", "the injection took 100 ms"]
    )
    assert intervals.detection(disk((12, 12.5), (19, 25)), one, t_ns, 0) == Interval(
        low=8.4,
        high=10.001,
        reasons=["the host's disk stalled for 6.0 s at +9.0 s", "the injection took 100 ms"],
        host_s=1.501,
    )
    assert intervals.detection(disk((21, 25), (2, 9)), one, t_ns, 0).host_s == 0.0


def test_availability_is_higher_where_the_hosts_stalls_are_forgiven() -> None:
    service = record(Gone(20, 22, "slow"))  # answered after 1.5 s
    figure = int((service.availability(10 * S) or 0) * 1e6) / 1e6
    assert intervals.availability(service, QUIET, 10 * S, figure) == Interval(low=figure, high=figure)
    stalled = intervals.availability(service, disk((20, 23.6)), 10 * S, figure)
    assert stalled == Interval(low=figure, high=1.0, reasons=["the host's disk stalled for 3.6 s at +10.0 s"], host_s=3.6)
    elsewhere = intervals.availability(service, disk((5, 9), (40, 41)), 10 * S, figure)
    assert elsewhere == Interval(low=figure, high=figure, reasons=[], host_s=1.0)
    assert figure < 0.97


def test_unprotected_time_may_be_longer_by_what_nobody_saw() -> None:
    assert intervals.unprotected(1.1, 2.2) == Interval(low=1.1, high=3.3, reasons=["no sample tells of 2.2 s"])
    assert intervals.unprotected(1.1, 0.0) == Interval(low=1.1, high=1.1)


def test_arrays_of_times_stay_exact() -> None:
    """Nanoseconds of a host that has been up for years: no float may come between."""
    late = 400 * 86_400 * S
    due = np.arange(0, 60_000, 10, dtype=np.int64) * MS + late
    service = Service(due, due + 4 * MS, np.ones(len(due), dtype=np.bool_), interval_ns=10 * MS)
    assert service.interruption_ns(late, late + 60 * S) == 10 * MS
