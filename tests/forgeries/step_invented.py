"""A decision that nobody took is put in, so that detection seems to have taken no time.

The plan has registered no such step.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "records dropped"
caught_by = "body"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 2 * SECOND_NS
        event = {
            **run.one("proof"),
            "kind": "step",
            "text": "alarm",
            "data": {"name": "alarm", "role": "detect", "before_ns": at, "after_ns": at, "ok": True, "error": ""},
        }
        run.move(event, at)
        run.events.append(event)
        run.events.sort(key=lambda e: int(e["t_ns"]))
