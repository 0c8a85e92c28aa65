"""The benchmark of injections: what it waits for between two of them, and that each is proved, and healed whatever happened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import injection
from benchmarks.injection import once, series, stands
from faults.bits_flipped import BitsFlipped
from faults.model import Fault
from runtime.cluster import Cluster, ClusterError
from topologies.model import Check, Moment, Proof
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = two_region_three_center()


class Standing:
    """A cluster in order, of which a test takes something away."""

    def __init__(self) -> None:
        self.topology = TOPOLOGY
        self.unheld: set[str] = set()
        self.primaries = {"dc1-a"}
        self.silent: set[str] = set()
        self.dark: set[tuple[str, str]] = set()

    def container_names(self) -> list[str]:
        return [node.name for node in TOPOLOGY.nodes()]

    def held_or_running(self, name: str) -> bool:
        return name not in self.unheld

    def states(self) -> dict[str, Any]:
        names = [node.name for node in TOPOLOGY.nodes("postgres")]
        return {n: None if n in self.silent else SimpleNamespace(in_recovery=n not in self.primaries) for n in names}

    def dial(self, pairs: list[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        return {pair: pair not in self.dark for pair in pairs}


def test_what_an_injection_meets_stands() -> None:
    assert stands(cast(Cluster, Standing()))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"unheld": {"dc1-bank"}}, "dc1-bank can't be held"),
        ({"silent": {"dc2-b"}}, "dc2-b does not answer"),
        ({"primaries": set()}, "expected one primary; seen none"),
        ({"primaries": {"dc1-a", "dc2-a"}}, "expected one primary; seen dc1-a, dc2-a"),
        ({"dark": {("dc1", "dc2")}}, "dc1->dc2 carries nothing"),
    ],
)
def test_what_is_missing_is_said(change: dict[str, Any], told: str) -> None:
    cluster = Standing()
    cluster.__dict__.update(change)
    with pytest.raises(ClusterError, match=told):
        stands(cast(Cluster, cluster))


class Recorded:
    """A fault that says in which order it was used; `proved` is what its proof says."""

    did: list[str]
    proved = True

    def __init__(self) -> None:
        self.did = []

    def prepare(self, _: Any) -> None:
        self.did.append("prepare")

    def inject(self, _: Any) -> Moment:
        self.did.append("inject")
        return Moment(1_000_000, 3_500_000)

    def proof(self, _: Any) -> Proof:
        self.did.append("proof")
        return Proof((Check("it", "down", "down", self.proved),))

    def heal(self, _: Any) -> None:
        self.did.append("heal")


class Flipped(Recorded, BitsFlipped):
    """Bits, as far as the benchmark sees."""


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    monkeypatch.setattr(injection, "stands_again", lambda _: seen.append("stands"))
    monkeypatch.setattr(injection, "redundant_again", lambda _: seen.append("redundant"))
    monkeypatch.setattr(injection, "BURNS_BEFORE_S", 0.0)
    return seen


def inject(fault: Recorded) -> injection.Taken:
    return once(cast(Cluster, None), lambda _: cast(Fault, fault), processes=0)


def test_each_injection_is_proved_healed_and_timed_by_its_own_moments(waited: list[str]) -> None:
    fault = Recorded()
    taken = inject(fault)
    assert fault.did == ["prepare", "inject", "proof", "heal"]
    assert taken.own == 2.5
    assert taken.staged
    assert waited == ["stands"]


def test_flipped_bits_are_flipped_back_before_the_heal(waited: list[str]) -> None:
    fault = Flipped()
    inject(fault)
    assert fault.did == ["prepare", "inject", "proof", "inject", "heal"]


def test_what_is_not_proved_ends_it_healed(waited: list[str]) -> None:
    fault = Recorded()
    fault.proved = False
    with pytest.raises(SystemExit, match="not proved"):
        inject(fault)
    assert fault.did[-1] == "heal"


def test_quiet_and_busy_take_turns_on_one_topology(
    waited: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    burnt: list[int] = []

    def one(_: Any, __: Any, *, processes: int) -> injection.Taken:
        burnt.append(processes)
        return injection.Taken(1.0, 2.0, 3.0, 4.0, staged=False)

    monkeypatch.setattr(injection, "once", one)
    series(cast(Cluster, None), "NodeKilled", ("quiet", "busy"), 2)
    assert burnt == [0, 2, 0, 2]
    assert waited == ["redundant"], "full redundancy once, where the fault changes"
    told = capsys.readouterr().out
    assert "NodeKilled busy, to prepare" in told
    assert "NodeKilled quiet: 2 of 2 went through the engine" in told
