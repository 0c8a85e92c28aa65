"""The host's disk is said to have been slow for a while, to excuse an outage of the bank.

The kernel's pressure felt nothing of it.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "witness rows invented"
caught_by = "stalls_were_felt"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 5 * SECOND_NS
        for row in run.table("witness.csv"):
            if row["kind"] == "sync" and at <= int(row["from_ns"]) < at + 10 * SECOND_NS:
                row["to_ns"] = str(int(row["from_ns"]) + SECOND_NS // 40)
                row["late_ns"] = str(SECOND_NS // 40)
