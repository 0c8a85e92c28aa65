"""A node that stands still: what it is by values, how it is read back, and what judges make of its proof. No container."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults import build
from faults.node_frozen import NodeFrozen
from judging.crosschecks import contradictions
from judging.evidence import Evidence
from judging.records import read
from runtime import machine
from runtime.cluster import Cluster
from runtime.machine import Machine
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = two_region_three_center()


class Standing:
    """A cluster of one node, as the fault sees it."""

    def __init__(self, *, says: str = "") -> None:
        self.still, self.says = False, says
        self.topology = TOPOLOGY

    def wait_primary(self, **_: float) -> Any:
        return SimpleNamespace(name="dc1-a")

    def freeze(self, _node: str) -> None:
        self.still = True

    def thaw(self, _node: str) -> None:
        self.still = False

    def frozen(self, _node: str) -> bool:
        return self.still

    def answers(self, _node: str) -> bool:
        return bool(self.says) or not self.still


def test_the_primary_is_whoever_it_is_when_it_is_prepared() -> None:
    fault, cluster = NodeFrozen("primary"), cast(Cluster, Standing())
    assert fault.effect(TOPOLOGY).down == ()
    fault.heal(cluster)  # it was never prepared: nobody is touched
    fault.prepare(cluster)
    assert (fault.target, fault.effect(TOPOLOGY).down) == ("dc1-a", ("dc1-a",))
    assert build("NodeFrozen", fault.arguments).undo() == "let dc1-a run on"


@pytest.mark.parametrize(("says", "seen", "ok"), [("", "frozen, no answer", True), ("yes", "frozen, answers", False)])
def test_it_is_proved_by_the_kernel_and_by_its_silence(says: str, seen: str, ok: bool) -> None:
    fault, cluster = NodeFrozen("dc1-a"), Standing(says=says)
    fault.inject(cast(Cluster, cluster))
    (check,) = fault.proof(cast(Cluster, cluster)).checks
    assert (check.subject, check.seen, check.ok) == ("dc1-a", seen, ok)
    for _ in range(2):
        fault.heal(cast(Cluster, cluster))
        assert not cluster.still


@pytest.mark.parametrize(
    ("controller", "name", "text", "frozen"),
    [
        ("freezer", "freezer.state", "FROZEN\n", True),
        ("freezer", "freezer.state", "FREEZING\n", False),
        ("freezer", "freezer.state", "THAWED\n", False),
        ("", "cgroup.events", "populated 1\nfrozen 1\n", True),
        ("", "cgroup.events", "populated 1\nfrozen 0\n", False),
        ("memory", "cgroup.events", "frozen 1\n", False),  # not where the kernel says it
    ],
)
def test_the_kernel_says_who_is_frozen(
    controller: str, name: str, text: str, frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    group = tmp_path / (controller or ".") / "docker" / "one"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text("1\n")
    (group / name).write_text(text)
    held = SimpleNamespace(cgroups={controller: "/docker/one"})
    held.cgroup = lambda *names: Machine.cgroup(cast(Machine, held), *names)
    assert Machine.frozen(cast(Machine, held)) is frozen


def rules(directory: Path) -> set[str]:
    return {one.rule for one in contradictions(read(Evidence(directory)))}


def test_a_frozen_primary_contradicts_nothing(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["frozen"])
    assert rules(tmp_path) == set()


def test_an_exit_code_proves_no_frozen_node(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["frozen"])
    with Forger(tmp_path) as run:
        for check in run.kind("proof")[0]["data"]["checks"]:
            if check["side"] == "victim":
                check["seen"] = "exited, exit code 137, port 5432 closed"
    assert rules(tmp_path) == {"proof_is_of_its_kind"}


def test_who_is_frozen_writes_no_log(tmp_path: Path) -> None:
    story = SCENARIOS["frozen"]
    write_run(tmp_path, story)
    log = tmp_path / "logs" / "dc1-a.log"
    killed = replace(story.faults[0], down=("dc1-b",))  # a log of dc1-a that goes on
    write_run(tmp_path / "other", replace(story, faults=(killed,)))
    log.write_text((tmp_path / "other" / "logs" / "dc1-a.log").read_text(encoding="utf-8"), encoding="utf-8")
    assert "victims_fell_silent" in rules(tmp_path)
