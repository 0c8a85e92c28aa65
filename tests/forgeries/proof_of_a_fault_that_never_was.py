"""A node that was never killed is given a proof of its death.

It went on answering its samples.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import DEAD, Forger
from tests.synthetic import SCENARIOS

family = "fault that never happened"
caught_by = "victims_fell_silent"
base = SCENARIOS["no-op"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        proof = run.one("proof")["data"]
        for check in proof["checks"]:
            if check["side"] == "victim":
                check.update(DEAD)
        proof["proved"] = True
