"""Another day's run, under another name.

Keys carry the name of their run.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "spliced"
caught_by = "numbered_keys"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.plan["run_id"] = run.plan["run_id"].replace("20260115", "20260116")
