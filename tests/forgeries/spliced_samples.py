"""The samples of a day on which nothing happened.

They have the victims answering.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS, write_run

family = "spliced"
caught_by = "victims_fell_silent"


def forge(directory: Path) -> None:
    with Forger(directory):
        other = write_run(directory.parent / f"{directory.name}-other", SCENARIOS["undisturbed"])
        shutil.copyfile(other / "samples.csv", directory / "samples.csv")
