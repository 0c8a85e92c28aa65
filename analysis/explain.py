"""Why a run got its verdict: each reason with the lines of evidence that carry it, and what would have changed it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from judging.evidence import Event, Evidence, Model
from judging.judge import Verdict, judge
from judging.measure import FaultMeasurement, Measurement
from judging.predicted import Prediction, predictions
from judging.records import DAMAGE

KEYS_SHOWN = 5
FILE_NAMED = re.compile(
    r"\b((?:copies/|autopsy/|edges/|logs/)?[\w.-]+\.(?:csv\.gz|csv|jsonl|json|log))\b(?: (?:line|seq) (\d+))?"
)
FAULT_NAMED = re.compile(r"\b[Ff]ault (\w+)\b|\bRTO of (\w+)\b")


class Line(Model):
    """A place in the evidence: the file, the line in it (from 1; None: the whole file), and what stands there."""

    file: str
    line: int | None
    seq: int | None
    text: str


class Because(Model):
    reason: str
    lines: list[Line]


class Margin(Model):
    """How far a figure is from where its target would say something else; `share`: of the target, or of 1 where that is 0."""

    figure: str
    seen: float
    target: float
    margin: float
    share: float
    text: str


class Explanation(Model):
    verdict: str
    because: list[Because]
    margins: list[Margin]  # nearest first
    changed_by: list[str]  # what would have changed the verdict, in words
    predicted: list[Prediction]


def explain(evidence: Evidence, measurement: Measurement, verdict: Verdict) -> Explanation:
    """Damaged files give fewer lines, never an exception."""
    margins = sorted(_margins(measurement, verdict), key=lambda one: one.share)
    return Explanation(
        verdict=verdict.verdict,
        because=[Because(reason=reason, lines=_lines(evidence, measurement, reason)) for reason in verdict.reasons],
        margins=margins,
        changed_by=list(_changes(evidence, measurement, verdict, margins)),
        predicted=predictions(evidence.plan, measurement),
    )


# The lines


def _lines(evidence: Evidence, measurement: Measurement, reason: str) -> list[Line]:
    found: list[Line] = []
    for source in (_named, _of_service, _of_losses, _of_faults, _of_conditions, _of_protection):
        try:
            found += source(evidence, measurement, reason)
        except DAMAGE:
            continue  # the reasons tell of the damage
    return list({(line.file, line.line, line.text): line for line in found}.values())


def _event(event: Event) -> Line:
    return Line(file="events.jsonl", line=event.seq + 1, seq=event.seq, text=event.text)


def _named(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    """Files that the reason names itself, with the line when it names one."""
    del measurement
    for name, number in FILE_NAMED.findall(reason):
        if name == "events.jsonl" and number and f"seq {number}" in reason:
            yield from (_event(event) for event in evidence.events if event.seq == int(number))
        elif evidence.path(name).is_file():
            yield Line(
                file=name, line=int(number) if number else None, seq=None, text=f"{evidence.path(name).stat().st_size} bytes"
            )
        else:
            yield Line(file=name, line=None, seq=None, text="not there")


def _fault_of(measurement: Measurement, reason: str) -> list[FaultMeasurement]:
    named = {name for pair in FAULT_NAMED.findall(reason) for name in pair if name}
    faults = [fault for fault in measurement.faults if fault.id in named]
    if faults or not measurement.faults:
        return faults
    return [max(measurement.faults, key=lambda f: float("inf") if f.rto_s is None else f.rto_s)]


def _of_service(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    """The injection, the last payment in order before it, the first that failed, and the one with which service returned."""
    if not reason.startswith(("RTO", "Interruption", "Availability", "Service was not in order", "Time to detect")):
        return
    for fault in _fault_of(measurement, reason):
        yield from (_event(e) for e in evidence.of_kind("injected") if e.data.get("id") == fault.id)
        if reason.startswith("Time to detect"):
            yield from (_event(e) for e in evidence.of_kind("leader_key", "step") if e.t_ns > fault.before_ns)
            return
        probe = evidence.probe
        acknowledged = probe["outcome"] == "acknowledged"
        before = probe[acknowledged & (probe["done_ns"] <= fault.before_ns)].sort_values("done_ns")
        failed = probe[~acknowledged & (probe["due_ns"] >= fault.before_ns - 3_000_000_000)].sort_values("due_ns")
        yield from _payment(before.tail(1), fault, "the last one answered before it")
        yield from _payment(failed.head(1), fault, "the first one that failed")
        if fault.rto_s is not None and fault.disturbed:
            back = probe[acknowledged & (probe["done_ns"] >= fault.before_ns + round(fault.rto_s * 1e9) - 1_000_000)]
            yield from _payment(back.sort_values("done_ns").head(1), fault, "service was back with it")


def _payment(rows: pd.DataFrame, fault: FaultMeasurement, what: str) -> Iterator[Line]:
    for index, done_ns, key, outcome in zip(rows.index, rows["done_ns"], rows["key"], rows["outcome"], strict=True):
        at = (int(done_ns) - fault.before_ns) / 1e9
        yield Line(file="probe.csv", line=int(index) + 2, seq=None, text=f"{what}: {key}, {outcome} at {at:+.3f} s")


def _of_losses(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    if not reason.startswith(("Lost payments", "RPO")):
        return
    yield from (_event(e) for e in evidence.of_kind("authority"))
    if measurement.authority is not None:
        name = f"copies/{measurement.authority}.payments.csv.gz"
        missing = f"none of the {len(measurement.lost_keys)} lost keys is in it" if measurement.lost_keys else "holds every one"
        yield Line(file=name, line=None, seq=None, text=f"looked up: {measurement.acknowledged} acknowledged payments; {missing}")
    for name, frame in (("probe.csv", evidence.probe), ("ledger.csv", evidence.ledger)):
        lost = frame[frame["key"].isin(measurement.lost_keys[:KEYS_SHOWN])]
        for index, key in zip(lost.index, lost["key"], strict=True):
            yield Line(file=name, line=int(index) + 2, seq=None, text=f"{key} was acknowledged, and is gone")


def _of_faults(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    del measurement
    if "Fault " not in reason and "fault " not in reason:
        return
    for fault_id in {name for pair in FAULT_NAMED.findall(reason) for name in pair if name}:
        kinds = ("intent", "injected", "proof", "heal_started", "healed")
        yield from (_event(e) for e in evidence.of_kind(*kinds) if e.data.get("id") == fault_id)


def _of_conditions(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    del measurement
    if reason.startswith("Awaited "):
        yield from (_event(e) for e in evidence.of_kind("until") if str(e.data.get("condition")) in reason)
    if reason.startswith(("The run ended with an error", "The run was interrupted")):
        yield from (_event(e) for e in evidence.of_kind("error", "interrupted"))


def _of_protection(evidence: Evidence, measurement: Measurement, reason: str) -> Iterator[Line]:
    """Each change of the list of copies that must confirm."""
    del measurement
    if not reason.startswith("Unprotected time"):
        return
    samples = evidence.samples
    writing = samples[(samples["ok"] == 1) & samples["in_recovery"].eq(0).fillna(False)].sort_values("t_ns")
    changed = writing[(writing["sync_names"] != writing["sync_names"].shift()) | (writing["node"] != writing["node"].shift())]
    for index, node, names in zip(changed.index, changed["node"], changed["sync_names"], strict=True):
        text = f"{node} writes, and waits for {names or 'no copy'}"
        yield Line(file="samples.csv", line=int(index) + 2, seq=None, text=text)


# The margins


def _margins(measurement: Measurement, verdict: Verdict) -> Iterator[Margin]:
    """Of each target that was set and measured. An interval's end that lies towards the target counts."""
    for figure in (
        "rto_s",
        "rpo_s",
        "lost_transactions",
        "interruption_s",
        "detect_s",
        "unprotected_s",
        "availability",
        "p99_back_s",
    ):
        target, seen = getattr(verdict.targets, figure), getattr(measurement, figure)
        if target is None or seen is None:
            continue
        margin = round(seen - target if figure == "availability" else target - seen, 6)
        unit = " s" if figure.endswith("_s") else ""
        side = "to spare" if margin >= 0 else "too much" if figure != "availability" else "too little"
        yield Margin(
            figure=figure,
            seen=seen,
            target=target,
            margin=margin,
            share=abs(margin) / (abs(target) or 1.0),
            text=f"{figure} {seen:g}{unit} against {target:g}{unit}: {abs(margin):g}{unit} {side}",
        )


def _changes(evidence: Evidence, measurement: Measurement, verdict: Verdict, margins: list[Margin]) -> Iterator[str]:
    if verdict.verdict == "INVALID":
        proved = [fault.model_copy(update={"proved": True}) for fault in measurement.faults]
        clear = measurement.model_copy(update={"doubts": [], "faults": proved})
        alone = judge(clear, verdict.targets, plan=evidence.plan, manifest_sha256=verdict.manifest_sha256)
        if count := len(measurement.doubts):
            each = "Each of the doubts alone" if count > 1 else "The doubt alone"
            yield f"{each} makes the run INVALID ({count}). Without doubt its figures would say {alone.verdict}."
        if alone.verdict == "INVALID":
            yield f"Beyond doubts about the records, a figure can't be held against its target: {alone.reasons[0]}"
        return
    missed = [one for one in margins if one.margin < 0]
    if verdict.verdict == "FAIL":
        for one in missed:
            yield f"PASS needs {one.figure} to be better by {abs(one.margin):g} ({one.text})."
        for breach in measurement.breaches:
            yield f"PASS needs this not to be so: {breach}"
        for untold in measurement.undecided:
            yield f"PASS needs this to be told, too: {untold}"
        return
    for one in margins[:1]:
        what = (
            "any loss" if one.target == 0 else f"{one.margin:g} more" if one.figure != "availability" else f"{one.margin:g} less"
        )
        yield (
            f"Nearest to FAIL: {one.text}. {what[:1].upper()}{what[1:]} than that would have failed it."
            if one.target
            else (f"Nearest to FAIL: {one.figure} has no room (target 0): {what} would have failed it.")
        )
    roomy = [one for one in margins if one.target]
    if margins and not margins[0].target and roomy:
        yield f"Of targets with room, the nearest: {roomy[0].text}."
