"""The files' format: version 1 as it always was, the chain, the registered body, exempt keys, acts by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from pydantic import ValidationError

from harness import rehearsal
from harness.drill import catalogue, load_drill
from harness.handover import judge_run, recompute
from harness.hold import record
from harness.live import LiveView
from harness.rehearsal import CannotRehearse, rehearse
from harness.run import Run
from harness.runner import tell_acts_by_hand, tell_exempt_keys
from judging.evidence import Event, EventLog, Evidence, Plan, PlannedFault, PlannedUntil, csv_gz, seal, sha256_of, sha256_of_bytes
from judging.measure import measure
from judging.planned import check_body
from judging.records import read
from reports.page import render
from tests.forger import Forger
from tests.synthetic import SCENARIOS, FaultStory, Scenario, exempt, reseal, write_run
from topologies.two_region_three_center import two_region_three_center
from verifying import verifier

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


# --- The registered body ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", catalogue())
def test_every_drill_can_be_rehearsed(name: str) -> None:
    drill = load_drill(name)
    body = rehearse(drill.body, drill.topology())
    assert [one for one in body if isinstance(one, PlannedFault)]
    assert [one for one in body if isinstance(one, PlannedUntil)]


def test_a_rehearsal_tells_what_a_drill_does_in_order() -> None:
    drill = load_drill("region-loss")
    told = [one.model_dump() for one in rehearse(drill.body, drill.topology())]
    assert told[0] == {"kind": "fault", "name": "RegionLoss", "target": "A", "args": {"region": "A"}}
    assert {"kind": "step", "name": "give region A up", "role": "decide"} in told
    assert told[-1] == {"kind": "until", "condition": "replicas_caught_up", "within_s": 60.0}
    assert [one["role"] for one in told if one["kind"] == "step"] == ["detect", "decide", None, "promote", "reroute", None, None]


def named_by_an_answer(run: Run) -> None:
    run.step(f"restart {run.cluster.wait_primary(within_s=1).name}", lambda cluster: cluster)


def in_need_of_an_answer(run: Run) -> None:
    (only,) = run.cluster.databases()
    run.step(f"restart {only}", lambda cluster: cluster)


@pytest.mark.parametrize(
    ("body", "why"), [(named_by_an_answer, "depends on what it sees"), (in_need_of_an_answer, "needs an answer")]
)
def test_a_body_that_depends_on_answers_cannot_be_rehearsed(body: Callable[[Run], None], why: str) -> None:
    with pytest.raises(CannotRehearse, match=why):
        rehearse(body, two_region_three_center())


def endless(run: Run) -> None:
    time.sleep(1)
    run.reach("after")


def test_a_body_that_does_not_end_cannot_be_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "WITHIN_S", 0.1)
    with pytest.raises(CannotRehearse, match="did not end"):
        rehearse(endless, two_region_three_center())


def nothing(events: list[dict[str, Any]]) -> None:
    del events


def body_doubts(directory: Path, change: Callable[[list[dict[str, Any]]], object]) -> list[str]:
    """The doubts about the body after the events were changed, chained and sealed anew: nothing but the plan contradicts."""
    path = directory / "events.jsonl"
    events = [json.loads(line) for line in path.read_text().splitlines()]
    change(events)
    path.write_text("".join(json.dumps({**event, "seq": n}) + "\n" for n, event in enumerate(events)))
    reseal(directory)
    records = read(Evidence(directory))
    check_body(records)
    return records.doubts


def exchange(events: list[dict[str, Any]]) -> None:
    one, other = (n for n, event in enumerate(events) if event["kind"] == "until")
    events[one], events[other] = events[other], events[one]


def steps(events: list[dict[str, Any]]) -> dict[str, Any]:
    return {"seq": 0, **of_kind(events, "until"), "kind": "step", "data": {
        "name": "one more", "role": None, "before_ns": 1, "after_ns": 2, "ok": True, "error": ""}}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nothing, None),
        (lambda events: events.remove(of_kind(events, "until")), "number 2: expected await service_restored within 120 s; seen"),
        (exchange, "number 2: expected await service_restored"),
        (lambda events: of_kind(events, "until")["data"].update(within_s=600), "seen await service_restored within 600 s"),
        (lambda events: of_kind(events, "intent")["data"].update(target="dc2"), "seen fault CenterPowerLoss of dc2"),
        (lambda events: of_kind(events, "intent")["data"].update(args={"center": "dc2"}), "number 1"),
        (lambda events: events.insert(-1, steps(events)), "number 4: expected nothing more; seen step 'one more'"),
        (lambda events: events.insert(-1, of_kind(events, "injected")), "more than one event of kind injected"),
    ],
)
def test_events_that_are_not_the_registered_body_are_a_doubt(
    change: Callable[[list[dict[str, Any]]], object], expected: str | None, tmp_path: Path
) -> None:
    told = body_doubts(write_run(tmp_path / "run", Scenario(ends_s=50)), change)
    assert bool(told) == bool(expected)
    assert expected is None or any(expected in doubt for doubt in told), told


def test_primary_in_the_plan_is_whoever_it_was(tmp_path: Path) -> None:
    story = Scenario(faults=(replace(FaultStory(), name="NodeKilled", target="dc1-a", down=("dc1-a",)),), ends_s=50)
    directory = write_run(tmp_path / "run", story)
    plan = json.loads((directory / "plan.json").read_text())
    assert plan["body"][0] == {"kind": "fault", "name": "NodeKilled", "target": "primary", "args": {"node": "primary"}}
    assert body_doubts(directory, nothing) == []
    told = body_doubts(directory, lambda events: of_kind(events, "primary")["data"].update(node="dc2-a"))
    assert any("number 1: expected fault NodeKilled of primary; seen fault NodeKilled of dc1-a" in doubt for doubt in told)


def test_a_run_whose_body_was_not_registered_is_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50, body=False))
    assert any("could not be rehearsed" in doubt for doubt in body_doubts(directory, nothing))


def test_a_run_that_ended_early_need_not_have_done_all(tmp_path: Path) -> None:
    story = replace(SCENARIOS["interrupted"], ends_s=50)

    def cut(events: list[dict[str, Any]]) -> None:
        events.remove(next(event for event in reversed(events) if event["kind"] == "until"))

    told = body_doubts(write_run(tmp_path / "run", story), cut)
    assert [doubt for doubt in told if "plan" in doubt] == []


# --- Exempt keys, acts by hand, anchors -------------------------------------------------------------------------------
def sealed_anew(directory: Path, node: str, change: Callable[[str], str]) -> list[str]:
    """The doubts after the payments of one copy were changed and all was sealed anew."""
    path = directory / f"copies/{node}.payments.csv.gz"
    csv_gz(path, change(gzip.decompress(path.read_bytes()).decode()).encode())
    reseal(directory)
    return measure(Evidence(directory)).doubts


def test_a_payment_under_a_key_that_is_nobodys_is_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario())
    assert measure(Evidence(directory)).doubts == []

    def rename(text: str) -> str:
        first = next(line for line in text.splitlines() if "-p-" in line)
        return text.replace(first, "observer-9999" + first[first.index(",") :])

    told = sealed_anew(directory, "dc2-a", rename)
    assert "Expected the 2 keys that began with observer- at readback; seen 3, or others." in told


def test_exempt_keys_that_nobody_counted_are_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    edited(directory, lambda events: events.remove(of_kind(events, "exempt_keys")), chain=True)
    assert any("exempt keys" in doubt for doubt in measure(Evidence(directory)).doubts)


class Answering:
    """A cluster whose authority knows these keys."""

    run_id = "r"

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def sql(self, node: str, query: str, prefix: str) -> list[tuple[str]]:
        assert node == "dc1-a"
        assert "ORDER BY key" in query
        return [(key,) for key in sorted(self.keys) if key.startswith(prefix)]


def test_the_runner_counts_exempt_keys_as_the_judge_does(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    keys = ("observer-b", "observer-a", "r-ready-0001", "r-p-0000000")
    tell_exempt_keys(cast(Any, Answering(*keys)), "dc1-a", "r", log)
    log.close()
    data = Event.model_validate_json((tmp_path / "events.jsonl").read_text()).data
    assert data == {"observers": exempt(keys, "observer-"), "ready": exempt(keys, "r-ready-")}
    assert data["observers"]["count"] == 2


def test_acts_by_hand_become_events_and_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    record(tmp_path, "intent", id="h1", name="NodeKilled", target="dc1-b")
    with (tmp_path / "by-hand.jsonl").open("a") as file:
        file.write('{"kind": "heal')  # its writer was killed
    log = EventLog(tmp_path / "events.jsonl")
    tell_acts_by_hand(tmp_path, log)
    log.close()
    acts = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(act["kind"], act["data"]["act"]) for act in acts] == [("by_hand", "intent"), ("by_hand", "unreadable")]
    assert acts[0]["data"]["did"]["target"] == "dc1-b"
    told = edited(directory, lambda events: events.insert(-1, {**acts[0], "prev": None}), chain=True)
    assert "Somebody worked on the topology by hand while the drill ran: intent of NodeKilled." in told


def test_hashes_are_in_the_terminal_and_in_junit(run: Path) -> None:
    stream = io.StringIO()
    with LiveView("center-loss", "A claim.", interactive=False, stream=stream) as view:
        view.anchors({"plan hash": "ab" * 32})
    assert f"plan hash  {'ab' * 32}\n" in stream.getvalue()
    verdict, measurement = judge_run(run)
    suite = ElementTree.fromstring(render(Evidence(run), measurement, verdict)["junit.xml"])
    told = {p.attrib["name"]: p.attrib["value"] for p in suite.iter("property")}
    assert told["plan_sha256"] == sha256_of(run / "plan.json")
    assert told["manifest_sha256"] == sha256_of(run / "manifest.json")
    assert told["chain_head"] == sha256_of_bytes((run / "events.jsonl").read_bytes().splitlines()[-1])


def test_a_probe_that_says_it_started_later_than_its_first_payment_is_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    count = json.loads((directory / "probe.json").read_text())
    (directory / "probe.json").write_text(json.dumps({**count, "started_ns": count["started_ns"] + 1_000_000_000}))
    reseal(directory)
    assert any("due before the probe started" in doubt for doubt in doubts(directory))


def test_another_version_under_the_seal_than_in_the_plan_is_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    manifest = json.loads((directory / "manifest.json").read_text())
    (directory / "manifest.json").write_text(json.dumps({**manifest, "evidence_version": 1}))
    assert "manifest.json seals evidence version 1; plan.json is of version 2." in doubts(directory)


@pytest.mark.parametrize("name", ["witness.csv", "witness.json"])
def test_a_promised_witness_that_is_not_there_is_a_doubt(name: str, tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    (directory / name).unlink()
    reseal(directory)
    assert doubts(directory) == [f"{name} is missing."]


def test_a_witness_that_lost_rows_is_a_doubt(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", Scenario(ends_s=50))
    lines = (directory / "witness.csv").read_text().splitlines(keepends=True)
    (directory / "witness.csv").write_text("".join(lines[:-3]))
    reseal(directory)
    assert doubts(directory) == [f"witness.csv: expected {len(lines) - 1} rows, seen {len(lines) - 4}."]


@pytest.mark.parametrize(("target", "verdict"), [("primary's center", "PASS"), ("another's center", "INVALID")])
def test_the_primarys_center_is_meant_by_its_word(target: str, verdict: str, tmp_path: Path) -> None:
    """The plan can't know where the primary will be; both verifiers find the center in which it was."""
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    with Forger(run) as desk:
        planned = next(one for one in desk.plan["body"] if one["kind"] == "fault")
        assert planned["args"] == {"center": "dc1"}
        planned |= {"target": target, "args": {"center": target}}
    _, ours, _ = recompute(run)
    assert (ours.verdict, verifier.verify(run)["verdict"]) == (verdict, verdict), ours.reasons
