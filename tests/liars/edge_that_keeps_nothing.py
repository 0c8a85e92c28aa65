"""One payment in ten that an edge authorises is answered 201 and stored nowhere.

Caught by the books: the customer was told yes, and neither the edge nor the center has it.
"""

from __future__ import annotations

from runtime.cluster import Cluster
from tests.liars.edges import cut_off, rewrite_edges
from topologies.edge_and_center import edge_and_center

VERDICT, CAUGHT_BY = "FAIL", r"^Lost payments \d+ misses the target of 0"
topology, body = edge_and_center, cut_off


def sabotage(cluster: Cluster) -> None:
    honest = "    outcome = await edge.authorise(payment)\n"
    lying = '    outcome = "authorised" if payment.amount_minor < 100 and not doubtful else await edge.authorise(payment)\n'
    rewrite_edges(cluster, honest, lying)
