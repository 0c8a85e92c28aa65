"""Is a payment ever in flight unrecorded when customers stop?

    python -m benchmarks.stops [--stops 500] [--modes "slow-4 hang drip"]

Stops the real customers again and again, at random moments while they pay a stand-in for the bank (tests/standin.py), and
holds three records of each stop against each other: the keys that arrived at the door, the ledger's rows, and Locust's own
count. Exit 1 when they differ once. In mode `slow-4` each answer takes 4 ms, so that a stop finds payments in flight; in
`hang` no answer comes, in `drip` none ever ends: then customers are cut off after their time-outs.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.instrument import ROOT, Standin

OUTAGE_S = 36_000  # longer than any of this takes


@dataclass(frozen=True)
class Stop:
    number: int
    arrived: frozenset[str]  # keys, at the door
    rows: tuple[str, ...]  # keys, in the ledger
    counted: int  # by Locust
    completed: bool
    outcomes: Counter[str]

    @property
    def agrees(self) -> bool:
        """Every payment that arrived has a row, no row stands twice, and Locust counts the rows."""
        return self.completed and self.arrived <= set(self.rows) and len(set(self.rows)) == len(self.rows) == self.counted


def stops(directory: Path, *, mode: str, count: int, seed: int = 1) -> list[Stop]:
    """So many stops in one mode of the stand-in."""
    standin = Standin()
    command = [sys.executable, "-m", "tests.stops", "--door", standin.door, "--out", str(directory)]
    command += ["--stops", str(count), "--seed", str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # it has asked for the accounts
        standin.tell(f"outage {mode} {OUTAGE_S}")
        standin.hear("began")
        said, complained = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"expected the stops to end with 0; seen {process.returncode}: {complained[-2000:]}")
        standin.tell("received")
        arrived: dict[str, int] = standin.hear("received")["keys"]
    finally:
        process.kill()
        standin.end()
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    by_run: dict[str, set[str]] = {}
    for key in arrived:
        by_run.setdefault(key.partition("-c-")[0], set()).add(key)
    return [_read(directory, one, frozenset(by_run.get(one["run_id"], ()))) for one in told]


def _read(directory: Path, said: dict[str, Any], arrived: frozenset[str]) -> Stop:
    with (directory / f"{said['stop']:04d}" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    outcomes = Counter(row["outcome"] for row in rows)
    keys = tuple(row["key"] for row in rows)
    return Stop(said["stop"], arrived, keys, said["locust_requests"], said["completed"], outcomes)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Stops of the customers, and whether three records of each agree.")
    parser.add_argument("--stops", type=int, default=500, help="all modes together")
    parser.add_argument("--modes", default="slow-4 hang drip", help="of the stand-in; the first one gets nine stops in ten")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    modes = options.modes.split()
    few = options.stops // 10 // max(1, len(modes) - 1) if len(modes) > 1 else 0
    seen: list[Stop] = []
    print("mode       stops  payments  unknown  differ      s", flush=True)
    for number, mode in enumerate(modes):
        count = few if number else options.stops - few * (len(modes) - 1)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as temporary:
            found = stops(Path(temporary), mode=mode, count=count, seed=options.seed)
        payments, unknown = sum(len(s.rows) for s in found), sum(s.outcomes["unknown"] for s in found)
        differ = sum(not s.agrees for s in found)
        print(f"{mode:10} {len(found):5} {payments:9} {unknown:8} {differ:7} {time.monotonic() - began:6.0f}", flush=True)
        seen += found
    wrong = [stop for stop in seen if not stop.agrees]
    for stop in wrong:
        print(f"stop {stop.number}: arrived {len(stop.arrived)}, rows {len(stop.rows)}, counted {stop.counted}")
    print(f"{len(seen)} stops, {len(wrong)} of them with records that differ")
    return 1 if wrong or len(seen) != options.stops else 0


if __name__ == "__main__":
    sys.exit(main())
