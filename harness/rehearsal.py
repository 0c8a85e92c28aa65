"""What a drill will do, found out by running its body against a recorder: no cluster, no fault, no wait.

The plan registers it before anything starts, so that a step, a condition or a fault that was left out afterwards, or put in,
contradicts the plan. A body that cannot be rehearsed (it needs an answer of the cluster to go on, or names a step by one) is
run all the same, and its verdict is INVALID: nobody can tell whether it did what it was to do.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

from faults.model import Fault
from harness.run import Condition, Run
from judging.evidence import Planned, PlannedFault, PlannedStep, PlannedUntil
from runtime.cluster import Cluster
from topologies.model import Check, Effect, Topology

T = TypeVar("T")
WITHIN_S = 10.0  # a rehearsal takes a millisecond; a body that sleeps or loops would keep the drill waiting


class CannotRehearse(Exception):
    """Why what a drill will do is not known beforehand."""


def rehearse(body: Callable[[Run], None], topology: Topology, *, seed: int = 0) -> list[Planned]:
    """What the body will inject, await and do, in order, with that seed. Raises CannotRehearse."""
    first, second = (_once(body, Rehearsal(topology, name, seed)) for name in ("somebody", "another"))
    if first != second:
        differ = next((one for one, other in zip(first, second, strict=False) if one != other), None)
        raise CannotRehearse(f"what it does depends on what it sees: {differ if differ is not None else 'how much it does'}")
    return first


def _once(body: Callable[[Run], None], recorder: Rehearsal) -> list[Planned]:
    ended: list[BaseException | None] = []

    def perform() -> None:
        try:
            body(recorder)
            ended.append(None)
        except BaseException as error:  # whatever a body does with an answer that is none
            ended.append(error)

    thread = threading.Thread(target=perform, name="rehearsal", daemon=True)
    thread.start()
    thread.join(WITHIN_S)
    if not ended:
        raise CannotRehearse(f"it did not end within {WITHIN_S:g} s without a cluster")
    if ended[0] is not None:
        told = " ".join(str(ended[0]).split())
        raise CannotRehearse(f"it needs an answer of the cluster ({type(ended[0]).__name__}: {told})")
    return list(recorder.body)


class Anything:
    """Stands for whatever a running cluster would give: it can be called, asked and passed on, and does nothing."""

    def __init__(self, name: str, **known: Any) -> None:
        self.__dict__.update(known, _name=name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(self._name)

    def __call__(self, *_: Any, **__: Any) -> Any:
        return Anything(self._name)

    def __getitem__(self, _: Any) -> Any:
        return Anything(self._name)

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def __str__(self) -> str:
        return str(self._name)


class Rehearsal(Run):
    """A Run that writes down what it is asked for and does none of it. `name` stands for each node that only a cluster knows."""

    def __init__(self, topology: Topology, name: str, seed: int) -> None:
        nothing: Any = Anything(name)
        plan: Any = Anything(name, seed=seed)
        cluster = cast(Cluster, Anything(name, topology=topology))
        super().__init__(plan, nothing, cluster, nothing, nothing, nothing, nothing)
        self.name = name
        self.body: list[Planned] = []

    @contextlib.contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        self.body.append(PlannedFault(name=type(fault).__name__, target=fault.target, args=fault.arguments))
        yield

    def until(self, condition: Condition, *, within_s: float) -> bool:
        self.body.append(PlannedUntil(condition=condition.__name__, within_s=within_s))
        return True

    def step(self, name: str, action: Callable[[Cluster], T], *, role: str | None = None) -> T:
        del action
        self.body.append(PlannedStep(name=name, role=role))
        return cast(T, Anything(self.name))

    def decide(self, name: str, *, after_s: float) -> None:
        del after_s
        self.body.append(PlannedStep(name=name, role="decide"))

    def reach(self, moment: str, effect: Effect | None = None) -> list[Check]:
        del moment, effect
        return []

    def damaged_node(self) -> str:
        return self.name

    def replacing(self, nodes: list[str]) -> None: ...

    def begin_heal(self, name: str | None = None) -> None: ...

    def heal_all(self) -> None: ...

    def autopsy(self) -> None: ...

    def explain_takeover(self) -> None: ...

    def check_load(self) -> None: ...
