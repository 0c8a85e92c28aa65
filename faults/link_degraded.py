"""A link between two centers goes on carrying, and worse: slower, with losses, through less of a line."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from faults.model import LinkFault
from runtime.cluster import Cluster
from runtime.database import wait_for
from topologies.model import Check, Effect, Moment, Proof, Topology

LATENCY_MS_MAX = 300  # with as much jitter, both ways: a dial still gets its answer in time
LOSS_PERCENT_MAX = 50
BANDWIDTH_KBPS_MIN = 64  # a dial between two centers still gets through
SEEN_WITHIN_S = 15.0
PACKETS_MIN = 100  # of which a share is told


class LinkDegraded(LinkFault):
    """`path` is `dc1<->dc2` (both ways, each way so) or `dc1->dc2` (one way); `*` is every center.

    `latency_ms` (0 to 300) and `jitter_ms` (0 to the latency) come on top of what the link has: for TCP, by Toxiproxy, on
    connections that stand too. `loss_percent` (0 to 50) of all packets are dropped, drawn by the kernel. `bandwidth_kbps` (64 and
    more; 0: as before) is what all packets of that way share. Whole numbers; at least one of them says something.
    """

    def __init__(
        self, path: str, latency_ms: int = 100, jitter_ms: int = 0, loss_percent: int = 0, bandwidth_kbps: int = 0
    ) -> None:
        super().__init__(path)
        self.latency_ms = whole("latency_ms", latency_ms, 0, LATENCY_MS_MAX)
        self.jitter_ms = whole("jitter_ms", jitter_ms, 0, self.latency_ms)
        self.loss_percent = whole("loss_percent", loss_percent, 0, LOSS_PERCENT_MAX)
        self.bandwidth_kbps = whole("bandwidth_kbps", bandwidth_kbps, BANDWIDTH_KBPS_MIN, None) if bandwidth_kbps else 0
        if not (self.latency_ms or self.loss_percent or self.bandwidth_kbps):
            raise ValueError("LinkDegraded: expected a latency_ms, a loss_percent or a bandwidth_kbps; seen none")

    @property
    def arguments(self) -> dict[str, Any]:
        names = ("latency_ms", "jitter_ms", "loss_percent", "bandwidth_kbps")
        return {"path": self.target} | {name: getattr(self, name) for name in names}

    def effect(self, topology: Topology) -> Effect:
        paths = self.paths(topology)
        for link in topology.links:
            if str(link) in paths and link.bandwidth_kbps is not None and self.bandwidth_kbps >= link.bandwidth_kbps:
                wanted = f"less than the {link.bandwidth_kbps} kbit/s of {link}"
                raise ValueError(f"LinkDegraded: expected bandwidth_kbps {wanted}; seen {self.bandwidth_kbps}")
        return Effect(impaired=paths)

    def undo(self) -> str:
        return f"let {self.target} carry as before"

    def prepare(self, cluster: Cluster) -> None:
        """Refuses where links run without Toxiproxy. Raises LinkError."""
        if self.latency_ms:
            cluster.toxics(self.paths(cluster.topology)[0])

    def release(self) -> None:
        """Nothing lies ready."""

    def inject(self, cluster: Cluster) -> Moment | None:
        """Not an instant: a delay is put on each proxied port by itself, some milliseconds a stream."""
        for path in self.paths(cluster.topology):
            cluster.degrade(
                path,
                latency_ms=self.latency_ms,
                jitter_ms=self.jitter_ms,
                loss_percent=self.loss_percent,
                kbps=self.bandwidth_kbps,
            )
        return None

    def proof(self, cluster: Cluster) -> Proof:
        """What the link's proxy and kernel say of each way, a round trip, and how many packets were dropped."""
        checks: list[Check] = []
        for path in self.paths(cluster.topology):
            checks += [self.delayed(cluster, path)] if self.latency_ms else []
            checks += [self.thinned(cluster, path)] if self.loss_percent else []
            checks += [self.narrowed(cluster, path)] if self.bandwidth_kbps else []
        return Proof(tuple(checks))

    def delayed(self, cluster: Cluster, path: str) -> Check:
        expected = f"{self.latency_ms} ms ± {self.jitter_ms} ms more"
        streams = cluster.slowed(path)
        like = sum(one == (self.latency_ms, self.jitter_ms) for one in streams)
        usual = sum(
            round(link.latency_ms) for link in cluster.topology.links if {link.source, link.target} == set(path.split("->"))
        )
        least_ms = usual + self.latency_ms - self.jitter_ms
        source, target = path.split("->")
        try:  # packets may be lost besides: asked until an answer comes
            trip_s = wait_for(lambda: cluster.round_trip_s(source, target), within_s=SEEN_WITHIN_S, what=f"an answer over {path}")
        except TimeoutError:
            trip_s = None
        felt = -1 if trip_s is None else math.floor(trip_s * 1000)
        seen = f"{expected} on {like} of {len(streams)} streams, " + ("no answer" if felt < 0 else f"round trip {felt} ms")
        return Check(path, expected, seen, ok=bool(streams) and like == len(streams) and felt >= least_ms)

    def thinned(self, cluster: Cluster, path: str) -> Check:
        expected = f"{self.loss_percent} % dropped"

        def enough() -> bool:
            now = cluster.thinned(path)
            return now is not None and now[0] > 0 and now[1] >= PACKETS_MIN

        with contextlib.suppress(TimeoutError):
            wait_for(enough, within_s=SEEN_WITHIN_S, what=f"{PACKETS_MIN} packets on {path}", every_s=0.2)
        counts = cluster.thinned(path)
        seen = "no rule" if counts is None else f"{expected}: {counts[0]} of {counts[1]} packets"
        return Check(path, expected, seen, ok=counts is not None and 0 < counts[0] < counts[1] and counts[1] >= PACKETS_MIN)

    def narrowed(self, cluster: Cluster, path: str) -> Check:
        expected, kept = f"{self.bandwidth_kbps} kbit/s", cluster.passed(path).kbps
        seen = "no limit" if kept is None else f"{kept:.0f} kbit/s"
        return Check(path, expected, seen, ok=kept is not None and math.isclose(kept, self.bandwidth_kbps, rel_tol=0.001))

    def heal(self, cluster: Cluster) -> None:
        failed: list[Exception] = []
        for path in self.paths(cluster.topology):
            try:
                cluster.undegrade(path)
            except Exception as error:  # the others must still be healed
                failed.append(error)
        if failed:
            raise failed[0]


def whole(name: str, value: int, least: int, most: int | None) -> int:
    """Raises ValueError that says what was expected."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least or (most is not None and value > most):
        between = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise ValueError(f"LinkDegraded: expected {name} as a whole number {between}; seen {value!r}")
    return value
