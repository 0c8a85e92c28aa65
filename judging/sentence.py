"""A drill in one sentence, the same in the terminal and at the top of the report.

Words stand in one table, so that a report in another language can bring its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from judging.judge import Verdict
from judging.measure import FaultMeasurement, Measurement

# `fault.<name>`: what the victim felt; names are compared without case, dashes and underscores
ENGLISH: dict[str, str] = {
    "fault.centerpowerloss": "{target} lost power",
    "fault.regionloss": "region {target} was lost",
    "fault.centerisolated": "{target} was cut off from everybody",
    "fault.sitedestroyed": "{target} was destroyed, disks and all",
    "fault.tablelocked": "a session locked {target} and stayed",
    "fault.tableemptied": "a wrong statement emptied {target}",
    "fault.bitsflipped": "bits flipped under {target}",
    "fault.nodekilled": "{target} was killed",
    "fault.processkilled": "a process of {target} was killed",
    "fault.nodefrozen": "{target} was frozen",
    "fault.linkblackholed": "the link {target} swallowed everything",
    "fault.linkrefused": "the link {target} refused everything",
    "fault.linkdegraded": "the link {target} carried worse",
    "fault.halfisolated": "{target} was cut from its peers and its store",
    "fault.plannedswitchover": "{old} handed over to {new} as planned",
    "fault.customerssurge": "{target} paid at a multiple of their usual rate",
    "fault_other": "{name} struck {target}",
    "at": "{what} at {time}",
    "not_proved": "{what} (not proved)",
    "then": "{first}, then {second}",
    "no_fault": "No injected fault is on record.",
    "back": "Service was back after {rto}{target}.",
    "back_worst": "Service was back after {rto} at worst{target}.",
    "no_pause": "Customers saw no interruption{target}.",
    "sides": "By side: {faults}.",
    "side": "{center} {rto}",
    "side_not_back": "{center} was not back",
    "not_back": "Service was not back after {observed}{target}.",
    "rto_untold": "How long service was gone could not be told{target}.",
    "damaged": "What was acknowledged for {lasted} stood on damaged tables: {acknowledged} payments.",
    "never_restored": "The damaged tables were never restored: {acknowledged} payments were acknowledged on them.",
    "interruption": "Payments paused for {interruption} at longest{target}.",
    "lost": "{lost} of {acknowledged} acknowledged payments were lost{target}.",
    "lost_untold": "How many of {acknowledged} acknowledged payments were lost could not be told{target}.",
    "target": " (target {target})",
    "invalid": "The run proves nothing either way.",
}


def one_sentence(measurement: Measurement, verdict: Verdict, words: Mapping[str, str] = ENGLISH) -> str:
    """What happened, how long service was gone, what was lost; the same figures as in verdict.json."""
    parts = [_faults(measurement.faults, words)]
    if measurement.faults:
        parts += _interruption(measurement, verdict, words) or [_service(measurement, verdict, words)]
        parts += _sides(measurement.faults, words)
    parts += _damage(measurement, words)
    if measurement.faults or measurement.acknowledged:
        parts.append(_losses(measurement, verdict, words))
    if verdict.verdict == "INVALID":
        parts.append(words["invalid"])
    return " ".join(parts)


def what_happened(fault: FaultMeasurement, words: Mapping[str, str] = ENGLISH) -> str:
    """`dc1 lost power`: the fault as its victim felt it."""
    key = "fault." + re.sub(r"[^a-z0-9]", "", fault.name.lower())
    pattern = words.get(key, words["fault_other"])
    old, new = fault.old_primary, fault.new_primary
    if "{new}" in pattern and (not old or not new or old == new):  # nobody handed over to anybody
        pattern = words["fault_other"]
    target = re.sub(r"^region[-_ ]", "", fault.target) if "region {target}" in pattern else fault.target
    name = re.sub(r"[-_\s]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", fault.name)).lower()
    return pattern.format(target=target, name=name, old=old, new=new)


def seconds(value: float) -> str:
    """Seconds with the digits that matter: `22.0 s`, `1.51 s`, `0.020 s`."""
    size = abs(value)
    digits = 0 if size == 0 else 1 if size >= 10 else 2 if size >= 0.1 else 3
    return f"{value:,.{digits}f} s".replace("-", "−")


def _faults(faults: list[FaultMeasurement], words: Mapping[str, str]) -> str:
    if not faults:
        return words["no_fault"]
    told = ""
    for fault in faults:
        what = words["at"].format(what=what_happened(fault, words), time=_clock_time(fault.injected_at))
        if not fault.proved:
            what = words["not_proved"].format(what=what)
        told = words["then"].format(first=told, second=what) if told else what
    names = (faults[0].target, faults[0].old_primary or faults[0].target)
    return (told if told.startswith(names) else told[:1].upper() + told[1:]) + "."  # dc1 stays dc1, not Dc1


def _service(measurement: Measurement, verdict: Verdict, words: Mapping[str, str]) -> str:
    faults, rto = measurement.faults, measurement.rto_s
    target = _target(verdict.targets.rto_s, words)
    if rto is None:
        gone = [f for f in faults if f.rto_s is None and f.disturbed]
        if not gone:
            return words["rto_untold"].format(target=target)
        return words["not_back"].format(observed=seconds(gone[0].observed_s), target=target)
    if not any(f.disturbed for f in faults):
        return words["no_pause"].format(target=target)
    return words["back" if len(faults) == 1 else "back_worst"].format(rto=seconds(rto), target=target)


def _interruption(measurement: Measurement, verdict: Verdict, words: Mapping[str, str]) -> list[str]:
    """Where the drill is about the pause, such as a planned switchover, and not about the return of service."""
    wanted, seen = verdict.targets.interruption_s, measurement.interruption_s
    if wanted is None or seen is None or verdict.targets.rto_s is not None or measurement.rto_s is None:
        return []
    return [words["interruption"].format(interruption=seconds(seen), target=_target(wanted, words))]


def _sides(faults: list[FaultMeasurement], words: Mapping[str, str]) -> list[str]:
    """For how long each side's customers were without service, fault by fault; nothing where no side has customers of its own."""
    told = ""
    for fault in faults:
        sides = [
            words["side_not_back"].format(center=side.center)
            if side.rto_s is None
            else words["side"].format(center=side.center, rto=seconds(side.rto_s))
            for side in fault.sides
        ]
        if sides:
            told = words["then"].format(first=told, second=", ".join(sides)) if told else ", ".join(sides)
    return [words["sides"].format(faults=told)] if told else []


def _damage(measurement: Measurement, words: Mapping[str, str]) -> list[str]:
    told = []
    for damage in (fault.damage for fault in measurement.faults if fault.damage is not None):
        word = "never_restored" if damage.lasted_s is None else "damaged"
        told.append(words[word].format(lasted=seconds(damage.lasted_s or 0.0), acknowledged=f"{damage.acknowledged:,}"))
    return told


def _losses(measurement: Measurement, verdict: Verdict, words: Mapping[str, str]) -> str:
    wanted = verdict.targets.lost_transactions
    target = "" if wanted is None else words["target"].format(target=f"{wanted:,}")
    lost = measurement.lost_transactions
    if lost is None:
        return words["lost_untold"].format(acknowledged=f"{measurement.acknowledged:,}", target=target)
    return words["lost"].format(lost=f"{lost:,}", acknowledged=f"{measurement.acknowledged:,}", target=target)


def _target(value: float | None, words: Mapping[str, str]) -> str:
    return "" if value is None else words["target"].format(target=f"{value:,g} s")


def _clock_time(wall: str) -> str:
    try:
        return datetime.fromisoformat(wall).strftime("%H:%M:%S")
    except ValueError:
        return wall
