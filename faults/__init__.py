"""Faults, one file for each kind. `FAULTS` finds them, so that another process can build one again from its record."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

from faults.model import Fault as Fault


def _found() -> dict[str, type[Any]]:
    """Every class of the files here that can be injected and has no leading underscore, by its name."""
    found: dict[str, type[Any]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name == "model":  # what faults are made of
            continue
        module = importlib.import_module(f"{__name__}.{info.name}")
        here = {name: made for name, made in vars(module).items() if isinstance(made, type) and name[0] != "_"}
        found |= {n: made for n, made in here.items() if made.__module__ == module.__name__ and hasattr(made, "inject")}
    return found


FAULTS = _found()


def build(name: str, arguments: dict[str, Any]) -> Fault:
    """The fault of that name. Raises ValueError that lists what there is."""
    if name not in FAULTS:
        raise ValueError(f"no fault {name!r}; there are {', '.join(FAULTS)}")
    try:
        fault: Fault = FAULTS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: expected {inspect.signature(FAULTS[name])}; seen {arguments}: {error}") from error
    return fault
