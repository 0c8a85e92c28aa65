"""How long users wait for a topology: `python -m benchmarks.start [--runs 5]`, images present.

Stands a topology up and takes it down, as a user would, by `drillbook up` and `drillbook down`. Prints seconds from the start of
the command to each milestone that it tells: minimum, median and maximum, and the median share of each step.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

DRILLBOOK = str(Path(sys.executable).with_name("drillbook"))


def once() -> dict[str, float]:
    """One start and take-down; seconds from the start of the command by milestone, in order. Raises when one of them fails."""
    milestones: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        with subprocess.Popen([DRILLBOOK, "up"], cwd=directory, stdout=subprocess.PIPE, text=True) as up:
            assert up.stdout is not None
            for line in up.stdout:
                if told := re.match(r"[\d.]+ s: (.*)", line):
                    milestones[told[1]] = time.monotonic() - began
        if up.returncode != 0:
            raise SystemExit(f"'drillbook up' ended with {up.returncode}")
        subprocess.run([DRILLBOOK, "down"], cwd=directory, stdout=subprocess.DEVNULL, check=True)
    return milestones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = [once() for _ in range(parser.parse_args().runs)]
    names = list(runs[0])
    print(f"{'milestone':<60} {'min':>6} {'median':>7} {'max':>6} {'step':>6} {'share':>6}")
    medians = [statistics.median(run[name] for run in runs) for name in names]
    steps = [medians[0], *(later - earlier for earlier, later in pairwise(medians))]
    for name, median, step in zip(names, medians, steps, strict=True):
        seen = [run[name] for run in runs]
        print(f"{name:<60} {min(seen):>6.2f} {median:>7.2f} {max(seen):>6.2f} {step:>6.2f} {step / medians[-1]:>6.0%}")


if __name__ == "__main__":
    main()
