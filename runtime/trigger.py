"""The act of a fault, and nothing else: a small process that lies ready, and acts when it is given one byte.

Started by `runtime.staged` as a program of its own (standard library only, no import of ours): so neither another thread of
the harness nor its interpreter's lock can come between two kills. It is handed sockets into the networks to be cut, with the
messages to send, and the processes to kill. It answers once it is ready, and again with the moment before, the moment after, and
what went wrong. The end of its input without that byte ends it: what was staged and not triggered never was.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

GO = b"!"
ERROR = 2  # netlink's NLMSG_ERROR: with code 0 it is a yes
EXITING = 0x4  # the kernel's PF_EXITING


def hurry() -> None:
    """Before everybody else, for this one moment, where that is allowed."""
    gc.disable()
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -20)


def send_rules(kernel: socket.socket, batch: bytes, acks: int) -> str:
    """Hands one batch to the kernel; empty when every rule in it is confirmed, else why not."""
    try:
        kernel.send(batch)
        while acks > 0:
            data = kernel.recv(65536)
            while len(data) >= 20:
                length, kind = struct.unpack_from("=IH", data)
                if kind == ERROR:
                    (code,) = struct.unpack_from("=i", data, 16)
                    if code:
                        return os.strerror(-code)
                    acks -= 1
                data = data[(length + 3) & ~3 :]
    except OSError as error:
        return str(error)
    return ""


def kill(first: list[int], others: list[int], thaw: list[tuple[int, bytes]]) -> None:
    """SIGKILL to first processes, with which all others die, and to those others at once: so nobody waits for anybody."""
    for held in (*first, *others):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(held, signal.SIGKILL)
    for held, word in thaw:  # a frozen process takes its death when it thaws
        with contextlib.suppress(OSError):
            os.write(held, word)


def stopped(thread: int) -> bool:
    """Whether a thread will never run its program again: it is gone, or ends, or bears a SIGKILL.

    What is left then is the kernel's: to give its memory back, or to finish the write that it waits for. On a busy machine that
    takes many times longer than the death itself.
    """
    try:
        fields = Path(f"/proc/{thread}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return True
    return fields[0] in "ZX" or bool(int(fields[6]) & EXITING) or bool(int(fields[28]) & 1 << signal.SIGKILL - 1)


def stop_all(groups: list[str], within_s: float) -> int:
    """How many threads of the control groups may still run after that time; each newly seen one is killed like the others.

    Who bears a SIGKILL starts nobody any more. So none is left when all are stopped, and a second look finds none but them.
    """
    seen: set[int] = set()
    deadline = time.monotonic() + within_s
    while True:
        threads = members(groups)
        running = [thread for thread in threads if not stopped(thread)]
        if not running and threads <= seen:
            return 0
        if time.monotonic() > deadline:
            return len(running)
        for thread in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(thread, signal.SIGKILL)
        seen |= threads


def members(groups: list[str]) -> set[int]:
    found: set[int] = set()
    for group in groups:
        with contextlib.suppress(OSError):  # a group goes with its last process
            found |= {int(thread) for thread in Path(group).read_text(encoding="utf-8").split()}
    return found


def stand_on_every_core() -> None:
    """Who stands on a core himself knows that nobody else is in the middle of an instruction there."""
    for core in sorted(os.sched_getaffinity(0)):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


def wait_dead(first: list[int], within_s: float) -> int:
    """How many of the processes still live after that time."""
    waiting = select.poll()
    for held in first:
        waiting.register(held, select.POLLIN)
    left, deadline = len(first), time.monotonic() + within_s
    while left and (time_left := deadline - time.monotonic()) > 0:
        for held, _ in waiting.poll(time_left * 1000):
            waiting.unregister(held)
            left -= 1
    return left


def act(plan: dict[str, Any], rules: list[tuple[socket.socket, bytes, int]]) -> dict[str, Any]:
    thaw = [(fd, word.encode()) for fd, word in plan["thaw"]]
    told: dict[str, Any] = {"error": "", "alive": 0, "before_ns": time.monotonic_ns()}
    for kernel, batch, acks in rules:
        if why := send_rules(kernel, batch, acks):
            return told | {"error": f"the kernel refused the rules: {why}", "after_ns": time.monotonic_ns()}
    if plan["first"]:
        kill(plan["first"], plan["others"], thaw)
        told["alive"] = stop_all(plan["groups"], plan["within_s"])
        told["alive"] += wait_dead(plan["unlisted"], plan["within_s"])
        stand_on_every_core()
    return told | {"after_ns": time.monotonic_ns()}


def main() -> None:
    line = b""
    while not line.endswith(b"\n"):
        block = os.read(0, 65536)
        if not block:
            return
        line += block
    plan = json.loads(line)
    rules = [(socket.socket(fileno=fd), bytes.fromhex(batch), acks) for fd, batch, acks in plan["rules"]]
    for kernel, _, _ in rules:
        kernel.settimeout(plan["within_s"])
    hurry()
    os.write(1, b"ready\n")
    if os.read(0, 1) == GO:
        os.write(1, json.dumps(act(plan, rules)).encode() + b"\n")
        os._exit(0)  # at once: whoever waits for our end is the drill


if __name__ == "__main__":
    main()
