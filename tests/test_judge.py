"""Verdicts: PASS only when everything is known and met, INVALID before FAIL, and every reason told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from judging.evidence import Evidence, Plan, Targets, sha256_of
from judging.judge import EXIT_CODES, SCHEMA, Verdict, judge, verdict_json
from judging.measure import Measurement, measure
from tests.synthetic import SCENARIOS, FaultStory, Outage, Scenario, Stall, write_run
from tests.test_measure import light

Judge = Callable[..., Verdict]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("judge") / "run", light(Scenario(version=1)))


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("judge") / "newest", light(Scenario()))


@pytest.fixture(scope="module")
def clean(directory: Path) -> tuple[Measurement, Plan]:
    evidence = Evidence(directory)
    return measure(evidence), evidence.plan


@pytest.fixture
def judged(clean: tuple[Measurement, Plan]) -> Judge:
    """Judge the clean center loss, by version 1, with some figures changed; `fault` changes those of its one fault."""

    def verdict(targets: Targets, *, fault: dict[str, Any] | None = None, **figures: Any) -> Verdict:
        measured, plan = clean
        if fault is not None:
            figures["faults"] = [measured.faults[0].model_copy(update=fault)]
        return judge(measured.model_copy(update=figures), targets, plan=plan, manifest_sha256="ab" * 32)

    return verdict


def test_met_targets_pass_and_each_is_told(judged: Judge) -> None:
    verdict = judged(Targets(rto_s=30, rpo_s=0, lost_transactions=0), fault={"rto_s": 22.0})
    assert (verdict.verdict, verdict.reasons) == (
        "PASS",
        [
            "RTO 22.0 s is within the target of 30 s.",
            "RPO 0.0 s is within the target of 0 s.",
            "Lost payments 0 is within the target of 0.",
        ],
    )


@pytest.mark.parametrize(
    ("target", "figures", "reason"),
    [
        ({"rto_s": 30}, {"fault": {"rto_s": 30.001}}, "RTO 30.001 s misses the target of 30 s."),
        ({"rpo_s": 0}, {"rpo_s": 0.004}, "RPO 0.004 s misses the target of 0 s."),
        ({"lost_transactions": 2}, {"lost_transactions": 3}, "Lost payments 3 misses the target of 2."),
        ({"interruption_s": 5}, {"interruption_s": 5.5}, "Interruption 5.5 s misses the target of 5 s."),
        ({"detect_s": 10}, {"detect_s": 10.3}, "Time to detect 10.3 s misses the target of 10 s."),
        ({"unprotected_s": 1}, {"unprotected_s": 28.0}, "Unprotected time 28.0 s misses the target of 1 s."),
        ({"availability": 0.999}, {"availability": 0.99}, "Availability 99.0000% misses the target of 99.9000%."),
    ],
)
def test_each_target_fails_alone_when_missed(judged: Judge, target: dict[str, Any], figures: dict[str, Any], reason: str) -> None:
    verdict = judged(Targets(**target), **figures)
    assert (verdict.verdict, verdict.reasons) == ("FAIL", [reason])


@pytest.mark.parametrize(
    ("target", "figure"),
    [
        ({"rpo_s": 9}, "rpo_s"),
        ({"lost_transactions": 9}, "lost_transactions"),
        ({"interruption_s": 99}, "interruption_s"),
        ({"detect_s": 99}, "detect_s"),
        ({"unprotected_s": 99}, "unprotected_s"),
        ({"availability": 0.1}, "availability"),
    ],
)
def test_a_figure_that_is_not_known_makes_its_target_invalid_and_no_other(
    judged: Judge, target: dict[str, Any], figure: str
) -> None:
    assert judged(Targets(**target)).verdict == "PASS"
    verdict = judged(Targets(**target), **{figure: None})
    assert verdict.verdict == "INVALID"
    assert len(verdict.reasons) == 1
    assert "could not be measured" in verdict.reasons[0]
    assert judged(Targets(rto_s=30), **{figure: None}).verdict == "PASS"


def test_no_return_is_a_miss_once_it_was_watched_for_longer_than_the_target(judged: Judge) -> None:
    gone = {"rto_s": None, "observed_s": 37.0}
    longer, shorter = judged(Targets(rto_s=30), fault=gone), judged(Targets(rto_s=60), fault=gone)
    assert (longer.verdict, longer.reasons) == (
        "FAIL", ["RTO: service did not return in the 37.0 s it was watched (target 30 s)."],
    )  # fmt: skip
    assert shorter.verdict == "INVALID"
    assert "37.0 s it was watched" in shorter.reasons[0]


def test_a_return_in_time_that_was_not_watched_long_enough_is_invalid(judged: Judge) -> None:
    unsettled = {"rto_s": None, "observed_s": 35.0, "unsettled_return_s": 28.0}
    assert judged(Targets(rto_s=30), fault=unsettled).verdict == "INVALID"
    assert judged(Targets(rto_s=27), fault=unsettled).verdict == "FAIL"  # back too late, whether it stayed or not


def test_an_interruption_without_an_end_is_not_within_its_target(judged: Judge) -> None:
    assert judged(Targets(interruption_s=60), fault={"rto_s": None}).verdict == "INVALID"
    assert judged(Targets(interruption_s=5), fault={"rto_s": None}).verdict == "FAIL"


def test_unprotected_time_lies_between_what_is_known_and_what_may_be(judged: Judge) -> None:
    def verdict(target_s: float) -> str:
        return judged(Targets(unprotected_s=target_s), unprotected_s=3.0, protection_unknown_s=4.0).verdict

    assert [verdict(2.9), verdict(3), verdict(6.9), verdict(7)] == ["FAIL", "INVALID", "INVALID", "PASS"]


def test_invalid_goes_before_fail_and_all_reasons_are_told(judged: Judge) -> None:
    verdict = judged(Targets(rto_s=10), doubts=["A doubt."], breaches=["A breach."])
    assert verdict.verdict == "INVALID"
    assert verdict.reasons[:2] == ["A doubt.", "A breach."]
    assert "misses the target of 10 s" in verdict.reasons[2]
    assert len(verdict.reasons) == 3


def test_one_breach_fails_though_every_target_is_met(judged: Judge) -> None:
    verdict = judged(Targets(rto_s=30), breaches=["A breach."])
    assert (verdict.verdict, verdict.reasons) == ("FAIL", ["A breach."])


def test_nothing_measured_never_passes(judged: Judge) -> None:
    assert judged(Targets(), faults=[]).verdict == "INVALID"
    assert judged(Targets(rto_s=30), faults=[]).verdict == "INVALID"
    assert judged(Targets(), fault={"proved": False}).verdict == "INVALID"


def test_every_fault_has_to_meet_the_target(judged: Judge, clean: tuple[Measurement, Plan]) -> None:
    first = clean[0].faults[0]
    second = first.model_copy(update={"id": "f2", "rto_s": 31.0})
    verdict = judged(Targets(rto_s=30), faults=[first, second])
    assert verdict.verdict == "FAIL"
    assert verdict.reasons == ["RTO of f2 (CenterPowerLoss of dc1) 31.0 s misses the target of 30 s."]
    assert [fault.id for fault in verdict.faults] == ["f1", "f2"]


def test_a_failed_heal_is_told_beside_the_verdict(judged: Judge) -> None:
    verdict = judged(Targets(rto_s=30), fault={"healed": False})
    assert verdict.verdict == "PASS"
    assert "f1" in verdict.reasons[-1]
    assert "not healed" in verdict.reasons[-1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("center-loss", "PASS"),
        ("lost-payments", "FAIL"),
        ("unknown", "PASS"),
        ("short-outage", "PASS"),
        ("stall", "PASS"),
        ("frozen", "PASS"),
        ("process-killed", "PASS"),
        ("table-locked", "PASS"),
        ("degraded", "PASS"),
        ("relapse", "PASS"),
        ("no-return", "FAIL"),
        ("no-proof", "INVALID"),
        ("no-op", "INVALID"),
        ("undisturbed", "PASS"),
        ("zero-load", "INVALID"),
        ("region-loss", "PASS"),
        ("planned-switchover", "PASS"),
        ("disk-corruption", "PASS"),
        ("edges", "PASS"),
        ("restore-from-backup", "PASS"),
        ("missing-copy", "INVALID"),
        ("interrupted", "INVALID"),
    ],
)
def test_each_story_has_its_verdict(tmp_path: Path, name: str, expected: str) -> None:
    evidence = Evidence(write_run(tmp_path, light(SCENARIOS[name])))
    verdict = judge(measure(evidence), evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)
    assert verdict.verdict == expected, verdict.reasons
    assert verdict.reasons


def test_every_story_has_a_verdict_here() -> None:
    (mark,) = [m for m in test_each_story_has_its_verdict.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert {name for name, _ in mark.args[1]} == set(SCENARIOS)


# Version 2: intervals, and the host's own stalls


def judge_run(directory: Path, targets: Targets | None = None) -> tuple[Verdict, Measurement]:
    evidence = Evidence(directory)
    measured = measure(evidence)
    return judge(measured, targets or evidence.plan.targets, plan=evidence.plan, manifest_sha256=None), measured


def story(*outages: Outage, stalls: tuple[Stall, ...] = (), **changes: Any) -> Scenario:
    """A center loss with these outages (seconds from the fault); stalls of the host are told from the fault, too."""
    back_s = min(outages[0].to_s, 20.0)  # the copy takes over while nobody is served
    fault = replace(
        FaultStory(),
        outages=outages,
        inject_s=changes.pop("inject_s", 0.05),
        heal_s=changes.pop("heal_s", 45.0),
        leader_gone_s=min(10.3, 0.5 * back_s),
        leader_new_s=min(11.1, 0.6 * back_s),
        promoted_s=min(17.4, 0.8 * back_s),
    )
    at = tuple(replace(s, from_s=s.from_s + fault.at_s, to_s=s.to_s + fault.at_s) for s in stalls)
    changes = {"ends_s": 80, "probe_interval_ms": 20, "locust_rate_per_s": 8, **changes}
    return Scenario(faults=(fault,), stalls=at, **changes)


def felt_by_nobody_else(*outages: Outage, stalls: tuple[Stall, ...] = ()) -> Scenario:
    """As `story`, of a fault that leaves the primary where it is."""
    scenario = story(*outages, stalls=stalls)
    still = SCENARIOS["stall"].faults[0]
    return replace(scenario, faults=(replace(still, at_s=scenario.faults[0].at_s, outages=outages, heal_s=45.0),))


def told(tmp_path: Path, scenario: Scenario, targets: Targets | None = None) -> tuple[str, str, Measurement]:
    verdict, measured = judge_run(write_run(tmp_path / "run", scenario), targets)
    return verdict.verdict, "\n".join(verdict.reasons), measured


THIRTY = Targets(rto_s=30)
STALLS = [Stall(25.0, 29.0, "sync"), Stall(25.0, 29.0, "wake"), Stall(25.0, 29.0, "cpu")]


def test_sixty_milliseconds_beyond_a_threshold_no_longer_decide(tmp_path: Path) -> None:
    """The case that began it: back after 22.6 s, one fsync of the host took 1.06 s at +29.6 s, and the verdict was FAIL."""
    stall = Stall(29.6, 30.66, "sync")
    outages = (Outage(0.15, 22.6), Outage(29.6, 30.66, late=True))
    assert judge_run(write_run(tmp_path / "old", story(*outages, version=1)), THIRTY)[0].verdict == "FAIL"
    verdict, reasons, measured = told(tmp_path, story(*outages, stalls=(stall,)), THIRTY)
    interval = (measured.intervals or {})["rto_s"]
    assert verdict == "PASS", reasons
    assert measured.rto_s == pytest.approx(22.6 + 1.06, abs=0.05)
    assert interval is not None
    assert interval.low == pytest.approx(22.6 - 0.05 - 0.03, abs=0.04)  # the stall forgiven; injection and probe allowed for
    assert "the host's disk stalled for 1.1 s at +29.6 s" in interval.reasons


@pytest.mark.parametrize("stall", STALLS, ids=lambda stall: stall.kind)
def test_a_stalled_host_is_never_a_fail_and_is_named(tmp_path: Path, stall: Stall) -> None:
    outages = (Outage(0.15, 25.0), Outage(25.0, 31.0, late=True))  # back after 31 s; the host stood still for 4 s of them
    verdict, reasons, _ = told(tmp_path, story(*outages, stalls=(stall,)), THIRTY)
    words = {"sync": "the host's disk stalled", "wake": "core 0 of the host", "cpu": "others kept the host's cores busy"}
    assert verdict == "INVALID"
    assert words[stall.kind] in reasons
    took = "4.5 s at +24.9 s" if stall.kind == "cpu" else "4.0 s at +25.0 s"  # cores are looked at every half second
    assert f"for {took}; run again on a quieter machine" in reasons


def test_a_bank_whose_own_disk_is_throttled_still_fails(tmp_path: Path) -> None:
    """The same record, and a witness that saw nothing: the bank was slow by itself."""
    outages = (Outage(0.15, 25.0), Outage(25.0, 31.0, late=True))
    verdict, reasons, _ = told(tmp_path, story(*outages), THIRTY)
    assert verdict == "FAIL"
    assert "RTO 31.0" in reasons
    short = tuple(Stall(t, t + 0.03, "wake") for t in (26.0, 27.0, 28.0))  # what every host does excuses what it took
    assert told(tmp_path / "again", story(*outages, stalls=short), THIRTY)[0] == "FAIL"


def test_a_slow_bank_stays_out_of_order_though_the_host_stalled_elsewhere(tmp_path: Path) -> None:
    stall = Stall(50.0, 54.0, "sync")
    assert told(tmp_path, story(Outage(0.15, 31.0), stalls=(stall,)), THIRTY)[0] == "FAIL"


def test_an_interval_across_the_target_is_invalid_and_names_the_injection(tmp_path: Path) -> None:
    verdict, reasons, _ = told(tmp_path, story(Outage(0.15, 31.0), inject_s=2.7), THIRTY)
    assert verdict == "INVALID"
    assert "the injection took 2.7 s; run again" in reasons
    assert "quieter" not in reasons


def test_a_relapse_is_held_against_the_target_too(tmp_path: Path) -> None:
    scenario = story(Outage(0.15, 4.0), Outage(16.0, 22.0))
    verdict, reasons, measured = told(tmp_path, scenario, Targets(rto_s=5))
    assert verdict == "FAIL"
    assert "of a relapse after 15.99" in reasons or "of a relapse after 16.0" in reasons
    assert measured.faults[0].relapses == 1
    assert measured.rto_s == pytest.approx(6.0, abs=0.05)
    assert sum(measured.phases.model_dump().values()) == pytest.approx(measured.rto_s, abs=1e-9)
    assert told(tmp_path / "again", scenario, Targets(rto_s=7))[0] == "PASS"


def test_a_relapse_that_began_in_a_stall_of_the_host_may_be_the_hosts(tmp_path: Path) -> None:
    """The databases' leases ran out in the stall: what followed is longer than the stall, and is its doing."""
    stall = Stall(16.0, 17.5, "sync")
    verdict, reasons, _ = told(tmp_path, story(Outage(0.15, 4.0), Outage(16.1, 24.0), stalls=(stall,)), Targets(rto_s=5))
    assert verdict == "INVALID", reasons


def test_no_return_is_a_fail_unless_the_host_stalled(tmp_path: Path) -> None:
    gone = Outage(0.15, 50.0)
    assert told(tmp_path, story(gone), THIRTY)[0] == "FAIL"
    stall = Stall(20.0, 38.0, "sync")
    verdict, reasons, _ = told(tmp_path / "again", story(gone, stalls=(stall,)), THIRTY)
    assert verdict == "INVALID"
    assert "the host's disk stalled for 18.0 s" in reasons


def test_an_end_in_disorder_is_the_hosts_when_the_host_stalled(tmp_path: Path) -> None:
    end = 80 - 25.05
    outages = (Outage(0.15, 22.0), Outage(end - 6, end + 5))
    assert told(tmp_path, story(*outages), THIRTY)[0] == "FAIL"
    verdict, reasons, _ = told(tmp_path / "again", story(*outages, stalls=(Stall(end - 6, end, "sync"),)), THIRTY)
    assert verdict == "INVALID"
    assert "not in order at the end" in reasons


def test_a_disk_that_is_slow_write_after_write_is_the_hosts(tmp_path: Path) -> None:
    """Beside a neighbour that synced, writes took 25 ms, none 100: the bank's queue never emptied, and the run was FAIL."""
    end = 80 - 25.05
    outages = (Outage(0.15, 22.0), Outage(end - 6, end + 5))
    slow = Stall(end - 10, end + 2, "slow")
    verdict, reasons, _ = told(tmp_path, story(*outages, stalls=(slow,)), THIRTY)
    assert verdict == "INVALID"
    assert "the host's disk was slow (most small writes took 10 ms or more) for" in reasons
    brief = Stall(end - 10, end - 9, "slow")  # 1 s: five writes, of eight in a row at least three more were quick
    assert told(tmp_path / "brief", story(*outages, stalls=(replace(brief, to_s=end - 9.3),)), THIRTY)[0] == "FAIL"


def test_each_figure_with_a_target_has_its_interval(newest: Path) -> None:
    _, measured = judge_run(newest)
    known = measured.intervals or {}
    assert set(known) == {name for name in Targets.model_fields if name not in ("basis", "p99_back_s")}
    for name, interval in known.items():
        assert interval is not None, name
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low <= getattr(measured, name) <= interval.high
    detect = known["detect_s"]
    assert detect is not None
    assert detect.low == pytest.approx(10.3 - 0.2 - 0.4, abs=0.002)  # the look before saw the key still; the injection took 0.4 s


def test_other_targets_are_held_against_intervals_too(tmp_path: Path) -> None:
    stall = Stall(5.0, 6.5, "sync")
    scenario = felt_by_nobody_else(Outage(5.0, 6.5, late=True), stalls=(stall,))
    for targets in (Targets(interruption_s=1), Targets(availability=0.9999)):
        verdict, reasons, _ = told(tmp_path / str(hash(str(targets))), scenario, targets)
        assert verdict == "INVALID"
        assert "the host's disk stalled for 1.5 s at +5.0 s; run again on a quieter machine" in reasons
    quiet = felt_by_nobody_else(Outage(5.0, 6.5, late=True))
    assert told(tmp_path / "quiet", quiet, Targets(interruption_s=1))[0] == "FAIL"


def test_without_a_witness_nothing_is_proved(tmp_path: Path) -> None:
    verdict, reasons, _ = told(tmp_path, story(Outage(0.15, 22.0), witness=False), THIRTY)
    assert verdict == "INVALID"
    assert "No host witness" in reasons


def test_a_drill_may_set_its_own_service_level(tmp_path: Path) -> None:
    """Four pauses of 1.4 s: by a level of 0.5 s there is no order before the last is over, by one of 2 s they are only dark."""
    directory = write_run(tmp_path / "run", story(*(Outage(t, t + 1.4, late=True) for t in (1.0, 4.0, 7.0, 10.0))))
    figures = []
    for level_s in (0.5, 2.0):
        plan = json.loads((directory / "plan.json").read_text())
        plan["load"]["service_level_s"] = level_s
        (directory / "plan.json").write_text(json.dumps(plan))
        figures.append(measure(Evidence(directory)).faults[0].rto_s)
    assert figures[0] == pytest.approx(11.2, abs=0.25)
    assert figures[1] == pytest.approx(3 * 1.4 + 1.0 + 2 * 1.4, abs=0.1)  # three in the first 10 s, with lit time before each


# verdict.json


def verdict_bytes(directory: Path) -> str:
    evidence = Evidence(directory)
    sha = sha256_of(directory / "manifest.json")
    return verdict_json(judge(measure(evidence), evidence.plan.targets, plan=evidence.plan, manifest_sha256=sha))


def test_the_bytes_are_the_same_in_another_place_and_name_none(directory: Path, tmp_path: Path) -> None:
    there = Path(shutil.copytree(directory, tmp_path / "elsewhere"))
    text = verdict_bytes(directory)
    assert text == verdict_bytes(there) == verdict_bytes(directory)
    assert str(directory.parent) not in text


def test_damage_gives_the_same_bytes_in_another_place(directory: Path, tmp_path: Path) -> None:
    texts = []
    for place in ("here", "there"):
        copy = Path(shutil.copytree(directory, tmp_path / place))
        (copy / "samples.csv").write_text("asked_ns,what\n1,2\n")
        (copy / "copies/dc2-a.payments.csv.gz").write_bytes(b"no gzip")
        (copy / "probe.csv").unlink()
        texts.append(verdict_bytes(copy))
    assert texts[0] == texts[1]
    assert str(tmp_path) not in texts[0]
    assert json.loads(texts[0])["verdict"] == "INVALID"


@pytest.mark.parametrize("version", [1, 2])
def test_the_contracts_fields_are_there(directory: Path, newest: Path, version: int) -> None:
    text = verdict_bytes(directory if version == 1 else newest)
    verdict = json.loads(text)
    assert text.startswith(f'{{\n  "schema": "drillbook.verdict/{version}",\n')
    assert ("intervals" in verdict["measured"]) is (version == 2)
    assert text.endswith("}\n")
    assert set(verdict) >= {
        "schema", "drill", "topology", "run_id", "seed", "verdict", "reasons", "targets", "measured", "fault",
        "environment_class", "drill_kind",
    }  # fmt: skip
    assert set(verdict["measured"]) >= {
        "rto_s", "rto_first_success_s", "rto_resolution_s", "phases", "rpo_s", "acknowledged", "lost_transactions",
        "unknown", "unknown_committed", "refused", "duplicated", "phantom", "unprotected_s", "availability",
    }  # fmt: skip
    assert list(verdict["measured"]["phases"]) == ["detect_s", "decide_s", "promote_s", "reroute_s", "warm_up_s"]
    assert verdict["fault"] == verdict["faults"][0]
    assert {"name", "target", "injected_at", "proved"} <= set(verdict["fault"])
    assert verdict["topology"] == "two-region-three-center"
    assert sum(verdict["measured"]["phases"].values()) == pytest.approx(verdict["measured"]["rto_s"], abs=1e-9)


def test_a_verdict_is_read_back_from_its_own_bytes(judged: Judge, newest: Path) -> None:
    verdict = judged(Targets(rto_s=30))
    assert Verdict.model_validate_json(verdict_json(verdict)) == verdict
    again = Verdict.model_validate_json(verdict_bytes(newest))
    assert again.schema_name == SCHEMA
    assert verdict_json(again) == verdict_bytes(newest)


def test_each_verdict_has_its_exit_code() -> None:
    assert EXIT_CODES == {"PASS": 0, "FAIL": 1, "INVALID": 2}
