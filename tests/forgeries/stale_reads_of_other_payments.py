"""Reads that did not find their payment are said to have been of one that nobody sent.

Customers read back what was acknowledged last.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "relabelled"
caught_by = "reads_follow_the_looks"
base = replace(SCENARIOS["center-loss"], stale=4)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for row in run.table("reads.csv"):
            if row["status"] == "404":
                row["key"] = row["key"][:-7] + "9999999"
