"""The bank fell over again at the end: the probe's last rows are taken out, and its count says that no more were due.

Its start and its stop say how many were due.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "dropped"
caught_by = "schedule_adds_up"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        end = max(int(row["due_ns"]) for row in run.probe) - 6 * SECOND_NS
        gone = {row["key"] for row in run.probe if int(row["due_ns"]) > end}
        run.replace("probe.csv", [row for row in run.probe if row["key"] not in gone])
        run.unbook(gone)
        run.door_forgets(gone)
