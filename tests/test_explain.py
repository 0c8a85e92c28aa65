"""Why a verdict is what it is, what the settings predict, and two verifiers held against each other; all without an engine."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.explain import Explanation, explain
from harness.handover import recompute
from harness.verification import verify
from judging.errors import CouldNotTell
from judging.evidence import Plan
from judging.judge import Verdict, verdict_json
from judging.measure import FaultMeasurement, Measurement
from judging.predicted import Prediction, bounds, findings, predictions
from tests.synthetic import FaultStory, Outage, Scenario, write_run
from topologies.two_region_three_center import SETTINGS

ROOT = Path(__file__).resolve().parents[1]
LIVE = ("docker", "gevent", "locust", "psycopg", "requests", "rich", "testcontainers")
BLOCKED = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LIVE!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
from harness.cli import main
main()
"""


def explained(directory: Path) -> Explanation:
    evidence, verdict, measurement = recompute(directory)
    return explain(evidence, measurement, verdict)


# Explained


def test_a_pass_names_the_payments_that_carry_its_rto(tmp_path: Path) -> None:
    found = explained(write_run(tmp_path / "run"))
    rto = next(one for one in found.because if one.reason.startswith("RTO"))
    assert rto.lines[0].file == "events.jsonl"
    with (tmp_path / "run" / "probe.csv").open() as file:
        rows = list(csv.DictReader(file))
    for line, outcome in zip(rto.lines[1:], ("acknowledged", "unknown", "acknowledged"), strict=True):
        assert line.line is not None
        row = rows[line.line - 2]
        assert row["key"] in line.text
        assert row["outcome"] == outcome or outcome == "unknown"
    assert found.changed_by[0].startswith("Nearest to FAIL: ")


def test_lines_are_where_the_events_are(tmp_path: Path) -> None:
    found = explained(write_run(tmp_path / "run", Scenario(faults=(replace(FaultStory(), proved=False),))))
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    told = [line for one in found.because for line in one.lines if line.file == "events.jsonl"]
    assert told
    for line in told:
        assert line.line is not None
        event = json.loads(lines[line.line - 1])
        assert (event["seq"], event["text"]) == (line.seq, line.text)


def test_a_fail_says_what_it_lacks(tmp_path: Path) -> None:
    slow = replace(FaultStory(), outages=(Outage(0.15, 34.0),), heal_s=40.0)
    found = explained(write_run(tmp_path / "run", Scenario(faults=(slow,), lost=2)))
    assert found.verdict == "FAIL"
    assert any(text.startswith("PASS needs rto_s to be better by 4") for text in found.changed_by)
    lost = next(one for one in found.because if one.reason.startswith("Lost payments"))
    assert sum("was acknowledged, and is gone" in line.text for line in lost.lines) == 2


def test_an_invalid_run_says_what_its_figures_alone_would_say(tmp_path: Path) -> None:
    found = explained(write_run(tmp_path / "run", Scenario(locust_uncounted=1)))
    assert found.verdict == "INVALID"
    assert found.changed_by == ["The doubt alone makes the run INVALID (1). Without doubt its figures would say PASS."]
    unproved = Scenario(faults=(replace(FaultStory(), proved=False),), lost=1)
    found = explained(write_run(tmp_path / "other", unproved))
    assert found.changed_by[0].endswith("Without doubt its figures would say FAIL.")


def test_damage_is_explained_and_raises_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    for name in ("probe.csv", "samples.csv"):
        (tmp_path / "run" / name).write_text("nonsense\n")
    (tmp_path / "run" / "ledger.csv").unlink()
    found = explained(tmp_path / "run")
    files = {line.file for one in found.because for line in one.lines}
    assert {"probe.csv", "samples.csv", "ledger.csv"} <= files


# Predicted


def fault(**changed: Any) -> FaultMeasurement:
    values: dict[str, Any] = {
        "id": "f1", "name": "CenterPowerLoss", "target": "dc1", "injected_at": "", "before_ns": 0, "after_ns": 200_000_000,
        "window_end_ns": 40_000_000_000, "proved": True, "traffic": 100, "disturbed": True, "rto_s": 22.5,
        "rto_first_success_s": 22.5, "rto_resolution_s": 0.3, "observed_s": 40.0, "relapses": 0,
        "phases": {}, "borders": [], "interruption_s": 22.0, "detect_s": 19.6, "old_primary": "dc1-a", "new_primary": "dc2-a",
        "healed": True,
    }  # fmt: skip
    return FaultMeasurement.model_validate(values | changed)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Measurement]:
    evidence, _, measurement = recompute(write_run(tmp_path_factory.mktemp("base") / "run"))
    return evidence.plan, measurement


def predicted(base: tuple[Plan, Measurement], one: FaultMeasurement, **settings: Any) -> dict[str, Prediction]:
    plan, measurement = base
    topology = {**plan.topology, "settings": {**SETTINGS, **settings}}
    plan = plan.model_copy(update={"topology": topology})
    found = predictions(plan, measurement.model_copy(update={"faults": [one], "rto_s": one.rto_s}))
    return {prediction.figure: prediction for prediction in found}


def test_a_center_loss_costs_the_lease_and_what_follows(base: tuple[Plan, Measurement]) -> None:
    rto = predicted(base, fault())["rto_s"]
    assert rto.low == 19 + 2  # ttl − loop_wait, and a dead member's answer
    assert rto.high is not None
    assert rto.low + 3 < rto.high < 39
    assert "rewind" in [term.name for term in rto.terms]
    assert "rewind" not in [
        term.name for term in predicted(base, fault(), synchronous="plain")["rto_s"].terms
    ]  # nobody is waited for
    assert rto.low == pytest.approx(sum(term.low_s for term in rto.terms))
    assert rto.high == pytest.approx(sum(term.high_s for term in rto.terms) + 0.2, abs=0.001)
    assert rto.within
    assert "20 s" in rto.terms[0].why


def test_a_longer_lease_is_a_longer_prediction(base: tuple[Plan, Measurement]) -> None:
    assert predicted(base, fault(), ttl_s=40)["rto_s"].low == 41
    assert predicted(base, fault(), ttl_s=40)["rto_s"].within is False


def test_a_store_leader_that_dies_with_the_center_costs_an_election(base: tuple[Plan, Measurement]) -> None:
    there, elsewhere = (predicted(base, fault(), etcd_leader_center=center)["rto_s"] for center in ("dc1", "dc3"))
    assert there.high is not None
    assert elsewhere.high is not None
    assert there.high > elsewhere.high
    assert "election" in [term.name for term in there.terms]


def test_outside_the_bounds_is_a_finding_in_words(base: tuple[Plan, Measurement]) -> None:
    fast = predicted(base, fault(rto_s=2.0))["rto_s"]
    assert fast.within is False
    assert findings([fast]) == [
        f"rto_s of f1: 2.000 s measured, {bounds(fast)} predicted from the settings (the primary's center died). "
        "Either the system is not what its settings say, or the derivation is wrong."
    ]
    assert findings([predicted(base, fault())["rto_s"]]) == []


def test_the_resolution_of_the_measurement_is_no_finding(base: tuple[Plan, Measurement]) -> None:
    high = predicted(base, fault())["rto_s"].high
    assert high is not None
    assert predicted(base, fault(rto_s=high + 0.2))["rto_s"].within
    assert predicted(base, fault(rto_s=high + 0.4))["rto_s"].within is False


def test_without_synchronous_copies_no_loss_is_promised(base: tuple[Plan, Measurement]) -> None:
    assert predicted(base, fault())["rpo_s"].high == 0
    assert "rpo_s" not in predicted(base, fault(), synchronous="off")
    assert "rpo_s" not in predicted(base, fault(), synchronous_node_count=1)


def test_a_fault_beside_the_primary_costs_no_lease(base: tuple[Plan, Measurement]) -> None:
    assert predicted(base, fault(target="dc2"))["rto_s"].low == 0
    assert predicted(base, fault(name="NodeKilled", target="dc2-a"))["rto_s"].low == 0


def test_a_cut_link_costs_the_replication_time_out(base: tuple[Plan, Measurement]) -> None:
    cut = predicted(base, fault(name="LinkBlackholed", target="dc1<->dc2", rto_s=4.4, observed_s=30.0, new_primary="dc1-a"))
    assert cut["rto_s"].low == 2
    assert cut["rto_s"].within
    assert cut["unprotected_s"].high is None
    assert cut["unprotected_s"].low > 20


def test_a_plan_without_settings_predicts_nothing(base: tuple[Plan, Measurement]) -> None:
    plan, measurement = base
    broken: tuple[dict[str, Any], ...] = ({}, {"settings": {}}, {"settings": {**SETTINGS, "ttl_s": "soon"}, "centers": []})
    for topology in broken:
        assert predictions(plan.model_copy(update={"topology": topology}), measurement) == []


def test_findings_are_of_version_2_on(tmp_path: Path) -> None:
    _, verdict, _ = recompute(write_run(tmp_path / "run"))

    def told(version: int) -> dict[str, Any]:
        changed: Verdict = verdict.model_copy(update={"evidence_version": version, "findings": ["one"]})
        found: dict[str, Any] = json.loads(verdict_json(changed))
        return found

    assert "findings" not in told(1)
    assert told(2)["findings"] == ["one"]


# Verified


def second(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "second.py"
    path.write_text(f"import json, sys\n{text}\n")
    return path


ECHO = """
verdict = json.load(open(sys.argv[1] + "/verdict.json"))
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    directory = write_run(tmp_path / "run")
    (directory / "verdict.json").write_text(verdict_json(recompute(directory)[1]))
    return directory


def test_two_that_agree(run: Path, tmp_path: Path) -> None:
    found = verify(run, second(tmp_path, ECHO + "print(json.dumps(verdict))"))
    assert found.agree
    assert {"rto_s", "phases.detect_s", "lost_transactions"} <= set(found.compared)


def test_figures_of_the_whole_answer_count_too(run: Path, tmp_path: Path) -> None:
    found = verify(run, second(tmp_path, ECHO + "print(json.dumps({'verdict': 'PASS', 'rto_s': verdict['measured']['rto_s']}))"))
    assert found.agree
    assert found.compared == ["rto_s"]


def test_a_figure_that_differs_is_named(run: Path, tmp_path: Path) -> None:
    found = verify(run, second(tmp_path, ECHO + "verdict['measured']['rto_s'] += 0.001; print(json.dumps(verdict))"))
    assert [one.what for one in found.differences] == ["rto_s"]
    found = verify(run, second(tmp_path, ECHO + "verdict['measured']['rto_s'] = None; print(json.dumps(verdict))"))
    assert [one.what for one in found.differences] == ["rto_s"]


def test_a_verdict_that_differs_is_named(run: Path, tmp_path: Path) -> None:
    found = verify(run, second(tmp_path, ECHO + "verdict['verdict'] = 'FAIL'; print(json.dumps(verdict))"))
    assert [one.what for one in found.differences] == ["verdict"]


def test_an_edited_verdict_file_is_named(run: Path, tmp_path: Path) -> None:
    theirs = second(tmp_path, f"print({(run / 'verdict.json').read_text()!r})")
    changed = json.loads((run / "verdict.json").read_text())
    changed["measured"]["rto_s"] = 1.0
    (run / "verdict.json").write_text(json.dumps(changed))
    assert [one.what for one in verify(run, theirs).differences] == ["verdict.json: measured"]


@pytest.mark.parametrize(
    "text", ["sys.exit('no')", "print('hello')", "print('[]')", 'print(\'{"verdict": "PASS"}\')', "import pandas"]
)
def test_no_answer_is_no_agreement(run: Path, tmp_path: Path, text: str) -> None:
    with pytest.raises(CouldNotTell):
        verify(run, second(tmp_path, text))


# Where nothing that runs drills is installed


def bare(*arguments: str, cwd: Path, code: str = BLOCKED) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(cwd)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_what_runs_drills_says_what_to_install(tmp_path: Path) -> None:
    for arguments in (("doctor",), ("run", "center-loss"), ("status",)):
        done = bare(*arguments, cwd=tmp_path)
        assert done.returncode == 3
        assert "is not installed here: pip install 'drillbook[drills]'" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_sealed_run_needs_nothing_that_runs_drills(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "center-loss"
    for name, scenario in (("20260115T020000Z", Scenario()), ("20260115T030000Z", Scenario(lost=1))):
        write_run(runs / name, scenario)
    good, bad = (f"runs/center-loss/{name}" for name in ("20260115T020000Z", "20260115T030000Z"))
    echo = second(tmp_path, ECHO + "print(json.dumps(verdict))")
    for code, said, arguments in (
        (0, "PASS", ("judge", good)),
        (1, "FAIL", ("judge", bad)),
        (0, "report.html", ("report", good)),
        (0, "probe.csv:", ("explain", good)),
        (0, "1 PASS, 1 FAIL", ("history",)),
        (0, "agree: PASS and PASS", ("verify", good, "--verifier", str(echo))),
        (0, "too few runs", ("compare", good, bad)),
        (0, "center-loss", ("list",)),
    ):
        done = bare(*arguments, cwd=tmp_path)
        assert done.returncode == code, (arguments, done.stderr)
        assert said in done.stdout, arguments


def test_json_is_json(tmp_path: Path) -> None:
    runs = tmp_path / "runs" / "center-loss"
    write_run(runs / "20260115T020000Z")
    one = "runs/center-loss/20260115T020000Z"
    for arguments in (("explain", one), ("history",), ("compare", one, one), ("judge", one)):
        assert json.loads(bare(*arguments, "--json", cwd=tmp_path).stdout), arguments


def test_a_wrong_comparison_says_what_was_expected(tmp_path: Path) -> None:
    for arguments, said in (
        (("compare", "one"), "expected two runs or more"),
        (("compare", "here", "there"), "expected a run, a directory of runs"),
        (("compare", "node-kill", "--set", "synchronous=strict"), "several values"),
        (("compare", "a", "b", "--set", "synchronous=strict,off"), "expected one drill"),
    ):
        done = bare(*arguments, cwd=tmp_path, code="from harness.cli import main; main()")
        assert done.returncode == 3, done.stderr
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
