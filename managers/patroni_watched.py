"""Patroni, and beside it a watcher that is not Patroni's: it takes the leader key from a primary that does not answer.

Patroni's lease of 20 s at least is most of a takeover. The watcher asks the holder's REST interface five times a second, and
after three looks without an answer deletes the key in one etcd transaction; the copies elect at once. What it costs: one program,
in one place, decides what a quorum decided before. Cut off from a primary that lives, it takes the key from it all the same.
"""

from __future__ import annotations

from managers.patroni import SCOPE, STORE_PORT, Patroni, members
from runtime.addresses import Addresses
from runtime.manager import Program
from topologies.kinds import KINDS, WATCHER
from topologies.model import Group, Node, Topology

EVERY_MS, ANSWER_MS, MISSES = 200, 800, 3  # 2 to 3 s until the key is deleted; a busy machine's REST answers take 0.2 s and more


class PatroniWatched(Patroni):
    """See `runtime.manager.Manager`."""

    name = "patroni-watched"

    def check(self, topology: Topology, group: Group) -> None:
        super().check(topology, group)
        watchers = [node.name for node in topology.members(group.name, WATCHER)]
        if group.upstream is None and len(watchers) != 1:
            seen = ", ".join(watchers) or "none"
            raise ValueError(f"group {group.name}: patroni-watched expects one node of kind {WATCHER}; seen {seen}")

    def program(self, addresses: Addresses, node: Node) -> Program:
        if node.kind != WATCHER:
            return super().program(addresses, node)
        group = addresses.topology.group(node.group)
        environment = {
            "STORE": ",".join(f"{member}:{STORE_PORT}" for member in members(addresses.topology, group)),
            "SCOPE": SCOPE,
            "EVERY_MS": str(EVERY_MS),
            "ANSWER_MS": str(ANSWER_MS),
            "MISSES": str(MISSES),
            "PORT": str(KINDS[WATCHER].port),
        }
        return Program(("watcher",), environment)
