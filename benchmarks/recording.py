"""What does recording cost? The bank's throughput with and without it, alternately, on one topology.

    python -m benchmarks.recording [--turns 100] [--turn-s 0.5]

Stands the topology up with a second way through its front door that logs nothing. Customers who pay as fast as they are
answered take turns: through the door as drills use it, each payment written to a ledger too; and through the other way, with no
ledger. The figure is the ratio of all payments of the one to all of the other, with a 95 % interval (bootstrap over the pairs).
Exit 1 when the interval says that recording costs more than `--limit`.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.instrument import ROOT
from runtime import engine, images, nodes, startup
from runtime.addresses import DOOR, Addresses
from runtime.manager import Program
from topologies.two_region_three_center import two_region_three_center

BARE_PORT = 8081
RUN_ID = "recording-benchmark"


def with_a_bare_way(addresses: Addresses) -> Program:
    """The front door, and beside it a way to the same banks without any log."""
    program = real_door(addresses)
    bare = f"frontend bare\n  bind *:{BARE_PORT}\n  option dontlognull\n"
    bare += "  http-request set-log-level silent\n  default_backend bank\n"
    return Program(program.command, {"CONFIG": program.environment["CONFIG"] + bare}, program.capabilities)


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


def take_turns(address: str, out: Path, *, turns: int, turn_s: float) -> list[tuple[int, int]]:
    """Payments acknowledged with and without recording, pair by pair."""
    command = [
        sys.executable,
        "-m",
        "tests.paying",
        "--door",
        f"http://{address}:8080",
        "--other",
        f"http://{address}:{BARE_PORT}",
    ]
    command += ["--out", str(out), "--run-id", "paid", "--turns", str(turns), "--turn-s", str(turn_s)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return [(one[0], one[1]) for one in map(json.loads, done.stdout.splitlines())]


def ratio(pairs: Sequence[tuple[int, int]]) -> float:
    return sum(one for one, _ in pairs) / sum(other for _, other in pairs)


def interval(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """95 % of the ratio, by drawing the pairs again."""
    choice = random.Random(1)
    drawn = sorted(ratio(choice.choices(pairs, k=len(pairs))) for _ in range(4000))
    return drawn[100], drawn[-101]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="The bank's throughput with and without recording.")
    parser.add_argument("--turns", type=int, default=100, help="of each way")
    parser.add_argument("--turn-s", type=float, default=0.5)
    parser.add_argument("--limit", type=float, default=0.03, help="share of throughput that recording may cost")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary, topology(Path(temporary)) as address:
        pairs = take_turns(address, Path(temporary), turns=options.turns, turn_s=options.turn_s)
    low, high = interval(pairs)
    rates = [sum(pair[way] for pair in pairs) / (len(pairs) * options.turn_s) for way in (0, 1)]
    print(f"{len(pairs)} turns each; {rates[0]:.0f} payments/s with recording, {rates[1]:.0f} without")
    print(f"ratio {ratio(pairs):.3f}, 95 % interval {low:.3f} to {high:.3f}; limit {1 - options.limit:.3f}")
    return 1 if high < 1 - options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
