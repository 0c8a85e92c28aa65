"""One process of a server dies: which it is, what is left of it, and what judges make of the proof. No container."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults import build
from faults.process_killed import ProcessKilled
from harness.hold import fault_from_words
from judging.crosschecks import contradictions
from judging.errors import BadInput
from judging.evidence import Evidence
from judging.records import read
from runtime import processes
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.processes import Held, listed, named
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from topologies.two_region_three_center import two_region_three_center
from verifying import verifier

TOPOLOGY = two_region_three_center()
LINES = {
    1: "/usr/bin/python3 /usr/bin/patroni /etc/patroni.yml",
    30: "/usr/lib/postgresql/17/bin/postgres -D /var/lib/postgresql/data --config-file=postgresql.conf",
    31: "postgres: region-a: checkpointer ",
    32: "postgres: region-a: background writer ",
    33: "postgres: region-a: walwriter ",
    34: "postgres: region-a: walsender postgres 198.18.0.131(4711) streaming 0/3000148",
    35: "postgres: region-a: walsender postgres 198.18.0.132(4712) streaming 0/3000148",
    36: "postgres: region-a: bank bank 198.18.0.12(5000) idle",
    37: "grep /usr/lib/postgresql/17/bin/postgres -D",
}


def test_a_process_is_known_by_what_it_calls_itself() -> None:
    found = {process: named(LINES, process) for process in processes.PROCESSES}
    assert found == {"server": [30], "checkpointer": [31], "walwriter": [33], "walsender": [34, 35], "walreceiver": []}
    assert listed(json.dumps({str(pid): line for pid, line in LINES.items()})) == LINES


def test_every_process_that_may_be_killed_is_listed_by_the_program_for_the_node() -> None:
    told = subprocess.run([sys.executable, "-c", processes.LISTING], capture_output=True, text=True, check=True).stdout
    assert any("-c" in line for line in listed(told).values())


class Node:
    """A cluster of one node with these processes, killed through the engine."""

    topology = TOPOLOGY

    def __init__(self, before: list[int], after: list[int]) -> None:
        self.now, self.after, self.asked = before, after, list[Any]()

    def wait_primary(self, **_: float) -> Any:
        return SimpleNamespace(name="dc1-a")

    def hold_processes(self, _node: str, _process: str) -> None:
        return None

    def processes(self, _node: str, _process: str) -> list[int]:
        return self.now

    def kill_processes(self, node: str, pids: list[int]) -> None:
        self.asked.append((node, pids))
        self.now = self.after

    def start(self, nodes: list[str]) -> None:
        self.asked.append(nodes)

    def answers(self, node: str) -> bool:
        self.asked.append(node)
        return True


@pytest.mark.parametrize(
    ("before", "after", "expected", "seen", "ok"),
    [
        ([30], [], "killed: 30", "gone; now none", True),
        ([30], [52], "killed: 30", "gone; now 52", True),
        ([34, 35], [35, 60], "killed: 34, 35", "still 35", False),
    ],
)
def test_its_proof_is_that_it_is_gone(before: list[int], after: list[int], expected: str, seen: str, ok: bool) -> None:
    node = Node(before, after)
    fault = ProcessKilled("server")
    fault.heal(cast(Cluster, node))  # never prepared: nobody is asked
    assert node.asked == []
    fault.prepare(cast(Cluster, node))
    fault.inject(cast(Cluster, node))
    (check,) = fault.proof(cast(Cluster, node)).checks
    assert (check.subject, check.expected, check.seen, check.ok) == ("server on dc1-a", expected, seen, ok)
    fault.heal(cast(Cluster, node))
    assert node.asked == [("dc1-a", before), ["dc1-a"], "dc1-a"]
    again = build("ProcessKilled", json.loads(json.dumps(fault.arguments)))
    assert (again.target, again.undo()) == ("dc1-a", "wait until dc1-a answers again")


def test_who_is_not_there_cannot_be_killed() -> None:
    with pytest.raises(ClusterError, match="no walreceiver runs on dc1-a"):
        ProcessKilled("walreceiver").prepare(cast(Cluster, Node([], [])))
    with pytest.raises(BadInput, match=r"expected a process out of server, checkpointer, .*; seen 'postmaster'"):
        fault_from_words("ProcessKilled", "postmaster@dc1-a")
    assert fault_from_words("ProcessKilled", "server@dc2-a").arguments == {"process": "server", "node": "dc2-a"}


# --- Real processes ---------------------------------------------------------------------------------------------------
@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()", "victim"], stdin=subprocess.PIPE) as process:
        try:
            wait_for(lambda: "victim" in processes.command_line(process.pid), within_s=10, what="a program with its own words")
            yield process
        finally:
            process.kill()


def machine_of(tmp_path: Path, *pids: int) -> Any:
    (tmp_path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
    return SimpleNamespace(cgroup=lambda *_: tmp_path, owns=lambda _pid: True, pid=os.getpid())


def test_what_is_held_is_killed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child: subprocess.Popen[bytes]
) -> None:
    monkeypatch.setitem(processes.PROCESSES, "server", re.compile(r"\bvictim\b"))
    held = Held(machine_of(tmp_path, os.getpid(), child.pid, 2**22 - 1), "server")
    assert held.pids == [child.pid]
    moment = held.kill()
    assert moment.before_ns <= moment.after_ns
    assert child.wait(5) == -9
    with pytest.raises(ProcessLookupError, match=f"process {child.pid} was dead before it was killed"):
        held.kill()
    held.close()
    held.close()
    assert named(processes.command_lines(machine_of(tmp_path, os.getpid(), child.pid)), "server") == []


def test_the_first_process_is_not_killed_as_one_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(processes.PROCESSES, "server", re.compile("."))
    machine = machine_of(tmp_path, os.getpid())
    cluster = cast(Any, SimpleNamespace(machine=lambda _: machine))
    with pytest.raises(ClusterError, match="first process of dc1-a, which would die with it: expected NodeKilled"):
        Cluster.hold_processes(cluster, "dc1-a", "server")
    with pytest.raises(ClusterError, match="expected NodeKilled"):
        Cluster.kill_processes(cluster, "dc1-a", [1])


# --- What judges make of the proof ------------------------------------------------------------------------------------
def rules(directory: Path) -> set[str]:
    first = {one.rule for one in contradictions(read(Evidence(directory)))}
    second = {doubt.partition(":")[0] for doubt in verifier.verify(directory)["doubts"] if "_" in doubt.partition(":")[0]}
    assert first == second
    return first


@pytest.mark.parametrize(
    ("expected", "seen", "ok"),
    [
        ("killed: 4711", "gone; now 4812", True),
        ("killed: 4711, 4712", "gone; now none", True),
        ("killed: 4711, 4712", "gone; now 4712", False),
        ("killed: 4711", "still 4711", False),
        ("killed: none", "gone; now none", False),
        ("killed: 4711", "gone", False),
        ("killed: 4711", "gone; now 04711", False),
    ],
)
def test_a_proof_is_of_processes_that_are_gone(tmp_path: Path, expected: str, seen: str, ok: bool) -> None:
    write_run(tmp_path, SCENARIOS["process-killed"])
    with Forger(tmp_path) as run:
        (check,) = (one for one in run.kind("proof")[0]["data"]["checks"] if one["side"] == "victim")
        check.update(expected=expected, seen=seen)
    assert rules(tmp_path) == (set() if ok else {"proof_is_of_its_kind"})


def test_a_proof_is_of_that_process_on_that_node(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["process-killed"])
    with Forger(tmp_path) as run:
        (check,) = (one for one in run.kind("proof")[0]["data"]["checks"] if one["side"] == "victim")
        check["subject"] = "walwriter on dc3-a"
    assert rules(tmp_path) == {"proof_is_of_its_kind"}
