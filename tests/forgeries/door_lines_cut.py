"""Lines of the front door's log are cut, and its count follows.

The ledgers have answers that came through no door.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "door edited alone"
caught_by = "door_saw_every_answer"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.door_forgets({row["key"] for row in run.probe[100:140]})
