"""The load that a plan states: made before the first fault or no verdict, and by each worker as it and Locust counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from benchmarks.agreement import compare
from judging.evidence import Load
from judging.rate import mean_factor
from load.shape import Shape, factor
from tests.forger import Forger
from tests.synthetic import SCENARIOS, Scenario, write_run
from tests.test_forgeries import light
from tests.test_reads import verdict_of

CENTER_LOSS = light(SCENARIOS["center-loss"])


def asking(**load: Any) -> Scenario:
    return replace(CENTER_LOSS, asked=load)


def both(directory: Path) -> str:
    judged, verified, found = compare(directory)
    assert found == []
    assert judged["verdict"] == verified["verdict"]
    return str(judged["verdict"])


@pytest.mark.parametrize("share", [0.4, 0.9])
@pytest.mark.parametrize("shape", [None, [(0.0, 1.0), (4.0, 1.0), (4.0, 3.0)], [(0.0, 1.0), (10.0, 4.0)]])
def test_a_rate_that_was_not_made_is_no_verdict(share: float, shape: list[tuple[float, float]] | None, tmp_path: Path) -> None:
    """Of a steady load nine tenths are enough and four tenths are not; a growing one has three to four times as much by then."""
    rate = CENTER_LOSS.locust_rate_per_s
    scenario = asking(customer_rate_per_s=rate / Load().pay_share / share, rate_min=0.75, **({"shape": shape} if shape else {}))
    directory = write_run(tmp_path / "run", scenario)
    enough = shape is None and share >= 0.75
    verdict = verdict_of(directory)
    assert verdict.verdict == ("PASS" if enough else "INVALID")
    said = [reason for reason in verdict.reasons if reason.startswith("Customers made ")]
    assert bool(said) != enough
    if said:
        assert f"the plan states {rate / share:.1f}" in said[0] or shape is not None
        assert "of which at least 75% is to be made" in said[0]
    assert both(directory) == verdict.verdict


def test_nothing_is_asked_of_a_plan_that_says_nothing(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", asking(customer_rate_per_s=4000.0))
    assert "rate_min" not in json.loads((directory / "plan.json").read_text())["load"]
    assert both(directory) == "PASS"


def test_counts_of_workers_are_held_against_the_ledger(tmp_path: Path) -> None:
    assert both(write_run(tmp_path / "run", asking(workers=4))) == "PASS"


def more_of_one(counts: dict[str, Any]) -> None:
    counts["workers"][0]["recorded"] += 1


def moved(counts: dict[str, Any]) -> None:
    counts["workers"][0]["locust_requests"] += 1
    counts["workers"][1]["locust_requests"] -= 1


def one_fewer(counts: dict[str, Any]) -> None:
    del counts["workers"][3]


def twice(counts: dict[str, Any]) -> None:
    counts["workers"][3] = counts["workers"][2]


def none(counts: dict[str, Any]) -> None:
    del counts["workers"]


@pytest.mark.parametrize("lie", [more_of_one, moved, one_fewer, twice, none], ids=lambda lie: lie.__name__)
def test_counts_of_workers_that_differ_are_a_doubt(lie: Callable[[dict[str, Any]], None], tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", asking(workers=4))
    with Forger(directory) as run:
        run.edit_json("ledger.json", lie)
    assert both(directory) == "INVALID"
    assert [r for r in verdict_of(directory).reasons if r.startswith("Worker 0 ") or "the counts of 4 workers" in r]


@pytest.mark.parametrize("workers", [[], [{"worker": 0, "recorded": 1, "reads": 0, "locust_requests": 1}]])
def test_counts_of_workers_that_nobody_planned_are_a_doubt(workers: list[dict[str, int]], tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", CENTER_LOSS)
    with Forger(directory) as run:
        run.edit_json("ledger.json", lambda counts: counts.update(workers=workers))
    assert both(directory) == "INVALID"
    assert [r for r in verdict_of(directory).reasons if "the counts of 0 workers" in r]


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ({"workers": 3}, "expected to divide the 8 customers evenly; seen 3"),
        ({"workers": 4, "customers": 0}, "expected to divide the 0 customers evenly; seen 4"),
        ({"shape": [(5.0, 1.0), (2.0, 1.0)]}, "expected points in the order of time; seen 2 s after 5 s"),
        ({"shape": [(0.0, 0.0)]}, r"expected a time of 0 s or more and a factor above 0; seen \(0, 0\)"),
        ({"rate_min": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_load_that_cant_be_is_refused(load: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Load(**load)


@pytest.mark.parametrize("shape", [(), ((0, 1), (10, 3)), ((4, 2), (10, 3)), ((0, 1), (10, 1), (10, 4), (20, 4), (20, 1))])
@pytest.mark.parametrize(("from_s", "to_s"), [(0, 30), (0, 3), (8, 12), (12, 25), (19.5, 20.5), (40, 50)])
def test_the_mean_of_a_shape_is_that_of_its_moments(shape: Shape, from_s: float, to_s: float) -> None:
    steps = 20_000
    moments = [factor(shape, from_s + (n + 0.5) * (to_s - from_s) / steps) for n in range(steps)]
    assert mean_factor(shape, round(from_s * 1e9), round(to_s * 1e9)) == pytest.approx(sum(moments) / steps, abs=1e-3)
