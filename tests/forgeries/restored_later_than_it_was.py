"""A restore is said to have ended seconds later, so that reads that missed a payment after it would be the fault's doing."""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS

family = "restore"
caught_by = "restores_are_as_told"
base = SCENARIOS["restore-from-backup"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("restored")
        event["data"]["after_ns"] += 8 * SECOND_NS
        run.move(event, event["data"]["after_ns"])
        run.events.sort(key=lambda one: int(one["t_ns"]))
