"""A database cut from its peers and its store: which paths, where each is cut, and nobody else is touched. By values alone."""

from __future__ import annotations

import pytest

from faults import build
from faults.half_isolated import HalfIsolated
from runtime import links
from tests.test_managers import addresses_of
from topologies.three_vendors import three_vendors
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = two_region_three_center()


def test_its_peers_send_nothing_to_it_and_it_sends_nothing_to_its_store() -> None:
    assert set(HalfIsolated("dc1-a").effect(TOPOLOGY).cut) == {
        "dc1-b->dc1-a", "dc2-a->dc1-a", "dc2-b->dc1-a", "dc1-a->dc1-etcd", "dc1-a->dc2-etcd", "dc1-a->dc3-etcd",
    }  # fmt: skip
    assert HalfIsolated("dc1-a").effect(TOPOLOGY).down == ()
    assert HalfIsolated("primary").effect(TOPOLOGY).cut == ()


def test_where_people_decide_there_is_no_store_to_cut() -> None:
    topology = three_vendors(manager="by-hand")
    assert set(HalfIsolated("vendor-a-a").effect(topology).cut) == {
        f"{peer}->vendor-a-a" for peer in ("vendor-a-b", "vendor-b-a", "vendor-b-b", "vendor-c-a", "vendor-c-b")
    }


def test_a_monitor_neither_asks_nor_is_told() -> None:
    cut = HalfIsolated("dc1-a").effect(two_region_three_center(manager="pg-auto-failover")).cut
    assert set(cut) == {"dc1-b->dc1-a", "dc2-a->dc1-a", "dc2-b->dc1-a", "dc3-monitor->dc1-a", "dc1-a->dc3-monitor"}


@pytest.mark.parametrize("node", ["dc1-haproxy", "dc2-etcd"])
def test_only_a_database_is_cut_so(node: str) -> None:
    with pytest.raises(ValueError, match=f"expected a database; seen {node}"):
        HalfIsolated(node).effect(TOPOLOGY)
    with pytest.raises(KeyError, match="no node 'dc9-x'"):
        HalfIsolated("dc9-x").effect(TOPOLOGY)


def test_it_is_built_again_from_its_record() -> None:
    fault = HalfIsolated("dc1-a")
    again = build("HalfIsolated", fault.arguments)
    assert again.effect(TOPOLOGY) == fault.effect(TOPOLOGY)
    assert "dc1-a and its peers" in again.undo()


@pytest.mark.parametrize(
    ("path", "place", "seen_as"),
    [
        ("dc2-a->dc1-a", "dc2-a", ("dc2", "dc1-a")),
        ("dc1-b->dc1-a", "dc1-b", ("dc1", "dc1-a")),
        ("dc1-a->dc3-etcd", "dc1-a", ("dc1", "dc3-etcd")),
    ],
)
def test_a_path_between_nodes_is_cut_where_it_is_sent(path: str, place: str, seen_as: tuple[str, str]) -> None:
    """To the address by which the sender's center knows the other one, and nothing else."""
    addresses = addresses_of(TOPOLOGY)
    assert links.sender(TOPOLOGY, path) == place
    (drop,) = links.cut_drops(addresses, path, lambda _: "unused")
    assert f"ip daddr {addresses.seen_from(*seen_as)}" in drop.text()
    assert "hook output" in drop.text()


@pytest.mark.parametrize("path", ["dc1->dc2", "door->dc1"])
def test_a_path_between_centers_is_nobodys_own(path: str) -> None:
    assert links.sender(TOPOLOGY, path) is None
