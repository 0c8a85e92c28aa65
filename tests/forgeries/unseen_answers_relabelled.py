"""What was acknowledged and lost is called unknown, with a reason, in its ledger and in the front door's log.

Customers who read it back are said to have read what they had been told before it. Of an answer there is no third record, of a
read no second: this needs a signature.
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
        told = sorted((row for row in run.ledger if row["outcome"] == "acknowledged"), key=lambda row: int(row["done_ns"]))
        gone = {row["key"] for row in lost}
        for read in (read for read in run.table("reads.csv") if read["key"] in gone):
            own = [row["key"] for row in told if row["key"][:-7] == read["key"][:-7] and row["done_ns"] <= read["sent_ns"]]
            read["key"] = own[-1]
