"""Somebody books payments past the front door while customers pay.

Caught by the books: payments stand that nobody sent.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"sent by nobody"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(
        cluster,
        "BEGIN\n",
        """BEGIN
  IF random() < 0.02 AND p_key NOT LIKE 'ghost-%' THEN
    PERFORM pay('ghost-' || p_key, p_debit, p_credit, p_amount, p_center);
  END IF;
""",
    )
