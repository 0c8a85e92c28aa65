"""The fault gets a name that no rule knows, and is said to have destroyed the disks, so that nobody asks for them.

Only the fault that bears the name destroys.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "fault that never happened"
caught_by = "effect_follows_from_the_target"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        intent = run.one("intent")["data"]
        intent["name"] = "Meteorite"
        intent["effect"]["destroyed"] = list(intent["effect"]["down"])
