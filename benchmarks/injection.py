"""How long an injection takes, from the last moment before to the first after: `python -m benchmarks.injection [--both]`.

Stands one topology up, and injects and heals each fault 20 times (`--runs`). `--busy` keeps two processes running that burn every
core that they get, from a second before an injection is prepared until it is proved; `--both` takes turns, quiet and busy. Prints
milliseconds: minimum, median and worst, by the moments that a drill's `injected` event would hold, by the caller's own clock, and
to prepare and to heal; with `--dial`, what it costs to dial every link (wall and CPU).

Between two injections it waits for what an injection meets: every container runs and can be held, every link carries, every
database answers, and one is the primary. Full redundancy, which no injection looks at, is waited for where the fault changes.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.bits_flipped import BitsFlipped
from faults.center_isolated import CenterIsolated
from faults.half_isolated import HalfIsolated
from faults.link_blackholed import LinkBlackholed
from faults.link_degraded import LinkDegraded
from faults.link_refused import LinkRefused
from faults.model import Fault
from faults.node_frozen import NodeFrozen
from faults.node_killed import NodeKilled
from faults.planned_switchover import PlannedSwitchover
from faults.power_loss import CenterPowerLoss, RegionLoss
from faults.process_killed import ProcessKilled
from harness import runbooks
from harness.watcher import watcher
from runtime import engine, images, startup
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.staged import Deferred
from topologies.two_region_three_center import two_region_three_center

BURN = "while True:\n pass"
BURNING = {"quiet": 0, "busy": 2}  # processes
BURNS_BEFORE_S = 1.0
STANDS_WITHIN_S = 120
REDUNDANT_WITHIN_S = 180


@dataclass(frozen=True)
class Taken:
    """Milliseconds: by the injection's own moments, by the caller's clock, to prepare, to heal. `staged`: it lay ready."""

    own: float
    caller: float
    prepare: float
    heal: float
    staged: bool


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
    "CenterIsolated": lambda _: CenterIsolated("dc2"),
    "HalfIsolated": lambda _: HalfIsolated("primary"),  # a copy is dialled by nobody: nothing could be dropped
    "NodeFrozen": lambda _: NodeFrozen("dc2-b"),
    "ProcessKilled": lambda _: ProcessKilled("server", "dc2-b"),
    "LinkDegraded": lambda _: LinkDegraded("dc1<->dc2", 50, jitter_ms=5, loss_percent=5, bandwidth_kbps=20_000),
    "LinkRefused": lambda _: LinkRefused("dc1<->dc2"),
}


@contextlib.contextmanager
def burning(processes: int) -> Iterator[None]:
    """So many processes beside us that never wait, and have not for a second."""
    started = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(processes)]
    try:
        time.sleep(BURNS_BEFORE_S * bool(started))
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextlib.contextmanager
def standing() -> Iterator[Cluster]:
    """A topology with its links, and nothing of it left afterwards, however we end."""
    client, run_id = engine.connect(), f"benchmark-injection-{time.time_ns()}"
    with tempfile.TemporaryDirectory() as directory:
        found = images.ensure(client, print)
        guard, left = watcher(run_id, log=Path(directory) / "harness.log"), True
        try:
            topology = two_region_three_center()
            yield startup.start(topology, found, run_id=run_id, directory=Path(directory), progress=lambda _: None).cluster
        finally:
            left = bool(engine.remove_for_good(client, run_id))
            guard.release(done=not left)


def redundant_again(cluster: Cluster) -> None:
    """Copies that went past a fork, as they do when a primary dies again and again, are rebuilt."""
    runbooks.rejoin_standbys(cluster, within_s=REDUNDANT_WITHIN_S)


def stands_again(cluster: Cluster) -> None:
    wait_for(lambda: stands(cluster), within_s=STANDS_WITHIN_S, what="what an injection meets", every_s=0.2)


def stands(cluster: Cluster) -> bool:
    """Every container can be held, every database answers, one is the primary, every link carries. Raises ClusterError."""
    gaps = [f"{name} can't be held" for name in cluster.container_names() if not cluster.held_or_running(name)]
    states = cluster.states()
    gaps += [f"{name} does not answer" for name, state in states.items() if state is None]
    primaries = [name for name, state in states.items() if state is not None and not state.in_recovery]
    gaps += [] if len(primaries) == 1 else [f"expected one primary; seen {', '.join(primaries) or 'none'}"]
    if not gaps:
        dialled = cluster.dial([(li.source, li.target) for li in cluster.topology.links])
        gaps = [f"{source}->{target} carries nothing" for (source, target), carries in dialled.items() if not carries]
    if gaps:
        raise ClusterError("; ".join(gaps))
    return True


def once(cluster: Cluster, make: Callable[[Cluster], Fault], *, processes: int) -> Taken:
    """One injection beside so many burning processes, proved and healed; what the next one meets stands when it returns."""
    fault = make(cluster)
    try:
        with burning(processes):
            began = time.monotonic_ns()
            fault.prepare(cluster)
            staged = not isinstance(getattr(fault, "staged", None), Deferred)
            before = time.monotonic_ns()
            moment = fault.inject(cluster)
            after = time.monotonic_ns()
            if not (proof := fault.proof(cluster)).proved:
                raise SystemExit(f"{type(fault).__name__} is not proved: {[c for c in proof.checks if not c.ok]}")
        if isinstance(fault, BitsFlipped):
            fault.inject(cluster)  # flipped twice they are whole: the heal then finds nothing to build anew
    finally:
        healing = time.monotonic_ns()
        fault.heal(cluster)
        healed = time.monotonic_ns()
    stands_again(cluster)
    own_ns = moment.after_ns - moment.before_ns if moment else after - before
    return Taken(own_ns / 1e6, (after - before) / 1e6, (before - began) / 1e6, (healed - healing) / 1e6, staged)


def series(cluster: Cluster, name: str, modes: Sequence[str], runs: int) -> None:
    """So many injections of a fault in each mode, in turns, and what they took."""
    taken: dict[str, list[Taken]] = {mode: [] for mode in modes}
    began = time.monotonic()
    for _ in range(runs):
        for mode in modes:
            taken[mode].append(once(cluster, FAULTS[name], processes=BURNING[mode]))
    for mode, found in taken.items():
        label = f"{name} {mode}"
        print(told(label, [one.own for one in found]), flush=True)
        print(told(f"{label}, caller's clock", [one.caller for one in found]), flush=True)
        print(told(f"{label}, to prepare", [one.prepare for one in found]), flush=True)
        print(told(f"{label}, to heal", [one.heal for one in found]), flush=True)
        if through_engine := sum(not one.staged for one in found):
            print(f"{label}: {through_engine} of {len(found)} went through the engine", flush=True)
    print(f"({name}: {time.monotonic() - began:.0f} s for all)", file=sys.stderr, flush=True)
    redundant_again(cluster)


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
    return f"{name:<40} {len(values):>3} {min(values):>9.1f} {statistics.median(values):>9.1f} {max(values):>9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--busy", dest="modes", action="store_const", const=("busy",), default=("quiet",))
    mode.add_argument("--both", dest="modes", action="store_const", const=("quiet", "busy"))
    parser.add_argument("--dial", action="store_true")
    asked = parser.parse_args()
    print(f"{'ms':<40} {'n':>3} {'min':>9} {'median':>9} {'worst':>9}", flush=True)
    with standing() as cluster:
        redundant_again(cluster)
        if asked.dial:
            cluster.dial([(li.source, li.target) for li in cluster.topology.links])
            for one in asked.modes:
                with burning(BURNING[one]):
                    costs = [dial_cost(cluster) for _ in range(asked.runs)]
                print(told(f"dial every link {one}: wall", [wall for wall, _ in costs]), flush=True)
                print(told(f"dial every link {one}: CPU, ours", [cpu for _, cpu in costs]), flush=True)
        for name in asked.faults:
            series(cluster, name, asked.modes, asked.runs)


if __name__ == "__main__":
    main()
