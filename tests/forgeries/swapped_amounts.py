"""Two payments change their amounts, in the ledger and on every copy.

The seed gives each its own.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "swapped"
caught_by = "drawn_from_the_seed"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        one, other = [row for row in run.probe if row["outcome"] == "acknowledged"][:2]
        run.unbook({one["key"], other["key"]})
        one["amount_minor"], other["amount_minor"] = other["amount_minor"], str(int(one["amount_minor"]) + 1)
        run.book([one, other], lambda row: run.wall(int(row["done_ns"]) - 500_000))
