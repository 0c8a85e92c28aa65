"""More customers than usual. No machine is hurt: what gives way is whatever is too narrow for them."""

from __future__ import annotations

from typing import Any

from harness.customers import Customers
from runtime.cluster import Cluster
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology

MADE_WITHIN_S = 30.0  # the rate is told over 6 s, of acts that may have waited for their time-out


class CustomersSurge:
    """The customers pay at `times` their rate, all at once. Their usual rate again is its heal.

    It has the methods of a fault, and stands here because what it acts on is the load. Its proof is the rate that was made:
    whether it had an effect is for the verdict, from the ledgers and the lines' own counts.
    """

    def __init__(self, customers: Customers, *, times: float) -> None:
        self.customers, self.times = customers, times
        self.target = "customers at the door"

    @property
    def arguments(self) -> dict[str, Any]:
        return {"times": self.times}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        """Nothing that stands."""
        del topology
        return []

    def effect(self, topology: Topology) -> Effect:
        del topology
        return Effect()

    def undo(self) -> str:
        return "the customers pay at their usual rate again"

    def prepare(self, cluster: Cluster) -> None:
        """Nothing lies ready: one word to the customers is the act."""

    def release(self) -> None:
        """Nothing is held."""

    def inject(self, cluster: Cluster) -> Moment | None:
        del cluster
        return self.customers.turn(self.times)

    def proof(self, cluster: Cluster) -> Proof:
        """The rate, by what Locust has counted since. Waits until it is made, for 30 s at most."""
        del cluster
        load = self.customers.load
        least = load.customer_rate_per_s * self.times * (load.rate_min or 1)

        def made() -> bool:
            return (self.customers.rate() or 0) >= least

        reached = True
        try:
            wait_for(made, within_s=MADE_WITHIN_S, what=f"customers who do {least:g} things a second", every_s=0.5)
        except TimeoutError:
            reached = False
        seen = f"{self.customers.rate() or 0:.1f} acts a second"
        return Proof((Check(self.target, f"at least {least:.1f} acts a second", seen, reached),))

    def heal(self, cluster: Cluster) -> None:
        """Where the load has ended, its customers are gone, too."""
        del cluster
        if self.customers.alive() is None:
            self.customers.turn(1)
