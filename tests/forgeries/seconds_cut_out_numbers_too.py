"""Five seconds of an outage are cut out, wall times and numbers follow.

The seed gives each number its payment.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "seconds cut out"
caught_by = "drawn_from_the_seed"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        length = 5 * SECOND_NS
        gone = run.cut_out(run.before_ns + 10 * SECOND_NS, length)
        run.door_forgets(gone)
        run.unbook(gone)
        for event in run.events:
            event["wall"] = run.wall(int(event["t_ns"]))
        run.clock = {"monotonic_ns": run.clock["monotonic_ns"] - length, "wall": run.wall(run.clock["monotonic_ns"] - length)}
        ordered = sorted(run.probe, key=lambda row: int(row["due_ns"]))
        run.rename({row["key"]: f"{run.plan['run_id']}-p-{n:07d}" for n, row in enumerate(ordered)})
