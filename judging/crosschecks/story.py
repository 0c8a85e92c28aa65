"""The events against each other, the clocks and the plan: when, how long, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pandas as pd

from judging.crosschecks.case import BUSY_NS, CLOCK_NS, SECOND_NS, Case, first_few, wall_ns
from judging.records import Step, Until

PACE_MAX = 0.001  # a wall clock is slewed by at most 500 ppm; one that was set is no clock
WRITTEN_NS_MAX = 5 * SECOND_NS  # an event is written when it is known; a machine that writes to its disk may hold that up
KINDS = ("plan_registered", "ready", "baseline", "authority", "expected_copies")
PHASES = ("start", "steady", "baseline", "fault", "heal", "drain", "readback", "seal")
TERM = re.compile(r"(\d+(?:\.\d+)?) s\b")


def clocks_agree(case: Case) -> Iterator[str]:
    """One moment has one time: wall against monotonic in every event, and all of them between the plan and the seal."""
    if case.plan is None:
        return
    if abs(case.pace - 1) > PACE_MAX:
        yield (
            f"The clock pairs of plan.json and manifest.json differ by {abs(case.pace - 1):.2%}: one of the clocks"
            " was set, or a pair is not of this run."
        )
        return
    off = [
        (event, written)
        for event in case.records.events
        if not -CLOCK_NS < (written := case.at_ns(wall_ns(event.wall)) - event.t_ns) < WRITTEN_NS_MAX
    ]
    # What took long is told with the time at which it ended, or at which it was seen.
    if off:
        event, written = off[0]
        yield (
            f"events.jsonl: wall and t_ns of {len(off)} events do not agree, the first seq {event.seq} ({event.kind}):"
            " it happened at"
            f" {case.since_start(event.t_ns)} and was written {written / 1e9:.3f} s later by its wall time."
        )


def all_lies_between_plan_and_seal(case: Case) -> Iterator[str]:
    """Nothing in a run is older than its plan or younger than its seal."""
    if case.plan is None:
        return
    manifest = case.records.evidence.manifest
    from_ns = case.plan.clock.monotonic_ns
    until_ns = manifest.clock.monotonic_ns if manifest is not None else 1 << 62
    times = {
        "events.jsonl": pd.Series([event.t_ns for event in case.records.events], dtype="int64"),
        "probe.csv": _column(case.records.probe, "sent_ns"),
        "ledger.csv": _column(case.records.ledger, "sent_ns"),
        "reads.csv": _column(case.records.reads, "sent_ns"),
        "samples.csv": _column(case.records.samples, "t_ns"),
    }
    for name, at in times.items():
        outside = int(((at < from_ns) | (at > until_ns)).sum())
        if outside:
            yield f"{name}: {outside} times lie before the clock pair of plan.json or after that of manifest.json."
    for node in case.log_names:
        ends = case.ends_of_log(node)
        if ends is not None and (ends[0] < from_ns - CLOCK_NS or ends[1] > until_ns + CLOCK_NS):
            yield f"logs/{node}.log holds lines from before the plan or from after the seal."


def _column(frame: pd.DataFrame | None, name: str) -> pd.Series[int]:
    return pd.Series([] if frame is None else frame[name].to_numpy(), dtype="int64")


def story_is_whole(case: Case) -> Iterator[str]:
    """Each run has these events, each phase, and its loads started and stopped."""
    if not case.records.events:
        return  # a doubt names the file already
    kinds = {event.kind for event in case.records.events}
    if absent := [kind for kind in KINDS if kind not in kinds]:
        yield f"events.jsonl has no event of kind {', '.join(absent)}; every run that ends in order has."
    phases = [str(event.data.get("name")) for event in case.told("phase")]
    wanted = [name for name in PHASES if name != "heal" or any(f.heal_ns is not None for f in case.faults)]
    if absent := [name for name in wanted if name not in phases]:
        yield f"events.jsonl has no phase {', '.join(absent)}; every run that ends in order has."
    once = list(dict.fromkeys(name for name in phases if name in PHASES and name not in ("fault", "heal")))
    if once != [name for name in PHASES if name in once]:
        yield f"events.jsonl: the phases began in the order {', '.join(once)}."
    for kind in ("load_started", "load_stopped"):
        origins = {str(event.data.get("origin", event.source)) for event in case.told(kind)}
        if absent := sorted({"probe", "locust"} - origins):
            yield f"events.jsonl: no {kind} event of {', '.join(absent)}, which has a ledger."
    for fault in case.faults:
        started = fault.heal_ns is not None
        ended = any(e.data.get("id") == fault.id for e in case.told("healed"))
        if started and not ended:
            yield f"events.jsonl: the heal of fault {fault.id} was started, and nothing says how it ended."


def loads_ran_as_told(case: Case) -> Iterator[str]:
    """The ledgers' own start and stop lie where the events have them."""
    counts = {"probe": case.records.probe_count, "locust": case.records.ledger_count}
    for kind, attribute in (("load_started", "started_ns"), ("load_stopped", "stopped_ns")):
        for event in case.told(kind):
            count = counts.get(str(event.data.get("origin", event.source)))
            if count is None:
                continue
            # Started is told once it pays, stopped once what was in flight has ended and the process is gone.
            later = event.t_ns - getattr(count, attribute)
            if not -CLOCK_NS <= later <= 15 * SECOND_NS:
                yield (
                    f"events.jsonl seq {event.seq} ({kind}) lies {later / 1e9:.1f} s after the {attribute} of the count beside"
                    " its ledger."
                )


def waits_are_as_long_as_told(case: Case) -> Iterator[str]:
    """A step is written when it ends, a wait is as long as it says, and neither begins before what was before it had ended."""
    spans: list[tuple[int, int]] = []
    for event in case.told("step", "until", "injected", "healed"):
        began_ns = ended_ns = event.t_ns
        what = event.kind
        if event.kind == "step":
            step = Step.model_validate(event.data)
            what, began_ns, ended_ns = f"step '{step.name}'", int(event.data.get("before_ns", step.after_ns)), step.after_ns
            if not -CLOCK_NS <= event.t_ns - ended_ns <= WRITTEN_NS_MAX or began_ns > ended_ns:
                yield (
                    f"events.jsonl seq {event.seq}: {what} ended at {case.since_start(ended_ns)}"
                    f" and was written at {case.since_start(event.t_ns)}."
                )
        elif event.kind == "until":
            wait = Until.model_validate(event.data)
            what, began_ns = wait.condition, ended_ns - round((wait.waited_s or 0) * 1e9)
            allowed_s = wait.within_s + (BUSY_NS + int(case.excused_ns(began_ns, ended_ns))) / 1e9
            if wait.reached and wait.waited_s is not None and wait.waited_s > allowed_s:
                yield f"events.jsonl seq {event.seq}: {what} was reached after {wait.waited_s:g} s, within {wait.within_s:g} s."
        # A wait may do steps of its own (a scrub): those lie wholly inside it.
        crossed = [end for start, end in spans if start < began_ns - BUSY_NS and end > began_ns + BUSY_NS]
        if crossed:
            yield (
                f"events.jsonl seq {event.seq}: {what} began at {case.since_start(began_ns)} by its length; what was before"
                f" it ended at {case.since_start(max(crossed))}."
            )
        spans.append((began_ns, ended_ns))


def injection_is_as_told(case: Case) -> Iterator[str]:
    """An injection is written when it is over."""
    told = {str(e.data.get("id")): e for e in case.told("injected")}
    for fault in case.faults:
        event = told[fault.id]
        if not -CLOCK_NS <= event.t_ns - fault.after_ns <= WRITTEN_NS_MAX:
            yield (
                f"Fault {fault.id} was over at {case.since_start(fault.after_ns)}"
                f" by its record, which was written at {case.since_start(event.t_ns)}."
            )


def proofs_came_after(case: Case) -> Iterator[str]:
    """A proof is read of a fault that was there: after its injection."""
    after = {fault.id: fault.after_ns for fault in case.faults}
    for event in case.told("proof"):
        injected = after.get(str(event.data.get("id")))
        if injected is not None and event.t_ns < injected - CLOCK_NS:
            yield (
                f"events.jsonl seq {event.seq}: the proof of fault {event.data.get('id')}"
                f" was read at {case.since_start(event.t_ns)},"
                " before it had been injected."
            )


def baseline_is_as_planned(case: Case) -> Iterator[str]:
    """The undisturbed window is as long as the plan has it, and lies in the load."""
    baseline, count = case.baseline, case.records.probe_count
    if baseline is None or case.plan is None:
        return
    long_s = (baseline.to_ns - baseline.from_ns) / 1e9
    if not -0.05 <= long_s - case.plan.load.baseline_s <= 2 * BUSY_NS / 1e9:
        yield f"events.jsonl: the baseline is {long_s:.2f} s long; plan.json has {case.plan.load.baseline_s:g} s."
    if count is not None and baseline.from_ns < count.started_ns:
        yield "events.jsonl: the baseline begins before the probe did (probe.json)."


def targets_follow_from_their_basis(case: Case) -> Iterator[str]:
    """Where the basis of a target is a sum of seconds, it is the target."""
    if case.plan is None:
        return
    for name, words in case.plan.targets.basis.items():
        value = getattr(case.plan.targets, name, None)
        terms = words.partition(";")[0].split(" + ")
        found = [TERM.findall(term) for term in terms]
        if value is None or not name.endswith("_s") or len(terms) < 2 or any(len(one) != 1 for one in found):
            continue
        total = sum(float(one[0]) for one in found)
        if abs(total - value) > 1e-9:
            yield f"plan.json: the target {name} is {value:g} s; its basis sums to {total:g} s ({first_few(terms, 9)})."
