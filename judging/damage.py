"""Tables that a fault damaged: from when until when nobody could trust them, and what customers had of the bank meanwhile.

Of evidence version 2. The damage ends with the restore that a `restored` event tells, and with nothing else: a heal undoes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from judging.records import Injected, Intent, Records, Restored, both_ledgers

Times = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
NEVER_NS = 1 << 62


@dataclass(frozen=True)
class Damage:
    """One fault's. It lasts from `from_ns` on, to `to_ns` excluded; None: nothing was restored."""

    fault: str
    tables: tuple[str, ...]
    from_ns: int
    to_ns: int | None

    @property
    def until_ns(self) -> int:
        return NEVER_NS if self.to_ns is None else self.to_ns


def damages(records: Records) -> list[Damage]:
    """In the order of injection; none in version 1."""
    if records.version == 1:
        return []
    intents = {data.id: data for _, data in records.of("intent", Intent)}
    restores = [data for _, data in records.of("restored", Restored)]
    found = []
    for _, one in sorted(records.of("injected", Injected), key=lambda told: told[1].before_ns):
        if one.id in intents and (tables := intents[one.id].effect.damaged):
            ends = [data.after_ns for data in restores if data.before_ns > one.before_ns]
            found.append(Damage(one.id, tuple(tables), one.before_ns, ends[0] if ends else None))
    return found


def answered_in(found: Iterable[Damage], done_ns: Times) -> Flags:
    """Which answers were given while tables were damaged: an acknowledgement among them is worth nothing."""
    inside = np.zeros(len(done_ns), np.bool_)
    for one in found:
        inside |= (done_ns >= one.from_ns) & (done_ns < one.until_ns)
    return inside


def overlaps(one: Damage, sent_ns: Times, done_ns: Times) -> Flags:
    """Which questions may have been answered out of damaged tables."""
    return np.asarray((done_ns >= one.from_ns) & (sent_ns < one.until_ns), dtype=np.bool_)


def acknowledged_in(records: Records, one: Damage) -> int:
    """How many payments were acknowledged while these tables were damaged."""
    ledgers = [ledger for _, ledger in both_ledgers(records) if ledger is not None]
    return sum(
        int(((ledger["outcome"] == "acknowledged") & answered_in([one], ledger["done_ns"].to_numpy(dtype=np.int64))).sum())
        for ledger in ledgers
    )


def lost_too_early(found: Sequence[Damage], first_fault: str | None, lost_done_ns: Sequence[int]) -> int:
    """Lost payments that had been acknowledged before the first fault came, where that damaged tables and a restore undid it.

    A restore to the moment before would have kept them.
    """
    if not found or found[0].fault != first_fault or found[0].to_ns is None:
        return 0
    return sum(done_ns < found[0].from_ns for done_ns in lost_done_ns)
