"""Payments that customers read back: stale reads are a breach, and which looks were reads follows from the seed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agreement import compare
from judging.crosschecks import contradictions
from judging.evidence import Evidence
from judging.judge import Verdict, judge
from judging.measure import measure
from judging.records import read
from tests.forger import Forger, Row
from tests.synthetic import SCENARIOS, Scenario, write_run
from tests.test_forgeries import light

CENTER_LOSS = light(SCENARIOS["center-loss"])
LOST = light(SCENARIOS["lost-payments"])


def verdict_of(directory: Path) -> Verdict:
    evidence = Evidence(directory)
    return judge(measure(evidence), evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)


def stale(directory: Path) -> list[str]:
    return [reason for reason in verdict_of(directory).reasons if "stale reads" in reason]


def answered(run: Forger, which: Callable[[Row], bool], status: str) -> None:
    rows = [row for row in run.table("reads.csv") if which(row)]
    assert rows, "no such read"
    for row in rows:
        row["status"] = status


def test_a_payment_that_was_told_and_is_not_found_is_a_breach(tmp_path: Path) -> None:
    verdict = verdict_of(write_run(tmp_path / "run", replace(CENTER_LOSS, stale=3)))
    assert verdict.verdict == "FAIL"
    assert [reason for reason in verdict.reasons if reason.startswith("3 stale reads")]


@pytest.mark.parametrize("scenario", [replace(CENTER_LOSS, stale=3), replace(CENTER_LOSS, records=()), LOST])
def test_the_second_verifier_agrees(scenario: Scenario, tmp_path: Path) -> None:
    judged, verified, found = compare(write_run(tmp_path / "run", scenario))
    assert found == []
    assert verified["doubts"] == []
    assert any("stale reads" in breach for breach in verified["breaches"]) == bool(scenario.stale)
    assert judged["verdict"] == verified["verdict"]


@pytest.mark.parametrize("status", ["200", "503", "500", ""])
def test_other_answers_are_none(status: str, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", CENTER_LOSS)
    with Forger(directory) as run:
        answered(run, lambda row: row["status"] == "200", status)
    assert verdict_of(directory).verdict == "PASS"


def test_what_is_lost_is_not_told_twice(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", LOST)
    with Forger(directory) as run:
        gone = {row["key"] for row in run.lost()}
        own = {key for key in gone if "-c-" in key}
        assert own
        answered(run, lambda row: row["key"] in own or row["status"] == "503", "404")
        # Of those that were read back in the dark, only what stands counts.
        standing = sum(row["status"] == "404" and row["key"] not in gone for row in run.table("reads.csv"))
        lost = sum(row["status"] == "404" and row["key"] in gone for row in run.table("reads.csv"))
    assert lost
    assert stale(directory)[0].startswith(f"{standing} stale reads")


def test_a_run_of_before_is_judged_as_it_was(tmp_path: Path) -> None:
    before = write_run(tmp_path / "before", replace(CENTER_LOSS, records=()))
    assert not (before / "reads.csv").exists()
    assert "reads" not in json.loads((before / "ledger.json").read_text())
    after = write_run(tmp_path / "after", CENTER_LOSS)
    told = [(verdict.verdict, verdict.reasons, verdict.measured) for verdict in map(verdict_of, (before, after))]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda run: (run / "reads.csv").unlink(), "reads.csv is missing"),
        (lambda run: (run / "reads.csv").write_text("key,sent_ns\n"), "reads.csv: expected the columns|cannot be read"),
        (lambda run: recount(run, reads=3), "Locust counted 3 payments that were read back"),
        (lambda run: recount(run, reads=None), "Locust counted none payments that were read back"),
    ],
)
def test_reads_that_were_promised_and_are_not_whole_are_a_doubt(
    damage: Callable[[Path], Any], words: str, tmp_path: Path
) -> None:
    directory = write_run(tmp_path / "run", CENTER_LOSS)
    damage(directory)
    verdict = verdict_of(directory)
    assert verdict.verdict == "INVALID"
    assert any(re.search(words, reason) for reason in verdict.reasons), verdict.reasons


def recount(directory: Path, **changed: int | None) -> None:
    path = directory / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def one_more(rows: list[Row]) -> None:
    """A read behind another one, of the same payment."""
    first = rows[len(rows) // 2]
    end = int(first["done_ns"])
    rows.append({**first, "sent_ns": str(end + 1), "done_ns": str(end + 2)})


def overlapping(rows: list[Row]) -> None:
    rows[5]["done_ns"] = str(int(rows[5]["done_ns"]) + 10_000_000_000)


def of_an_earlier_one(rows: list[Row]) -> None:
    row = next(row for row in rows if int(row["key"][-7:]) > 2)
    row["key"] = f"{row['key'][:-7]}{int(row['key'][-7:]) - 1:07d}"


def ended_early(rows: list[Row]) -> None:
    rows[5]["done_ns"] = str(int(rows[5]["sent_ns"]) - 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.pop(5), r"by the seed it was \d times"),
        (one_more, r"by the seed it was \d times"),
        (overlapping, "one thing at a time"),
        (of_an_earlier_one, "what was acknowledged last"),
        (lambda rows: rows[5].update(key="somebody-else"), "no customer sent: somebody-else"),
    ],
)
def test_reads_follow_the_looks(change: Callable[[list[Row]], Any], words: str, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", CENTER_LOSS)
    with Forger(directory) as run:
        change(run.table("reads.csv"))
    told = [found.words for found in contradictions(read(Evidence(directory))) if found.rule == "reads_follow_the_looks"]
    assert any(re.search(words, one) for one in told), told


def test_a_read_that_ended_before_it_was_sent_is_damage(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", CENTER_LOSS)
    with Forger(directory) as run:
        ended_early(run.table("reads.csv"))
    assert any("1 reads ended before they were sent" in reason for reason in verdict_of(directory).reasons)
