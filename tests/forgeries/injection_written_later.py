"""The injection is said to have ended long before it was written.

It is written when it is over.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "shifted injection"
caught_by = "injection_is_as_told"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        event = run.one("injected")
        event["data"]["after_ns"] = int(event["data"]["before_ns"]) + 1000
        run.move(event, int(event["t_ns"]) + 6 * SECOND_NS)
