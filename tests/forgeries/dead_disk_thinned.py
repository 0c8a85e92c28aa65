"""Payments are taken off the dead disk, so that it seems to have lost less than it had.

Its primary had acknowledged them.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "written into every copy"
caught_by = "dead_disks_and_ledgers"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        name = f"autopsy/{run.dead()}.payments.csv.gz"
        run.replace(name, run.table(name)[:-40])
