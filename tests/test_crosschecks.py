"""Rules that hold records against each other, where a busy machine could make them cry wolf."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from judging.columns import KeyBook
from judging.crosschecks import bank, contradictions
from judging.crosschecks.bank import _takeovers
from judging.crosschecks.case import CLOCK_NS, SECOND_NS, wall_ns
from judging.crosschecks.nodes import _not_writing, _sampled
from judging.crosschecks.schedule import AMOUNT_MINOR_MAX, _Draws
from judging.crosschecks.standing import TextBook
from judging.evidence import PAYMENT_COLUMNS, Evidence
from judging.host import Host
from judging.host import Stall as Stalled
from judging.records import read
from tests.forger import Forger
from tests.synthetic import SCENARIOS, FaultStory, Scenario, Stall, ns, write_run

S = 1_000_000_000


def test_who_has_not_answered_for_a_second_may_be_told_as_down() -> None:
    """An answer was on its way for 1.03 s on a busy machine; nothing failed, and the observer rightly said `down`."""
    times = np.array([0, S, int(2.03 * S), 3 * S], dtype=np.int64)
    roles = {"dc2-a": (times, ["standby"] * 4)}

    def quiet(from_ns: npt.ArrayLike, to_ns: npt.ArrayLike) -> npt.NDArray[np.int64]:
        return np.zeros(np.broadcast(from_ns, to_ns).shape, dtype=np.int64)

    assert _sampled(roles, "dc2-a", "down", int(2.01 * S), quiet)
    assert not _sampled(roles, "dc2-a", "down", int(1.9 * S), quiet)  # it had answered in the second before
    assert not _sampled(roles, "dc2-a", "primary", int(2.01 * S), quiet)
    assert _sampled(roles, "dc2-a", "standby", int(2.01 * S), quiet)
    assert not _sampled(roles, "nobody", "down", 0, quiet)
    # Beside a full machine an answer was there for 0.3 s before the observer was let run, and it said `down`.
    stalled = Host([Stalled("cores", int(0.9 * S), int(1.95 * S))]).spans.inside
    assert not _sampled(roles, "dc2-a", "down", int(1.96 * S), stalled)
    assert _sampled(roles, "dc2-a", "down", int(1.94 * S), stalled)


@pytest.mark.parametrize(
    ("error", "idle"),
    [("connection refused", True), ("no answer within 0.75 s", False), ("connection timeout expired", False)],
)
def test_a_database_that_is_slow_to_answer_may_write_all_the_same(error: str, idle: bool) -> None:
    """Beside a full machine a primary took payments for 22 s and no new guest: 29 of them were called a contradiction."""
    times = np.arange(0, 10 * S, S // 4)
    theirs = pd.DataFrame({"asked_ns": times, "t_ns": times + 1000, "ok": 0, "error": error})
    assert bool(_not_writing(theirs.assign(in_recovery=pd.array([pd.NA] * len(times), dtype="Int64")))) is idle


READ_LATE_S = 1.4  # after the door's line ends: over B


def _read_late(directory: Path, *, stall_s: float, unknown: bool) -> list[str]:
    """A run in which a client read one answer late, and what the door's rules say of it."""
    stalls = (Stall(27.0, 27.0 + stall_s),) if stall_s else ()
    write_run(directory, Scenario(faults=(), ends_s=45, stalls=stalls))
    frame = pd.read_csv(directory / "probe.csv", dtype=str, keep_default_na=False)
    row = int((frame["sent_ns"].astype("int64") >= ns(27.0)).argmax())
    assert frame.loc[row, "outcome"] == "acknowledged"
    frame.loc[row, "done_ns"] = str(int(str(frame.loc[row, "done_ns"])) + round(READ_LATE_S * S))
    if unknown:
        frame.loc[row, ["status", "outcome", "error"]] = ["", "unknown", "no answer within 1.4 s"]
    frame[list(PAYMENT_COLUMNS)].to_csv(directory / "probe.csv", index=False)
    records = read(Evidence(directory))
    doubts = list(records.doubts)
    found = [one.rule for one in contradictions(records) if one.rule in ("door_agrees_on_time", "door_told_the_same")]
    assert records.doubts == doubts
    return found


@pytest.mark.parametrize(("unknown", "rule"), [(False, "door_agrees_on_time"), (True, "door_told_the_same")])
def test_an_answer_is_read_later_by_as_long_as_the_host_stalled(tmp_path: Path, unknown: bool, rule: str) -> None:
    """On a full machine a client read its answer 1.02 s after the door had passed it on: an honest run was INVALID."""
    assert _read_late(tmp_path / "calm", stall_s=0, unknown=unknown) == [rule]
    assert _read_late(tmp_path / "short", stall_s=0.15, unknown=unknown) == [rule]  # 0.3 s of excuses: not enough
    assert _read_late(tmp_path / "stalled", stall_s=0.5, unknown=unknown) == []


def _before_the_fault(directory: Path, *, ago_s: float, took_s: float, stall_s: float = 0.0, count: int = 10) -> list[str]:
    """What is said of a run in which so many payments, due from so long before the fault on, got no success."""
    one = SCENARIOS["undisturbed"]
    at_s = one.faults[0].at_s
    stalls = (Stall(at_s - ago_s + 0.05, at_s - ago_s + 0.05 + stall_s),) if stall_s else ()
    write_run(directory, replace(one, stalls=stalls))
    frame = pd.read_csv(directory / "probe.csv", dtype=str, keep_default_na=False)
    first = int((frame["due_ns"].astype("int64") >= ns(at_s - ago_s)).argmax())
    for row in range(first, first + count):
        frame.loc[row, "done_ns"] = str(int(str(frame.loc[row, "sent_ns"])) + round(took_s * S))
        frame.loc[row, ["status", "outcome", "error"]] = ["503", "refused", ""]
    frame[list(PAYMENT_COLUMNS)].to_csv(directory / "probe.csv", index=False)
    records = read(Evidence(directory))
    return [one.words for one in contradictions(records) if one.rule == "order_before_the_first_fault"]


def test_what_fails_before_the_fault_is_a_contradiction_unless_the_host_stalled(tmp_path: Path) -> None:
    """Beside a neighbour that synced, 13 payments of a second were refused after 1.03 s: an honest run was INVALID."""
    (told,) = _before_the_fault(tmp_path / "calm", ago_s=3, took_s=1.03)
    assert "10 of 100 payments" in told
    assert _before_the_fault(tmp_path / "stalled", ago_s=3, took_s=1.03, stall_s=0.5) == []
    assert len(_before_the_fault(tmp_path / "longer", ago_s=3, took_s=2.5, stall_s=0.5)) == 1  # 1 s excuses 1 s
    assert _before_the_fault(tmp_path / "few", ago_s=3, took_s=1.03, count=5) == []


def test_what_was_in_flight_when_the_fault_came_may_fail(tmp_path: Path) -> None:
    """On a slow machine payments take 0.8 s: those on their way are the fault's. Those that were late already are not."""
    assert _before_the_fault(tmp_path / "flying", ago_s=0.9, took_s=1.2) == []
    assert len(_before_the_fault(tmp_path / "ended", ago_s=0.9, took_s=0.2)) == 1
    assert len(_before_the_fault(tmp_path / "late", ago_s=1.5, took_s=1.8)) == 1


def _stands_unanswered(directory: Path, *, error: str, took_s: float, stall_s: float = 0.0) -> list[str]:
    """A payment that nobody was told of, sent 3.5 s before the fault; it stands on the disk of the primary that died."""
    at_s = FaultStory().at_s
    stalls = (Stall(at_s - 3.4, at_s - 3.4 + stall_s),) if stall_s else ()
    write_run(directory, Scenario(stalls=stalls))
    frame = pd.read_csv(directory / "probe.csv", dtype=str, keep_default_na=False)
    row = int((frame["sent_ns"].astype("int64") >= ns(at_s - 3.5)).argmax())
    frame.loc[row, "done_ns"] = str(int(str(frame.loc[row, "sent_ns"])) + round(took_s * S))
    frame.loc[row, ["status", "outcome", "error"]] = ["", "unknown", error]
    frame[list(PAYMENT_COLUMNS)].to_csv(directory / "probe.csv", index=False)
    return [one.words for one in contradictions(read(Evidence(directory))) if one.rule == "dead_disks_and_ledgers"]


def test_who_gave_up_waiting_may_find_the_payment_on_a_dead_disk(tmp_path: Path) -> None:
    """A bank that had just started on a full machine took 3 s for its first payments: two runs were INVALID."""
    (told,) = _stands_unanswered(tmp_path / "closed", error="connection closed without an answer", took_s=3.5)
    assert "1 payments without an answer stand on dc1-a's dead disk" in told
    assert _stands_unanswered(tmp_path / "waited", error="no answer within 3 s", took_s=3.0) == []
    assert len(_stands_unanswered(tmp_path / "early", error="no answer within 3 s", took_s=2.0)) == 1
    assert _stands_unanswered(tmp_path / "stalled", error="connection closed", took_s=3.5, stall_s=1.6) == []


def _silent_primary(directory: Path, *, node: str | None = None, stall_s: float = 0.0) -> list[str]:
    """A run whose primary is told to be another one, or none, 0.4 s after a stall of the host began, before the fault."""
    at_s = FaultStory().at_s - 3
    write_run(directory, Scenario(stalls=(Stall(at_s, at_s + stall_s),) if stall_s else ()))
    with Forger(directory) as run:
        event = {**run.kind("primary")[0], "data": {"node": node, "roles": {}}}
        run.move(event, ns(at_s + 0.4))
        run.events.append(event)
        run.events.sort(key=lambda one: int(one["t_ns"]))
    told = contradictions(read(Evidence(directory)))
    return [one.words for one in told if one.rule == "primary_changes_belong_to_faults"]


def test_a_primary_that_the_host_kept_from_answering_did_not_change(tmp_path: Path) -> None:
    """Beside a full machine the primary did not answer for a second, 4 s before the fault: an honest run was INVALID."""
    assert len(_silent_primary(tmp_path / "calm")) == 1
    assert _silent_primary(tmp_path / "stalled", stall_s=0.3) == []
    assert len(_silent_primary(tmp_path / "another", node="dc2-a", stall_s=0.3)) == 1


@pytest.mark.parametrize("accounts", [2, 21, 22, 64, 1000])
def test_draws_are_those_of_python(accounts: int) -> None:
    quick, plain = _Draws(random.Random("1-probe"), accounts), random.Random("1-probe")
    for _ in range(2000):
        assert quick.one() == (*plain.sample(range(accounts), 2), plain.randint(1, AMOUNT_MINOR_MAX))
        assert quick.below(accounts) == plain.choice(range(accounts))


def test_commit_times_are_the_same_only_when_their_texts_are() -> None:
    told = ["2026-01-15 02:00:20+00", "2026-01-15 02:00:20.1+00", "2026-01-15 02:00:20.10+00", "2026-01-15 02:00:20.123456+00"]
    odd = ["2026-01-15T02:00:20.1+00", "2026-01-15 03:00:20.1+01", "2026-01-15 02:00:20.1+00:00"]
    book = TextBook()
    codes = book.times(pa.array([*told, *odd, *told], pa.large_string()))
    assert len(set(codes.tolist())) == len(told) + len(odd)
    assert codes[: len(told)].tolist() == codes[-len(told) :].tolist() == book.times(pa.array(told)).tolist()
    expected = pd.to_datetime(pd.Series([*told, *odd]), utc=True, format="ISO8601").astype("datetime64[ns, UTC]").astype("int64")
    assert book.wall_ns(codes[: len(expected)]).tolist() == expected.tolist()
    with pytest.raises(ValueError, match="13"):
        book.times(pa.array(["2026-13-15 02:00:20+00"]))


def test_numbered_keys_are_those_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KeyBook, "DIGITS", 2)
    monkeypatch.setattr(KeyBook, "BASE", 100)
    book = KeyBook()
    assert book.numbered("r-p-", 250).tolist() == book.encode(pa.array([f"r-p-{n:02d}" for n in range(250)])).tolist()


def test_what_an_earlier_fault_left_without_an_answer_is_not_the_next_ones() -> None:
    """A second center dies with payments on its disks that nobody was told of: they were sent while the first one was dying."""
    second = 1_000_000_000

    def fault(before_s: int, heal_s: int | None) -> Any:
        return SimpleNamespace(before_ns=before_s * second, heal_ns=heal_s and heal_s * second)

    first, later, last = fault(100, 140), fault(300, None), fault(500, 540)
    case = cast(Any, SimpleNamespace(faults=[first, later, last]))
    done_ns = np.array([99, 100, 140, 170, 171, 299, 310, 400, 530], dtype=np.int64) * second
    assert bank._troubled(case, later, done_ns).tolist() == [False, True, True, True, False, False, False, False, False]
    assert bank._troubled(case, last, done_ns).tolist() == [False, True, True, True, False, False, True, True, True]
    assert not bank._troubled(case, first, done_ns).any()


STARTS, RECEIVED, SELECTED = (
    "LOG:  starting PostgreSQL 17.5",
    "LOG:  last completed transaction was at log time 2026-01-15 02:00:20.000000+00",
    "LOG:  selected new timeline ID: 2",
)


@pytest.mark.parametrize(
    ("lines", "received"),
    [
        ([STARTS, RECEIVED, SELECTED], 20_000_001_000),
        (
            [RECEIVED, STARTS, SELECTED],
            11_000_000_000 + CLOCK_NS,
        ),  # what it had received before it was started again is no word on now
        ([STARTS, SELECTED], 10_000_000_000 + CLOCK_NS),  # it received nothing since it started
        ([SELECTED], None),
    ],
)
def test_a_promotion_right_after_a_start_received_nothing_since(lines: list[str], received: int | None) -> None:
    """The start stands for the last commit that it had received, later by the clocks' grain at most."""
    log = [((10 + n) * SECOND_NS, words) for n, words in enumerate(lines)]
    zero = wall_ns("2026-01-15 02:00:00+00:00")
    case: Any = SimpleNamespace(databases=["dc1-a"], log=lambda _: log, at_ns=lambda at: at - zero)
    ((node, seen, at),) = _takeovers(case)
    assert (node, seen) == ("dc1-a", received)
    assert at == (9 + len(lines)) * SECOND_NS - CLOCK_NS
