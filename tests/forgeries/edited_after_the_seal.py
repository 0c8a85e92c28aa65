"""A ledger is edited, and the seal left as it is.

The seal has its hash.
"""

from __future__ import annotations

from pathlib import Path

family = "edited after the seal"
caught_by = "seal"


def forge(directory: Path) -> None:
    text = (directory / "ledger.csv").read_text()
    (directory / "ledger.csv").write_text(text.replace(",503,refused,", ",201,acknowledged,"))
