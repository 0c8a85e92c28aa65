"""A bank is said to have gone back to before another transaction than its own log says."""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "restore"
caught_by = "restores_are_as_told"
base = SCENARIOS["restore-from-backup"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.one("restored")["data"]["xid"] += 1
