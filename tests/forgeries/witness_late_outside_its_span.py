"""A thread is said to have woken seconds late in a span of a tenth of one.

A row's lateness lies in its span.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "witness rows invented"
caught_by = "witness_rows_add_up"
base = SLOW


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        at = run.before_ns + 5 * SECOND_NS
        row = next(row for row in run.table("witness.csv") if row["kind"] == "wake" and int(row["from_ns"]) >= at)
        row["late_ns"] = str(3 * SECOND_NS)
