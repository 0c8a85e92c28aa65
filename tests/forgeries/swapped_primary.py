"""Another database is said to have taken over.

It was never sampled as a primary.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "swapped"
caught_by = "primaries_were_sampled"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("primary"):
            if event["data"]["node"] == "dc2-a":
                event["data"]["node"] = "dc2-b"
