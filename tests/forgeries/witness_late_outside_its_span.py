"""A thread is said to have woken seconds late in a span of a tenth of one.

A row's lateness lies in its span.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "witness rows invented"
caught_by = "witness_rows_add_up"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 5 * SECOND_NS
        row = next(row for row in run.table("witness.csv") if row["kind"] == "wake" and int(row["from_ns"]) >= at)
        row["late_ns"] = str(3 * SECOND_NS)
