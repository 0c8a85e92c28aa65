"""What a drill is: one file, one function, whose first docstring line is the claim that it proves."""

from __future__ import annotations

import ast
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judging.errors import BadInput

if TYPE_CHECKING:
    from harness.run import Run
    from judging.evidence import Load, Targets
    from topologies.model import Topology

DRILLS = Path(__file__).parent.parent / "drills"


@dataclass(frozen=True)
class Drill:
    """A drill, ready to run. `topology(**settings)` builds what stands."""

    name: str
    claim: str
    topology: Callable[..., Topology]
    load: Load
    targets: Targets
    body: Callable[[Run], None]
    nightly: bool = False


def drill(
    topology: Callable[..., Topology], *, load: Load, targets: Targets, nightly: bool = False
) -> Callable[[Callable[[Run], None]], Any]:
    """Declare a drill: what stands, what customers do, what must be met. `nightly`: too long for every test run."""

    def declare(body: Callable[[Run], None]) -> Callable[[Run], None]:
        body.drill = Drill(  # type: ignore[attr-defined]
            name=name_of(body.__name__.removeprefix("test_")),
            claim=claim_of(body.__doc__, body.__name__),
            topology=topology,
            load=load,
            targets=targets,
            body=body,
            nightly=nightly,
        )
        return body

    return declare


Shape = list[tuple[float, float]]  # (seconds since the customers began, times the rate), straight lines in between


def payments(*, rate_per_s: float = 40, rate_min: float = 0.25, **more: Any) -> Load:
    """Customers who pay and look at balances, `rate_per_s` actions a second together; beside them the probe.

    `rate_min` is the least share of that rate that is to be made right before the first fault, else the run is INVALID. It is low
    where the probe carries the verdict and customers only give load; a drill that claims to hold under a load sets it high.
    """
    from judging.evidence import Load

    return Load(customer_rate_per_s=rate_per_s, rate_min=rate_min, **more)


def surge(times: float, *, after_s: float, ramp_s: float = 2) -> Shape:
    """The rate is multiplied by `times`, `after_s` seconds after the customers began, within `ramp_s`."""
    return [(0, 1), (after_s, 1), (after_s + ramp_s, times)]


def day_curve(low: float, high: float, *, day_s: float, days: int = 1) -> Shape:
    """A day squeezed into `day_s` seconds, `days` times: a cosine from `low` times the rate at midnight to `high` at noon."""
    hours = 24 * days
    middle, swing = (low + high) / 2, (high - low) / 2
    return [(hour * day_s / 24, middle - swing * math.cos(hour * math.pi / 12)) for hour in range(hours + 1)]


def name_of(module: str) -> str:
    return module.replace("_", "-")


def claim_of(docstring: str | None, where: str) -> str:
    first = (docstring or "").strip().splitlines()
    if not first:
        raise BadInput(f"{where}: a drill's docstring must begin with the claim that it proves; seen none")
    return first[0]


def catalogue() -> dict[str, str]:
    """Claim by drill name, read from the files without running them (imports of a drill take longer than a glance)."""
    found = {}
    for path in sorted(DRILLS.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for item in tree.body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                found[name_of(path.stem)] = claim_of(ast.get_docstring(item), path.name)
    return found


def load_drill(name: str) -> Drill:
    """The drill of that name. Raises BadInput that lists what there is."""
    known = catalogue()
    if name not in known:
        close = [n for n in known if name.replace("_", "-") == n]
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
        raise BadInput(f"no drill {name!r}: {hint} (see 'drillbook list')")
    stem = name.replace("-", "_")
    module = importlib.import_module(f"drills.{stem}")
    found: Drill = getattr(module, f"test_{stem}").drill
    return found
