"""The witness is taken out for the time of the outage.

It watches until the load stops.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "witness rows invented"
caught_by = "witness_is_gapless"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns, to_ns = run.before_ns, run.before_ns + 20 * SECOND_NS
        run.replace("witness.csv", [row for row in run.table("witness.csv") if not from_ns < int(row["from_ns"]) < to_ns])
