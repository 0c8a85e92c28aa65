"""A new primary has less of the log than it had received; neither an event nor its own log says that it was restored."""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "restore"
caught_by = "restores_are_told"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        new = run.authority
        for row in run.samples:
            if row["node"] == new and row["in_recovery"] == "0":
                row["flush_lsn"] = str(int(row["flush_lsn"]) - (1 << 20))
