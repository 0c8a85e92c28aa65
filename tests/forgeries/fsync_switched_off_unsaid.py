"""fsync was switched off in the middle of the run, and the event that says so is taken out.

The database wrote into its log that it had read its configuration again.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "durability"
caught_by = "durability_was_told"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        stamp = run.wall(run.before_ns - SECOND_NS)
        run.log("dc2-a").append(f'{stamp[:-1]}000Z LOG:  parameter "fsync" changed to "off"')
        run.log("dc2-a").sort()
