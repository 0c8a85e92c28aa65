"""What one database said of its commits is taken out: it ran without fsync.

Each database tells it before anything breaks.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "durability"
caught_by = "durability_was_told"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "durability" and event["data"]["node"] == "dc2-a")
