"""The judge and the second verifier, written from the page alone, agree: on verdicts, figures, and whether there is doubt."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.agreement import compare
from benchmarks.histories import history
from tests.synthetic import SCENARIOS, write_run
from tests.test_forgeries import CAUGHT, Lie

VERIFIER = Path(__file__).parent.parent / "verifying" / "verifier.py"

# Its proof says "changed" of the flipped bits. The page wants them told as the complement of what was there.
NOT_AS_THE_PAGE_SAYS = {"disk-corruption"}


def verdict_by_the_page(doubt: bool, breach: bool, undecided: bool) -> str:
    return "INVALID" if doubt else "FAIL" if breach else "INVALID" if undecided else "PASS"


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
def test_they_agree_on_every_scenario(tmp_path: Path, scenario: str) -> None:
    run = tmp_path / "run"
    write_run(run, SCENARIOS[scenario])
    judged, verified, found = compare(run)
    if scenario in NOT_AS_THE_PAGE_SAYS:
        assert [text.partition(":")[0] for text in verified["doubts"]] == ["proof_is_of_its_kind"]
        found = [text for text in found if not text.startswith("verdict:")]
    else:
        told = (bool(verified[name]) for name in ("doubts", "breaches", "undecided"))
        assert judged["verdict"] == verdict_by_the_page(*told)
    assert found == []


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=1 << 30))
def test_they_agree_on_histories_and_with_their_truth(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    run = tmp_path_factory.mktemp("history")
    truth = history(seed, run)
    try:
        judged, verified, found = compare(run)
        assert found == [], truth.kind
        assert {judged["verdict"], verified["verdict"]} <= truth.allowed, truth.kind
    finally:
        shutil.rmtree(run)


def verify(run: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", str(VERIFIER), str(run)], capture_output=True, text=True, check=False)


def test_it_runs_by_itself_and_prints_its_verdict(tmp_path: Path) -> None:
    write_run(tmp_path / "run", SCENARIOS["lost-payments"])
    told = verify(tmp_path / "run")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["verdict"], found["figures"]["lost_transactions"], found["doubts"]) == ("FAIL", 14, [])


@pytest.mark.parametrize(("version", "word"), [(1, "version 1"), (None, "missing")])
def test_without_a_run_of_version_2_there_is_no_verdict(tmp_path: Path, version: int | None, word: str) -> None:
    if version:
        (tmp_path / "plan.json").write_text(json.dumps({"evidence_version": version}))
    told = verify(tmp_path)
    assert told.returncode == 2
    assert json.loads(told.stdout)["verdict"] is None
    assert word in json.loads(told.stdout)["doubts"][0]


def test_it_shares_no_code_and_needs_the_standard_library_alone() -> None:
    for node in ast.walk(ast.parse(VERIFIER.read_text())):
        names = [name.name for name in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module or ""]
        assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


@pytest.mark.parametrize("lie", CAUGHT, ids=lambda lie: lie.name)
def test_a_lie_does_not_pass_and_both_measure_it_alike(lie: Lie, tmp_path: Path) -> None:
    """The forgeries were made against the judge; the verifier knows nothing of them."""
    write_run(tmp_path / "run", lie.base)
    lie.forge(tmp_path / "run")
    _, verified, found = compare(tmp_path / "run")
    assert verified["verdict"] != "PASS"
    assert found == []


def test_a_heal_that_nobody_began_was_not_tried(tmp_path: Path) -> None:
    """One flipped bit in the line that tells of its beginning: the verifier took its end for it, the judge did not."""
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    lines = (run / "events.jsonl").read_bytes().split(b"\n")
    number = next(n for n, line in enumerate(lines) if b'"kind": "heal_started"' in line)
    lines[number] = lines[number].replace(b'"t_ns"', b'"t_n\xf3"')
    (run / "events.jsonl").write_bytes(b"\n".join(lines))
    judged, verified, found = compare(run)
    assert (judged["verdict"], verified["verdict"], found) == ("INVALID", "INVALID", [])
    assert judged["faults"][0]["healed"] is None


def test_a_run_without_a_payment_of_the_probe_is_in_doubt(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", SCENARIOS["zero-load"])
    header = (run / "probe.csv").read_text().partition("\n")[0]
    (run / "probe.csv").write_text(header + "\n")
    judged, verified, _ = compare(run)
    assert judged["verdict"] == verified["verdict"] == "INVALID"
    assert "probe: it recorded no payment" in verified["doubts"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"source": "harness"', b'"source": "harneSs"'),
        (b"T02:", b"t02:"),
        (b'"wall": "2026-01', b'"wall": "2026-13'),
    ],
)
def test_a_heal_of_nobody_or_of_no_time_is_none_to_both(tmp_path: Path, old: bytes, new: bytes) -> None:
    """One flipped bit in the line of a heal's end: the judge took it all the same."""
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    lines = (run / "events.jsonl").read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if b'"kind": "healed"' in line)
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new, 1)
    (run / "events.jsonl").write_bytes(b"".join(lines))
    judged, verified, found = compare(run)
    assert (judged["verdict"], verified["verdict"], found) == ("INVALID", "INVALID", [])
    assert judged["faults"][0]["healed"] is False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('""state""', '""stale""'),
        ("streaming", "stream\\ing"),
        ('""sync_state"": ""', '""sync_state"": 7, ""x"": ""'),
        ('(""', '(&"'),
        (",1,1,1,", ",1,2,1,"),  # neither a primary nor a standby
        (",1,1,1,", ",3,1,1,"),  # neither answered nor not
        ("8,,[],", " ,,[],"),  # a tenth of where it was
    ],
)
def test_a_list_of_copies_that_is_none_is_damage_to_both(tmp_path: Path, old: str, new: str) -> None:
    """One flipped bit in a list of copies: the judge took figures from the lists that were whole, the verifier took none.

    Or in the quotes around one: the judge took another text for it. Or in a number beside it.
    """
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    text = (run / "samples.csv").read_text()
    assert old in text
    (run / "samples.csv").write_text(text.replace(old, new, 1))
    judged, verified, found = compare(run)
    assert (judged["verdict"], verified["verdict"], found) == ("INVALID", "INVALID", [])
    assert judged["measured"]["unprotected_s"] is None
    assert any(reason.startswith("samples.csv cannot be read") for reason in judged["reasons"])
