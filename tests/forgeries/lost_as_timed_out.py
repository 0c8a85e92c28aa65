"""What was acknowledged and lost is called unknown after the client's whole patience.

The front door had answered seconds before.
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
        run.answer(run.lost(), "", "no answer within 3 s", took_s=3.0)
