"""A wait is said to have succeeded that began before the fault was over with.

Its length does not fit between what was before it and when it was written.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "records dropped"
caught_by = "waits_are_as_long_as_told"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("until"):
            event["data"]["waited_s"] += 40
