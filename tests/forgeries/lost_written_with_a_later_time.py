"""What was lost is booked on every copy as if the new primary had done it.

They were acknowledged long before that.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "written into every copy"
caught_by = "committed_when_told"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        promoted = next(event for event in run.kind("primary") if event["data"]["node"] == run.authority)
        run.book(run.lost(), lambda _: run.wall(int(promoted["t_ns"]) + SECOND_NS))
