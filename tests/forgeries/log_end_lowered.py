"""The end of the log on the dead disk is set lower, so that no byte of it seems lost.

Samples saw the primary write further.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "written into every copy"
caught_by = "log_ends_on_the_dead_disk"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("autopsy")
        event["data"]["end_lsn"] = int(event["data"]["end_lsn"]) - 200_000
