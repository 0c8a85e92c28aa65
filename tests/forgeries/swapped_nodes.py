"""What two databases said is exchanged in the samples.

The primary events name another.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "swapped"
caught_by = "victims_fell_silent"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        names = {"dc1-b": "dc2-b", "dc2-b": "dc1-b"}
        for row in run.samples:
            row["node"] = names.get(row["node"], row["node"])
