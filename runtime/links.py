"""Links between centers: addresses, base latency by Toxiproxy, bandwidth by tbf, cuts. Texts and HTTP only; no Docker here.

A link container stands in both centers' networks. It owns an alias address for each remote node. TCP to a known port goes
through a Toxiproxy proxy, which adds the latency; everything else is translated as it is. Toxiproxy's HTTP interface is
spoken directly: see docs/decisions/0003-toxiproxy-client.md. What leaves a link towards a center goes through one token bucket
of the kernel's, so all connections share the bandwidth (Toxiproxy's own would give it to each connection anew).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import requests

from runtime.addresses import DOOR, Addresses
from runtime.manager import manager_of
from runtime.netfilter import Drop
from topologies.kinds import KINDS
from topologies.model import Node, Topology

FIRST_PROXY_PORT = 20000
API_PORT = 8474
CUT_TABLE = "drillbook_cut"
RAW = -300  # netfilter's priority before anything is translated
BURST_BYTES_MIN = 3200  # two full packets with their headers: a bucket that holds less than one lets none pass
BURST_MS = 5  # of a wide line: what passes at once, because a busy machine looks at its clock no more often
NO_TBF = "A topology with narrow lines needs tbf in the kernel of the host of the engine: modprobe sch_tbf"
QUEUED_MS = 200  # what a line keeps waiting before it drops, as a router of a leased line does


class LinkError(Exception):
    """A link did not do what it was told: says what was asked and what it answered."""


@dataclass(frozen=True)
class Proxy:
    """One TCP port of one remote node, as a center reaches it."""

    name: str  # dc1->dc2-a:5432
    source: str
    target: str  # center
    alias: str
    port: int
    listen_port: int
    upstream: str

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "listen": f"0.0.0.0:{self.listen_port}", "upstream": self.upstream, "enabled": True}


def proxies(addresses: Addresses, pair: tuple[str, str]) -> list[Proxy]:
    found: list[Proxy] = []
    for source, target in (pair, pair[::-1]):
        for node in addresses.topology.center(target).nodes:
            for port in ports_of(addresses.topology, node):
                found.append(
                    Proxy(
                        name=f"{source}->{node.name}:{port}",
                        source=source,
                        target=target,
                        alias=addresses.seen_from(source, node.name),
                        port=port,
                        listen_port=FIRST_PROXY_PORT + len(found),
                        upstream=f"{addresses.node(node.name)}:{port}",  # a name would resolve to the link itself
                    )
                )
    return found


def ports_of(topology: Topology, node: Node) -> tuple[int, ...]:
    """What other centers dial at a node: its kind's ports, and its manager's."""
    kind = KINDS[node.kind]
    return (kind.port, *kind.others, *manager_of(topology.group(node.group)).ports.get(node.kind, ()))


def provision_script(addresses: Addresses, pair: tuple[str, str], *, toxiproxy: bool) -> str:
    """A shell script for the link's network namespace. Run again after a restart: it replaces what it finds."""
    topology = addresses.topology
    bandwidth = {(link.source, link.target): link.bandwidth_kbps for link in topology.links}
    lines = ["set -eu"]
    to_real, to_alias = [], []
    for source, target in (pair, pair[::-1]):
        own = addresses.link(pair, source)
        # Interfaces are found by address: their order varies.
        lines.append(f"dev=$(ip -o -4 addr show to {own}/32 | awk '{{print $2}}')")
        lines.append(f'[ -n "$dev" ] || {{ echo "no interface with {own}" >&2; exit 1; }}')
        if (kbps := bandwidth[target, source]) is not None:
            shape = f"tc qdisc replace dev $dev root tbf rate {kbps}kbit burst {burst_bytes(kbps)} latency {QUEUED_MS}ms"
            lines.append(f"{shape} || {{ echo '{NO_TBF}' >&2; exit 1; }}")
        for node in topology.center(target).nodes:
            alias = addresses.seen_from(source, node.name)
            lines.append(f"ip addr replace {alias}/32 dev $dev")
            to_real.append(f"{alias} : {addresses.node(node.name)}")
            to_alias.append(f"{addresses.node(node.name)} : {alias}")
    redirect = ", ".join(f"{p.alias} . {p.port} : {p.listen_port}" for p in proxies(addresses, pair))
    through_proxy = f"ip protocol tcp redirect to : ip daddr . tcp dport map {{ {redirect} }}" if toxiproxy else ""
    lines.append(
        f"""nft -f - <<'RULES'
table ip drillbook_link {{}}
delete table ip drillbook_link
table ip drillbook_link {{
  map to_real {{ type ipv4_addr : ipv4_addr; elements = {{ {", ".join(to_real)} }} }}
  map to_alias {{ type ipv4_addr : ipv4_addr; elements = {{ {", ".join(to_alias)} }} }}
  chain arriving {{
    type nat hook prerouting priority dstnat; policy accept;
    {through_proxy}
    dnat to ip daddr map @to_real
  }}
  chain leaving {{
    type nat hook postrouting priority srcnat; policy accept;
    snat to ip saddr map @to_alias
  }}
}}
RULES"""
    )
    return "\n".join(lines)


def burst_bytes(kbps: int) -> int:
    """How much passes at once after a silence, beside what the bandwidth lets pass."""
    return max(BURST_BYTES_MIN, kbps * BURST_MS // 8)


@dataclass(frozen=True)
class Passed:
    """What a link's kernel says of one direction: the bandwidth that it keeps, and what passed and was dropped since the start.

    `kbps` None: nothing is shaped there. Bytes are those of whole packets, with their headers.
    """

    kbps: float | None
    bytes: int
    dropped: int  # packets for which there was no room in the queue


def passed_script(addresses: Addresses, path: str) -> str:
    """Asks the kernel of a link what has left it towards the target of a directed path, as JSON, for `passed`."""
    source, target = path.split("->")
    own = addresses.link((min(source, target), max(source, target)), target)
    return f"tc -s -j qdisc show dev \"$(ip -o -4 addr show to {own}/32 | awk '{{print $2}}')\" root"


def passed(told: str) -> Passed:
    """Raises LinkError where the kernel said nothing that can be read."""
    try:
        for one in json.loads(told):
            if one["kind"] == "tbf":
                return Passed(one["options"]["rate"] * 8 / 1000, int(one["bytes"]), int(one["drops"]))
            return Passed(None, int(one.get("bytes", 0)), int(one.get("drops", 0)))
        return Passed(None, 0, 0)
    except (ValueError, KeyError, TypeError) as error:
        raise LinkError(f"expected what a link's kernel keeps and has passed, as JSON of tc; seen {told[:200]!r}") from error


def shaped_as_named(path: str, kbps: int, seen: Passed) -> None:
    """Raises LinkError where a line is not as narrow as it says: a drill on it would prove something else."""
    if seen.kbps is None or not math.isclose(seen.kbps, kbps, rel_tol=0.001):
        told = "no limit" if seen.kbps is None else f"{seen.kbps:g} kbit/s"
        raise LinkError(f"link {path}: expected the kernel to let {kbps} kbit/s pass at most; seen {told}. {NO_TBF}")


def cut_table(source: str, target: str) -> str:
    """One table for each cut path, so that each is cut, seen and healed by itself."""
    return f"{CUT_TABLE}_{source}_{target}"


def cut_place(path: str) -> tuple[str, str] | None:
    """The pair whose link a directed path between centers leads over; None: the door, for `door->dc1`."""
    source, _, target = path.partition("->")
    return None if source == DOOR else (min(source, target), max(source, target))


def sender(topology: Topology, path: str) -> str | None:
    """The node in whose own network a path between two nodes, `dc1-a->dc2-a`, is cut; None for one between centers."""
    source = path.partition("->")[0]
    return source if any(node.name == source for node in topology.nodes()) else None


def cut_drops(addresses: Addresses, path: str, interface: Callable[[str], str]) -> list[Drop]:
    """What makes a directed path carry nothing; `interface` names the one that has an address.

    In two places: by incoming interface before translation, and by outgoing interface after it, else the proxy's own packets
    escape. The host's own address is spared: the harness must still reach the link. At the door: both ways. Between two
    nodes: what the first sends to the address by which it knows the second.
    """
    source, _, target = path.partition("->")
    if (node := sender(addresses.topology, path)) is not None:
        center = addresses.topology.center_of(node).name
        return [Drop("leaving", "output", RAW, "daddr", IPv4Network(addresses.seen_from(center, target)))]
    pair = cut_place(path)
    if pair is None:
        network = addresses.networks[target]
        return [Drop("arriving", "prerouting", RAW, "saddr", network), Drop("leaving", "output", RAW, "daddr", network)]
    gateways = {center: IPv4Network(addresses.gateway(center)) for center in pair}
    arrive, leave = (interface(addresses.link(pair, center)) for center in (source, target))
    return [
        Drop("arriving", "prerouting", RAW, "saddr", gateways[source], inside=False, interface=arrive),
        Drop("leaving", "postrouting", 200, "daddr", gateways[target], inside=False, interface=leave),
    ]


def cut_script(addresses: Addresses, path: str) -> str:
    """The same as a shell script for the namespace of the link, or the door. Safe to run again."""
    drops = cut_drops(addresses, path, lambda address: f"$(ip -o -4 addr show to {address}/32 | awk '{{print $2}}')")
    table = cut_table(*path.split("->"))
    chains = "\n".join(f"  {drop.text()}" for drop in drops)
    return f"""set -eu
nft -f - <<RULES
table ip {table} {{}}
delete table ip {table}
table ip {table} {{
{chains}
}}
RULES"""


def restore_script(source: str, target: str) -> str:
    """Heal one path. Safe to run again, and on a path that was never cut."""
    table = cut_table(source, target)
    return f"nft -f - <<'RULES'\ntable ip {table} {{}}\ndelete table ip {table}\nRULES"


def seen_script() -> str:
    """Lists the cut tables with their counters, as JSON, for `dropped`."""
    return "nft -j list ruleset"


def dropped(ruleset: dict[str, Any], source: str, target: str) -> int | None:
    """Packets that a cut has dropped so far; None when the path is not cut."""
    table = cut_table(source, target)
    entries = ruleset.get("nftables", [])
    if not any(e.get("table", {}).get("name") == table for e in entries):
        return None
    rules = [e["rule"] for e in entries if e.get("rule", {}).get("table") == table]
    return sum(int(x["counter"]["packets"]) for r in rules for x in r["expr"] if "counter" in x)


# The door must not reach beyond the machine.
DOOR_SCRIPT = "ip route replace unreachable default"


class Toxiproxy:
    """One link's Toxiproxy. Every change is read back; a time-out or an error status is an error here."""

    TIMEOUT_S = 15.0  # a machine that starts twenty containers keeps one waiting

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}:{API_PORT}"
        self.session = requests.Session()
        self.session.trust_env = False  # a proxy setting of the host must not catch this

    def call(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = self.session.request(method, self.url + path, json=body, timeout=self.TIMEOUT_S)
        except requests.RequestException as error:
            raise LinkError(f"Toxiproxy at {self.url} did not answer {method} {path}: {error}") from error
        if answer.status_code >= 400:
            raise LinkError(f"Toxiproxy refused {method} {path}: {answer.status_code} {answer.text.strip()[:200]}")
        return answer.json() if answer.content else None

    def version(self) -> str:
        answer = self.call("GET", "/version")
        return str(answer["version"]) if isinstance(answer, dict) else str(answer)

    def populate(self, wanted: list[Proxy], latency_ms: dict[tuple[str, str], float]) -> None:
        """Make the proxies and their base latency; `latency_ms` is one way, by (source, target)."""
        self.call("POST", "/populate", [p.to_json() for p in wanted])
        for proxy in wanted:
            for stream, way in (("upstream", (proxy.source, proxy.target)), ("downstream", (proxy.target, proxy.source))):
                if latency_ms[way] > 0:
                    self.toxic(proxy.name, stream, latency_ms[way])
        seen = self.call("GET", "/proxies")
        missing = [p.name for p in wanted if p.name not in seen]
        if missing:
            raise LinkError(f"expected {len(wanted)} proxies at {self.url}; missing {', '.join(missing)}")

    def toxic(self, proxy: str, stream: str, latency_ms: float) -> None:
        body = {
            "name": f"base_{stream}",
            "type": "latency",
            "stream": stream,
            "attributes": {"latency": round(latency_ms), "jitter": 0},
        }
        self.call("POST", f"/proxies/{proxy}/toxics", body)

    def set_latency(self, wanted: list[Proxy], latency_ms: dict[tuple[str, str], float]) -> None:
        """Change the base latency of live connections, and read it back."""
        for proxy in wanted:
            for stream, way in (("upstream", (proxy.source, proxy.target)), ("downstream", (proxy.target, proxy.source))):
                path = f"/proxies/{proxy.name}/toxics/base_{stream}"
                self.call("POST", path, {"attributes": {"latency": round(latency_ms[way]), "jitter": 0}})
                seen = self.call("GET", path)["attributes"]["latency"]
                if seen != round(latency_ms[way]):
                    raise LinkError(f"{proxy.name} {stream}: expected {round(latency_ms[way])} ms; seen {seen} ms")
