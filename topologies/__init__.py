"""What stands: plain values. Each file with a function of its own name makes one topology; `catalogue` finds them all."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topologies.model import Topology


def catalogue() -> dict[str, Callable[..., Topology]]:
    """By name, such as `two-region-three-center`: the function `two_region_three_center` of the file of that name."""
    found: dict[str, Callable[..., Any]] = {}
    for info in pkgutil.iter_modules(__path__):
        made = getattr(importlib.import_module(f"{__name__}.{info.name}"), info.name, None)
        if callable(made):
            found[info.name.replace("_", "-")] = made
    return found
