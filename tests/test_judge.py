"""Verdicts: PASS only when everything is known and met, INVALID before FAIL, and every reason told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judging.evidence import Evidence, Plan, Targets, sha256_of
from judging.judge import EXIT_CODES, SCHEMA, Verdict, judge, verdict_json
from judging.measure import Measurement, measure
from tests.synthetic import SCENARIOS, Scenario, write_run
from tests.test_measure import light

Judge = Callable[..., Verdict]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("judge") / "run", light(Scenario()))


@pytest.fixture(scope="module")
def clean(directory: Path) -> tuple[Measurement, Plan]:
    evidence = Evidence(directory)
    return measure(evidence), evidence.plan


@pytest.fixture
def judged(clean: tuple[Measurement, Plan]) -> Judge:
    """Judge the clean center loss with some figures changed; `fault` changes those of its one fault."""

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
        ("relapse", "PASS"),
        ("no-return", "FAIL"),
        ("no-proof", "INVALID"),
        ("no-op", "INVALID"),
        ("undisturbed", "PASS"),
        ("zero-load", "INVALID"),
        ("region-loss", "PASS"),
        ("planned-switchover", "PASS"),
        ("disk-corruption", "PASS"),
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


def test_the_contracts_fields_are_there(directory: Path) -> None:
    text = verdict_bytes(directory)
    verdict = json.loads(text)
    assert text.startswith('{\n  "schema": "drillbook.verdict/1",\n')
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


def test_a_verdict_is_read_back_from_its_own_bytes(judged: Judge) -> None:
    verdict = judged(Targets(rto_s=30))
    assert verdict.schema_name == SCHEMA
    assert Verdict.model_validate_json(verdict_json(verdict)) == verdict


def test_each_verdict_has_its_exit_code() -> None:
    assert EXIT_CODES == {"PASS": 0, "FAIL": 1, "INVALID": 2}
