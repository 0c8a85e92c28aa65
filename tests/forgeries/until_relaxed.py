"""The condition that was reached too late is said to have had more patience.

The plan has registered how much.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "body"
base = SCENARIOS["no-return"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("until"):
            event["data"].update(reached=True, within_s=600)
