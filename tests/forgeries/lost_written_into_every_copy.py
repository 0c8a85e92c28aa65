"""What was lost is booked on every copy, as the dead disk has it.

The new primary's log says which commit was the last that it had received.
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
