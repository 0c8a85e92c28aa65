"""All samples of a minute and more are taken out: nobody saw what the databases did.

The observer asks until the load stops.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "thinned"
caught_by = "samples_go_on"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns = run.before_ns + 2 * SECOND_NS
        run.replace("samples.csv", [row for row in run.samples if int(row["t_ns"]) < from_ns])
