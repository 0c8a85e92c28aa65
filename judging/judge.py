"""Figures and targets in, verdict out. Pure. Nothing defaults to PASS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import ConfigDict, Field

from judging.edges import EdgeFigures
from judging.evidence import Model, Plan, Targets
from judging.intervals import Interval
from judging.measure import DamageMeasurement, EpisodeMeasurement, FaultMeasurement, Measurement, Phases
from judging.predicted import findings, predictions
from judging.sides import SideMeasurement

SCHEMAS = {1: "drillbook.verdict/1", 2: "drillbook.verdict/2"}  # by the version of the evidence
SCHEMA = SCHEMAS[2]
EXIT_CODES: dict[str, int] = {"PASS": 0, "FAIL": 1, "INVALID": 2}


class Measured(Model):
    """`measured` of verdict.json. Units by suffix; None: could not be measured."""

    rto_s: float | None
    rto_first_success_s: float | None
    rto_resolution_s: float | None
    phases: Phases
    rpo_s: float | None
    wal_bytes_lost: int | None
    acknowledged: int
    lost_transactions: int | None
    unknown: int
    unknown_committed: int | None
    refused: int
    duplicated: int | None
    phantom: int | None
    unprotected_s: float | None
    unprotected_acknowledged: int | None
    protection_unknown_s: float | None
    availability: float | None
    interruption_s: float | None
    detect_s: float | None
    first_payment_s: float | None
    full_redundancy_s: float | None
    intervals: dict[str, Interval | None] | None = None  # version 2
    p99_back_s: float | None = Field(default=None, exclude_if=lambda value: value is None)  # version 2, where it has a target
    edges: EdgeFigures | None = Field(default=None, exclude_if=lambda value: value is None)  # where the plan has edges


class VerdictFault(Model):
    id: str
    name: str
    target: str
    injected_at: str
    proved: bool
    healed: bool | None
    rto_s: float | None
    interruption_s: float
    # version 2
    rto_from_s: float = 0.0  # where the stretch that is `rto_s` begins: later than 0 when a relapse was the longest
    rto_interval: Interval | None = None
    episodes: list[EpisodeMeasurement] = Field(default_factory=list)  # from the fault to the first return, then every relapse
    sides: list[SideMeasurement] = Field(default_factory=list)  # told where two centers have customers of their own
    damage: DamageMeasurement | None = None  # written where the fault damaged tables


class Verdict(Model):
    """verdict.json, as in the contract. `fault` is the first of `faults`; None when none was injected."""

    # `schema` alone would hide a method of BaseModel
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)

    schema_name: str = Field(default=SCHEMA, alias="schema")
    drill: str
    topology: str
    run_id: str
    seed: int
    verdict: Literal["PASS", "FAIL", "INVALID"]
    reasons: list[str]
    targets: Targets
    measured: Measured
    fault: VerdictFault | None
    faults: list[VerdictFault]
    environment_class: str
    drill_kind: str
    evidence_version: int
    manifest_sha256: str | None
    findings: list[str] = Field(
        default_factory=list
    )  # beside the verdict: measured outside of what the settings predict; from version 2 on


def judge(measurement: Measurement, targets: Targets, *, plan: Plan, manifest_sha256: str | None) -> Verdict:
    """INVALID when there is a doubt, else FAIL when something is surely missed, else INVALID when one is undecided, else PASS.

    With every reason: doubts, then what was missed, then what is undecided, else what was met.
    """
    doubts, misses, met = list(measurement.doubts), list(measurement.breaches), list[str]()
    undecided = list(measurement.undecided)
    against = _against_targets if measurement.intervals is None else _against_intervals
    for outcome, reason in against(measurement, targets):
        {"INVALID": doubts, "FAIL": misses, "UNDECIDED": undecided, "PASS": met}[outcome].append(reason)
    for fault in (f for f in measurement.faults if not f.proved):
        if not any(f"Fault {fault.id} " in doubt for doubt in doubts):
            doubts.append(f"Fault {fault.id} ({fault.name} of {fault.target}) is not proved.")
    if not measurement.faults and not doubts:
        doubts.append("No fault was measured.")
    verdict: Literal["PASS", "FAIL", "INVALID"] = (
        "INVALID" if doubts else "FAIL" if misses else "INVALID" if undecided else "PASS"
    )
    reasons = doubts + misses + undecided or met or ["No target was set; every fault is proved and the ledger balances."]
    faults = [VerdictFault.model_validate(_part(fault, VerdictFault)) for fault in measurement.faults]
    return Verdict(
        schema=SCHEMAS.get(plan.evidence_version, SCHEMA),
        drill=plan.drill,
        topology=str(plan.topology.get("name", "")),
        run_id=plan.run_id,
        seed=plan.seed,
        verdict=verdict,
        reasons=reasons + [_unhealed(fault) for fault in measurement.faults if fault.healed is False],
        targets=targets,
        measured=Measured.model_validate(_part(measurement, Measured)),
        fault=faults[0] if faults else None,
        faults=faults,
        environment_class=plan.environment_class,
        drill_kind=plan.drill_kind,
        evidence_version=plan.evidence_version,
        manifest_sha256=manifest_sha256,
        findings=findings(predictions(plan, measurement)),
    )


def verdict_json(verdict: Verdict) -> str:
    """The bytes of verdict.json: the same verdict gives the same bytes. Version 1 has no word of what version 2 added."""
    written = verdict.model_dump(mode="json", by_alias=True)
    faults = [*written["faults"], *([written["fault"]] if written["fault"] else [])]
    for fault in faults:
        if not fault["sides"]:
            fault.pop("sides")
        if fault["damage"] is None:
            fault.pop("damage")
    if verdict.evidence_version < 2:
        written.pop("findings")
        written["measured"].pop("intervals")
        for fault in faults:
            for name in ("rto_from_s", "rto_interval", "episodes"):
                fault.pop(name)
    return json.dumps(written, indent=2, ensure_ascii=False) + "\n"


def _part(whole: Model, kind: type[Model]) -> dict[str, object]:
    """The fields of `whole` that `kind` has."""
    return {name: getattr(whole, name) for name in kind.model_fields}


def _unhealed(fault: FaultMeasurement) -> str:
    # Told beside the verdict, which is about what customers saw.
    return f"Note: fault {fault.id} ({fault.name} of {fault.target}) was not healed in order; the verdict stands."


# UNDECIDED: the figure is known, and its interval lies across the target; INVALID: it is not known. Version 1 has no intervals.
Reason = tuple[Literal["PASS", "FAIL", "INVALID", "UNDECIDED"], str]


def _against_targets(measured: Measurement, targets: Targets) -> Iterator[Reason]:
    """What each target that was set says."""
    if targets.rto_s is not None:
        yield from _rto(measured, targets.rto_s)
    if targets.rpo_s is not None:
        yield _at_most("RPO", measured.rpo_s, targets.rpo_s, " s")
    if targets.lost_transactions is not None:
        yield _at_most("Lost payments", measured.lost_transactions, targets.lost_transactions, "")
    if targets.interruption_s is not None:
        yield _interruption(measured, targets.interruption_s)
    if targets.detect_s is not None:
        yield _at_most("Time to detect", measured.detect_s, targets.detect_s, " s")
    if targets.unprotected_s is not None:
        yield _unprotected(measured, targets.unprotected_s)
    if targets.availability is not None:
        yield _availability(measured.availability, targets.availability)


def _at_most(name: str, seen: float | None, target: float, unit: str) -> Reason:
    if seen is None:
        return "INVALID", f"{name} could not be measured (target {target:g}{unit})."
    if seen > target:
        return "FAIL", f"{name} {_figure(seen)}{unit} misses the target of {target:g}{unit}."
    return "PASS", f"{name} {_figure(seen)}{unit} is within the target of {target:g}{unit}."


def _figure(value: float) -> str:
    """22.0, 0.047, 3: as exact as the figure is kept, so that a reason never contradicts itself."""
    return f"{value:d}" if isinstance(value, int) else f"{value:.3f}".rstrip("0").ljust(len(f"{value:.1f}"), "0")


def _rto(measured: Measurement, target_s: float) -> Iterator[Reason]:
    """For each fault. No return is a miss once it was watched for longer than the target; before that nobody knows."""
    if not measured.faults:
        yield _at_most("RTO", None, target_s, " s")
    for fault in measured.faults:
        name = "RTO" if len(measured.faults) == 1 else f"RTO of {fault.id} ({fault.name} of {fault.target})"
        if fault.rto_s is not None:
            yield _at_most(name, fault.rto_s, target_s, " s")
            continue
        back_s = fault.unsettled_return_s
        if back_s is not None and back_s <= target_s:
            yield (
                "INVALID",
                (
                    f"{name}: service was back after {_figure(back_s)} s and was not watched for the 10 s that show"
                    f" whether it stayed (target {target_s:g} s)."
                ),
            )
            continue
        yield (
            "FAIL" if fault.observed_s > target_s else "INVALID",
            (f"{name}: service did not return in the {_figure(fault.observed_s)} s it was watched (target {target_s:g} s)."),
        )


def _interruption(measured: Measurement, target_s: float) -> Reason:
    """An interruption that had not ended is at least as long as seen."""
    reason = _at_most("Interruption", measured.interruption_s, target_s, " s")
    if reason[0] == "PASS" and any(fault.rto_s is None for fault in measured.faults):
        return "INVALID", f"Interruption: service did not return while it was watched (target {target_s:g} s)."
    return reason


def _unprotected(measured: Measurement, target_s: float) -> Reason:
    """Time that no sample tells of may have been unprotected."""
    reason = _at_most("Unprotected time", measured.unprotected_s, target_s, " s")
    if reason[0] != "PASS" or measured.unprotected_s is None:
        return reason
    unknown_s = measured.protection_unknown_s
    if unknown_s is None or measured.unprotected_s + unknown_s > target_s:
        return "INVALID", (
            f"Unprotected time could not be measured: {_figure(measured.unprotected_s)} s, and"
            f" {_figure(unknown_s or 0.0)} s that no sample tells of (target {target_s:g} s)."
        )
    return reason


def _availability(seen: float | None, target: float) -> Reason:
    if seen is None:
        return "INVALID", f"Availability could not be measured (target {target:.4%})."
    if seen < target:
        return "FAIL", f"Availability {seen:.4%} misses the target of {target:.4%}."
    return "PASS", f"Availability {seen:.4%} is within the target of {target:.4%}."


# Version 2: intervals, after JCGM 106 (conformity, with the uncertainty as guard band)


def _against_intervals(measured: Measurement, targets: Targets) -> Iterator[Reason]:
    """What each target that was set says: met by the whole interval, missed by the whole interval, or not to be told."""
    known = measured.intervals or {}
    if targets.rto_s is not None:
        yield from _rto_intervals(measured, targets.rto_s)
    if targets.rpo_s is not None:
        yield _at_most("RPO", measured.rpo_s, targets.rpo_s, " s")
    if targets.lost_transactions is not None:
        yield _at_most("Lost payments", measured.lost_transactions, targets.lost_transactions, "")
    if targets.interruption_s is not None:
        yield _interruption_interval(measured, known.get("interruption_s"), targets.interruption_s)
    if targets.detect_s is not None:
        yield _decide("Time to detect", measured.detect_s, known.get("detect_s"), targets.detect_s)
    if targets.unprotected_s is not None:
        yield _decide("Unprotected time", measured.unprotected_s, known.get("unprotected_s"), targets.unprotected_s)
    if targets.availability is not None:
        yield _availability_interval(measured.availability, known.get("availability"), targets.availability)
    if targets.p99_back_s is not None:
        yield _p99_back(measured.p99_back_s, known.get("p99_back_s"), targets.p99_back_s)


def _p99_back(figure: float | None, interval: Interval | None, target_s: float) -> Reason:
    """One that did not come back is a miss once it was certainly gone for longer than the target."""
    name = "Time until the 99th percentile was within the service level again"
    if figure is not None or interval is None or interval.low is None:
        return _decide(name, figure, interval, target_s)
    gone = f"{name}: it never was while it was watched, for {_figure(interval.low)} s at least (target {target_s:g} s)"
    if interval.low > target_s:
        return "FAIL", f"{gone}."
    return "UNDECIDED", f"{gone}; {_cause(interval, target_s)}."


def _decide(name: str, figure: float | None, interval: Interval | None, target: float) -> Reason:
    if figure is None or interval is None or interval.low is None or interval.high is None:
        return _at_most(name, None, target, " s")
    between = "" if interval.low == interval.high else f" ({_figure(interval.low)} to {_figure(interval.high)} s)"
    if interval.high <= target:
        return "PASS", f"{name} {_figure(figure)} s{between} is within the target of {target:g} s."
    if interval.low > target:
        return "FAIL", f"{name} {_figure(figure)} s{between} misses the target of {target:g} s."
    return "UNDECIDED", (
        f"{name} {_figure(figure)} s lies between {_figure(interval.low)} and {_figure(interval.high)} s, and the target is"
        f" {target:g} s: {_cause(interval, target)}."
    )


def _cause(interval: Interval, target: float) -> str:
    """What makes the interval wide, in words, and what to do. The host only where it alone decides."""
    what = interval.reasons[0] if interval.reasons else "the measurement is no more exact"
    decides = interval.host_s > 0 and (interval.low or 0.0) + interval.host_s > target
    host = [reason for reason in interval.reasons if "host" in reason]
    if host and (decides or what in host):
        return f"{host[0]}; run again on a quieter machine"
    return f"{what}; run again"


def _rto_intervals(measured: Measurement, target_s: float) -> Iterator[Reason]:
    """For each fault. No return is a miss once service was certainly gone for longer than the target."""
    if not measured.faults:
        yield _at_most("RTO", None, target_s, " s")
    for fault in measured.faults:
        name = "RTO" if len(measured.faults) == 1 else f"RTO of {fault.id} ({fault.name} of {fault.target})"
        if fault.rto_from_s > 0:
            name = f"{name}, of a relapse after {_figure(fault.rto_from_s)} s,"
        if fault.rto_s is not None:
            yield _decide(name, fault.rto_s, fault.rto_interval, target_s)
            continue
        yield _no_return(name, fault, target_s)


def _no_return(name: str, fault: FaultMeasurement, target_s: float) -> Reason:
    back_s, interval = fault.unsettled_return_s, fault.rto_interval
    if back_s is not None and back_s <= target_s:
        return "UNDECIDED", (
            f"{name}: service was back after {_figure(back_s)} s and was not watched for the 10 s that show"
            f" whether it stayed (target {target_s:g} s)."
        )
    watched_s = round(fault.observed_s - fault.rto_from_s, 3)
    gone = f"{name}: service did not return in the {_figure(watched_s)} s it was watched (target {target_s:g} s)"
    if interval is not None and interval.low is not None and interval.low > target_s:
        return "FAIL", f"{gone}."
    if interval is not None and watched_s > target_s:
        return "UNDECIDED", f"{gone}; {_cause(interval, target_s)}."
    return "UNDECIDED", f"{gone}."


def _interruption_interval(measured: Measurement, interval: Interval | None, target_s: float) -> Reason:
    """An interruption that had not ended is at least as long as seen."""
    reason = _decide("Interruption", measured.interruption_s, interval, target_s)
    if reason[0] == "PASS" and any(fault.rto_s is None for fault in measured.faults):
        return "UNDECIDED", f"Interruption: service did not return while it was watched (target {target_s:g} s)."
    return reason


def _availability_interval(figure: float | None, interval: Interval | None, target: float) -> Reason:
    """More is better: the low end has to meet the target."""
    reason = _availability(figure, target)
    if reason[0] == "FAIL" and interval is not None and interval.high is not None and interval.high >= target:
        return "UNDECIDED", (
            f"Availability lies between {interval.low:.4%} and {interval.high:.4%}, and the target is {target:.4%}:"
            f" {_cause(interval, target)}."
        )
    return reason
