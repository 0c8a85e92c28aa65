"""A node that would not die is taken out of the effect and asked as a bystander.

The fault's name and target say who must be down.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger, Unfit

family = "failed checks deleted"
caught_by = "effect_follows_from_the_target"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        intent, proof = run.one("intent")["data"], run.one("proof")["data"]
        if "dc1-etcd" not in intent["effect"]["down"]:
            raise Unfit("dc1-etcd is no victim")
        intent["effect"]["down"].remove("dc1-etcd")
        check = next(check for check in proof["checks"] if check["subject"] == "dc1-etcd")
        check.update(side="bystander", expected="answers", seen="answers", ok=True)
