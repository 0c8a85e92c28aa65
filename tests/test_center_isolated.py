"""A center that lives and reaches nobody, and what is awaited of two faults at once. By values alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults import build
from faults.center_isolated import CenterIsolated
from faults.model import PRIMARYS_CENTER
from faults.power_loss import CenterPowerLoss
from harness.conditions import another_primary
from topologies.model import Effect
from topologies.two_region_three_center import two_region_three_center

TOPOLOGY = two_region_three_center()


def test_what_its_power_loss_would_cut_is_cut_and_nobody_is_down() -> None:
    effect = CenterIsolated("dc1").effect(TOPOLOGY)
    assert effect.down == ()
    assert effect.cut == CenterPowerLoss("dc1").effect(TOPOLOGY).cut
    assert set(effect.cut) == {"dc1->dc2", "dc2->dc1", "dc1->dc3", "dc3->dc1", "door->dc1"}


def test_where_the_primary_is_is_known_once_it_is_prepared() -> None:
    assert CenterIsolated(PRIMARYS_CENTER).effect(TOPOLOGY) == Effect()
    with pytest.raises(KeyError, match="no center 'moon'"):
        CenterIsolated("moon").effect(TOPOLOGY)


def test_it_is_built_again_from_its_record() -> None:
    again = build("CenterIsolated", CenterIsolated("dc2").arguments)
    assert again.effect(TOPOLOGY) == CenterIsolated("dc2").effect(TOPOLOGY)
    assert again.undo() == "remove the rules that drop packets on the links of dc2"


@pytest.mark.parametrize(("primary", "reached"), [(None, False), ("dc1-a", False), ("dc2-b", True)])
def test_another_primary_is_one_that_no_fault_has_down(primary: str | None, reached: bool) -> None:
    run = SimpleNamespace(effects={"f1": Effect(down=("dc1-a", "dc1-b"))}, observer=SimpleNamespace(primary=primary))
    assert another_primary(cast(Any, run)) == (reached, f"{primary or 'no database'} is primary")
