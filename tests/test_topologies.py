"""What stands, as plain values: addresses of any shape, settings, and a bank that knows no center by name."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from topologies import images
from topologies.addresses import Addresses, free_networks
from topologies.model import Center, Link, Node, Topology
from topologies.two_region_three_center import two_region_three_center


def linked(centers: int, nodes: int = 3) -> Topology:
    """So many centers, each linked with every other."""
    names = [f"city-{n}" for n in range(centers)]
    return Topology(
        name="linked",
        centers=tuple(Center(c, "A", tuple(Node(f"{c}-{n}", "postgres") for n in range(nodes))) for c in names),
        links=tuple(Link(one, other, 1.0) for one, other in itertools.permutations(names, 2)),
        service="none",
    )


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


def test_the_bank_knows_no_center_by_name() -> None:
    """A heartbeat that waits for no copy, because its center has no row, would call a bank ready that can't write."""
    for name in ("schema.sql", "bank.py"):
        text = (Path(images.__file__).parent / name).read_text(encoding="utf-8")
        assert re.findall(r"\bdc\d\b", text) == []
        assert "UPDATE heartbeat" not in text
