"""Whether a surge of customers was one, whether it was too much, and whether letting customers in elsewhere is what helped.

A surge breaks nothing, so a run in which nothing happened looks like one in which all went well. What these rules can't tell is a
doubt: the customers' rate from their ledger, the effect from the probe, what was too narrow from the lines' own counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from judging.outage import SECOND_NS
from judging.rate import SIGMAS, mean_factor
from judging.records import Intent, Line, Lines, Records, Step

if TYPE_CHECKING:
    from judging.injections import Injection
    from judging.measure import FaultMeasurement

SURGE = "CustomersSurge"
FULL_SHARE = 0.9  # of its bandwidth, in one look: fronts that can't ask the bank any more turn customers away for a moment
BITES_NS = 3 * SECOND_NS  # until all that was not sent at the new rate has been answered
ADMITS = "reroute"  # the role of the step that lets customers in elsewhere


def check_surges(records: Records, injected: Sequence[Injection], measured: Sequence[FaultMeasurement]) -> None:
    """Doubts a run whose surge was none, was not felt, was not the lines' to carry, or was over before anybody did anything."""
    args = {data.id: data.args for _, data in records.of("intent", Intent)}
    for one, fault in zip(injected, measured, strict=False):
        if one.name != SURGE:
            continue
        for doubt in (*_not_made(records, one, args.get(one.id, {})), *_not_told(records, one, fault)):
            records.doubt(f"Surge {one.id}: {doubt}")


def _not_made(records: Records, one: Injection, args: dict[str, Any]) -> Iterator[str]:
    """The rate, over the whole of the surge and in its last `baseline_s`: one that sank hides what was to be carried."""
    times, plan, ledger, count = args.get("times"), records.plan, records.ledger, records.ledger_count
    if isinstance(times, bool) or not isinstance(times, int | float) or not math.isfinite(times) or times <= 1:
        yield f"expected customers at more than their usual rate; seen {times!r} times it."
        return
    if plan is None or ledger is None or count is None:
        return  # a doubt already
    load, sent, least = plan.load, ledger["sent_ns"], 1.0 if plan.load.rate_min is None else plan.load.rate_min
    last_ns = max(one.after_ns, one.window_end_ns - round(load.baseline_s * SECOND_NS))
    for from_ns, when in ((one.after_ns, "while it lasted"), (last_ns, "at its end")):
        span_s = (one.window_end_ns - from_ns) / SECOND_NS
        if span_s <= 0:
            yield f"no time passed {when}."
            continue
        factor = mean_factor(load.shape, from_ns - count.started_ns, one.window_end_ns - count.started_ns)
        stated = load.customer_rate_per_s * load.pay_share * factor * times * span_s
        paid = int(((sent >= from_ns) & (sent < one.window_end_ns)).sum())
        if paid < least * stated - SIGMAS * math.sqrt(max(0.0, stated * (1 - load.pay_share))):
            yield (
                f"customers made {paid / span_s:.1f} payments a second {when}; {stated / span_s:.1f} are {times:g} times the"
                f" plan's rate, of which at least {least:.0%} is to be made. This machine does not carry that load."
            )


def _not_told(records: Records, one: Injection, fault: FaultMeasurement) -> Iterator[str]:
    """Where people let customers in elsewhere: that it was needed, and that it helped."""
    steps = [data for _, data in records.of("step", Step) if data.role == ADMITS and data.ok]
    step = next((data for data in steps if one.after_ns <= data.before_ns and data.after_ns <= one.window_end_ns), None)
    if step is None:
        return
    if not fault.disturbed:
        yield "customers did not feel it, so nothing shows that another way in was needed."
        return
    lasted_s = fault.episodes[0].lasted_s if fault.episodes else None
    back_ns = None if lasted_s is None else one.before_ns + round(lasted_s * SECOND_NS)
    if back_ns is not None and back_ns < step.before_ns:
        early_s = (step.before_ns - back_ns) / SECOND_NS
        yield f"service was back {early_s:.1f} s before customers were let in elsewhere, so it wasn't that which helped."
    yield from _not_the_lines(records, one, step, back_ns)


def _not_the_lines(records: Records, one: Injection, step: Step, back_ns: int | None) -> Iterator[str]:
    """That the open lines were full before, and that afterwards all of them carried more than those ever could."""
    lines = [line for _, data in records.of("lines", Lines) for line in data.lines]
    told = records.plan.topology.get("door") if records.plan is not None else None
    door: dict[str, Any] = told if isinstance(told, dict) else {}
    opened, all_of_them = list(door.get("centers", [])), [*door.get("centers", []), *door.get("closed", [])]
    narrow = {
        (link["source"], link["target"]): int(link["bandwidth_kbps"])
        for link in (records.plan.topology.get("links", []) if records.plan is not None else [])
        if link.get("bandwidth_kbps")
    }
    if not narrow:
        return  # nothing says what each way in can carry
    before = [line for line in lines if line.from_ns >= one.after_ns + BITES_NS and line.to_ns <= step.before_ns]
    for center in opened:
        looks = [
            (carried_kbps([line]), narrow.get((line.source, line.target), 0))
            for line in before
            if center in (line.source, line.target)
        ]
        if not any(kbps >= FULL_SHARE * named > 0 for kbps, named in looks):
            share = max((kbps / named for kbps, named in looks if named), default=0.0)
            yield (
                f"the line of {center} carried at most {share:.0%} of its bandwidth before customers were let in elsewhere;"
                f" expected {FULL_SHARE:.0%} once, or something else than the line was too narrow."
            )
    if back_ns is None:
        return
    after = [line for line in lines if line.from_ns >= back_ns and line.to_ns <= one.window_end_ns]
    ins = [pair for pair in narrow if pair[0] in all_of_them]
    outs = [pair for pair in narrow if pair[1] in all_of_them]
    ways = [
        (
            sum(carried_kbps(line for line in after if (line.source, line.target) == pair) for pair in way),
            sum(narrow[pair] for pair in way if set(pair) & set(opened)),
        )
        for way in (ins, outs)
    ]
    if not any(kbps > could for kbps, could in ways):
        each = " or ".join(f"{kbps:.0f} of {could}" for kbps, could in ways)
        yield (
            f"afterwards all lines together carried {each} kbit/s of what the lines that were open before could: they would have"
            " been enough."
        )


def carried_kbps(lines: Iterable[Line]) -> float:
    """What those looks counted, thousands of bits a second of the time that they looked; 0 where nobody did."""
    mine = list(lines)
    span_ns = sum(line.to_ns - line.from_ns for line in mine)
    return sum(line.bytes for line in mine) * 8_000_000 / span_ns if span_ns > 0 else 0.0
