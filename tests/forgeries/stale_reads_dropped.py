"""Reads that did not find their payment are taken out, and counted no more.

The seed gives how often a customer read back between two of its payments.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "reads_follow_the_looks"
base = replace(SCENARIOS["center-loss"], stale=4)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.replace("reads.csv", [row for row in run.table("reads.csv") if row["status"] != "404"])
