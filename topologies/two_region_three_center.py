"""两地三中心: region A has dc1 (production) and dc2 (same city), region B has dc3 (remote).

dc1 takes the customers; dc2 does when dc1 can't, and dc3 when people say so.
"""

from __future__ import annotations

from typing import Any

from topologies.city import city_and_remote, city_settings
from topologies.model import Topology
from topologies.settings import SYNCHRONOUS, settled

CITY, REMOTE = "region-a", "region-b"
CHOICES = {"synchronous": SYNCHRONOUS, "etcd_leader_center": ("dc1", "dc2", "dc3")}
SETTINGS: dict[str, Any] = city_settings("dc3")


def two_region_three_center(**changed: Any) -> Topology:
    """The topology with some settings changed. Raises ValueError with what was expected of a setting."""
    return city_and_remote(
        "two-region-three-center",
        city=("dc1", "dc2"),
        remote="dc3",
        regions=("A", "B"),
        groups=(CITY, REMOTE),
        settings=settled(SETTINGS, changed, CHOICES),
    )
