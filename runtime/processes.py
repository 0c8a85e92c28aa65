"""Single processes of a node's database server: which they are, and how one of them dies while all else goes on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from runtime.machine import Machine
from topologies.model import Moment

DEAD_WITHIN_S = 5.0
# By what a process calls itself: PostgreSQL's children write their work over their command line.
PROCESSES = {
    "server": re.compile(r"^\S*/postgres "),  # the postmaster: when it dies, all others end by themselves
    "checkpointer": re.compile(r"^postgres: .*\bcheckpointer\b"),
    "walwriter": re.compile(r"^postgres: .*\bwalwriter\b"),
    "walsender": re.compile(r"^postgres: .*\bwalsender\b"),
    "walreceiver": re.compile(r"^postgres: .*\bwalreceiver\b"),
}
LISTING = """
import json, os
found = {}
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        found[pid] = open(f'/proc/{pid}/cmdline', 'rb').read().replace(b'\\0', b' ').decode(errors='replace')
    except OSError:
        pass
print(json.dumps(found))
"""


def named(command_lines: Mapping[int, str], process: str) -> list[int]:
    """The process ids of those that are that process."""
    return sorted(pid for pid, line in command_lines.items() if PROCESSES[process].search(line))


def listed(told: str) -> dict[int, str]:
    """What `LISTING` printed."""
    return {int(pid): line for pid, line in json.loads(told).items()}


def command_lines(machine: Machine) -> dict[int, str]:
    """Of every process of a machine, by the host's process ids."""
    found: dict[int, str] = {}
    group = machine.cgroup("pids", "memory", "freezer", "name=systemd", "")
    for word in (group / "cgroup.procs").read_text().split() if group is not None else ():
        with contextlib.suppress(OSError):  # it ended meanwhile
            found[int(word)] = command_line(int(word))
    return found


def command_line(pid: int) -> str:
    """Raises OSError where no such process is left."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


def dead(pidfd: int, *, within_s: float) -> bool:
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(within_s * 1000))


class Held:
    """Processes that are known and held: their numbers can't come to mean others. `kill` once, or `close`."""

    def __init__(self, machine: Machine, process: str) -> None:
        self.pids: list[int] = []
        self.fds: list[int] = []
        for pid in named(command_lines(machine), process):
            with contextlib.suppress(OSError):
                fd = os.pidfd_open(pid)
                # Asked again, now that it is held: the number might have come to mean another one meanwhile.
                if machine.owns(pid) and named({pid: command_line(pid)}, process):
                    self.pids.append(pid)
                    self.fds.append(fd)
                else:
                    os.close(fd)

    def kill(self) -> Moment:
        """SIGKILL, and wait until each is dead. Raises ProcessLookupError where one was dead already, TimeoutError after 5 s."""
        for pid, fd in zip(self.pids, self.fds, strict=True):
            if dead(fd, within_s=0):
                raise ProcessLookupError(f"process {pid} was dead before it was killed")
        before_ns = time.monotonic_ns()
        for fd in self.fds:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        for pid, fd in zip(self.pids, self.fds, strict=True):
            if not dead(fd, within_s=DEAD_WITHIN_S):
                raise TimeoutError(f"process {pid} still runs {DEAD_WITHIN_S:g} s after its SIGKILL")
        return Moment(before_ns, time.monotonic_ns())

    def close(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []
