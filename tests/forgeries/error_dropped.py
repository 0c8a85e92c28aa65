"""The run ended with an error before anything was read back; the error is taken out.

A run that ends in order has a phase for it.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "records dropped"
caught_by = "story_is_whole"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "phase" and event["data"]["name"] in ("drain", "readback"))
