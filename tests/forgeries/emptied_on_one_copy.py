"""Of a statement that emptied a table, only the primary was asked: a copy may have had the rows all the time."""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "restore"
caught_by = "proof_is_of_its_kind"
base = SCENARIOS["restore-from-backup"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        proof = run.one("proof")["data"]
        proof["checks"] = [one for one in proof["checks"] if one["side"] != "victim" or one["subject"].endswith("dc1-a")]
