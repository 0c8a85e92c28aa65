"""What was lost is booked as done by the new primary, acknowledged late, and taken off the dead disk.

The front door had answered before the fault.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "written into every copy"
caught_by = "door_agrees_on_time"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        promoted = next(event for event in run.kind("primary") if event["data"]["node"] == run.authority)
        at, rows = int(promoted["t_ns"]) + SECOND_NS, run.lost()
        keys, name = {row["key"] for row in rows}, f"autopsy/{run.dead()}.payments.csv.gz"
        run.book(rows, lambda _: run.wall(at))
        run.replace(name, [row for row in run.table(name) if row["key"] not in keys])
        for row in rows:
            row["done_ns"] = str(at + 2_000_000)
