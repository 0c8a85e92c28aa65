"""One payment in fifty is booked, and its customer is told 409: certainly not committed.

Caught by the books: a refused payment stands.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"were refused and stand"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(cluster, "  RETURN 'committed';\n", "  RETURN CASE WHEN random() < 0.02 THEN 'conflict' ELSE 'committed' END;\n")
