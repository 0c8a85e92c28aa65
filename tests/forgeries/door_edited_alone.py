"""The front door's log has its errors turned to successes.

The ledgers have the errors.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "door edited alone"
caught_by = "door_told_the_same"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        refused = {row["key"] for row in run.payments() if row["outcome"] == "refused"}
        run.door_says(refused, 201, "--")
