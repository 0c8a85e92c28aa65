"""Cycles on one topology, with everything below the runner replaced: what is started, what stands on, what is taken down when."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness import cycles, environment, first_state, ground, runbooks, runner
from harness.cycles import Warm, run_cycles, run_warm
from harness.drill import Drill, load_drill, payments
from harness.runner import INTERRUPTED_EXIT, Options
from judging.errors import CouldNotStart
from judging.evidence import EventLog, Load, Targets
from runtime import engine
from runtime.cluster import ClusterError
from topologies.model import Topology
from topologies.three_vendors import three_vendors
from topologies.two_region_three_center import two_region_three_center


@dataclass
class World:
    """What the replaced parts did, in order; `body(n)` is the drill's body in its n-th run, `first_state` may raise."""

    body: Callable[[int], None] = lambda _: None
    first_state: Callable[[], None] = lambda: None
    did: list[str] = field(default_factory=list)
    standing: list[Path] = field(default_factory=list)  # what the label's directory led to, in each body
    runs: int = 0


class FakeWatcher:
    world: World

    def __init__(self, run_id: str, **_: Path) -> None:
        self.run_id = run_id
        self.world.did.append("watcher")

    def release(self, *, done: bool) -> None:
        self.world.did.append("released" if done else "watcher goes on")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(FakeWatcher, "world", made, raising=False)
    monkeypatch.setattr(ground, "watcher", FakeWatcher)
    client = SimpleNamespace(version=lambda: {"Version": "0"}, info=lambda: {"DockerRootDir": "/"})
    images = SimpleNamespace(toxiproxy=True, why_no_toxiproxy="", node="node", link="link")
    monkeypatch.setattr(runner, "prepare", lambda _: (client, images))
    monkeypatch.setattr(environment, "describe", lambda _, degraded: {"degraded": degraded})
    monkeypatch.setattr(runner, "bring_up", lambda *a: bring_up(made, *a))
    monkeypatch.setattr(runner, "first_state_again", lambda *_, **__: first(made))
    monkeypatch.setattr(runner, "loaded", contextlib.contextmanager(lambda *a: loaded(made, *a)))
    for name in ("take_baseline", "read_back"):
        monkeypatch.setattr(runner, name, lambda *_: None)
    monkeypatch.setattr(runner, "perform", lambda *_: made.body(made.runs))
    monkeypatch.setattr(
        runner, "finish_evidence", lambda *_, since=None: made.did.append("logs" if since is None else "logs since")
    )
    monkeypatch.setattr(engine, "remove_for_good", lambda _, run_id, **__: removed(made, run_id))
    return made


def bring_up(world: World, drill: Drill, plan: Any, options: Options, place: Path, *_: Any) -> Any:
    world.did.append("up")
    (place / "standing.json").write_text("{}", encoding="utf-8")
    topology = two_region_three_center()
    return SimpleNamespace(topology=topology, wait_primary=lambda **_: topology.node("dc1-a"))


def removed(world: World, run_id: str) -> engine.Leftovers:
    world.did.append(f"down {run_id[-4:]}")
    return engine.Leftovers((), (), ())


def first(world: World) -> None:
    world.did.append("first state")
    world.first_state()


def loaded(world: World, plan: Any, directory: Path, *_: Any) -> Iterator[Any]:
    world.runs += 1
    places = list(directory.parent.glob(".standing-*"))
    world.standing += [place.resolve() for place in places if (place / "standing.json").is_file()]
    yield SimpleNamespace()


def perform(world: World, runs: Path, count: int, **options: Any) -> list[runner.Result]:
    drill = Drill("test-drill", "A drill.", two_region_three_center, payments(), Targets(), lambda _: None)
    return run_cycles(drill, Options(runs=runs, interactive=False, **options), count, tell=lambda _: None)


def plan_of(result: runner.Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result.directory / "plan.json").read_text())
    return found


def test_one_start_one_take_down_and_a_sealed_run_for_each_cycle(world: World, tmp_path: Path) -> None:
    results = perform(world, tmp_path, 3, seed=40)
    assert [d for d in world.did if not d.startswith("down")] == [
        "watcher", "up", "logs", "first state", "logs since", "first state", "logs since", "released",
    ]  # fmt: skip
    assert sum(d.startswith("down") for d in world.did) == 1
    assert len({result.directory for result in results}) == 3
    for number, result in enumerate(results, 1):
        plan = plan_of(result)
        assert (result.directory / "manifest.json").is_file()
        assert (result.directory / "report.html").is_file()
        assert plan["seed"] == 39 + number
        assert (plan["environment"]["cycle"]["number"], plan["environment"]["cycle"]["of"]) == (number, 3)
    assert len({plan_of(result)["environment"]["cycle"]["group"] for result in results}) == 1
    assert len({plan_of(result)["run_id"] for result in results}) == 3


def test_drills_that_ask_for_the_same_topology_follow_each_other_on_one(world: World, tmp_path: Path) -> None:
    drills = [
        Drill(name, "A drill.", topology, payments(), Targets(), lambda _: None)
        for name, topology in (
            ("one", two_region_three_center), ("two", two_region_three_center), ("one", two_region_three_center),
            ("other", three_vendors),
        )
    ]  # fmt: skip
    results = run_warm(drills, Options(runs=tmp_path, interactive=False, seed=7), tell=lambda _: None)
    assert [d for d in world.did if not d.startswith(("down", "logs"))] == [
        "watcher", "up", "first state", "first state", "released", "watcher", "up", "released",
    ]  # fmt: skip
    assert world.standing == [result.directory for result in results[:1]] + [results[2].directory, results[3].directory]
    plans = [plan_of(result) for result in results]
    assert [plan["seed"] for plan in plans] == [7, 7, 8, 7]
    assert [plan["environment"]["cycle"]["number"] for plan in plans] == [1, 2, 3, 1]
    assert not list(tmp_path.rglob("standing.json"))


def test_a_lone_drill_is_a_run_as_any_other(world: World, tmp_path: Path) -> None:
    one, other = (
        Drill("drill", "A drill.", topology, payments(), Targets(), lambda _: None)
        for topology in (two_region_three_center, three_vendors)
    )
    warm = Warm(Options(runs=tmp_path, interactive=False))
    results = [warm.run(one, other), warm.run(other, None)]
    warm.close()
    assert world.did.count("up") == world.did.count("released") == 2
    assert ["cycle" in plan_of(result)["environment"] for result in results] == [False, False]


def test_the_label_leads_to_the_cycle_that_runs_and_nothing_is_left_of_it(world: World, tmp_path: Path) -> None:
    results = perform(world, tmp_path, 3)
    assert world.standing == [result.directory for result in results]
    assert not list(tmp_path.rglob("standing.json"))
    assert not list((tmp_path / "test-drill").glob(".standing-*"))


def test_a_cycle_that_ends_in_an_error_spoils_no_other(world: World, tmp_path: Path) -> None:
    def body(number: int) -> None:
        if number == 2:
            raise ClusterError("it went wrong")

    world.body = body
    results = perform(world, tmp_path, 3)
    assert world.runs == 3
    errors = ["it went wrong" in (result.directory / "events.jsonl").read_text() for result in results]
    assert errors == [False, True, False]
    assert world.did.count("up") == 1


def test_a_first_state_that_cannot_be_had_gets_a_new_topology(world: World, tmp_path: Path) -> None:
    asked = iter([ClusterError("the primary is in region B"), None])

    def refuse() -> None:
        if error := next(asked):
            raise error

    world.first_state = refuse
    results = perform(world, tmp_path, 3)
    assert world.did.count("up") == 2
    assert world.did.count("watcher") == world.did.count("released") == 2
    assert world.runs == 3
    assert "so the topology is replaced" in (results[1].directory / "events.jsonl").read_text()
    assert [d for d in world.did if d.startswith("logs")] == ["logs", "logs", "logs since"]


def test_an_interrupt_ends_the_rest_and_takes_down(world: World, tmp_path: Path) -> None:
    def body(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    world.body = body
    results = perform(world, tmp_path, 5, keep=True)
    assert [result.exit_code for result in results][-1] == INTERRUPTED_EXIT
    assert len(results) == 2
    assert world.did[-1] == "released"
    assert sum(d.startswith("down") for d in world.did) == 1


def test_an_error_of_ours_between_two_cycles_leaves_nothing_standing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(runner, "hand_over", fail)
    with pytest.raises(OSError, match="no space left"):
        perform(world, tmp_path, 3)
    assert world.did[-1] == "released"
    assert any(d.startswith("down") for d in world.did)
    assert not list(tmp_path.rglob("standing.json"))
    assert not list((tmp_path / "test-drill").glob(".standing-*"))


def test_kept_is_what_the_last_cycle_leaves(world: World, tmp_path: Path) -> None:
    results = perform(world, tmp_path, 2, keep=True)
    assert not any(d.startswith("down") for d in world.did)
    assert world.did[-1] == "released"
    assert (results[-1].directory / "standing.json").is_file()
    assert len(list((tmp_path / "test-drill").glob(".standing-*"))) == 1


def test_when_cycles_end_early() -> None:
    refused = CouldNotStart.exit_code
    assert cycles.ends([refused])
    assert cycles.ends([0, refused, refused])
    assert cycles.ends([0, INTERRUPTED_EXIT])
    assert not cycles.ends([0, refused])
    assert not cycles.ends([2, 2, 2, 2])


# The first state


class FakeCluster:
    """A primary, and what it says of its copies."""

    def __init__(self, primary: str, in_sync: list[str], topology: Topology | None = None) -> None:
        self.topology = topology or two_region_three_center()
        self.now, self.in_sync = primary, in_sync

    def wait_primary(self, **_: float) -> Any:
        return self.topology.node(self.now)

    def state(self, _: str) -> Any:
        return SimpleNamespace(replication=[{"name": name, "sync_state": "sync"} for name in self.in_sync])


def moved(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, home: str = "dc1") -> tuple[str, list[tuple[str, str]]]:
    switched: list[tuple[str, str]] = []
    monkeypatch.setattr(runbooks, "switch_over", lambda _, old, new: switched.append((old, new)))
    return runbooks.move_primary_home(cluster, home), switched  # type: ignore[arg-type]


def test_the_primary_goes_home_to_a_synchronous_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert moved(FakeCluster("dc2-a", ["dc1-b", "dc2-b"]), monkeypatch) == ("dc1-b", [("dc2-a", "dc1-b")])


def test_a_primary_that_is_home_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert moved(FakeCluster("dc1-b", []), monkeypatch) == ("", [])


def test_one_group_goes_home_across_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each vendor is a region of its own, and all are one group: what counts is whose copies they are."""
    cluster = FakeCluster("vendor-b-a", ["vendor-a-b", "vendor-c-a"], three_vendors())
    assert moved(cluster, monkeypatch, "vendor-a") == ("vendor-a-b", [("vendor-b-a", "vendor-a-b")])


def test_from_another_region_no_switchover_leads_home(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClusterError, match="no switchover leads from there"):
        moved(FakeCluster("dc3-a", []), monkeypatch)


def test_books_are_closed_in_one_transaction_and_told_with_what_went(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def query(sql: str, **_: float) -> list[tuple[str]]:
        asked.append(sql)
        return [("k1",), ("k2",)] if "SELECT key" in sql else []

    monkeypatch.setattr(first_state, "Database", lambda _: SimpleNamespace(query=query, close=lambda: None))
    monkeypatch.setattr(first_state, "replayed", lambda _: True)
    monkeypatch.setattr(first_state, "books_are_empty", lambda _: True)
    cluster: Any = FakeCluster("dc1-a", [])
    cluster.addresses = SimpleNamespace(node=lambda name: name)
    events = EventLog(tmp_path / "events.jsonl")
    first_state.close_books(cluster, events)
    events.close()
    assert len(asked) == 2
    assert all(word in asked[1] for word in ("LOCK TABLE", "opening_minor = balance_minor", "TRUNCATE payments, entries"))
    told = json.loads((tmp_path / "events.jsonl").read_text())
    assert (told["kind"], told["data"]["payments"]) == ("books_closed", 2)
    assert told["data"]["sha256"] == hashlib.sha256(b"k1\nk2").hexdigest()


def test_where_a_timeline_ended_is_read_from_its_history() -> None:
    """PostgreSQL names timelines in capital hexadecimal digits."""
    asked: list[str] = []

    def sql(_: str, query: str) -> list[tuple[str]]:
        asked.append(query)
        return [("9\t0/3000000\tno recovery target specified\n\n10\t1/000000A0\tno recovery target specified\n",)]

    assert runbooks.timeline_ends(cast(Any, SimpleNamespace(sql=sql)), "dc1-a", 11) == {9: 0x3000000, 10: (1 << 32) + 0xA0}
    assert "'pg_wal/0000000B.history'" in asked[0]


@pytest.mark.docker
def test_each_cycle_passes_on_its_own(tmp_path: Path) -> None:
    """What is asked is cycles, not what a machine can bear: few payments, and no target that a busy one might miss."""
    few = Load(probe_interval_ms=50, customers=2, customer_rate_per_s=4, baseline_s=3)
    light = replace(load_drill("planned-switchover"), load=few, targets=Targets(rpo_s=0, lost_transactions=0))
    results = run_cycles(light, Options(runs=tmp_path, interactive=False), 2, tell=lambda _: None)
    assert [(result.verdict.verdict, result.verdict.reasons) for result in results if result.exit_code != 0] == []
