"""What machine this is, and whether a drill can start on it."""

from __future__ import annotations

import os
import platform
import socket
from importlib.metadata import version
from pathlib import Path
from typing import Any

from judging.errors import CouldNotStart

MEMORY_NEEDED_MIB = 3000  # measured: 19 containers, the load and the harness peak near 2 GiB
DYING_CGROUPS_MANY = 500  # 330 after a night of CI did no harm that was seen; 1,825 did
DISK_NEEDED_MIB = 4000  # images 1.5 GiB, five databases, logs
ENVIRONMENT_CLASS = "lab-containers"
DRILL_KIND = "test"


def memory_available_mib() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    except (OSError, ValueError):
        pass
    return None


def dying_cgroups(proc: Path = Path("/proc/cgroups"), tree: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Memory cgroups of containers that are gone and that the kernel goes on counting in; None where it doesn't tell.

    Each page of cache that such a container left keeps its cgroup. Thousands slow every allocation: on one machine that had run
    some thousand containers (1,825 dying) a planned switchover took twice as long as after the caches were dropped.
    """
    try:
        if (stat := tree / "cgroup.stat").exists():  # the unified hierarchy counts them itself
            return next(
                int(line.split()[1]) for line in stat.read_text().splitlines() if line.startswith("nr_dying_descendants ")
            )
        known = next(int(line.split()[2]) for line in proc.read_text().splitlines() if line.startswith("memory\t"))
        return max(known - sum(1 for _ in os.walk(tree / "memory")), 0)
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def check_memory() -> None:
    available = memory_available_mib()
    if available is not None and available < MEMORY_NEEDED_MIB:
        raise CouldNotStart(
            f"too little memory: a topology needs {MEMORY_NEEDED_MIB} MiB, {available} MiB are available. "
            "Stop something; 'drillbook doctor' says whether an earlier topology still stands, and what removes it."
        )


def check_port(port: int) -> None:
    """Raises CouldNotStart when somebody listens on 127.0.0.1:`port` already. 0 means: any free one."""
    if not port:
        return
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            raise CouldNotStart(
                f"port {port} on 127.0.0.1 is taken ({error.strerror}): name another with --port, or leave it out for a free one"
            ) from error


def describe(engine_version: dict[str, Any], *, degraded: list[str]) -> dict[str, Any]:
    """The environment for plan.json: enough to judge how far two runs can be compared."""
    return {
        "host": platform.node(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_available_mib": memory_available_mib(),
        "dying_memory_cgroups": dying_cgroups(),
        "python": platform.python_version(),
        "drillbook": version("drillbook"),
        "docker": engine_version.get("Version", "unknown"),
        "locust": version("locust"),
        "testcontainers": version("testcontainers"),
        "degraded": degraded,
    }
