"""Reads that did not find their payment are moved to before it was acknowledged: then they could not.

A customer does one thing at a time.
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
        sent = {row["key"]: int(row["sent_ns"]) for row in run.ledger}
        for row in run.table("reads.csv"):
            if row["status"] == "404":
                row["sent_ns"], row["done_ns"] = str(sent[row["key"]] + 1000), str(sent[row["key"]] + 2000)
