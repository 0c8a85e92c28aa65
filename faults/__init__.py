"""Faults, one file each. FAULTS names them, so that another process can build one again from its record."""

from __future__ import annotations

import inspect
from typing import Any

from faults.bits_flipped import BitsFlipped
from faults.link_blackholed import LinkBlackholed
from faults.model import Fault
from faults.node_killed import NodeKilled
from faults.planned_switchover import PlannedSwitchover
from faults.power_loss import CenterPowerLoss, RegionLoss

FAULTS: dict[str, type[Any]] = {
    f.__name__: f for f in (CenterPowerLoss, RegionLoss, NodeKilled, LinkBlackholed, BitsFlipped, PlannedSwitchover)
}


def build(name: str, arguments: dict[str, Any]) -> Fault:
    """The fault of that name. Raises ValueError that lists what there is."""
    if name not in FAULTS:
        raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    try:
        fault: Fault = FAULTS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: expected {inspect.signature(FAULTS[name])}; seen {arguments}: {error}") from error
    return fault


__all__ = [
    "FAULTS",
    "BitsFlipped",
    "CenterPowerLoss",
    "Fault",
    "LinkBlackholed",
    "NodeKilled",
    "PlannedSwitchover",
    "RegionLoss",
    "build",
]
