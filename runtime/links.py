"""Links between centers: addresses, bandwidth by tbf, cuts, refusals, loss. Texts only; no Docker here.

A link container stands in both centers' networks. It owns an alias address for each remote node. TCP to a known port goes
through a Toxiproxy proxy (runtime/toxics.py), which adds the latency; everything else is translated as it is. What leaves a link
towards a center goes through one token bucket of the kernel's, so all connections share the bandwidth (Toxiproxy's own would give
it to each connection anew).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from runtime.addresses import DOOR, Addresses
from runtime.manager import manager_of
from runtime.netfilter import Drop
from topologies.kinds import KINDS
from topologies.model import Node, Topology

FIRST_PROXY_PORT = 20000
CUT_TABLE = "drillbook_cut"
REFUSAL_TABLE = "drillbook_refusal"
LOSS_TABLE = "drillbook_loss"
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
            lines.append(shape(kbps))
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


def shape(kbps: int) -> str:
    """The command that makes a line narrow, on the interface `$dev`."""
    bucket = f"tbf rate {kbps}kbit burst {burst_bytes(kbps)} latency {QUEUED_MS}ms"
    return f"tc qdisc replace dev $dev root {bucket} || {{ echo '{NO_TBF}' >&2; exit 1; }}"


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
    own = addresses.link(pair_of(path), path.split("->")[1])
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


def cut_table(source: str, target: str, *, kind: str = CUT_TABLE) -> str:
    """One table for each path and what is done to it, so that each is done, seen and healed by itself."""
    return f"{kind}_{source}_{target}"


def pair_of(path: str) -> tuple[str, str]:
    """The centers of a directed path between two, as a link's pair is written."""
    source, target = path.split("->")
    return min(source, target), max(source, target)


def cut_place(path: str) -> tuple[str, str] | None:
    """The pair whose link a directed path between centers leads over; None: the door, for `door->dc1`."""
    return None if path.startswith(f"{DOOR}->") else pair_of(path)


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
    return in_place(table, chains)


def refuse_script(addresses: Addresses, path: str) -> str:
    """What a directed path between centers carries is answered with a refusal, by the link. Safe to run again.

    TCP with a reset, everything else with "port unreachable"; what the link's own proxy sends on is refused too.
    """
    source, target = path.split("->")
    pair = pair_of(path)
    dev = "$(ip -o -4 addr show to {}/32 | awk '{{print $2}}')"
    arrive, leave = (dev.format(addresses.link(pair, center)) for center in (source, target))
    refusals = "meta l4proto tcp counter reject with tcp reset; {} counter reject"
    came = f"iifname {arrive} ip saddr != {addresses.gateway(source)}"
    went = f"oifname {leave} ip daddr != {addresses.gateway(target)}"
    chains = [
        (chain, hook, which)
        for chain, hook, which in (("arriving", "input", came), ("passing", "forward", came), ("leaving", "output", went))
    ]
    rules = "\n".join(
        f"  chain {chain} {{ type filter hook {hook} priority {RAW}; policy accept; {which} {refusals.format(which)}; }}"
        for chain, hook, which in chains
    )
    return in_place(cut_table(source, target, kind=REFUSAL_TABLE), rules)


def loss_script(addresses: Addresses, path: str, percent: int) -> str:
    """Of the packets that leave the link towards a path's target, so many of a hundred are dropped, drawn by the kernel."""
    source, target = path.split("->")
    leave = f"$(ip -o -4 addr show to {addresses.link(pair_of(path), target)}/32 | awk '{{print $2}}')"
    which = f"oifname {leave} ip daddr != {addresses.gateway(target)}"
    rules = f"{which} counter; {which} numgen random mod 100 < {percent} counter drop"
    chain = f"  chain leaving {{ type filter hook postrouting priority 200; policy accept; {rules}; }}"
    return in_place(cut_table(source, target, kind=LOSS_TABLE), chain)


def in_place(table: str, chains: str) -> str:
    """A shell script that puts a table in place of an older one of its name."""
    return f"set -eu\nnft -f - <<RULES\ntable ip {table} {{}}\ndelete table ip {table}\ntable ip {table} {{\n{chains}\n}}\nRULES"


def shape_script(addresses: Addresses, path: str, kbps: int | None) -> str:
    """Lets so much pass towards a path's target at most; None: as much as it can. Safe to run again."""
    own = addresses.link(pair_of(path), path.split("->")[1])
    find = f"dev=$(ip -o -4 addr show to {own}/32 | awk '{{print $2}}')"
    if kbps is None:
        return f"set -eu\n{find}\ntc qdisc del dev $dev root 2>/dev/null || true"
    return f"set -eu\n{find}\n{shape(kbps)}"


def restore_script(source: str, target: str, *, kind: str = CUT_TABLE) -> str:
    """Heal one path. Safe to run again, and on a path that was never cut."""
    table = cut_table(source, target, kind=kind)
    return f"nft -f - <<'RULES'\ntable ip {table} {{}}\ndelete table ip {table}\nRULES"


def seen_script() -> str:
    """Lists the cut tables with their counters, as JSON, for `dropped`."""
    return "nft -j list ruleset"


def dropped(ruleset: dict[str, Any], source: str, target: str) -> int | None:
    """Packets that a cut has dropped so far; None when the path is not cut."""
    counts = counted(ruleset, cut_table(source, target))
    return None if counts is None else sum(counts)


def counted(ruleset: dict[str, Any], table: str) -> list[int] | None:
    """Packets that each rule of a table has counted so far, in their order; None where there is no such table."""
    entries = ruleset.get("nftables", [])
    if not any(e.get("table", {}).get("name") == table for e in entries):
        return None
    rules = [e["rule"] for e in entries if e.get("rule", {}).get("table") == table]
    return [int(x["counter"]["packets"]) for r in rules for x in r["expr"] if "counter" in x]


# The door must not reach beyond the machine.
DOOR_SCRIPT = "ip route replace unreachable default"
