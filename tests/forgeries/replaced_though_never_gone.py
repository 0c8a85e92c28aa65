"""A dead node is said to have been replaced while the fault lasted, so that its answers from then on would be a new machine's.

Nothing says that the old one was destroyed.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "fault that never happened"
caught_by = "who_was_replaced_was_gone"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        nodes = run.one("intent")["data"]["effect"]["down"]
        event = {**run.one("proof"), "kind": "replaced", "text": "new machines", "data": {"nodes": nodes}}
        at = run.before_ns + 4 * SECOND_NS
        run.move(event, at)
        run.events.append(event)
        run.events.sort(key=lambda e: int(e["t_ns"]))
