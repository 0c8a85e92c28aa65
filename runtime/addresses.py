"""Who has which address. Pure: everything is known before the first container starts, so all can start at once.

Each center has a /24. Host parts: 1 the host itself, 2 the door, 3 and up the links, 10 and up the center's own nodes, 130 and
up an alias for each node of another center, which the link answers for. A name means the node's own address at home and
its alias elsewhere, so that nodes need no routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network

from topologies.model import DOOR as DOOR
from topologies.model import Topology

POOL = IPv4Network("198.18.0.0/15")  # RFC 2544: no clash with office networks and VPNs
FIRST_NODE, FIRST_ALIAS, FIRST_LINK = 10, 130, 3


@dataclass(frozen=True)
class Addresses:
    """`networks`: subnet by center, and the door's own under "door"."""

    topology: Topology
    networks: dict[str, IPv4Network]

    def __post_init__(self) -> None:
        """Raises ValueError where a center has more links, or the topology more nodes, than a /24 has room for."""
        links, nodes = FIRST_NODE - FIRST_LINK, FIRST_ALIAS - FIRST_NODE
        if len(self.topology.nodes()) > nodes:
            raise ValueError(f"expected at most {nodes} nodes; {self.topology.name} has {len(self.topology.nodes())}")
        for center in self.topology.centers:
            if (found := sum(center.name in pair for pair in self.pairs())) > links:
                raise ValueError(f"expected at most {links} linked centers for each; {center.name} has {found}")

    def gateway(self, center: str) -> str:
        return str(self.networks[center][1])

    def door(self, center: str) -> str:
        return str(self.networks[center][2])

    def link(self, pair: tuple[str, str], center: str) -> str:
        """The address in `center` of the link of that pair: links count by center, so that each has room for its own."""
        here = [one for one in self.pairs() if center in one]
        return str(self.networks[center][FIRST_LINK + here.index(pair)])

    def pairs(self) -> list[tuple[str, str]]:
        """Each pair of linked centers once, in order."""
        return sorted({(min(li.source, li.target), max(li.source, li.target)) for li in self.topology.links})

    def node(self, node: str) -> str:
        return self.seen_from(self.topology.center_of(node).name, node)

    def seen_from(self, center: str, node: str) -> str:
        """The address by which `center` reaches `node`."""
        index = [n.name for n in self.topology.nodes()].index(node)
        first = FIRST_NODE if self.topology.center_of(node).name == center else FIRST_ALIAS
        return str(self.networks[center][first + index])

    def hosts(self, center: str) -> dict[str, str]:
        """Every name for /etc/hosts: a name that Docker's DNS doesn't know would hang for 15 s."""
        return {n.name: self.seen_from(center, n.name) for n in self.topology.nodes()}


def free_networks(wanted: Iterable[str], taken: Iterable[IPv4Network], *, start: int) -> dict[str, IPv4Network]:
    """A free /24 for each name, looking from the `start`-th. Raises ValueError when the pool is used up."""
    subnets = list(POOL.subnets(new_prefix=24))
    subnets = subnets[start % len(subnets) :] + subnets[: start % len(subnets)]
    busy = list(taken)
    free = (s for s in subnets if not any(s.overlaps(b) for b in busy))
    try:
        return {name: next(free) for name in wanted}
    except StopIteration:
        raise ValueError(f"no free /24 left in {POOL}: remove networks that are not needed (drillbook clean)") from None
