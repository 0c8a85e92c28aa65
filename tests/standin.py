"""A stand-in for the bank's door, with outages on command: `python -m tests.standin`.

It keeps payments in memory and speaks the door's contract (POST /payments, GET /payments/{key}, GET /accounts,
GET /accounts/{id}, GET /ready). It is written on bare asyncio protocols because its clock is the truth that the
probe is held against: when an outage ends with hundreds of requests waiting, a web framework needs tens of
milliseconds to let go of them, and that would look like an error of the probe.

Commands, one a line, on stdin; the end of stdin ends the process. `AT_NS` is the host's monotonic clock, default now.

    outage MODE SECONDS [AT_NS]     the same as --outage MODE:SECONDS[:AT_NS]
    received                        how often each payment's key has arrived

Modes: `refuse` (503), `status-N` (answers N to each payment), `reset` (closes without an answer), `hang` (never
answers, drops its connections when the outage ends), `stall` (answers when the outage ends), `slow-N` (answers after N ms),
`drip` (a byte every 50 ms, never the end of an answer; drops its connections when the outage ends), `down` (no listening socket).

Answers, one JSON object a line, on stdout: `{"event": "listening", "door"}`, `{"event": "began" or "ended", "mode",
"t_ns"}`, `{"event": "received", "keys": {key: times}, "looks": n, "read": [key]}`. `t_ns` of `began` is the last moment with
service, of `ended` the last moment without. `read`: payments that were answered with 200 or 201 and whose connection carried
another request later, so that the client has certainly read the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MODES = ("refuse", "reset", "hang", "stall", "down")
OPENING_MINOR = 1_000_000
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Bank:
    """The payments and balances, in memory, by the rules of the door's contract."""

    def __init__(self, accounts: int) -> None:
        self.balances = {f"acc-{n:04d}": OPENING_MINOR for n in range(accounts)}
        self.payments: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        match (request.method, request.path.strip("/").split("/")):
            case ("POST", ["payments"]):
                return self.pay(request.headers.get("idempotency-key", ""), request.body)
            case ("GET", ["payments", key]):
                return (200, self.payments[key]) if key in self.payments else (404, {"error": "no such payment"})
            case ("GET", ["accounts"]):
                return 200, list(self.balances)
            case ("GET", ["accounts", account]) if account in self.balances:
                return 200, {"id": account, "balance_minor": self.balances[account]}
            case ("GET", ["ready"]):
                return 200, {"ready": True}
        return 404, {"error": "not found"}

    def pay(self, key: str, body: bytes) -> tuple[int, Any]:
        try:
            payment = json.loads(body)
            debit, credit, amount_minor = payment["debit"], payment["credit"], int(payment["amount_minor"])
        except (ValueError, KeyError, TypeError):
            return 422, {"error": "expected debit, credit, amount_minor"}
        if not key or amount_minor <= 0 or debit == credit or not {debit, credit} <= self.balances.keys():
            return 422, {"error": "bad payment"}
        if key in self.payments:
            return (200, payment) if self.payments[key] == payment else (409, {"error": "key used before"})
        self.payments[key] = payment
        self.balances[debit] -= amount_minor
        self.balances[credit] += amount_minor
        return 201, payment


@dataclass
class Standin:
    """The door: the bank behind it, and the outage that it is in."""

    bank: Bank
    port: int
    mode: str = ""
    received: Counter[str] = field(default_factory=Counter)
    looks: int = 0
    read: list[str] = field(default_factory=list)
    connections: set[Door] = field(default_factory=set)
    waiting: dict[Door, Request] = field(default_factory=dict)
    server: asyncio.Server | None = None

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Door(self), "127.0.0.1", self.port, backlog=4096)
        self.port = self.server.sockets[0].getsockname()[1]

    def handle(self, door: Door, request: Request) -> None:
        if door.acknowledged:
            self.read.append(door.acknowledged)
            door.acknowledged = ""
        if request.method == "POST":
            self.received[request.headers.get("idempotency-key", "")] += 1
        elif request.path.startswith("/accounts/"):
            self.looks += 1
        if self.mode in ("hang", "stall"):
            self.waiting[door] = request
        elif self.mode.startswith("slow-"):
            delay_s = int(self.mode.removeprefix("slow-")) / 1000
            asyncio.get_running_loop().call_later(delay_s, lambda: door.send(*self.bank.answer(request)))
        elif self.mode == "drip":
            self.waiting[door] = request
            door.drip()
        elif self.mode == "reset":
            door.reset()
        elif self.mode == "refuse":
            door.send(503, {"error": "cannot write now"})
        elif self.mode.startswith("status-") and request.method == "POST":
            door.send(int(self.mode.removeprefix("status-")), {})
        else:
            status, what = self.bank.answer(request)
            door.send(status, what)
            if request.method == "POST" and status in (200, 201):
                door.acknowledged = request.headers["idempotency-key"]

    async def outage(self, mode: str, seconds: float, at_ns: int) -> None:
        await sleep_until(at_ns)
        began_ns = time.monotonic_ns()
        self.mode = mode
        if mode == "down" and self.server is not None:
            self.server.close()
            for door in list(self.connections):
                door.reset()
        say(event="began", mode=mode, t_ns=began_ns)
        await sleep_until(began_ns + int(seconds * 1e9))
        ended_ns = time.monotonic_ns()
        self.mode = ""
        if mode == "down":
            await self.listen()
        self.release(mode)
        say(event="ended", mode=mode, t_ns=ended_ns)

    def release(self, mode: str) -> None:
        waiting, self.waiting = self.waiting, {}
        for door, request in waiting.items():
            if mode == "stall":
                door.send(*self.bank.answer(request))
            else:
                door.reset()

    def command(self, line: str) -> asyncio.Task[None] | None:
        match line.split():
            case ["outage", mode, seconds, *at]:
                at_ns = int(at[0]) if at else time.monotonic_ns()
                return asyncio.create_task(self.outage(mode, float(seconds), at_ns))
            case ["received"]:
                say(event="received", keys=self.received, looks=self.looks, read=self.read)
            case _:
                say(event="error", text=f"expected 'outage MODE SECONDS [AT_NS]' or 'received'; seen {line!r}")
        return None


class Door(asyncio.Protocol):
    """One connection. Requests are answered one after the other."""

    def __init__(self, standin: Standin) -> None:
        self.standin = standin
        self.buffer = b""
        self.dripping = False
        self.acknowledged = ""  # the key of the payment that was answered last

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.standin.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.standin.connections.discard(self)
        # Whoever gave up is forgotten at once: thousands of them, answered first, would put off the end of the outage.
        self.standin.waiting.pop(self, None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            length = int(headers.get("content-length", "0"))
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            method, path, _ = first.split(" ")
            self.standin.handle(self, Request(method, path, headers, body))

    def send(self, status: int, what: Any) -> None:
        body = json.dumps(what).encode()
        head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def drip(self) -> None:
        """An answer that comes, and never ends: no time-out between two of its bytes."""
        if self in self.standin.waiting:
            self.transport.write(b"." if self.dripping else b"HTTP/1.1 200 .\r\nX: ")
            self.dripping = True
            asyncio.get_running_loop().call_later(0.05, self.drip)

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()


async def sleep_until(at_ns: int) -> None:
    while (left_ns := at_ns - time.monotonic_ns()) > 0:
        await asyncio.sleep(left_ns / 1e9)


async def serve(port: int, accounts: int, commands: Sequence[str]) -> None:
    standin = Standin(Bank(accounts), port)
    await standin.listen()
    say(event="listening", door=f"http://127.0.0.1:{standin.port}")
    tasks = {task for line in commands if (task := standin.command(line))}
    ended = asyncio.Event()
    pending = b""

    def read() -> None:
        nonlocal pending
        data = os.read(0, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            ended.set()
        *lines, pending = (pending + data).split(b"\n")
        tasks.update(task for line in lines if (task := standin.command(line.decode())))

    asyncio.get_running_loop().add_reader(0, read)
    await ended.wait()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A stand-in for the bank's door, with outages on command.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--outage", action="append", default=[], metavar="MODE:SECONDS[:AT_NS]")
    options = parser.parse_args(argv)
    commands = ["outage " + re.sub(":", " ", outage) for outage in options.outage]
    asyncio.run(serve(options.port, options.accounts, commands))
    return 0


if __name__ == "__main__":
    sys.exit(main())
