"""The last moment before the fault is moved to the end of its window: a third of a second less RTO.

The victims were sampled down before that.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SLOW, Forger

family = "shifted injection"
caught_by = "fault_came_before_its_effect"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("injected")
        event["data"]["before_ns"] = int(event["data"]["after_ns"]) - 5_000_000
