"""What a drill is: one file, one function, whose first docstring line is the claim that it proves."""

from __future__ import annotations

import ast
import importlib
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


def payments(*, rate_per_s: float = 40, **more: Any) -> Load:
    """Customers who pay and look at balances, `rate_per_s` actions a second together; beside them the probe."""
    from judging.evidence import Load

    return Load(customer_rate_per_s=rate_per_s, **more)


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
