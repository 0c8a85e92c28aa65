"""What was lost is booked on every copy, and the line of the new primary's log that contradicts is taken out.

PostgreSQL writes that line at every promotion.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "written into every copy"
caught_by = "committed_by_a_primary"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        times = {row["key"]: row["committed_at"] for row in run.table(f"autopsy/{run.dead()}.payments.csv.gz")}
        run.book(run.lost(), lambda row: times[row["key"]])
        lines = run.log(run.authority)
        lines[:] = [line for line in lines if "last completed transaction" not in line]
