"""The proof is of an earlier fault: it was read before this one was injected.

The order of the events says so.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "shifted injection"
caught_by = "proofs_came_after"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("proof")
        run.move(event, run.before_ns + 1_000_000)
