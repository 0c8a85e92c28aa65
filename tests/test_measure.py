"""The figures of docs/evidence.md, from runs made up by tests/synthetic.py whose truth is known beforehand."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from judging.errors import EvidenceError
from judging.evidence import Evidence
from judging.measure import FaultMeasurement, Measurement, measure
from judging.outage_v1 import SECOND_NS, Service
from judging.protection import demanded, guarantees_copy_elsewhere, integrate
from judging.segments import Takeover, wal_bytes_lost
from tests.synthetic import LSN_PER_S, SCENARIOS, FaultStory, Outage, Scenario, Step, reseal, write_run

Run = Callable[[Scenario], Measurement]
Base = Callable[[], Path]


def light(scenario: Scenario) -> Scenario:
    """The same story with a quarter of the payments: quicker to write and to read."""
    return replace(scenario, probe_interval_ms=40, locust_rate_per_s=min(scenario.locust_rate_per_s, 8))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda scenario: measure(Evidence(write_run(tmp_path / "run", light(scenario))))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("pristine") / "run", light(Scenario()))


@pytest.fixture
def base(pristine: Path, tmp_path: Path) -> Base:
    """A fresh copy of one clean center loss, to be damaged."""
    copies = iter(range(100))
    return lambda: Path(shutil.copytree(pristine, tmp_path / f"copy-{next(copies)}"))


def only_fault(measured: Measurement) -> FaultMeasurement:
    (fault,) = measured.faults
    return fault


def phases_sum(fault: FaultMeasurement) -> float:
    return float(sum(fault.phases.model_dump().values()))


def rewrite_events(directory: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change or drop (None) events, number them anew, and seal again: damage that no seal shows."""
    events = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    kept = [changed for event in events if (changed := change(event)) is not None]
    lines = [json.dumps({**event, "seq": n}) for n, event in enumerate(kept)]
    (directory / "events.jsonl").write_text("\n".join(lines) + "\n")
    reseal(directory)


def without(*kinds: str) -> Callable[[dict[str, Any]], dict[str, Any] | None]:
    return lambda event: None if event["kind"] in kinds else event


def damaged(base: Base, change: Callable[[Path], object], *, sealed: bool = True) -> Measurement:
    directory = base()
    change(directory)
    if sealed:
        reseal(directory)
    return measure(Evidence(directory))


def told(sentences: list[str], *words: str) -> bool:
    return any(all(word in sentence for word in words) for sentence in sentences)


# A clean run


def test_a_clean_center_loss_has_its_figures_and_no_doubt(pristine: Path) -> None:
    measured = measure(Evidence(pristine))
    fault = only_fault(measured)
    assert (measured.doubts, measured.breaches) == ([], [])
    assert fault.rto_s is not None
    assert 22.0 <= fault.rto_s <= 22.05
    assert fault.rto_first_success_s == fault.rto_s
    assert 21.8 <= fault.interruption_s <= 21.95  # from the last acknowledgement before, not from the injection
    assert fault.rto_resolution_s == pytest.approx(0.4 + 0.04 + 0.0032, abs=0.001)
    assert (fault.old_primary, fault.new_primary, fault.healed, fault.relapses) == ("dc1-a", "dc2-a", True, 0)
    assert fault.detect_s == 10.3
    assert 549 <= fault.traffic <= 553
    assert fault.injected_at == "2026-01-15T02:00:25.050000Z"
    assert (measured.lost_transactions, measured.rpo_s) == (0, 0.0)
    assert measured.wal_bytes_lost == LSN_PER_S * 2 // 1000  # on its way for 2 ms; no acknowledged payment was in it
    assert (measured.duplicated, measured.phantom) == (0, 0)
    assert measured.baseline_rate_per_s == pytest.approx(25, rel=0.01)
    assert (measured.first_payment_s, measured.full_redundancy_s) == (14.2, 18.1)
    assert [copy.node for copy in measured.copies] == ["dc1-a", "dc1-b", "dc2-a", "dc2-b", "dc3-a"]
    assert all(copy.equal_to_authority and copy.expected for copy in measured.copies)
    assert [c["condition"] for c in measured.conditions] == ["service_restored", "replicas_caught_up"]


def test_phases_end_where_the_records_say_and_sum_to_the_rto(pristine: Path) -> None:
    fault = only_fault(measure(Evidence(pristine)))
    assert (fault.phases.detect_s, fault.phases.decide_s) == (10.3, 0.8)
    assert fault.phases.promote_s == pytest.approx(17.5 - 11.1, abs=0.11)  # sampled every 200 ms
    assert phases_sum(fault) == pytest.approx(fault.rto_s, abs=1e-9)
    assert [b.segment for b in fault.borders] == ["detect", "decide", "promote", "reroute", "warm_up"]
    assert [b.t_ns for b in fault.borders] == sorted(b.t_ns for b in fault.borders)
    assert "region-a" in fault.borders[0].source


def test_the_same_files_give_the_same_measurement_in_another_place(base: Base) -> None:
    assert measure(Evidence(base())) == measure(Evidence(base()))


def test_the_ledgers_counts_add_up(run: Run) -> None:
    measured = run(Scenario(unknown_committed=20))
    for source in measured.sources:
        assert source.sent == source.acknowledged + source.refused + source.unknown
        assert source.lost is not None
        assert source.acknowledged_present is not None
        assert source.acknowledged == source.acknowledged_present + source.lost
        assert source.unknown == (source.unknown_committed or 0) + (source.unknown_absent or 0)
    assert measured.unknown_committed == 20
    assert measured.lost_transactions == 0  # unknown ones are neither lost nor a success
    assert measured.acknowledged == sum(source.acknowledged for source in measured.sources)


def test_twenty_thousand_payments_and_five_copies_take_about_a_second(tmp_path: Path) -> None:
    story = Scenario(ends_s=219, probe_interval_ms=10)
    evidence = Evidence(write_run(tmp_path, story))
    measured = measure(evidence)
    assert measured.sources[0].sent == 20_000
    assert measured.doubts == []


# Loss


def test_lost_payments_are_counted_named_and_found_on_the_dead_disk(run: Run) -> None:
    measured = run(SCENARIOS["lost-payments"])
    assert measured.lost_transactions == 14 == len(measured.lost_keys)
    assert measured.autopsy_lost_keys == measured.lost_keys
    assert measured.autopsy_absent == 14
    assert measured.rpo_s is not None
    assert 0.3 < measured.rpo_s < 0.6  # 14 payments at 33/s
    assert measured.wal_bytes_lost is not None
    assert measured.wal_bytes_lost > 512
    assert measured.doubts == []


def test_wal_lost_cannot_be_told_without_samples_of_the_new_primary(base: Base) -> None:
    def drop(directory: Path) -> None:
        lines = (directory / "samples.csv").read_text().splitlines(keepends=True)
        (directory / "samples.csv").write_text("".join(line for line in lines if ",dc2-a," not in line))

    assert damaged(base, drop).wal_bytes_lost is None


def test_what_the_old_primary_writes_on_a_new_timeline_was_not_lost() -> None:
    rows = [(1, "old", 0, 1, 500), (1, "new", 1, 1, 480), (3, "new", 0, 2, 490), (5, "old", 0, 3, 900)]
    samples = pd.DataFrame(rows, columns=["t_ns", "node", "in_recovery", "timeline", "flush_lsn"]).assign(ok=1)
    samples = samples.astype(dict.fromkeys(("in_recovery", "timeline", "flush_lsn"), "Int64"))

    def lost(end_lsn: int | None) -> int | None:
        return wal_bytes_lost(samples, Takeover("old", "new"), before_ns=2, window_end_ns=9, end_lsn=end_lsn)

    assert (lost(None), lost(510), lost(10)) == (None, 30, 20)


# Outages


def test_a_short_outage_is_measured_to_its_end(run: Run) -> None:
    fault = only_fault(run(SCENARIOS["short-outage"]))
    assert fault.rto_s is not None
    assert 0.45 <= fault.rto_s <= 0.5
    assert 0.3 <= fault.interruption_s <= 0.4


def test_late_answers_are_an_outage_though_nothing_failed(run: Run) -> None:
    measured = run(SCENARIOS["stall"])
    fault = only_fault(measured)
    assert measured.refused + measured.unknown == 0
    assert fault.disturbed
    assert fault.rto_s is not None
    assert 8.0 <= fault.rto_s <= 8.05
    assert measured.availability is not None
    assert measured.availability < 0.9  # the late ones do not count


def test_a_relapse_is_measured_on_its_own(run: Run) -> None:
    fault = only_fault(run(SCENARIOS["relapse"]))
    assert fault.relapses == 1
    assert fault.rto_s == pytest.approx(9.0, abs=0.05)
    first, relapse = fault.episodes
    assert (first.began_s, first.lasted_s) == (0, fault.rto_s)
    assert relapse.began_s == pytest.approx(22.0, abs=0.05)
    assert relapse.lasted_s == pytest.approx(4.0, abs=0.05)
    assert phases_sum(fault) == pytest.approx(fault.rto_s, abs=1e-9)


def test_in_version_1_a_relapse_makes_the_last_return_count(run: Run) -> None:
    fault = only_fault(run(replace(SCENARIOS["relapse"], version=1)))
    assert fault.relapses == 1
    assert fault.rto_s is not None
    assert fault.rto_first_success_s is not None
    assert 26.0 <= fault.rto_s <= 26.05
    assert 9.0 <= fault.rto_first_success_s <= 9.05
    assert fault.phases.warm_up_s == pytest.approx(17.0, abs=0.05)


def test_no_return_while_watched_is_no_rto(run: Run) -> None:
    measured = run(SCENARIOS["no-return"])
    fault = only_fault(measured)
    assert (fault.rto_s, fault.rto_first_success_s, fault.unsettled_return_s) == (None, None, None)
    assert (fault.observed_s, measured.rto_s, fault.phases.detect_s) == (37.0, None, None)
    assert told(measured.breaches, "service_restored", "35 s")


def test_a_return_watched_for_less_than_ten_seconds_is_unsettled(run: Run) -> None:
    fault = only_fault(run(Scenario(faults=(replace(FaultStory(), heal_s=None),), ends_s=25.05 + 22 + 6)))
    assert fault.rto_s is None
    assert fault.unsettled_return_s is not None
    assert 22.0 <= fault.unsettled_return_s <= 22.05


def test_a_fault_that_leaves_service_undisturbed_has_an_rto_of_zero(run: Run) -> None:
    measured = run(SCENARIOS["undisturbed"])
    fault = only_fault(measured)
    assert (fault.disturbed, fault.rto_s, phases_sum(fault)) == (False, 0.0, 0.0)
    assert fault.traffic == 925  # the whole window of 37 s
    assert (measured.wal_bytes_lost, measured.doubts) == (0, [])


def test_runbook_steps_go_before_what_the_store_showed(run: Run) -> None:
    measured = run(SCENARIOS["region-loss"])
    fault = only_fault(measured)
    assert measured.doubts == []
    assert [fault.phases.detect_s, fault.phases.decide_s, fault.phases.promote_s, fault.phases.reroute_s] == [
        8.0, 12.0, 11.5, 6.5,
    ]  # fmt: skip
    assert phases_sum(fault) == pytest.approx(fault.rto_s, abs=1e-9)
    assert fault.new_primary == "dc3-a"
    assert fault.healed is None


def test_a_leader_key_that_is_only_renewed_is_not_gone(base: Base) -> None:
    def renew(event: dict[str, Any]) -> dict[str, Any]:
        if event["kind"] == "reach" and event["data"]["moment"] == "during":
            event |= {"kind": "leader_key", "data": {"store": "region-a", "leader": "dc1-a", "seen_before_ns": 0}}
        return event

    directory = base()
    rewrite_events(directory, renew)
    assert only_fault(measure(Evidence(directory))).phases.detect_s == 10.3


def test_ten_seconds_and_no_less_show_that_service_is_sustained() -> None:
    def returned_ns(seconds: float) -> int | None:
        service = made_up(lambda t_s: "refused" if 10 <= t_s < 20 else "acknowledged", 60)
        service.end_ns = round((20.005 + seconds) * 1e9)
        return service.outage(before_ns=10 * SECOND_NS, after_ns=10 * SECOND_NS, window_end_ns=service.end_ns).return_ns

    assert returned_ns(9.999) is None
    assert returned_ns(10) == round(20.005e9)


def test_failed_and_late_steps_are_no_border(run: Run) -> None:
    steps = (Step("look", "detect", 1, 5, ok=False), Step("tidy up", "promote", 23, 30))
    fault = only_fault(run(Scenario(faults=(replace(FaultStory(), steps=steps),))))
    assert fault.phases.detect_s == 10.3  # the leader key's, because the step failed
    assert fault.borders[2].source.startswith("dc2-a first sampled")


def test_two_faults_are_measured_each_in_its_window_and_the_worst_counts(run: Run) -> None:
    measured = run(SCENARIOS["planned-switchover"])
    there, back = measured.faults
    assert [there.old_primary, there.new_primary, back.old_primary, back.new_primary] == [
        "dc1-a", "dc2-a", "dc2-a", "dc1-a",
    ]  # fmt: skip
    for fault in measured.faults:
        assert fault.rto_s is not None
        assert 2.7 <= fault.rto_s <= 2.75  # though the injection itself took 3.5 s
        assert 1.2 <= fault.interruption_s <= 1.29
    assert measured.rto_s == max(there.rto_s or 0, back.rto_s or 0)
    assert measured.doubts == []


def test_what_gets_through_while_the_fault_takes_hold_is_no_return() -> None:
    service = made_up(lambda t_s: "unknown" if t_s == 10.01 or 10.05 <= t_s < 30 else "acknowledged", 60)
    outage = service.outage(before_ns=10 * SECOND_NS, after_ns=int(10.03e9), window_end_ns=50 * SECOND_NS)
    assert outage.first_success_ns == pytest.approx(30.005e9, abs=1e6)


def made_up(outcome: Callable[[float], str], seconds: int, *, baseline_s: int = 5, step_ms: int = 10) -> Service:
    due = np.arange(0, seconds * 1000, step_ms, dtype=np.int64) * 1_000_000
    acknowledged = np.array([outcome(float(t) / 1e9) == "acknowledged" for t in due])
    service = Service(due, due + 5_000_000, acknowledged, interval_ns=step_ms * 1_000_000)
    service.take_baseline(0, baseline_s * SECOND_NS)
    return service


def plain_rto_ns(service: Service, before: int, after: int, window_end: int) -> int | None:
    """docs/evidence.md word by word, payment by payment: slow, and written without looking at harness/outage.py."""
    rows = sorted(zip(service.done.tolist(), service.due.tolist(), service.acknowledged.tolist(), strict=True))
    acks: list[int] = [done for done, _, ok in rows if ok]
    gaps = list(zip(acks, [*acks[1:], max(service.end_ns, acks[-1])], strict=True))
    limit = min(SECOND_NS, max(100_000_000, 3 * service.baseline_pause_ns))
    failed = [d for done, d, ok in rows if not ok and before - 3 * SECOND_NS <= d < window_end and done >= before]
    pauses = [(a, b) for a, b in gaps if b > before and a < window_end - limit and b - a > limit]
    if not failed and not pauses:
        return before
    disturbance = min([*failed, *(a for a, _ in pauses)])
    hold = max(disturbance, after) + SECOND_NS
    floor = max([before, *(b for a, b in pauses if a <= hold)])
    first = min(failed, default=1 << 62)
    success = [t for t, due, ok in rows if ok and t >= floor and (first > hold or due > first)]
    if not success or any(b == gaps[-1][1] and a == gaps[-1][0] and a <= hold for a, b in pauses):
        return None
    earliest = success[0]
    while True:
        back = next((t for t in acks if t >= earliest and _sustained(service, acks, gaps, t)), None)
        if back is None or back > window_end or success[0] > window_end:
            return None
        later = [(a, b) for a, b in gaps if a >= back and a < window_end and b - a > SECOND_NS]
        if not later:
            return back
        if later[0] == gaps[-1]:
            return None
        earliest = later[0][1]


def _sustained(service: Service, acks: list[int], gaps: list[tuple[int, int]], t: int) -> bool:
    until = t + 10 * SECOND_NS
    count = sum(1 for a in acks if t <= a < until)
    pause = any(t <= a < until and b - a > SECOND_NS for a, b in gaps)
    return until <= service.end_ns and count >= 0.95 * service.rate_per_s * 10 and not pause


@pytest.mark.parametrize("seed", range(40))
def test_rto_is_what_the_page_says_on_random_outages(seed: int) -> None:
    dice = random.Random(seed)
    spans = [(start, start + dice.choice([0.04, 0.12, 0.4, 1.3, 6.0])) for start in (dice.uniform(9, 45) for _ in "abc")]
    noise = dice.choice([0.0, 0.0, 0.02, 0.06])

    def outcome(t_s: float) -> str:
        hit = any(a <= t_s < b for a, b in spans) or (t_s > 10 and dice.random() < noise)
        return dice.choice(["refused", "unknown"]) if hit else "acknowledged"

    service = made_up(outcome, 60, step_ms=40)
    late = dice.random() < 0.3  # answers that come late instead of not at all
    if late:
        a, b = (int(t * 1e9) for t in spans[0])
        service = late_service(service, a, b)
    before, after, window_end = 10 * SECOND_NS, int(10.2e9), dice.choice([30, 50]) * SECOND_NS
    seen = service.outage(before_ns=before, after_ns=after, window_end_ns=window_end)
    assert seen.return_ns == plain_rto_ns(service, before, after, window_end)
    if seen.return_ns is not None and seen.first_success_ns is not None:
        assert before <= seen.first_success_ns <= seen.return_ns <= window_end
        assert seen.unsettled_return_ns is None


def late_service(service: Service, start: int, end: int) -> Service:
    done = np.where((service.due >= start) & (service.due < end), end + 1_000_000, service.done)
    slow = Service(service.due, done, np.ones(len(done), dtype=np.bool_), interval_ns=service.interval_ns)
    slow.take_baseline(0, 5 * SECOND_NS)
    return slow


# Protection

CENTERS = {"dc1-a": "dc1", "dc1-b": "dc1", "dc2-a": "dc2", "dc2-b": "dc2", "dc3-a": "dc3"}


@pytest.mark.parametrize(
    ("names", "protected"),
    [
        ('2 ("dc1-b","dc2-a")', True),
        ("1 (*)", False),  # dc1-b alone may confirm
        ("*", False),
        ("2 (*)", True),  # only one of two can be a neighbour
        ('ANY 1 ("dc1-b","dc2-a","dc2-b")', False),
        ('ANY 2 ("dc1-b","dc2-a","dc2-b")', True),
        ('FIRST 1 ("dc2-a","dc1-b")', False),  # the neighbour steps in when dc2-a is away
        ('"dc2-a"', True),
        ("'dc2-a'", False),  # no name of ours: it could be anywhere
        ('"DC2-A"', True),
        ("dc2_a", False),
        ('"dc1-b"', False),
        ('"dc2-a", "dc1-b"', False),
        ("any 1(dc3-a)", True),
        ('1 ("dc1-a","dc2-a")', True),  # a primary is not its own standby
        ('2 ("dc1-b",*)', True),
        ("", False),
        ("  ", False),
        ("3 ()", False),
    ],
)
def test_a_primary_in_dc1_waits_for_a_copy_elsewhere(names: str, protected: bool) -> None:
    assert guarantees_copy_elsewhere(names, "dc1-a", CENTERS) is protected


def test_a_lone_primary_with_any_standby_has_its_copy_elsewhere() -> None:
    assert guarantees_copy_elsewhere("1 (*)", "dc3-a", CENTERS)


def test_names_are_read_as_the_manual_says() -> None:
    assert demanded('ANY 2 (a, "B ""c""",a)') == (2, ["a", 'b "c"'])
    assert demanded("a,b") == (1, ["a", "b"])
    assert demanded("") == (0, [])


@pytest.mark.parametrize(
    ("names", "unprotected"),
    [('2 ("dc1-b","dc2-a")', False), ("1 (*)", True), ("*", True), ('"dc2-a"', False), ("", True)],
)
def test_unprotected_time_follows_from_the_primarys_settings(run: Run, names: str, unprotected: bool) -> None:
    measured = run(replace(SCENARIOS["undisturbed"], sync_before=names))
    expected_s = 65 - 19 if unprotected else 0
    assert measured.unprotected_s == pytest.approx(expected_s, abs=0.5)
    assert measured.unprotected_acknowledged == (measured.acknowledged if unprotected else 0)
    assert measured.protection_unknown_s == 0.0


def test_after_a_takeover_without_a_second_center_time_is_unprotected_and_the_outage_is_not(run: Run) -> None:
    measured = run(Scenario(sync_after='"dc2-b"'))
    assert measured.unprotected_s == pytest.approx(75 - 25.05 - 22, abs=0.5)


def test_time_that_no_sample_tells_of_is_unknown(run: Run) -> None:
    measured = run(replace(SCENARIOS["undisturbed"], sampled=lambda t_s: not 40 <= t_s < 50))
    assert measured.protection_unknown_s == pytest.approx(10 - 2 + 0.2, abs=0.05)
    assert measured.unprotected_s == 0.0


def test_time_between_samples_counts_only_when_a_payment_was_acknowledged_in_it() -> None:
    at = np.arange(0, 11, dtype=np.int64) * SECOND_NS
    lacks = np.array([True] * 4 + [False] * 4 + [True] * 3)  # guaranteed, then not from 4 to 7
    acks = np.array([0.5, 3.5, 5.5, 5.6, 9.5]) * 1e9
    seen = integrate(at, lacks, acks.astype(np.int64))
    assert (seen.unprotected_ns, seen.unprotected_acknowledged, seen.unknown_ns) == (2 * SECOND_NS, 3, 0)


def test_one_late_answer_does_not_make_a_whole_outage_unknown() -> None:
    """No primary for 20 s, and one payment that had waited was acknowledged in the midst of them."""
    at = np.concatenate([np.arange(0, 10), np.arange(30, 40)]) * SECOND_NS
    acks = np.concatenate([np.arange(0.5, 9), [20.0], np.arange(30.5, 39)]) * 1e9
    guaranteed = np.ones(len(at), dtype=np.bool_)
    assert integrate(at, guaranteed, acks.astype(np.int64)).unknown_ns == SECOND_NS
    assert integrate(at, guaranteed, acks.astype(np.int64), whole_spans=True).unknown_ns == 19 * SECOND_NS


def test_time_before_the_first_and_after_the_last_sample_is_unknown_while_payments_flow() -> None:
    at = np.array([10, 11]) * SECOND_NS
    acks = (np.arange(0, 20, 0.1) * 1e9).astype(np.int64)
    seen = integrate(at, np.ones(2, dtype=np.bool_), acks)
    assert seen.unknown_ns == pytest.approx((20 - 0.1 - 3) * SECOND_NS, abs=0.2e9)
    assert integrate(at[:0], np.ones(0, dtype=np.bool_), acks).unknown_ns == pytest.approx(19.9e9, abs=0.2e9)


# Two primaries at once


def edit_samples(directory: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    change(Evidence(directory).samples.copy()).sort_values("t_ns", kind="stable").to_csv(
        directory / "samples.csv", index=False, lineterminator="\n"
    )
    return directory


def old_primary_says_so(from_s: float, to_s: float, timeline: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """dc1-a comes back, and for a while it says that it is the primary; nobody has to confirm what it writes."""

    def change(samples: pd.DataFrame) -> pd.DataFrame:
        start, end = (int(7.2e12 + (25.05 + t) * 1e9) for t in (from_s, to_s))
        hit = (samples["node"] == "dc1-a") & (samples["t_ns"] >= start) & (samples["t_ns"] < end)
        said = {"ok": 1, "in_recovery": 0, "timeline": timeline, "sync_names": "", "error": ""}
        for column, value in said.items():
            samples[column] = samples[column].mask(hit, value)
        return samples

    return change


def test_an_old_primary_that_woke_up_is_not_taken_for_the_primary(base: Base) -> None:
    clean = measure(Evidence(base()))
    woke = damaged(base, lambda d: edit_samples(d, old_primary_says_so(37.6, 38.3, 1)))  # after its heal has begun
    assert (woke.doubts, woke.breaches) == ([], [])  # no false alarm
    assert (woke.unprotected_s, woke.unprotected_acknowledged) == (clean.unprotected_s, clean.unprotected_acknowledged)


def test_two_primaries_on_one_timeline_are_a_doubt(base: Base) -> None:
    seen = damaged(base, lambda d: edit_samples(d, old_primary_says_so(25.0, 28.0, 2)))
    assert told(seen.doubts, "dc1-a and dc2-a both said", "timeline 2")


def test_payments_that_two_primaries_cost_prove_split_brain(run: Run, tmp_path: Path) -> None:
    """Acknowledged while the new primary was there already, and absent from it: nothing else can have taken them."""
    directory = write_run(tmp_path / "split", light(Scenario()))
    edit_samples(directory, old_primary_says_so(25.0, 30.0, 1))
    ledger = pd.read_csv(directory / "ledger.csv", dtype=str, keep_default_na=False)
    sent = (ledger["sent_ns"].astype("int64") - 7_200_000_000_000) / 1e9 - 25.05
    gone = set(ledger["key"][(sent > 26) & (sent < 28) & (ledger["outcome"] == "acknowledged")])
    for path in directory.glob("copies/*.payments.csv.gz"):
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        frame[~frame["key"].isin(gone)].to_csv(path, index=False, lineterminator="\n", compression={"method": "gzip", "mtime": 0})
    reseal(directory)
    breaches = measure(Evidence(directory)).breaches
    assert gone
    assert told(breaches, "Split brain", "dc1-a (timeline 1)", "dc2-a (timeline 2)", f"{len(gone)} payments")


# Doubts and breaches


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-proof", ("f1", "no proof")),
        ("no-op", ("f1", "not proved", "dc2-b", "expected killed", "seen running")),
        ("zero-load", ("Locust", "f1")),
        ("missing-copy", ("dc2-b", "not read back")),
        ("interrupted", ("interrupted", "SIGINT")),
    ],
)
def test_what_could_not_be_told_is_a_doubt(run: Run, name: str, words: tuple[str, ...]) -> None:
    assert told(run(SCENARIOS[name]).doubts, *words)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (Scenario(uncounted=3), ("probe", "scheduled")),
        (Scenario(locust_uncounted=2), ("Locust counted",)),
        (Scenario(late_ms_max=1500), ("1.5 s late",)),
        (Scenario(baseline_share=0.8), ("95%", "baseline")),
        (Scenario(faults=()), ("No fault was injected",)),
        (Scenario(faults=(replace(FaultStory(), injected=False, heal_s=None),)), ("f1", "not known whether")),
        (Scenario(faults=(replace(FaultStory(), at_s=23.0),)), ("baseline", "f1")),
    ],
)
def test_each_missing_precondition_is_a_doubt(run: Run, story: Scenario, words: tuple[str, ...]) -> None:
    assert told(run(story).doubts, *words)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("phantom", ("sent by nobody",)),
        ("doubled", ("1 payments are duplicated",)),
        ("doubled-entries", ("1 payments are duplicated",)),
        ("balance", ("balances differ",)),
        ("balance", ("sum of balances",)),
        ("entries", ("entries are not",)),
        ("unposted", ("entries are not",)),
        ("differs", ("dc3-a", "differs")),
        ("altered", ("another amount",)),
    ],
)
def test_broken_books_are_a_breach_and_no_doubt(run: Run, damage: str, words: tuple[str, ...]) -> None:
    measured = run(Scenario(corrupt=(damage,)))
    assert told(measured.breaches, *words)
    assert measured.doubts == []


def test_a_refused_payment_that_stands_is_a_breach(base: Base) -> None:
    def refuse(directory: Path) -> None:
        text = (directory / "ledger.csv").read_text()
        (directory / "ledger.csv").write_text(text.replace(",201,acknowledged,", ",503,refused,", 1))

    measured = damaged(base, refuse)
    assert told(measured.breaches, "1 payments were refused and stand")
    assert measured.sources[1].refused_present == 1


def test_a_broken_heal_is_told_and_is_no_doubt(run: Run) -> None:
    measured = run(Scenario(faults=(replace(FaultStory(), healed=False),)))
    assert only_fault(measured).healed is False
    assert measured.doubts == []


def corrupted(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(change((directory / name).read_bytes()))


def test_a_file_changed_after_sealing_is_a_doubt(base: Base) -> None:
    measured = damaged(base, corrupted("logs/dc2-a.log", lambda b: b + b"x\n"), sealed=False)
    assert measured.doubts == ["The seal is broken: logs/dc2-a.log was changed after it was sealed."]


def test_a_copy_added_after_sealing_is_a_doubt(base: Base) -> None:
    def add(directory: Path) -> None:
        for table in ("payments", "entries", "accounts"):
            shutil.copy(directory / f"copies/dc3-a.{table}.csv.gz", directory / f"copies/dc9-a.{table}.csv.gz")

    assert told(damaged(base, add, sealed=False).doubts, "copies/dc9-a.payments.csv.gz is not in manifest.json")


def test_an_unsealed_run_is_a_doubt(base: Base) -> None:
    measured = damaged(base, lambda d: (d / "manifest.json").unlink(), sealed=False)
    assert told(measured.doubts, "never sealed")


def test_another_plan_than_the_registered_one_is_a_doubt(base: Base) -> None:
    measured = damaged(base, corrupted("plan.json", lambda b: b.replace(b'"lost_transactions": 0', b'"lost_transactions": 9')))
    assert measured.doubts == ["plan.json is not the plan that was registered: its SHA-256 differs from events.jsonl's."]


def test_a_cut_last_line_of_events_is_a_doubt_and_the_rest_is_read(base: Base) -> None:
    measured = damaged(base, corrupted("events.jsonl", lambda b: b[:-40]))
    assert measured.doubts == [
        "events.jsonl ends in the middle of a line: the harness did not end in order.",
        "events.jsonl has no phase seal; every run that ends in order has.",
    ]
    assert measured.rto_s is not None


def test_a_missing_event_line_is_a_doubt(base: Base) -> None:
    measured = damaged(base, corrupted("events.jsonl", lambda b: b.replace(b.splitlines(keepends=True)[8], b"")))
    assert told(measured.doubts, "without a gap")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("plan_registered", ("plan's hash",)),
        ("baseline", ("No baseline",)),
        ("authority", ("No authority",)),
        ("expected_copies", ("Nobody says",)),
        ("proof", ("no proof",)),
        ("intent", ("without a written intent",)),
        ("injected", ("not known whether",)),
    ],
)
def test_each_event_that_a_figure_needs_is_missed(base: Base, kind: str, words: tuple[str, ...]) -> None:
    directory = base()
    rewrite_events(directory, without(kind))
    assert told(measure(Evidence(directory)).doubts, *words)


def test_without_an_authority_nothing_is_counted_as_zero(base: Base) -> None:
    directory = base()
    rewrite_events(directory, without("authority"))
    measured = measure(Evidence(directory))
    assert [measured.lost_transactions, measured.rpo_s, measured.phantom, measured.duplicated] == [None] * 4
    assert measured.unknown_committed is None
    assert measured.sources[0].lost is None


def test_a_proof_that_asked_no_bystander_proves_nothing(base: Base) -> None:
    def victims_only(event: dict[str, Any]) -> dict[str, Any]:
        if event["kind"] == "proof":
            event["data"]["checks"] = [c for c in event["data"]["checks"] if c["side"] == "victim"]
        return event

    directory = base()
    rewrite_events(directory, victims_only)
    measured = measure(Evidence(directory))
    assert not only_fault(measured).proved
    assert told(measured.doubts, "no bystander was asked")


def shrunk_proof(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] == "proof":
        event["data"]["checks"] = [c for c in event["data"]["checks"] if c["side"] == "bystander" or c["subject"] == "dc1-bank"]
    return event


def spared_bystander(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] == "proof":
        event["data"]["checks"] = [c for c in event["data"]["checks"] if c["subject"] != "dc2-haproxy"]
    return event


def fewer_copies(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] == "expected_copies":
        event["data"]["nodes"].remove("dc1-b")
    return event


def later_fault(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] == "injected":
        event["data"]["before_ns"] += 15 * SECOND_NS
        event["data"]["after_ns"] += 15 * SECOND_NS
    return event


def second_authority(event: dict[str, Any]) -> dict[str, Any]:
    if event["kind"] == "expected_copies":
        event |= {"kind": "authority", "data": {"node": "dc2-b"}}
    return event


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shrunk_proof, ("nobody asked", "dc1-a", "dc1-b")),
        (spared_bystander, ("nobody asked", "dc2-haproxy")),
        (fewer_copies, ("dc1-b", "nobody expected")),
        (later_fault, ("outside the time between its intent and its record",)),
        (second_authority, ("Several copies", "dc2-b")),
    ],
)
def test_a_story_that_contradicts_itself_is_a_doubt(base: Base, change: Callable[[Any], Any], words: tuple[str, ...]) -> None:
    """Sealed anew, so the seal does not show it: the records themselves don't fit."""
    directory = base()
    rewrite_events(directory, change)
    assert told(measure(Evidence(directory)).doubts, *words)


def test_a_ledger_without_its_failures_is_a_doubt(base: Base) -> None:
    """A payment that was due and is not in probe.csv, all counts mended."""

    def drop(directory: Path) -> None:
        lines = (directory / "probe.csv").read_text().splitlines(keepends=True)
        kept = [line for line in lines if ",acknowledged," in line or line == lines[0]]
        (directory / "probe.csv").write_text("".join(kept))
        count = json.loads((directory / "probe.json").read_text())
        (directory / "probe.json").write_text(json.dumps({**count, "scheduled": len(kept) - 1, "recorded": len(kept) - 1}))

    assert told(damaged(base, drop).doubts, "probe.csv", "some are not there")


def test_a_dead_disk_that_holds_what_no_ledger_knows_is_a_doubt(base: Base) -> None:
    """Lost payments can't be made to vanish from a ledger: the dead node's disk still holds them."""

    def drop(directory: Path) -> None:
        lines = (directory / "ledger.csv").read_text().splitlines(keepends=True)
        acknowledged = next(n for n, line in enumerate(lines) if ",acknowledged," in line)
        del lines[acknowledged]
        (directory / "ledger.csv").write_text("".join(lines))
        count = json.loads((directory / "ledger.json").read_text())
        fewer = {"recorded": count["recorded"] - 1, "locust_requests": count["locust_requests"] - 1}
        (directory / "ledger.json").write_text(json.dumps({**count, **fewer}))

    assert told(damaged(base, drop).doubts, "autopsy/dc1-a.payments.csv.gz", "1 payments that no ledger knows")


def test_service_that_is_gone_when_customers_stop_is_a_breach(run: Run) -> None:
    ends_s = SCENARIOS["center-loss"].ends_s
    story = replace(SCENARIOS["center-loss"].faults[0], outages=(Outage(0.15, 22.0), Outage(ends_s - 25.05 - 4, ends_s)))
    measured = run(replace(SCENARIOS["center-loss"], faults=(story,)))
    assert told(measured.breaches, "not in order at the end")
    assert only_fault(measured).rto_s == pytest.approx(22.0, abs=0.05)


def test_what_the_heal_did_to_customers_counts_as_interruption(run: Run) -> None:
    story = replace(SCENARIOS["short-outage"].faults[0], outages=(Outage(0.15, 0.45), Outage(26.0, 29.0)))
    assert 2.9 <= only_fault(run(replace(SCENARIOS["short-outage"], faults=(story,)))).interruption_s <= 3.1


def test_a_heal_before_the_fault_does_not_end_its_window(base: Base) -> None:
    def heal_first(event: dict[str, Any]) -> dict[str, Any]:
        if event["kind"] == "reach" and event["data"]["moment"] == "before":
            event |= {"kind": "heal_started", "data": {"id": "f1"}}
        return event

    directory = base()
    rewrite_events(directory, heal_first)
    assert only_fault(measure(Evidence(directory))).observed_s == 37.0


def test_an_outcome_that_its_status_does_not_give_is_a_doubt(base: Base) -> None:
    change = corrupted("probe.csv", lambda b: b.replace(b",503,refused,", b",503,acknowledged,", 1))
    assert told(damaged(base, change).doubts, "probe.csv", "do not follow from their status")


def test_a_key_used_twice_in_one_ledger_is_a_doubt(base: Base) -> None:
    def repeat(directory: Path) -> None:
        lines = (directory / "probe.csv").read_text().splitlines(keepends=True)
        (directory / "probe.csv").write_text("".join([*lines[:-1], lines[1]]))

    assert told(damaged(base, repeat).doubts, "probe.csv", "1 keys are used twice")


@pytest.mark.parametrize("name", ["probe", "ledger"])
def test_a_row_too_few_is_a_doubt(base: Base, name: str) -> None:
    change = corrupted(f"{name}.csv", lambda b: b"".join(b.splitlines(keepends=True)[:-1]))
    assert told(damaged(base, change).doubts, f"{name}.csv: expected", "rows")


@pytest.mark.parametrize(("name", "who"), [("probe", "The probe"), ("ledger", "Locust")])
def test_a_load_that_did_not_stop_in_order_is_a_doubt(base: Base, name: str, who: str) -> None:
    change = corrupted(f"{name}.json", lambda b: b.replace(b'"completed": true', b'"completed": false'))
    assert damaged(base, change).doubts == [f"{who} did not stop in order."]


def test_a_key_used_by_both_ledgers_is_a_doubt(base: Base) -> None:
    def share(directory: Path) -> None:
        key = (directory / "probe.csv").read_text().splitlines()[1].split(",")[0]
        lines = (directory / "ledger.csv").read_text().splitlines()
        lines[1] = ",".join([key, *lines[1].split(",")[1:]])
        (directory / "ledger.csv").write_text("\n".join(lines) + "\n")

    assert told(damaged(base, share).doubts, "used by the probe and by Locust")


def test_a_directory_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="not a run"):
        measure(Evidence(tmp_path))


FILES = [
    "plan.json", "events.jsonl", "probe.csv", "probe.json", "ledger.csv", "ledger.json", "samples.csv",
    "manifest.json", "copies/dc2-a.payments.csv.gz", "copies/dc2-a.entries.csv.gz", "copies/dc3-a.accounts.csv.gz",
]  # fmt: skip


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda _: b"",
    lambda whole: whole[: len(whole) // 2],
    lambda whole: b"\x00\xff\x1f garbage,1,2\n" + whole[40:],
]


@pytest.mark.parametrize("name", FILES)
def test_damage_to_any_file_is_a_doubt_and_never_an_exception(base: Base, name: str) -> None:
    directory = base()
    whole = (directory / name).read_bytes()
    for damage in DAMAGES:
        (directory / name).write_bytes(damage(whole))
        if name != "manifest.json":
            reseal(directory)  # so that it is the file itself that gives the doubt
        doubts = measure(Evidence(directory)).doubts
        assert told(doubts, "manifest" if name == "manifest.json" else name.split("/")[-1].split(".")[0])
        assert not told(doubts, str(directory))


@pytest.mark.parametrize("name", [f for f in FILES if f not in ("manifest.json", "plan.json")])
def test_a_missing_file_is_missed_without_the_help_of_the_seal(base: Base, name: str) -> None:
    measured = damaged(base, lambda directory: (directory / name).unlink())
    assert told(measured.doubts, name)
    assert not told(measured.doubts, "seal")


def test_work_by_hand_during_a_run_is_a_doubt(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Scenario())
    assert not measure(Evidence(run)).doubts
    (run / "by-hand.jsonl").write_text('{"kind": "healed", "wall": "", "data": {"id": "f1", "ok": true}}\n')
    assert not measure(Evidence(run)).doubts, "hands that work on what --keep left standing change nothing"
    reseal(run)
    assert any("by hand" in doubt for doubt in measure(Evidence(run)).doubts)
