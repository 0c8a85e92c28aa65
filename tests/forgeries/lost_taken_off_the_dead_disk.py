"""What was lost is taken off the dead disk and called refused; the door's log is cut.

Customers' other answers: the door logs every one.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "written into every copy"
caught_by = "door_saw_every_answer"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = run.lost()
        keys, name = {row["key"] for row in lost}, f"autopsy/{run.dead()}.payments.csv.gz"
        run.answer(lost, "503")
        run.replace(name, [row for row in run.table(name) if row["key"] not in keys])
        run.door_forgets(keys)
