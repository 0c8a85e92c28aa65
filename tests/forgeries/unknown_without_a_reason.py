"""What was acknowledged and lost is called unknown, and the door's log forgets it; no reason is given.

A probe that has no answer says why.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "relabelled"
caught_by = "patience_is_kept"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = [row for row in run.lost() if row in run.probe]
        others = [row for row in run.lost() if row not in run.probe]
        run.answer(lost, "")
        run.answer(others, "", "connection reset by peer")
        run.door_says({row["key"] for row in [*lost, *others]}, -1, "CH")
