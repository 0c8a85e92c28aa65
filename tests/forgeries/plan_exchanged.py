"""The plan is exchanged after it was registered, and the run sealed anew.

The first event has the hash of the plan that was registered.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.forger import SLOW, Forger

family = "broken chain"
caught_by = "registered plan"
base = SLOW


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
