"""Reads that did not find their payment are said to have found it.

The front door logs no reads, so that of one there is no second record: this needs a signature.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "answers"
caught_by = None
base = replace(SCENARIOS["center-loss"], stale=4)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for row in run.table("reads.csv"):
            row["status"] = "200" if row["status"] == "404" else row["status"]
