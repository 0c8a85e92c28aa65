"""The fault's heal says that it has healed, and does nothing: a copy stays dead.

Caught by the copies: the one on the dead node can't be read back.
"""

from __future__ import annotations

from faults.node_killed import NodeKilled
from harness.conditions import replicas_caught_up, service_restored
from harness.run import Run
from runtime.cluster import Cluster

VERDICT, CAUGHT_BY = "INVALID", r"dc2-b was expected and was not read back"


class NeverHealed(NodeKilled):
    def heal(self, cluster: Cluster) -> None:
        del cluster


def body(run: Run) -> None:
    with run.fault(NeverHealed("dc2-b")):
        run.until(service_restored, within_s=60)
    run.until(replicas_caught_up, within_s=5)
