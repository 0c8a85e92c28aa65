"""The target is made twice as long.

Its basis still sums to the old one.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SLOW, Forger

family = "loosened targets"
caught_by = "targets_follow_from_their_basis"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.plan["targets"]["rto_s"] = 60
