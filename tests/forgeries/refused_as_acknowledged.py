"""The last refused payments of an outage are called acknowledged and are booked on every copy, to shorten it.

The front door refused them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "relabelled"
caught_by = "door_told_the_same"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        until = run.before_ns + 31 * SECOND_NS
        rows = [r for r in run.payments() if r["outcome"] == "refused" and until - 3 * SECOND_NS < int(r["due_ns"]) < until]
        run.answer(rows, "201")
        run.book(rows, lambda row: run.wall(int(row["done_ns"]) - 500_000))
