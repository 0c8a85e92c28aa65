"""Who decides which database is the primary: the protocol that a manager keeps, and how it is found by its name.

Each file of `managers/` whose class keeps the protocol is one manager, found as drills are: by looking there. Nothing of ours but
these methods knows which manager a group has.
"""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runtime.addresses import Addresses
    from runtime.cluster import Cluster
    from runtime.leader import LeaderChange
    from topologies.model import Group, Node, Topology


ROOM = "managers"
UPSTREAM_PORT = 5433  # at a standby side's balancer: the primary that it copies


@dataclass(frozen=True)
class Program:
    """How one container is run. `volume` is the path whose content must survive a power loss."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    volume: str | None = None


@dataclass(frozen=True)
class PrimaryCheck:
    """How HAProxy finds the primary: lines of its configuration that ask each database's node at `port`."""

    lines: tuple[str, ...]
    port: int


class Manager(Protocol):
    """One way to decide. The first three methods look at values alone; all others act on what runs.

    Those raise ClusterError or TimeoutError where it did not work. A manager without a record of its own has no leader to tell:
    its `leader` is None, its `follow` returns when `stopping` is set, its `store_gaps` are empty. `takes_over`: when the primary
    dies it makes another by itself; where it is False, people do, by `take_over`, and drills give them the time to decide.
    """

    name: str
    takes_over: bool
    ports: Mapping[str, tuple[int, ...]]  # by kind of node: what other centers dial beside the kind's own ports

    def check(self, topology: Topology, group: Group) -> None:
        """Raises ValueError where a group can't be decided for as the topology has it: no store, a setting that fits nowhere."""

    def program(self, addresses: Addresses, node: Node) -> Program:
        """What a database, or a member of the manager's store, runs."""

    def copy_names(self, topology: Topology, group: Group) -> Mapping[str, str]:
        """Nodes by what their databases call themselves at the primary (`application_name`), where that is not their name."""

    def primary_check(self, topology: Topology) -> PrimaryCheck:
        """What a balancer asks to find the primary."""

    def form(self, cluster: Cluster, group: Group, *, within_s: float) -> None:
        """Waits at the first start until the group has a leader, and its store stands as the settings say."""

    def first_state(self, cluster: Cluster, group: Group) -> None:
        """Puts back, between two cycles, what a fault moved and nobody sees: the store's own leader."""

    def leader(self, cluster: Cluster, group: Group) -> str | None:
        """Who may write, by the manager's own record; None: nobody."""

    def follow(self, cluster: Cluster, group: Group, tell: Callable[[LeaderChange], None], stopping: threading.Event) -> None:
        """Tells each change of that record until `stopping` is set."""

    def store_gaps(self, cluster: Cluster, group: Group) -> list[str]:
        """What the manager's own store lacks to bear another loss, in words; nothing where it has none."""

    def candidates(self, cluster: Cluster, primary: str) -> list[str]:
        """The copies that the manager would hand the primary's role to without a loss."""

    def ask_switch_over(self, cluster: Cluster, old: str, new: str) -> Future[str]:
        """Asks for a planned switchover and returns as soon as the question is put."""

    def take_over(self, cluster: Cluster, group: Group) -> str:
        """Makes a living copy of a group the primary, now, because people say that the old one is dead; returns it."""

    def make_whole(self, cluster: Cluster, group: Group) -> None:
        """What people do once copies are back: of two primaries one is ended, and as many copies confirm as before.

        Safe to run again; nothing where the manager sees to it by itself.
        """

    def promote(self, cluster: Cluster, group: Group) -> None:
        """Makes a group on the standby side the primary side: people have decided."""

    def before_restart_as_standby(self, cluster: Cluster, group: Group, source: Group) -> None:
        """The group's databases are dead, its other nodes run: once they start they are copies of `source`, never primaries."""

    def rebuild(self, cluster: Cluster, node: str) -> None:
        """Orders a copy to be thrown away and made anew from the primary; returns when it is ordered."""


@cache
def managers() -> dict[str, Manager]:
    """Each manager by its name."""
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(importlib.import_module(ROOM).__path__):
        module = importlib.import_module(f"{ROOM}.{info.name}")
        here = [made for made in vars(module).values() if isinstance(made, type) and made.__module__ == module.__name__]
        found |= {one.name: one for one in (made() for made in here if hasattr(made, "primary_check"))}
    return found


def manager_of(group: Group) -> Manager:
    """Raises ValueError with the names that there are."""
    known = managers()
    if group.manager not in known:
        raise ValueError(f"group {group.name}: expected a manager of {', '.join(sorted(known))}; seen {group.manager!r}")
    return known[group.manager]


def check_managers(topology: Topology) -> None:
    """Raises ValueError where a group of the topology has a manager that nobody knows, or that can't decide for it."""
    for group in topology.groups:
        manager_of(group).check(topology, group)
