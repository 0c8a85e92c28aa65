"""Borders of segments from all who saw them: the narrowest source counts, a contradiction is noted, version 1 stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from judging.evidence import Clock, Evidence, write_atomically
from judging.logs import BALANCER, DATABASE, PATRONI, ServerLogs
from judging.records import LeaderKey, Records, read
from judging.segments import Seen, Takeover, borders, moments, narrowest, takeover, with_first_success
from tests.synthetic import Scenario, ns, reseal, wall, write_run

FAULT_S = Scenario().faults[0].at_s
OLD, NEW = Scenario().faults[0].old, Scenario().faults[0].new
AFTER_S = 60.0


def stamp(at_s: float) -> str:
    return f"{wall(ns(at_s))[:-1]}000Z"


def own(at_s: float, *, comma: bool = False) -> str:
    text = wall(ns(at_s))[:-4].replace("T", " ")  # to the millisecond, as servers write it
    return text.replace(".", ",") if comma else f"{text} UTC"


def line(at_s: float, text: str, *, engine_s: float = 0.004) -> str:
    """A line as the engine hands it over: it read it `engine_s` after it was written."""
    return f"{stamp(at_s + engine_s)} {text}"


def database(at_s: float, text: str) -> str:
    return line(at_s, f"{own(at_s)} [41]  LOG:  {text}")


def patroni(at_s: float, text: str) -> str:
    return line(at_s, f"{own(at_s, comma=True)} INFO: {text}")


def balancer(at_s: float, server: str, state: str) -> str:
    return line(at_s, f"Server {server} is {state}, reason: Layer7 check passed, code: 200, check duration: 6ms.")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def records_of(run: Path, version: int, logs: dict[str, list[str]] | None = None) -> Records:
    for name, lines in (logs or {}).items():
        write_atomically(run / "logs" / f"{name}.log", "\n".join(lines) + "\n")
    reseal(run)
    records = read(Evidence(run))
    assert records.plan is not None
    records.plan = records.plan.model_copy(update={"evidence_version": version})
    return records


def found(records: Records) -> dict[str, Seen]:
    return moments(records, Takeover(OLD, NEW), ns(FAULT_S), ns(FAULT_S + AFTER_S))


def promoted_s(records: Records) -> float:
    """When the new primary was first sampled as one."""
    return (found(records)["promote"].t_ns - ns(0)) / 1e9


def took_over(at_s: float) -> list[str]:
    return [
        database(at_s - 0.05, "received promote request"),
        database(at_s - 0.04, "selected new timeline ID: 3"),
        database(at_s - 0.02, "archive recovery complete"),
        database(at_s, "database system is ready to accept connections"),
    ]


def test_version_1_has_one_source_and_no_uncertainty(run: Path) -> None:
    plain = found(records_of(run, 1))
    at_s = promoted_s(records_of(run, 1))
    logs = {NEW: took_over(at_s - 0.1), "dc2-haproxy": [balancer(at_s + 0.2, f"primary/{NEW}", "UP")]}
    with_logs = found(records_of(run, 1, logs))
    assert with_logs == plain
    assert all(seen.from_ns is None and not seen.notes for seen in plain.values())
    assert "reroute" not in plain


def test_the_new_primarys_own_log_tells_the_promotion_best(run: Path) -> None:
    at_s = promoted_s(records_of(run, 1))
    seen = found(records_of(run, 2, {NEW: took_over(at_s - 0.1)}))["promote"]
    assert seen.source == f"{NEW} says that it is ready as a primary (logs/{NEW}.log)"
    assert seen.from_ns is not None
    assert abs(seen.from_ns - ns(at_s - 0.12)) <= 1_000_000
    assert abs(seen.t_ns - ns(at_s - 0.096)) <= 1_000_000
    assert seen.notes == ()


def test_without_the_log_samples_bound_it_from_both_sides(run: Path) -> None:
    write_atomically(run / "logs" / f"{NEW}.log", "")
    seen = found(records_of(run, 2))["promote"]
    assert "samples.csv" in seen.source
    assert seen.from_ns is not None
    assert ns(FAULT_S) <= seen.from_ns < seen.t_ns


def test_a_log_that_contradicts_the_samples_is_noted(run: Path) -> None:
    at_s = promoted_s(records_of(run, 1))
    seen = found(records_of(run, 2, {NEW: took_over(at_s + 3)}))["promote"]
    assert len(seen.notes) == 1
    assert "samples.csv" in seen.notes[0]
    assert "earlier, more than both can be off" in seen.notes[0]


def test_the_leader_key_is_bounded_by_the_watch(run: Path) -> None:
    events = records_of(run, 2).of("leader_key", LeaderKey)
    gone = next((event, data) for event, data in events if event.t_ns > ns(FAULT_S) and data.leader is None)
    seen = found(records_of(run, 2))["detect"]
    assert seen.t_ns == gone[0].t_ns
    assert seen.from_ns == max(ns(FAULT_S), gone[1].seen_before_ns or 0)


def test_the_manager_may_say_when_it_took_the_key_and_says_it_twice(run: Path) -> None:
    store = found(records_of(run, 1))["decide"]
    at_s = (store.t_ns - ns(0)) / 1e9
    lines = [
        patroni(at_s - 1, "no action. I am a secondary, and following a leader"),
        patroni(at_s - 0.01, "Cleaning up failover key after acquiring leader lock..."),
        patroni(at_s + 0.05, "Lock owner: it's me"),
        patroni(at_s + 0.3, "promoted self to leader by acquiring session lock"),
    ]
    seen = found(records_of(run, 2, {NEW: lines}))["decide"]
    assert seen.notes == ()
    late = [patroni(at_s + 4.9, "no action"), patroni(at_s + 5, "promoted self to leader by acquiring session lock")]
    seen = found(records_of(run, 2, {NEW: late}))["decide"]
    assert len(seen.notes) == 1


DOOR_DOWN = partial(balancer, server="bank/dc2", state="DOWN")
DOOR_UP = partial(balancer, server="bank/dc2", state="UP")


@pytest.mark.parametrize(
    ("door", "expected"),
    [
        (lambda at: [DOOR_DOWN(at - 5), DOOR_UP(at + 0.5)], ("bank/dc2", 0.5)),  # the door waited for its own check
        (lambda at: [DOOR_UP(at - 30)], (f"primary/{NEW}", 0.2)),  # the door had never kept payments away
        (lambda at: [DOOR_DOWN(at - 5)], None),  # it never let them in again
    ],
)
def test_rerouted_when_balancer_and_door_let_payments_through(
    run: Path, door: Callable[[float], list[str]], expected: tuple[str, float] | None
) -> None:
    at_s = promoted_s(records_of(run, 1))
    logs = {
        NEW: took_over(at_s - 0.1),
        # What a remote region streams from is no way for payments.
        "dc3-haproxy": [balancer(at_s - 0.05, f"upstream/{NEW}", "UP")],
        "dc2-haproxy": [balancer(at_s + 0.2, f"primary/{NEW}", "UP")],
        "door": door(at_s),
    }
    seen = found(records_of(run, 2, logs)).get("reroute")
    if expected is None:
        assert seen is None
        return
    assert seen is not None
    assert seen.source.startswith(expected[0])
    assert abs(seen.t_ns - ns(at_s + expected[1])) < 10_000_000
    # A balancer has no stamp of its own: its line was read as late as the database's near it, 4 ms.
    assert seen.from_ns is not None
    assert 3_000_000 <= seen.t_ns - seen.from_ns <= 6_000_000


def test_a_balancer_later_than_the_first_success_is_contradicted_by_it() -> None:
    said = {"reroute": Seen(5_000_000_000, "the balancer", 4_900_000_000)}
    with_first_success(said, 4_000_000_000)
    assert said["reroute"].t_ns == 4_000_000_000
    assert said["reroute"].notes == ("the balancer: that is 0.900 s after the first success, more than it can be off",)
    said = {"reroute": Seen(5_000_000_000, "the balancer", 4_900_000_000)}
    with_first_success(said, 5_300_000_000)
    assert said["reroute"] == Seen(5_000_000_000, "the balancer", 4_900_000_000)
    nobody: dict[str, Seen] = {}
    with_first_success(nobody, 7)
    assert nobody["reroute"] == Seen(7, "first success (probe.csv)")


def test_the_narrowest_counts_and_only_what_lies_apart_is_noted() -> None:
    wide, narrow, apart = Seen(300, "wide", 100), Seen(250, "narrow", 240), Seen(500, "apart", 400)
    assert narrowest([wide, narrow]) == narrow
    assert narrowest([wide, apart, narrow]).notes == ("apart is 0.000 s later, more than both can be off",)
    assert narrowest([narrow, apart], slack_ns=200).notes == ()
    unbounded = Seen(200, "unbounded")
    assert narrowest([unbounded, narrow]).notes == ("unbounded is 0.000 s earlier, more than both can be off",)


def test_borders_that_cannot_be_told_apart_are_in_order() -> None:
    seen = {"promote": Seen(200, "p", 150), "reroute": Seen(180, "r", 170)}
    placed = borders(seen, before_ns=100, end_ns=400, names=("promote", "reroute"))
    assert [(one.t_ns, one.source) for one in placed] == [(200, "p"), (200, "r")]
    seen["reroute"] = Seen(120, "r", 110)
    placed = borders(seen, before_ns=100, end_ns=400, names=("promote", "reroute"))
    assert [(one.t_ns, one.source) for one in placed] == [(200, "p"), (200, "earlier than the border before: r")]
    plain = {"promote": Seen(200, "p"), "reroute": Seen(180, "r")}  # version 1
    placed = borders(plain, before_ns=100, end_ns=400, names=("promote", "reroute"))
    assert placed[1].source == "out of order: r"


def test_log_lines_are_placed_by_the_plans_clock_and_widened_by_its_drift(run: Path) -> None:
    records = records_of(run, 2, {"dc1-a": [database(30, "ready"), "no stamp at all", line(31, "a balancer's", engine_s=0)]})
    assert records.plan is not None
    logs = ServerLogs(records.evidence, records.plan)
    (ready,) = logs.lines("dc1-a", DATABASE)
    assert (ready.from_ns, ready.t_ns, ready.own) == (ns(30), ns(30.004), True)
    assert logs.lines("dc1-a", PATRONI) == []
    assert logs.lines("nobody", BALANCER) == []
    moved = datetime.fromisoformat(records.plan.clock.wall) - timedelta(seconds=2)
    clock = Clock(monotonic_ns=records.plan.clock.monotonic_ns, wall=moved.isoformat())
    stepped = ServerLogs(records.evidence, records.plan.model_copy(update={"clock": clock}))
    assert stepped.drift_ns == 2_000_000_000
    (ready,) = stepped.lines("dc1-a", DATABASE)
    assert ready.t_ns - ready.from_ns == 2_004_000_000


def test_a_log_that_is_not_in_the_seal_says_nothing(run: Path) -> None:
    records = records_of(run, 2)
    assert records.plan is not None
    write_atomically(run / "logs" / "intruder.log", database(30, "ready") + "\n")
    assert ServerLogs(Evidence(run), records.plan).lines("intruder", DATABASE) == []


def test_a_servers_stamp_of_another_clock_is_not_used(run: Path) -> None:
    odd = line(30, f"{own(30 - 3600)} [41]  LOG:  ready")
    records = records_of(run, 2, {"dc1-a": [odd]})
    assert records.plan is not None
    (placed,) = ServerLogs(records.evidence, records.plan).lines("dc1-a", DATABASE)
    assert not placed.own


def test_without_a_change_of_primary_nobodys_log_is_asked(run: Path) -> None:
    records = records_of(run, 2, {OLD: took_over(FAULT_S + 5)})
    assert "promote" not in moments(records, Takeover(OLD, OLD), ns(FAULT_S), ns(FAULT_S + AFTER_S))
    assert takeover(records, ns(FAULT_S), ns(FAULT_S + AFTER_S)).old == OLD
    assert replace(Seen(1, "x"), from_ns=0).width_ns == 1
