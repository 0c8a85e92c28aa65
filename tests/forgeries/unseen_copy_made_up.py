"""A copy that could not be read is made up from another one.

Copies that agree look the same, whoever wrote them: this needs a signature.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "books"
caught_by = None
base = SCENARIOS["missing-copy"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for path in (directory / "copies").glob(f"{run.authority}.*"):
            shutil.copyfile(path, path.with_name(path.name.replace(run.authority, "dc2-b")))
