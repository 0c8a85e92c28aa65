"""The primary waited for no copy elsewhere; its setting is said to have asked for one.

Its replication says for whom it waited.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import Scenario

family = "swapped"
caught_by = "synchronous_as_named"
base = replace(Scenario(), sync_before="", sync_after="")


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for row in run.samples:
            if row["in_recovery"] == "0":
                row["sync_names"] = '2 ("dc1-b","dc2-a")'
