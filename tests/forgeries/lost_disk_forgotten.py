"""The dead primary's disk shows what is lost: its autopsy is taken out, event and file, and what was lost is called unknown.

The disk of a primary that died is read.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "written into every copy"
caught_by = "every_dead_primary_was_opened"
base = SCENARIOS["lost-payments"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        lost = run.lost()
        run.answer(lost, "", "connection reset by peer")
        run.door_says({row["key"] for row in lost}, -1, "CH")
        run.drop_events(lambda event: event["kind"] == "autopsy")
        for path in (run.directory / "autopsy").iterdir():
            path.unlink()
        (run.directory / "autopsy").rmdir()
