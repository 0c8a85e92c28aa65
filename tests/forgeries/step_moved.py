"""A decision is said to have been taken ten seconds before it was written.

A step is written when it ends.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "waits_are_as_long_as_told"
base = SCENARIOS["region-loss"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("step"):
            if event["data"]["role"] == "decide":
                for name in ("before_ns", "after_ns"):
                    event["data"][name] -= 7 * SECOND_NS
