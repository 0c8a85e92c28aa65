"""A bank that never syncs what it commits is sold as one that outlives a power loss: its kill was survived in all honesty.

What a database says of its own settings gives it away.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "durability"
caught_by = "power_loss_was_provided_for"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("durability"):
            event["data"]["settings"]["fsync"] = "off"
