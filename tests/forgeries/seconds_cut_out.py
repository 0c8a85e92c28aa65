"""Five seconds of an outage are cut out: their payments and samples, and all later times of the monotonic clock.

Wall times beside them say otherwise.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "seconds cut out"
caught_by = "clocks_agree"
base = SLOW
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        gone = run.cut_out(run.before_ns + 10 * SECOND_NS, 5 * SECOND_NS)
        run.door_forgets(gone)
