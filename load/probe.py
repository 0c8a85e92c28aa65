"""The open-loop probe: a payment is due every interval, whatever became of the ones before. It gives RTO.

`python -m load.probe --door http://127.0.0.1:8080 --out RUN --run-id ID --seed 1`

Prints `ready` when the first payment is on its way. SIGTERM, SIGINT or the end of its parent stop it in order: nothing
more is scheduled, what is in flight is waited for, probe.json is written, exit 0. Exit 3 when the door could not be
reached at start.

It is a bare epoll loop and no HTTP library, for one reason. After an outage of more than its time-out, three hundred
requests are in flight. When they all ended at once, aiohttp held up what came next: payments went out 80 to 140 ms
late, and the end of the outage was seen 38 to 56 ms late (a hang of 4 s, twice; the whole instrument may be 20 ms off).
Here a payment that falls due meanwhile goes out between two of them. It also sends each payment at most once: no
library retries it on a stale connection.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import random
import re
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from load.ledger import (
    COULD_NOT_START,
    CouldNotStart,
    Door,
    Guardian,
    Ledger,
    PipedLedger,
    Row,
    Transfer,
    arguments,
    write_atomically,
)

IDLE_CONNECTIONS_MAX = 4  # few: a connection left over from before an outage may be dead, and would cost a payment
HOUSEKEEPING_S = 0.2
ANSWER_HEAD_BYTES_MAX = 65536
HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
CONNECTION_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)


class Payment:
    """One payment on its way; forgotten when its row is written."""

    __slots__ = ("deadline_ns", "done", "due_ns", "key", "sent_ns", "transfer")

    def __init__(self, key: str, due_ns: int, sent_ns: int, deadline_ns: int, transfer: Transfer) -> None:
        self.key = key
        self.due_ns = due_ns
        self.sent_ns = sent_ns
        self.deadline_ns = deadline_ns
        self.transfer = transfer
        self.done = False


class Connection:
    """One TCP connection; carries one payment at a time."""

    __slots__ = ("body_left", "buffer", "file", "interest", "opened", "payment", "reusable", "sock", "to_send")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file = sock.fileno()
        self.payment: Payment | None = None
        self.opened = False
        self.interest = select.EPOLLIN | select.EPOLLOUT  # writable: it has been opened
        self.to_send = b""
        self.buffer = b""
        self.body_left = 0  # bytes of the answer's body still to come, after its head was read
        self.reusable = True


class Probe:
    """Sends and records. One thread runs it; `stop` may be called from a signal handler."""

    def __init__(
        self, door: Door, ledger: Ledger, *, accounts: Sequence[str], run_id: str, seed: int, interval_ns: int,
        timeout_ns: int,
    ) -> None:  # fmt: skip
        self.ledger = ledger
        self.accounts = accounts
        self.run_id = run_id
        self.choice = random.Random(f"{seed}-probe")
        self.interval_ns = interval_ns
        self.timeout_ns = timeout_ns
        # Resolved once: a name server must not be part of what is measured.
        self.family, self.address = door.resolve(timeout_s=timeout_ns / 1e9)
        self.head = f"POST /payments HTTP/1.1\r\nHost: {door.authority}\r\nContent-Type: application/json\r\n"
        self.epoll = select.epoll()
        self.connections: dict[int, Connection] = {}
        self.idle: list[Connection] = []
        self.waiting: deque[tuple[Payment, Connection]] = deque()  # by deadline, since all wait equally long
        self.in_flight = 0
        self.scheduled = 0
        self.late_ns_max = 0
        self.started_ns = 0
        self.stopped_ns = 0
        self.next_due_ns = 0
        self.stopping = False

    def stop(self) -> None:
        self.stopping = True

    def run(self, guardian: Guardian) -> None:
        """Send until stopped, then wait for what is in flight (at most the time-out)."""
        self.started_ns = self.next_due_ns = housekeeping_ns = time.monotonic_ns()
        self.send_due()
        print("ready", flush=True)
        while not self.stopping:
            self.send_due()
            self.step(min(self.next_due_ns, housekeeping_ns))
            if time.monotonic_ns() >= housekeeping_ns:
                housekeeping_ns = time.monotonic_ns() + int(HOUSEKEEPING_S * 1e9)
                self.stopping = self.stopping or guardian.gone()
        self.stopped_ns = time.monotonic_ns()
        while self.in_flight:
            self.step(self.stopped_ns + self.timeout_ns)

    def step(self, until_ns: int) -> None:
        """Wait for events, at most until `until_ns` or the next deadline, and handle them."""
        if self.waiting:
            until_ns = min(until_ns, self.waiting[0][0].deadline_ns)
        # PEP 475 resumes the wait after a signal, so it must be short for `stop` to be seen.
        wait_s = min(max(until_ns - time.monotonic_ns(), 0) / 1e9, 0.05)
        for file, events in self.epoll.poll(wait_s):
            connection = self.connections.get(file)
            if connection is not None:
                self.handle(connection, events)
            if not self.stopping:
                self.send_due()  # between two events: hundreds may come at once when an outage ends
        self.give_up_late(time.monotonic_ns())

    def send_due(self) -> None:
        while (now_ns := time.monotonic_ns()) >= self.next_due_ns:
            self.send(self.next_due_ns, now_ns)
            self.next_due_ns += self.interval_ns

    def send(self, due_ns: int, now_ns: int) -> None:
        """Hand one payment to a connection. `sent_ns` is this moment: opening one is part of the service's answer."""
        key = f"{self.run_id}-p-{self.scheduled:07d}"
        payment = Payment(key, due_ns, now_ns, now_ns + self.timeout_ns, Transfer.draw(self.choice, self.accounts))
        self.scheduled += 1
        self.in_flight += 1
        self.late_ns_max = max(self.late_ns_max, now_ns - due_ns)
        body = payment.transfer.json_text().encode()
        request = f"{self.head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        try:
            connection = self.idle.pop() if self.idle else self.open()
        except OSError as error:  # refused at once, or no file or port left
            self.record(payment, None, str(error))
            return
        connection.payment = payment
        self.waiting.append((payment, connection))
        connection.to_send = request
        if connection.opened:
            self.write(connection)

    def open(self) -> Connection:
        sock = socket.socket(self.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex(self.address)
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
        except OSError:
            sock.close()
            raise
        connection = Connection(sock)
        self.connections[connection.file] = connection
        self.epoll.register(connection.file, connection.interest)
        return connection

    def write(self, connection: Connection) -> None:
        try:
            sent = connection.sock.send(connection.to_send)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.fail(connection, str(error))
            return
        connection.to_send = connection.to_send[sent:]
        interest = select.EPOLLIN | select.EPOLLOUT if connection.to_send else select.EPOLLIN
        if interest != connection.interest:
            connection.interest = interest
            self.epoll.modify(connection.file, interest)

    def handle(self, connection: Connection, events: int) -> None:
        # Whatever went wrong with the connection, writing or reading says it; what came before is read first.
        if connection.to_send and events & select.EPOLLOUT:
            connection.opened = True
            self.write(connection)
        else:
            self.read(connection)

    def read(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(connection, str(error))
            return
        now_ns = time.monotonic_ns()
        if not data:
            self.fail(connection, "connection closed without an answer")
        elif connection.payment is None:
            self.close(connection)  # an answer to nothing: this connection cannot be trusted
        elif connection.payment.done:
            connection.body_left -= len(data)
            self.finish_body(connection)
        else:
            connection.buffer += data
            self.read_head(connection, now_ns)

    def read_head(self, connection: Connection, now_ns: int) -> None:
        """The status line is the answer. The body is read for the connection's sake only."""
        end = connection.buffer.find(HEAD_END)
        if end < 0:
            if len(connection.buffer) > ANSWER_HEAD_BYTES_MAX:
                self.fail(connection, "not an HTTP answer: no end of its head")
            return
        head, body = connection.buffer[: end + 4], connection.buffer[end + 4 :]
        connection.buffer = b""
        if not re.match(rb"HTTP/1\.[01] [1-5]\d\d[ \r]", head):
            self.fail(connection, f"not an HTTP answer: {head[:40]!r}")
            return
        status = int(head[9:12])
        if status < 200:  # an interim answer: the real one follows
            connection.buffer = body
            self.read_head(connection, now_ns)
            return
        assert connection.payment is not None
        self.record(connection.payment, status, done_ns=now_ns)
        length = CONTENT_LENGTH.search(head)
        # Without a length the end of the answer would have to be guessed: such a connection is not used again.
        connection.reusable = length is not None and head[7:8] == b"1" and not CONNECTION_CLOSE.search(head)
        connection.body_left = (int(length[1]) if length else 0) - len(body)
        self.finish_body(connection)

    def finish_body(self, connection: Connection) -> None:
        if connection.body_left > 0 and connection.reusable:
            return
        connection.payment = None
        if connection.reusable and connection.body_left == 0 and len(self.idle) < IDLE_CONNECTIONS_MAX:
            self.idle.append(connection)
        else:
            self.close(connection)

    def fail(self, connection: Connection, error: str) -> None:
        payment = connection.payment
        if payment is not None and not payment.done:
            self.record(payment, None, error)
        self.close(connection)

    def give_up_late(self, now_ns: int) -> None:
        while self.waiting:
            payment, connection = self.waiting[0]
            mine = connection.payment is payment  # else it was answered, and may carry another one by now
            if mine and payment.deadline_ns > now_ns:
                break
            self.waiting.popleft()
            if mine:
                self.fail(connection, f"no answer within {self.timeout_ns / 1e9:g} s")

    def record(self, payment: Payment, status: int | None, error: str = "", *, done_ns: int | None = None) -> None:
        payment.done = True
        self.in_flight -= 1
        done_ns = time.monotonic_ns() if done_ns is None else done_ns
        self.ledger.add(Row(payment.key, payment.due_ns, payment.sent_ns, done_ns, status, payment.transfer, error))

    def close(self, connection: Connection) -> None:
        connection.payment = None
        del self.connections[connection.file]
        if connection in self.idle:
            self.idle.remove(connection)
        connection.sock.close()  # epoll forgets it by itself


def keep_still() -> None:
    """Remove what would make the loop pause: the collector (the loop makes no cycles) and being passed over."""
    gc.collect()
    gc.freeze()
    gc.disable()
    # Beside four busy processes on two cores, 1 payment in 100 went out over 13 ms late, and with this over 1 ms. Where it
    # isn't allowed, late_ms_max tells.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # interval 1 ms and patience 3 s: 3,000 connections in an outage
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def write_count(out: Path, probe: Probe, *, completed: bool) -> None:
    write_atomically(
        out / "probe.json",
        {
            "scheduled": probe.scheduled,
            "recorded": probe.ledger.recorded,
            "interval_ms": probe.interval_ns / 1e6,
            "started_ns": probe.started_ns,
            "stopped_ns": probe.stopped_ns,
            "late_ms_max": probe.late_ns_max / 1e6,
            "completed": completed,
        },
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("The open-loop probe: one payment every interval, never waiting for the last one.")
    parser.add_argument("--interval-ms", type=float, default=10.0)
    options = parser.parse_args(argv)
    guardian = Guardian(parent_pid=options.parent_pid, stop_on_eof=options.stop_on_eof)
    try:
        door = Door.parse(options.door)
        accounts = door.accounts(timeout_s=options.timeout_s, patience_s=options.patience_s)
        ledger = PipedLedger(options.out / "probe.csv")
        probe = Probe(
            door, ledger, accounts=accounts, run_id=options.run_id, seed=options.seed,
            interval_ns=round(options.interval_ms * 1e6), timeout_ns=round(options.timeout_s * 1e9),
        )  # fmt: skip
    except CouldNotStart as error:
        print(f"probe: {error}", file=sys.stderr)
        return COULD_NOT_START
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: probe.stop())
    keep_still()
    completed = False
    try:
        probe.run(guardian)
        completed = True
    finally:
        try:
            ledger.close()
        except OSError:
            completed = False
            raise
        finally:
            write_count(options.out, probe, completed=completed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
