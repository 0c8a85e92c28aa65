"""What was acknowledged and lost is called unknown, with a reason, in its ledger and in the front door's log.

Of an answer there is no third record: this needs a signature.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "answers"
caught_by = None
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = run.lost()
        run.answer(lost, "", "connection reset by peer")
        run.door_says({row["key"] for row in lost}, -1, "CH")
