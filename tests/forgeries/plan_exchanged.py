"""The plan is exchanged after it was registered, and the run sealed anew.

The first event has the hash of the plan that was registered.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "broken chain"
caught_by = "registered plan"
base = replace(
    Scenario(),
    faults=(replace(FaultStory(), outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


def forge(directory: Path) -> None:
    run = Forger(directory)
    registered = run.one("plan_registered")["data"]["sha256"]
    with run:
        run.plan["targets"]["rto_s"] = 60
        run.plan["targets"]["basis"] = {}
    events = directory / "events.jsonl"
    lines = events.read_text().splitlines()
    first = json.loads(lines[0])
    first["data"]["sha256"] = registered
    events.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    Forger(directory).seal()
