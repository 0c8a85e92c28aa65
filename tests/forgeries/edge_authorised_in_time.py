"""An edge that stored a payment only after it had said yes is set right: its time is moved, beyond the answer by mistake.

Between its sending and its answer an edge stores a payment, or it promised what it did not have yet.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import EDGES, SCENARIOS

family = "edges"
caught_by = "edges_told_the_same"
base = SCENARIOS["edges"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        row = run.table(f"edges/{EDGES[0]}.csv.gz")[7]
        paid = next(one for one in run.payments() if one["key"] == row["key"])
        row["authorised_at"] = run.wall(int(paid["done_ns"]) + SECOND_NS)
