"""One payment in fifty is booked with one minor unit more than its customer sent.

Caught by the books: a payment stands with another amount than its ledger says.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"other accounts or another amount"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(cluster, "BEGIN\n", "BEGIN\n  IF random() < 0.02 THEN p_amount := p_amount + 1; END IF;\n")
