"""A stall of the host's disk is put in, to excuse an outage of the bank.

Neither the kernel's pressure nor the probe felt it.
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
        syncs = [row for row in run.table("witness.csv") if row["kind"] == "sync"]
        first = next(row for row in syncs if int(row["from_ns"]) >= at)
        first["to_ns"] = str(int(first["from_ns"]) + 3 * SECOND_NS)
        first["late_ns"] = str(3 * SECOND_NS)
        inside = [row for row in syncs if int(first["from_ns"]) < int(row["from_ns"]) < int(first["to_ns"])]
        run.replace("witness.csv", [row for row in run.table("witness.csv") if row not in inside])
