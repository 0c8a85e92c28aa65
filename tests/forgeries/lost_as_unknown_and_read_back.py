"""What was acknowledged and lost is called unknown, with a reason, in its ledger and in the front door's log.

Its customer read it back all the same, as one does with what was acknowledged.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger, Unfit
from tests.synthetic import SCENARIOS

family = "relabelled"
caught_by = "reads_follow_the_looks"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = run.lost()
        if not {row["key"] for row in lost} & {read["key"] for read in run.table("reads.csv")}:
            raise Unfit("nobody read back what is lost")
        run.answer(lost, "", "connection reset by peer")
        run.door_says({row["key"] for row in lost}, -1, "CH")
