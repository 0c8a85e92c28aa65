"""What `measure` makes of records, one figure at a time: which fault is the worst, what is told, and what is only doubted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from judging import outage_v1
from judging.awaited import Missed
from judging.books import audit
from judging.evidence import Event, Evidence, ProbeCount
from judging.host import Host, Stall
from judging.injections import _lasting, injections
from judging.measure import (
    _detection,
    _end_lsn,
    _gone_at_the_end,
    _largest,
    _measure_fault,
    _protection,
    _service,
    _traffic,
    _wal_bytes_lost,
    _worst,
    measure,
    seconds_up,
)
from judging.outage import Service
from judging.records import Effect, Injected, Intent, Records, Until, read
from judging.segments import Takeover
from tests.synthetic import SCENARIOS, Scenario, write_run
from tests.test_intervals import QUIET, injection
from tests.test_judge_edges import fault
from tests.test_measure import light
from tests.test_outage import Gone, record

S = 1_000_000_000
MS = 1_000_000
ZERO = 7200 * S

Fresh = Callable[..., Records]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("figures") / "run", light(Scenario()))


@pytest.fixture(scope="module")
def whole(directory: Path) -> Records:
    return read(Evidence(directory))


@pytest.fixture
def fresh(whole: Records) -> Fresh:
    """The records of a clean center loss, without a doubt yet, with some of them changed."""

    def records(**changes: Any) -> Records:
        return replace(whole, doubts=[], **changes)

    return records


def event(kind: str, t_s: float, **data: Any) -> Event:
    return Event(seq=0, t_ns=ZERO + round(t_s * S), wall="", source="harness", kind=kind, text="", data=data)


def others(records: Records, *kinds: str) -> list[Event]:
    return [one for one in records.events if one.kind not in kinds]


# Rounding, and the worst of several


@pytest.mark.parametrize(("nanoseconds", "seconds"), [(0, 0.0), (1, 0.001), (MS, 0.001), (MS + 1, 0.002), (22 * S, 22.0)])
def test_seconds_are_rounded_up_to_the_millisecond(nanoseconds: int, seconds: float) -> None:
    assert seconds_up(nanoseconds) == seconds


def test_the_largest_is_known_only_where_all_are() -> None:
    assert _largest([1.0, 3.0, 2.0]) == 3.0
    assert _largest([0.0]) == 0.0
    assert _largest([3.0, None]) is None
    assert _largest([None]) is None
    assert _largest([]) is None


def test_the_worst_fault_is_the_longest_or_the_one_without_a_return() -> None:
    one, two, gone = fault(id="f1", rto_s=3.0), fault(id="f2", rto_s=9.0), fault(id="f3", rto_s=None)
    assert _worst([one, two]) == two
    assert _worst([two, one]) == two
    assert _worst([two, gone, one]) == gone
    assert _worst([]) is None


def test_a_run_has_the_figures_of_its_books_and_of_its_worst_fault(tmp_path: Path) -> None:
    evidence = Evidence(write_run(tmp_path / "run", light(replace(SCENARIOS["planned-switchover"], lost=4, unknown_committed=5))))
    measured, books = measure(evidence), audit(read(evidence))
    for name in ("lost_keys", "autopsy_lost_keys", "autopsy_absent", "duplicated", "phantom", "authority"):
        assert getattr(measured, name) == getattr(books, name), name
    assert measured.lost_transactions == len(books.lost_keys or []) == 4
    assert books.rpo_ns is not None
    assert measured.rpo_s == seconds_up(books.rpo_ns)
    for name in ("acknowledged", "refused", "unknown", "unknown_committed"):
        assert getattr(measured, name) == sum(getattr(count, name) for count in books.counts), name
    assert [source.model_dump() for source in measured.sources] == [vars(count) for count in books.counts]
    assert [copy.model_dump() for copy in measured.copies] == [vars(copy) for copy in books.copies]
    for name in ("rto_s", "rto_first_success_s", "rto_resolution_s", "interruption_s", "detect_s"):
        assert getattr(measured, name) == max(getattr(one, name) for one in measured.faults), name
    worst = max(measured.faults, key=lambda one: one.rto_s or 0)
    assert measured.phases == worst.phases
    assert len({one.rto_s for one in measured.faults}) == 2


def test_what_was_measured_of_a_run_is_rounded_to_its_worse_side(directory: Path, whole: Records) -> None:
    measured = measure(Evidence(directory))
    service, rate_per_s, pause_ns = _service(whole)
    assert isinstance(service, Service)
    assert rate_per_s is not None
    assert pause_ns is not None
    share = service.availability(measured.faults[0].before_ns)
    assert share is not None
    assert measured.availability is not None
    assert share - 1e-6 < measured.availability <= share
    assert measured.baseline_rate_per_s == round(rate_per_s, 3)
    assert measured.baseline_pause_s == seconds_up(pause_ns)
    assert [one["condition"] for one in measured.conditions] == ["service_restored", "replicas_caught_up"]
    assert set(measured.conditions[0]) == set(Until.model_fields)


def test_without_the_probe_nothing_of_faults_is_known_and_the_books_are(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", light(Scenario()))
    (directory / "probe.csv").unlink()
    measured = measure(Evidence(directory))
    assert (measured.faults, measured.rto_s, measured.rto_first_success_s, measured.rto_resolution_s) == ([], None, None, None)
    assert (measured.interruption_s, measured.detect_s, measured.availability, measured.wal_bytes_lost) == (
        None,
        None,
        None,
        None,
    )
    assert (measured.baseline_rate_per_s, measured.baseline_pause_s, measured.unprotected_s) == (None, None, None)
    assert (measured.protection_unknown_s, measured.unprotected_acknowledged, measured.intervals) == (None, None, None)
    assert (measured.lost_transactions, measured.rpo_s, measured.lost_keys) == (None, None, [])
    assert measured.acknowledged == measured.sources[0].acknowledged > 0
    assert measured.sources[0].source == "locust"


# The probe's record


def test_the_interval_is_the_one_counted_or_else_the_one_planned(fresh: Fresh) -> None:
    records = fresh()
    assert records.probe_count is not None
    counted = records.probe_count.model_copy(update={"interval_ms": 50.0})
    for changes, interval_ms in (({"probe_count": counted}, 50), ({}, 40), ({"probe_count": None}, 40)):
        service, _, _ = _service(fresh(**changes))
        assert service is not None
        assert service.interval_ns == interval_ms * MS
    assert records.plan is not None
    assert _service(fresh(probe_count=None, plan=None)) == (None, None, None)
    assert _service(fresh(probe=None)) == (None, None, None)


@pytest.mark.parametrize(
    ("interval_ms", "sensible"), [(0.0, False), (0.0009, False), (0.001, True), (60_000, True), (60_001, False)]
)
def test_an_interval_that_makes_no_sense_measures_nothing(fresh: Fresh, interval_ms: float, sensible: bool) -> None:
    records = fresh()
    assert records.probe_count is not None
    counted = ProbeCount.model_construct(**{**records.probe_count.model_dump(), "interval_ms": interval_ms})
    assert (_service(fresh(probe_count=counted))[0] is not None) is sensible


def test_an_empty_record_is_told_and_measures_nothing(fresh: Fresh) -> None:
    records = fresh()
    assert records.probe is not None
    empty = fresh(probe=records.probe[:0])
    assert _service(empty) == (None, None, None)
    assert empty.doubts == ["The probe recorded no payment."]


def test_each_version_has_its_rule_and_version_2_its_level(fresh: Fresh) -> None:
    records = fresh()
    assert records.plan is not None
    old = records.plan.model_copy(update={"evidence_version": 1})
    patient = records.plan.model_copy(update={"load": records.plan.load.model_copy(update={"service_level_s": 2.5})})
    assert type(_service(fresh(plan=old))[0]) is outage_v1.Service
    service, _, _ = _service(fresh(plan=patient))
    assert isinstance(service, Service)
    assert service.level_ns == 2_500 * MS


def test_the_last_baseline_counts_and_its_rate_is_held_against_the_schedule(fresh: Fresh) -> None:
    records = fresh()
    assert records.probe is not None
    window = {"from_ns": ZERO + 20 * S, "to_ns": ZERO + 24 * S}  # a hundred payments
    inside = np.flatnonzero((records.probe["due_ns"] >= window["from_ns"]) & (records.probe["due_ns"] < window["to_ns"]))
    assert len(inside) == 100
    rest = others(records, "baseline")
    for failed, doubted in ((5, False), (6, True)):
        outcome = records.probe["outcome"].astype("object").to_numpy(copy=True)
        outcome[inside[:failed]] = "refused"
        probe = records.probe.assign(outcome=outcome)
        told = [event("baseline", 24.5, from_ns=ZERO, to_ns=ZERO + S), event("baseline", 25, **window)]
        again = fresh(probe=probe, events=[*rest, *told])
        service, rate_per_s, pause_ns = _service(again)
        assert rate_per_s == pytest.approx(25 * (100 - failed) / 100)
        assert pause_ns is not None
        words = "Expected at least 95% of 25 payments/s in the baseline; seen 23.5 payments/s."
        assert again.doubts == ([words] if doubted else [])
        assert service is not None
        assert service.baseline_pause_ns == pause_ns
    nothing = fresh(events=[*rest, event("baseline", 24.5, from_ns=ZERO, to_ns=ZERO + S)])
    assert _service(nothing)[1:] == (None, None)
    assert nothing.doubts == ["Expected at least 95% of 25 payments/s in the baseline; seen 0.0 payments/s."]
    untold = fresh(events=rest)
    assert _service(untold)[0] is not None
    assert _service(untold)[1:] == (None, None)
    assert untold.doubts == ["No baseline was taken."]


# One fault


def test_a_fault_says_what_its_injection_says(fresh: Fresh) -> None:
    records = fresh()
    service, _, _ = _service(records)
    assert isinstance(service, Service)
    (one,) = injections(records, probe_end_ns=service.end_ns)
    seen = _measure_fault(records, service, QUIET, one)
    for name in ("id", "name", "target", "injected_at", "before_ns", "after_ns", "window_end_ns", "proved", "healed"):
        assert getattr(seen, name) == getattr(one, name), name
    assert seen.observed_s == seconds_up(one.window_end_ns - one.before_ns)
    assert seen.rto_resolution_s == seconds_up(one.after_ns - one.before_ns + 40 * MS + round(3.2 * MS))
    assert seen.borders[-1].t_ns == one.before_ns + round((seen.rto_s or 0) * S) or seen.borders[-1].source.startswith("service")
    assert [(episode.began_s, episode.lasted_s) for episode in seen.episodes] == [(0.0, seen.rto_s)]
    assert seen.rto_interval is not None
    assert _measure_fault(records, service, None, one).rto_interval is None
    unknown = replace(records, probe_count=None)
    assert _measure_fault(unknown, service, QUIET, one).rto_resolution_s == seconds_up(one.after_ns - one.before_ns + 40 * MS)


def test_payments_through_the_fault_are_counted_to_the_return_or_the_windows_end(fresh: Fresh) -> None:
    service, one = record(), injection(window_end_s=30)
    records = fresh(ledger=None)
    count = _traffic(records, service, one, None)
    assert count == 2000
    assert _traffic(records, service, one, 12 * S) == 200
    assert _traffic(records, service, one, 10 * S + 10 * MS) == 1  # as long as an interval
    assert _traffic(records, service, one, 10 * S + 10 * MS - 1) == 2000  # shorter: it may lie between two
    assert records.doubts == []
    late = injection(100, window_end_s=110)
    assert _traffic(records, service, late, None) == 0
    assert records.doubts == ["Expected probe payments through fault f1; none was due."]


@pytest.mark.parametrize(("sent_ns", "doubted"), [(10 * S - 1, True), (10 * S, False), (30 * S - 1, False), (30 * S, True)])
def test_a_fault_that_no_customer_went_through_is_a_doubt(fresh: Fresh, sent_ns: int, doubted: bool) -> None:
    records = fresh(ledger=pd.DataFrame({"sent_ns": [sent_ns]}))
    _traffic(records, record(), injection(window_end_s=30), None)
    assert records.doubts == (["Expected Locust payments through fault f1; none was sent."] if doubted else [])


def test_the_end_of_a_lost_log_is_read_off_its_own_disk_after_this_fault_and_before_the_next(fresh: Fresh) -> None:
    who = Takeover("dc1-a", "dc2-a")
    told = [event("autopsy", t_s, node=node, end_lsn=lsn) for t_s, node, lsn in
            ((5, "dc1-a", 1), (10, "dc1-a", 2), (12, "dc1-a", 3), (13, "dc2-a", 4), (20, "dc1-a", 5))]  # fmt: skip
    records = fresh(events=told)

    def end(before_s: float, until_s: float | None) -> int | None:
        return _end_lsn(records, who, ZERO + round(before_s * S), None if until_s is None else ZERO + round(until_s * S))

    assert [end(10, None), end(10, 20), end(10, 12), end(10.1, 12), end(21, None)] == [5, 3, 2, None, None]
    assert _end_lsn(fresh(events=[]), who, 0, None) is None


def test_wal_lost_is_the_sum_over_the_changes_of_primary_and_needs_all(fresh: Fresh) -> None:
    records = fresh()
    service, _, _ = _service(records)
    assert service is not None
    (one,) = injections(records, probe_end_ns=service.end_ns)
    once = _wal_bytes_lost(records, [one])
    assert once
    assert _wal_bytes_lost(records, []) == 0
    quiet = replace(one, before_ns=ZERO + 55 * S, after_ns=ZERO + 55 * S, window_end_ns=ZERO + 60 * S)
    assert _wal_bytes_lost(records, [one, quiet]) is None  # of the second nobody can tell
    unseen = replace(records, samples=None)
    assert _wal_bytes_lost(unseen, [one]) is None


def test_a_detection_reaches_back_to_the_look_before(fresh: Fresh) -> None:
    records = fresh()
    service, _, _ = _service(records)
    assert service is not None
    (one,) = injections(records, probe_end_ns=service.end_ns)
    seen = _detection(records, QUIET, one)
    assert seen is not None
    assert seen.low == pytest.approx(10.3 - 0.2 - 0.4, abs=0.002)
    assert seen.high == 10.3
    stalled = Host([Stall("disk", one.before_ns + 2 * S, one.before_ns + 3 * S)])
    later = _detection(records, stalled, one)
    assert later is not None
    assert later.low == pytest.approx(seen.low - 1, abs=1e-9)  # type: ignore[operator]
    assert _detection(fresh(events=others(records, "leader_key")), QUIET, one) is None


# Service at the end


def test_service_that_is_gone_at_the_end_is_a_breach() -> None:
    assert _gone_at_the_end(record(Gone(55, 60)), QUIET).breaches == [
        "Service was not in order at the end: fewer than 95 % of the last 5 s' payments were acknowledged within 1 s."
    ]
    assert _gone_at_the_end(None, None) == Missed()
    assert _gone_at_the_end(record(Gone(30, 40)), QUIET) == Missed()
    assert _gone_at_the_end(record(Gone(55, 60), level_s=0.5), QUIET).breaches[0].endswith("acknowledged within 0.5 s.")


def test_an_end_that_the_host_may_account_for_is_undecided() -> None:
    gone = record(Gone(56, 60, "hang"))
    host = Host([Stall("disk", 56 * S, 60 * S), Stall("disk", 10 * S, 30 * S)])
    assert _gone_at_the_end(gone, host) == Missed(
        undecided=[
            "Service was not in order at the end: fewer than 95 % of the last 5 s' payments were acknowledged within 1 s;"
            " the host's disk stalled for 4.0 s at −4.0 s of the end."
        ]
    )
    assert len(_gone_at_the_end(gone, Host([Stall("disk", 10 * S, 30 * S)])).breaches) == 1
    old = outage_v1.Service(gone.due, gone.done, gone.acknowledged, interval_ns=10 * MS)
    assert len(_gone_at_the_end(old, None).breaches) == 1


# Protection


def test_protection_needs_samples_ledgers_and_centers(fresh: Fresh) -> None:
    records = fresh()
    assert records.plan is not None
    seen = _protection(records)
    assert seen is not None
    nowhere = records.plan.model_copy(update={"topology": {"name": "x"}})
    assert records.samples is not None
    for missing in ({"samples": None}, {"probe": None}, {"ledger": None}, {"plan": nowhere}, {"samples": records.samples[:0]}):
        assert _protection(fresh(**missing)) is None
    refused = records.ledger.assign(outcome="refused") if records.ledger is not None else None
    assert (_protection(fresh(ledger=refused)) or seen).unprotected_acknowledged <= seen.unprotected_acknowledged


def test_only_acknowledged_payments_were_unprotected(fresh: Fresh) -> None:
    """Nobody had to confirm: every acknowledged payment stood in one center, and no refused one counts."""
    records = fresh()
    assert records.samples is not None
    assert records.probe is not None
    assert records.ledger is not None
    alone = records.samples.assign(sync_names="")
    acknowledged = sum(int((frame["outcome"] == "acknowledged").sum()) for frame in (records.probe, records.ledger))
    seen = _protection(fresh(samples=alone))
    assert seen is not None
    assert seen.unprotected_acknowledged == acknowledged
    assert seen.unprotected_ns > 20 * S


def test_a_fault_that_lasts_explains_who_does_not_answer_beside_the_next() -> None:
    def intent(name: str, node: str) -> Intent:
        return Intent(effect=Effect(down=[node]), id=name, name="NodeKilled", target=node)

    first, second, third = (Injected(id=name, before_ns=at, after_ns=at + 1) for name, at in (("f1", 10), ("f2", 20), ("f3", 30)))
    injected, intents = [first, second, third], {"f1": intent("f1", "a"), "f2": intent("f2", "b"), "f3": intent("f3", "c")}
    heals = [("f1", 5), ("f1", 25)]  # the first heal was before the injection, and ends nothing
    assert _lasting(injected, heals, intents, second) == [(10, {"a"}), (30, {"c"})]  # a proof tells which came before it
    assert _lasting(injected, heals, intents, third) == [(20, {"b"})]  # f1 was healed by then
    assert _lasting(injected, heals, {"f2": intents["f2"]}, second) == []  # of one without an intent nothing is known


def test_the_pause_that_the_next_fault_makes_is_not_the_one_before_its() -> None:
    """It begins with the last answer before that fault: so it overlaps the time of both, and the first had no part in it."""
    interval_ns = 10_000_000
    due = np.arange(4000, dtype=np.int64) * interval_ns
    acknowledged = (due < 20_005_000_000) | (due > 30_000_000_000)
    service = Service(due, due + 5_000_000, acknowledged, interval_ns=interval_ns)
    second_ns = 20_010_000_000
    assert service.interruption_ns(10_000_000_000, second_ns) == 10_000_000
    assert service.interruption_ns(second_ns, service.end_ns) > 9_000_000_000
