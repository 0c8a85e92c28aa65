"""The load is said to have stopped before the bank fell over again; its own count agrees.

The door's log goes on.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "seconds cut out"
caught_by = "door_saw_every_answer"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        end = max(int(row["due_ns"]) for row in run.probe) - 6 * SECOND_NS
        gone = {row["key"] for row in run.payments() if int(row["due_ns"]) > end}
        for name in ("probe", "ledger"):
            run.replace(f"{name}.csv", [row for row in run.table(f"{name}.csv") if row["key"] not in gone])
            run.edit_json(f"{name}.json", lambda data: data.update(stopped_ns=end + 10_000_000))
        run.unbook(gone)
