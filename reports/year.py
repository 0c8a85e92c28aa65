"""What a promised share of a year allows, beside the outage that was measured. Arithmetic on one outage, no promise of a year."""

from __future__ import annotations

from dataclasses import dataclass

from judging.measure import Measurement
from judging.sentence import seconds

YEAR_S = 365 * 86_400
PROMISES = ("99.9", "99.99", "99.999")  # percent of a year in order


@dataclass(frozen=True)
class YearRow:
    """A promise; what it leaves, in seconds and in words; how many outages such as the measured one fit into it."""

    promise: str
    allowed: str
    in_words: str
    fit: str


def year_rows(measurement: Measurement) -> list[YearRow]:
    """One row a promise; none where nothing was out of order, or for how long is not known."""
    outage_s = measurement.rto_s
    if not outage_s:
        return []
    return [_row(promise, outage_s) for promise in PROMISES]


def _row(promise: str, outage_s: float) -> YearRow:
    left = 100_000 - round(float(promise) * 1000)  # thousandths of a percent, exact
    allowed_s = YEAR_S * left / 100_000
    return YearRow(promise, f"{allowed_s:,.1f} s", plain(allowed_s), f"{int(allowed_s // outage_s):,}")


def plain(allowed_s: float) -> str:
    """`8.8 h`, `52.6 min`, `5.3 min`."""
    if allowed_s >= 3600:
        return f"{allowed_s / 3600:.1f} h"
    return f"{allowed_s / 60:.1f} min" if allowed_s >= 60 else seconds(allowed_s)
