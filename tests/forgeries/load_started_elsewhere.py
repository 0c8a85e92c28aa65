"""The load is said to have started long after its own count has it.

Events and counts are written by different programs.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "seconds cut out"
caught_by = "loads_ran_as_told"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("load_stopped"):
            run.move(event, int(event["t_ns"]) + 14 * SECOND_NS)
