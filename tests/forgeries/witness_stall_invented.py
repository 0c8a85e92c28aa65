"""A stall of the host's disk is put in, to excuse an outage of the bank.

Neither the kernel's pressure nor the probe felt it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "witness rows invented"
caught_by = "stalls_were_felt"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 5 * SECOND_NS
        syncs = [row for row in run.table("witness.csv") if row["kind"] == "sync"]
        first = next(row for row in syncs if int(row["from_ns"]) >= at)
        first["to_ns"] = str(int(first["from_ns"]) + 3 * SECOND_NS)
        first["late_ns"] = str(3 * SECOND_NS)
        inside = [row for row in syncs if int(first["from_ns"]) < int(row["from_ns"]) < int(first["to_ns"])]
        run.replace("witness.csv", [row for row in run.table("witness.csv") if row not in inside])
