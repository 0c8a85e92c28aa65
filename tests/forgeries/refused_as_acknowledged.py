"""The last refused payments of an outage are called acknowledged and are booked on every copy, to shorten it.

The front door refused them.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "relabelled"
caught_by = "door_told_the_same"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        until = run.before_ns + 31 * SECOND_NS
        rows = [r for r in run.payments() if r["outcome"] == "refused" and until - 3 * SECOND_NS < int(r["due_ns"]) < until]
        run.answer(rows, "201")
        run.book(rows, lambda row: run.wall(int(row["done_ns"]) - 500_000))
