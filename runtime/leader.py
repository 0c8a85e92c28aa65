"""Follows one key of an etcd store by its watch: each change is told when it happens, with the store's revision.

etcd's JSON gateway streams a watch over HTTP, an object a line. The stream alone does not say that it still lives: a member
that is frozen, or cut off from the others, is as silent as a key that does not change. So the key is read too, ten times a
second and beside the stream: an answer in time shows that nothing had changed since it was asked for (etcd's reads are
linearizable: a member without a majority does not answer), and that bounds each change from below.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

READ_EVERY_S = 0.1
READ_WITHIN_S = 0.5  # after that, another member is asked
LOOK_EVERY_S = 0.05
TRY_AGAIN_S = 0.05
BEHIND_NS_MAX = 1_000_000_000


@dataclass(frozen=True)
class LeaderChange:
    """The key has another value since some time between `seen_before_ns` and `t_ns`. `leader` None: the key is gone."""

    leader: str | None
    t_ns: int
    seen_before_ns: int
    revision: int


class Unusable(Exception):
    """This member does not answer as it should: go on with another one."""


class LeaderWatch:
    """One key of one store, through whichever member answers."""

    def __init__(self, members: Sequence[tuple[str, int]], key: str, tell: Callable[[LeaderChange], None]) -> None:
        self.members = members
        self.key = key
        self.tell = tell
        self.leader: str | None = None
        self.revision = 0  # everything up to here is told; 0: nothing is known yet
        self.set_at = 0  # the revision that set the value told last
        self.confirmed_ns = 0  # when the newest answer that showed that value was asked for
        self.behind_since_ns: int | None = None  # reads have shown another value since then

    def follow(self, stopping: threading.Event) -> None:
        """Until `stopping` is set. Members that don't answer are passed over, again and again."""
        self.confirmed_ns = time.monotonic_ns()
        turn = 0
        while not stopping.is_set():
            try:
                self.through(self.members[turn % len(self.members)], stopping)
            except (OSError, Unusable, ValueError, KeyError):
                turn += 1
                stopping.wait(TRY_AGAIN_S)

    def through(self, member: tuple[str, int], stopping: threading.Event) -> None:
        """Follow through one member. Raises OSError, Unusable, ValueError or KeyError when it does not answer as it should."""
        reading = Reading(member, self.key)
        watch: Watching | None = None
        self.behind_since_ns = None
        try:
            reading.ask()
            while not stopping.is_set():
                open_ones = [reading.socket, *([watch.socket] if watch else [])]
                readable = select.select(open_ones, [], [], LOOK_EVERY_S)[0]
                if watch and watch.socket in readable:
                    for leader, revision, t_ns in watch.changes():
                        self.take(leader, revision, t_ns, set_at=revision)
                if reading.socket in readable and (answer := reading.answer()):
                    self.read(answer)
                if self.revision and watch is None:
                    watch = Watching(member, self.key, self.revision + 1)  # what was missed meanwhile is told with its revision
                reading.go_on()
        except Compacted:
            self.revision = 0  # the store has forgotten what was missed: begin with a read
            raise
        finally:
            reading.socket.close()
            if watch:
                watch.socket.close()

    def read(self, answer: Answer) -> None:
        """The first answer tells; a later one confirms what was told, or shows that the watch is behind."""
        now_ns = time.monotonic_ns()
        if not self.revision:
            self.take(answer.leader, answer.revision, now_ns, set_at=answer.set_at)
        if (answer.leader, answer.set_at) == (self.leader, self.set_at if self.leader is not None else 0):
            self.confirmed_ns, self.behind_since_ns = answer.asked_ns, None
            return
        self.behind_since_ns = self.behind_since_ns or now_ns
        if now_ns - self.behind_since_ns > BEHIND_NS_MAX:
            raise Unusable("its watch does not tell what its reads show")

    def take(self, leader: str | None, revision: int, t_ns: int, *, set_at: int) -> None:
        """A value with its revision: told when it is another one than before."""
        if self.revision and revision <= self.revision:
            return
        first, self.revision, self.set_at = not self.revision, revision, set_at
        if first or leader != self.leader:
            self.leader = leader
            self.tell(LeaderChange(leader, t_ns, self.confirmed_ns, revision))


@dataclass(frozen=True)
class Answer:
    """To a read: the value, the revision that set it (0: there is none), the store's own, and when it was asked for."""

    leader: str | None
    set_at: int
    revision: int
    asked_ns: int


class Compacted(Unusable):
    """The revision that the watch was to begin at is no longer kept."""


class Reading:
    """A connection on which the key is read, one read at a time."""

    def __init__(self, member: tuple[str, int], key: str) -> None:
        self.socket = socket.create_connection(member, timeout=READ_WITHIN_S)
        self.request = request("/v3/kv/range", {"key": b64(key)}, version="1.1")
        self.asked_ns = 0
        self.waiting = False
        self.buffer = b""

    def ask(self) -> None:
        self.asked_ns, self.waiting = time.monotonic_ns(), True
        self.socket.sendall(self.request)

    def go_on(self) -> None:
        """Ask again when it is time. Raises Unusable when the last answer is overdue."""
        since_s = (time.monotonic_ns() - self.asked_ns) / 1e9
        if self.waiting and since_s > READ_WITHIN_S:
            raise Unusable(f"no answer within {READ_WITHIN_S:g} s")
        if not self.waiting and since_s >= READ_EVERY_S:
            self.ask()

    def answer(self) -> Answer | None:
        """None while it is not whole."""
        self.buffer += received(self.socket)
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(field(head, b"content-length"))
        if len(body) < length:
            return None
        self.buffer, self.waiting = body[length:], False
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise Unusable(head.partition(b"\r\n")[0].decode(errors="replace"))
        said = json.loads(body[:length])
        revision = int(said["header"]["revision"])
        for entry in said.get("kvs") or []:
            return Answer(unb64(entry["value"]), int(entry["mod_revision"]), revision, self.asked_ns)
        return Answer(None, 0, revision, self.asked_ns)


class Watching:
    """A connection on which etcd streams what becomes of the key. HTTP/1.0: else each line would come wrapped in chunks."""

    def __init__(self, member: tuple[str, int], key: str, revision: int) -> None:
        self.socket = socket.create_connection(member, timeout=READ_WITHIN_S)
        create = {"create_request": {"key": b64(key), "start_revision": str(revision)}}
        self.socket.sendall(request("/v3/watch", create, version="1.0"))
        self.buffer = b""
        self.begun = False

    def changes(self) -> list[tuple[str | None, int, int]]:
        """(value or None when it was deleted, revision, when it was heard of) of each change that has come."""
        self.buffer += received(self.socket)
        t_ns = time.monotonic_ns()
        if not self.begun:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return []
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise Unusable(head.partition(b"\r\n")[0].decode(errors="replace"))
            self.buffer, self.begun = rest, True
        *lines, self.buffer = self.buffer.split(b"\n")
        found_changes = []
        for line in filter(bytes.strip, lines):
            result = json.loads(line)["result"]
            if result.get("canceled"):
                raise Compacted("compacted") if int(result.get("compact_revision", 0)) else Unusable("the watch was cancelled")
            for event in result.get("events", []):
                deleted = event.get("type") == "DELETE"
                value = None if deleted else unb64(event["kv"].get("value", ""))
                found_changes.append((value, int(event["kv"]["mod_revision"]), t_ns))
        return found_changes


def received(connection: socket.socket) -> bytes:
    """What has come. Raises OSError when the other side has closed."""
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data


def request(path: str, body: dict[str, Any], *, version: str) -> bytes:
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/{version}\r\nHost: store\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return head.encode() + text


def field(head: bytes, name: bytes) -> bytes:
    """A header's value. Raises KeyError when it is not there."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    raise KeyError(name.decode())


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def unb64(text: str) -> str:
    return base64.b64decode(text).decode()
