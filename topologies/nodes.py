"""What runs on each node: command, environment and configuration texts. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from topologies.addresses import DOOR, Addresses
from topologies.model import Center, Node, Topology

SUPERUSER = {"username": "postgres", "password": "postgres"}
SCOPE = "bank"
DATA_DIRECTORY = "/var/lib/postgresql/data"
DOOR_COMMAND_PORT = 9999
STATE_DIRECTORY = {"postgres": DATA_DIRECTORY, "etcd": "/var/lib/etcd"}


@dataclass(frozen=True)
class Program:
    """How one container is run. `volume` is the path whose content must survive a power loss."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    capabilities: tuple[str, ...] = ()
    sysctls: dict[str, str] = field(default_factory=dict)
    volume: str | None = None


def program(addresses: Addresses, node: Node) -> Program:
    center = addresses.topology.center_of(node.name)
    if node.kind == "postgres":
        return postgres(addresses.topology, center, node)
    if node.kind == "etcd":
        return etcd(addresses.topology, node)
    if node.kind == "haproxy":
        return Program(("haproxy",), {"CONFIG": center_balancer(addresses.topology, center)})
    if node.kind == "bank":
        return Program(("bank",), {"CENTER": center.name, "DATABASE": f"{center.name}-haproxy:5432"})
    raise ValueError(f"{node.name}: no program for a node of kind {node.kind!r}")


def is_standby_side(center: Center) -> bool:
    """Region B is a standby cluster with a store of its own."""
    return center.region != "A"


def stores(topology: Topology, center: Center) -> list[str]:
    """The store's members that the databases of `center` use: region A's three, or dc3's own one."""
    if is_standby_side(center):
        return [f"{center.name}-store"]
    return sorted(f"{c.name}-etcd" for c in topology.centers)


def etcd(topology: Topology, node: Node) -> Program:
    members = [node.name] if node.name.endswith("-store") else sorted(f"{c.name}-etcd" for c in topology.centers)
    settings = topology.settings
    options = {
        "name": node.name,
        "data-dir": STATE_DIRECTORY["etcd"],
        "listen-peer-urls": "http://0.0.0.0:2380",
        "listen-client-urls": "http://0.0.0.0:2379",
        "initial-advertise-peer-urls": f"http://{node.name}:2380",
        "advertise-client-urls": f"http://{node.name}:2379",
        "initial-cluster": ",".join(f"{m}=http://{m}:2380" for m in members),
        "initial-cluster-token": members[0],
        "initial-cluster-state": "new",
        "heartbeat-interval": settings["etcd_heartbeat_ms"],
        "election-timeout": settings["etcd_election_ms"],
        "log-level": "info",
    }
    return Program(("etcd", *(f"--{k}={v}" for k, v in options.items())), volume=STATE_DIRECTORY["etcd"])


def dynamic_configuration(topology: Topology, center: Center) -> dict[str, Any]:
    """What Patroni keeps in the store, for the cluster of `center`'s region."""
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
            "parameters": {
                "wal_log_hints": "on",
                "wal_keep_size": "512MB",
                "max_connections": 200,
                "wal_sender_timeout": f"{s['wal_sender_timeout_s']}s",
                "wal_receiver_timeout": f"{s['wal_sender_timeout_s']}s",
                "wal_receiver_status_interval": "1s",
                "wal_retrieve_retry_interval": "500ms",
                "tcp_keepalives_idle": 2,
                "tcp_keepalives_interval": 1,
                "tcp_keepalives_count": 3,
                "log_checkpoints": "on",
                "log_line_prefix": "%m [%p] %a ",
            },
        },
    }
    if is_standby_side(center):
        return {**common, "synchronous_mode": False, "standby_cluster": upstream(f"{center.name}-haproxy", 5433, slot_of(center))}
    return {**common, **synchronous(topology), "slots": {slot_of(c): {"type": "physical"} for c in standby_centers(topology)}}


def synchronous(topology: Topology) -> dict[str, Any]:
    mode = topology.settings["synchronous"]
    if mode == "off":
        return {"synchronous_mode": False}
    return {
        "synchronous_mode": "quorum" if mode == "quorum" else True,
        "synchronous_mode_strict": mode == "strict",
        "synchronous_node_count": topology.settings["synchronous_node_count"],
    }


def standby_centers(topology: Topology) -> list[Center]:
    return [c for c in topology.centers if is_standby_side(c)]


def slot_of(center: Center) -> str:
    return f"{center.name}_standby"


def upstream(host: str, port: int, slot: str) -> dict[str, Any]:
    """A standby cluster's source: one balancer, not a list of hosts (a promotion would wait 3 s for each dead one)."""
    return {"host": host, "port": str(port), "primary_slot_name": slot, "create_replica_methods": ["basebackup"]}


def postgres(topology: Topology, center: Center, node: Node) -> Program:
    config = {
        "scope": SCOPE,
        "name": node.name,
        "restapi": {"listen": "0.0.0.0:8008", "connect_address": f"{node.name}:8008"},
        "etcd3": {"hosts": [f"{store}:2379" for store in stores(topology, center)]},
        "postgresql": {
            "listen": "0.0.0.0:5432",
            "connect_address": f"{node.name}:5432",
            "data_dir": DATA_DIRECTORY,
            "bin_dir": "/usr/lib/postgresql/17/bin",
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
            "pg_hba": [
                "local all all trust",
                "local replication all trust",
                "host all all 127.0.0.1/32 trust",
                "host all all 198.18.0.0/15 scram-sha-256",
                "host replication all 198.18.0.0/15 scram-sha-256",
            ],
        },
    }
    seed = next(n for c in topology.centers if c.region == center.region for n in c.nodes if n.kind == "postgres")
    environment = {
        "CONFIG": json.dumps(config, indent=1),
        "SCOPE": SCOPE,
        "STORE": ",".join(f"{store}:2379" for store in stores(topology, center)),
        "SEED": "1" if node == seed else "0",
        "DYNAMIC": json.dumps(dynamic_configuration(topology, center)),
        # A standby that dials into a cut link would wait out the kernel's backoff, up to a minute after the link is healed.
        "PGCONNECT_TIMEOUT": "3",
    }
    return Program(("postgres",), environment, volume=DATA_DIRECTORY)


BALANCER_HEAD = """\
global
  log stdout format raw local0 info
  maxconn 4000
  stats socket /run/haproxy.sock mode 600 level admin
defaults
  log global
  timeout connect 1s
  timeout client 30m
  timeout server 30m
  timeout check {check_timeout}ms
"""


def center_balancer(topology: Topology, center: Center) -> str:
    """Finds the primary of the center's own region on 5432; in region B also region A's, to stream from, on 5433."""
    own = [n.name for c in topology.centers if c.region == center.region for n in c.nodes if n.kind == "postgres"]
    text = BALANCER_HEAD.format(check_timeout=topology.settings["balancer_check_timeout_ms"])
    text += primary_listener(topology, "primary", 5432, own)
    if is_standby_side(center):
        other = [n.name for c in topology.centers if c.region != center.region for n in c.nodes if n.kind == "postgres"]
        text += primary_listener(topology, "upstream", 5433, other)
    return text


def primary_listener(topology: Topology, name: str, port: int, databases: list[str]) -> str:
    s = topology.settings
    lines = [
        f"listen {name}",
        f"  bind *:{port}",
        "  mode tcp",
        "  tcp-request content set-log-level silent",  # changes of servers are told, not each connection
        "  option httpchk OPTIONS /primary",  # GET would fill Patroni's log with tracebacks
        "  http-check expect status 200",
        f"  default-server port 8008 inter {s['balancer_check_ms']}ms fastinter {s['balancer_fast_check_ms']}ms "
        f"downinter {s['balancer_fast_check_ms']}ms fall 2 rise 1 on-marked-down shutdown-sessions",
        *(f"  server {name} {name}:5432 check" for name in databases),
    ]
    return "\n".join(lines) + "\n"


# The door's own record: one line for each POST /payments and nothing else, beside what the ledgers say (docs/evidence.md).
PAYMENT = "if { method POST } { path /payments }"
DOOR_KEY_BYTES_MAX = 128
DOOR_LOG = (
    "  option dontlognull",
    "  http-request set-log-level silent unless { method POST } { path /payments }",
    f"  http-request set-var(txn.what) str(pay) {PAYMENT}",  # what is no request at all is logged too, as `-`
    f"  http-request capture req.hdr(Idempotency-Key) len {DOOR_KEY_BYTES_MAX} {PAYMENT}",
    # Percent-encoded: a key of letters, digits, `-`, `_`, `.` and `~` stays as it is, and no other can break the line. Timed from
    # the request's first byte on: the time of acceptance is the connection's, which carries one payment after the other.
    "  log-format '%[var(txn.what)] key=%[capture.req.hdr(0),url_enc] status=%ST"
    """ at=%[request_date(ms),regsub("(...)$",".\\1")] took=%Ta end=%ts'""",
)


def door(addresses: Addresses) -> Program:
    """The front door: customers to the first center that can write. A region on the standby side is let in by people only."""
    topology = addresses.topology
    s = topology.settings
    servers = []
    for number, center in enumerate(topology.centers):
        options = " disabled" if is_standby_side(center) else " backup" if number else ""
        servers.append(f"  server {center.name} {addresses.seen_from(center.name, center.name + '-bank')}:8080 check{options}")
    lines = [
        "global",
        f"  stats socket ipv4@{addresses.networks[DOOR][2]}:{DOOR_COMMAND_PORT} level admin",
        BALANCER_HEAD.format(check_timeout=s["door_check_timeout_ms"]).rstrip(),
        "  mode http",
        "  timeout connect 500ms",
        "  timeout client 60s",
        "  timeout server 10s",
        "  timeout queue 1s",
        "  option redispatch 1",
        "  retries 2",  # of the connection alone: a payment that was sent is never sent again
        "  retry-on conn-failure",
        "frontend door",
        "  bind *:8080",
        *DOOR_LOG,
        "  default_backend bank",
        "backend bank",
        "  option httpchk GET /ready",
        "  http-check expect status 200",
        f"  default-server inter {s['door_check_ms']}ms fastinter {s['balancer_fast_check_ms']}ms "
        f"downinter {s['balancer_fast_check_ms']}ms fall 2 rise 1 on-marked-down shutdown-sessions",
        *servers,
    ]
    return Program(("haproxy",), {"CONFIG": "\n".join(lines) + "\n"}, capabilities=("NET_ADMIN",))


def link() -> Program:
    return Program(("link",), {"LOG_LEVEL": "warn"}, capabilities=("NET_ADMIN",), sysctls={"net.ipv4.ip_forward": "1"})
