"""An edge forwards each payment with its key, and once more with another one.

Caught by the books: payments stand that nobody sent.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.edges import cut_off, rewrite_edges
from topologies.edge_and_center import edge_and_center

VERDICT, CAUGHT_BY = "FAIL", r"were sent by nobody"
topology, body = edge_and_center, cut_off


def sabotage(cluster: Cluster) -> None:
    honest = "            said = await asyncio.gather(*(self.center.pay(one) for one in payments), return_exceptions=True)\n"
    again = "            await asyncio.gather(*(self.center.pay(one._replace(key=one.key + 'x')) for one in payments))\n"
    rewrite_edges(cluster, honest, again + honest)
