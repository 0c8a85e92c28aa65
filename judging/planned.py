"""Whether a run did what its plan says: no fault, condition or step left out, put in, changed or exchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from judging.evidence import Planned, PlannedFault, PlannedStep, PlannedUntil
from judging.records import Injected, Intent, Primary, Records, Step, Until, topology_centers

# In the plan: whoever is the primary when the fault is prepared, and the center where it stands.
PRIMARY, PRIMARYS_CENTER = "primary", "primary's center"


def check_body(records: Records) -> None:
    """Hold the events against the registered body; what differs becomes a doubt. Version 1 registered none."""
    if records.plan is None or records.version == 1:
        return
    _check_ids(records)
    if records.plan.body is None:
        records.doubt("The plan does not say what the drill would do: its body could not be rehearsed.")
        return
    ended_early = any(event.kind in ("interrupted", "error") for event in records.events)
    centers = {node: center for node, (center, _) in topology_centers(records.plan).items()}
    performed = [found for _, found in sorted(_performed(records), key=lambda one: one[0])]
    for number in range(max(len(records.plan.body), len(performed))):
        planned = records.plan.body[number] if number < len(records.plan.body) else None
        seen, primary = performed[number] if number < len(performed) else (None, None)
        if seen is None and ended_early:
            return  # the reason why the rest did not happen is told already
        if not _same(planned, seen, primary, centers):
            wanted, told = _words(planned), _words(seen)
            records.doubt(f"The drill did not do what its plan says, number {number + 1}: expected {wanted}; seen {told}.")
            return  # what follows is shifted against the plan


def _check_ids(records: Records) -> None:
    for kind, ids in (
        ("intent", [data.id for _, data in records.of("intent", Intent)]),
        ("injected", [data.id for _, data in records.of("injected", Injected)]),
    ):
        for one in dict.fromkeys(name for name in ids if ids.count(name) > 1):
            records.doubt(f"Fault {one} has more than one event of kind {kind}.")


def _performed(records: Records) -> Iterator[tuple[int, tuple[Planned, str | None]]]:
    """By `seq`: what was done, in the plan's words, and who was the primary then."""
    named = [(event.seq, data.node) for event, data in records.of("primary", Primary) if data.node is not None]
    for event, fault in records.of("intent", Intent):
        primary = next((node for seq, node in reversed(named) if seq < event.seq), None)
        yield event.seq, (PlannedFault(name=fault.name, target=fault.target, args=fault.args), primary)
    for event, until in records.of("until", Until):
        yield event.seq, (PlannedUntil(condition=until.condition, within_s=until.within_s), None)
    for event, step in records.of("step", Step):
        yield event.seq, (PlannedStep(name=step.name, role=step.role), None)


def _same(planned: Planned | None, seen: Planned | None, primary: str | None, centers: Mapping[str, str]) -> bool:
    if not isinstance(planned, PlannedFault) or not isinstance(seen, PlannedFault):
        return planned == seen

    def meant(value: Any) -> Any:
        if primary is None or not isinstance(value, str):
            return value
        return {PRIMARY: primary, PRIMARYS_CENTER: centers.get(primary)}.get(value, value)

    args = {name: meant(value) for name, value in planned.args.items()}
    return (planned.name, meant(planned.target), args) == (seen.name, seen.target, seen.args)


def _words(one: Planned | None) -> str:
    match one:
        case None:
            return "nothing more"
        case PlannedFault():
            return f"fault {one.name} of {one.target}"
        case PlannedUntil():
            return f"await {one.condition} within {one.within_s:g} s"
        case PlannedStep():
            return f"step '{one.name}'" + (f" ({one.role})" if one.role else "")
