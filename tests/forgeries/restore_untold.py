"""A bank went back in time, and the word of it is taken out of the events: what it gave up would be a mere loss."""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "restore"
caught_by = "restores_are_told"
base = SCENARIOS["restore-from-backup"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "restored")
