"""A restore in place takes a bank back in time: it has to be told, and to be the one that was told.

What the servers wrote themselves is held against the `restored` events: the log of the recovery, and how far each log reached.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from judging.crosschecks.case import CLOCK_NS, Case, first_few
from judging.primaries import of_the_primary
from judging.records import Replaced, Restored

# PostgreSQL, when it recovers from a backup and an archive; a copy that is made anew from its primary says neither
FROM_ARCHIVE = re.compile(r"starting (?:point-in-time recovery|archive recovery)")
STOPPED = re.compile(r"recovery stopping before commit of transaction (\d+),")
SELECTED = re.compile(r"selected new timeline ID: (\d+)")
EMPTIED = re.compile(r"^0 of [1-9]\d* rows of before transaction (\d+)$")
# The record at the end of what a copy got may not be whole, and is dropped when it becomes the primary: long ones hold pages.
PART_BYTES = 256 << 10

Reign = tuple[int, str, int, int | None]  # the first sample of a primary's timeline: when, node, timeline, where its log ended


def restores_are_told(case: Case) -> Iterator[str]:
    """Who recovers from an archive, or becomes the primary with less of the log than it had, was restored by an event's word."""
    told = [data for _, data in case.records.of("restored", Restored)]
    replaced = [(event.t_ns, data.nodes) for event, data in case.records.of("replaced", Replaced)]
    from_ns = case.baseline.from_ns if case.baseline is not None else 1 << 62
    for node in case.databases:
        spans = [(one.before_ns - CLOCK_NS, one.after_ns + CLOCK_NS) for one in told if one.node == node]
        spans += [(t_ns - CLOCK_NS, 1 << 62) for t_ns, nodes in replaced if node in nodes]
        for at, words in case.log(node):
            if at >= from_ns and FROM_ARCHIVE.search(words) and not any(start <= at <= end for start, end in spans):
                yield (
                    f"logs/{node}.log begins to recover from the archive at {case.since_start(at)}; no restored or replaced event"
                    " tells of it."
                )
                break
    yield from _gone_back(case, told, {node for _, nodes in replaced for node in nodes})


def _gone_back(case: Case, told: Sequence[Restored], replaced: set[str]) -> Iterator[str]:
    """Of two primaries in a row, how far the second one's log was on the first one's timeline, and where it began to write."""
    samples = case.records.samples
    for before, now in pairwise(_reigns(case)):
        at, node, timeline, lsn = now
        assert samples is not None
        mine = samples[(samples["node"] == node) & (samples["ok"] == 1) & (samples["t_ns"] < at)]
        had = mine[mine["timeline"].eq(before[2]).fillna(False)]["flush_lsn"].dropna()
        if had.empty or lsn is None or node in replaced:
            continue
        back = int(had.max()) - lsn
        if back > PART_BYTES and not any(one.node == node and before[0] < one.before_ns < at for one in told):
            yield (
                f"samples.csv: {node} writes on timeline {timeline} from {case.since_start(at)} on, {back} bytes before where its"
                f" log had been on timeline {before[2]}; no restored event tells of it."
            )


def _reigns(case: Case) -> list[Reign]:
    """Of each timeline that a primary wrote, its first sample."""
    if case.records.samples is None:
        return []
    rows = of_the_primary(case.records.samples)
    rows = rows[(rows["timeline"] > 0) & rows["timeline"].ne(rows["timeline"].shift())]
    ends = rows["flush_lsn"].astype(object).where(rows["flush_lsn"].notna(), None).tolist()
    return list(zip(rows["t_ns"].tolist(), rows["node"].astype(str).tolist(), rows["timeline"].tolist(), ends, strict=True))


def restores_are_as_told(case: Case) -> Iterator[str]:
    """A told restore stopped where it says and began that timeline, and nobody was told that a payment was done in it."""
    for event, one in case.records.of("restored", Restored):
        what = f"events.jsonl seq {event.seq} has {one.node} restored to before transaction {one.xid}"
        lines = [words for at, words in case.log(one.node) if one.before_ns - CLOCK_NS <= at <= one.after_ns + CLOCK_NS]
        stopped = sorted({found[1] for words in lines if (found := STOPPED.search(words))})
        selected = sorted({found[1] for words in lines if (found := SELECTED.search(words))})
        if (stopped, selected) != ([str(one.xid)], [str(one.timeline)]):
            yield (
                f"{what}, on timeline {one.timeline}; by logs/{one.node}.log recovery stopped before transaction"
                f" {first_few(stopped) or '(none)'}, and timeline {first_few(selected) or '(none)'} began."
            )
        if one.xid not in _transactions(case, one.before_ns):
            yield f"{what}; no proof of a fault before it names that transaction."
        if paid := _paid_within(case, one):
            yield f"{what}; {len(paid)} payments were sent and acknowledged while it was, the first {paid[0]}."
        yield from _otherwise_sampled(case, one, what)


def _transactions(case: Case, before_ns: int) -> set[int]:
    """Those whose rows were gone, by the proofs of faults that came before."""
    return {
        int(found[1])
        for fault in case.faults
        if fault.effect.damaged and fault.proof is not None and fault.before_ns < before_ns
        for check in fault.proof.checks
        if check.side == "victim" and (found := EMPTIED.match(str(check.seen)))
    }


def _paid_within(case: Case, one: Restored) -> list[str]:
    found: list[str] = []
    for ledger in case.sent:
        inside = (ledger.times("sent_ns") > one.before_ns) & (ledger.times("done_ns") < one.after_ns)
        found += ledger.keys(ledger.where("acknowledged") & inside)
    return found


def _otherwise_sampled(case: Case, one: Restored, what: str) -> Iterator[str]:
    """The primary was on an older timeline before, and is on the one that is told right after."""
    if case.records.samples is None:
        return
    rows = of_the_primary(case.records.samples)
    earlier = rows[rows["t_ns"] < one.before_ns]["timeline"].tolist()
    later = rows[rows["asked_ns"] > one.after_ns]["timeline"].tolist()[:1]
    if max(earlier, default=0) >= one.timeline or later not in ([], [one.timeline]):
        yield (
            f"{what}, on timeline {one.timeline}; samples.csv saw the primary on {max(earlier, default='none')} before it and on"
            f" {first_few(list(map(str, later))) or 'none'} after it."
        )
