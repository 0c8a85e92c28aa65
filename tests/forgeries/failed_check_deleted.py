"""The victim that still answered is taken out of the proof.

A victim of the effect was not asked.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "failed checks deleted"
caught_by = "proof"
base = SCENARIOS["no-op"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        proof = run.one("proof")["data"]
        proof["checks"] = [check for check in proof["checks"] if check["ok"]]
        proof["proved"] = True
