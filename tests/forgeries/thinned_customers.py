"""One customer's failed payments are taken out; the others keep theirs.

Its numbers have gaps.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "thinned"
caught_by = "numbered_keys"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        gone = {row["key"] for row in run.ledger if row["outcome"] != "acknowledged" and "-c-3-" in row["key"]}
        run.replace("ledger.csv", [row for row in run.ledger if row["key"] not in gone])
