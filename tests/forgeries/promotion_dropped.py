"""A second change of primary is taken out of the events.

The database's own log tells its promotion.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger
from tests.synthetic import SCENARIOS

family = "records dropped"
caught_by = "leaders_wrote_it_down"
base = SCENARIOS["planned-switchover"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        named = [e for e in run.kind("primary") if e["data"]["node"] == "dc1-a"][-1]
        run.drop_events(
            lambda event: event["kind"] == "primary" and event["t_ns"] >= named["t_ns"] and event["data"]["node"] == "dc1-a"
        )
