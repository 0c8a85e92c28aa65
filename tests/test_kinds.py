"""The data of events, as the page says: what is missing, or of another type, is told and counts for nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.handover import recompute
from judging import kinds
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from verifying import verifier


def test_both_verifiers_know_the_same_kinds_and_fields() -> None:
    """Written twice on purpose, from the page: what one asks for and the other doesn't is a difference in a verdict."""

    def fields(shape: Any) -> Any:
        if isinstance(shape, dict):
            return {name.rstrip("?"): fields(inner) for name, inner in shape.items()}
        return fields(shape[0]) if isinstance(shape, list) else None

    def ours(model: type[kinds.Shape]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            inner = field.annotation
            args = [a for a in getattr(inner, "__args__", ()) if isinstance(a, type) and issubclass(a, kinds.Shape)]
            nested = inner if isinstance(inner, type) and issubclass(inner, kinds.Shape) else args[0] if args else None
            found[name] = ours(nested) if nested is not None else None
        return found

    assert {kind: ours(model) for kind, model in kinds.KINDS.items()} == {k: fields(s) for k, s in verifier.EVENTS.items()}


def broken(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The data with one field renamed, or of a type that it never has."""
    for name in data:
        renamed = copy.deepcopy(data)
        renamed[name + "x"] = renamed.pop(name)
        yield f"{name} renamed", renamed
        strange = 7 if isinstance(data[name], dict) else {"an": ["object"]}
        yield f"{name} of another type", {**copy.deepcopy(data), name: strange}


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_each_field_of_the_page_is_asked_for(kind: str) -> None:
    good = GOOD[kind]
    assert kinds.wrong(kind, good) is None
    assert kinds.wrong(kind, {**good, "more": "for the reader"}) is None
    for what, data in broken(good):
        assert kinds.wrong(kind, data), what


def test_kinds_that_no_figure_needs_may_say_what_they_like() -> None:
    assert kinds.wrong("replayed", {"ok": 7}) is None


@pytest.mark.parametrize(
    ("kind", "field"), [("intent", "args"), ("until", "waited_s"), ("leader_key", "seen_before_ns"), ("step", "before_ns")]
)
def test_what_is_damaged_is_no_evidence_for_either_verifier(kind: str, field: str, tmp_path: Path) -> None:
    """One flipped bit in the name of a field: the judge read what remained, and the second verifier did not."""
    run = write_run(tmp_path / "run", SCENARIOS["region-loss"])
    with Forger(run) as desk:
        event = next(one for one in desk.events if one["kind"] == kind)
        event["data"][field[:-1] + "w"] = event["data"].pop(field)
    _, verdict, measured = recompute(run)
    assert verdict.verdict == verifier.verify(run)["verdict"] == "INVALID"
    if kind == "intent":
        said = verifier.verify(run)["faults"][0]
        assert (said["name"], said["target"]) == (measured.faults[0].name, measured.faults[0].target) == ("unknown", "unknown")
    told = f"events.jsonl seq {event['seq']} ({kind}): {field}: Field required."
    assert told in verdict.reasons


KEYS = {"count": 1, "sha256": "0" * 64}
GOOD: dict[str, dict[str, Any]] = {
    "plan_registered": {"sha256": "0" * 64},
    "phase": {"name": "start"},
    "books_closed": {"node": "dc1-a", "payments": 1, "sha256": "0" * 64},
    "baseline": {"from_ns": 1, "to_ns": 2},
    "intent": {"id": "f1", "name": "X", "target": "dc1", "args": {}, "effect": {"down": ["dc1-a"], "cut": []}},
    "injected": {"id": "f1", "before_ns": 1, "after_ns": 2},
    "proof": {"id": "f1", "proved": True, "checks": []},
    "reach": {"moment": "before", "cells": [{"source": "dc1", "target": "dc2", "ok": True}]},
    "primary": {"node": None, "roles": {}},
    "leader_key": {"store": "region-a", "leader": None, "seen_before_ns": 1},
    "durability": {"node": "dc1-a", "settings": {}, "overrides": []},
    "replaced": {"nodes": ["dc1-a"]},
    "restored": {"node": "dc1-a", "timeline": 2, "xid": 801, "before_ns": 1, "after_ns": 2},
    "step": {"name": "x", "role": None, "before_ns": 1, "after_ns": 2, "ok": True},
    "damage": {"node": "dc1-a", "pages": []},
    "until": {"condition": "x", "within_s": 1, "reached": True, "waited_s": 0.5},
    "heal_started": {"id": "f1"},
    "healed": {"id": "f1", "ok": True},
    "load_started": {"origin": "probe"},
    "load_stopped": {"origin": "locust"},
    "authority": {"node": "dc1-a"},
    "expected_copies": {"nodes": ["dc1-a"]},
    "exempt_keys": {"observers": KEYS, "ready": KEYS},
    "autopsy": {"node": "dc1-a", "payments": 1, "end_lsn": None},
    "edge_store": {"node": "edge-1-edge", "payments": 1, "synchronous": 2},
    "door_log": {"payments": 1, "dropped": None},
    "lines": {"lines": []},
    "by_hand": {"act": "intent"},
}


def test_a_seal_whose_times_are_none_is_a_doubt_for_both(tmp_path: Path) -> None:
    """Nothing is computed from `sealed_at`, and a run whose manifest was touched there had PASS from the judge."""
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"sealed_at": manifest["sealed_at"].replace(":", "p", 1)}))
    _, verdict, _ = recompute(run)
    assert verdict.verdict == verifier.verify(run)["verdict"] == "INVALID"
    assert any("sealed_at" in reason and "no RFC 3339 time" in reason for reason in verdict.reasons)


def test_a_witness_that_saw_something_else_is_damaged_as_a_whole(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", SCENARIOS["center-loss"])
    with Forger(run) as desk:
        desk.table("witness.csv")[3]["kind"] = "prescure"
    _, verdict, measured = recompute(run)
    verified = verifier.verify(run)
    assert verdict.verdict == verified["verdict"] == "INVALID"
    assert any(
        "witness.csv cannot be read: expected rows of cpu, pressure, sync, wake; seen 'prescure'" in r for r in verdict.reasons
    )
    ours = measured.faults[0].rto_interval
    assert ours is not None
    assert ours.host_s == verified["faults"][0]["rto_interval"]["host_s"]
