"""Lost payments of customers are taken out everywhere, and later ones get their numbers, in every file.

But the seed gives each number its accounts and its amount.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "dropped"
caught_by = "drawn_from_the_seed"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = {row["key"] for row in run.lost()} & {row["key"] for row in run.ledger}
        kept = [row for row in run.ledger if row["key"] not in lost]
        names: dict[str, str] = {}
        for customer in {row["key"].rpartition("-")[0] for row in kept}:
            theirs = sorted((r for r in kept if r["key"].rpartition("-")[0] == customer), key=lambda r: int(r["sent_ns"]))
            names |= {row["key"]: f"{customer}-{n:07d}" for n, row in enumerate(theirs)}
        run.answer([row for row in run.lost() if row["key"] not in lost], "", "no answer within 3 s", took_s=3.0)
        run.replace("ledger.csv", kept)
        run.replace(
            f"autopsy/{run.dead()}.payments.csv.gz",
            [r for r in run.table(f"autopsy/{run.dead()}.payments.csv.gz") if r["key"] not in lost],
        )
        run.door_forgets(lost)
        run.rename(names)
