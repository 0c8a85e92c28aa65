"""A site is gone for good: every machine of it, and every disk. What is left of it is what was kept elsewhere."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from faults.power_loss import CenterPowerLoss
from runtime.cluster import Cluster
from runtime.restoring import not_restorable, stand_in
from topologies.kinds import KINDS
from topologies.model import Check, Effect, Moment, Proof, Topology


class SiteDestroyed(CenterPowerLoss):
    """As a center's power loss, and right after it the containers and volumes are removed. `center` is a name.

    Only of a center that can be made anew: its databases have a repository in another one, and no copy that would take over.
    """

    destroying: threading.Thread | None = None
    failed: BaseException | None = None

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [center.name for center in topology.centers if not_restorable(topology, center) is None]

    def effect(self, topology: Topology) -> Effect:
        """Raises KeyError where there is no such center, ValueError where it could never be made anew."""
        center = topology.center(self.target)
        if why := not_restorable(topology, center):
            raise ValueError(f"SiteDestroyed({self.target!r}): {why}")
        found = super().effect(topology)
        return replace(found, destroyed=found.down)

    def undo(self) -> str:
        return f"let {self.target}'s links carry packets again, and make new machines of it from the newest backup and its log"

    def inject(self, cluster: Cluster) -> Moment | None:
        moment = super().inject(cluster)

        def destroy() -> None:
            try:
                cluster.destroy(self.effect(cluster.topology).down)
            except BaseException as error:  # told by whoever waits for it
                self.failed = error

        self.destroying = threading.Thread(target=destroy, name="destroying", daemon=True)
        self.destroying.start()
        return moment

    def finish(self) -> None:
        """Waits until nothing is left. Raises what the engine said where it would not remove something."""
        if self.destroying is not None:
            self.destroying.join()
        if self.failed is not None:
            raise self.failed

    def proof(self, cluster: Cluster) -> Proof:
        self.finish()
        effect = self.effect(cluster.topology)

        def gone(node: str) -> Check:
            port = KINDS[cluster.topology.node(node).kind].port
            here, disk, listening = cluster.exists(node), cluster.disk(node), cluster.listening(node, port)
            return Check(
                subject=node,
                expected="no container, no disk, port closed",
                seen=f"{'a' if here else 'no'} container, {'a' if disk else 'no'} disk, port {port} "
                + ("open" if listening else "closed"),
                ok=not here and not disk and not listening,
            )

        with ThreadPoolExecutor(len(effect.down)) as pool:
            checks = list(pool.map(gone, effect.down))
        return Proof((*checks, *self.proof_of_cuts(cluster, effect)))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        self.finish()
        effect = self.effect(cluster.topology)
        cluster.restore(effect.cut)
        stand_in(cluster, effect.down)
        cluster.start(sorted(effect.down, key=lambda name: KINDS[cluster.topology.node(name).kind].start))
