"""Payments that were lost are taken out of the ledgers.

A careful forger takes the customers' alone: the probe's schedule would show a gap. Their numbers do.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "dropped"
caught_by = "numbered_keys"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = {row["key"] for row in run.lost()} & {row["key"] for row in run.ledger}
        for row in [row for row in run.lost() if row["key"] not in lost]:
            run.answer([row], "", "no answer within 3 s", took_s=3.0)
        run.replace("ledger.csv", [row for row in run.ledger if row["key"] not in lost])
        run.replace(
            f"autopsy/{run.dead()}.payments.csv.gz",
            [r for r in run.table(f"autopsy/{run.dead()}.payments.csv.gz") if r["key"] not in lost],
        )
        run.door_forgets(lost)
