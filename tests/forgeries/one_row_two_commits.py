"""A payment stands on the copies with another commit time than on the dead disk.

A commit has one time.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "ledger edited alone"
caught_by = "same_commit_on_every_copy"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        dead = run.table(f"autopsy/{run.dead()}.payments.csv.gz")[50]
        dead["committed_at"] = run.wall(run.before_ns - SECOND_NS)
