"""Where a verdict turns: the figure that is just within its target, and the one that just is not. Measurements by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from judging.evidence import Evidence, Plan, Targets
from judging.intervals import Interval
from judging.judge import Verdict, judge, verdict_json
from judging.measure import EpisodeMeasurement, FaultMeasurement, Measurement, Phases
from tests.synthetic import Scenario, write_run
from tests.test_measure import light

UNKNOWN = "the measurement is no more exact; run again"
LIES = "Time to detect 9.5 s lies between {} and {} s, and the target is 10 s: " + UNKNOWN + "."
QUIETER = "run again on a quieter machine"
DISK = "the host's disk stalled for 1.1 s at +29.6 s"
INJECTION = "the injection took 2.7 s"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return Evidence(write_run(tmp_path_factory.mktemp("edges") / "run", light(Scenario()))).plan


def fault(**changes: Any) -> FaultMeasurement:
    known: dict[str, Any] = {
        "id": "f1", "name": "CenterPowerLoss", "target": "dc1", "injected_at": "2026-01-15T02:00:25Z", "before_ns": 0,
        "after_ns": 0, "window_end_ns": 37_000_000_000, "proved": True, "traffic": 10, "disturbed": True, "rto_s": 22.0,
        "rto_first_success_s": 22.0, "rto_resolution_s": 0.4, "observed_s": 37.0, "relapses": 0, "phases": Phases(),
        "borders": [], "interruption_s": 5.0, "detect_s": 10.0, "old_primary": "dc1-a", "new_primary": "dc2-a", "healed": True,
    }  # fmt: skip
    return FaultMeasurement(**(known | changes))


def measured(*faults: FaultMeasurement, **changes: Any) -> Measurement:
    known: dict[str, Any] = {
        "baseline_rate_per_s": 25.0, "baseline_pause_s": 0.1, "faults": faults, "rto_s": 22.0, "rto_first_success_s": 22.0,
        "rto_resolution_s": 0.4, "phases": Phases(), "interruption_s": 5.0, "detect_s": 10.0, "rpo_s": 4.0,
        "wal_bytes_lost": 7, "sources": [], "acknowledged": 100, "refused": 3, "unknown": 2, "unknown_committed": 1,
        "lost_transactions": 2, "lost_keys": [], "autopsy_lost_keys": None, "autopsy_absent": None, "duplicated": 0,
        "phantom": 0, "unprotected_s": 1.0, "unprotected_acknowledged": 6, "protection_unknown_s": 0.0,
        "availability": 0.999, "copies": [], "authority": "dc2-a", "first_payment_s": 14.2, "full_redundancy_s": 18.1,
        "conditions": [], "doubts": [], "breaches": [],
    }  # fmt: skip
    return Measurement(**(known | changes))


def between(low: float | None, high: float | None, *reasons: str, host_s: float = 0.0) -> Interval:
    return Interval(low=low, high=high, reasons=list(reasons), host_s=host_s)


def told(plan: Plan, measurement: Measurement, **targets: Any) -> tuple[str, list[str]]:
    seen = judge(measurement, Targets(**targets), plan=plan, manifest_sha256=None)
    return seen.verdict, seen.reasons


def newest(plan: Plan, *faults: FaultMeasurement, intervals: dict[str, Interval | None] | None = None, **rest: Any) -> Verdict:
    """By version 2: `rest` are figures, and targets under `targets`."""
    targets = rest.pop("targets")
    return judge(measured(*faults, intervals=intervals or {}, **rest), Targets(**targets), plan=plan, manifest_sha256=None)


# Exactly the target is within it


AT_TARGET = {
    "rto_s": 22.0, "rpo_s": 4.0, "lost_transactions": 2, "interruption_s": 5.0, "detect_s": 10.0, "unprotected_s": 1.0,
    "availability": 0.999,
}  # fmt: skip
SAYS = {
    "rto_s": "RTO 22.0 s is within the target of 22 s.",
    "rpo_s": "RPO 4.0 s is within the target of 4 s.",
    "lost_transactions": "Lost payments 2 is within the target of 2.",
    "interruption_s": "Interruption 5.0 s is within the target of 5 s.",
    "detect_s": "Time to detect 10.0 s is within the target of 10 s.",
    "unprotected_s": "Unprotected time 1.0 s is within the target of 1 s.",
    "availability": "Availability 99.9000% is within the target of 99.9000%.",
}


@pytest.mark.parametrize("name", AT_TARGET)
@pytest.mark.parametrize("version", [1, 2])
def test_a_figure_that_is_its_target_is_within_it(plan: Plan, name: str, version: int) -> None:
    exactly = between(AT_TARGET[name], AT_TARGET[name])
    seen = measured(fault(rto_interval=exactly), intervals=None if version == 1 else {name: exactly})
    assert told(plan, seen, **{name: AT_TARGET[name]}) == ("PASS", [SAYS[name]])


def test_every_target_that_was_set_is_asked_and_no_other(plan: Plan) -> None:
    exact = {name: between(value, value) for name, value in AT_TARGET.items()}
    for intervals in (None, exact):
        seen = measured(fault(rto_interval=exact["rto_s"]), intervals=intervals)
        assert told(plan, seen, **AT_TARGET) == ("PASS", list(SAYS.values()))
        assert told(plan, seen) == ("PASS", ["No target was set; every fault is proved and the ledger balances."])


# Version 1


def test_watched_for_exactly_the_target_is_not_yet_a_miss(plan: Plan) -> None:
    gone = fault(rto_s=None, observed_s=30.0)
    words = "RTO: service did not return in the 30.0 s it was watched (target {} s)."
    assert told(plan, measured(gone), rto_s=30) == ("INVALID", [words.format("30")])
    assert told(plan, measured(gone), rto_s=29.999) == ("FAIL", [words.format("29.999")])


def test_back_at_exactly_the_target_and_not_watched_on_is_a_doubt(plan: Plan) -> None:
    back = fault(rto_s=None, observed_s=37.0, unsettled_return_s=30.0)
    words = "RTO: service was back after 30.0 s and was not watched for the 10 s that show whether it stayed (target 30 s)."
    assert told(plan, measured(back), rto_s=30) == ("INVALID", [words])
    assert told(plan, measured(back), rto_s=29.5)[0] == "FAIL"


def test_each_fault_without_a_return_is_told_and_those_after_it_too(plan: Plan) -> None:
    back = fault(id="f1", rto_s=None, unsettled_return_s=3.0)
    verdict, reasons = told(plan, measured(back, fault(id="f2", rto_s=40.0, name="NodeKilled", target="dc2-a")), rto_s=30)
    assert verdict == "INVALID"
    assert reasons[1] == "RTO of f2 (NodeKilled of dc2-a) 40.0 s misses the target of 30 s."
    assert reasons[0].startswith("RTO of f1 (CenterPowerLoss of dc1): service was back after 3.0 s")


def test_without_a_fault_there_is_no_rto(plan: Plan) -> None:
    no_intervals: dict[str, Interval | None] = {}
    for intervals in (None, no_intervals):
        assert told(plan, measured(intervals=intervals), rto_s=30) == (
            "INVALID",
            ["RTO could not be measured (target 30 s)."],
        )


@pytest.mark.parametrize(
    ("unknown_s", "target_s", "verdict", "reason"),
    [
        (2.0, 3, "PASS", "Unprotected time 1.0 s is within the target of 3 s."),
        (2.001, 3, "INVALID", "Unprotected time could not be measured: 1.0 s, and 2.001 s that no sample tells of (target 3 s)."),
        (None, 3, "INVALID", "Unprotected time could not be measured: 1.0 s, and 0.0 s that no sample tells of (target 3 s)."),
        (None, 0.5, "FAIL", "Unprotected time 1.0 s misses the target of 0.5 s."),
    ],
)
def test_unprotected_time_counts_what_nobody_saw(
    plan: Plan, unknown_s: float | None, target_s: float, verdict: str, reason: str
) -> None:
    seen = measured(fault(), protection_unknown_s=unknown_s)
    assert told(plan, seen, unprotected_s=target_s) == (verdict, [reason])


def test_an_interruption_that_did_not_end_is_no_pass(plan: Plan) -> None:
    words = "Interruption: service did not return while it was watched (target 6 s)."
    for intervals in (None, {"interruption_s": between(5.0, 5.0)}):
        seen = measured(fault(rto_s=None), fault(id="f2"), intervals=intervals)
        assert told(plan, seen, interruption_s=6) == ("INVALID", [words])
        missed = told(plan, seen, interruption_s=4)
        assert missed == ("FAIL", ["Interruption 5.0 s misses the target of 4 s."])
        assert told(plan, measured(fault(), intervals=intervals), interruption_s=6)[0] == "PASS"


@pytest.mark.parametrize(
    ("value", "words"),
    [(22.0, "22.0"), (0.047, "0.047"), (0.5, "0.5"), (100.0, "100.0"), (22.05, "22.05"), (0.0, "0.0")],
)
def test_figures_are_as_exact_as_they_are_kept(plan: Plan, value: float, words: str) -> None:
    assert told(plan, measured(fault(rto_s=value)), rto_s=300)[1] == [f"RTO {words} s is within the target of 300 s."]


# Version 2


@pytest.mark.parametrize(
    ("interval", "verdict", "reason"),
    [
        (between(9.0, 10.0), "PASS", "Time to detect 9.5 s (9.0 to 10.0 s) is within the target of 10 s."),
        (between(10.0, 10.0), "PASS", "Time to detect 9.5 s is within the target of 10 s."),
        (between(9.0, 10.001), "INVALID", LIES.format("9.0", "10.001")),
        (between(10.0, 11.0), "INVALID", LIES.format("10.0", "11.0")),
        (between(10.001, 11.0), "FAIL", "Time to detect 9.5 s (10.001 to 11.0 s) misses the target of 10 s."),
        (between(11.0, 11.0), "FAIL", "Time to detect 9.5 s misses the target of 10 s."),
        (between(None, 9.0), "INVALID", "Time to detect could not be measured (target 10 s)."),
        (between(11.0, None), "INVALID", "Time to detect could not be measured (target 10 s)."),
        (None, "INVALID", "Time to detect could not be measured (target 10 s)."),
    ],
)  # fmt: skip
def test_the_whole_interval_decides(plan: Plan, interval: Interval | None, verdict: str, reason: str) -> None:
    seen = newest(plan, fault(), intervals={"detect_s": interval}, detect_s=9.5, targets={"detect_s": 10})
    assert (seen.verdict, seen.reasons) == (verdict, [reason])


@pytest.mark.parametrize(
    ("reasons", "host_s", "cause"),
    [
        ((INJECTION, DISK), 0.0, f"{INJECTION}; run again"),
        ((INJECTION, DISK), 1.0, f"{INJECTION}; run again"),  # 9 s and the host's second are not over 10 s
        ((INJECTION, DISK), 1.001, f"{DISK}; run again on a quieter machine"),
        ((DISK, INJECTION), 0.5, f"{DISK}; run again on a quieter machine"),
        ((INJECTION,), 5.0, f"{INJECTION}; run again"),
        ((), 5.0, UNKNOWN),
    ],
)
def test_the_host_is_named_where_it_decides(plan: Plan, reasons: tuple[str, ...], host_s: float, cause: str) -> None:
    across = between(9.0, 12.0, *reasons, host_s=host_s)
    seen = newest(plan, fault(), intervals={"detect_s": across}, targets={"detect_s": 10})
    assert (seen.verdict, seen.reasons) == (
        "INVALID",
        [f"Time to detect 10.0 s lies between 9.0 and 12.0 s, and the target is 10 s: {cause}."],
    )


GONE = "RTO: service did not return in the 37.0 s it was watched (target {:g} s)"


@pytest.mark.parametrize(
    ("changes", "target_s", "verdict", "reason"),
    [
        ({"unsettled_return_s": 30.0}, 30, "INVALID", "RTO: service was back after 30.0 s and was not watched for the 10 s that"
         " show whether it stayed (target 30 s)."),
        ({"unsettled_return_s": 30.001, "rto_interval": between(31.0, None)}, 30, "FAIL", GONE.format(30) + "."),
        ({"rto_interval": between(30.001, None)}, 30, "FAIL", GONE.format(30) + "."),
        ({"rto_interval": between(30.0, None, DISK)}, 30, "INVALID", GONE.format(30) + f"; {DISK}; {QUIETER}."),
        ({"rto_interval": between(30.0, None, INJECTION)}, 37, "INVALID", GONE.format(37) + "."),
        ({"rto_interval": between(30.0, None, INJECTION)}, 36.9, "INVALID", GONE.format(36.9) + f"; {INJECTION}; run again."),
        ({"rto_interval": between(None, None, INJECTION, DISK, host_s=31.0)}, 30, "INVALID",
         GONE.format(30) + f"; {DISK}; {QUIETER}."),
        ({"rto_interval": between(None, None, INJECTION, DISK, host_s=30.0)}, 30, "INVALID",
         GONE.format(30) + f"; {INJECTION}; run again."),
        ({"rto_interval": None}, 30, "INVALID", GONE.format(30) + "."),
    ],
)  # fmt: skip
def test_no_return_is_a_miss_when_service_was_certainly_gone_for_longer(
    plan: Plan, changes: dict[str, Any], target_s: float, verdict: str, reason: str
) -> None:
    seen = newest(plan, fault(rto_s=None, **changes), targets={"rto_s": target_s})
    assert (seen.verdict, seen.reasons) == (verdict, [reason])


def test_a_relapse_says_where_it_began_and_was_watched_from_there(plan: Plan) -> None:
    back, gone = fault(rto_from_s=16.0, rto_interval=between(22.0, 22.0)), fault(rto_from_s=16.5, rto_s=None)
    assert newest(plan, back, targets={"rto_s": 30}).reasons == [
        "RTO, of a relapse after 16.0 s, 22.0 s is within the target of 30 s."
    ]
    assert newest(plan, gone, targets={"rto_s": 30}).reasons == [
        "RTO, of a relapse after 16.5 s,: service did not return in the 20.5 s it was watched (target 30 s)."
    ]
    barely = fault(rto_from_s=0.001, rto_interval=between(22.0, 22.0))
    assert "of a relapse after 0.001 s" in newest(plan, barely, targets={"rto_s": 30}).reasons[0]


def test_each_fault_is_held_against_the_target_by_its_own_interval(plan: Plan) -> None:
    one = fault(rto_s=None, rto_interval=between(31.0, None))
    two = fault(id="f2", name="NodeKilled", target="dc2-a", rto_interval=between(21.0, 23.0))
    seen = newest(plan, one, two, targets={"rto_s": 22.5})
    assert seen.verdict == "FAIL"  # one sure miss is enough, whatever is undecided beside it
    assert seen.reasons[0].startswith("RTO of f1 (CenterPowerLoss of dc1): service did not return")
    assert seen.reasons[1].startswith("RTO of f2 (NodeKilled of dc2-a) 22.0 s lies between 21.0 and 23.0 s")


@pytest.mark.parametrize(
    ("high", "verdict", "reason"),
    [
        (0.9989, "FAIL", "Availability 99.8000% misses the target of 99.9000%."),
        (0.999, "INVALID", "Availability lies between 99.8000% and 99.9000%, and the target is 99.9000%:"
         f" {DISK}; {QUIETER}."),
        (None, "FAIL", "Availability 99.8000% misses the target of 99.9000%."),
    ],
)  # fmt: skip
def test_availability_has_to_be_met_by_its_low_end(plan: Plan, high: float | None, verdict: str, reason: str) -> None:
    interval = between(0.998, high, DISK)
    seen = newest(plan, fault(), intervals={"availability": interval}, availability=0.998, targets={"availability": 0.999})
    assert (seen.verdict, seen.reasons) == (verdict, [reason])


def test_availability_without_an_interval_is_its_figure(plan: Plan) -> None:
    assert newest(plan, fault(), availability=0.998, targets={"availability": 0.999}).verdict == "FAIL"
    unknown = newest(plan, fault(), availability=None, targets={"availability": 0.999})
    assert (unknown.verdict, unknown.reasons) == ("INVALID", ["Availability could not be measured (target 99.9000%)."])
    met = newest(
        plan, fault(), intervals={"availability": between(0.9995, 1.0)}, availability=0.9995, targets={"availability": 0.999}
    )
    assert met.verdict == "PASS"


def test_unprotected_time_of_version_2_is_an_interval(plan: Plan) -> None:
    unseen = between(1.0, 3.0, "no sample tells of 2 s")
    seen = newest(plan, fault(), intervals={"unprotected_s": unseen}, targets={"unprotected_s": 2})
    assert seen.reasons == [
        "Unprotected time 1.0 s lies between 1.0 and 3.0 s, and the target is 2 s: no sample tells of 2 s; run again."
    ]


# The whole


def test_a_fault_without_proof_is_told_once(plan: Plan) -> None:
    bare = "Fault f1 (CenterPowerLoss of dc1) is not proved."
    assert told(plan, measured(fault(proved=False))) == ("INVALID", [bare])
    known = "Fault f1 is not proved: no bystander was asked."
    assert told(plan, measured(fault(proved=False), doubts=[known])) == ("INVALID", [known])
    other = "Fault f10 has no proof that was read while it lasted."
    assert told(plan, measured(fault(proved=False), doubts=[other])) == ("INVALID", [other, bare])


def test_nothing_measured_is_said_only_where_nothing_else_is(plan: Plan) -> None:
    assert told(plan, measured()) == ("INVALID", ["No fault was measured."])
    assert told(plan, measured(doubts=["A doubt."])) == ("INVALID", ["A doubt."])
    assert told(plan, measured(breaches=["A breach."])) == ("INVALID", ["No fault was measured.", "A breach."])


def test_what_was_met_is_told_only_where_nothing_was_missed(plan: Plan) -> None:
    seen = measured(fault(), breaches=["A breach."], doubts=["A doubt."])
    assert told(plan, seen, detect_s=10, rpo_s=1) == ("INVALID", ["A doubt.", "A breach.", "RPO 4.0 s misses the target of 1 s."])
    assert seen.doubts == ["A doubt."]  # and the measurement is as it was
    assert seen.breaches == ["A breach."]


def test_a_heal_that_was_not_tried_is_no_broken_heal(plan: Plan) -> None:
    note = "Note: fault f1 (CenterPowerLoss of dc1) was not healed in order; the verdict stands."
    assert told(plan, measured(fault(healed=False)), rpo_s=4)[1][1:] == [note]
    assert told(plan, measured(fault(healed=None)), rpo_s=4)[1] == [SAYS["rpo_s"]]


def test_a_verdict_says_whose_it_is_and_what_was_measured(plan: Plan) -> None:
    targets = Targets(rpo_s=4)
    seen = measured(fault(), fault(id="f2", rto_s=3.0), intervals={"rpo_s": between(4.0, 4.0)})
    verdict = judge(seen, targets, plan=plan, manifest_sha256="ab" * 32)
    assert (verdict.drill, verdict.topology, verdict.run_id) == ("center-loss", "two-region-three-center", plan.run_id)
    assert (verdict.seed, verdict.environment_class, verdict.drill_kind) == (7, "lab-containers", "test")
    assert (verdict.evidence_version, verdict.schema_name) == (2, "drillbook.verdict/2")
    assert (verdict.manifest_sha256, verdict.targets) == ("ab" * 32, targets)
    assert (verdict.fault, [one.id for one in verdict.faults]) == (verdict.faults[0], ["f1", "f2"])
    for name in type(verdict.measured).model_fields:
        assert getattr(verdict.measured, name) == getattr(seen, name), name
    assert judge(measured(), targets, plan=plan, manifest_sha256=None).fault is None


@pytest.mark.parametrize(
    ("version", "schema"), [(1, "drillbook.verdict/1"), (2, "drillbook.verdict/2"), (9, "drillbook.verdict/2")]
)
def test_the_schema_is_that_of_the_evidence(plan: Plan, version: int, schema: str) -> None:
    old = plan.model_copy(update={"evidence_version": version})
    assert judge(measured(fault()), Targets(), plan=old, manifest_sha256=None).schema_name == schema


def test_a_topology_without_a_name_is_told_as_none(plan: Plan) -> None:
    nameless = plan.model_copy(update={"topology": {"centers": []}})
    assert judge(measured(fault()), Targets(), plan=nameless, manifest_sha256=None).topology == ""


def test_version_1_is_written_without_a_word_of_version_2(plan: Plan) -> None:
    one = fault(rto_interval=between(21.0, 22.0), episodes=[EpisodeMeasurement(began_s=0, lasted_s=22.0)])
    old = plan.model_copy(update={"evidence_version": 1})
    for faults in ((one,), (one, fault(id="f2")), ()):
        verdict = judge(measured(*faults, doubts=["Ein „Zweifel“."]), Targets(), plan=old, manifest_sha256=None)
        text = verdict_json(verdict)
        assert "„Zweifel“" in text
        written = json.loads(text)
        assert not {"findings", "intervals"} & (set(written) | set(written["measured"]))
        for told_fault in [*written["faults"], *([written["fault"]] if faults else [])]:
            assert not {"rto_from_s", "rto_interval", "episodes"} & set(told_fault)
    new = json.loads(verdict_json(judge(measured(one), Targets(), plan=plan, manifest_sha256=None)))
    assert "findings" in new
    assert new["fault"]["episodes"] == [{"began_s": 0.0, "lasted_s": 22.0}]
