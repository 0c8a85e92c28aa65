"""What stands, as plain values: addresses of any shape, settings, and a bank that knows no center by name."""

from __future__ import annotations

import inspect
import io
import itertools
import re
import tokenize
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import images, nodes
from runtime.addresses import DOOR, Addresses, free_networks
from runtime.manager import Manager, check_managers, manager_of, managers
from topologies import catalogue
from topologies.kinds import BALANCER, BANK, DATABASE, STORE
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.two_region_three_center import two_region_three_center

ROOT = Path(__file__).resolve().parents[1]


def linked(centers: int, nodes: int = 3) -> Topology:
    """So many centers, each linked with every other."""
    names = [f"city-{n}" for n in range(centers)]
    return Topology(
        name="linked",
        centers=tuple(Center(c, "A", nodes_of(c, nodes)) for c in names),
        links=tuple(Link(one, other, 1.0) for one, other in itertools.permutations(names, 2)),
        groups=(Group("all", manager="patroni"),),
        door=Door(tuple(names)),
        service="none",
    )


def nodes_of(center: str, count: int) -> tuple[Node, ...]:
    """A balancer, a bank, and databases for the rest."""
    kinds = [BALANCER, BANK, *[DATABASE] * (count - 2)]
    return tuple(Node(f"{center}-{n}", kind, "all") for n, kind in enumerate(kinds))


def addresses(topology: Topology) -> Addresses:
    return Addresses(topology, free_networks([c.name for c in topology.centers], [], start=0))


@pytest.mark.parametrize("centers", [2, 3, 5, 8])
def test_nobody_shares_an_address(centers: int) -> None:
    topology = linked(centers)
    found = addresses(topology)
    for center in topology.centers:
        held = [found.gateway(center.name), found.door(center.name), *found.hosts(center.name).values()]
        held += [found.link(pair, center.name) for pair in found.pairs() if center.name in pair]
        assert [address for address, count in Counter(held).items() if count > 1] == []


def test_more_than_a_network_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at most 7 linked centers for each; city-0 has 8"):
        addresses(linked(9))
    with pytest.raises(ValueError, match="expected at most 120 nodes; linked has 122"):
        addresses(linked(2, nodes=61))


@pytest.mark.parametrize("value", ["20.5", 20.5])
def test_a_fraction_where_a_whole_number_is_meant(value: object) -> None:
    with pytest.raises(ValueError, match=r"ttl_s: expected a whole number; seen '?20\.5'?"):
        two_region_three_center(ttl_s=value)
    with pytest.raises(ValueError, match="ttl_s: expected a whole number; seen 'soon'"):
        two_region_three_center(ttl_s="soon")
    assert two_region_three_center(ttl_s="21").settings["ttl_s"] == 21


def changed(**parts: Any) -> Topology:
    return replace(linked(2), **parts)


def without(kind: str, *also: str) -> Topology:
    """The second center has none of that kind; with `door`, no customer goes there either."""
    first, second = linked(2).centers
    left = replace(second, nodes=tuple(n for n in second.nodes if n.kind != kind))
    return changed(centers=(first, left), **({"door": Door(("city-0",))} if also else {}))


def with_node(node: Node) -> Topology:
    first, second = linked(2).centers
    return changed(centers=(replace(first, nodes=(*first.nodes, node)), second))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: with_node(Node("city-1-0", DATABASE, "all")), "node city-1-0 stands twice"),
        (
            lambda: with_node(Node("City", DATABASE, "all")),
            "node 'City': expected small letters and digits in parts joined by '-'",
        ),
        (
            lambda: with_node(Node("x", "oracle", "all")),
            "node x: expected a kind of etcd, monitor, repository, postgres, watcher, bank, front, edge, haproxy; seen 'oracle'",
        ),
        (lambda: with_node(Node("x", DATABASE, "none")), "node x: expected a group of all; seen 'none'"),
        (lambda: changed(centers=linked(2).centers[:1] * 2), "center city-0 stands twice"),
        (lambda: changed(groups=(Group("all", "patroni"),) * 2), "group all stands twice"),
        (
            lambda: changed(groups=(Group("all", "patroni"), Group("far", "patroni"))),
            "group far: expected at least one database of it",
        ),
        (
            lambda: changed(groups=(Group("all", "patroni", upstream="all"),)),
            "group all: expected an upstream that is another group",
        ),
        (
            lambda: changed(groups=(Group("all", "patroni", upstream="far"),)),
            "group all: expected an upstream that is another group",
        ),
        (lambda: changed(links=(Link("city-0", "city-1", 1),)), "link city-0->city-1: expected a link back"),
        (
            lambda: changed(links=(Link("city-0", "city-9", 1),)),
            "link city-0->city-9: expected two of the centers city-0, city-1",
        ),
        (lambda: changed(links=linked(2).links * 2), "link city-0->city-1 stands twice"),
        (
            lambda: changed(links=tuple(replace(one, latency_ms=-1) for one in linked(2).links)),
            "expected a latency of 0 ms or more",
        ),
        (lambda: changed(links=()), "center city-0: expected a link to another center; seen none"),
        (lambda: with_node(Node("link-x", DATABASE, "all")), "node 'link-x': expected another name"),
        (
            lambda: without(BANK, "door"),
            "can be asked over HTTP (etcd or watcher or bank or front or edge) beside its databases; seen haproxy, postgres",
        ),
        (
            lambda: changed(centers=(linked(2).centers[0], replace(linked(2).centers[1], nodes=())), door=Door(("city-0",))),
            "center city-1: expected at least one node; seen none",
        ),
        (lambda: without(BALANCER), "bank city-1-1: expected a balancer of group all in city-1; seen none"),
        (lambda: changed(door=Door(("city-0", "city-7"))), "the door: expected centers of city-0, city-1, each once"),
        (lambda: changed(door=Door(("city-0",), closed=("city-0",))), "the door: expected centers of city-0, city-1, each once"),
        (lambda: changed(door=Door(())), "one at least open; seen none"),
    ],
)
def test_what_contradicts_itself_is_refused_in_one_line(make: Callable[[], Topology], told: str) -> None:
    with pytest.raises(ValueError, match=r"^topology linked: ") as refused:
        make()
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_bank_has_one_primary_side() -> None:
    centers = linked(2).centers
    second = replace(centers[1], nodes=tuple(replace(n, group="other") for n in centers[1].nodes))
    groups = (Group("all", "patroni"), Group("other", "patroni"))
    with pytest.raises(ValueError, match="expected one group without an upstream, because there is one bank; seen all, other"):
        changed(centers=(centers[0], second), groups=groups)
    assert changed(centers=(centers[0], second), groups=(groups[0], replace(groups[1], upstream="all"))).standby_sides()


def test_a_center_without_a_bank_is_no_place_for_customers() -> None:
    first, second = with_node(Node("keeper", STORE, "all")).centers[::-1]
    bare = replace(second, nodes=tuple(n for n in second.nodes if n.kind != BANK))
    with pytest.raises(ValueError, match="the door leads to city-0: expected a bank, a front or an edge there; seen none"):
        changed(centers=(first, bare))


def test_managers_are_found_by_their_name() -> None:
    assert "patroni" in managers()
    assert manager_of(Group("all", manager="patroni")).name == "patroni"
    with pytest.raises(ValueError, match=r"group all: expected a manager of .*patroni.*; seen 'no-such'"):
        check_managers(changed(groups=(Group("all", manager="no-such"),)))


@pytest.mark.parametrize("name", managers())
def test_every_manager_keeps_the_whole_protocol(name: str) -> None:
    wanted = {method for method, made in vars(Manager).items() if inspect.isfunction(made) and method[0] != "_"}
    assert len(wanted) > 10
    for method in wanted:
        ours, theirs = inspect.signature(getattr(Manager, method)), inspect.signature(getattr(type(managers()[name]), method))
        assert list(ours.parameters) == list(theirs.parameters), method


def test_a_group_under_patroni_has_a_store_and_its_leader_a_place() -> None:
    with pytest.raises(ValueError, match="group all: Patroni expects a store, nodes of kind etcd; seen none"):
        check_managers(linked(2))
    with_store = with_node(Node("keeper", STORE, "all"))
    with pytest.raises(ValueError, match="etcd_leader_center: expected a center with a member of the store, city-0; seen None"):
        check_managers(with_store)
    check_managers(replace(with_store, settings={"etcd_leader_center": "city-0"}))


@pytest.mark.parametrize("name", catalogue())
def test_every_topology_can_be_made_and_is_named_as_its_file(name: str) -> None:
    topology = catalogue()[name]()
    assert topology.name == name
    check_managers(topology)
    assert len(topology.to_json()["groups"]) == len(topology.groups)


@pytest.mark.parametrize("name", catalogue())
def test_every_node_of_every_topology_has_a_program(name: str) -> None:
    topology = catalogue()[name]()
    found = Addresses(topology, free_networks([*(c.name for c in topology.centers), DOOR], [], start=0))
    for node in topology.nodes():
        assert nodes.program(found, node).command
    config = nodes.door(found).environment["CONFIG"]
    assert all(f"server {c} " in config for c in topology.door.centers)
    assert "  timeout server 10s\n" in config
    assert "http-request set-header Not-After %[date(10)]" in config  # who hears of it no more gets no commit either


LIVE = ("drills", "faults", "harness", "managers", "runtime", "topologies")
MAY_SAY = {
    r"\bdc\d\b": ("drills/", "topologies/two_region_three_center.py"),
    r"vendor-[abc]\b": ("topologies/three_vendors.py",),
    r"region[-_][ab]\b": ("topologies/two_region_three_center.py",),
    r"etcd|/v3/kv": ("managers/", "topologies/", "runtime/leader.py"),
    r"patroni": ("drills/", "managers/", "topologies/"),
}


@pytest.mark.parametrize("word", MAY_SAY)
def test_names_stand_only_where_they_are_given(word: str) -> None:
    """In code, not in the examples of docstrings and comments."""
    told = []
    for path in (p for room in LIVE for p in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(MAY_SAY[word]) or "images/" in name:
            continue
        for tokens in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            said = tokens.type in (tokenize.NAME, tokenize.STRING) and not tokens.string.startswith(('"""', "'"))
            if said and re.search(word, tokens.string, flags=re.IGNORECASE):
                told.append(f"{name}:{tokens.start[0]}: {tokens.string[:80]}")
    assert told == []


def test_the_bank_knows_no_center_by_name() -> None:
    """A heartbeat that waits for no copy, because its center has no row, would call a bank ready that can't write."""
    for name in ("schema.sql", "bank.py"):
        text = (Path(images.__file__).parent / name).read_text(encoding="utf-8")
        assert re.findall(r"\bdc\d\b", text) == []
        assert "UPDATE heartbeat" not in text
