"""A payment that was refused and one that was acknowledged change their outcomes.

The front door knows which was which.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "swapped"
caught_by = "door_told_the_same"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        refused = next(row for row in run.probe if row["outcome"] == "refused")
        told = next(row for row in run.probe if row["outcome"] == "acknowledged")
        for column in ("status", "outcome"):
            refused[column], told[column] = told[column], refused[column]
