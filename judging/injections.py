"""Which faults were injected, until when what followed counts as theirs, and whether each is proved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from judging.records import Baseline, Effect, Healed, HealStarted, Injected, Intent, Proof, Records, topology_centers


@dataclass(frozen=True)
class Injection:
    """One fault that was injected, and until when what followed counts as its."""

    id: str
    name: str
    target: str
    injected_at: str
    before_ns: int
    after_ns: int
    window_end_ns: int
    felt_until_ns: int  # the next fault, or the end of the probe: its heal is part of what customers felt
    proved: bool
    healed: bool | None
    destroyed: tuple[str, ...] = ()  # nodes of which nothing was left, their disks included
    damaged: tuple[str, ...] = ()  # tables whose contents were not to be trusted


def injections(records: Records, *, probe_end_ns: int | None) -> list[Injection]:
    """The injected faults in the order of time; what is not known of one becomes a doubt."""
    injected = sorted((data for _, data in records.of("injected", Injected)), key=lambda data: data.before_ns)
    intended = {data.id: event.t_ns for event, data in records.of("intent", Intent)}
    told = {data.id: event.t_ns for event, data in records.of("injected", Injected)}
    intents = {data.id: data for _, data in records.of("intent", Intent)}
    known = {data.id for data in injected}
    for one in intents.values():
        if one.id not in known:
            records.doubt(f"Fault {one.id} ({one.name} of {one.target}) was intended; it is not known whether it happened.")
    if not injected and not intents:
        records.doubt("No fault was injected.")
    heals = [(data.id, event.t_ns) for event, data in records.of("heal_started", HealStarted)]
    healed = {data.id: data.ok for _, data in records.of("healed", Healed)}
    found: list[Injection] = []
    for number, data in enumerate(injected):
        intent = intents.get(data.id)
        if intent is None:
            records.doubt(f"Fault {data.id} was injected without a written intent.")
        following = injected[number + 1].before_ns if number + 1 < len(injected) else None
        end_ns = probe_end_ns if probe_end_ns is not None else data.after_ns
        # A fault may be healed on the way in too, to be sure: that is no end of its window.
        heal_ns = next((t_ns for fault_id, t_ns in heals if fault_id == data.id and t_ns >= data.before_ns), None)
        window_end_ns = next(t_ns for t_ns in (heal_ns, following, end_ns) if t_ns is not None)
        found.append(
            Injection(
                id=data.id,
                name=intent.name if intent else "unknown",
                target=intent.target if intent else "unknown",
                injected_at=_wall_at(records, data.before_ns),
                before_ns=data.before_ns,
                after_ns=data.after_ns,
                window_end_ns=max(data.before_ns, min(window_end_ns, end_ns)),
                felt_until_ns=max(data.before_ns, end_ns if following is None else min(following, end_ns)),
                proved=_proved(records, data, heal_ns, intent, _lasting(injected, heals, intents, data)),
                healed=None if heal_ns is None else healed.get(data.id, False),
                destroyed=tuple(intent.effect.destroyed) if intent else (),
                damaged=tuple(intent.effect.damaged) if intent else (),
            )
        )
        _check_times(records, found[-1])
        if not intended.get(data.id, data.before_ns) <= data.before_ns <= told[data.id]:
            records.doubt(f"Fault {data.id}: its last moment before lies outside the time between its intent and its record.")
    return found


def _wall_at(records: Records, t_ns: int) -> str:
    """The wall time of a monotonic one, from the plan's pair; empty when the plan cannot be read."""
    if records.plan is None:
        return ""
    clock = records.plan.clock
    try:
        start = datetime.fromisoformat(clock.wall).astimezone(UTC)
        at = start + timedelta(microseconds=(t_ns - clock.monotonic_ns) // 1000)
    except (ValueError, OverflowError):
        records.doubt(f"plan.json: clock.wall {clock.wall!r} is no RFC 3339 time.")
        return ""
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _check_times(records: Records, one: Injection) -> None:
    if one.after_ns < one.before_ns:
        records.doubt(f"Fault {one.id}: its first moment after lies before its last moment before.")
    for _, baseline in records.of("baseline", Baseline)[-1:]:
        if baseline.to_ns > one.before_ns:
            records.doubt(f"Fault {one.id} lies in the baseline: the rate it is held against was not undisturbed.")


def _lasting(
    injected: Sequence[Injected], heals: Sequence[tuple[str, int]], intents: Mapping[str, Intent], fault: Injected
) -> list[tuple[int, set[str]]]:
    """The other faults that were not healed before this one came: since when, and whom each took down."""
    found = []
    for other in injected:
        heal_ns = next((t_ns for one, t_ns in heals if one == other.id and t_ns >= other.before_ns), None)
        if other.id != fault.id and other.id in intents and (heal_ns is None or heal_ns > fault.before_ns):
            found.append((other.before_ns, set(intents[other.id].effect.down)))
    return found


def _proved(
    records: Records,
    fault: Injected,
    heal_started_ns: int | None,
    intent: Intent | None,
    others: Sequence[tuple[int, set[str]]],
) -> bool:
    """Whether a proof, read while the fault lasted, holds for each victim of the effect and for every node that it spares.

    Whom another fault has down by then is no bystander.
    """
    told = [
        (event.t_ns, data)
        for event, data in records.of("proof", Proof)
        if data.id == fault.id and event.t_ns >= fault.before_ns and (heal_started_ns is None or event.t_ns <= heal_started_ns)
    ]
    proofs = [data for _, data in told]
    if not proofs:
        records.doubt(f"Fault {fault.id} has no proof that was read while it lasted.")
        return False
    failed = [check for check in proofs[-1].checks if not check.ok]
    for check in failed:
        records.doubt(
            f"Fault {fault.id} is not proved: {check.side} {check.subject}, expected {check.expected}, seen {check.seen}."
        )
    absent = [side for side in ("victim", "bystander") if side not in {c.side for c in proofs[-1].checks}]
    for side in absent:
        records.doubt(f"Fault {fault.id} is not proved: no {side} was asked.")
    elsewhere = {node for since_ns, down in others if since_ns < told[-1][0] for node in down}
    absent += (unasked := _unasked(records, proofs[-1], intent.effect if intent else Effect(), elsewhere))
    if unasked:
        records.doubt(f"Fault {fault.id} is not proved: nobody asked {', '.join(unasked)}.")
    if not proofs[-1].proved and not failed and not absent:
        records.doubt(f"Fault {fault.id} is not proved: the harness says so.")
    return proofs[-1].proved and not failed and not absent


def _unasked(records: Records, proof: Proof, effect: Effect, elsewhere: set[str]) -> list[str]:
    """What the proof leaves out: a victim of the stated effect, or a node of the plan that must have been spared."""
    asked = {side: {check.subject for check in proof.checks if check.side == side} for side in ("victim", "bystander")}
    spared = set(topology_centers(records.plan)) - set(effect.down) - elsewhere
    return sorted({*effect.down, *effect.cut, *effect.impaired} - asked["victim"]) + sorted(spared - asked["bystander"])
