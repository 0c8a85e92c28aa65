"""Two centers of a city that both take customers, and a remote one as a last resort.

Customers are dealt between the two sides. Each side's bank answers looks from its own side's copies, and writes to the one
primary, wherever it stands. When a side is lost, its customers are moved to the other one.
"""

from __future__ import annotations

from typing import Any

from topologies.city import city_and_remote, city_settings
from topologies.model import Topology
from topologies.settings import SYNCHRONOUS, settled

CITY, REMOTE = "city", "remote"
SIDES = ("city-1", "city-2")
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": (*SIDES, REMOTE)}
SETTINGS: dict[str, Any] = city_settings(REMOTE)


def active_active_city(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    return city_and_remote(
        "active-active-city",
        city=SIDES,
        remote=REMOTE,
        regions=(CITY, REMOTE),
        groups=(CITY, "last-resort"),
        sides=True,
        settings=settled(SETTINGS, changed, CHOICES),
    )
