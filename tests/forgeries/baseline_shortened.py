"""The bank was not in order in the baseline; a second in which it was is said to be the whole.

The plan says how long it is.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "loosened targets"
caught_by = "baseline_is_as_planned"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        data = run.one("baseline")["data"]
        data["from_ns"] = data["to_ns"] - SECOND_NS
