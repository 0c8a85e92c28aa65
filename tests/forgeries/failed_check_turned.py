"""The victim that still answered is said to be as expected.

What was seen says otherwise.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "failed checks deleted"
caught_by = "proof_is_of_its_kind"
base = SCENARIOS["no-op"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        proof = run.one("proof")["data"]
        for check in proof["checks"]:
            check["ok"] = True
        proof["proved"] = True
