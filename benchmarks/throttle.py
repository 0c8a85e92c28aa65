"""A bank whose own disk is slow, and nobody else's: the kernel holds back what its databases write to their logs.

`SlowDisk(...)` is handed to a drill as its sabotage: it waits behind the drill's back for the fault, and from then on holds back
the databases that take over. Only who writes the log that a payment waits for is held back (sessions of customers, the log's
writer and receiver), and only over bytes that are there already. The file system's journal is one for the whole machine: were a
file to grow under the brake, as when a checkpoint writes, its next commit would wait for that file, and everybody's sync for the
commit. That would be a stall of the host, and no test of what a slow bank looks like.

Needs root on the engine's own host, control groups of version 1, and the databases on a disk of their own number.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime import engine
from runtime.cluster import Cluster
from runtime.machine import Machine

LIMIT = "blkio.throttle.write_iops_device"
DONE = "blkio.throttle.io_serviced"
LOOKS_EVERY_S = 0.02  # for sessions that are new
WRITES_THE_LOG = re.compile(rb"^postgres: bank: (walwriter|walreceiver|bank bank )")
FAULT_WITHIN_S = 300.0


class CannotHoldBack(Exception):
    """This machine has no brake for one container's disk: says what is missing."""


def disk_of(path: Path) -> str:
    """`major:minor` of the whole disk under a path: a partition has no brake of its own."""
    number = path.stat().st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not place.exists():
        raise CannotHoldBack(f"{path} is on no block device of this machine")
    whole = place.resolve().parent if (place / "partition").exists() else place
    return (whole / "dev").read_text(encoding="utf-8").strip()


class Brake:
    """A control group inside a container's, in which who writes the log may do so many writes a second."""

    def __init__(self, machine: Machine, disk: str, writes_per_s: int) -> None:
        outer = machine.cgroup("blkio")
        if outer is None or not (outer / LIMIT).exists():
            raise CannotHoldBack("no control group of version 1 for block devices, or no root on the engine's host")
        self.outer, self.inner, self.disk = outer, outer / "slow", disk
        self.inner.mkdir()
        (self.inner / LIMIT).write_text(f"{disk} {writes_per_s}", encoding="utf-8")

    def hold(self) -> None:
        """Puts whoever writes the log now under the brake."""
        for pid in members(self.outer):
            with contextlib.suppress(OSError):  # it ended meanwhile
                if WRITES_THE_LOG.match(Path(f"/proc/{pid}/cmdline").read_bytes()):
                    (self.inner / "cgroup.procs").write_text(str(pid), encoding="utf-8")

    def release(self) -> int:
        """Lets all go; returns how many writes they had done. Also when the container is gone."""
        with contextlib.suppress(OSError):
            (self.inner / LIMIT).write_text(f"{self.disk} 0", encoding="utf-8")
            done = re.search(rf"^{self.disk} Write (\d+)", (self.inner / DONE).read_text(encoding="utf-8"), flags=re.MULTILINE)
            while pids := members(self.inner):
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        (self.outer / "cgroup.procs").write_text(str(pid), encoding="utf-8")
            self.inner.rmdir()
            return int(done[1]) if done else 0
        return 0


def members(group: Path) -> list[int]:
    return [int(pid) for pid in (group / "cgroup.procs").read_text(encoding="utf-8").split()]


@contextlib.contextmanager
def braked(machines: Sequence[Machine], disk: str, writes_per_s: int) -> Iterator[list[Brake]]:
    brakes: list[Brake] = []
    try:
        brakes += [Brake(machine, disk, writes_per_s) for machine in machines]
        yield brakes
    finally:
        for brake in brakes:
            brake.release()


class SlowDisk:
    """The sabotage: from the death of `victim` on, `slow` write their logs `writes_per_s` times a second, for `for_s` seconds."""

    def __init__(
        self, victim: str = "dc1-a", slow: Sequence[str] = ("dc2-a", "dc2-b"), *, writes_per_s: int = 2, for_s: float = 75
    ):
        self.victim, self.slow, self.writes_per_s, self.for_s = victim, tuple(slow), writes_per_s, for_s
        self.writes = 0  # that the brake let through
        self.held_s = 0.0
        self.error = ""
        self.thread: threading.Thread | None = None

    def __call__(self, cluster: Cluster) -> None:
        """Raises CannotHoldBack before anything is broken."""
        disk = disk_of(engine.root_directory(cluster.client))
        held = {name: cluster.machine(name) for name in (self.victim, *self.slow)}
        if missing := [name for name, machine in held.items() if machine is None]:
            raise CannotHoldBack(f"{', '.join(missing)} can't be held: root on the engine's own host is needed")
        machines = {name: machine for name, machine in held.items() if machine is not None}
        with braked([machines[name] for name in self.slow], disk, self.writes_per_s):
            pass  # it can be done here
        # A file of the log that is full would be followed by a new one, which grows.
        cluster.sql(cluster.wait_primary(within_s=10).name, "SELECT pg_switch_wal()")
        self.thread = threading.Thread(target=self.wait_and_hold, args=(machines, disk), daemon=True)
        self.thread.start()

    def wait_and_hold(self, machines: dict[str, Machine], disk: str) -> None:
        try:
            deadline = time.monotonic() + FAULT_WITHIN_S
            while machines[self.victim].alive():
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{self.victim} did not die")
                time.sleep(LOOKS_EVERY_S)
            began = time.monotonic()
            with braked([machines[name] for name in self.slow], disk, self.writes_per_s) as brakes:
                while (held_s := time.monotonic() - began) < self.for_s and all(
                    m.alive() for n, m in machines.items() if n in self.slow
                ):
                    for brake in brakes:
                        brake.hold()
                    self.held_s = held_s
                    time.sleep(LOOKS_EVERY_S)
                self.writes = sum(brake.release() for brake in brakes)
        except (OSError, CannotHoldBack) as error:
            self.error = str(error)
