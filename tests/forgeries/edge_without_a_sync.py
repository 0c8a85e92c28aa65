"""An edge's store ran without a sync at each commit, and the run is handed over all the same.

A kill loses no page cache, so nothing was lost; a power loss would have taken what was acknowledged.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "edges"
caught_by = "edges_sync_what_they_acknowledge"
base = SCENARIOS["edges"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.one("edge_store")["data"]["synchronous"] = 1
