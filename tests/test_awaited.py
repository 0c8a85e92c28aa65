"""A condition that was not reached is the bank's FAIL, unless the host's stalls may have decided it; a sure miss is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agreement import compare
from judging.awaited import missed
from judging.evidence import Event, Evidence, Plan, Targets
from judging.host import Host
from judging.host import Stall as HostStall
from judging.intervals import Interval
from judging.judge import judge
from judging.measure import Measurement, measure
from judging.records import Until
from tests.synthetic import SCENARIOS, Scenario, Stall, write_run
from tests.test_forgeries import light

S = 1_000_000_000
ENDED_NS = 500 * S  # each wait below ends here


def decided(*stalls: tuple[float, float], within_s: float = 60, waited_s: float | None = 60.1) -> str:
    """What an unreached wait is, with stalls of the host's disk; seconds from where the wait began."""
    began_ns = ENDED_NS - round((within_s if waited_s is None else waited_s) * S)
    host = Host([HostStall("disk", began_ns + round(a * S), began_ns + round(b * S)) for a, b in stalls])
    event = Event(seq=1, t_ns=ENDED_NS, wall="2026-01-15T02:00:00Z", source="harness", kind="until", text="", data={}, prev="")
    found = missed([(event, Until(condition="service_restored", within_s=within_s, reached=False, waited_s=waited_s))], host)
    assert len(found.breaches) + len(found.undecided) == 1
    return "breach" if found.breaches else "undecided"


@pytest.mark.parametrize(
    ("stalls", "what"),
    [
        ([], "breach"),
        ([(-9.0, -3.0)], "breach"),  # over before the wait, and what queued up in it too
        ([(10.0, 12.0)], "breach"),  # 2 s, and 1 s to serve what queued up: a twentieth
        ([(10.0, 15.2)], "undecided"),  # 5.2 s and 1 s: over a tenth
        ([(10.0, 15.0)], "breach"),  # 6 s of 60.1 s: 54.1 s are left, and 54 s are nine tenths
        ([(t, t + 0.06) for t in range(0, 50)], "breach"),  # what every busy host does: 50 times 60 ms, and as long again
        ([(t, t + 0.07) for t in range(0, 50)], "undecided"),  # 7 s
        ([(55.0, 56.0)], "undecided"),  # a long one in the last 10 s
        ([(49.0, 50.2)], "undecided"),  # it reaches into them
        ([(49.0, 50.1)], "breach"),  # it does not
        ([(55.0, 55.99)], "breach"),  # it is not long
        ([(60.1, 70.0)], "breach"),  # after the wait
    ],
)
def test_which_stalls_may_have_decided_a_wait(stalls: list[tuple[float, float]], what: str) -> None:
    assert decided(*stalls) == what


def test_what_was_waited_beyond_the_patience_counts_for_the_bank() -> None:
    """It had its time though the host stalled: it was waited for so much longer."""
    assert decided((10.0, 20.0), waited_s=60.1) == "undecided"
    assert decided((10.0, 20.0), waited_s=71.0) == "breach"
    assert decided((5.0, 6.0), waited_s=None) == "breach"  # how long it was waited is not told: as long as was planned
    assert decided((1.5, 2.0), within_s=5, waited_s=5.0) == "undecided"


def test_version_1_knows_nothing_of_its_host() -> None:
    event = Event(seq=1, t_ns=ENDED_NS, wall="2026-01-15T02:00:00Z", source="harness", kind="until", text="", data={}, prev="")
    found = missed([(event, Until(condition="c", within_s=30, reached=False, waited_s=30, seen="503"))], None)
    assert found.breaches == ["Awaited c within 30 s; it was not reached, seen: 503."]
    assert found.undecided == []


AWAITED = ("service_restored", 20.0, False, 20.0)  # reached too late: 22 s after the fault


@pytest.mark.parametrize(
    ("stalls", "verdict"), [((), "FAIL"), ((Stall(25.0, 25.5),), "FAIL"), ((Stall(42.0, 43.5),), "INVALID")], ids=len
)
def test_both_verifiers_leave_the_host_its_part(tmp_path: Path, stalls: tuple[Stall, ...], verdict: str) -> None:
    run = write_run(tmp_path / "run", light(Scenario(until=(AWAITED,), stalls=stalls, targets=Targets())))
    judged, verified, found = compare(run)
    assert found == []
    assert (judged["verdict"], verified["doubts"]) == (verdict, [])
    assert "service_restored" in judged["reasons"][0]
    if verdict == "INVALID":
        assert judged["reasons"][0].endswith(
            "the host's disk stalled for 1.5 s at +16.4 s of the wait; run again on a quieter machine."
        )


# One sure miss is enough


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Measurement, Plan]:
    evidence = Evidence(write_run(tmp_path_factory.mktemp("awaited") / "run", light(Scenario())))
    return measure(evidence), evidence.plan


ACROSS = Interval(low=20.0, high=23.0, reasons=["the injection took 2.7 s"])
MISSED = Interval(low=6.0, high=6.5)


def verdict_of(newest: tuple[Measurement, Plan], targets: Targets, **figures: Any) -> tuple[str, list[str]]:
    measured, plan = newest
    fault = measured.faults[0].model_copy(update={"rto_s": 22.0, "rto_interval": ACROSS})
    known = {**(measured.intervals or {}), "rto_s": ACROSS, "interruption_s": MISSED}
    changed = {"faults": [fault], "rto_s": 22.0, "interruption_s": 6.5, "intervals": known, **figures}
    given = judge(measured.model_copy(update=changed), targets, plan=plan, manifest_sha256=None)
    return given.verdict, given.reasons


def test_a_sure_miss_beside_an_undecided_figure_is_a_fail(newest: tuple[Measurement, Plan]) -> None:
    verdict, reasons = verdict_of(newest, Targets(rto_s=21, interruption_s=5))
    assert verdict == "FAIL"
    assert [reason.split(" ")[0] for reason in reasons] == ["Interruption", "RTO"]  # the miss first
    assert "lies between 20.0 and 23.0 s" in reasons[1]
    assert verdict_of(newest, Targets(rto_s=21))[0] == "INVALID"  # the undecided one alone
    assert verdict_of(newest, Targets(rto_s=21, interruption_s=7))[0] == "INVALID"  # a target met does not decide another


def test_a_breach_beside_an_undecided_figure_is_a_fail(newest: tuple[Measurement, Plan]) -> None:
    assert verdict_of(newest, Targets(rto_s=21), breaches=["A breach."])[0] == "FAIL"
    verdict, reasons = verdict_of(newest, Targets(interruption_s=5), undecided=["Perhaps the host."])
    assert (verdict, reasons[1]) == ("FAIL", "Perhaps the host.")
    assert verdict_of(newest, Targets(), undecided=["Perhaps the host."]) == ("INVALID", ["Perhaps the host."])


def test_a_doubt_goes_before_a_sure_miss(newest: tuple[Measurement, Plan]) -> None:
    verdict, reasons = verdict_of(newest, Targets(rto_s=21, interruption_s=5), doubts=["A doubt."])
    assert (verdict, [reason.split(" ")[0] for reason in reasons]) == ("INVALID", ["A", "Interruption", "RTO"])
    # a figure that is not known at all is a doubt, and not a question of its interval
    verdict, reasons = verdict_of(newest, Targets(interruption_s=5, detect_s=30), detect_s=None)
    assert verdict == "INVALID"
    assert "could not be measured" in reasons[0]


def test_both_verifiers_fail_a_run_with_one_sure_miss(tmp_path: Path) -> None:
    """Nobody knows whether service stayed, and payments are gone."""
    ends = replace(SCENARIOS["lost-payments"].faults[0], heal_s=None)
    targets = Targets(rto_s=30, lost_transactions=0)
    story = Scenario(
        faults=(ends,), ends_s=25.05 + 22 + 6, lost=14, targets=targets, until=(("service_restored", 60, True, 22.6),)
    )
    run = write_run(tmp_path / "run", light(story))
    judged, verified, found = compare(run)
    assert found == []
    assert (judged["verdict"], verified["doubts"], len(verified["undecided"])) == ("FAIL", [], 1)
    assert "was not watched" in judged["reasons"][-1]
