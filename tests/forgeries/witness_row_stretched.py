"""One row of the witness is stretched to a stall of seconds.

The next rows began while it lasted.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "witness rows invented"
caught_by = "witness_is_gapless"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 5 * SECOND_NS
        row = next(row for row in run.table("witness.csv") if row["kind"] == "sync" and int(row["from_ns"]) >= at)
        row["to_ns"], row["late_ns"] = str(int(row["from_ns"]) + 3 * SECOND_NS), str(3 * SECOND_NS)
