"""Patroni on etcd: who holds the leader key of the group's store is the primary."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from runtime.addresses import Addresses
from runtime.cluster import Cluster, ClusterError
from runtime.database import SUPERUSER, wait_for
from runtime.engine import brief
from runtime.leader import LeaderChange, LeaderWatch, b64, unb64
from runtime.manager import UPSTREAM_PORT, PrimaryCheck, Program
from runtime.server import BIN, HBA, parameters
from topologies.kinds import BALANCER, DATA_DIRECTORY, DATABASE, KINDS, STORE
from topologies.model import Group, Node, Topology

SCOPE = "bank"
LEADER_KEY = f"/service/{SCOPE}/leader"
REST_PORT = 8008
STORE_PORT = KINDS[STORE].port
STORE_TIMEOUT_S = 0.5


class Patroni:
    """See `runtime.manager.Manager`."""

    name = "patroni"
    ports = {DATABASE: (REST_PORT,)}  # noqa: RUF012
    takes_over = True

    # What runs
    def check(self, topology: Topology, group: Group) -> None:
        found = members(topology, group)
        if not found:
            raise ValueError(f"group {group.name}: Patroni expects a store, nodes of kind {STORE}; seen none")
        places, place = [topology.center_of(name).name for name in found], topology.settings.get("etcd_leader_center")
        if group.upstream is None and place not in places:
            where = ", ".join(places)
            raise ValueError(f"etcd_leader_center: expected a center with a member of the store, {where}; seen {place!r}")

    def program(self, addresses: Addresses, node: Node) -> Program:
        topology = addresses.topology
        group = topology.group(node.group)
        return store(topology, node) if node.kind == STORE else database(topology, group, node)

    def copy_names(self, topology: Topology, group: Group) -> Mapping[str, str]:
        del topology, group
        return {}

    def primary_check(self, topology: Topology) -> PrimaryCheck:
        del topology
        # GET would fill Patroni's log with tracebacks.
        return PrimaryCheck(("  option httpchk OPTIONS /primary", "  http-check expect status 200"), REST_PORT)

    # What it decided
    def form(self, cluster: Cluster, group: Group, *, within_s: float) -> None:
        if group.upstream is None:
            wait_for(lambda: self.move_store_leader(cluster, group), within_s=within_s, what=f"the store of {group.name}")
        wait_for(lambda: self.leader(cluster, group), within_s=within_s, what=f"the first leader of {group.name}")

    def first_state(self, cluster: Cluster, group: Group) -> None:
        if group.upstream is None:
            self.move_store_leader(cluster, group)

    def leader(self, cluster: Cluster, group: Group) -> str | None:
        answer = store_call(cluster, members(cluster.topology, group), "/v3/kv/range", {"key": b64(LEADER_KEY)})
        entries = answer.get("kvs") or []
        return unb64(entries[0]["value"]) if entries else None

    def follow(self, cluster: Cluster, group: Group, tell: Callable[[LeaderChange], None], stopping: threading.Event) -> None:
        addresses = [(cluster.addresses.node(member), STORE_PORT) for member in members(cluster.topology, group)]
        LeaderWatch(addresses, LEADER_KEY, tell).follow(stopping)

    def store_gaps(self, cluster: Cluster, group: Group) -> list[str]:
        seen: dict[str, str] = {}
        gaps = []
        for member in members(cluster.topology, group):
            try:
                seen[member] = store_status(cluster, member)[1]
            except (ClusterError, KeyError):
                gaps.append(f"{member} does not answer, or sees no leader")
        return gaps if len(set(seen.values())) <= 1 else [*gaps, f"{', '.join(seen)} follow different leaders"]

    def candidates(self, cluster: Cluster, primary: str) -> list[str]:
        """What Patroni has in its store decides, and lags behind the database's word by a turn of its loop."""
        told = json.loads(call(cluster, primary, "GET", "/cluster"))["members"]
        return sorted(m["name"] for m in told if m["role"] in ("sync_standby", "quorum_standby"))

    # What people tell it
    def ask_switch_over(self, cluster: Cluster, old: str, new: str) -> Future[str]:
        return ask(cluster, old, "POST", "/switchover", {"leader": old, "candidate": new}, timeout_s=60)

    def take_over(self, cluster: Cluster, group: Group) -> str:
        """Patroni refuses a failover by hand while the dead leader's key lives."""
        del cluster, group
        raise ClusterError("Patroni takes over by itself when the old leader's key has run out: wait for it")

    def make_whole(self, cluster: Cluster, group: Group) -> None:
        """Patroni puts each copy that streams back into its list by itself."""

    def promote(self, cluster: Cluster, group: Group) -> None:
        node = cluster.topology.members(group.name)[0].name
        call(cluster, node, "PATCH", "/config", {"standby_cluster": None})

    def before_restart_as_standby(self, cluster: Cluster, group: Group, source: Group) -> None:
        """The store learns the group's new place before any Patroni starts: it would come up as a second primary else."""
        topology = cluster.topology
        prefix, stores = f"/service/{SCOPE}", members(topology, group)
        wait_for(
            lambda: store_call(cluster, stores, "/v3/kv/range", {"key": b64(f"{prefix}/config")}), within_s=60, what="a quorum"
        )
        slot, remote = slot_of(group), topology.members(source.name)[0].name
        call(cluster, remote, "PATCH", "/config", {"slots": {slot: {"type": "physical"}}})
        wait_for(
            lambda: cluster.sql(remote, "SELECT 1 FROM pg_replication_slots WHERE slot_name = %s", slot),
            within_s=30,
            what=f"slot {slot}",
        )
        config = dynamic_configuration(topology, group) | {
            "synchronous_mode": False,
            "synchronous_mode_strict": False,
            "slots": None,
            "standby_cluster": upstream(topology.members(source.name, BALANCER)[0].name, KINDS[BALANCER].port, slot),
        }
        text = json.dumps({k: v for k, v in config.items() if v is not None})
        changes = [("put", {"key": b64(f"{prefix}/config"), "value": b64(text)})]
        changes += [("deleterange", {"key": b64(f"{prefix}/{key}")}) for key in ("leader", "sync")]
        for verb, body in changes:  # each may be repeated, and a store that has just started may be slow to answer
            wait_for(
                lambda verb=verb, body=body: store_call(cluster, stores, f"/v3/kv/{verb}", body),
                within_s=60,
                what=f"the store to {verb}",
            )

    def rebuild(self, cluster: Cluster, node: str) -> None:
        call(cluster, node, "POST", "/reinitialize", {"force": True})

    def move_store_leader(self, cluster: Cluster, group: Group) -> bool:
        """Hand the leadership of the group's store to the member in the center that the settings name; True once it leads."""
        found = {name: store_status(cluster, name) for name in members(cluster.topology, group)}
        place = cluster.topology.settings["etcd_leader_center"]
        wanted = next(name for name in found if cluster.topology.center_of(name).name == place)
        target, leader = found[wanted]
        if leader == target:
            return True
        holder = next(name for name, (own, _) in found.items() if own == leader)
        store_call(cluster, [holder], "/v3/maintenance/transfer-leadership", {"targetID": target})
        wait_for(lambda: store_status(cluster, wanted)[1] == target, within_s=10, what=f"{wanted} to lead the store")
        return True


# --- What runs ---------------------------------------------------------------------------------------------------------
def members(topology: Topology, group: Group) -> list[str]:
    """The store's members that the databases of a group use."""
    return sorted(n.name for n in topology.members(group.name, STORE))


def store(topology: Topology, node: Node) -> Program:
    """A member of a group's store."""
    together, directory = members(topology, topology.group(node.group)), KINDS[STORE].state
    options = {
        "name": node.name,
        "data-dir": directory,
        "listen-peer-urls": "http://0.0.0.0:2380",
        "listen-client-urls": f"http://0.0.0.0:{STORE_PORT}",
        "initial-advertise-peer-urls": f"http://{node.name}:2380",
        "advertise-client-urls": f"http://{node.name}:{STORE_PORT}",
        "initial-cluster": ",".join(f"{m}=http://{m}:2380" for m in together),
        "initial-cluster-token": together[0],
        "initial-cluster-state": "new",
        "heartbeat-interval": topology.settings["etcd_heartbeat_ms"],
        "election-timeout": topology.settings["etcd_election_ms"],
        "log-level": "info",
    }
    return Program(("etcd", *(f"--{k}={v}" for k, v in options.items())), volume=directory)


def dynamic_configuration(topology: Topology, group: Group) -> dict[str, Any]:
    """What Patroni keeps in the group's store."""
    s = topology.settings
    common: dict[str, Any] = {
        "ttl": s["ttl_s"],
        "loop_wait": s["loop_wait_s"],
        "retry_timeout": s["retry_timeout_s"],
        "primary_start_timeout": s["primary_start_timeout_s"],
        "maximum_lag_on_failover": s["maximum_lag_on_failover_bytes"],
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": parameters(s),
        },
    }
    if group.upstream is not None:
        source = upstream(topology.members(group.name, BALANCER)[0].name, UPSTREAM_PORT, slot_of(group))
        return {**common, "synchronous_mode": False, "standby_cluster": source}
    copies = [g for g in topology.groups if g.upstream == group.name]
    return {**common, **synchronous(topology), "slots": {slot_of(g): {"type": "physical"} for g in copies}}


def synchronous(topology: Topology) -> dict[str, Any]:
    mode = topology.settings["synchronous"]
    if mode == "off":
        return {"synchronous_mode": False}
    return {
        "synchronous_mode": "quorum" if mode == "quorum" else True,
        "synchronous_mode_strict": mode == "strict",
        "synchronous_node_count": topology.settings["synchronous_node_count"],
    }


def slot_of(group: Group) -> str:
    return f"{group.name.replace('-', '_')}_standby"


def upstream(host: str, port: int, slot: str) -> dict[str, Any]:
    """A standby side's source: one balancer, not a list of hosts (a promotion would wait 3 s for each dead one)."""
    return {"host": host, "port": str(port), "primary_slot_name": slot, "create_replica_methods": ["basebackup"]}


def database(topology: Topology, group: Group, node: Node) -> Program:
    stores = [f"{member}:{STORE_PORT}" for member in members(topology, group)]
    config = {
        "scope": SCOPE,
        "name": node.name,
        "restapi": {"listen": f"0.0.0.0:{REST_PORT}", "connect_address": f"{node.name}:{REST_PORT}"},
        "etcd3": {"hosts": stores},
        "postgresql": {
            "listen": "0.0.0.0:5432",
            "connect_address": f"{node.name}:5432",
            "data_dir": DATA_DIRECTORY,
            "bin_dir": BIN,
            "pgpass": "/tmp/pgpass",
            "basebackup": [{"checkpoint": "fast"}],  # the default spreads a checkpoint over minutes before it copies a byte
            "use_unix_socket": True,
            "use_unix_socket_repl": True,
            "parameters": {"unix_socket_directories": "/run/postgresql"},
            "authentication": {
                "superuser": SUPERUSER,
                "rewind": SUPERUSER,
                "replication": {"username": "replicator", "password": "replicator"},
            },
            "pg_hba": list(HBA),
        },
    }
    environment = {
        "CONFIG": json.dumps(config, indent=1),
        "SCOPE": SCOPE,
        "STORE": ",".join(stores),
        "SEED": "1" if node == topology.members(group.name)[0] else "0",
        "DYNAMIC": json.dumps(dynamic_configuration(topology, group)),
        # A standby that dials into a cut link would wait out the kernel's backoff, up to a minute after the link is healed.
        "PGCONNECT_TIMEOUT": "3",
    }
    return Program(("postgres",), environment, volume=DATA_DIRECTORY)


# --- Talking to it -----------------------------------------------------------------------------------------------------
def call(cluster: Cluster, node: str, method: str, path: str, body: Any = None, *, timeout_s: float = 30) -> str:
    """Call a node's Patroni REST interface. Raises ClusterError on any status of 400 or more."""
    url = f"http://{cluster.addresses.node(node)}:{REST_PORT}{path}"
    try:
        reply = cluster.http().request(method, url, json=body, timeout=timeout_s)
    except requests.RequestException as error:
        raise ClusterError(f"Patroni of {node} did not answer {method} {path}: {brief(error)}") from error
    if reply.status_code >= 400:
        raise ClusterError(f"Patroni of {node} refused {method} {path}: {reply.status_code} {reply.text[:200]}")
    return reply.text


def ask(cluster: Cluster, node: str, method: str, path: str, body: Any, *, timeout_s: float) -> Future[str]:
    """As `call`, but returns as soon as the question is with the node: the answer comes when it comes.

    Raises ClusterError when the question can't be put.
    """
    connection = http.client.HTTPConnection(cluster.addresses.node(node), REST_PORT, timeout=timeout_s)
    try:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    except OSError as error:
        raise ClusterError(f"Patroni of {node} was not there to be asked {method} {path}: {error}") from error

    def answer() -> str:
        with contextlib.closing(connection):
            try:
                reply = connection.getresponse()
                text = reply.read().decode(errors="replace")
            except (OSError, http.client.HTTPException) as error:
                raise ClusterError(f"Patroni of {node} did not answer {method} {path}: {brief(error)}") from error
        if reply.status >= 400:
            raise ClusterError(f"Patroni of {node} refused {method} {path}: {reply.status} {text[:200]}")
        return text

    pool = ThreadPoolExecutor(1)
    future = pool.submit(answer)
    pool.shutdown(wait=False)
    return future


def store_status(cluster: Cluster, member: str) -> tuple[str, str]:
    """(the member's own id, the id of the leader as it sees it)."""
    status = store_call(cluster, [member], "/v3/maintenance/status", {})
    return status["header"]["member_id"], status["leader"]


def store_call(cluster: Cluster, asked: Sequence[str], path: str, body: dict[str, Any]) -> dict[str, Any]:
    """One call to whichever of the store's members answers. Raises ClusterError when none does."""
    seen = "no member was asked"
    # Whoever answered last is asked first: a dead member costs a second at each look.
    last = cluster.answered.get(tuple(asked))
    for member in sorted(asked, key=lambda m: m != last):
        try:
            url = f"http://{cluster.addresses.node(member)}:{STORE_PORT}{path}"
            reply = cluster.http().post(url, json=body, timeout=STORE_TIMEOUT_S)
            if reply.status_code == 200:
                cluster.answered[tuple(asked)] = member
                answer: dict[str, Any] = reply.json()
                return answer
            seen = f"{member}: {reply.status_code} {reply.text[:120]}"
        except requests.RequestException as error:
            seen = f"{member}: {brief(error)}"
    raise ClusterError(f"the store did not answer {path}; seen last: {seen}")
