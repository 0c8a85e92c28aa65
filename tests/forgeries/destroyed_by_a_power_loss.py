"""A center's power loss is said to have destroyed its disks, so that nobody asks for the dead primary's.

By its name it takes power, not disks.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "fault that never happened"
caught_by = "effect_follows_from_the_target"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        effect = run.one("intent")["data"]["effect"]
        effect["destroyed"] = list(effect["down"])
