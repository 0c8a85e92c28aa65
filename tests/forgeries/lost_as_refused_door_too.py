"""What was acknowledged and lost is called refused, by the front door's log too.

It stands on the dead primary's disk: what is refused is certainly not committed.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "relabelled"
caught_by = "dead_disks_and_ledgers"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = run.lost()
        run.answer(lost, "503")
        run.door_says({row["key"] for row in lost}, 503, "--")
