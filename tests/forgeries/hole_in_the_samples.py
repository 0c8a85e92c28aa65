"""All samples of a minute and more are taken out: nobody saw what the databases did.

The observer asks until the load stops.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "thinned"
caught_by = "samples_go_on"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns = run.before_ns + 2 * SECOND_NS
        run.replace("samples.csv", [row for row in run.samples if int(row["t_ns"]) < from_ns])
