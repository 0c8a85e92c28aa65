"""What was acknowledged and lost is called unknown, with a broken connection for a reason.

The front door had passed the whole answer on.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "relabelled"
caught_by = "door_told_the_same"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.answer(run.lost(), "", "connection reset by peer")
