"""Where the time went between a fault and the return of service: detect, decide, promote, reroute, warm up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from judging.logs import BALANCER, DATABASE, PATRONI, ServerLogs
from judging.records import Damage, LeaderKey, Primary, Records, Step, topology_centers

if TYPE_CHECKING:
    import pandas as pd

SEGMENTS = ("detect", "decide", "promote", "reroute", "warm_up")
TOLD_TWICE_NS = 5_000_000_000  # a switchover writes twice that it took the key; nobody takes it again so soon
SOURCES_SINCE = 2  # version 1 has one source a border, and no uncertainty


@dataclass(frozen=True)
class Seen:
    """A moment, and which record says so. It lies between `from_ns` and `t_ns`; `from_ns` None: nothing bounds it from below.

    `notes`: in words, where another record contradicts this one. `by_people`: a step of the runbook, which the harness timed.
    """

    t_ns: int
    source: str
    from_ns: int | None = None
    notes: tuple[str, ...] = ()
    by_people: bool = False

    @property
    def width_ns(self) -> float:
        return float("inf") if self.from_ns is None else self.t_ns - self.from_ns


@dataclass(frozen=True)
class Takeover:
    """Who was the primary before a fault and at the end of its window, as the databases said."""

    old: str | None
    new: str | None


def takeover(records: Records, before_ns: int, window_end_ns: int) -> Takeover:
    named = [(event.t_ns, data.node) for event, data in records.of("primary", Primary)]
    before = [node for t_ns, node in named if t_ns <= before_ns and node is not None]
    during = [node for t_ns, node in named if before_ns < t_ns <= window_end_ns]
    old = before[-1] if before else None
    if not during:
        return Takeover(old, old)
    return Takeover(old, next((node for node in reversed(during) if node is not None), None))


def moments(records: Records, who: Takeover, before_ns: int, until_ns: int) -> dict[str, Seen]:
    """The end of detect, decide, promote and reroute, as far as a record between the two times says it.

    A runbook step with that role goes before what the databases and their store showed.
    """
    found = _keys(records, who.old, before_ns, until_ns)
    promoted = first_writing(records.samples, who.new, before_ns) if who.new != who.old else None
    if promoted is not None and promoted <= until_ns:
        found["promote"] = Seen(promoted, f"{who.new} first sampled as a primary (samples.csv)")
    if _all_sources(records):
        found = _from_all_sources(records, who, found, before_ns, until_ns)
    for _, step in records.of("step", Step):  # in order, so the last step of a role ends its segment
        if step.role in SEGMENTS and step.ok and before_ns < step.after_ns <= until_ns:
            exact = step.after_ns if _all_sources(records) else None  # the harness timed it itself
            found[step.role] = Seen(step.after_ns, f"step '{step.name}' (events.jsonl)", exact, by_people=True)
    for event, damage in records.of("damage", Damage) if records.version > 1 else ():  # before, a step told it, too
        if before_ns < event.t_ns <= until_ns:
            found["detect"] = Seen(event.t_ns, f"damage found on {damage.node} (events.jsonl)", event.t_ns)
    return found


def _all_sources(records: Records) -> bool:
    """Whether borders have uncertainties and more than one source: not in version 1, which is judged as it was."""
    return records.plan is not None and records.version >= SOURCES_SINCE


# Version 2: each border from all who saw it, with its uncertainty


def _from_all_sources(records: Records, who: Takeover, found: dict[str, Seen], before_ns: int, until_ns: int) -> dict[str, Seen]:
    """The borders with the servers' logs beside the store and the samples: the narrowest counts, the others may contradict."""
    assert records.plan is not None
    logs = ServerLogs(records.evidence, records.plan)
    seen: dict[str, list[Seen]] = {name: [one] for name, one in found.items()}
    if who.new is not None and who.new != who.old:
        if "promote" in found:
            seen["promote"] = [_bounded_by_samples(found["promote"], records.samples, who.new, before_ns)]
        for name, one in (("decide", _acquired(logs, who.new)), ("promote", _promoted(logs, who.new))):
            seen.setdefault(name, []).extend(one_seen for one_seen in one if before_ns < one_seen.t_ns <= until_ns)
        if rerouted := _rerouted(records, logs, who.new, before_ns, until_ns):
            seen["reroute"] = [rerouted]
    return {name: narrowest(ones, slack_ns=logs.drift_ns) for name, ones in seen.items() if ones}


def narrowest(seen: Sequence[Seen], *, slack_ns: int = 0) -> Seen:
    """The source that tells the moment best; those that lie apart from it by more than both uncertainties are noted."""
    best = min(seen, key=lambda one: (one.width_ns, one.t_ns))
    notes = tuple(_apart(best, other) for other in seen if other is not best and not _overlap(best, other, slack_ns))
    return replace(best, notes=(*best.notes, *notes))


def _overlap(one: Seen, other: Seen, slack_ns: int) -> bool:
    ends_before_other = other.from_ns is not None and one.t_ns + slack_ns < other.from_ns
    ends_before_one = one.from_ns is not None and other.t_ns + slack_ns < one.from_ns
    return not ends_before_other and not ends_before_one


def _apart(one: Seen, other: Seen) -> str:
    distance_ns = other.t_ns - one.t_ns
    when = "later" if distance_ns > 0 else "earlier"
    return f"{other.source} is {abs(distance_ns) / 1e9:.3f} s {when}, more than both can be off"


def _bounded_by_samples(first: Seen, samples: pd.DataFrame | None, node: str, before_ns: int) -> Seen:
    """Not a primary yet when it was last sampled as a standby before."""
    if samples is None:
        return first
    earlier = samples[(samples["node"] == node) & (samples["t_ns"] < first.t_ns) & (samples["t_ns"] >= before_ns)]
    standby = earlier[(earlier["ok"] == 1) & earlier["in_recovery"].eq(1).fillna(False)]
    return replace(first, from_ns=before_ns if standby.empty else int(standby["asked_ns"].max()))


def _acquired(logs: ServerLogs, node: str) -> list[Seen]:
    """The new primary's manager took the leader key: after its line before, and before the first one that says so."""
    found: list[Seen] = []
    before_ns, told_ns = None, None
    for line in logs.lines(node, PATRONI):
        says = "after acquiring leader lock" in line.text or "by acquiring session lock" in line.text
        if says and (told_ns is None or line.t_ns - told_ns > TOLD_TWICE_NS):
            told_ns = line.t_ns
            found.append(
                Seen(line.t_ns, f"{node} says that it acquired the leader key (logs/{node}.log)", before_ns or line.from_ns)
            )
        before_ns = line.from_ns
    return found


def _promoted(logs: ServerLogs, node: str) -> list[Seen]:
    """The new primary's own log: it writes from the end of its recovery on, and says so when it is ready."""
    found, recovered_ns = [], None
    for line in logs.lines(node, DATABASE):
        if "selected new timeline ID" in line.text or "archive recovery complete" in line.text:
            recovered_ns = line.from_ns
        elif "database system is ready to accept connections" in line.text and recovered_ns is not None:
            found.append(Seen(line.t_ns, f"{node} says that it is ready as a primary (logs/{node}.log)", recovered_ns))
            recovered_ns = None
    return found


def _rerouted(records: Records, logs: ServerLogs, node: str, before_ns: int, until_ns: int) -> Seen | None:
    """When the first center's balancer, and the door's to that center, let payments through to the new primary."""
    door = _turns(logs, "door")
    ways: list[Seen] = []
    balancers = [(center, name) for name, (center, kind) in topology_centers(records.plan).items() if kind == "haproxy"]
    for center, balancer in sorted(balancers):
        up = _next_up(_turns(logs, balancer).get(("primary", node), []), before_ns)
        if up is None:
            continue
        turns = door.get(("bank", center), [])
        before = [turn for turn in turns if turn.t_ns <= up.t_ns]
        if before and not before[-1].up:  # the door still kept payments away from that center
            late = _next_up(turns, up.t_ns)
            if late is None:
                continue
            up = max(up, late, key=lambda turn: turn.t_ns)
        ways.append(Seen(up.t_ns, f"{up.what} is up, says its balancer (logs/{up.log}.log)", up.from_ns))
    first = min(ways, key=lambda way: way.t_ns, default=None)
    return first if first is not None and first.t_ns <= until_ns else None


@dataclass(frozen=True)
class _Turn:
    """A balancer changed its mind about a server."""

    log: str
    what: str
    up: bool
    from_ns: int
    t_ns: int


def _turns(logs: ServerLogs, log: str) -> dict[tuple[str, str], list[_Turn]]:
    """By (backend, server), in order."""
    found: dict[tuple[str, str], list[_Turn]] = {}
    for line in logs.lines(log, BALANCER):
        if match := BALANCER.search(line.text.encode()):
            backend, server, state = (part.decode(errors="replace") for part in match.groups())
            turn = _Turn(log, f"{backend}/{server}", state == "UP", line.from_ns, line.t_ns)
            found.setdefault((backend, server), []).append(turn)
    return found


def _next_up(turns: Sequence[_Turn], after_ns: int) -> _Turn | None:
    return next((turn for turn in turns if turn.up and turn.t_ns > after_ns), None)


def with_first_success(found: dict[str, Seen], first_success_ns: int | None) -> None:
    """Reroute ends with the first success where no other record says so; a record that lies behind it is contradicted by it.

    Not what people did: they may let customers in elsewhere while some still get through where they are.
    """
    if first_success_ns is None:
        return
    success = Seen(first_success_ns, "first success (probe.csv)")
    said = found.setdefault("reroute", success)
    if said.from_ns is not None and first_success_ns < said.from_ns and not said.by_people:
        distance_s = (said.from_ns - first_success_ns) / 1e9
        note = f"{said.source}: that is {distance_s:.3f} s after the first success, more than it can be off"
        found["reroute"] = replace(success, notes=(note,))


def _keys(records: Records, old: str | None, before_ns: int, until_ns: int) -> dict[str, Seen]:
    """From the store in which the lost primary held the leader key: when it was gone, when another held it."""
    keys = [(event.t_ns, data) for event, data in records.of("leader_key", LeaderKey)]
    holders = {data.store: data.leader for t_ns, data in keys if t_ns <= before_ns}
    store = next((store for store, leader in holders.items() if leader is not None and leader == old), None)
    found: dict[str, Seen] = {}
    for t_ns, data in keys:
        if data.store != store or not before_ns < t_ns <= until_ns or data.leader == old:
            continue
        bounded = _all_sources(records) and data.seen_before_ns is not None
        from_ns = max(before_ns, data.seen_before_ns or 0) if bounded else None
        found.setdefault("detect", Seen(t_ns, f"leader key of {old} gone from {store} (events.jsonl)", from_ns))
        if data.leader is not None:
            found.setdefault("decide", Seen(t_ns, f"{data.leader} holds the leader key of {store} (events.jsonl)", from_ns))
    return found


def first_writing(samples: pd.DataFrame | None, node: str | None, after_ns: int) -> int | None:
    """When `node` was first sampled as a primary after that time."""
    if samples is None or node is None:
        return None
    writing = _writing(samples, node)
    times = samples["t_ns"][writing & (samples["t_ns"] >= after_ns)]
    return None if times.empty else int(times.min())


def borders(found: dict[str, Seen], *, before_ns: int, end_ns: int, names: Sequence[str] = SEGMENTS) -> list[Seen]:
    """One border a segment, never going back nor past the end: one not seen, or outside, lies on the one before it."""
    placed: list[Seen] = []
    last_ns, last_from_ns = before_ns, before_ns
    for name in names:
        seen = found.get(name)
        if seen is None:
            placed.append(Seen(last_ns, "not seen"))
        elif seen.from_ns is not None and last_from_ns <= seen.t_ns < last_ns <= end_ns:
            placed.append(replace(seen, t_ns=last_ns))  # in order, as far as the two can be told apart
        elif seen.from_ns is not None and before_ns <= seen.t_ns < last_ns <= end_ns:
            placed.append(Seen(last_ns, f"earlier than the border before: {seen.source}", last_from_ns, seen.notes))
        elif not last_ns <= seen.t_ns <= end_ns:
            placed.append(Seen(last_ns, f"out of order: {seen.source}"))
        else:
            placed.append(seen)
            last_ns, last_from_ns = seen.t_ns, seen.t_ns if seen.from_ns is None else seen.from_ns
    return placed


def wal_bytes_lost(
    samples: pd.DataFrame | None, who: Takeover, *, before_ns: int, window_end_ns: int, end_lsn: int | None
) -> int | None:
    """Bytes of log that the lost primary had written and its successor had not received.

    None where it cannot be told: `end_lsn`, the end of the log on the lost primary's disk, is not known (samples alone
    would miss what it wrote after the last of them), or samples don't say what the successor had received.
    """
    if who.old is None or who.new is None or samples is None:
        return None
    if who.old == who.new:
        return 0
    if end_lsn is None:
        return None
    old = samples[_writing(samples, who.old) & (samples["t_ns"] <= window_end_ns) & samples["flush_lsn"].notna()]
    reign = old[old["t_ns"] <= before_ns].sort_values("t_ns")
    promoted = first_writing(samples, who.new, before_ns)
    if reign.empty or promoted is None:
        return None
    # The old primary may come back on the new timeline within the window; what it writes there was not lost.
    old = old[old["timeline"].eq(reign["timeline"].iloc[-1]).fillna(False)]
    received = samples[
        (samples["node"] == who.new)
        & samples["in_recovery"].eq(1).fillna(False)
        & samples["flush_lsn"].notna()
        & (samples["t_ns"] < promoted)
    ]
    if old.empty or received.empty:
        return None
    last_received = int(received.sort_values("t_ns")["flush_lsn"].iloc[-1])
    return max(0, int(old["flush_lsn"].max()) - last_received, end_lsn - last_received)


def _writing(samples: pd.DataFrame, node: str) -> pd.Series[bool]:
    return (samples["node"] == node) & (samples["ok"] == 1) & samples["in_recovery"].eq(0).fillna(False)
