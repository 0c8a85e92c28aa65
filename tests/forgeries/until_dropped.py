"""The condition that was never reached is taken out.

The plan has registered that it would be awaited.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "body"
base = SCENARIOS["no-return"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "until" and not event["data"]["reached"])
