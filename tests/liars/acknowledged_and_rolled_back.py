"""One payment in fifty is undone inside its own transaction, and answered `committed`.

Caught by the customers' list: it was acknowledged and stands nowhere.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_pay

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]"


def sabotage(cluster: Cluster) -> None:
    rewrite_pay(
        cluster,
        "  RETURN 'committed';\n",
        """  IF random() < 0.02 THEN
    UPDATE accounts SET balance_minor = balance_minor - CASE WHEN id = p_debit THEN -p_amount ELSE p_amount END
      WHERE id IN (p_debit, p_credit);
    DELETE FROM entries WHERE key = p_key;
    DELETE FROM payments WHERE key = p_key;
  END IF;
  RETURN 'committed';
""",
        grant="GRANT DELETE ON payments, entries TO bank",
    )
