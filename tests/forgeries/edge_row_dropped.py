"""A payment that an edge had authorised is taken out of its store's record, as if the center had answered it.

It stands at the center later than its customer was told yes, and nobody else accounts for that.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import EDGES, SCENARIOS

family = "edges"
caught_by = "committed_when_told"
base = SCENARIOS["edges"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.table(f"edges/{EDGES[0]}.csv.gz").pop(5)
