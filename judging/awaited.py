"""Conditions that a drill awaited and that were not reached in time: the bank's doing, or perhaps the host's (version 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from judging.evidence import Event
from judging.host import Host, Stall, words
from judging.outage import SECOND_NS
from judging.records import Until

# Of its patience, what a bank must have had for itself. Every host has small stalls, and nobody may hide behind them.
UNDISTURBED_SHARE = (9, 10)
LONG_STALL_NS = SECOND_NS  # costs more than it lasts: a lease runs out, an election begins
AFTERMATH_NS = 10 * SECOND_NS  # for so long: that for which service has to be in order to count as back


@dataclass
class Missed:
    """Sentences about the conditions that were not reached."""

    breaches: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)


def missed(until: Sequence[tuple[Event, Until]], host: Host | None) -> Missed:
    """What became of each that was not reached. Version 1 knows nothing of its host (None): there it is a breach."""
    found = Missed()
    for event, data in (one for one in until if not one[1].reached):
        text = f"Awaited {data.condition} within {data.within_s:g} s; it was not reached, seen: {data.seen}"
        from_ns = event.t_ns - _nanoseconds(data.within_s if data.waited_s is None else data.waited_s)
        stall = None if host is None else _decisive(host, from_ns, event.t_ns, within_ns=_nanoseconds(data.within_s))
        if stall is None:
            found.breaches.append(f"{text}.")
        else:
            found.undecided.append(f"{text}; {words(stall, from_ns)} of the wait; run again on a quieter machine.")
    return found


def _decisive(host: Host, from_ns: int, to_ns: int, *, within_ns: int) -> Stall | None:
    """The stall that may have decided a wait. None: the bank had its time, and no long stall lay shortly before the end of it."""
    last = host.longest(max(from_ns, to_ns - AFTERMATH_NS), to_ns)
    if last is not None and last.to_ns - last.from_ns >= LONG_STALL_NS:
        return last
    undisturbed_ns = max(to_ns - from_ns, within_ns) - int(host.excuses.inside(from_ns, to_ns))
    part, whole = UNDISTURBED_SHARE
    return host.longest(from_ns - SECOND_NS, to_ns) if undisturbed_ns * whole < within_ns * part else None


def _nanoseconds(told_s: float) -> int:
    """Of seconds that a record tells; what makes no sense there counts as none, and is another rule's doubt."""
    return round(min(max(0.0, told_s), 1e9) * SECOND_NS)
