"""The last moment before the fault is moved to the end of its window: a third of a second less RTO.

The victims were sampled down before that.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "shifted injection"
caught_by = "fault_came_before_its_effect"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("injected")
        event["data"]["before_ns"] = int(event["data"]["after_ns"]) - 5_000_000
