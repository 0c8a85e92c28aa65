"""The target is made twice as long.

Its basis still sums to the old one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "loosened targets"
caught_by = "targets_follow_from_their_basis"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.plan["targets"]["rto_s"] = 60
