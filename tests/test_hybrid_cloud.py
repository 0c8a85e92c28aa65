"""Fronts without a bank of their own: what they and the door are given, and when customers count as refused. By values alone."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace
from threading import Lock
from types import SimpleNamespace
from typing import cast

import pytest

from faults.center_isolated import CenterIsolated
from harness.customers import Customers
from judging.evidence import Load
from runtime import nodes
from tests.test_managers import addresses_of
from topologies.hybrid_cloud import hybrid_cloud
from topologies.kinds import FRONT
from topologies.model import Door, Node

TOPOLOGY = hybrid_cloud()
S = 1_000_000_000


def config(node: str) -> list[str]:
    return nodes.program(addresses_of(TOPOLOGY), TOPOLOGY.node(node)).environment["CONFIG"].splitlines()


def test_a_front_passes_on_to_the_bank_and_sends_no_payment_twice() -> None:
    lines = [line.strip() for line in config("public-1-front")]
    assert [line for line in lines if line.startswith("server ")] == ["server private-bank private-bank:8080 check"]
    assert "timeout check 300ms" in lines
    assert "retry-on conn-failure" in lines
    assert "option httpchk GET /ready" in lines


def test_the_door_deals_customers_among_the_open_fronts() -> None:
    addresses = addresses_of(TOPOLOGY)
    lines = nodes.door(addresses).environment["CONFIG"].splitlines()
    servers = [line.strip() for line in lines if line.strip().startswith("server ")]
    seen = [f"server {c} {addresses.seen_from(c, f'{c}-front')}:8080 check" for c in ("public-1", "public-2", "public-3")]
    assert servers == [*seen[:2], f"{seen[2]} disabled"]
    assert not any("backup" in line for line in servers)


def test_only_lines_that_carry_something_are_cut_when_the_core_is_isolated() -> None:
    cut = CenterIsolated("private").effect(TOPOLOGY).cut
    assert set(cut) == {f"{a}->{b}" for n in (1, 2, 3) for a, b in ((f"public-{n}", "private"), ("private", f"public-{n}"))}
    assert "door->public-1" in CenterIsolated("public-1").effect(TOPOLOGY).cut


def test_a_front_needs_a_bank_and_a_door_an_entry() -> None:
    bare = replace(TOPOLOGY.centers[0], nodes=tuple(n for n in TOPOLOGY.centers[0].nodes if n.kind != "bank"))
    with pytest.raises(
        ValueError, match="front public-1-front: expected a bank of group core to pass customers on to; seen none"
    ):
        replace(TOPOLOGY, centers=(bare, *TOPOLOGY.centers[1:]))
    empty = replace(TOPOLOGY.centers[1], nodes=(Node("public-1-keeper", "etcd", "core"),))
    with pytest.raises(ValueError, match="the door leads to public-1: expected a bank, a front or an edge there; seen none"):
        replace(TOPOLOGY, centers=(TOPOLOGY.centers[0], empty, *TOPOLOGY.centers[2:]))
    assert Door(("a",)).to_json() == {"centers": ["a"], "closed": []}  # as it was before there was anything else
    assert len(TOPOLOGY.nodes(FRONT)) == 3


def customers(answers: list[tuple[float, float, str]]) -> Customers:
    """(seconds ago that a payment was done, seconds that it took, outcome), as the probe's file told."""
    now = time.monotonic_ns()
    recent = deque((now - int(ago * S), now - int((ago + took) * S), outcome) for ago, took, outcome in answers)
    return cast(Customers, SimpleNamespace(load=Load(), lock=Lock(), recent=recent))


@pytest.mark.parametrize(
    ("spoiled", "refused"),
    [
        (None, True),
        ((1.0, 0.01, "acknowledged"), False),
        ((1.0, 0.01, "unknown"), False),
        ((1.0, 1.2, "refused"), False),  # told no, and kept waiting
    ],
)
def test_customers_are_refused_when_each_is_told_at_once(spoiled: tuple[float, float, str] | None, refused: bool) -> None:
    answers = [(number / 100, 0.01, "refused") for number in range(200)]
    if spoiled is not None:
        answers[100] = spoiled
    assert Customers.refused(customers(answers))[0] is refused


def test_silence_is_no_refusal() -> None:
    """Half of the payments have no answer yet: who waits was not told no."""
    answers = [(number / 100, 0.01, "refused") for number in range(0, 200, 2)]
    reached, seen = Customers.refused(customers(answers))
    assert (reached, seen) == (False, "100 of 200 payments due in the last 2 s refused within 1 s")
