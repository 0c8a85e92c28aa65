"""Where the time went between a fault and the return of service: detect, decide, promote, reroute, warm up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from judging.records import Damage, LeaderKey, Primary, Records, Step

if TYPE_CHECKING:
    import pandas as pd

SEGMENTS = ("detect", "decide", "promote", "reroute", "warm_up")


@dataclass(frozen=True)
class Seen:
    """A moment, and which record says so."""

    t_ns: int
    source: str


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
    for _, step in records.of("step", Step):  # in order, so the last step of a role ends its segment
        if step.role in SEGMENTS and step.ok and before_ns < step.after_ns <= until_ns:
            found[step.role] = Seen(step.after_ns, f"step '{step.name}' (events.jsonl)")
    for event, damage in records.of("damage", Damage) if records.version > 1 else ():  # before, a step told it, too
        if before_ns < event.t_ns <= until_ns:
            found["detect"] = Seen(event.t_ns, f"damage found on {damage.node} (events.jsonl)")
    return found


def _keys(records: Records, old: str | None, before_ns: int, until_ns: int) -> dict[str, Seen]:
    """From the store in which the lost primary held the leader key: when it was gone, when another held it."""
    keys = [(event.t_ns, data) for event, data in records.of("leader_key", LeaderKey)]
    holders = {data.store: data.leader for t_ns, data in keys if t_ns <= before_ns}
    store = next((store for store, leader in holders.items() if leader is not None and leader == old), None)
    found: dict[str, Seen] = {}
    for t_ns, data in keys:
        if data.store != store or not before_ns < t_ns <= until_ns or data.leader == old:
            continue
        found.setdefault("detect", Seen(t_ns, f"leader key of {old} gone from {store} (events.jsonl)"))
        if data.leader is not None:
            found.setdefault("decide", Seen(t_ns, f"{data.leader} holds the leader key of {store} (events.jsonl)"))
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
    last_ns = before_ns
    for name in names:
        seen = found.get(name)
        if seen is None:
            placed.append(Seen(last_ns, "not seen"))
        elif not last_ns <= seen.t_ns <= end_ns:
            placed.append(Seen(last_ns, f"out of order: {seen.source}"))
        else:
            placed.append(seen)
            last_ns = seen.t_ns
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
