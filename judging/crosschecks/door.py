"""The front door's own log against the ledgers: two programs that saw the same answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from judging.books import OBSERVER_PREFIX
from judging.crosschecks.case import BUSY_NS, CLOCK_NS, WAITED, Case, first_few
from judging.crosschecks.passed import Passed, Told


def door_counted(case: Case) -> Iterator[str]:
    """As many lines are there as the door is said to have written."""
    told = case.told("door_log")
    if not told:
        if case.plan is not None and case.plan.evidence_version > 1:
            yield "No door_log event says how many payments the front door logged."
        return
    payments, log = told[-1].data.get("payments"), case.door_log
    lines = 0 if log is None else log.counted.lines + log.counted.keyless + log.counted.bad_lines
    if lines != payments:
        yield f"logs/door.log holds {lines} payments; the door_log event says {payments}."


def door_told_the_same(case: Case) -> Iterator[str]:
    """The status that a ledger has for a payment is the status that the door passed on."""
    seen = case.door
    if seen is None:
        return
    wrong = [found for one in seen.ledgers for found in _otherwise(seen, one)]
    if wrong:
        key, in_ledger, at_door = wrong[0]
        yield (
            f"{len({key for key, _, _ in wrong})} payments have another status in their ledger than in logs/door.log, the first"
            f" {key}:"
            f" {in_ledger} and {at_door}."
        )
    # An answer may cross a client that gives up just then; but not one that was passed on whole (--) to a broken connection.
    success = [key for one in seen.ledgers for key in _answered_in_vain(case, one)]
    if success:
        yield (
            f"{len(success)} payments without an answer in their ledger were answered by logs/door.log before their client"
            f" gave up, the first {success[0]}."
        )


def _otherwise(seen: Passed, one: Told) -> list[tuple[str, int, int]]:
    """Lines with another status than a ledger's: the key, and both. The door itself may have sent the same key again:

    one line with the ledger's status is enough.
    """
    codes, settled = one.sent.codes[one.other.row], np.zeros(len(one.other.row), np.bool_)
    for ledger in seen.ledgers if len(codes) else ():
        place = ledger.sent.places.of(codes)
        settled |= (place >= 0) & ledger.settled[place]
    rows, status = one.other.row[~settled].tolist(), one.other.status[~settled].tolist()
    return [(one.sent.key(row), int(one.sent.status[row]), told) for row, told in zip(rows, status, strict=True)]


def _answered_in_vain(case: Case, one: Told) -> list[str]:
    """The payments whose answer the door had passed on whole, or long before their client gave up."""
    rows, end_ns = one.unanswered.row, one.unanswered.end_ns
    if not len(rows):
        return []
    whole = one.unanswered.whole & ~one.sent.says("error", rows, WAITED)
    done_ns = one.sent.times("done_ns")[rows]
    # As long as the host stalled meanwhile, an answer may lie with a client that does not run.
    early = end_ns < done_ns - BUSY_NS - case.excused_ns(end_ns, done_ns)
    return [one.sent.key(row) for row in rows[whole | early].tolist()]


def door_saw_every_answer(case: Case) -> Iterator[str]:
    """An answer came through the door: each has its line there, but for those that the door says it dropped."""
    seen = case.door
    if seen is None or not any(len(one.sent.codes) for one in seen.ledgers):
        return
    dropped = sum(int(event.data.get("dropped") or 0) for event in case.told("door_log"))
    absent = [key for one in seen.ledgers for key in one.sent.keys(one.sent.answered & ~one.seen)]
    if len(absent) > dropped:
        yield (
            f"{len(absent)} payments with an answer have no line in logs/door.log, which dropped {dropped}: {first_few(absent)}."
        )
    ours = (f"{case.run_id}-ready-", OBSERVER_PREFIX)
    strange = [key for key in case.keys.decode(seen.strange) if not key.startswith(ours)]
    if strange:
        yield f"logs/door.log has {len(strange)} successful payments that no ledger has: {first_few(strange)}."


def door_agrees_on_time(case: Case) -> Iterator[str]:
    """A payment came to the door after it was sent, and its answer left before, or just when, it was read."""
    seen = case.door
    if seen is None:
        return
    off: list[tuple[str, int, int]] = []
    for one in seen.ledgers:
        rows, end_ns = one.off.row, one.off.end_ns
        sent_ns, done_ns = one.sent.times("sent_ns")[rows], one.sent.times("done_ns")[rows]
        # A client that the host does not let run reads its answer later, by as long.
        far = np.abs(end_ns - done_ns) > BUSY_NS + case.excused_ns(end_ns, done_ns)
        # The door looks at its clock once a turn: one that the host holds in mid-turn tells a time that is as old.
        early = end_ns < sent_ns - CLOCK_NS - case.excused_ns(end_ns, sent_ns)
        wrong = early | far
        keys = [one.sent.key(row) for row in rows[wrong].tolist()]
        off += zip(keys, done_ns[wrong].tolist(), end_ns[wrong].tolist(), strict=True)
    if off:
        key, done, end = off[0]
        yield (
            f"{len(off)} payments were acknowledged at another time in their ledger than in logs/door.log, the"
            f" first {key}:"
            f" {case.since_start(done)} and {case.since_start(end)}."
        )
