"""An event is edited and the run sealed anew; the chain is left as it is.

The next event has the hash of the one before.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "broken chain"
caught_by = "chain"


def forge(directory: Path) -> None:
    run = Forger(directory)
    run.chain = False
    with run:
        run.one("ready")["data"]["full_redundancy_s"] = 1.0
