"""What `run.fault` promises, without Docker: the body goes on at once; its proof is read beside it, written before the heal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.customers import Window
from harness.run import Run
from judging.errors import CouldNotTell
from judging.evidence import EventLog
from runtime.cluster import Cluster
from topologies.model import Check, Effect, Moment, Proof, Topology
from topologies.two_region_three_center import two_region_three_center


class StillCluster:
    """Everybody answers, every link carries."""

    def __init__(self) -> None:
        self.topology = two_region_three_center()

    def answers(self, node: str) -> bool:
        return bool(node)

    def dial(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        return dict.fromkeys(pairs, True)


class Slow:
    """A fault whose proof is read when `told` allows it, and which writes down what is done to it."""

    target = "dc1"
    arguments: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self, proves: Callable[[], Proof] | None = None, *, fails_to_prepare: bool = False, does: Effect | None = None
    ) -> None:
        self.does = does or Effect()
        self.proves = proves or (lambda: Proof((Check("dc1-a", "down", "down", ok=True),)))
        self.fails_to_prepare = fails_to_prepare
        self.told = threading.Event()
        self.done: list[str] = []

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [center.name for center in topology.centers]

    def effect(self, topology: Topology) -> Effect:
        del topology
        return self.does

    def undo(self) -> str:
        return "nothing"

    def prepare(self, cluster: Cluster) -> None:
        del cluster
        self.done.append("prepare")
        if self.fails_to_prepare:
            raise CouldNotTell("nothing to break")

    def release(self) -> None:
        self.done.append("release")

    def inject(self, cluster: Cluster) -> Moment | None:
        del cluster
        self.done.append("inject")
        now = time.monotonic_ns()
        return Moment(now, now + 1)

    def proof(self, cluster: Cluster) -> Proof:
        del cluster
        self.told.wait(10)
        return self.proves()

    def heal(self, cluster: Cluster) -> None:
        del cluster
        self.done.append("heal")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    quiet = SimpleNamespace(phase=lambda *_: None, injected=lambda *_: None, message=lambda *_: None)
    observer = SimpleNamespace(primary=None, latest={})
    load = SimpleNamespace(probe_timeout_s=1.0)
    customers = SimpleNamespace(alive=lambda: None, load=load, relapsed=lambda _: False)
    events = EventLog(tmp_path / "events.jsonl")
    made = Run(
        cast(Any, None), tmp_path, cast(Any, StillCluster()), events, cast(Any, customers), cast(Any, observer), cast(Any, quiet)
    )
    yield made
    events.close()


def kinds(run: Run) -> list[str]:
    lines = (run.directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["kind"] for event in map(json.loads, lines) if event["kind"] not in ("phase", "reach")]


def test_the_body_goes_on_while_the_proof_is_read(run: Run) -> None:
    fault = Slow()
    with run.fault(fault):
        assert kinds(run) == ["intent", "injected"]
        fault.told.set()
    assert kinds(run) == ["intent", "injected", "proof", "heal_started", "healed"]
    assert fault.done == ["prepare", "inject", "release", "heal"]


def test_the_heal_waits_for_the_proof(run: Run) -> None:
    fault = Slow()
    began = time.monotonic()
    threading.Timer(0.3, fault.told.set).start()
    with run.fault(fault):
        run.begin_heal()
        assert time.monotonic() - began >= 0.3
        assert kinds(run)[-2:] == ["proof", "heal_started"]
    assert kinds(run).count("proof") == 1


def test_the_heal_waits_for_service_that_the_runbook_disturbed_again(run: Run) -> None:
    """What comes back only after the window's end has not come back: the verdict could not be told."""
    fault = Slow()
    fault.told.set()
    disturbed = threading.Event()
    disturbed.set()
    asked: list[Window] = []
    run.customers.relapsed = lambda window: asked.append(window) or disturbed.is_set()  # type: ignore[method-assign,func-returns-value]
    with run.fault(fault):
        threading.Timer(0.3, disturbed.clear).start()
        began = time.monotonic()
        run.begin_heal()
        assert time.monotonic() - began >= 0.3
    assert asked[0] is run.last_window
    assert kinds(run)[-2:] == ["heal_started", "healed"]


def test_service_that_stays_away_is_not_waited_for_without_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.SETTLED_WITHIN_S", -0.8)
    fault = Slow()
    fault.told.set()
    run.customers.relapsed = lambda window: window is not None  # type: ignore[method-assign]
    with run.fault(fault):
        pass
    assert kinds(run)[-2:] == ["heal_started", "healed"]


def test_a_proof_that_raises_ends_the_run_and_the_fault_is_healed(run: Run) -> None:
    def broken() -> Proof:
        raise CouldNotTell("the victim could not be asked")

    fault = Slow(broken)
    fault.told.set()
    with pytest.raises(CouldNotTell, match="could not be asked"), run.fault(fault):
        time.sleep(0.1)
    assert kinds(run) == ["intent", "injected", "heal_started", "healed"]
    assert fault.done[-1] == "heal"


def test_a_body_that_fails_is_healed_at_once_and_no_proof_is_written_after_it(run: Run) -> None:
    fault = Slow()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), run.fault(fault):
        raise KeyboardInterrupt
    assert time.monotonic() - began < 5
    fault.told.set()
    time.sleep(0.3)
    assert kinds(run) == ["intent", "injected", "heal_started", "healed"]


def test_one_proof_is_read_before_the_next_fault_comes(run: Run) -> None:
    """Who must answer beside one fault may be the next one's victim."""
    first, second = Slow(), Slow()
    threading.Timer(0.2, first.told.set).start()
    second.told.set()
    with run.fault(first), run.fault(second):
        pass
    assert kinds(run)[:5] == ["intent", "injected", "proof", "intent", "injected"]
    assert kinds(run).count("proof") == 2


def test_whom_one_fault_has_down_need_not_answer_beside_the_next(run: Run) -> None:
    """The first one's victim is dead when the second one's proof is read, and is no bystander of it; all others are."""

    class Dead(StillCluster):
        def answers(self, node: str) -> bool:
            return node not in dead

    dead: set[str] = set()
    run.cluster = cast(Any, Dead())
    first, second = Slow(does=Effect(down=("dc2-b",))), Slow(does=Effect(down=("dc1-a",)))
    first.told.set()
    second.told.set()
    with run.fault(first):
        dead.add("dc2-b")
        with run.fault(second):
            dead.add("dc1-a")
    lines = (run.directory / "events.jsonl").read_text(encoding="utf-8").splitlines()
    proofs = [event["data"] for event in map(json.loads, lines) if event["kind"] == "proof"]
    asked = [{check["subject"] for check in proof["checks"] if check["side"] == "bystander"} for proof in proofs]
    assert [proof["proved"] for proof in proofs] == [True, True]
    assert "dc1-a" in asked[0]
    assert not {"dc1-a", "dc2-b"} & asked[1]
    assert {"dc1-b", "dc2-a", "dc3-a"} <= asked[1]


def test_two_faults_do_not_hit_the_same(run: Run) -> None:
    first, second = Slow(does=Effect(cut=("dc1->dc2",))), Slow(does=Effect(cut=("dc1->dc2", "dc2->dc1")))
    first.told.set()
    told = "would hit dc1->dc2, which fault f1 has hit already"
    with run.fault(first), pytest.raises(CouldNotTell, match=told), run.fault(second):
        raise AssertionError("the body must not run")
    assert "inject" not in second.done


def test_what_could_not_be_prepared_is_let_go_and_was_never_intended(run: Run) -> None:
    fault = Slow(fails_to_prepare=True)
    with pytest.raises(CouldNotTell, match="nothing to break"), run.fault(fault):
        raise AssertionError("the body must not run")
    assert fault.done == ["prepare", "release"]
    assert kinds(run) == []


def test_the_moments_are_those_of_the_act(run: Run) -> None:
    fault = Slow()
    fault.told.set()
    with run.fault(fault):
        assert run.last_window.after_ns == run.last_window.before_ns + 1
