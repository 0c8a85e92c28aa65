"""One center with two databases, and a vault elsewhere that keeps backups and the archived log, but runs no database.

A copy stands beside the primary and confirms each payment, so the loss of one server costs nothing. When the whole site is
gone, disks and all, what is left is what the vault keeps: the newest backup, and the log up to the last archived segment.
"""

from __future__ import annotations

from typing import Any

from topologies.kinds import BALANCER, BANK, DATABASE, REPOSITORY
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.settings import BY_HAND, COMMON, settled

SITE, VAULT, GROUP = "site", "vault", "bank"
CHOICES = {"manager": (BY_HAND,), "synchronous": ("strict", "quorum", "off")}
SETTINGS: dict[str, Any] = {
    **COMMON,
    "manager": BY_HAND,
    "synchronous_node_count": 1,
    "archive_timeout_s": 10,  # how old the newest archived log may be: what is lost with the site
    "vault_latency_ms": 10,  # one way
}


def single_center(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    settings = settled(SETTINGS, changed, CHOICES)
    latency = float(settings["vault_latency_ms"])
    nodes = [Node(f"{SITE}-{letter}", DATABASE, GROUP) for letter in "ab"]
    nodes += [Node(f"{SITE}-haproxy", BALANCER, GROUP), Node(f"{SITE}-bank", BANK, GROUP)]
    return Topology(
        name="single-center",
        centers=(
            Center(SITE, SITE, tuple(nodes)),
            Center(VAULT, VAULT, (Node(f"{VAULT}-repository", REPOSITORY, GROUP),)),
        ),
        links=(Link(SITE, VAULT, latency), Link(VAULT, SITE, latency)),
        groups=(Group(GROUP, settings["manager"]),),
        door=Door((SITE,)),
        service="one front door on 127.0.0.1, outside the centers: HTTP POST /payments",
        settings=settings,
    )
