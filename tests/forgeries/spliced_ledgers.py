"""The ledgers, the copies and the door's log of a better day, under this run's name.

The seed of this run gives other payments.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import Scenario, write_run

family = "spliced"
caught_by = "drawn_from_the_seed"


def forge(directory: Path) -> None:
    with Forger(directory):
        other = write_run(directory.parent / f"{directory.name}-other", Scenario(seed=8))
        for name in ("probe.csv", "probe.json", "ledger.csv", "ledger.json", "copies", "autopsy", "logs"):
            source, target = other / name, directory / name
            shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copyfile(source, target)
