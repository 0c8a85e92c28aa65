"""Lines of the front door's log are cut; what it counted is left.

They differ.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "door edited alone"
caught_by = "door_counted"


def forge(directory: Path) -> None:
    run = Forger(directory)
    run.count = False
    with run:
        run.door_forgets({row["key"] for row in run.probe if row["outcome"] == "unknown"})
