"""What databases say of their own commits: asked, told at each change, and held against what the plan promises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from judging.crosschecks import contradictions
from judging.evidence import Evidence
from judging.judge import judge
from judging.measure import measure
from judging.records import read
from runtime.database import DURABILITY, Database, Durability
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from tests.test_forgeries import light
from tests.test_observer import observer

CENTER_LOSS = light(SCENARIOS["center-loss"])
SAFE = Durability(dict.fromkeys(DURABILITY, "on"), [])
Change = Callable[[Forger], object]


def contradicts(directory: Path, change: Change) -> list[str]:
    with Forger(directory) as run:
        change(run)
    rules = ("durability_was_told", "power_loss_was_provided_for")
    return [found.words for found in contradictions(read(Evidence(directory))) if found.rule in rules]


def says(run: Forger, at_s: float, node: str, *, overrides: list[dict[str, str]] | None = None, **settings: str) -> None:
    """One more durability event, seconds from the fault."""
    first = next(event for event in run.kind("durability") if event["data"]["node"] == node)
    told = json.loads(json.dumps(first))
    told["data"]["settings"].update(settings)
    told["data"]["overrides"] = overrides or []
    run.move(told, run.before_ns + round(at_s * 1e9))
    place = next((n for n, event in enumerate(run.events) if event["t_ns"] > told["t_ns"]), len(run.events))
    run.events.insert(place, told)


LOCAL = [{"place": "role bank", "name": "synchronous_commit", "value": "local"}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: says(run, 3, "dc2-b", fsync="off"), "dc2-b ran with fsync=off from"),
        (lambda run: says(run, -1, "dc3-a", full_page_writes="off"), "dc3-a ran with full_page_writes=off"),
        (lambda run: says(run, -2, "dc1-a", synchronous_commit="off"), "dc1-a, the primary from .* synchronous_commit=off, and"),
        (lambda run: says(run, -2, "dc1-a", overrides=LOCAL), "synchronous_commit=local for role bank, and"),
        # a copy that said so while it was none, and took over with it
        (lambda run: says(run, -9, "dc2-a", synchronous_commit="local"), "dc2-a, the primary from .* synchronous_commit=local"),
    ],
)
def test_what_no_kill_can_show_is_a_doubt(change: Change, words: str, tmp_path: Path) -> None:
    found = contradicts(write_run(tmp_path / "run", CENTER_LOSS), change)
    assert len(found) == 1, found
    assert re.search(words, found[0])


def once(run: Forger) -> None:
    """It was so before it was the primary, and no more then."""
    says(run, -9, "dc2-a", synchronous_commit="off")
    says(run, 2, "dc2-a", synchronous_commit="on")


def promised_nothing(run: Forger) -> None:
    run.plan["topology"]["settings"]["synchronous"] = "off"
    says(run, -2, "dc1-a", overrides=LOCAL)


@pytest.mark.parametrize(
    "change",
    [
        once,
        promised_nothing,
        lambda run: says(run, -2, "dc2-b", synchronous_commit="off"),  # never the primary
        lambda run: says(run, -2, "dc3-a", synchronous_commit="local"),  # region B serves without a copy
        lambda run: says(run, -2, "dc1-a", synchronous_commit="remote_write"),
    ],
)
def test_what_keeps_the_promise_is_none(change: Change, tmp_path: Path) -> None:
    assert contradicts(write_run(tmp_path / "run", CENTER_LOSS), change) == []


def test_a_change_in_a_log_is_told_unless_its_database_fell_silent(tmp_path: Path) -> None:
    def logged(run: Forger, node: str, at_s: float) -> None:
        stamp = run.wall(run.before_ns + round(at_s * 1e9))
        run.log(node).append(f'{stamp[:-1]}000Z LOG:  parameter "full_page_writes" changed to "off"')
        run.log(node).sort()

    died = write_run(tmp_path / "died", CENTER_LOSS)
    assert contradicts(died, lambda run: logged(run, "dc1-b", -0.2)) == []
    lived = write_run(tmp_path / "lived", CENTER_LOSS)
    assert [
        "changes full_page_writes to off" in words for words in contradicts(lived, lambda run: logged(run, "dc2-b", -0.2))
    ] == [True]


def test_who_told_nothing_is_told_once(tmp_path: Path) -> None:
    found = contradicts(
        write_run(tmp_path / "run", CENTER_LOSS),
        lambda run: run.drop_events(lambda event: event["kind"] == "durability" and event["data"]["node"] == "dc2-a"),
    )
    assert found == ["plan.json promises what makes commits durable; dc2-a did not tell it until the baseline ended."]


def test_a_run_of_before_is_judged_as_it_was(tmp_path: Path) -> None:
    """It has neither the events nor the plan's word of them."""

    def verdict(name: str, records: tuple[Any, ...]) -> tuple[str, list[str]]:
        evidence = Evidence(write_run(tmp_path / name, replace(CENTER_LOSS, records=records)))
        given = judge(measure(evidence), evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)
        return given.verdict, given.reasons

    before = tmp_path / "before"
    assert verdict("before", ()) == verdict("after", ("durability",))
    plan = json.loads((before / "plan.json").read_text())
    del plan["records"]
    (before / "plan.json").write_text(json.dumps(plan))
    assert not read(Evidence(before)).promised("durability")


class Said:
    """A connection's word, as often as it is asked."""

    def __init__(self, *answers: Durability | psycopg.Error) -> None:
        self.answers = list(answers)

    def durability(self, *, within_s: float) -> Durability:
        del within_s
        answer = self.answers.pop(0)
        if isinstance(answer, psycopg.Error):
            raise answer
        return answer


def test_the_observer_tells_it_first_and_at_each_change(tmp_path: Path) -> None:
    relaxed = Durability({**SAFE.settings, "fsync": "off"}, [])
    lax = Durability(SAFE.settings, LOCAL)
    one = observer(tmp_path, ["a"])
    said = Said(SAFE, SAFE, psycopg.OperationalError("no answer"), SAFE, relaxed, relaxed, lax)
    while said.answers:
        one.examine("a", cast(Database, said))
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [event["kind"] for event in told] == ["durability"] * 3
    assert [event["data"]["settings"]["fsync"] for event in told] == ["on", "off", "on"]
    assert told[2]["data"]["overrides"] == LOCAL
    assert "synchronous_commit=local for role bank" in told[2]["text"]
