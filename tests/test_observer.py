"""The observer: no sample without an end, no role from an old answer, the newest timeline first."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from harness import observer as watching
from harness.observer import Observer
from judging.evidence import EventLog
from topologies.cluster import Cluster
from topologies.database import Database, DatabaseState


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections as a frozen process does (the kernel answers for it), and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening.getsockname()[1]


@contextmanager
def falls_silent() -> Iterator[int]:
    """Lets a client in as PostgreSQL does (trust), and answers no query: frozen while a connection stands."""
    ready = b"R" + (8).to_bytes(4, "big") + bytes(4) + b"Z" + (5).to_bytes(4, "big") + b"I"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        kept: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                kept.append(client)
                client.recv(8)  # the request for encryption, if any
                client.sendall(b"N")
                client.recv(4096)
                client.sendall(ready)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        for client in kept:
            client.close()


@pytest.mark.parametrize("server", [silent_server, falls_silent])
def test_a_server_that_never_answers_ends_the_wait_in_time(server: Any) -> None:
    with server() as port:
        database = Database("127.0.0.1", port=port)
        for _ in range(2):  # the second one on a connection of its own: the first was closed
            began = time.monotonic()
            with pytest.raises(psycopg.Error, match=r"no answer within 0\.5 s"):
                database.state(within_s=0.5)
            assert 0.4 < time.monotonic() - began < 0.9
            assert database.connection is None


def test_nobody_listening_is_told_at_once() -> None:
    with silent_server() as port:
        pass
    began = time.monotonic()
    with pytest.raises(psycopg.Error, match="refused"):
        Database("127.0.0.1", port=port).state(within_s=5)
    assert time.monotonic() - began < 1


def observer(tmp_path: Path, nodes: list[str]) -> Observer:
    cluster = SimpleNamespace(
        databases=lambda: [SimpleNamespace(name=n) for n in nodes], addresses=SimpleNamespace(node=lambda _: "127.0.0.1"),
        stores=dict,
    )  # fmt: skip
    return Observer(cast(Cluster, cluster), EventLog(tmp_path / "events.jsonl"), tmp_path / "samples.csv")


def told(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["data"] for line in lines]


def primary(timeline: int, flush_lsn: int = 1000) -> DatabaseState:
    # A promoted standby goes on saying how far it had replayed before.
    return DatabaseState(False, timeline, flush_lsn, 10, "", [])


def standby(replay_lsn: int, timeline: int = 1) -> DatabaseState:
    return DatabaseState(True, timeline, replay_lsn, replay_lsn, "", [])


def test_every_sample_of_a_frozen_node_ends_and_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_server() as port:
        monkeypatch.setattr(watching, "Database", lambda address: Database(address, port=port))
        one = observer(tmp_path, ["frozen"])
        one.start()
        time.sleep(2.5)
        one.stop()
    rows = [line.split(",") for line in (tmp_path / "samples.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert len(rows) >= 2
    assert all((int(row[1]) - int(row[0])) / 1e9 < 1 for row in rows), rows
    assert all(row[3] == "0" and "no answer within" in row[-1] for row in rows)
    assert told(tmp_path) == [{"node": None, "roles": {"frozen": "down"}}]


def test_who_was_not_heard_of_for_a_second_is_no_primary(tmp_path: Path) -> None:
    now = time.monotonic_ns()
    one = observer(tmp_path, ["a", "b"])
    one.record("a", now, now, primary(1), "")
    one.record("b", now, now, standby(900), "")
    assert one.primary == "a"
    late = now + 1_200_000_000  # the sample of "a" has not ended yet; "b" answers
    one.record("b", late, late, standby(900), "")
    assert one.primary is None
    assert told(tmp_path)[-1] == {"node": None, "roles": {"a": "down", "b": "standby"}}


def test_of_two_primaries_the_newest_timeline_is_named_and_both_show(tmp_path: Path) -> None:
    now = time.monotonic_ns()
    one = observer(tmp_path, ["a", "b", "c"])
    one.record("c", now, now, standby(1900, timeline=2), "")
    one.record("b", now, now, primary(2, flush_lsn=2000), "")
    one.record("a", now, now, primary(1, flush_lsn=5000), "")  # thawed: it does not know yet
    assert one.primary == "b"
    assert told(tmp_path)[-1] == {"node": "b", "roles": {"a": "primary", "b": "primary", "c": "standby"}}
    assert one.lag_bytes() == 100  # of the standby; the other primary is no copy


def test_no_lag_without_a_primary(tmp_path: Path) -> None:
    now = time.monotonic_ns()
    one = observer(tmp_path, ["c"])
    one.record("c", now, now, standby(1900), "")
    assert one.lag_bytes() is None
