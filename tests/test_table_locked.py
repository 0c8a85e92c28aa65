"""A table that a session holds: whose it is, who ends it, and what judges make of the proof. No container."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from faults import build
from faults.table_locked import TableLocked
from harness import runbooks
from harness.hold import fault_from_words
from judging.crosschecks import contradictions
from judging.errors import BadInput
from judging.evidence import Evidence
from judging.records import read
from runtime.cluster import Cluster, ClusterError
from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run
from topologies.two_region_three_center import two_region_three_center
from verifying import verifier


class Server:
    """A cluster whose primary says who holds the table, and whose second database is dead."""

    topology = two_region_three_center()

    def __init__(self, waiting: int = 3) -> None:
        self.held: list[tuple[int, int]] = []
        self.waiting, self.begun, self.ended, self.silent = waiting, list[Any](), list[Any](), False

    def wait_primary(self, **_: float) -> Any:
        return SimpleNamespace(name="dc1-a")

    def databases(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in ("dc1-a", "dc1-b")]

    def begin(self, node: str, command: list[str]) -> None:
        self.begun.append((node, command))
        self.held = [(4711, self.waiting)]

    def running(self, node: str) -> bool:
        return node != "dc1-b"

    def sql(self, node: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        if node == "dc1-b" or self.silent:
            raise psycopg.OperationalError("no answer within 60 s")
        if "pg_terminate_backend" in query:
            self.ended.append(parameters[0])
            self.held = []
            return [(True,)]
        if "pg_blocking_pids" in query:
            return [(pid, "maintenance", None) for pid, _ in self.held]
        return list(self.held)


def test_it_is_held_by_a_session_of_the_primarys_own() -> None:
    fault, server = TableLocked("accounts"), Server()
    cluster = cast(Cluster, server)
    fault.prepare(cluster)
    moment = fault.inject(cluster)
    assert moment is not None
    ((node, command),) = server.begun
    assert (node, command[0]) == ("dc1-a", "psql")
    assert "LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE" in command[-1]
    assert "pg_sleep(600)" in command[-1]  # it ends by itself
    (check,) = fault.proof(cluster).checks
    assert (check.subject, check.expected) == ("accounts on dc1-a", "locked by session 4711")
    assert (check.seen, check.ok) == ("locked by session 4711, 3 wait", True)
    with pytest.raises(ClusterError, match="a session holds accounts on dc1-a already"):
        TableLocked("accounts").prepare(cluster)
    for _ in range(2):  # by another process, and again
        build("TableLocked", fault.arguments).heal(cluster)
    assert server.ended == ["drillbook-lock-accounts"] * 2


def test_a_heal_that_could_not_ask_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.table_locked.ENDED_WITHIN_S", 0.01)
    server = Server()
    server.silent = True
    with pytest.raises(TimeoutError, match="an answer of dc1-a, on which a session may hold accounts"):
        TableLocked("accounts").heal(cast(Cluster, server))


@pytest.mark.parametrize("waiting", [0, None])
def test_a_lock_for_which_nobody_waits_is_no_fault(waiting: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faults.table_locked.WAITING_WITHIN_S", 0.01)
    fault, server = TableLocked("accounts"), Server(waiting or 0)
    fault.inject(cast(Cluster, server))
    if waiting is None:
        server.held = []
    (check,) = fault.proof(cast(Cluster, server)).checks
    assert (check.seen, check.ok) == ("not locked" if waiting is None else "locked by session 4711, 0 wait", False)


def test_people_end_whom_all_others_wait_for() -> None:
    server = Server()
    with pytest.raises(ClusterError, match="expected a session on dc1-a that others wait for; seen none"):
        runbooks.end_blocking_sessions(cast(Cluster, server))
    server.held = [(4711, 3)]
    assert runbooks.end_blocking_sessions(cast(Cluster, server)) == ["maintenance (4711)"]
    assert server.ended == [4711]


def test_another_table_is_refused() -> None:
    with pytest.raises(BadInput, match="expected one of accounts, entries, payments; seen 'pg_class'"):
        fault_from_words("TableLocked", "pg_class")


@pytest.mark.parametrize(
    ("expected", "seen", "ok"),
    [
        ("locked by session 4711", "locked by session 4711, 1 wait", True),
        ("locked by session 4711", "locked by session 4711, 01 wait", False),
        ("locked by session 4711", "locked by session 4711, 0 wait", False),
        ("locked by session 4711", "locked by session 4712, 8 wait", False),
        ("locked by session 4711", "not locked", False),
    ],
)
def test_a_proof_is_of_a_session_that_others_wait_for(tmp_path: Path, expected: str, seen: str, ok: bool) -> None:
    write_run(tmp_path, SCENARIOS["table-locked"])
    with Forger(tmp_path) as run:
        (check,) = (one for one in run.kind("proof")[0]["data"]["checks"] if one["side"] == "victim")
        check.update(expected=expected, seen=seen)
    assert rules(tmp_path) == (set() if ok else {"proof_is_of_its_kind"})


def test_a_proof_is_of_that_table(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["table-locked"])
    with Forger(tmp_path) as run:
        (check,) = (one for one in run.kind("proof")[0]["data"]["checks"] if one["side"] == "victim")
        check["subject"] = "payments on dc1-a"
    assert rules(tmp_path) == {"proof_is_of_its_kind"}


def rules(tmp_path: Path) -> set[str]:
    first = {one.rule for one in contradictions(read(Evidence(tmp_path)))}
    second = {doubt.partition(":")[0] for doubt in verifier.verify(tmp_path)["doubts"] if "_" in doubt.partition(":")[0]}
    assert first == second
    return first
