"""Payments in the middle of an outage are called acknowledged, booked, and the door's log agrees.

No database was a primary then.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "relabelled"
caught_by = "no_answer_without_a_primary"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns = run.before_ns + 12 * SECOND_NS
        rows = [r for r in run.payments() if r["outcome"] == "refused" and from_ns < int(r["due_ns"]) < from_ns + SECOND_NS]
        run.answer(rows, "201")
        run.door_says({row["key"] for row in rows}, 201, "--")
        run.book(rows, lambda row: run.wall(int(row["done_ns"]) - 500_000))
