"""The observer: no sample without an end, no role from an old answer, the newest timeline first."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from harness import observer as watching
from harness.observer import Observer
from judging.evidence import EventLog
from managers.patroni import members
from runtime.cluster import Cluster
from runtime.database import Database, DatabaseState
from runtime.leader import LeaderChange, LeaderWatch, b64
from topologies.two_region_three_center import two_region_three_center


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
        topology=SimpleNamespace(groups=(), links=()),
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


# --- The leader key ---------------------------------------------------------------------------------------------------
class Store:
    """One member of a store, as far as a watch needs it: reads, and a stream of what became of one key."""

    def __init__(self) -> None:
        self.revision = 10
        self.value: str | None = None
        self.history: list[tuple[int, str | None]] = []
        self.streams: list[tuple[socket.socket, int]] = []
        self.answering = True
        self.streaming = True
        self.compacted = 0
        self.watched_from: list[int] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listening.getsockname()
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve_quietly, args=(client,), daemon=True).start()

    def serve_quietly(self, client: socket.socket) -> None:
        with suppress(OSError):  # whoever watched has gone
            self.serve(client)

    def serve(self, client: socket.socket) -> None:
        data = b""
        while block := client.recv(65536):
            data += block
            head, found, body = data.partition(b"\r\n\r\n")
            if not found or not self.answering:
                continue
            data = b""
            if b"/v3/watch" in head:
                with self.lock:
                    self.stream(client, int(json.loads(body)["create_request"]["start_revision"]))
            else:
                with self.lock:
                    said: dict[str, Any] = {"header": {"revision": str(self.revision)}}
                    if self.value is not None:
                        said["kvs"] = [{"value": b64(self.value), "mod_revision": str(self.history[-1][0])}]
                text = json.dumps(said).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)

    def stream(self, client: socket.socket, revision: int) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + self.line({"created": True}))
        self.watched_from.append(revision)
        if revision < self.compacted:
            client.sendall(self.line({"canceled": True, "compact_revision": str(self.compacted)}))
            return
        for at, value in self.history:
            if at >= revision:
                client.sendall(self.event(at, value))
        self.streams.append((client, revision))

    def line(self, result: dict[str, Any]) -> bytes:
        return json.dumps({"result": {"header": {"revision": str(self.revision)}, **result}}).encode() + b"\n"

    def event(self, revision: int, value: str | None) -> bytes:
        kv = {"mod_revision": str(revision)} | ({} if value is None else {"value": b64(value)})
        return self.line({"events": [{"kv": kv} | ({"type": "DELETE"} if value is None else {})]})

    def put(self, value: str | None) -> int:
        """Returns when it was done, ns."""
        with self.lock:
            self.revision += 1
            self.value = value
            self.history.append((self.revision, value))
            done_ns = time.monotonic_ns()
            if self.answering and self.streaming:
                for client, _ in self.streams:
                    client.sendall(self.event(self.revision, value))
        return done_ns

    def freeze(self) -> None:
        """Connections stay, nothing is answered any more."""
        self.answering = False


@contextmanager
def followed(*members: Store) -> Iterator[list[LeaderChange]]:
    changes: list[LeaderChange] = []
    stopping = threading.Event()
    watch = LeaderWatch([m.address for m in members], "/service/bank/leader", changes.append)
    thread = threading.Thread(target=watch.follow, args=(stopping,), daemon=True)
    thread.start()
    yield changes
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    for member in members:
        member.listening.close()


def wait_until(count: int, changes: list[LeaderChange], *, within_s: float = 5) -> None:
    deadline = time.monotonic() + within_s
    while len(changes) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(changes) == count, changes


def test_each_change_is_told_once_with_its_revision_and_its_bounds() -> None:
    store = Store()
    store.put("dc1-a")
    with followed(store) as changes:
        wait_until(1, changes)
        assert (changes[0].leader, changes[0].revision) == ("dc1-a", 11)
        time.sleep(0.5)
        gone_ns = store.put(None)
        time.sleep(0.5)
        taken_ns = store.put("dc2-b")
        wait_until(3, changes)
        store.put("dc2-b")  # the same holder wrote it again: no change
        time.sleep(0.3)
    assert [(c.leader, c.revision) for c in changes] == [("dc1-a", 11), (None, 12), ("dc2-b", 13)]
    for change, done_ns in zip(changes[1:], (gone_ns, taken_ns), strict=True):
        assert change.seen_before_ns <= done_ns <= change.t_ns + 1_000_000
        assert change.t_ns - change.seen_before_ns < 600_000_000  # a busy machine: else 0.1 s


def test_a_change_too_short_for_polling_is_seen() -> None:
    store = Store()
    store.put("dc1-a")
    with followed(store) as changes:
        wait_until(1, changes)
        time.sleep(0.3)
        store.put(None)
        store.put("dc1-a")
        wait_until(3, changes)
    assert [c.leader for c in changes] == ["dc1-a", None, "dc1-a"]


def test_a_member_that_freezes_is_left_and_nothing_is_missed() -> None:
    first, second = Store(), Store()
    for member in (first, second):
        member.put("dc1-a")
    with followed(first, second) as changes:
        wait_until(1, changes)
        time.sleep(0.3)
        first.freeze()
        for value in (None, "dc2-b"):
            for member in (first, second):
                member.put(value)
        wait_until(3, changes, within_s=3)
    assert [(c.leader, c.revision) for c in changes] == [("dc1-a", 11), (None, 12), ("dc2-b", 13)]
    assert second.watched_from[0] == 12  # from where the first one fell silent


def test_a_watch_that_sleeps_while_reads_go_on_is_left() -> None:
    store = Store()
    store.put("dc1-a")
    with followed(store) as changes:
        wait_until(1, changes)
        time.sleep(0.3)
        store.streaming = False
        store.put("dc2-b")
        wait_until(2, changes, within_s=4)
    assert [c.leader for c in changes] == ["dc1-a", "dc2-b"]


def test_after_a_compaction_it_begins_with_a_read() -> None:
    first, second = Store(), Store()
    for member in (first, second):
        member.put("dc1-a")
    second.put(None)
    second.put("dc2-b")
    second.compacted = 13
    with followed(first, second) as changes:
        wait_until(1, changes)
        time.sleep(0.3)
        first.freeze()
        wait_until(2, changes, within_s=4)
    assert [c.leader for c in changes] == ["dc1-a", "dc2-b"]
    assert changes[1].seen_before_ns < changes[1].t_ns


def test_stores_have_the_members_of_the_topology() -> None:
    topology = two_region_three_center()
    found = {group.name: members(topology, group) for group in topology.groups}
    assert found == {"region-a": ["dc1-etcd", "dc2-etcd", "dc3-etcd"], "region-b": ["dc3-store"]}
