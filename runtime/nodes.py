"""What runs on the nodes that are no manager's: balancers, banks, links, the door. Commands and configuration texts. Pure."""

from __future__ import annotations

from runtime.addresses import DOOR, Addresses
from runtime.manager import UPSTREAM_PORT, Program, manager_of
from topologies.kinds import BALANCER, BANK, DATABASE, EDGE, FRONT, KINDS
from topologies.model import Center, Group, Node, Topology

DOOR_COMMAND_PORT = 9999
DOOR_PORT = 8080
NEAREST_PORT = 5434  # of a balancer: the databases of its own center, whoever is the primary; its bank alone dials it


def program(addresses: Addresses, node: Node) -> Program:
    """What a node runs. Raises ValueError for a kind, or a manager, that nobody knows."""
    topology = addresses.topology
    if node.kind == BALANCER:
        return Program(("haproxy",), {"CONFIG": balancer(topology, node)})
    if node.kind == BANK:
        center = topology.center_of(node.name)
        finder = balancer_of(center, node.group)
        environment = {"CENTER": center.name, "DATABASE": f"{finder}:{KINDS[BALANCER].port}"}
        if topology.door.sides:
            environment["NEAREST"] = f"{finder}:{NEAREST_PORT}"
        return Program(("bank",), environment)
    if node.kind == FRONT:
        return Program(("haproxy",), {"CONFIG": front(topology, node)})
    if node.kind == EDGE:
        return edge(topology, node)
    return manager_of(topology.group(node.group)).program(addresses, node)


def balancer_of(center: Center, group: str) -> str:
    """Who finds that group's primary in a center."""
    return next(n.name for n in center.nodes if n.kind == BALANCER and n.group == group)


def bank_of(center: Center) -> str:
    return next(n.name for n in center.nodes if n.kind == BANK)


def entry_of(center: Center) -> Node:
    """Who takes customers in a center: its front or edge, or its bank where it has none."""
    return min((n for n in center.nodes if n.kind in (FRONT, EDGE, BANK)), key=lambda n: n.kind == BANK)


def edge(topology: Topology, node: Node) -> Program:
    """Passes customers on to the bank of its group, and knows the other edges, which it has a link to."""
    s, port, home = topology.settings, KINDS[EDGE].port, topology.center_of(node.name).name
    near = {link.target for link in topology.links_of(home)}
    peers = [n.name for n in topology.members(node.group, EDGE) if topology.center_of(n.name).name in near - {home}]
    return Program(
        ("edge",),
        {
            "EDGE": home,
            "CENTER": f"{topology.members(node.group, BANK)[0].name}:{KINDS[BANK].port}",
            "PEERS": ",".join(f"{name}:{port}" for name in peers),
            "LIMIT_MINOR": str(s["edge_limit_minor"]),
            "ACCOUNT_LIMIT_MINOR": str(s["edge_account_limit_minor"]),
            "PATIENCE_MS": str(s["edge_patience_ms"]),
        },
        volume=KINDS[EDGE].state,
    )


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


def balancer(topology: Topology, node: Node) -> str:
    """Finds the primary of a group; on the standby side also that of the group which it copies, to stream from.

    Where each side has customers of its own, also the databases beside it, for looks.
    """
    group = topology.group(node.group)
    text = BALANCER_HEAD.format(check_timeout=topology.settings["balancer_check_timeout_ms"])
    text += primary_listener(topology, "primary", KINDS[BALANCER].port, group)
    if group.upstream is not None:
        text += primary_listener(topology, "upstream", UPSTREAM_PORT, topology.group(group.upstream))
    if topology.door.sides:
        text += nearest_listener(topology, topology.center_of(node.name), group)
    return text


def nearest_listener(topology: Topology, center: Center, group: Group) -> str:
    """The databases of one center that take a login: what a bank reads from, not what it writes to."""
    s = topology.settings
    lines = [
        "listen nearest",
        f"  bind *:{NEAREST_PORT}",
        "  mode tcp",
        "  tcp-request content set-log-level silent",
        "  option pgsql-check user monitor",
        f"  default-server inter {s['balancer_check_ms']}ms fastinter {s['balancer_fast_check_ms']}ms "
        f"downinter {s['balancer_fast_check_ms']}ms fall 2 rise 1 on-marked-down shutdown-sessions",
        *(f"  server {n.name} {n.name}:{KINDS[DATABASE].port} check" for n in center.nodes if n in topology.members(group.name)),
    ]
    return "\n".join(lines) + "\n"


def primary_listener(topology: Topology, name: str, port: int, group: Group) -> str:
    s, check = topology.settings, manager_of(group).primary_check(topology)
    lines = [
        f"listen {name}",
        f"  bind *:{port}",
        "  mode tcp",
        "  tcp-request content set-log-level silent",  # changes of servers are told, not each connection
        *check.lines,
        f"  default-server port {check.port} inter {s['balancer_check_ms']}ms fastinter {s['balancer_fast_check_ms']}ms "
        f"downinter {s['balancer_fast_check_ms']}ms fall 2 rise 1 on-marked-down shutdown-sessions",
        *(f"  server {n.name} {n.name}:{KINDS[DATABASE].port} check" for n in topology.members(group.name)),
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


SERVER_S = 10  # whom a bank leaves without an answer for so long is told 504
HTTP = (
    "  mode http",
    "  timeout connect 500ms",
    "  timeout client 60s",
    f"  timeout server {SERVER_S}s",
    "  timeout queue 1s",
    "  option redispatch 1",
    "  retries 2",  # of the connection alone: a payment that was sent is never sent again
    "  retry-on conn-failure",
)


def backend(topology: Topology) -> list[str]:
    """Banks, or fronts, that are asked whether they are ready, and left at once when they are not."""
    s = topology.settings
    return [
        "backend bank",
        "  option httpchk GET /ready",
        "  http-check expect status 200",
        f"  default-server inter {s['door_check_ms']}ms fastinter {s['balancer_fast_check_ms']}ms "
        f"downinter {s['balancer_fast_check_ms']}ms fall 2 rise 1 on-marked-down shutdown-sessions",
    ]


def front(topology: Topology, node: Node) -> str:
    """Takes customers where no bank is, and passes them on; without a bank that is ready it says so at once (503)."""
    banks = [n.name for n in topology.nodes(BANK) if n.group == node.group]
    lines = [
        BALANCER_HEAD.format(check_timeout=topology.settings["front_check_timeout_ms"]).rstrip(),
        *HTTP,
        "frontend front",
        f"  bind *:{KINDS[FRONT].port}",
        "  http-request set-log-level silent",
        "  default_backend bank",
        *backend(topology),
        *(f"  server {name} {name}:{KINDS[BANK].port} check" for name in banks),
    ]
    return "\n".join(lines) + "\n"


def door(addresses: Addresses) -> Program:
    """The front door: customers to the first center that can write. The closed ones are let in by people only.

    It says of each payment until when its customer may still hear of it: what a cut line held back arrives up to a minute later.
    """
    topology = addresses.topology
    s = topology.settings
    servers, places = [], {}
    for number, name in enumerate((*topology.door.centers, *topology.door.closed)):
        backup = "" if topology.door.spread or not number else " backup"
        options = " disabled" if name in topology.door.closed else backup
        entry = entry_of(topology.center(name))
        places[name] = f"{addresses.seen_from(name, entry.name)}:{KINDS[entry.kind].port}"
        servers.append(f"  server {name} {places[name]} check{options}")
    lines = [
        "global",
        f"  stats socket ipv4@{addresses.networks[DOOR][2]}:{DOOR_COMMAND_PORT} level admin",
        BALANCER_HEAD.format(check_timeout=s["door_check_timeout_ms"]).rstrip(),
        *HTTP,
        "frontend door",
        f"  bind *:{DOOR_PORT}",
        *DOOR_LOG,
        f"  http-request set-header Not-After %[date({SERVER_S})] {PAYMENT} !{{ req.hdr(Not-After) -m found }}",
        *(dealt_to(topology.door.centers) if topology.door.sides else ["  default_backend bank"]),
        *backend(topology),
        *servers,
        *(line for name in topology.door.centers if topology.door.sides for line in side(name, places)),
    ]
    return Program(("haproxy",), {"CONFIG": "\n".join(lines) + "\n"}, capabilities=("NET_ADMIN",))


# Whose payment it is stands in its key: one of the probe's, `…-p-0000001`, or of customer 1, `…-c-1-0000000`. Odd numbers.
ODD = r"-p-[0-9]*[13579]$|-c-[0-9]*[13579]-[0-9]*$"


def dealt_to(centers: tuple[str, ...]) -> list[str]:
    """To which side a customer belongs: odd numbers to the second. Looks at accounts have no number, and are the first's."""
    return [
        f"  acl odd req.hdr(Idempotency-Key) -m reg -- {ODD}",
        f"  acl odd path -m reg -- ^/payments/.*({ODD})",
        f"  use_backend side-{centers[1]} if odd",
        f"  default_backend side-{centers[0]}",
    ]


def side(own: str, places: dict[str, str]) -> list[str]:
    """One side's customers: to its own center, to the others when that is not ready. Who is ready is asked once, in `bank`."""
    return [
        f"backend side-{own}",
        "  default-server on-marked-down shutdown-sessions",
        *(
            f"  server {name} {places[name]} track bank/{name}{'' if name == own else ' backup'}"
            for name in sorted(places, key=lambda name: name != own)
        ),
    ]


def link() -> Program:
    return Program(("link",), {"LOG_LEVEL": "warn"}, capabilities=("NET_ADMIN",), sysctls={"net.ipv4.ip_forward": "1"})
