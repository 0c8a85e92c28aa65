"""Bits flip on one node's disk, under a relation's file, and nothing says so until somebody reads the page."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from faults.model import PRIMARY
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.files import OpenFile
from runtime.redundancy import rebuilt
from topologies.kinds import DATA_DIRECTORY, DATABASE
from topologies.model import Check, Effect, Moment, Proof, Topology

PAGE_BYTES = 8192
OFFSET_IN_PAGE = 5000  # inside the tuples: the header stays sane, only the checksum can tell
BYTES = 4
REBUILT_WITHIN_S = 120.0


class BitsFlipped:
    """Flips 32 bits in page `page` of `relation` on `node` ("primary": whoever it is then). Damages one copy only.

    Dirty pages are written out first, and the page is pushed out of the server's memory before and after, so that the next reader
    gets what is on the disk. Healed by rebuilding the node from a clean copy: the heal does so if a runbook did not.
    """

    def __init__(self, relation: str, node: str = PRIMARY, page: int = 0) -> None:
        self.relation = relation
        self.target = node
        self.page = page
        self.path = ""
        self.before = ""
        self.disk: OpenFile | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        return {"relation": self.relation, "node": self.target, "page": self.page}

    @staticmethod
    def targets(topology: Topology) -> list[str]:
        return [f"entries@{node.name}" for node in topology.nodes(DATABASE)]

    def effect(self, topology: Topology) -> Effect:
        if self.target != PRIMARY:
            topology.node(self.target)
        return Effect()  # nothing stops: that is what makes it dangerous

    def undo(self) -> str:
        return f"rebuild {self.target} from a clean copy"

    def prepare(self, cluster: Cluster) -> None:
        if self.target == PRIMARY:
            self.target = cluster.wait_primary(within_s=10).name
        rows = cluster.sql(
            self.target, "SELECT pg_relation_filepath(c), pg_relation_size(c) FROM to_regclass(%s) c", self.relation
        )
        path, size = rows[0]
        if path is None:
            raise ClusterError(f"no relation {self.relation!r} in the bank's database: expected payments, entries or accounts")
        if size < (self.page + 1) * PAGE_BYTES:
            raise ClusterError(f"{self.relation} on {self.target} has {size // PAGE_BYTES} pages: there is no page {self.page}")
        self.path = f"{DATA_DIRECTORY}/{path}"
        cluster.sql(self.target, "CHECKPOINT")
        self.release()
        self.disk = cluster.open_file(self.target, self.path)
        self.evict(cluster)

    def release(self) -> None:
        if self.disk is not None:
            self.disk.close()
            self.disk = None

    def evict(self, cluster: Cluster) -> None:
        cluster.sql(
            self.target,
            "SELECT pg_buffercache_evict(bufferid) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode(%s) "
            "AND reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relblocknumber = %s",
            self.relation,
            self.page,
        )

    @property
    def offset(self) -> int:
        return self.page * PAGE_BYTES + OFFSET_IN_PAGE

    def inject(self, cluster: Cluster) -> Moment | None:
        if self.disk is None:
            self.prepare(cluster)
        assert self.disk is not None
        found = self.disk.read(self.offset, BYTES)
        self.before = found.hex()
        before_ns = time.monotonic_ns()
        self.disk.write(self.offset, bytes(b ^ 0xFF for b in found))
        self.evict(cluster)
        moment = Moment(before_ns, time.monotonic_ns())
        self.release()
        return moment

    def proof(self, cluster: Cluster) -> Proof:
        with contextlib.closing(cluster.open_file(self.target, self.path)) as disk:
            seen = disk.read(self.offset, BYTES).hex()
        wanted = bytes(b ^ 0xFF for b in bytes.fromhex(self.before)).hex() if self.before else "unknown"
        where = f"{self.relation} page {self.page} on {self.target}"
        return Proof((Check(where, f"bytes {wanted} (were {self.before})", f"bytes {seen}", seen == wanted),))

    def heal(self, cluster: Cluster) -> None:
        self.release()
        if self.target == PRIMARY or not cluster.running(self.target):
            return  # never injected, or not there to rebuild
        state = cluster.state(self.target)
        damaged = cluster.scrub(self.target)
        if damaged and state is not None and not state.in_recovery:
            raise ClusterError(f"{self.target} is damaged and still the primary: a clean copy must take over first")
        if damaged:
            cluster.manager(self.target).rebuild(cluster, self.target)
            what = f"{self.target} to be rebuilt and clean"
            wait_for(lambda: rebuilt(cluster, self.target), within_s=REBUILT_WITHIN_S, what=what, every_s=0.5)
