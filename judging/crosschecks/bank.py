"""What stands in the bank, and what the databases' own logs and dead disks say, against the ledgers."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from judging.books import OBSERVER_PREFIX
from judging.columns import ROWS, Codes
from judging.crosschecks.case import BUSY_NS, CLOCK_NS, SECOND_NS, WAITED, Case, Fault, first_few, wall_ns
from judging.crosschecks.standing import Stood
from judging.records import AutopsyDone

# PostgreSQL tells this when a standby becomes a primary: the time of the last commit that it had received.
LAST_RECEIVED = re.compile(r"last completed transaction was at log time (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d)")
STARTED = "LOG:  starting PostgreSQL"  # one that received no commit since then tells of none when it becomes a primary
TROUBLE_NS = 30 * SECOND_NS  # after a heal began, a bank that just got its copies back may still leave payments without an answer
PROMOTED = re.compile(r"selected new timeline ID: (\d+)")


def committed_when_told(case: Case) -> Iterator[str]:
    """A payment is committed after it was sent; one that was acknowledged, before its answer came."""
    if case.plan is None or case.stands is None:
        return
    early, late = list[str](), list[str]()
    for one in case.sent:
        acknowledged = one.where("acknowledged")
        for start in range(0, len(one.codes), ROWS):
            part = slice(start, start + ROWS)
            place = case.stands.places.of(one.codes[part])
            there = place >= 0
            if not there.any():
                continue
            committed = case.stands.committed_ns[place]
            soon = there & (committed < one.times("sent_ns")[part] - CLOCK_NS)
            early += [one.key(start + row) for row in np.flatnonzero(soon).tolist()]
            # An answer that never came says nothing about when it was committed; and an edge answers by itself.
            late_ns = committed - one.times("done_ns")[part] - CLOCK_NS
            slow = there & acknowledged[part] & (late_ns > 0) & (case.authorised.of(one.codes[part]) < 0)
            late += [one.key(start + row) for row in np.flatnonzero(slow).tolist()]
    for wrong, words in ((early, "before its ledger says it was sent"), (late, "after its ledger says it was acknowledged")):
        if wrong:
            yield f"{len(wrong)} payments were committed on {case.authority} (committed_at) {words}, the first {wrong[0]}."


def committed_by_a_primary(case: Case) -> Iterator[str]:
    """What stands on the new primary from its predecessor's time is no younger than the last commit that it had received."""
    if case.plan is None or case.stands is None:
        return
    committed = case.stands.committed_ns
    for node, received_ns, promoted_ns in _takeovers(case):
        if received_ns is None:
            if case.baseline is not None and promoted_ns > case.baseline.to_ns:
                yield (
                    f"logs/{node}.log tells a promotion at {case.since_start(promoted_ns)}, and not which commit was the"
                    " last that it had received."
                )
            continue
        # Between the two nobody could commit anything that the new primary would have.
        between = case.keys.decode(case.stands.codes[(committed > received_ns) & (committed < promoted_ns)])
        wrong = [key for key in between if not key.startswith(OBSERVER_PREFIX)]
        if wrong:
            yield (
                f"{len(wrong)} payments on {case.authority} were committed after the last commit that {node} had"
                " received when it took"
                f" over (its log: {case.since_start(received_ns)}), the first {wrong[0]}."
            )


def _takeovers(case: Case) -> Iterator[tuple[str, int | None, int]]:
    """Each promotion that a database's log tells: the node, its last received commit (not later than its start, where it
    tells of none since), and when it began to write.

    Times as the log says them, to the microsecond and the millisecond, less and more the grain of the clocks' pair.
    """
    for node in case.databases:
        received: int | None = None
        started: int | None = None
        for t_ns, words in case.log(node):
            if STARTED in words:
                received, started = None, t_ns + CLOCK_NS
            elif last := LAST_RECEIVED.search(words):
                received = case.at_ns(wall_ns(f"{last[1]}:00")) + 1000
            elif PROMOTED.search(words):
                yield node, started if received is None else received, t_ns - CLOCK_NS
                received = started = None


def dead_disks_and_ledgers(case: Case) -> Iterator[str]:
    """A dead disk holds what its primary acknowledged, nothing that was refused, and nothing from after its death."""
    for node, disk in case.dead_disks.items():
        fault = _killed(case, node)
        if fault is None:
            yield f"autopsy/{node}.payments.csv.gz was read off a dead node's disk; no fault's effect has {node} down."
            continue
        at_ns = disk.committed_ns
        if (late := at_ns > fault.after_ns + BUSY_NS + case.excused_ns(fault.after_ns, at_ns)).any():
            yield (
                f"autopsy/{node}.payments.csv.gz: {int(late.sum())} payments were committed after fault {fault.id} had"
                f" killed {node},"
                f" the first {disk.key(int(late.argmax()))}."
            )
        refused = [key for one in case.sent for key in one.keys(one.where("refused") & (disk.places.of(one.codes) >= 0))]
        if refused:
            yield f"{len(refused)} payments are refused in the ledgers, and stand on {node}'s dead disk: {first_few(refused)}."
        if node != _primary_before(case, fault):
            continue
        absent = [
            key
            for one in case.sent
            for key in one.keys(
                one.where("acknowledged")
                & (one.times("done_ns") < fault.before_ns)
                & (disk.places.of(one.codes) < 0)
                & (case.authorised.of(one.codes) < 0)
            )
        ]
        if absent:
            yield (
                f"{len(absent)} payments were acknowledged before fault {fault.id} and are not on the disk of {node}, the"
                " primary then:"
                f" {first_few(absent)}."
            )
        yield from _unanswered(case, fault, node, disk)


def _unanswered(case: Case, fault: Fault, node: str, disk: Stood) -> Iterator[str]:
    """Committed over a second before the fault, in a bank that answered, and yet nobody was told.

    Where the host's disk is slow, it may have waited for its copy for so much longer.
    """
    at_ns = disk.committed_ns
    old = case.keys.places(disk.codes[at_ns < fault.before_ns - BUSY_NS - case.excused_ns(at_ns, fault.before_ns)])
    patience_ns = 0 if case.plan is None else round(case.plan.load.probe_timeout_s * 1e9)
    wrong: list[str] = []
    for one in case.sent:
        rows = np.flatnonzero(one.where("unknown") & (old.of(one.codes) >= 0))
        # A bank that has only just started may answer later than anybody waits.
        gave_up = one.says("error", rows, WAITED) & ((one.times("done_ns") - one.times("sent_ns"))[rows] >= patience_ns)
        wrong += [one.key(row) for row in rows[~gave_up & ~_troubled(case, fault, one.times("done_ns")[rows])].tolist()]
    if wrong:
        yield (
            f"{len(wrong)} payments without an answer stand on {node}'s dead disk, committed over 1 s before fault"
            f" {fault.id}: {first_few(wrong)}."
        )


def _troubled(case: Case, fault: Fault, done_ns: Codes) -> npt.NDArray[np.bool_]:
    """Which times lie in an earlier fault's trouble: that fault accounts for payments that were left without an answer then."""
    found = np.zeros(len(done_ns), np.bool_)
    for earlier in (one for one in case.faults if one.before_ns < fault.before_ns):
        over_ns = (fault.before_ns if earlier.heal_ns is None else earlier.heal_ns) + TROUBLE_NS
        found |= (done_ns >= earlier.before_ns) & (done_ns <= over_ns)
    return found


def same_commit_on_every_copy(case: Case) -> Iterator[str]:
    """A commit has one time: a payment's row is the same on a dead disk and on the authority."""
    if case.stands is None:
        return
    for node, disk in case.dead_disks.items():
        dead, stands = _pairs(disk, case.stands)
        assert disk.rows is not None
        assert case.stands.rows is not None
        wrong = np.zeros(len(dead), np.bool_)
        for on_disk, standing in zip(disk.rows, case.stands.rows, strict=True):
            wrong |= on_disk[dead] != standing[stands]
        if wrong.any():
            yield (
                f"{int(wrong.sum())} payments stand on {case.authority} otherwise than on {node}'s dead disk, the first"
                f" {disk.key(int(dead[wrong].min()))}."
            )


def _pairs(one: Stood, other: Stood) -> tuple[Codes, Codes]:
    """The rows of two tables that have a key in common, each with each where it stands there twice."""
    place = one.places.of(other.codes)
    rows = np.flatnonzero(place >= 0)
    if not one.places.repeated().any():
        return place[rows].astype(np.int64), rows
    ours, theirs = pd.Series(one.codes, name="code").reset_index(), pd.Series(other.codes, name="code").reset_index()
    both = ours.merge(theirs, on="code", suffixes=("", "_other"))
    return both["index"].to_numpy(), both["index_other"].to_numpy()


def every_dead_primary_was_opened(case: Case) -> Iterator[str]:
    """The disk of a primary that died is read: what it held and its successor lacks is what may be lost."""
    told = {data.node for _, data in case.records.of("autopsy", AutopsyDone)}
    for fault in case.faults:
        primary = _primary_before(case, fault)
        dead = primary in fault.effect.down and primary not in fault.effect.destroyed  # of a destroyed one there is no disk
        if dead and primary not in told and fault.heal_ns is not None:
            yield f"Fault {fault.id} killed the primary {primary}; no autopsy event says what its disk holds."


def log_ends_on_the_dead_disk(case: Case) -> Iterator[str]:
    """No sample saw the dead primary write beyond the end of its log, and its successor received no more than that."""
    samples = case.records.samples
    if samples is None:
        return
    for event, data in case.records.of("autopsy", AutopsyDone):
        fault = _killed(case, data.node)
        if fault is None or data.end_lsn is None:
            continue
        of_it = samples[(samples["node"] == data.node) & (samples["t_ns"] <= fault.before_ns) & samples["flush_lsn"].notna()]
        writing = of_it[of_it["in_recovery"].eq(0).fillna(False)]
        if len(writing) and int(writing["flush_lsn"].max()) > data.end_lsn:
            yield (
                f"samples.csv saw {data.node} write to {int(writing['flush_lsn'].max())} before fault {fault.id}; by the"
                " autopsy (events.jsonl"
                f" seq {event.seq}) the log on its disk ends at {data.end_lsn}."
            )


def receipts_cover_what_stands(case: Case) -> Iterator[str]:
    """What the new primary has of its predecessor's time lies within the log that samples saw it receive."""
    samples = case.records.samples
    if case.plan is None or samples is None or case.stands is None:
        return
    committed = case.stands.committed_ns
    for fault in case.faults:
        old = _primary_before(case, fault)
        if old is None or old not in fault.effect.down:
            continue
        until_ns = fault.heal_ns if fault.heal_ns is not None else 1 << 62
        after = samples[(samples["asked_ns"] > fault.after_ns) & (samples["t_ns"] < until_ns)]
        new = after[after["in_recovery"].eq(0).fillna(False) & (after["node"] != old)]
        if new.empty:
            continue
        node, promoted_ns = str(new["node"].iloc[0]), int(new["t_ns"].min())
        waiting = after[(after["node"] == node) & after["in_recovery"].eq(1).fillna(False) & (after["t_ns"] < promoted_ns)]
        written = samples[
            (samples["node"] == old) & samples["in_recovery"].eq(0).fillna(False) & (samples["t_ns"] <= fault.before_ns)
        ]
        if waiting["flush_lsn"].dropna().empty:
            continue
        received = int(waiting["flush_lsn"].max())
        beyond = written[written["flush_lsn"] > received]
        if beyond.empty:
            continue
        from_ns = int(beyond["t_ns"].min()) + CLOCK_NS
        wrong = (committed > from_ns) & (committed < fault.after_ns)
        if wrong.any():
            yield (
                f"{int(wrong.sum())} payments on {case.authority} were committed after {case.since_start(from_ns)}, when"
                f" {old} wrote beyond all"
                f" that samples.csv saw {node} receive ({received}), the first {case.stands.key(int(wrong.argmax()))}."
            )


def _killed(case: Case, node: str) -> Fault | None:
    return next((fault for fault in case.faults if node in fault.effect.down), None)


def _primary_before(case: Case, fault: Fault) -> str | None:
    """The primary before a fault, as samples saw it."""
    samples = case.records.samples
    if samples is None:
        return None
    writing = samples[(samples["t_ns"] <= fault.before_ns) & samples["in_recovery"].eq(0).fillna(False)]
    return None if writing.empty else str(writing.sort_values("t_ns")["node"].iloc[-1])
