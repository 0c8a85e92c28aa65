"""The heal is said to have come before the relapse, so that the relapse is nobody's.

The dead databases wrote nothing for long after.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "shifted injection"
caught_by = "logs_resume_with_the_heal"
base = SCENARIOS["relapse"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("heal_started", "healed"):
            run.move(event, int(event["t_ns"]) - 21 * SECOND_NS)
