"""The log of a bystander that complained is left out.

Every node of the plan has one.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "records dropped"
caught_by = "topology_was_watched"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory):
        (directory / "logs" / "dc2-bank.log").unlink()
