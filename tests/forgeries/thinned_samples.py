"""Nine samples of ten are taken out, and with them most of what the databases said.

They are asked several times a second.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "thinned"
caught_by = "samples_are_dense"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        ordered = sorted(run.samples, key=lambda row: (row["node"], int(row["t_ns"])))
        run.replace("samples.csv", sorted(ordered[::10], key=lambda row: int(row["t_ns"])))
