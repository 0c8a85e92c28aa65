"""The servers' logs of another day.

Their times lie outside this run.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "spliced"
caught_by = "all_lies_between_plan_and_seal"


def forge(directory: Path) -> None:
    with Forger(directory):
        for path in (directory / "logs").glob("dc*.log"):
            path.write_text(path.read_text().replace("2026-01-15T", "2026-01-14T"))
