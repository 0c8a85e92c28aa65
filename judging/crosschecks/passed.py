"""The front door's log, held against the ledgers while it is read: what stays in memory is what may contradict.

A line and the payment with its key are a pair. A log holds as many lines as there are payments, so the pairs that agree are
let go block by block.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from judging.columns import Codes, Flags
from judging.crosschecks.sent import Sent
from judging.doorlog import Counted, Lines, read_lines
from judging.evidence import Evidence

SUCCESS = (200, 201)


@dataclass
class Pairs:
    """Pairs of a payment (its row in its ledger) and a line of the log, by payment and then by line when all are there."""

    row: Codes = field(default_factory=lambda: np.zeros(0, np.int64))
    status: Codes = field(default_factory=lambda: np.zeros(0, np.int64))
    end_ns: Codes = field(default_factory=lambda: np.zeros(0, np.int64))
    whole: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))

    @staticmethod
    def joined(parts: list[Pairs]) -> Pairs:
        if not parts:
            return Pairs()
        row = np.concatenate([part.row for part in parts])
        order = np.argsort(row, kind="stable")
        return Pairs(
            row[order],
            np.concatenate([part.status for part in parts])[order],
            np.concatenate([part.end_ns for part in parts])[order],
            np.concatenate([part.whole for part in parts])[order],
        )


@dataclass(frozen=True)
class Told:
    """What the door's lines say of the payments of one ledger."""

    sent: Sent
    seen: Flags  # payments that have a line
    settled: Flags  # payments that have a line with the ledger's status
    other: Pairs  # lines with another status than the ledger's
    unanswered: Pairs  # successes of payments without an answer
    off: Pairs  # successes of acknowledged payments, whose times may not agree


@dataclass(frozen=True)
class Passed:
    counted: Counted
    ledgers: list[Told]
    strange: Codes  # keys of successes that are in no ledger, in the order of the log


class _Against:
    """Gathers what the lines say of one ledger."""

    def __init__(self, sent: Sent, busy_ns: int, clock_ns: int) -> None:
        self.sent = sent
        self.busy_ns, self.clock_ns = busy_ns, clock_ns
        self.acknowledged = sent.where("acknowledged")
        self.seen = np.zeros(len(sent.codes), np.bool_)
        self.settled = np.zeros(len(sent.codes), np.bool_)
        self.other: list[Pairs] = []
        self.unanswered: list[Pairs] = []
        self.off: list[Pairs] = []

    def take(self, lines: Lines, end_ns: Codes) -> Flags:
        """Hold lines against the ledger; returns which of them are of its payments."""
        place = self.sent.places.of(lines.codes)
        known: Flags = place >= 0
        row, status, end_ns, whole = place[known], lines.status[known], end_ns[known], lines.whole[known]

        def keep(parts: list[Pairs], chosen: Flags) -> None:
            if chosen.any():
                parts.append(Pairs(row[chosen].astype(np.int64), status[chosen], end_ns[chosen], whole[chosen]))

        answered, same = self.sent.answered[row], self.sent.status[row] == status
        self.seen[row] = True
        self.settled[row[answered & same]] = True
        keep(self.other, answered & ~same)
        success = np.isin(status, SUCCESS)
        keep(self.unanswered, success & ~answered)
        sent_ns, done_ns = self.sent.times("sent_ns")[row], self.sent.times("done_ns")[row]
        far = (end_ns < sent_ns - self.clock_ns) | (np.abs(end_ns - done_ns) > self.busy_ns)
        keep(self.off, success & self.acknowledged[row] & far)
        return known

    def told(self) -> Told:
        pairs = (Pairs.joined(parts) for parts in (self.other, self.unanswered, self.off))
        return Told(self.sent, self.seen, self.settled, *pairs)


def pass_on(
    evidence: Evidence, ledgers: list[Sent], *, monotonic_ns: int, pace: float, busy_ns: int, clock_ns: int
) -> Passed | None:
    """Read the log once; None without one. `monotonic_ns` and `pace`: the plan's clock, and how it went on until the seal."""
    against = [_Against(sent, busy_ns, clock_ns) for sent in ledgers]
    strange: list[Codes] = [np.zeros(0, np.int64)]

    def take(lines: Lines) -> None:
        at_ns = np.rint((lines.at_ns - monotonic_ns) * pace).astype(np.int64) + monotonic_ns
        end_ns = at_ns + np.maximum(lines.took_ms, 0) * 1_000_000
        nobodys = np.isin(lines.status, SUCCESS)
        for one in against:
            nobodys &= ~one.take(lines, end_ns)
        if nobodys.any():
            strange.append(lines.codes[nobodys])

    counted = read_lines(evidence, evidence.keys, take)
    if counted is None:
        return None
    return Passed(counted, [one.told() for one in against], np.concatenate(strange))
