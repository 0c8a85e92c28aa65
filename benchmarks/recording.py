"""What does recording cost? The bank's throughput with and without it, alternately, on one topology.

    python -m benchmarks.recording [--rounds 10] [--seconds 3]

Stands the topology up with a second way through its front door that logs nothing. Customers who pay as fast as they are
answered take turns: through the door as drills use it, each payment written to a ledger too; and through the other way, with no
ledger. The figure is the ratio of the two, round by round: its median, and a 95 % interval of that (bootstrap). Exit 1 when
the interval says that recording costs more than `--limit`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.instrument import ROOT
from topologies import engine, images, nodes, startup
from topologies.addresses import DOOR, Addresses
from topologies.two_region_three_center import two_region_three_center

BARE_PORT = 8081
RUN_ID = "recording-benchmark"


def with_a_bare_way(addresses: Addresses) -> nodes.Program:
    """The front door, and beside it a way to the same banks without any log."""
    program = real_door(addresses)
    bare = f"frontend bare\n  bind *:{BARE_PORT}\n  option dontlognull\n"
    bare += "  http-request set-log-level silent\n  default_backend bank\n"
    return nodes.Program(program.command, {"CONFIG": program.environment["CONFIG"] + bare}, program.capabilities)


real_door = nodes.door


@contextmanager
def topology(directory: Path) -> Iterator[str]:
    """Stands up, gives the address of the front door and goes."""
    client = engine.connect()
    nodes.door = with_a_bare_way
    try:
        found = images.ensure(client, print)
        started = startup.start(
            two_region_three_center(), found, run_id=RUN_ID, directory=directory, door_port=0, progress=lambda _: None
        )
        yield str(started.cluster.addresses.networks[DOOR][2])
    finally:
        nodes.door = real_door
        engine.remove_for_good(client, RUN_ID, looks=5)


def paid(door: str, name: str, *, seconds: float, out: Path | None) -> int:
    command = [sys.executable, "-m", "tests.paying", "--door", door, "--run-id", name, "--seconds", str(seconds)]
    command += ["--out", str(out)] if out else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """95 % of the median, by drawing the rounds again."""
    choice = random.Random(1)
    medians = sorted(statistics.median(choice.choices(ratios, k=len(ratios))) for _ in range(4000))
    return medians[100], medians[-101]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The bank's throughput with and without recording.")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    parser.add_argument("--limit", type=float, default=0.03, help="share of throughput that recording may cost")
    options = parser.parse_args(argv)
    ratios = []
    with tempfile.TemporaryDirectory() as temporary, topology(Path(temporary)) as address:
        doors = {"with": f"http://{address}:8080", "without": f"http://{address}:{BARE_PORT}"}
        paid(doors["with"], "warm-up", seconds=options.seconds, out=None)
        print("round  with recording/s  without/s   ratio", flush=True)
        for number in range(options.rounds):
            rate = {}
            for way in sorted(doors, reverse=bool(number % 2)):  # who goes first changes
                out = Path(temporary) if way == "with" else None
                rate[way] = paid(doors[way], f"{way}-{number}", seconds=options.seconds, out=out) / options.seconds
            ratios.append(rate["with"] / rate["without"])
            print(f"{number:5} {rate['with']:17.0f} {rate['without']:10.0f} {ratios[-1]:7.3f}", flush=True)
    low, high = interval(ratios)
    print(f"median ratio {statistics.median(ratios):.3f}, 95 % interval {low:.3f} to {high:.3f}; limit {1 - options.limit:.3f}")
    return 1 if high < 1 - options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
