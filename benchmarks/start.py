"""How long users wait for a topology: `python -m benchmarks.start [--runs 5]`, images present.

Prints seconds from the call to each milestone: minimum, median and maximum, and the median share of each step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from itertools import pairwise
from pathlib import Path

from topologies import engine, images, startup
from topologies.two_region_three_center import two_region_three_center


def once(number: int) -> dict[str, float]:
    """One start and take-down; seconds by milestone, in order."""
    client = engine.connect()
    found = images.ensure(client, print)
    run_id = f"benchmark-start-{number}"
    with tempfile.TemporaryDirectory() as directory:
        try:
            started = startup.start(
                two_region_three_center(), found, run_id=run_id, directory=Path(directory), progress=lambda _text: None
            )
            return started.milestones
        finally:
            engine.remove(client, run_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = [once(number) for number in range(parser.parse_args().runs)]
    names = list(runs[0])
    print(f"{'milestone':<60} {'min':>6} {'median':>7} {'max':>6} {'step':>6} {'share':>6}")
    medians = [statistics.median(run[name] for run in runs) for name in names]
    steps = [medians[0], *(later - earlier for earlier, later in pairwise(medians))]
    for name, median, step in zip(names, medians, steps, strict=True):
        seen = [run[name] for run in runs]
        print(f"{name:<60} {min(seen):>6.2f} {median:>7.2f} {max(seen):>6.2f} {step:>6.2f} {step / medians[-1]:>6.0%}")


if __name__ == "__main__":
    main()
