"""Rules that drop packets, spoken to the kernel directly (nfnetlink): one message puts a whole table in place, or none of it.

The program nft needs 10 ms and more to start and read the same rules as text; here the message is made beforehand, the kernel has
tried it without keeping it, and what is left to do is to hand it over: microseconds. Bytes and sockets only; no Docker here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

NETLINK_NETFILTER = 12
NFTABLES = 10  # the subsystem's number in message types
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NLMSG_ERROR = 2
NEW_TABLE, GET_TABLE, DELETE_TABLE, NEW_CHAIN, NEW_RULE, GET_RULE = 0, 1, 2, 3, 6, 7
REQUEST, ACK, DUMP, CREATE, APPEND = 0x1, 0x4, 0x300, 0x400, 0x800
IPV4 = 2
NESTED = 0x8000
ANSWER_WITHIN_S = 5.0
HOOKS = {"prerouting": 0, "output": 3, "postrouting": 4}
INTERFACE_KEY = {"prerouting": 6, "postrouting": 7}  # the name of the one it came in by, or goes out by
ADDRESS_OFFSET = {"saddr": 12, "daddr": 16}


class NetfilterError(Exception):
    """The kernel refused a rule set: says which and why."""


@dataclass(frozen=True)
class Drop:
    """One base chain with one rule: drop, and count, what comes by `interface` and whose `field` is in `network` (or is not)."""

    chain: str
    hook: str  # prerouting | output | postrouting
    priority: int
    field: str  # saddr | daddr
    network: IPv4Network
    inside: bool = True  # False: drop what is *not* in `network`
    interface: str = ""  # empty: whatever interface

    def text(self) -> str:
        """The chain as nft reads it."""
        by = f"{'iifname' if self.hook == 'prerouting' else 'oifname'} {self.interface} " if self.interface else ""
        rule = f"{by}ip {self.field} {'' if self.inside else '!= '}{self.network} counter drop"
        return f"chain {self.chain} {{ type filter hook {self.hook} priority {self.priority}; policy accept; {rule}; }}"


# --- Messages ---------------------------------------------------------------------------------------------------------
def attribute(kind: int, value: bytes) -> bytes:
    length = 4 + len(value)
    return struct.pack("=HH", length, kind) + value + b"\0" * (-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i", value))


def message(kind: int, flags: int, family: int, resource: int, *attributes: bytes) -> bytes:
    body = struct.pack(">BBH", family, 0, resource) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, flags | REQUEST, 0, 0) + body


def of_tables(kind: int, flags: int, *attributes: bytes) -> bytes:
    return message(NFTABLES << 8 | kind, flags, IPV4, 0, *attributes)


def expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def compare(value: bytes, *, equal: bool) -> bytes:
    return expression("cmp", number(1, 1), number(2, 0 if equal else 1), nested(3, attribute(1, value)))


def rule(drop: Drop) -> bytes:
    """The expressions of one rule, as nft itself would write them."""
    wanted = b""
    if drop.interface:
        name = drop.interface.encode().ljust(16, b"\0")
        wanted += expression("meta", number(2, INTERFACE_KEY[drop.hook]), number(1, 1)) + compare(name, equal=True)
    length, odd = divmod(drop.network.prefixlen, 8)
    if odd or not length:
        raise ValueError(f"{drop.network}: expected a network of 8, 16, 24 or 32 bits")
    wanted += expression("payload", number(1, 1), number(2, 1), number(3, ADDRESS_OFFSET[drop.field]), number(4, length))
    wanted += compare(drop.network.network_address.packed[:length], equal=drop.inside)
    wanted += expression("counter", attribute(1, bytes(8)), attribute(2, bytes(8)))
    wanted += expression("immediate", number(1, 0), nested(2, nested(2, number(1, 0))))  # the verdict: drop
    return nested(4, wanted)


def batch(tables: Mapping[str, Sequence[Drop]]) -> bytes:
    """Messages that put each table in place of an older one of its name, all together; to be enclosed by `kept` or `tried`."""
    parts = []
    for table, drops in tables.items():
        parts += [of_tables(NEW_TABLE, CREATE, text(1, table)), of_tables(DELETE_TABLE, 0, text(1, table))]
        parts.append(of_tables(NEW_TABLE, CREATE, text(1, table)))
        for drop in drops:
            hook = nested(4, number(1, HOOKS[drop.hook]), number(2, drop.priority))
            chain = (text(1, table), text(3, drop.chain), hook, number(5, 1), text(7, "filter"))
            parts.append(of_tables(NEW_CHAIN, CREATE, *chain))
            parts.append(of_tables(NEW_RULE, CREATE | APPEND | ACK, text(1, table), text(2, drop.chain), rule(drop)))
    return b"".join(parts)


def kept(messages: bytes) -> bytes:
    """The batch as it is sent when it is meant: the kernel takes all of it or nothing."""
    return message(BATCH_BEGIN, 0, 0, NFTABLES) + messages + message(BATCH_END, 0, 0, NFTABLES)


def tried(messages: bytes) -> bytes:
    """The same without its end: the kernel checks all of it, and keeps nothing."""
    return message(BATCH_BEGIN, 0, 0, NFTABLES) + messages


# --- Talking to the kernel --------------------------------------------------------------------------------------------
def answers(kernel: socket.socket, sent: bytes, *, acks: int) -> None:
    """Send, and wait until the kernel has said yes `acks` times. Raises NetfilterError with the first no."""
    forget(kernel)
    kernel.settimeout(ANSWER_WITHIN_S)
    try:
        kernel.send(sent)
        while acks > 0:
            for kind, body in messages_in(kernel.recv(65536)):
                if kind != NLMSG_ERROR:
                    continue
                (code,) = struct.unpack_from("=i", body)
                if code:
                    raise NetfilterError(f"the kernel refused the rules: {os.strerror(-code)}")
                acks -= 1
    except OSError as error:
        raise NetfilterError(f"the kernel did not answer about the rules: {error}") from error


def forget(kernel: socket.socket) -> None:
    """Throw away what an earlier question left unread: a refusal comes with one answer for each message."""
    kernel.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            kernel.recv(65536)


def rehearse(kernel: socket.socket, tables: Mapping[str, Sequence[Drop]]) -> None:
    """Let the kernel check the tables and keep nothing of them. Raises NetfilterError when it would refuse them."""
    answers(kernel, tried(batch(tables)), acks=sum(len(drops) for drops in tables.values()))


def put(kernel: socket.socket, tables: Mapping[str, Sequence[Drop]]) -> None:
    """Put the tables in place now. Raises NetfilterError; then none is."""
    answers(kernel, kept(batch(tables)), acks=sum(len(drops) for drops in tables.values()))


def dropped(kernel: socket.socket, table: str) -> int | None:
    """Packets that the rules of `table` have dropped so far; None when there is no such table. Raises NetfilterError."""
    forget(kernel)
    kernel.settimeout(ANSWER_WITHIN_S)
    try:
        kernel.send(of_tables(GET_TABLE, 0, text(1, table)))
        (kind, body), *_ = messages_in(kernel.recv(65536))
        if kind == NLMSG_ERROR:
            (code,) = struct.unpack_from("=i", body)
            if code == -errno.ENOENT:
                return None
            raise NetfilterError(f"the kernel did not show {table}: {os.strerror(-code)}")
        kernel.send(of_tables(GET_RULE, DUMP, text(1, table)))
        total, over = 0, False
        while not over:
            for kind, body in messages_in(kernel.recv(65536)):
                over |= kind in (3, NLMSG_ERROR)  # 3: that was all
                # Older kernels dump the rules of every table, whatever was asked for.
                if kind == NFTABLES << 8 | NEW_RULE and name_of_table(body[4:]) == table:
                    total += counted(body[4:])
        return total
    except OSError as error:
        raise NetfilterError(f"the kernel did not answer about {table}: {error}") from error


def messages_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, body after its header) of each netlink message."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if length < 16:
            return
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]


def attributes_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & ~NESTED, data[4:length]
        data = data[(length + 3) & ~3 :]


def name_of_table(rule_body: bytes) -> str:
    return dict(attributes_in(rule_body)).get(1, b"").rstrip(b"\0").decode()


def counted(rule_body: bytes) -> int:
    """Packets counted by one rule."""
    total = 0
    for _kind, one in attributes_in(dict(attributes_in(rule_body)).get(4, b"")):
        parts = dict(attributes_in(one))
        if parts.get(1, b"").rstrip(b"\0") == b"counter":
            total += int.from_bytes(dict(attributes_in(parts[2]))[2], "big")
    return total
