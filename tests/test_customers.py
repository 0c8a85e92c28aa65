"""Whether service is back, asked while a drill runs: the answer must be the one that the verdict gives later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.conditions import load_at_its_height
from harness.customers import Customers, Window
from harness.drill import day_curve, surge
from judging.evidence import EventLog, Evidence, Load
from judging.outage import SECOND_NS, SUSTAINED_NS, Service
from tests.synthetic import SCENARIOS, Outage, Scenario, write_run

EXTRA = {
    # 0.4 s are a disturbance by the verdict's rule, though customers hardly saw it
    "hiccup": replace(
        SCENARIOS["undisturbed"], faults=(replace(SCENARIOS["undisturbed"].faults[0], outages=(Outage(4.0, 4.4, late=True),)),)
    ),
}


class Replay:
    """A probe's rows, told to `Customers` in the order in which they were written."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        evidence = Evidence(write_run(directory / "run", scenario))
        self.probe = evidence.probe.sort_values("done_ns", kind="stable")
        events = evidence.events
        baseline = next(e.data for e in events if e.kind == "baseline")
        injected = next(e.data for e in events if e.kind == "injected")
        self.before_ns, self.after_ns = injected["before_ns"], injected["after_ns"]
        plan = evidence.plan
        self.interval_ns = round(plan.load.probe_interval_ms * 1e6)
        self.baseline_ns = baseline["from_ns"], baseline["to_ns"]
        self.customers = Customers(plan, directory, "http://127.0.0.1:1", EventLog(directory / "events.jsonl"))
        self.customers.baseline_ns = self.baseline_ns
        self.customers.clock = lambda: self.now_ns
        self.now_ns = 0
        self.told = 0

    def tell_until(self, t_ns: int) -> None:
        self.now_ns = t_ns
        due = int(np.searchsorted(self.probe["done_ns"].to_numpy(), t_ns, side="right"))
        rows = self.probe.iloc[self.told : due]
        self.customers.take([f"k,{r.due_ns},{r.due_ns},{r.done_ns},,{r.outcome},a,b,1," for r in rows.itertuples()])
        self.told = due

    def sealed(self, end_ns: int) -> Service:
        """What the files would say, had the probe stopped then."""
        rows: pd.DataFrame = self.probe[self.probe["due_ns"] < end_ns]
        acknowledged = (rows["outcome"] == "acknowledged").to_numpy(dtype=bool)
        due, done = rows["due_ns"].to_numpy(dtype=np.int64), rows["done_ns"].to_numpy(dtype=np.int64)
        service = Service(due, done, acknowledged, interval_ns=self.interval_ns, level_ns=SECOND_NS)
        service.take_baseline(*self.baseline_ns)
        return service


@pytest.mark.parametrize("name", ["center-loss", "short-outage", "stall", "relapse", "undisturbed", "hiccup"])
def test_once_it_says_restored_the_verdict_can_tell(name: str, tmp_path: Path) -> None:
    replay = Replay({**SCENARIOS, **EXTRA}[name], tmp_path)
    restored_ns = None
    for t_ns in range(replay.before_ns, int(replay.probe["done_ns"].max()), SECOND_NS // 5):
        replay.tell_until(t_ns)
        if replay.customers.restored(Window(replay.before_ns, replay.after_ns))[0]:
            restored_ns = t_ns
            break
    assert restored_ns is not None
    assert restored_ns >= replay.before_ns + SUSTAINED_NS
    window = Window(replay.before_ns, replay.after_ns, restored_ns)
    assert not replay.customers.unsettled([window])
    # Nothing that was still in flight may change it.
    seen = replay.sealed(restored_ns).outage(before_ns=window.before_ns, after_ns=window.after_ns, window_end_ns=restored_ns)
    assert seen.return_ns is not None


def test_a_payment_in_flight_is_waited_for_as_long_as_it_may_be_in_order(tmp_path: Path) -> None:
    """Ten seconds look perfect, and a payment of them may still be answered in time: nobody can tell. Later it counts as late."""
    replay = Replay(SCENARIOS["undisturbed"], tmp_path)
    replay.probe = replay.probe[replay.probe["due_ns"] < replay.before_ns + int(9.9e9)]
    window = Window(replay.before_ns, replay.after_ns)
    replay.tell_until(replay.before_ns + int(10.5e9))
    assert not replay.customers.restored(window)[0]
    replay = Replay(SCENARIOS["undisturbed"], tmp_path / "again")
    late = replay.probe["due_ns"].sub(replay.before_ns + 5 * SECOND_NS).abs().idxmin()
    replay.probe = replay.probe.drop(late)
    replay.tell_until(replay.before_ns + 15 * SECOND_NS)
    assert replay.customers.restored(window)[0]  # one payment out of order is no outage, whatever becomes of it


@pytest.mark.parametrize("stalled_s", [0.6, 0.9, 1.5, 4.0])
def test_a_stall_in_progress_is_not_settled(stalled_s: float, tmp_path: Path) -> None:
    """All was in order for 20 s, and for a moment nobody has had an answer: those payments count, answered or not."""
    replay = Replay(SCENARIOS["undisturbed"], tmp_path)
    stall_ns = replay.before_ns + 20 * SECOND_NS
    window = Window(replay.before_ns, replay.after_ns, replay.before_ns + 15 * SECOND_NS)
    replay.tell_until(stall_ns)
    assert not replay.customers.unsettled([window])
    replay.probe = replay.probe[replay.probe["done_ns"] < stall_ns]
    replay.tell_until(stall_ns + round(stalled_s * SECOND_NS))
    assert replay.customers.unsettled([window])


def test_what_waits_too_long_counts_though_others_are_answered(tmp_path: Path) -> None:
    """Every second payment hangs from some moment on: its answer is missing, and that is what counts."""
    replay = Replay(SCENARIOS["undisturbed"], tmp_path)
    hangs_ns = replay.before_ns + 5 * SECOND_NS
    number = (replay.probe["due_ns"] - replay.probe["due_ns"].min()) // replay.interval_ns
    replay.probe = replay.probe[(replay.probe["due_ns"] < hangs_ns) | (number % 2 == 0)]
    window = Window(replay.before_ns, replay.after_ns)
    for seconds in range(8, 40, 4):
        replay.tell_until(replay.before_ns + seconds * SECOND_NS)
        assert not replay.customers.restored(window)[0]
        assert replay.customers.unsettled([window])


def baselines(replay: Replay, since_ns: int) -> list[tuple[int, int]]:
    """What `undisturbed` would take for the baseline, asked ten times a second."""
    found = []
    for t_ns in range(since_ns, replay.before_ns, SECOND_NS // 10):
        replay.tell_until(t_ns)
        if window := replay.customers.undisturbed(since_ns)[0]:
            found.append(window)
    return found


def test_the_baseline_is_the_first_span_in_order(tmp_path: Path) -> None:
    """A bank that has only just started refuses for a while: nothing is broken on top of that."""
    replay = Replay(SCENARIOS["undisturbed"], tmp_path)
    since_ns = int(replay.probe["due_ns"].min())
    span_ns = round(replay.customers.load.baseline_s * SECOND_NS)
    replay.probe["outcome"] = replay.probe["outcome"].astype(str)
    replay.probe.loc[replay.probe["due_ns"] < since_ns + SECOND_NS // 2, "outcome"] = "refused"
    (from_ns, to_ns), *_ = baselines(replay, since_ns)
    assert to_ns - from_ns == span_ns
    in_span = replay.probe[(replay.probe["due_ns"] >= from_ns) & (replay.probe["due_ns"] < to_ns)]
    assert (in_span["outcome"] == "acknowledged").mean() >= 0.95
    # From 0.25 s on no more than 5 % of the span are refused, but 25 in one second: the judge would take them for a fault's.
    assert 0.45 <= (from_ns - since_ns) / SECOND_NS < 0.6


def test_a_bank_that_stays_out_of_order_has_no_baseline(tmp_path: Path) -> None:
    replay = Replay(SCENARIOS["undisturbed"], tmp_path)
    number = (replay.probe["due_ns"] - replay.probe["due_ns"].min()) // replay.interval_ns
    replay.probe["outcome"] = replay.probe["outcome"].astype(str)
    replay.probe.loc[number % 10 == 0, "outcome"] = "refused"
    since_ns = int(replay.probe["due_ns"].min())
    assert baselines(replay, since_ns) == []
    assert "90.0% of 100 probe payments a second" in replay.customers.undisturbed(since_ns)[1]


def test_who_was_healed_too_early_is_watched_on(tmp_path: Path) -> None:
    """The window closes right after the return: until 10 s have passed it isn't settled, then it is."""
    replay = Replay(SCENARIOS["short-outage"], tmp_path)
    window = Window(replay.before_ns, replay.after_ns, replay.before_ns + SECOND_NS)
    replay.tell_until(replay.before_ns + 3 * SECOND_NS)
    assert replay.customers.unsettled([window])
    replay.tell_until(replay.before_ns + 12 * SECOND_NS)
    assert not replay.customers.unsettled([window])


def test_a_return_that_never_came_is_settled_once_service_is_in_order(tmp_path: Path) -> None:
    replay = Replay(SCENARIOS["no-return"], tmp_path)
    replay.tell_until(replay.before_ns + 30 * SECOND_NS)
    assert not replay.customers.restored(Window(replay.before_ns, replay.after_ns))[0]
    window = Window(replay.before_ns, replay.after_ns, replay.before_ns + 28 * SECOND_NS)
    assert replay.customers.unsettled([window])  # customers are turned away right now: that would be the end of the run
    replay.tell_until(replay.before_ns + 47 * SECOND_NS)
    assert not replay.customers.unsettled([window])


def test_a_relapse_is_waited_for_where_service_was_seen_back(tmp_path: Path) -> None:
    """Back after 9 s, and out of order again from 22 to 26 s: a heal that began in between would cut the second return off."""
    replay = Replay(SCENARIOS["relapse"], tmp_path)
    seen, unseen = Window(replay.before_ns, replay.after_ns, seen_back=True), Window(replay.before_ns, replay.after_ns)
    told = {}
    for seconds in (21, 24, 27, 34, 38):
        replay.tell_until(replay.before_ns + seconds * SECOND_NS)
        told[seconds] = replay.customers.relapsed(seen)
        assert not replay.customers.relapsed(unseen)
    assert told == {21: False, 24: True, 27: True, 34: True, 38: False}
    cut = [replace(seen, end_ns=replay.before_ns + seconds * SECOND_NS) for seconds in (24, 38)]
    sealed = replay.sealed(replay.before_ns + 50 * SECOND_NS)
    returns = [
        sealed.outage(before_ns=w.before_ns, after_ns=w.after_ns, window_end_ns=w.end_ns or 0).return_ns is not None for w in cut
    ]
    assert returns == [False, True]


class Told:
    """Locust's process, as far as it tells of acts: so many a second since its customers began at 0."""

    source = "locust"

    def __init__(self, *acts_per_s: int) -> None:
        self.acts = [(second * SECOND_NS, sum(acts_per_s[:second])) for second in range(len(acts_per_s) + 1)]


def asked(tmp_path: Path, told: Told | None, *, now_s: float, **load: Any) -> tuple[Customers, tuple[bool, str]]:
    plan = Evidence(write_run(tmp_path / "run", replace(SCENARIOS["undisturbed"], asked=load))).plan
    customers = Customers(plan, tmp_path, "http://127.0.0.1:1", EventLog(tmp_path / "events.jsonl"))
    customers.processes = [told] if told is not None else []  # type: ignore[list-item]
    customers.clock = lambda: round(now_s * SECOND_NS)
    return customers, load_at_its_height(SimpleNamespace(customers=customers))  # type: ignore[arg-type]


def test_the_rate_is_that_of_the_last_seconds(tmp_path: Path) -> None:
    customers, _ = asked(tmp_path, Told(*[40] * 10, *[160] * 6), now_s=16)
    assert customers.rate() == 160
    assert asked(tmp_path / "none", None, now_s=16)[0].rate() is None
    assert asked(tmp_path / "soon", Told(40, 40), now_s=2)[0].rate() is None


@pytest.mark.parametrize(("now_s", "reached"), [(10, False), (15, False), (16.9, False), (17.1, True), (30, True)])
def test_a_load_is_at_its_height_when_its_shape_was_for_a_baseline(now_s: float, reached: bool, tmp_path: Path) -> None:
    """5 s at the height, which begins 12 s after the customers."""
    shape = surge(4, after_s=10)
    _, (seen, said) = asked(tmp_path, Told(*[40] * int(now_s)), now_s=now_s, shape=shape)
    assert seen == reached
    assert "of 4" in said


def test_a_steady_load_is_always_at_its_height(tmp_path: Path) -> None:
    assert asked(tmp_path, Told(*[40] * 8), now_s=8)[1] == (True, "40.0 acts a second, 1.00 times the rate asked of 1")
    assert asked(tmp_path / "none", None, now_s=8)[1] == (False, "Locust has told of no rate yet")


def test_a_day_goes_from_its_midnight_over_its_noon_to_its_midnight() -> None:
    day = day_curve(0.5, 3, day_s=48)
    assert [day[0], day[12], day[24]] == [pytest.approx(point) for point in ((0, 0.5), (24, 3), (48, 0.5))]
    assert Load(shape=day, workers=4).shape == day
