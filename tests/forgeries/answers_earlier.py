"""Late answers are said to have come two seconds earlier, so that they are in order.

The front door passed them on later.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "ledger edited alone"
caught_by = "door_agrees_on_time"
base = SCENARIOS["stall"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        late = [
            row
            for row in run.payments()
            if int(row["done_ns"]) - int(row["due_ns"]) > 2 * SECOND_NS and row["outcome"] == "acknowledged"
        ]
        for row in late:
            row["done_ns"] = str(int(row["due_ns"]) + 500_000_000)
