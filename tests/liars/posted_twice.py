"""One payment in fifty moves its money twice: balances are changed two times, with entries for one.

Caught by the books: balances are not opening balance plus entries, on every copy.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"^Invariant broken on .*balance"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(
        cluster,
        "  INSERT INTO entries VALUES",
        """  IF random() < 0.02 THEN
    UPDATE accounts SET balance_minor = balance_minor + CASE WHEN id = p_debit THEN -p_amount ELSE p_amount END
      WHERE id IN (p_debit, p_credit);
  END IF;
  INSERT INTO entries VALUES""",
    )
