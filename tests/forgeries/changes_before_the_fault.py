"""The primary changed before the fault; the baseline is said to have been undisturbed.

The primary events have it.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "records dropped"
caught_by = "primary_changes_belong_to_faults"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        before = run.kind("primary")[0]
        event = {**before, "data": {"node": None, "roles": {"dc1-a": "primary"}}}
        run.move(event, int(run.one("baseline")["data"]["from_ns"]) + SECOND_NS)
        run.events.append(event)
        run.events.sort(key=lambda e: int(e["t_ns"]))
