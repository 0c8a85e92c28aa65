"""The last payment of a customer, which got no good answer in time, is taken out of its ledger: no number is missing.

The front door has its line.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "dropped"
caught_by = "door_saw_every_answer"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        last = max((row for row in run.ledger if row["outcome"] == "acknowledged"), key=lambda row: int(row["sent_ns"]))
        run.replace("ledger.csv", [row for row in run.ledger if row is not last])
        run.unbook({last["key"]})
