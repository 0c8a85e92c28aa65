"""Sealed files in, figures out. Pure: the same run directory gives the same Measurement, anywhere, at any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise

import numpy as np
from pydantic import Field

from judging import edges, intervals, outage_v1
from judging.awaited import Missed, missed
from judging.books import Books, audit
from judging.crosschecks import hold_against_each_other
from judging.damage import acknowledged_in, answered_in, damages
from judging.edges import EdgeFigures
from judging.evidence import Evidence, Model
from judging.host import Host, read_host, words
from judging.injections import Injection, injections
from judging.intervals import Interval
from judging.outage import END_NS, Episode, Outage, Service
from judging.planned import check_body
from judging.primaries import of_the_primary, two_at_once
from judging.protection import Protection, guarantees_copy_elsewhere, integrate
from judging.rate import check_stated_rate
from judging.records import (
    AutopsyDone,
    Baseline,
    Ready,
    Records,
    Until,
    both_ledgers,
    read,
    topology_centers,
)
from judging.segments import SEGMENTS, Seen, Takeover, borders, moments, takeover, wal_bytes_lost, with_first_success
from judging.sides import SideMeasurement, measure_side, sides
from judging.surge import check_surges

BASELINE_SHARE_MIN = 0.95  # below this the bank or the host was not in order before the fault


class Phases(Model):
    """Segments of the RTO, seconds; they sum to `rto_s`. None when there was no RTO to divide."""

    detect_s: float | None = None
    decide_s: float | None = None
    promote_s: float | None = None
    reroute_s: float | None = None
    warm_up_s: float | None = None


class PhaseBorder(Model):
    """Where one segment ends: at what time, and which record says so."""

    segment: str  # detect | decide | promote | reroute | warm_up
    t_ns: int
    source: str  # in words, for the reader: "step 'decide' (events.jsonl)", "leader key gone (events.jsonl)", "not seen"
    from_ns: int | None = None  # it lies between here and t_ns; None: nothing bounds it from below
    notes: tuple[str, ...] = ()  # where another record contradicts this one, in words


class EpisodeMeasurement(Model):
    """One stretch of time out of order: from the fault to the first return, or a relapse. Seconds from `before_ns`."""

    began_s: float
    lasted_s: float | None  # None: service did not return while it was watched


class DamageMeasurement(Model):
    """Tables that a fault damaged, until they were restored, and what customers had of the bank meanwhile."""

    tables: list[str]
    lasted_s: float | None  # None: they were not restored
    acknowledged: int  # payments
    not_found: int | None  # payments that stand, and were not there when their customer read them back; None: nobody knows


class FaultMeasurement(Model):
    """One injected fault and what customers saw of it. Times are seconds from `before_ns` unless they end in _ns."""

    id: str
    name: str
    target: str
    injected_at: str  # wall time of before_ns, RFC 3339
    before_ns: int
    after_ns: int
    window_end_ns: int
    proved: bool
    traffic: int  # probe payments due from before_ns to the return of service (or the end of the window)
    disturbed: bool  # whether customers noticed anything
    rto_s: float | None  # None: service did not return while it was watched
    rto_first_success_s: float | None
    rto_resolution_s: float
    observed_s: float  # how long after the fault it was watched
    unsettled_return_s: float | None = None  # with rto_s None: it was back then, but not watched for 10 s more
    relapses: int
    phases: Phases
    borders: list[PhaseBorder]
    interruption_s: float
    detect_s: float | None  # time to detect: end of the detect segment or of a step with role detect
    old_primary: str | None  # the primary before the fault, as the databases said
    new_primary: str | None
    healed: bool | None  # None: no heal was tried
    # version 2
    rto_from_s: float = 0.0  # where the stretch that is `rto_s` begins: 0, or a relapse was longer
    episodes: list[EpisodeMeasurement] = Field(default_factory=list)
    rto_interval: Interval | None = None
    sides: list[SideMeasurement] = Field(default_factory=list)  # where two centers have customers of their own
    damage: DamageMeasurement | None = None


class CopyMeasurement(Model):
    """One copy of the bank's tables after recovery."""

    node: str
    expected: bool
    payments: int
    equal_to_authority: bool
    digest: str
    balances_match_entries: bool
    double_entry: bool
    sum_of_balances_kept: bool
    keys_once: bool


class SourceCount(Model):
    """The ledger of one source (probe, locust), in payments. sent = acknowledged + refused + unknown.

    None: there was no authority to look them up in.
    """

    source: str
    sent: int
    acknowledged: int
    refused: int
    unknown: int
    acknowledged_present: int | None
    lost: int | None
    unknown_committed: int | None
    unknown_absent: int | None
    refused_present: int | None  # certainly not committed, and yet there: the service lied


class Measurement(Model):
    """Every figure of a run. None: could not be measured (never: 0)."""

    baseline_rate_per_s: float | None
    baseline_pause_s: float | None
    faults: list[FaultMeasurement]
    # the worst over all faults
    rto_s: float | None
    rto_first_success_s: float | None
    rto_resolution_s: float | None
    phases: Phases
    interruption_s: float | None
    detect_s: float | None
    rpo_s: float | None
    wal_bytes_lost: int | None
    sources: list[SourceCount]
    acknowledged: int
    refused: int
    unknown: int
    unknown_committed: int | None
    lost_transactions: int | None
    lost_keys: list[str]
    autopsy_lost_keys: list[str] | None  # acknowledged, absent, and found on a dead node's disk; None: no autopsy
    autopsy_absent: int | None  # payments on dead disks that the authority lacks, acknowledged or not
    duplicated: int | None
    phantom: int | None
    unprotected_s: float | None
    unprotected_acknowledged: int | None
    protection_unknown_s: float | None
    availability: float | None
    edges: EdgeFigures | None = None  # None: no edges, or no record of what they did
    copies: list[CopyMeasurement]
    authority: str | None
    first_payment_s: float | None
    full_redundancy_s: float | None
    conditions: list[dict[str, object]]  # the `until` events' data, in order
    doubts: list[str]  # what could not be told, in words: each makes the verdict INVALID
    breaches: list[str]  # broken invariants and conditions not reached, in words: each makes it FAIL
    undecided: list[str] = Field(default_factory=list)  # what would be a breach, were it not perhaps the host's doing (version 2)
    intervals: dict[str, Interval | None] | None = None  # version 2: by the figure's name
    p99_back_s: float | None = None  # version 2, where the plan has a target for it


def measure(evidence: Evidence) -> Measurement:
    """Every figure of a run, and every doubt about it. Damage to the files is a doubt, never an exception."""
    records = read(evidence)
    check_body(records)
    service, rate_per_s, pause_ns = _service(records)
    injected = injections(records, probe_end_ns=service.end_ns if service is not None else None)
    check_stated_rate(records, injected)
    books = audit(records)
    host = read_host(records) if records.version > 1 else None
    if host is not None:
        books.breaches += two_at_once(records, books.lost_keys or [])
        books.breaches += edges.breaches(records, books.authority)
        hold_against_each_other(records)
    faults = _measure_faults(records, service, host, injected) if service is not None else []
    faults = [fault.model_copy(update={"damage": _damage(records, books, fault.id)}) for fault in faults]
    if records.version > 1:
        check_surges(records, injected, faults)
    protection = _protection(records)
    ready = next((data for _, data in records.of("ready", Ready)), Ready())
    until = records.of("until", Until)
    unreached = missed(until, host)
    worst = _worst(faults)
    acknowledged = sum(count.acknowledged for count in books.counts)
    committed = [count.unknown_committed for count in books.counts if count.unknown_committed is not None]
    complete = service is not None and len(faults) > 0
    gone = _gone_at_the_end(service, host)
    measured = Measurement(
        baseline_rate_per_s=None if rate_per_s is None else round(rate_per_s, 3),
        baseline_pause_s=None if pause_ns is None else seconds_up(pause_ns),
        faults=faults,
        rto_s=worst.rto_s if worst else None,
        rto_first_success_s=_largest([fault.rto_first_success_s for fault in faults]),
        rto_resolution_s=_largest([fault.rto_resolution_s for fault in faults]),
        phases=worst.phases if worst else Phases(),
        interruption_s=_largest([fault.interruption_s for fault in faults]),
        detect_s=_largest([fault.detect_s for fault in faults]),
        rpo_s=None if books.rpo_ns is None else seconds_up(books.rpo_ns),
        wal_bytes_lost=_wal_bytes_lost(records, injected) if complete else None,
        sources=[SourceCount(**asdict(count)) for count in books.counts],
        acknowledged=acknowledged,
        refused=sum(count.refused for count in books.counts),
        unknown=sum(count.unknown for count in books.counts),
        unknown_committed=sum(committed) if committed and len(committed) == len(books.counts) else None,
        lost_transactions=None if books.lost_keys is None else len(books.lost_keys),
        lost_keys=books.lost_keys or [],
        autopsy_lost_keys=books.autopsy_lost_keys,
        autopsy_absent=books.autopsy_absent,
        duplicated=books.duplicated,
        phantom=books.phantom,
        unprotected_s=None if protection is None else seconds_up(protection.unprotected_ns),
        unprotected_acknowledged=None if protection is None else protection.unprotected_acknowledged,
        protection_unknown_s=None if protection is None else seconds_up(protection.unknown_ns),
        availability=_availability(service, injected),
        edges=edges.figures(records, injected) if host is not None else None,
        copies=[CopyMeasurement(**asdict(copy)) for copy in books.copies],
        authority=books.authority,
        first_payment_s=ready.first_payment_s,
        full_redundancy_s=ready.full_redundancy_s,
        conditions=[data.model_dump() for _, data in until],
        doubts=list(dict.fromkeys(records.doubts)),
        breaches=unreached.breaches + gone.breaches + books.breaches,
        undecided=unreached.undecided + gone.undecided,
    )
    if host is None or not isinstance(service, Service):
        return measured
    known = _intervals(records, measured, service, host, injected)
    if records.plan is None or records.plan.targets.p99_back_s is None:
        return measured.model_copy(update={"intervals": known})
    backs = [intervals.p99_back(service, host, one, late_ns=_late_ns(records)) for one in injected]
    known["p99_back_s"] = intervals.worst([interval for _, interval in backs])
    figure = _largest([None if back_ns is None else seconds_up(back_ns) for back_ns, _ in backs])
    return measured.model_copy(update={"intervals": known, "p99_back_s": figure})


def seconds_up(nanoseconds: int) -> float:
    """Seconds, to the millisecond, rounded up: a figure must not look better than it was."""
    return -(-nanoseconds // 1_000_000) / 1000


def _largest(figures: Sequence[float | None]) -> float | None:
    """The worst of all faults; None when one of them could not be told."""
    known = [figure for figure in figures if figure is not None]
    return max(known) if known and len(known) == len(figures) else None


def _worst(faults: Sequence[FaultMeasurement]) -> FaultMeasurement | None:
    """The fault with the longest RTO; one from which service did not return is worse than any."""
    return max(faults, key=lambda fault: float("inf") if fault.rto_s is None else fault.rto_s, default=None)


AnyService = outage_v1.Service | Service


def _gone_at_the_end(service: AnyService | None, host: Host | None) -> Missed:
    """Service that was out of order when the load stopped: a breach, unless the host's stalls may account for it."""
    if service is None or service.in_order_at_end:
        return Missed()
    level_s = service.level_ns / 1e9 if isinstance(service, Service) else 1
    enough = f"95 % of the last 5 s' payments were acknowledged within {level_s:g} s"
    gone = f"Service was not in order at the end: fewer than {enough}"
    if not isinstance(service, Service) or host is None or not service.forgiving(host.excuses).in_order_at_end:
        return Missed(breaches=[f"{gone}."])
    stall = host.longest(service.end_ns - END_NS - service.level_ns, service.end_ns)
    return Missed(undecided=[f"{gone}; {words(stall, service.end_ns) if stall else 'the host stalled'} of the end."])


# What the probe saw before any fault


def _service(records: Records) -> tuple[AnyService | None, float | None, int | None]:
    """The probe's payments with their baseline rate (per second) and longest pause (ns)."""
    probe, interval_ms = records.probe, None
    if records.probe_count is not None:
        interval_ms = records.probe_count.interval_ms
    elif records.plan is not None:
        interval_ms = records.plan.load.probe_interval_ms
    if probe is None or interval_ms is None or not 0.001 <= interval_ms <= 60_000:
        return None, None, None
    if probe.empty:
        records.doubt("The probe recorded no payment.")
        return None, None, None
    made: type[AnyService] | partial[Service] = outage_v1.Service
    if records.version > 1:
        level_s = records.plan.load.service_level_s if records.plan is not None else 1.0
        made = partial(Service, level_ns=round(level_s * 1e9))
    done_ns = probe["done_ns"].to_numpy(dtype=np.int64)
    acknowledged = (probe["outcome"] == "acknowledged").to_numpy(dtype=bool)
    service = made(
        probe["due_ns"].to_numpy(dtype=np.int64),
        done_ns,
        acknowledged & ~answered_in(damages(records), done_ns),  # what damaged tables acknowledge is no service
        interval_ns=round(interval_ms * 1e6),
    )
    windows = records.of("baseline", Baseline)
    if not windows:
        records.doubt("No baseline was taken.")
        return service, None, None
    rate_per_s, pause_ns = service.take_baseline(windows[-1][1].from_ns, windows[-1][1].to_ns)
    scheduled_per_s = 1000 / interval_ms
    if rate_per_s is None or rate_per_s < BASELINE_SHARE_MIN * scheduled_per_s:
        records.doubt(
            f"Expected at least {BASELINE_SHARE_MIN:.0%} of {scheduled_per_s:g} payments/s in the baseline;"
            f" seen {rate_per_s or 0:.1f} payments/s."
        )
    return service, rate_per_s, pause_ns


def _availability(service: AnyService | None, injected: Sequence[Injection]) -> float | None:
    share = service.availability(injected[0].before_ns) if service is not None and injected else None
    return None if share is None else int(share * 1e6) / 1e6  # down, as every figure is rounded to its worse side


# Faults


def _measure_faults(
    records: Records, service: AnyService, host: Host | None, injected: Sequence[Injection]
) -> list[FaultMeasurement]:
    found = [_measure_fault(records, service, host, one) for one in injected]
    by_side = _sides(records, service)
    if not by_side:
        return found
    of_sides = [[measure_side(center, side, one) for center, side in by_side.items()] for one in injected]
    return [fault.model_copy(update={"sides": seen}) for fault, seen in zip(found, of_sides, strict=True)]


def _sides(records: Records, service: AnyService) -> dict[str, Service]:
    """Each side's payments with the baseline of the whole. Version 1 knows none."""
    if not isinstance(service, Service):
        return {}
    by_side, windows = sides(records, service), records.of("baseline", Baseline)
    for side in by_side.values() if windows else ():
        side.take_baseline(windows[-1][1].from_ns, windows[-1][1].to_ns)
    return by_side


def _measure_fault(records: Records, service: AnyService, host: Host | None, one: Injection) -> FaultMeasurement:
    outage = service.outage(before_ns=one.before_ns, after_ns=one.after_ns, window_end_ns=one.window_end_ns)
    figure = _longest(outage, one)
    end_ns = one.window_end_ns if figure.return_ns is None else figure.return_ns
    who = takeover(records, one.before_ns, one.window_end_ns)
    noticed = moments(records, who, one.before_ns, one.window_end_ns).get("detect")
    found = moments(records, who, one.before_ns, end_ns)
    with_first_success(found, outage.first_success_ns)
    if figure.return_ns is not None:
        found["warm_up"] = Seen(figure.return_ns, "service sustained from here on (probe.csv)")
    placed = borders(found, before_ns=figure.began_ns, end_ns=end_ns)

    def since(t_ns: int | None) -> float | None:
        return None if t_ns is None else seconds_up(t_ns - one.before_ns)

    return FaultMeasurement(
        id=one.id,
        name=one.name,
        target=one.target,
        injected_at=one.injected_at,
        before_ns=one.before_ns,
        after_ns=one.after_ns,
        window_end_ns=one.window_end_ns,
        proved=one.proved,
        traffic=_traffic(records, service, one, outage.return_ns if outage.disturbed else None),
        disturbed=outage.disturbed,
        rto_s=None if figure.length_ns is None else seconds_up(figure.length_ns),
        rto_first_success_s=since(outage.first_success_ns),
        rto_resolution_s=_resolution_s(records, service, one),
        observed_s=seconds_up(one.window_end_ns - one.before_ns),
        unsettled_return_s=since(outage.unsettled_return_ns),
        relapses=outage.relapses,
        phases=_phases(placed, figure.began_ns) if figure.return_ns is not None else Phases(),
        borders=[
            PhaseBorder(segment=segment, t_ns=seen.t_ns, source=seen.source, from_ns=seen.from_ns, notes=seen.notes)
            for segment, seen in zip(SEGMENTS, placed, strict=True)
        ],
        interruption_s=seconds_up(service.felt_in(one.before_ns, one.felt_until_ns).longest_ns),
        detect_s=since(noticed.t_ns) if noticed is not None else None,
        old_primary=who.old,
        new_primary=who.new,
        healed=one.healed,
        rto_from_s=seconds_up(figure.began_ns - one.before_ns),
        episodes=[_episode(episode, one) for episode in outage.episodes],
        rto_interval=intervals.rto(service, host, one, outage, late_ns=_late_ns(records))
        if isinstance(service, Service) and host is not None
        else None,
    )


def _damage(records: Records, books: Books, fault: str) -> DamageMeasurement | None:
    """None where that fault damaged nothing."""
    for one in damages(records):
        if one.fault == fault:
            lasted_s = None if one.to_ns is None else seconds_up(one.to_ns - one.from_ns)
            return DamageMeasurement(
                tables=list(one.tables),
                lasted_s=lasted_s,
                acknowledged=acknowledged_in(records, one),
                not_found=books.unfound.get(fault),
            )
    return None


def _longest(outage: Outage, one: Injection) -> Episode:
    """The stretch that is the figure. Version 1 knows one alone: from the fault to the last return."""
    return intervals.longest(outage) if outage.episodes else Episode(one.before_ns, outage.return_ns)


def _episode(episode: Episode, one: Injection) -> EpisodeMeasurement:
    return EpisodeMeasurement(
        began_s=seconds_up(episode.began_ns - one.before_ns),
        lasted_s=None if episode.length_ns is None else seconds_up(episode.length_ns),
    )


def _phases(placed: Sequence[Seen], before_ns: int) -> Phases:
    """Differences of rounded borders, so that the segments sum to the rounded whole."""
    at_s = [0.0, *(seconds_up(seen.t_ns - before_ns) for seen in placed)]
    lengths = [round(end - start, 3) for start, end in pairwise(at_s)]
    return Phases(**dict(zip((f"{segment}_s" for segment in SEGMENTS), lengths, strict=True)))


def _resolution_s(records: Records, service: AnyService, one: Injection) -> float:
    return seconds_up(one.after_ns - one.before_ns + service.interval_ns + _late_ns(records))


def _late_ns(records: Records) -> int:
    return round((records.probe_count.late_ms_max if records.probe_count is not None else 0.0) * 1e6)


def _traffic(records: Records, service: AnyService, one: Injection, return_ns: int | None) -> int:
    """The probe's payments through the fault; none of them, or none of Locust's, is a doubt."""
    end_ns = one.window_end_ns
    if return_ns is not None and return_ns - one.before_ns >= service.interval_ns:
        end_ns = return_ns  # a shorter disturbance may lie between two due times
    due = service.due_in(one.before_ns, end_ns)
    if not due:
        records.doubt(f"Expected probe payments through fault {one.id}; none was due.")
    if records.ledger is not None:
        sent = records.ledger["sent_ns"]
        if not ((sent >= one.before_ns) & (sent < one.window_end_ns)).any():
            records.doubt(f"Expected Locust payments through fault {one.id}; none was sent.")
    return due


def _wal_bytes_lost(records: Records, injected: Sequence[Injection]) -> int | None:
    """Summed over all changes of primary; None when one of them cannot be told."""
    lost: list[int | None] = []
    for number, one in enumerate(injected):
        until_ns = injected[number + 1].before_ns if number + 1 < len(injected) else None
        who = takeover(records, one.before_ns, one.window_end_ns)
        if who.old in one.destroyed or one.damaged:
            lost.append(None)  # where its log ended stands on a disk that is gone, or was thrown away on purpose
            continue
        lost.append(
            wal_bytes_lost(
                records.samples,
                who,
                before_ns=one.before_ns,
                window_end_ns=one.window_end_ns,
                end_lsn=_end_lsn(records, who, one.before_ns, until_ns),
            )
        )
    known = [figure for figure in lost if figure is not None]
    return sum(known) if len(known) == len(lost) else None


def _end_lsn(records: Records, who: Takeover, before_ns: int, until_ns: int | None) -> int | None:
    """Where the log on the lost primary's disk ends, if its disk was read after this fault and before the next."""
    read_after = [
        data.end_lsn
        for event, data in records.of("autopsy", AutopsyDone)
        if data.node == who.old and event.t_ns >= before_ns and (until_ns is None or event.t_ns < until_ns)
    ]
    return read_after[-1] if read_after else None


# Protection


def _protection(records: Records) -> Protection | None:
    """How long acknowledged payments stood in one center alone; None when samples, ledgers or centers are missing."""
    samples, ledgers = records.samples, [ledger for _, ledger in both_ledgers(records)]
    nodes = topology_centers(records.plan)
    if samples is None or not nodes or any(ledger is None for ledger in ledgers):
        return None
    sampled = set(samples["node"])
    center_of = {node: center for node, (center, kind) in nodes.items() if kind == "postgres" or node in sampled}
    if records.version > 1:
        primaries = of_the_primary(samples)
    else:
        writing = (samples["ok"] == 1) & samples["in_recovery"].eq(0).fillna(False)
        primaries = samples[writing].sort_values(["t_ns", "node"])
    if primaries.empty:
        return None
    pairs = primaries[["node", "sync_names"]].drop_duplicates()
    holds = {
        (node, names): guarantees_copy_elsewhere(names, node, center_of)
        for node, names in zip(pairs["node"], pairs["sync_names"], strict=True)
    }
    asked = zip(primaries["node"], primaries["sync_names"], strict=True)
    guaranteed = np.array([holds[pair] for pair in asked], dtype=np.bool_)
    done = [ledger["done_ns"][ledger["outcome"] == "acknowledged"] for ledger in ledgers if ledger is not None]
    acknowledged = np.concatenate([answered.to_numpy(dtype=np.int64) for answered in done])
    times = primaries["t_ns"].to_numpy(dtype=np.int64)
    return integrate(times, guaranteed, np.sort(acknowledged), whole_spans=records.version == 1)


# Intervals


def _intervals(
    records: Records, measured: Measurement, service: AnyService, host: Host, injected: Sequence[Injection]
) -> dict[str, Interval | None]:
    """Every figure that can have a target, by its name; None where the figure is not known and nothing bounds it."""
    if not isinstance(service, Service):
        return {}
    pauses = [
        intervals.interruption(service, host, one, service.interruption_ns(one.before_ns, one.felt_until_ns)) for one in injected
    ]
    unprotected_s, unknown_s = measured.unprotected_s, measured.protection_unknown_s
    known = measured.availability is not None and injected
    return {
        "rto_s": intervals.worst([fault.rto_interval for fault in measured.faults]),
        "rpo_s": intervals.exact(measured.rpo_s),
        "lost_transactions": intervals.exact(measured.lost_transactions),
        "interruption_s": intervals.worst(pauses),
        "detect_s": intervals.worst([_detection(records, host, one) for one in injected]),
        "unprotected_s": None if unprotected_s is None or unknown_s is None else intervals.unprotected(unprotected_s, unknown_s),
        "availability": intervals.availability(service, host, injected[0].before_ns, measured.availability or 0.0)
        if known
        else None,
    }


def _detection(records: Records, host: Host, one: Injection) -> Interval | None:
    who = takeover(records, one.before_ns, one.window_end_ns)
    noticed = moments(records, who, one.before_ns, one.window_end_ns).get("detect")
    if noticed is None:
        return None
    uncertain_ns = 0 if noticed.from_ns is None else max(0, noticed.t_ns - noticed.from_ns)
    return intervals.detection(host, one, noticed.t_ns, uncertain_ns)
