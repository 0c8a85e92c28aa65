"""The brake of the benchmarks: it holds back one group's writes and nobody else's, and lets go."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.throttle import LIMIT, WRITES_THE_LOG, Brake, CannotHoldBack, disk_of, members
from runtime.machine import Machine

CGROUP = Path("/sys/fs/cgroup/blkio")
SYNCS = """
import os, sys, time
os.write(file := os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), bytes(8192)); os.fsync(file); print("there", flush=True)
sys.stdin.readline()
for _ in range(4): began = time.monotonic(); os.pwrite(file, os.urandom(8192), 0); os.fdatasync(file)
"""


def test_who_writes_the_log_is_held_back_and_who_lets_files_grow_is_not() -> None:
    held = ["walwriter", "walreceiver streaming 0/6C50F98", "bank bank 198.18.255.3(38842) COMMIT"]
    free = [
        "checkpointer",
        "background writer",
        "startup recovering 02",
        "walsender replicator",
        "postgres bank 198.18.255.1(3) idle",
    ]
    assert all(WRITES_THE_LOG.match(f"postgres: bank: {title}".encode()) for title in held)
    assert not any(WRITES_THE_LOG.match(f"postgres: bank: {title}".encode()) for title in free)


def test_a_disk_is_whole_and_what_is_on_none_is_refused() -> None:
    with pytest.raises(CannotHoldBack, match="on no block device"):
        disk_of(Path("/proc"))


@pytest.fixture
def container() -> Iterator[tuple[Machine, Path]]:
    """What the brake asks of a container's first process: where its control group is."""
    if os.geteuid() != 0 or not (CGROUP / LIMIT).exists():
        pytest.skip("needs root and control groups of version 1")
    group = CGROUP / f"test-{os.getpid()}"
    group.mkdir()
    yield cast(Machine, SimpleNamespace(cgroup=lambda _: group)), group
    group.rmdir()


def test_the_writes_of_one_group_are_held_back_until_it_is_let_go(
    container: tuple[Machine, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, group = container
    monkeypatch.setattr("benchmarks.throttle.WRITES_THE_LOG", re.compile(re.escape(sys.executable.encode())))
    try:
        disk = disk_of(tmp_path)
    except CannotHoldBack as error:
        pytest.skip(str(error))
    brake = Brake(machine, disk, 2)
    command = [sys.executable, "-c", SYNCS, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        (group / "cgroup.procs").write_text(str(process.pid))
        brake.hold()
        assert members(group / "slow") == [process.pid]
        began = time.monotonic()
        process.stdin.write(b"go\n")
        process.stdin.close()
        assert process.wait(30) == 0
        took_s = time.monotonic() - began
    assert took_s > 1, "four writes and more, two a second"
    assert brake.release() >= 4
    assert not (group / "slow").exists()
    assert brake.release() == 0, "safe to call again"


def test_whoever_has_no_brake_is_told() -> None:
    machine: Any = SimpleNamespace(cgroup=lambda _: None)
    with pytest.raises(CannotHoldBack, match="no control group of version 1"):
        Brake(machine, "254:0", 2)
