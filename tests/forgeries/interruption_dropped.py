"""The record that somebody broke the run off is taken out; what it had not done yet, too, is missing.

The plan has registered what was to be done.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "body"
base = SCENARIOS["interrupted"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.drop_events(lambda event: event["kind"] == "interrupted")
        run.drop_events(lambda event: event["kind"] == "until" and event["data"]["condition"] == "replicas_caught_up")
