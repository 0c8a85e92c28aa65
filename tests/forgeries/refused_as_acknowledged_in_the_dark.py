"""Payments in the middle of an outage are called acknowledged, booked, and the door's log agrees.

No database was a primary then.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "relabelled"
caught_by = "no_answer_without_a_primary"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns = run.before_ns + 12 * SECOND_NS
        rows = [r for r in run.payments() if r["outcome"] == "refused" and from_ns < int(r["due_ns"]) < from_ns + SECOND_NS]
        run.answer(rows, "201")
        run.door_says({row["key"] for row in rows}, 201, "--")
        run.book(rows, lambda row: run.wall(int(row["done_ns"]) - 500_000))
