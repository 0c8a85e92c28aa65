"""Watches a running cluster: samples every database, asks how durable its commits are, follows the leader keys, counts what
narrow lines carry, says who is primary. Threads, not processes.
"""

from __future__ import annotations

import csv
import json
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from judging.evidence import SAMPLE_COLUMNS, EventLog
from runtime import engine, links
from runtime.cluster import Cluster, ClusterError
from runtime.database import Database, DatabaseState, Durability
from runtime.leader import LeaderChange
from runtime.manager import manager_of
from topologies.model import Group

SAMPLE_EVERY_S = 0.2
SAMPLE_WITHIN_S = 0.75  # with the pause before the next one still under HEARD_WITHIN_NS
DURABILITY_EVERY_S = 1.0
LINES_EVERY_S = 2.0
HEARD_WITHIN_NS = 1_000_000_000  # what a database said longer ago is no answer to who is primary now


def fullness(line: dict[str, Any]) -> float:
    """How much of its bandwidth a line has carried."""
    return float(line["bytes"] * 8_000_000 / (line["to_ns"] - line["from_ns"]) / line["bandwidth_kbps"])


class Observer:
    """Between `start` and `stop`, writes samples.csv and the events `primary`, `durability`, `leader_key` and `lines`."""

    def __init__(self, cluster: Cluster, events: EventLog, path: Path) -> None:
        self.cluster = cluster
        self.events = events
        self.file = path.open("w", encoding="utf-8", newline="")
        self.writer = csv.writer(self.file, lineterminator="\n")
        self.writer.writerow(SAMPLE_COLUMNS)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.latest: dict[str, DatabaseState | None] = {}
        self.heard_ns: dict[str, int] = {}  # when each database answered last
        self.primary: str | None = None
        self.roles: dict[str, str] = {}
        self.durability: dict[str, Durability] = {}  # what each database said last of its commits
        self.threads = [threading.Thread(target=self.sample, args=(n.name,), daemon=True) for n in cluster.databases()]
        self.threads += [threading.Thread(target=self.follow, args=(g,), daemon=True) for g in cluster.topology.groups]
        self.narrow = [link for link in cluster.topology.links if link.bandwidth_kbps is not None]
        self.threads += [threading.Thread(target=self.count_lines, daemon=True)] if self.narrow else []

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(timeout=10)
        with self.lock:
            self.file.close()

    # --- Lines --------------------------------------------------------------------------------------------------------
    def count_lines(self) -> None:
        """What each line of a stated bandwidth has carried since the look before, by its kernel's own count."""
        before: dict[str, tuple[int, links.Passed]] = {}
        while not self.stopping.wait(LINES_EVERY_S if before else 0):
            told = []
            for link in self.narrow:
                path, asked_ns = str(link), time.monotonic_ns()
                try:
                    seen = self.cluster.passed(path)
                except (ClusterError, links.LinkError, OSError, *engine.REFUSALS):
                    before.pop(path, None)  # nobody can be asked: the next look begins anew
                    continue
                if path in before:
                    from_ns, earlier = before[path]
                    told.append(
                        {
                            "source": link.source,
                            "target": link.target,
                            "bandwidth_kbps": link.bandwidth_kbps,
                            "from_ns": from_ns,
                            "to_ns": time.monotonic_ns(),
                            "bytes": seen.bytes - earlier.bytes,
                            "dropped": seen.dropped - earlier.dropped,
                        }
                    )
                before[path] = asked_ns, seen
            if told:
                full = max(told, key=fullness)
                text = f"the fullest line, {full['source']}->{full['target']}, carried {fullness(full):.0%} of its bandwidth"
                self.events.write("lines", text, source="host", lines=told)

    # --- Databases ----------------------------------------------------------------------------------------------------
    def sample(self, node: str) -> None:
        database = Database(self.cluster.addresses.node(node))
        examined, due = None, 0.0
        while not self.stopping.is_set():
            asked = time.monotonic_ns()
            state, error = None, ""
            try:
                state = database.state(within_s=SAMPLE_WITHIN_S).named(self.cluster.copy_names)
            except psycopg.Error as failure:
                error = " ".join(str(failure).split())[:200]
            self.record(node, asked, time.monotonic_ns(), state, error)
            # A connection that is new may lead to a server that was started with other settings.
            if state is not None and (database.connection is not examined or time.monotonic() >= due):
                self.examine(node, database)
                examined, due = database.connection, time.monotonic() + DURABILITY_EVERY_S
            self.stopping.wait(SAMPLE_EVERY_S)
        database.close()

    def examine(self, node: str, database: Database) -> None:
        """An event when what the database says of its commits is new. One that does not answer is asked again."""
        try:
            said = database.durability(within_s=SAMPLE_WITHIN_S)
        except psycopg.Error:
            return
        if self.durability.get(node) == said:
            return
        self.durability[node] = said
        words = [f"{name}={value}" for name, value in sorted(said.settings.items())]
        words += [f"{one['name']}={one['value']} for {one['place']}" for one in said.overrides]
        text = f"{node} runs with {', '.join(words)}"
        self.events.write("durability", text, source="databases", node=node, settings=said.settings, overrides=said.overrides)

    def record(self, node: str, asked_ns: int, t_ns: int, state: DatabaseState | None, error: str) -> None:
        row: tuple[object, ...]
        if state is None:
            row = (asked_ns, t_ns, node, 0, "", "", "", "", "", "[]", error)
        else:
            standby = state.in_recovery
            row = (
                asked_ns, t_ns, node, 1, int(standby), state.timeline or "", optional(state.flush_lsn),
                optional(state.replay_lsn if standby else None), "" if standby else state.sync_names,
                json.dumps(state.replication), "",
            )  # fmt: skip
        with self.lock:
            if not self.file.closed:
                self.writer.writerow(row)
            self.latest[node] = state
            if state is not None:
                self.heard_ns[node] = t_ns
            self.announce(t_ns)

    def fresh(self, now_ns: int) -> dict[str, DatabaseState | None]:
        """What each database said, None where its last word is too old. Called with the lock held."""
        horizon_ns = now_ns - HEARD_WITHIN_NS
        return {n: s if s is not None and self.heard_ns[n] >= horizon_ns else None for n, s in sorted(self.latest.items())}

    def announce(self, t_ns: int) -> None:
        """An event at each change of who is what. Called with the lock held."""
        said = self.fresh(t_ns)
        roles = {n: "down" if s is None else "standby" if s.in_recovery else "primary" for n, s in said.items()}
        if roles == self.roles:
            return
        self.roles = roles
        writing = [(s.timeline or 0, n) for n, s in said.items() if s is not None and not s.in_recovery]
        self.primary = max(writing)[1] if writing else None  # two of them: the newest timeline
        text = f"{self.primary} is primary" if self.primary else "no database is primary"
        self.events.write("primary", text, source="databases", t_ns=t_ns, node=self.primary, roles=roles)

    def lag_bytes(self) -> int | None:
        """How far the furthest behind of the standbys that answer is; None when nobody is primary.

        A second primary is no copy of the first one: it does not count.
        """
        with self.lock:
            said = self.fresh(time.monotonic_ns())
            primary = said.get(self.primary or "")
            if primary is None or primary.flush_lsn is None:
                return None
            replayed = [s.replay_lsn for s in said.values() if s is not None and s.in_recovery and s.replay_lsn is not None]
            return max((primary.flush_lsn - lsn for lsn in replayed), default=0)

    # --- Leader keys --------------------------------------------------------------------------------------------------
    def follow(self, group: Group) -> None:
        def tell(change: LeaderChange) -> None:
            holder = f"{change.leader} holds" if change.leader else "nobody holds"
            self.events.write(
                "leader_key",
                f"{group.name}: {holder} the leader key",
                source="dcs",
                t_ns=change.t_ns,
                store=group.name,
                leader=change.leader,
                seen_before_ns=change.seen_before_ns,
                revision=change.revision,
            )

        manager_of(group).follow(self.cluster, group, tell, self.stopping)


def optional(value: int | None) -> int | str:
    return "" if value is None else value
