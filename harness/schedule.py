"""Faults drawn by a seed, one after the other: the same seed draws the same ones, whatever happens in between. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from faults.center_isolated import CenterIsolated
from faults.half_isolated import HalfIsolated
from faults.link_blackholed import LinkBlackholed
from faults.link_degraded import LinkDegraded
from faults.link_refused import LinkRefused
from faults.model import PRIMARY, Fault
from faults.node_frozen import NodeFrozen
from faults.node_killed import NodeKilled
from faults.power_loss import CenterPowerLoss
from faults.process_killed import ProcessKilled
from topologies.kinds import DATABASE
from topologies.model import Topology

COPIES_GONE_MAX = 2  # of the primary side, its primary included, may be down at once

Maker = Callable[[random.Random, Topology], Fault]


def some_node(draw: random.Random, topology: Topology) -> str:
    """Every other time the primary: it is one of many, and the one that matters most."""
    return PRIMARY if draw.random() < 0.5 else draw.choice([node.name for node in topology.nodes()])


def some_database(draw: random.Random, topology: Topology) -> str:
    return PRIMARY if draw.random() < 0.5 else draw.choice([node.name for node in topology.nodes(DATABASE)])


def some_center(draw: random.Random, topology: Topology) -> str:
    return draw.choice([center.name for center in topology.centers])


def some_pair(draw: random.Random, topology: Topology) -> str:
    return draw.choice([path for path in LinkBlackholed.targets(topology) if "*" not in path])


def degraded(draw: random.Random, topology: Topology) -> Fault:
    """So little that a payment still holds its connection for less time than the bank has connections for."""
    path, latency_ms = some_pair(draw, topology), draw.randrange(10, 31)
    return LinkDegraded(path, latency_ms, jitter_ms=draw.randrange(latency_ms // 2 + 1), loss_percent=draw.randrange(3))


MAKERS: tuple[Maker, ...] = (
    lambda draw, topology: CenterPowerLoss(some_center(draw, topology)),
    lambda draw, topology: CenterIsolated(some_center(draw, topology)),
    lambda draw, topology: NodeKilled(some_node(draw, topology)),
    lambda draw, topology: NodeFrozen(some_node(draw, topology)),
    lambda draw, topology: ProcessKilled(draw.choice(("server", "checkpointer")), some_database(draw, topology)),
    lambda _draw, _topology: HalfIsolated(PRIMARY),
    lambda draw, topology: LinkBlackholed(some_pair(draw, topology)),
    lambda draw, topology: LinkRefused(some_pair(draw, topology)),
    degraded,
)


def drawn(seed: int, topology: Topology, count: int, *, makers: Sequence[Maker] = MAKERS) -> Iterator[Fault]:
    """`count` faults, of which none takes more than two databases of the primary side down. None of them needs people."""
    draw = random.Random(seed)
    while count > 0:
        fault = draw.choice(makers)(draw, topology)
        if copies_gone(fault, topology) <= COPIES_GONE_MAX:
            count -= 1
            yield fault


def copies_gone(fault: Fault, topology: Topology) -> int:
    """How many databases of a primary side it takes down."""
    down = set(fault.effect(topology).down)
    return sum(node.name in down and topology.group_of(node.name).upstream is None for node in topology.nodes(DATABASE))
