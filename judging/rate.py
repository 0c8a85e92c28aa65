"""Whether the customers made the rate that the plan states, right before the first fault.

A load is part of what a drill claims: a center lost under four times the load proves little when the machine made twice the load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from judging.outage import SECOND_NS

if TYPE_CHECKING:
    from judging.injections import Injection
    from judging.records import Records

SIGMAS = 4  # who pays and who looks is drawn: so many standard deviations of the count are chance


def mean_factor(shape: Sequence[tuple[float, float]] | None, from_ns: int, to_ns: int) -> float:
    """The mean of the shape's factor between two moments, ns since the customers began; 1 without a shape."""
    if not shape:
        return 1.0
    from_s, to_s = from_ns / SECOND_NS, to_ns / SECOND_NS
    points = [(-math.inf, shape[0][1]), *shape, (math.inf, shape[-1][1])]
    area = 0.0
    for (a_s, a), (b_s, b) in pairwise(points):
        low, high = max(a_s, from_s), min(b_s, to_s)
        if low < high:
            slope = (b - a) / (b_s - a_s) if math.isfinite(b_s - a_s) else 0.0
            base = a if math.isfinite(a_s) else b
            start = a_s if math.isfinite(a_s) else b_s
            area += (high - low) * (base + slope * ((low + high) / 2 - start))
    return area / (to_s - from_s)


def check_stated_rate(records: Records, faults: Sequence[Injection]) -> None:
    """Doubts a run whose customers did not make the least share of their stated rate in the seconds before the first fault."""
    plan, ledger, count = records.plan, records.ledger, records.ledger_count
    if plan is None or (least := plan.load.rate_min) is None or ledger is None or count is None:
        return
    span_ns = round(plan.load.baseline_s * SECOND_NS)
    if not faults or span_ns <= 0:
        return
    to_ns = faults[0].before_ns
    from_ns = to_ns - span_ns
    sent = ledger["sent_ns"]
    paid = int(((sent >= from_ns) & (sent < to_ns)).sum())
    load = plan.load
    factor = mean_factor(load.shape, from_ns - count.started_ns, to_ns - count.started_ns)
    stated = load.customer_rate_per_s * load.pay_share * factor * load.baseline_s
    if paid < least * stated - SIGMAS * math.sqrt(max(0.0, stated * (1 - load.pay_share))):
        records.doubt(
            f"Customers made {paid / load.baseline_s:.1f} payments a second in the {load.baseline_s:g} s before the first fault;"
            f" the plan states {stated / load.baseline_s:.1f}, of which at least {least:.0%} is to be made. This machine,"
            " or the bank on it, does not carry that load: state a lower rate, or use a larger machine."
        )
