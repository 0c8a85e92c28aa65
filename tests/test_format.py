"""The files' format: version 1 as it always was, the chain, the registered body, exempt keys, acts by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.handover import judge_run
from judging.evidence import EventLog, Evidence, Event, Plan, seal, sha256_of, sha256_of_bytes
from judging.records import read
from tests.synthetic import SCENARIOS, Scenario, reseal, write_run

VERSION_1: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "data" / "version1.json").read_text(encoding="utf-8"))
NEWER = {"body", "witness", "service_level_s", "prev", "chain_head"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of version 2, not to be changed."""
    return write_run(tmp_path_factory.mktemp("format") / "run", Scenario(ends_s=50))


# --- Version 1 --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["center-loss", "region-loss", "lost-payments", "no-return"])
def test_a_run_of_version_1_has_the_verdict_that_it_always_had(name: str, tmp_path: Path) -> None:
    """To the byte: the hashes were taken before there was a version 2."""
    directory = write_run(tmp_path / "run", replace(SCENARIOS[name], version=1))
    assert sha256_of(directory / "manifest.json") == VERSION_1[name]["manifest_sha256"], "tests/synthetic.py writes other files"
    judge_run(directory)
    assert sha256_of(directory / "verdict.json") == VERSION_1[name]["verdict_sha256"]


def test_version_1_has_no_field_of_version_2(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", replace(SCENARIOS["short-outage"], version=1))
    plan = json.loads((directory / "plan.json").read_text())
    event = json.loads((directory / "events.jsonl").read_text().splitlines()[0])
    manifest = json.loads((directory / "manifest.json").read_text())
    assert not NEWER & {*plan, *plan["load"], *event, *manifest}
    with pytest.raises(ValidationError, match="version 1 has no body"):
        Plan.model_validate({**plan, "body": []})


# --- The chain --------------------------------------------------------------------------------------------------------
def test_the_log_chains_what_it_writes_to_the_plan(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    log = EventLog(tmp_path / "events.jsonl")
    for n in range(3):
        log.write("note", f"naïve number {n}")
    log.close()
    lines = (tmp_path / "events.jsonl").read_bytes().split(b"\n")[:-1]
    heads = [sha256_of(tmp_path / "plan.json"), *(hashlib.sha256(line).hexdigest() for line in lines)]
    assert [Event.model_validate_json(line).prev for line in lines] == heads[:-1]
    assert log.head == heads[-1]
    assert seal(tmp_path, run_id="r").chain_head == heads[-1]


def doubts(directory: Path) -> list[str]:
    return read(Evidence(directory)).doubts


def edited(directory: Path, change: Callable[[list[dict[str, Any]]], object], *, chain: bool) -> list[str]:
    """The doubts after the events were changed, numbered anew and sealed anew; `chain`: and chained anew."""
    path = directory / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    change(events)
    path.write_text("".join(json.dumps({**event, "seq": n}) + "\n" for n, event in enumerate(events)))
    reseal(directory, chain=chain)
    return doubts(directory)


def of_kind(events: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(event for event in events if event["kind"] == kind)


def test_an_event_that_was_taken_out_breaks_the_chain(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    assert doubts(directory) == []
    told = edited(directory, lambda events: events.remove(of_kind(events, "reach")), chain=False)
    assert [doubt for doubt in told if "chain of events is broken at seq" in doubt]


def test_the_seal_holds_the_end_of_the_chain(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["chain_head"] == sha256_of_bytes((directory / "events.jsonl").read_bytes().splitlines()[-1])
    path.write_text(json.dumps({**manifest, "chain_head": "0" * 64}))
    assert [doubt for doubt in doubts(directory) if "does not end where manifest.json says" in doubt]
