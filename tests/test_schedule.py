"""Faults drawn by a seed: the same ones for the same seed, each possible on its topology, none beyond the budget."""

from __future__ import annotations

from collections import Counter

from click.testing import CliRunner

from drills import random_faults
from faults.power_loss import RegionLoss
from harness.cli import main
from harness.rehearsal import rehearse
from harness.schedule import MAKERS, copies_gone, drawn
from judging.evidence import PlannedFault
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = two_region_three_center()


def test_a_seed_draws_the_same_faults_again_and_another_one_others() -> None:
    def of(seed: int) -> list[tuple[str, object]]:
        return [(type(fault).__name__, fault.arguments) for fault in drawn(seed, TOPOLOGY, 6)]

    assert of(7) == of(7)
    assert len(of(7)) == 6
    assert len({str(of(seed)) for seed in range(50)}) == 50


def test_each_can_be_done_and_none_goes_beyond_the_budget() -> None:
    found = [fault for seed in range(100) for fault in drawn(seed, TOPOLOGY, 6)]
    for fault in found:
        fault.effect(TOPOLOGY)
        assert copies_gone(fault, TOPOLOGY) <= 2
    kinds = Counter(type(fault).__name__ for fault in found)
    assert len(kinds) == len(MAKERS)
    assert min(kinds.values()) > 600 / len(MAKERS) / 2
    assert copies_gone(RegionLoss("A"), TOPOLOGY) == 4


def test_what_is_over_the_budget_is_drawn_anew() -> None:
    makers = (lambda *_: RegionLoss("A"), MAKERS[5])
    assert {type(fault).__name__ for fault in drawn(1, TOPOLOGY, 20, makers=makers)} == {"HalfIsolated"}


def test_the_plan_has_them_before_anything_starts() -> None:
    body = random_faults.test_random_faults.drill.body
    planned = [one for one in rehearse(body, TOPOLOGY, seed=3) if isinstance(one, PlannedFault)]
    assert [(one.name, one.args) for one in planned] == [
        (type(fault).__name__, fault.arguments) for fault in drawn(3, TOPOLOGY, random_faults.FAULTS_A_RUN)
    ]
    told = [CliRunner().invoke(main, ["plan", "random-faults", "--seed", seed]).output for seed in ("3", "4", "3")]
    assert told[0] == told[2] != told[1]
