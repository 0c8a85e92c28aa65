"""The heal that failed is taken out.

It was started, and nothing says how it ended.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "records dropped"
caught_by = "story_is_whole"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "healed")
