"""A database's log is said to know nothing of its promotion.

Events and samples have it.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "records dropped"
caught_by = "leaders_wrote_it_down"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lines = run.log("dc2-a")
        lines[:] = [line for line in lines if "promote" not in line and "timeline ID" not in line]
