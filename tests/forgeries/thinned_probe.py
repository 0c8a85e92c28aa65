"""Every second payment of the probe is taken out: the plan is said to have asked for half as many.

The seed gives each number its payment.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "thinned"
caught_by = "drawn_from_the_seed"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        ordered = sorted(run.probe, key=lambda row: int(row["due_ns"]))
        gone = {row["key"] for row in ordered[1::2]}
        run.replace("probe.csv", [row for row in run.probe if row["key"] not in gone])
        run.unbook(gone)
        run.door_forgets(gone)
        run.rename({row["key"]: f"{run.plan['run_id']}-p-{n:07d}" for n, row in enumerate(ordered[::2])})
        run.plan["load"]["probe_interval_ms"] *= 2
        run.edit_json("probe.json", lambda data: data.update(interval_ms=data["interval_ms"] * 2))
