"""The banks answer one payment in fifty by themselves: 201, and no database ever sees it.

Caught by the customers' list: it was acknowledged and stands nowhere.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.bank import rewrite_program

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments [1-9]"
MARK = "        outcome = await bank.run("
LIE = """        if hash(key) % 50 == 0:
            return answer(201, key=key, outcome="committed", center=CENTER)
"""


def sabotage(cluster: Cluster) -> None:
    rewrite_program(cluster, MARK, LIE + MARK)
