"""A cut whose rule was never there is given a rule, and no packets.

A cut that holds drops some.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "failed checks deleted"
caught_by = "proof_is_of_its_kind"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for check in run.one("proof")["data"]["checks"]:
            if "->" in check["subject"]:
                check.update(expected="packets dropped", seen="no rule", ok=True)
