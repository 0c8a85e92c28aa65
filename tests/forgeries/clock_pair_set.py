"""The seal's clock pair is set, so that everything seems to have taken half the time.

The plan's pair says otherwise.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "seconds cut out"
caught_by = "clocks_agree"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        start = int(run.plan["clock"]["monotonic_ns"])
        run.clock = {**run.clock, "monotonic_ns": start + (run.clock["monotonic_ns"] - start) * 2}
