"""What is covered: what each fault can hit, what is expected of it, which cell a run tells of, and what to drill next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import topologies
from analysis import expected
from analysis.coverage import Cell, Coverage, Drilled, Struck, coverage, struck, suggested
from analysis.expected import Expected, Stands, derive, gravest
from faults import FAULTS
from harness import coverage as live
from harness.cli import main
from harness.hold import fault_from_words
from judging.evidence import Planned, PlannedFault, PlannedUntil, sha256_of
from reports.coverage import coverage_page
from runtime.manager import manager_of, managers
from tests.synthetic import SCENARIOS, Scenario, reseal, write_run
from tests.test_forgeries import light
from topologies import kinds
from topologies.edge_and_center import edge_and_center
from topologies.hybrid_cloud import hybrid_cloud
from topologies.model import Center, Door, Group, Link, Node, Topology
from topologies.single_center import single_center
from topologies.three_vendors import three_vendors
from topologies.two_region_three_center import two_region_three_center as two_regions

CENTER_LOSS = light(SCENARIOS["center-loss"])


# --- Targets ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("topology", topologies.catalogue())
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_names_what_it_can_hit(fault: str, topology: str) -> None:
    for manager in managers():
        try:
            value = topologies.catalogue()[topology](manager=manager)
        except ValueError:
            assert topology == "single-center"  # people decide there, and nobody else
            continue
        found = FAULTS[fault].targets(value)
        assert found or fault in ("SiteDestroyed", "TableEmptied")
        assert len(set(found)) == len(found)
        for target in found:
            built = fault_from_words(fault, target)
            built.effect(value)
            assert built.undo()


def test_targets_are_all_that_stands_and_no_more() -> None:
    found = {name: fault.targets(two_regions()) for name, fault in FAULTS.items()}
    databases = ["dc1-a", "dc1-b", "dc2-a", "dc2-b", "dc3-a"]
    assert found["NodeKilled"] == [node.name for node in two_regions().nodes()]
    assert found["NodeFrozen"] == found["NodeKilled"]
    assert found["CenterPowerLoss"] == ["dc1", "dc2", "dc3"]
    assert found["RegionLoss"] == ["A", "B"]
    assert found["LinkBlackholed"][:4] == ["dc1<->dc2", "dc1<->dc3", "dc2<->dc3", "*<->*"]
    assert sorted(found["LinkBlackholed"][4:]) == sorted(str(link) for link in two_regions().links)
    assert found["HalfIsolated"] == databases
    assert found["BitsFlipped"] == [f"entries@{name}" for name in databases]
    assert found["PlannedSwitchover"] == ["dc1", "dc2"]
    assert FAULTS["HalfIsolated"].targets(two_regions(manager="by-hand")) == databases[:-1]  # dc3-a alone has nobody to lose


# --- What is expected -------------------------------------------------------------------------------------------------
def mapped(topology: Topology, runs: Sequence[Drilled] = (), drills: Mapping[str, Sequence[Planned]] | None = None) -> Coverage:
    takes_over = {group.name: manager_of(group).takes_over for group in topology.groups}
    return coverage(topology.to_json(), takes_over, live.targets(topology), drills=drills or {}, runs=runs)


def cell(found: Coverage, fault: str, victim: str, moment: str = "steady") -> Cell:
    one = found.cell(fault, victim, moment)
    assert one is not None, (fault, victim, moment)
    return one


def seen(found: Coverage, fault: str, victim: str, moment: str = "steady") -> str:
    """`takeover`, or `takeover!` where confirmed payments may be lost."""
    one = cell(found, fault, victim, moment).expected
    assert one.why
    return f"{one.kind}{'!' if one.loss == 'possible' else ''}"


def city(*, count: int = 1, mode: str = "plain", witness: bool = True, banks: str = "ab", manager: str = "patroni") -> Topology:
    """Two centers with a database each; the store's third member, if any, stands alone."""
    stores = [Node(f"{name}-etcd", "etcd", "city") for name in ("a", "b", "c")] if manager.startswith("patroni") else []

    def center(name: str, number: int) -> Center:
        nodes = [Node(f"{name}-db", "postgres", "city"), Node(f"{name}-haproxy", "haproxy", "city"), *stores[number : number + 1]]
        return Center(name, "one", (*nodes, Node(f"{name}-bank", "bank", "city")))

    names = ("a", "b", "c") if witness else ("a", "b")
    return Topology(
        name="city",
        centers=(center("a", 0), center("b", 1), *((Center("c", "two", tuple(stores[2:])),) if witness else ())),
        links=tuple(Link(one, other, 1) for one in names for other in names if one != other),
        groups=(Group("city", manager),),
        door=Door(tuple(banks)),
        service="",
        settings={"synchronous": mode, "synchronous_node_count": count},
    )


def test_the_kinds_of_node_and_the_managers_are_those_that_there_are() -> None:
    ours = {
        getattr(expected, name)
        for name in ("DATABASE", "STORE", "BALANCER", "BANK", "WATCHER", "MONITOR", "FRONT", "EDGE", "REPOSITORY")
    }
    assert ours == set(kinds.KINDS)
    differs = managers().keys() ^ (expected.KEEP_THE_LIST | expected.FIXED_LIST)
    assert not differs, f"analysis/expected.py: name each manager in KEEP_THE_LIST or FIXED_LIST, and no other; see {differs}"


def test_two_regions_as_they_stand() -> None:
    found = mapped(two_regions())
    for fault, victim, kind in (
        ("NodeKilled", "primary", "takeover"),
        ("NodeKilled", "copy in the primary's center", "pause"),
        ("NodeKilled", "standby side", "unnoticed"),
        ("NodeKilled", "etcd in the primary's center", "unnoticed"),
        ("NodeKilled", "bank in the primary's center", "pause"),
        ("NodeKilled", "haproxy in the primary's center", "pause"),
        ("NodeKilled", "bank elsewhere", "unnoticed"),
        ("NodeKilled", "bank of the standby side", "unnoticed"),
        ("CenterPowerLoss", "dc1 (primary)", "takeover"),
        ("CenterPowerLoss", "dc2", "pause"),
        ("CenterPowerLoss", "dc3", "unnoticed"),
        ("RegionLoss", "region A (primary)", "people!"),
        ("RegionLoss", "region B", "unnoticed"),
        ("LinkBlackholed", "dc1<->dc2", "pause"),
        ("LinkBlackholed", "dc2->dc1", "pause"),
        ("LinkBlackholed", "dc1<->dc3", "unnoticed"),
        ("HalfIsolated", "primary", "takeover"),
        ("HalfIsolated", "copy in another center", "pause"),
        ("BitsFlipped", "primary", "people"),
        ("BitsFlipped", "copy in another center", "unnoticed"),
        ("PlannedSwitchover", "dc2", "pause"),
    ):
        assert seen(found, fault, victim) == kind, (fault, victim)
    assert found.cell("PlannedSwitchover", "dc1 (primary)", "steady") is None  # it is there already


def test_every_victim_stands_in_each_moment_that_can_be() -> None:
    found = mapped(two_regions())
    for fault, victims in found.rows.items():
        for victim in victims:
            can_be = fault not in ("PlannedSwitchover", "TableLocked")
            assert (found.cell(fault, victim, "takeover") is not None) == can_be
            assert found.cell(fault, victim, "steady") is not None
            assert found.cell(fault, victim, "heal") is not None


def test_the_moments_are_derived_as_the_page_says() -> None:
    """In a takeover the primary is dead; in a heal the worst one of the copies is away."""
    found = mapped(two_regions())
    assert seen(found, "NodeKilled", "bank elsewhere", "takeover") == "takeover"
    assert seen(found, "CenterPowerLoss", "dc2", "takeover") == "unknown"
    assert seen(found, "CenterPowerLoss", "dc3", "takeover") == "takeover"
    assert seen(found, "LinkBlackholed", "dc1<->dc2", "heal") == "outage"
    assert cell(found, "LinkBlackholed", "dc1<->dc2", "heal").expected.why.startswith("while dc1-b is coming back: ")
    assert seen(found, "NodeKilled", "primary", "takeover") == "takeover"
    assert seen(mapped(two_regions(synchronous="plain")), "NodeKilled", "primary", "takeover") == "takeover!"
    assert seen(found, "BitsFlipped", "copy in another center", "takeover") == "people"
    assert seen(found, "BitsFlipped", "standby side", "takeover") == "takeover"


def test_without_synchronous_copies_payments_may_be_lost() -> None:
    found = mapped(two_regions(synchronous="off"))
    assert seen(found, "NodeKilled", "primary") == "takeover!"
    assert seen(found, "CenterPowerLoss", "dc1 (primary)") == "takeover!"
    assert seen(found, "CenterPowerLoss", "dc2") == "unnoticed"
    assert seen(found, "LinkBlackholed", "dc1<->dc2") == "unnoticed"
    assert seen(found, "PlannedSwitchover", "dc2") == "unknown"


def test_more_copies_confirm_than_are_lost_or_it_is_not_known() -> None:
    one, two = mapped(two_regions(synchronous_node_count=1)), mapped(two_regions(synchronous_node_count=2))
    assert (seen(one, "NodeKilled", "primary"), seen(two, "NodeKilled", "primary")) == ("takeover", "takeover")
    assert (seen(one, "CenterPowerLoss", "dc1 (primary)"), seen(two, "CenterPowerLoss", "dc1 (primary)")) == (
        "unknown",
        "takeover",
    )
    assert seen(one, "PlannedSwitchover", "dc2") == "unknown"
    assert seen(mapped(two_regions(synchronous_node_count=1, synchronous="quorum")), "PlannedSwitchover", "dc2") == "pause"
    assert seen(mapped(two_regions(synchronous="quorum")), "NodeKilled", "copy in another center") == "unnoticed"
    assert seen(mapped(two_regions(synchronous="quorum")), "CenterPowerLoss", "dc2") == "pause"


def test_three_vendors() -> None:
    found = mapped(three_vendors())
    assert seen(found, "CenterPowerLoss", "vendor-a (primary)") == "takeover"
    assert seen(found, "CenterPowerLoss", "vendor-b") == "pause"
    assert seen(found, "LinkBlackholed", "vendor-b<->vendor-c") == "unnoticed"
    assert seen(found, "PlannedSwitchover", "vendor-b") == "unknown"  # both copies that confirm may stand elsewhere
    assert "standby side" not in found.rows["NodeKilled"]


def test_where_people_decide_a_runbook_has_to() -> None:
    found = mapped(two_regions(manager="by-hand"))
    assert seen(found, "NodeKilled", "primary") == "people"
    assert seen(found, "CenterPowerLoss", "dc1 (primary)") == "people"
    assert seen(found, "LinkBlackholed", "dc1<->dc2") == "people"  # a fixed list: payments wait
    assert seen(found, "NodeKilled", "copy in another center") == "unnoticed"
    assert seen(mapped(two_regions(manager="by-hand", synchronous="off")), "NodeKilled", "primary") == "people!"
    assert seen(mapped(two_regions(manager="by-hand", synchronous_node_count=1)), "CenterPowerLoss", "dc1 (primary)") == "people!"


def test_other_managers_do_as_their_page_says() -> None:
    repmgr, monitored = mapped(two_regions(manager="repmgr")), mapped(two_regions(manager="pg-auto-failover"))
    watched = mapped(two_regions(manager="patroni-watched"))
    assert seen(repmgr, "NodeKilled", "primary") == "takeover"
    assert seen(repmgr, "LinkBlackholed", "dc1<->dc2") == "unknown"  # nothing fences the old primary
    assert seen(repmgr, "LinkBlackholed", "dc1<->dc2", "takeover") == "unknown!"  # each half may promote one
    assert seen(repmgr, "CenterPowerLoss", "dc2") == "outage"
    assert seen(monitored, "NodeKilled", "primary") == "takeover"
    assert seen(monitored, "NodeKilled", "monitor elsewhere") == "unnoticed"
    assert seen(monitored, "CenterPowerLoss", "dc1 (primary)") == "outage"  # it waits for the copy that died too
    assert seen(monitored, "LinkBlackholed", "dc1<->dc2") == "outage"
    assert seen(monitored, "LinkBlackholed", "dc1<->dc2", "takeover") == "outage"  # it waits for two of all, wherever it is
    assert seen(monitored, "LinkBlackholed", "dc1<->dc3") == "outage"
    assert seen(monitored, "HalfIsolated", "primary") == "takeover"
    asynchronous = mapped(two_regions(manager="pg-auto-failover", synchronous="off"))
    assert seen(asynchronous, "NodeKilled", "primary") == "takeover!"
    assert seen(asynchronous, "CenterPowerLoss", "dc1 (primary)") == "unknown!"
    assert seen(watched, "LinkBlackholed", "dc1<->dc3") == "takeover"  # the watcher is cut off from a primary that lives
    assert seen(watched, "NodeKilled", "watcher elsewhere") == "unnoticed"


def test_a_city_of_two_centers() -> None:
    pair, third = mapped(city(witness=False)), mapped(city())
    assert seen(pair, "NodeKilled", "primary") == "takeover"
    assert seen(pair, "NodeKilled", "etcd elsewhere") == "outage"  # one member of two is no majority
    assert seen(pair, "CenterPowerLoss", "b") == "outage"
    assert seen(pair, "LinkBlackholed", "a<->b") == "outage"
    assert seen(third, "CenterPowerLoss", "a (primary)") == "takeover"
    assert seen(third, "CenterPowerLoss", "b") == "pause"
    assert seen(third, "CenterPowerLoss", "c") == "unnoticed"
    assert seen(third, "LinkBlackholed", "a<->b") == "pause"
    assert seen(third, "RegionLoss", "region one (primary)") == "outage"  # and no standby side
    strict = mapped(city(mode="strict"))
    assert seen(strict, "NodeKilled", "primary") == "outage"  # nobody is left to confirm
    assert seen(strict, "CenterPowerLoss", "b") == "outage"
    assert seen(mapped(city(mode="off")), "CenterPowerLoss", "a (primary)") == "takeover!"


def test_fronts_without_a_bank_of_their_own() -> None:
    found = mapped(hybrid_cloud())
    assert seen(found, "CenterIsolated", "private (primary)") == "outage"
    assert seen(found, "CenterIsolated", "public-1") == "pause"  # its customers are dealt among the others
    assert seen(found, "CenterPowerLoss", "public-2") == "pause"
    assert seen(found, "CenterPowerLoss", "public-3") == "unnoticed"  # closed
    assert seen(found, "LinkBlackholed", "public-1->private") == "pause"
    assert seen(found, "NodeKilled", "bank in the primary's center") == "outage"
    assert seen(found, "NodeKilled", "front elsewhere") == "pause"


def test_edges_answer_what_is_small_and_no_more() -> None:
    found = mapped(edge_and_center())
    assert seen(found, "CenterIsolated", "center (primary)") == "outage"
    assert seen(found, "CenterIsolated", "edge-1") == "pause"
    assert seen(found, "NodeKilled", "edge elsewhere") == "pause"
    assert seen(found, "LinkBlackholed", "edge-1<->edge-2") == "unnoticed"
    assert "edges answer small payments by themselves" in cell(found, "CenterIsolated", "center (primary)").expected.why


def test_what_is_kept_in_another_center_is_restored() -> None:
    found = mapped(single_center())
    assert seen(found, "SiteDestroyed", "site (primary)") == "people!"
    assert seen(found, "CenterPowerLoss", "site (primary)") == "outage"  # the disks are there
    assert seen(found, "CenterPowerLoss", "vault") == "unnoticed"
    assert seen(found, "NodeKilled", "repository elsewhere") == "unnoticed"
    assert FAULTS["SiteDestroyed"].targets(single_center()) == ["site"]
    assert FAULTS["SiteDestroyed"].targets(two_regions()) == []


def test_a_wrong_statement_is_carried_out_by_every_copy() -> None:
    found = mapped(single_center())
    assert FAULTS["TableEmptied"].targets(single_center()) == ["payments", "entries"]
    assert FAULTS["TableEmptied"].targets(two_regions()) == []  # there is no backup to go back to
    for table in ("payments", "entries"):
        assert seen(found, "TableEmptied", f"table {table}") == "people!"
        assert found.cell("TableEmptied", f"table {table}", "takeover") is None  # nobody takes a statement then


def test_no_bank_no_service() -> None:
    found = mapped(city(banks="a"))
    assert seen(found, "NodeKilled", "bank in the primary's center") == "outage"
    assert seen(found, "NodeKilled", "haproxy in the primary's center") == "outage"
    assert seen(found, "CenterPowerLoss", "a (primary)") == "outage"
    assert seen(found, "NodeKilled", "primary") == "takeover"
    assert seen(mapped(city()), "NodeKilled", "bank in the primary's center") == "pause"
    stands = Stands.of(two_regions().to_json(), {"region-a": True, "region-b": True})
    assert derive(stands, [], ["door->dc1"]).kind == "pause"
    assert derive(stands, [], ["door->dc1", "door->dc2"]).kind == "outage"
    one_bank = mapped(replace(two_regions(synchronous="plain"), door=Door(("dc1",), closed=("dc3",))))
    assert seen(one_bank, "LinkBlackholed", "dc1<->dc2", "takeover") == "unknown"  # dc1's bank reaches dc1-b, and nobody in dc2


def test_a_damaged_page_takes_a_clean_copy() -> None:
    alone = mapped(replace(city(), centers=city().centers[:1], links=(), door=Door(("a",))))
    assert seen(mapped(city()), "BitsFlipped", "primary") == "people"
    assert seen(alone, "BitsFlipped", "primary") == "people!"
    assert alone.cell("NodeKilled", "primary", "heal") is None  # there is no copy that could come back
    assert mapped(city()).cell("NodeKilled", "copy in another center", "heal") is None  # it is the one that is coming back


def test_what_is_not_known_is_said() -> None:
    """Another manager, a store whose leader decides it, and a fault that stops nothing."""
    topology = city().to_json()
    topology["groups"][0]["manager"] = "pacemaker"
    stands = Stands.of(topology, {"city": True})
    assert derive(stands, ["a-db"], []).kind == "unknown"
    assert derive(stands, ["c-etcd"], []).kind == "unknown"
    assert derive(stands, [], []).kind == "unnoticed"
    ours = Stands.of(city().to_json(), {"city": True}).without("a-etcd")
    fourth = replace(ours, nodes=(*ours.nodes, replace(ours.nodes[-1], name="d-etcd", center="d")))
    assert derive(fourth, [], ["a->b", "a->c", "b->d"]).kind == "unknown"  # led by c the primary is heard at d, led by b it isn't
    assert derive(fourth, [], ["a->b", "a->c"]).kind == "pause"
    found = coverage(city().to_json(), {"city": True}, {"ClockSkewed": live.targets(city())["BitsFlipped"]}, drills={}, runs=[])
    assert seen(found, "ClockSkewed", "primary") == "unknown!"


def test_a_loss_is_graver_than_anything() -> None:
    kinds_of_none = [Expected(kind=kind, loss="none", why="") for kind in ("outage", "unknown", "people", "takeover", "pause")]
    lossy = Expected(kind="takeover", loss="possible", why="")
    assert sorted([lossy, *kinds_of_none], key=lambda one: one.gravity) == [*reversed(kinds_of_none), lossy]
    assert gravest([lossy, *kinds_of_none]) is lossy


# --- Which cell a run tells of ----------------------------------------------------------------------------------------
def hit(
    target: str = "dc1-a", at_s: float = 10, *, name: str = "NodeKilled", primary: str | None = "dc1-a", **more: Any
) -> Struck:
    """A fault; service is back after 20 s, and it is healed from second 30 to 35 after it, where nothing else is said."""
    times = {"rto_s": 20.0, "heal_s": 30.0, "healed_s": 35.0} | more
    ns = {key: None if times[key] is None else int((at_s + times[key]) * 1e9) for key in ("heal_s", "healed_s")}
    return Struck(
        f"f{at_s:g}", name, target, int(at_s * 1e9), primary, times["rto_s"], ns["heal_s"], ns["healed_s"]
    )  # fmt: skip


def drilled(*faults: Struck, verdict: str = "PASS", at: str = "2026-01-15T02:00:00Z", lost: int | None = 0) -> Drilled:
    return Drilled("node-kill", at, at, verdict, lost, faults)


def places(found: Coverage) -> list[tuple[str, str, str]]:
    return [(one.fault, one.victim, one.moment) for one in found.cells for _ in one.runs]


def test_a_victim_is_its_role_in_the_moment_of_the_fault() -> None:
    first, moved = drilled(hit("dc1-a")), drilled(hit("dc1-a", primary="dc2-a"))
    assert places(mapped(two_regions(), [first])) == [("NodeKilled", "primary", "steady")]
    assert places(mapped(two_regions(), [moved])) == [("NodeKilled", "copy in another center", "steady")]
    assert places(mapped(two_regions(), [drilled(hit("dc1-a", primary=None))])) == [("NodeKilled", "primary", "steady")]
    promoted = drilled(hit("dc2-a", primary="dc3-a"))
    assert places(mapped(two_regions(), [promoted])) == [("NodeKilled", "standby side", "steady")]


def test_a_run_with_another_primary_gets_a_row_of_its_own() -> None:
    away = [hit(target, name=name, primary="dc2-a") for name, target in (("CenterPowerLoss", "dc1"), ("CenterPowerLoss", "dc2"))]
    away += [hit("dc1<->dc2", name="LinkBlackholed", primary="dc2-b"), hit("dc1", name="PlannedSwitchover", primary="dc2-b")]
    found = mapped(two_regions(), [drilled(one) for one in away])
    assert [victim for _, victim, _ in places(found)] == ["dc1<->dc2, primary in dc2", "dc1", "dc1", "dc2 (primary)"]
    assert seen(found, "CenterPowerLoss", "dc2 (primary)") == "takeover"
    assert seen(found, "CenterPowerLoss", "dc1") == "pause"
    assert cell(found, "CenterPowerLoss", "dc1 (primary)").state == "empty"
    assert len(found.cells) > len(mapped(two_regions()).cells)


@pytest.mark.parametrize(
    ("first", "second_s", "moment", "own"),
    [
        ({}, 45, "steady", True),
        ({}, 15, "takeover", False),  # service is not back
        ({}, 32, "heal", True),
        ({"rto_s": None}, 25, "takeover", False),
        ({"rto_s": None}, 32, "heal", False),
        ({"rto_s": None}, 45, "steady", True),
        ({"rto_s": 40}, 38, "takeover", False),  # healed, and service still gone
        ({"healed_s": None}, 60, "heal", True),
        ({}, 20, None, True),  # it stands, and service is back from it
    ],
)
def test_a_moment_is_what_else_was_going_on(first: dict[str, Any], second_s: float, moment: str | None, own: bool) -> None:
    run = drilled(hit("dc1-a", 0, **first), hit("dc2-a", second_s, primary="dc2-b"))
    found = mapped(two_regions(), [run])
    told = [place for place in places(found) if place[1] == "copy in the primary's center"]
    assert told == ([] if moment is None else [("NodeKilled", "copy in the primary's center", moment)])
    assert (("NodeKilled", "primary", "steady") in places(found)) == own
    assert len(found.nowhere) == (moment is None) + (not own)


def test_what_another_fault_made_worse_is_no_cells_own() -> None:
    found = mapped(two_regions(), [drilled(hit("dc1-a", 0), hit("dc2-a", 15))])
    assert places(found) == [("NodeKilled", "copy in another center", "takeover")]
    assert found.nowhere == [
        "node-kill 2026-01-15T02:00:00Z: NodeKilled of dc1-a: NodeKilled of dc2-a came before service was back"
    ]


def test_a_fault_that_hits_nothing_here_is_told() -> None:
    found = mapped(two_regions(), [drilled(hit("dc9-a")), drilled(hit(primary="dc9-a")), drilled(hit(name="ClockSkewed"))])
    assert places(found) == []
    assert len(found.nowhere) == 3


def test_the_primary_before_a_fault_is_read_from_the_events() -> None:
    events: list[tuple[int, str, Mapping[str, Any]]] = [
        (1, "primary", {"node": "dc1-a"}),
        (5, "intent", {"id": "f1", "name": "NodeKilled", "target": "dc1-a"}),
        (7, "injected", {"id": "f1", "before_ns": 6}),
        (8, "primary", {"node": None}),
        (9, "primary", {"node": "dc2-a"}),
        (10, "heal_started", {"id": "f1"}),
        (12, "healed", {"id": "f1", "ok": True}),
        (13, "intent", {"id": "f2", "name": "NodeKilled", "target": "dc2-a"}),
        (15, "injected", {"id": "f2", "before_ns": 14}),
        (16, "healed", {"id": "f2", "ok": False}),
        (17, "intent", {"id": "f3", "name": "NodeKilled", "target": "dc2-b"}),  # nobody knows whether it happened
    ]
    first, second = struck(events, {"f1": 2.5})
    assert first == Struck("f1", "NodeKilled", "dc1-a", 6, "dc1-a", 2.5, 10, 12)
    assert second == Struck("f2", "NodeKilled", "dc2-a", 14, "dc2-a", None, None, None)


def test_a_cell_says_how_its_runs_ended() -> None:
    runs = [
        drilled(hit(rto_s=21.0), at="2026-01-15"),
        drilled(hit(rto_s=29.0), at="2026-01-17", lost=3),
        drilled(hit(rto_s=24.0), at="2026-01-16", verdict="FAIL", lost=None),
        drilled(hit(rto_s=99.0), at="2026-01-18", verdict="INVALID", lost=70),
    ]
    found = mapped(two_regions(), runs)
    one = cell(found, "NodeKilled", "primary")
    assert (one.state, one.verdicts) == ("told", {"PASS": 2, "FAIL": 1, "INVALID": 1})
    assert one.latest is not None
    assert (one.latest.at, one.latest.verdict) == ("2026-01-17", "PASS")  # an INVALID run tells nothing
    assert (one.worst_rto_s, one.lost, one.never) == (29.0, 3, False)
    assert [run.lost for run in one.runs] == [0, None, 3, None]
    assert cell(mapped(two_regions(), [drilled(hit(rto_s=None))]), "NodeKilled", "primary").never
    assert (found.told, found.invalid) == (1, 0)


def test_invalid_runs_alone_tell_nothing_and_empty_is_empty() -> None:
    found = mapped(two_regions(), [drilled(hit(), verdict="INVALID")])
    one, empty = cell(found, "NodeKilled", "primary"), cell(found, "NodeKilled", "standby side")
    assert (one.state, one.worst_rto_s, one.lost) == ("invalid", None, None)
    assert (empty.state, empty.latest) == ("empty", None)
    assert (found.told, found.invalid) == (0, 1)
    assert all(other.state == "empty" for other in found.cells if other != one)


def on(topology: Topology, directory: Path, scenario: Scenario = CENTER_LOSS) -> Path:
    """A sealed run of that scenario, on that topology."""
    write_run(directory, scenario)
    plan, events = directory / "plan.json", directory / "events.jsonl"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"topology": topology.to_json()}))
    lines = events.read_text().splitlines()
    registered = json.loads(lines[0])
    registered["data"]["sha256"] = sha256_of(plan)
    events.write_text("\n".join([json.dumps(registered), *lines[1:]]) + "\n")
    reseal(directory, scenario)
    return directory


def test_only_whole_runs_on_the_topology_with_all_its_settings_count(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    on(two_regions(), runs / "center-loss" / "1")
    on(two_regions(ttl_s=40), runs / "center-loss" / "2")
    on(three_vendors(), runs / "center-loss" / "3")
    interrupted = on(two_regions(), runs / "center-loss" / "4", replace(CENTER_LOSS, interrupted="SIGINT"))
    (interrupted / "verdict.json").unlink(missing_ok=True)
    torn = on(two_regions(), runs / "center-loss" / "5")
    (torn / "events.jsonl").write_text('{"kind": "intent"\n')
    (torn / "manifest.json").unlink()
    for number, damaged in enumerate(("{", "[]", '{"topology": {"name": "two-region-three-center"}}')):
        (runs / "center-loss" / f"damaged-{number}").mkdir()
        (runs / "center-loss" / f"damaged-{number}" / "plan.json").write_text(damaged)
    found = live.covered("two-region-three-center", {}, runs)
    assert [(one.run, one.verdict) for one in cell(found, "CenterPowerLoss", "dc1 (primary)").runs] == [
        ("1", "PASS"), ("4", "INVALID"),
    ]  # fmt: skip
    assert len(places(found)) == 2
    one = cell(found, "CenterPowerLoss", "dc1 (primary)")
    assert (one.worst_rto_s, one.lost, one.runs[0].at[:10]) == (22.036, 0, "2026-01-15")
    other = live.covered("two-region-three-center", {"ttl_s": "40"}, runs)
    assert places(other) == [("CenterPowerLoss", "dc1 (primary)", "steady")]


# --- Which drills would tell ------------------------------------------------------------------------------------------
def test_cells_name_the_drills_that_cover_them() -> None:
    found = live.covered("two-region-three-center", {}, Path("nowhere"))
    by = {(one.fault, one.victim): one.drills for one in found.cells if one.drills and one.moment == "steady"}
    others = [(one.fault, one.victim, one.moment, one.drills) for one in found.cells if one.drills and one.moment != "steady"]
    assert others == [("NodeKilled", "primary", "takeover", ["failover-interrupted"])]
    assert by == {
        ("CenterIsolated", "dc1 (primary)"): ["isolated-primary"],
        ("LinkBlackholed", "dc1->dc2"): ["asymmetric-cut"],
        ("BitsFlipped", "primary"): ["disk-corruption"],
        ("HalfIsolated", "primary"): ["half-isolated-primary"],
        ("LinkBlackholed", "dc1<->dc2"): ["link-cut"],
        ("LinkBlackholed", "*<->*"): ["backbone-cut"],
        ("LinkDegraded", "dc1<->dc3"): ["replication-audit"],
        ("NodeKilled", "primary"): ["node-kill"],
        ("NodeFrozen", "primary"): ["primary-frozen"],
        ("ProcessKilled", "primary"): ["server-killed"],
        ("TableLocked", "table accounts"): ["table-locked"],
        ("PlannedSwitchover", "dc2"): ["planned-switchover"],
        ("PlannedSwitchover", "dc1"): ["planned-switchover"],  # and back: the primary is in dc2 by then
        ("CenterPowerLoss", "dc1 (primary)"): ["center-loss", "failover-interrupted", "surge-failover"],
        ("RegionLoss", "region A (primary)"): ["region-loss"],
    }
    vendors = live.covered("three-vendors", {}, Path("nowhere"))
    assert [(one.victim, one.drills) for one in vendors.cells if one.drills] == [("vendor-a (primary)", ["vendor-loss"])]


def test_a_second_fault_before_service_is_back_is_in_a_takeover() -> None:
    first = PlannedFault(name="NodeKilled", target="dc2-a", args={})
    back = PlannedUntil(condition="service_restored", within_s=60)
    second = PlannedFault(name="NodeKilled", target="primary", args={})
    found = mapped(two_regions(), drills={"both": [first, second], "one-by-one": [first, back, second]})
    assert cell(found, "NodeKilled", "copy in another center").drills == ["both", "one-by-one"]
    assert cell(found, "NodeKilled", "primary").drills == ["one-by-one"]
    assert cell(found, "NodeKilled", "primary", "takeover").drills == ["both"]
    # Who is the primary after a takeover is not known beforehand: a name tells no role.
    third = PlannedFault(name="NodeKilled", target="dc1-b", args={})
    found = mapped(two_regions(), drills={"chain": [second, back, third, back, second]})
    assert [place for place in found.cells if place.drills] == [cell(found, "NodeKilled", "primary")]


# --- What to drill next -----------------------------------------------------------------------------------------------
def order(found: Coverage) -> list[tuple[str, str, str]]:
    return [(one.fault, one.victim, one.moment) for one in suggested(found)]


def test_what_nobody_knows_comes_first_and_the_gravest_of_it() -> None:
    found = mapped(two_regions())
    assert len(order(found)) == len(found.cells)
    assert order(found)[:3] == [("RegionLoss", "region A (primary)", moment) for moment in ("steady", "takeover", "heal")]
    kinds = [one.expected.kind for one in suggested(found) if one.expected.loss == "none"]
    assert list(dict.fromkeys(kinds)) == ["outage", "unknown", "people", "takeover", "pause", "unnoticed"]
    takeovers = [one.moment for one in suggested(found) if one.expected.kind == "takeover"]
    assert list(dict.fromkeys(takeovers)) == ["steady", "takeover", "heal"]


def test_what_was_told_comes_last_the_thin_and_old_before_the_rest() -> None:
    often = [drilled(hit(), at=f"2026-01-1{number}") for number in range(5)]
    others = [
        drilled(hit("dc1-b"), at="2026-01-17"),
        drilled(hit("dc2-a"), at="2026-01-16"),
        drilled(hit("dc3-a"), at="2026-01-15", verdict="FAIL"),
        drilled(hit("dc1-bank"), at="2026-01-15", verdict="INVALID"),
    ]
    found = mapped(two_regions(), [*often, *others])
    assert [victim for _, victim, _ in order(found)[-3:]] == ["copy in another center", "copy in the primary's center", "primary"]
    assert ("NodeKilled", "standby side", "steady") not in order(found)  # what failed is known
    assert ("NodeKilled", "bank in the primary's center", "steady") in order(found)[:-3]


def test_a_suggestion_is_a_drill_or_a_try_by_hand() -> None:
    found = mapped(two_regions(), drills={"region-loss": [PlannedFault(name="RegionLoss", target="A", args={})]})
    first, second, third, fourth, *_ = live.suggestions(found, "two-region-three-center", {"ttl_s": "30"})
    assert (first.victim, first.drill, first.known) == ("region A (primary)", "region-loss", "never drilled")
    assert first.command == "drillbook run region-loss --set ttl_s=30"
    assert (second.victim, second.moment, second.drill) == ("*<->*", "steady", None)
    assert second.command == "drillbook inject LinkBlackholed '*<->*' --for 60"
    assert third.command == "drillbook inject LinkRefused '*<->*' --for 60"
    assert (fourth.victim, fourth.moment, fourth.drill) == ("dc1 (primary)", "heal", None)
    assert fourth.command == "drillbook inject CenterIsolated dc1 --for 60"
    assert "'drillbook up two-region-three-center --set ttl_s=30'" in second.note
    assert "no verdict" in second.note
    text = live.proposed([first, second])
    assert text.startswith(
        "1. RegionLoss, region A (primary), steady: never drilled\n   expected: people; confirmed payments may be"
    )
    assert first.command in text
    assert second.note in text
    assert "no cell is left" in live.proposed([])


def test_what_is_known_of_a_cell_is_said_in_words() -> None:
    runs = [drilled(hit(), at="2026-01-15T02"), drilled(hit(), at="2026-01-16T02"), drilled(hit("dc3-a"), verdict="INVALID")]
    found = mapped(two_regions(), runs)
    assert live.known(cell(found, "NodeKilled", "primary")) == "2 runs told it, last PASS on 2026-01-16"
    assert live.known(cell(found, "NodeKilled", "standby side")) == "1 run, all INVALID"


# --- The terminal, the page, the command line -------------------------------------------------------------------------
def some() -> Coverage:
    runs = [
        drilled(hit(rto_s=21.5), at="2026-01-15"),
        drilled(hit("dc1-b", rto_s=None), verdict="FAIL", lost=4),
        drilled(hit("dc1-bank"), verdict="INVALID"),
        drilled(hit("dc9-a")),
    ]
    return mapped(two_regions(), runs, {"center-loss": [PlannedFault(name="CenterPowerLoss", target="dc1", args={})]})


def test_the_terminal_shows_what_is_known_and_leaves_the_rest_empty() -> None:
    text = live.told(some())
    lines = {tuple(line.split()[:2]): line for line in text.splitlines()}
    assert text.startswith(f"two-region-three-center: 2 of {len(some().cells)} cells were told; INVALID runs alone in 1 more\n")
    killed = text.partition("\nNodeKilled")[2].partition("\n\n")[0]
    assert any("takeover  PASS 2026-01-15 1/0/0 21.5 s, 0 lost" in line for line in killed.splitlines() if " primary " in line)
    assert "pause     FAIL 2026-01-15 0/1/0 never back, 4 lost" in text
    assert "pause     INVALID 2026-01-15 0/0/1  " in text
    assert lines["standby", "side"].split() == ["standby", "side", "unnoticed", "-", "takeover", "-", "unnoticed", "-"]
    assert lines["region", "A"].split()[-6:] == ["people!", "-"] * 3
    assert [line.split() for line in text.splitlines() if "(can't be)" in line] == [
        ["dc2", "pause", "-", "(can't", "be)", "pause", "-"],
        *(["table", one, "people", "-", "(can't", "be)", "people", "-"] for one in ("accounts", "entries", "payments")),
    ]  # fmt: skip
    assert "NodeKilled of dc9-a: no such target with dc1-a as the primary" in text


def test_the_page_shows_each_cell_and_each_run() -> None:
    page = coverage_page(some())
    assert page.startswith("<!doctype html>")
    assert f"2 of {len(some().cells)} cells were told" in page
    assert page.count('<div class="cell empty"') == len(some().cells) - 3
    assert page.count('<div class="cell PASS"') == page.count('<div class="cell FAIL"') == 1
    assert page.count('<div class="cell INVALID"') == 1
    assert "1 PASS, 0 FAIL, 0 INVALID; worst RTO 21.5 s, 0 lost" in page
    assert "worst RTO never back, 4 lost" in page
    assert page.count("report.html") == 6  # in its cell, and among all runs
    assert "drill center-loss" in page
    assert "people, loss possible" in page
    assert "synchronous=strict" in page
    assert "no such target with dc1-a as the primary" in page
    assert page.count("can&#39;t be") == 4  # a switchover, and a lock on each of three tables, while nobody is primary
    assert "http://" not in page


def test_both_commands_answer_where_nothing_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["coverage", "three-vendors", "--json"])
    assert found.exit_code == 0, found.output
    assert (json.loads(found.stdout)["told"], json.loads(found.stdout)["topology"]) == (0, "three-vendors")
    assert [path.suffix for path in sorted((tmp_path / "runs" / "coverage").iterdir())] == [".html", ".json"]
    shown = CliRunner().invoke(main, ["coverage", "--set", "manager=by-hand"])
    assert shown.exit_code == 0, shown.output
    assert "two-region-three-center: 0 of" in shown.stdout
    assert "\nPage: runs/coverage/" in shown.stdout
    next_up = CliRunner().invoke(main, ["suggest", "--set", "manager=by-hand", "--json"])
    assert next_up.exit_code == 0, next_up.output
    assert len(json.loads(next_up.stdout)) == live.SUGGESTED
    assert json.loads(next_up.stdout)[1]["command"] == "drillbook run region-loss --set manager=by-hand"
    assert CliRunner().invoke(main, ["suggest"]).stdout.startswith("1. RegionLoss")


@pytest.mark.parametrize("command", ["coverage", "suggest"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["one-center"],
            "no topology 'one-center': there are active-active-city, edge-and-center, hybrid-cloud, single-center, three-vendors",
        ),
        (["--set", "red=1"], "no setting 'red'"),
        (["--set", "ttl_s"], "expected NAME=VALUE"),
        (["--set", "manager=pacemaker"], "pacemaker"),
        (["--set", "manager=by-hand", "--set", "synchronous=plain"], "where people decide; seen 'plain'"),
    ],
)
def test_bad_words_are_told_in_one_line(
    command: str, words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, [command, *words])
    assert found.exit_code == 3
    assert said in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()
