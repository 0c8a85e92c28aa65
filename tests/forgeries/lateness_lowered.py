"""The probe is said to have been in time always.

Its rows say otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import Scenario

family = "loosened targets"
caught_by = "schedule_adds_up"
base = replace(Scenario(), late_ms_max=900)


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.edit_json("probe.json", lambda data: data.update(late_ms_max=3.0))
