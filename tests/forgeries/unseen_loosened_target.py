"""The target is made twice as long, and its basis is told anew.

Nothing else in the directory knows what was asked: this needs a signature.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SLOW, Forger

family = "targets"
caught_by = None
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.plan["targets"].update(rto_s=60, basis={"rto_s": "what the business can bear"})
