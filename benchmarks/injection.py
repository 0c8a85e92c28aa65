"""How long an injection takes, from the last moment before to the first after: `python -m benchmarks.injection [--runs 20]`.

Stands one topology up, and injects and heals each fault N times. `--busy` keeps two processes running that burn every core that
they get. Prints milliseconds: minimum, median and worst, by the moments that a drill's `injected` event would hold, and by the
caller's own clock; with `--dial`, what it costs to dial every link (wall and CPU).
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from faults import BitsFlipped, CenterPowerLoss, Fault, LinkBlackholed, NodeKilled, PlannedSwitchover, RegionLoss
from topologies import engine, images, startup
from topologies.cluster import Cluster
from topologies.database import wait_for
from topologies.redundancy import fully_redundant
from topologies.two_region_three_center import two_region_three_center

BURN = "while True:\n pass"
REDUNDANT_WITHIN_S = 180


def away_from_the_primary(cluster: Cluster) -> Fault:
    """A switchover to the city center that the primary is not in."""
    here = cluster.topology.center_of(cluster.wait_primary(within_s=60).name).name
    return PlannedSwitchover("dc2" if here == "dc1" else "dc1")


FAULTS: dict[str, Callable[[Cluster], Fault]] = {
    "CenterPowerLoss": lambda _: CenterPowerLoss("dc1"),
    "RegionLoss": lambda _: RegionLoss("A"),
    "NodeKilled": lambda _: NodeKilled("primary"),
    "LinkBlackholed": lambda _: LinkBlackholed("dc1<->dc2"),
    "BitsFlipped": lambda _: BitsFlipped("accounts", node="dc2-b"),
    "PlannedSwitchover": away_from_the_primary,
}


@contextlib.contextmanager
def burning(processes: int) -> Iterator[None]:
    """So many processes beside us that never wait."""
    started = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def standing() -> Iterator[Cluster]:
    """A topology with its links, and nothing of it left afterwards."""
    client, run_id = engine.connect(), f"benchmark-injection-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as directory:
        found = images.ensure(client, print)
        try:
            topology = two_region_three_center()
            yield startup.start(topology, found, run_id=run_id, directory=Path(directory), progress=lambda _: None).cluster
        finally:
            engine.remove_for_good(client, run_id)


def redundant_again(cluster: Cluster) -> None:
    wait_for(lambda: fully_redundant(cluster), within_s=REDUNDANT_WITHIN_S, what="full redundancy", every_s=0.5)


def once(cluster: Cluster, make: Callable[[Cluster], Fault]) -> tuple[float, float, float]:
    """One injection: ms by its own moments, ms by the caller's clock, and ms to prepare it. Healed when it returns."""
    fault = make(cluster)
    began = time.monotonic_ns()
    fault.prepare(cluster)
    before = time.monotonic_ns()
    try:
        moment = fault.inject(cluster)
        after = time.monotonic_ns()
        if not (proof := fault.proof(cluster)).proved:
            raise SystemExit(f"{type(fault).__name__} is not proved: {[c for c in proof.checks if not c.ok]}")
    finally:
        fault.heal(cluster)
    own = (moment.after_ns - moment.before_ns if moment else after - before) / 1e6
    redundant_again(cluster)
    return own, (after - before) / 1e6, (before - began) / 1e6


def dial_cost(cluster: Cluster) -> tuple[float, float]:
    """(wall ms, CPU ms of this process and its children) of dialling every link once."""
    pairs = [(li.source, li.target) for li in cluster.topology.links]
    used, wall = cpu_ms(), time.monotonic()
    if not all(cluster.dial(pairs).values()):
        raise SystemExit("a link of a healthy topology carries nothing")
    return (time.monotonic() - wall) * 1e3, cpu_ms() - used


def cpu_ms() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used) * 1e3


def told(name: str, values: list[float]) -> str:
    return f"{name:<36} {len(values):>3} {min(values):>9.1f} {statistics.median(values):>9.1f} {max(values):>9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--dial", action="store_true")
    asked = parser.parse_args()
    print(f"{'ms':<36} {'n':>3} {'min':>9} {'median':>9} {'worst':>9}", flush=True)
    with standing() as cluster:
        redundant_again(cluster)
        with burning(2 if asked.busy else 0):
            if asked.dial:
                cluster.dial([(li.source, li.target) for li in cluster.topology.links])
                costs = [dial_cost(cluster) for _ in range(asked.runs)]
                print(told("dial every link: wall", [wall for wall, _ in costs]), flush=True)
                print(told("dial every link: CPU, ours", [cpu for _, cpu in costs]), flush=True)
            for name in asked.faults:
                taken = [once(cluster, FAULTS[name]) for _ in range(asked.runs)]
                for column, what in enumerate(("", ", caller's clock", ", to prepare")):
                    print(told(name + what, [one[column] for one in taken]), flush=True)


if __name__ == "__main__":
    main()
