"""What each database and its log said, against who was said to lead, and the plan against what was really watched."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from judging.crosschecks.case import BUSY_NS, SECOND_NS, Case, first_few
from judging.protection import demanded
from judging.records import Primary

UNWATCHED_NS_MAX = 45 * SECOND_NS  # a frozen database once took 35 s to answer one sample
SLOW = "no answer|time"  # how a sample says that its time was over: a busy machine's database takes payments, and no new guest
BETWEEN_SAMPLES_NS = 2 * BUSY_NS  # samples lie 0.2 s apart; beside a busy neighbour up to a second
# PostgreSQL and Patroni, in the log of a node that becomes the primary
TOOK_OVER = re.compile(r"received promote request|promoted self to leader by acquiring session lock|selected new timeline ID")
SPEAKS_NS = SECOND_NS  # an answer says for so long what its node is
TAKES_S = 30  # from a promotion's first line to a sample that sees it: a busy machine, and recovery of what was received


def topology_was_watched(case: Case) -> Iterator[str]:
    """The nodes of the plan are those that were sampled, read back and whose logs were collected; and no others."""
    samples, databases = case.records.samples, set(case.databases)
    if not databases:
        return
    sampled = set(samples["node"]) if samples is not None else databases
    copies, logs = set(case.records.evidence.copy_nodes()), set(case.log_names)
    beside = {name for name in logs if name == "door" or name.startswith("link-")}
    pairs = [
        (sampled, databases, "samples.csv samples"),
        (copies, databases, "copies/ holds copies of"),
        (logs - beside, set(case.centers), "logs/ holds logs of"),
    ]
    for seen, planned, words in pairs:
        if strange := sorted(seen - planned):
            yield f"{words} {first_few(strange)}, which plan.json does not have."
    if absent := sorted(databases - sampled):
        yield f"plan.json has {first_few(absent)}; samples.csv never sampled it."
    if absent := sorted(set(case.centers) - logs):
        yield f"plan.json has {first_few(absent)}; logs/ holds no log of it."
    for fault in (f for f in case.faults if f.proof is not None):
        assert fault.proof is not None
        asked = {check.subject for check in fault.proof.checks if check.side == "bystander"} - set(case.centers)
        if strange := sorted(name for name in asked if "->" not in name):
            yield f"The proof of fault {fault.id} asked {first_few(strange)}, which plan.json does not have."


def primaries_were_sampled(case: Case) -> Iterator[str]:
    """Who is said to be primary, standby or down was sampled so; and who was sampled writing is said to be primary."""
    samples = case.records.samples
    if samples is None:
        return
    roles = _roles(samples)
    named = case.records.of("primary", Primary)
    for event, data in named:
        told = event.data.get("roles")
        for node, role in (told if isinstance(told, dict) else {}).items():
            if not _sampled(roles, str(node), str(role), event.t_ns, case.excused_ns):
                yield (
                    f"events.jsonl seq {event.seq} has {node} {role} at {case.since_start(event.t_ns)}; no sample of {node}"
                    " within"
                    f" {BETWEEN_SAMPLES_NS / 1e9:g} s of that says so."
                )
                return
        if data.node is not None and not _sampled(roles, data.node, "primary", event.t_ns, case.excused_ns):
            yield (
                f"events.jsonl seq {event.seq} names {data.node} primary at {case.since_start(event.t_ns)}; samples.csv"
                " did not see it write then."
            )
            return
    yield from _unnamed(case, roles, [(event.t_ns, data.node) for event, data in named])


Excused = Callable[[npt.ArrayLike, npt.ArrayLike], npt.NDArray[np.int64]]  # how much of a time the host accounts for, ns


def _roles(samples: pd.DataFrame) -> dict[str, tuple[npt.NDArray[np.int64], list[str]]]:
    """By node: the times of its samples, and its role in each."""
    role = np.where(samples["ok"] != 1, "down", np.where(samples["in_recovery"].eq(0).fillna(False), "primary", "standby"))
    ordered = samples.assign(role=role).sort_values("t_ns")
    return {
        str(node): (theirs["t_ns"].to_numpy(dtype=np.int64), theirs["role"].tolist()) for node, theirs in ordered.groupby("node")
    }


def _sampled(
    roles: dict[str, tuple[npt.NDArray[np.int64], list[str]]], node: str, role: str, t_ns: int, excused_ns: Excused
) -> bool:
    """Whether a sample near that time, or the last one before it, gave that role.

    Who has not answered for a second counts as down, too: on a busy machine an answer may be on its way for that long. So does
    an answer after which the host let nobody run: it was there, and the observer did not know.
    """
    if node not in roles:
        return False
    times, seen = roles[node]
    if role == "down":
        answers = times[np.array(seen) != "down"]
        late = answers[(answers > t_ns - SPEAKS_NS) & (answers <= t_ns)]
        if not (t_ns - late > excused_ns(late, t_ns)).any():
            return True
    first, last = (int(np.searchsorted(times, t_ns + shift)) for shift in (-BETWEEN_SAMPLES_NS, BETWEEN_SAMPLES_NS))
    return role in seen[max(0, first - 1) : last]


def _unnamed(
    case: Case, roles: dict[str, tuple[npt.NDArray[np.int64], list[str]]], named: list[tuple[int, str | None]]
) -> Iterator[str]:
    """A database that was sampled writing for over two samples' patience, and that no event names."""
    for node, (times, seen) in roles.items():
        writing = [int(t) for t, role in zip(times, seen, strict=True) if role == "primary"]
        if len(writing) > 1 and writing[-1] - writing[0] > BETWEEN_SAMPLES_NS and not any(one == node for _, one in named):
            yield f"samples.csv saw {node} write from {case.since_start(writing[0])} on; no primary event names it."


def leaders_wrote_it_down(case: Case) -> Iterator[str]:
    """A primary that was not one before took over by its own log; and a takeover in a log was seen."""
    named: list[tuple[int, str]] = [(e.t_ns, d.node) for e, d in case.records.of("primary", Primary) if d.node is not None]
    changes = [(t_ns, node) for (_, before), (t_ns, node) in pairwise(named) if before != node]
    for t_ns, node in changes:
        if case.log(node) and not any(
            t_ns - TAKES_S * SECOND_NS < at < t_ns + BUSY_NS and TOOK_OVER.search(words) for at, words in case.log(node)
        ):
            yield f"events.jsonl names {node} the new primary at {case.since_start(t_ns)}; logs/{node}.log has no promotion then."
    from_ns = case.baseline.from_ns if case.baseline is not None else 1 << 62
    # One that came back as a copy and is promoted again is named again, after nobody was.
    every = [(e.t_ns, d.node) for e, d in case.records.of("primary", Primary)]
    changes += [(t_ns, node) for (_, before), (t_ns, node) in pairwise(every) if before is None and node is not None]
    for node in case.databases:
        for at, words in case.log(node):
            if at < from_ns or not TOOK_OVER.search(words):
                continue
            if not any(one == node and at - BUSY_NS < t_ns < at + TAKES_S * SECOND_NS for t_ns, one in changes):
                yield f"logs/{node}.log tells a promotion at {case.since_start(at)}; no primary event names {node} after it."
                break


def primary_changes_belong_to_faults(case: Case) -> Iterator[str]:
    """Between the steady state and the first fault, the primary stays. Where the host stalls, it may be silent for a while."""
    if case.baseline is None or not case.faults:
        return
    named = [(e.t_ns, d.node) for e, d in case.records.of("primary", Primary)]
    before = [node for t_ns, node in named if t_ns <= case.baseline.from_ns and node is not None]
    between = [(t_ns, node) for t_ns, node in named if case.baseline.from_ns < t_ns < case.faults[0].before_ns]
    for t_ns, node in between:
        silent = node is None and int(case.excused_ns(t_ns - SPEAKS_NS, t_ns)) > 0
        if before and node != before[-1] and not silent:
            yield f"events.jsonl has {node or 'no'} primary at {case.since_start(t_ns)}, before fault {case.faults[0].id} came."
            return


def no_answer_without_a_primary(case: Case) -> Iterator[str]:
    """Where no database wrote by the samples, nobody was told that a payment was done."""
    for start, end in _without_primary(case):
        # A primary may have come or gone right after a sample, and a busy machine samples late.
        inside = [
            one.key(row)
            for one in case.sent
            for row in np.flatnonzero(
                one.where("acknowledged")
                & (one.times("sent_ns") > start + BUSY_NS)
                & (one.times("done_ns") < end - BUSY_NS)
                & (case.authorised.of(one.codes) < 0)
            ).tolist()
        ]
        if inside:
            yield (
                f"{len(inside)} payments were acknowledged between {case.since_start(start)} and {case.since_start(end)},"
                " the first"
                f" {inside[0]}; samples.csv saw no primary in that time."
            )


def _without_primary(case: Case) -> list[tuple[int, int]]:
    """Spans in which every database was sampled, and none of them wrote."""
    samples = case.records.samples
    if samples is None or not case.databases:
        return []
    spans = [(0, 1 << 62)]
    for node in case.databases:
        spans = _both(spans, _not_writing(samples[samples["node"] == node].sort_values("t_ns")))
    return [(start, end) for start, end in spans if end - start > 2 * BUSY_NS]


def _not_writing(theirs: pd.DataFrame) -> list[tuple[int, int]]:
    """From an answer that it was no primary, or that nobody listened, to the next question that had such an answer."""
    silent = (theirs["ok"] != 1) & ~theirs["error"].str.contains(SLOW, case=False)  # one that is slow may write all the same
    idle = (silent | theirs["in_recovery"].eq(1).fillna(False)).to_numpy()
    answered, asked = theirs["t_ns"].to_numpy(), theirs["asked_ns"].to_numpy()
    near = asked[1:] - answered[:-1] <= BETWEEN_SAMPLES_NS
    spans: list[tuple[int, int]] = []
    for n in np.flatnonzero(idle[:-1] & idle[1:] & near).tolist():
        start, end = int(answered[n]), int(asked[n + 1])
        if spans and n > 0 and spans[-1][1] == int(asked[n]):
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _both(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found = [(max(a, c), min(b, d)) for a, b in one for c, d in other]
    return [(start, end) for start, end in found if start < end]


def samples_go_on(case: Case) -> Iterator[str]:
    """Each database is asked from the baseline to the end of the load, one answer after the other, and its log only grows."""
    samples, count = case.records.samples, case.records.probe_count
    if samples is None or case.baseline is None or count is None:
        return
    if (samples["t_ns"] < samples["asked_ns"]).any():
        yield "samples.csv holds answers from before their questions."
    for node in case.databases:
        theirs = samples[samples["node"] == node].sort_values("t_ns")
        if theirs.empty:
            continue  # told by topology_was_watched
        at = np.concatenate([[case.baseline.from_ns], theirs["t_ns"].to_numpy(), [count.stopped_ns]])
        at = at[(at >= case.baseline.from_ns) & (at <= count.stopped_ns)]
        gap = int(np.diff(at).max())
        if gap > UNWATCHED_NS_MAX:
            yield (
                f"samples.csv: {node}"
                f" was not sampled for {gap / 1e9:.0f} s from {case.since_start(int(at[int(np.diff(at).argmax())]))}"
                " on."
            )
        writing = theirs[theirs["in_recovery"].eq(0).fillna(False) & theirs["flush_lsn"].notna()]
        for timeline, reign in writing.groupby("timeline"):
            if (reign["flush_lsn"].diff().iloc[1:] < 0).any():
                yield f"samples.csv: the log of {node} goes back on timeline {timeline}; a primary's log only grows."


def samples_are_dense(case: Case) -> Iterator[str]:
    """Databases are asked several times a second: the usual gap between two samples of one is far below a second."""
    samples = case.records.samples
    if samples is None or not len(samples):
        return
    for node, theirs in samples.sort_values("asked_ns").groupby("node"):
        gaps = np.diff(theirs["asked_ns"].to_numpy())
        if len(gaps) > 10 and float(np.median(gaps)) > BUSY_NS:
            yield f"samples.csv: {node} was asked every {np.median(gaps) / 1e9:.1f} s; it is asked several times a second."


def synchronous_as_named(case: Case) -> Iterator[str]:
    """In one sample, the copies that a primary waits for are those that its setting names."""
    samples = case.records.samples
    if samples is None:
        return
    writing = samples[samples["in_recovery"].eq(0).fillna(False)].sort_values("t_ns")
    for node, theirs in writing.groupby("node"):
        since: int | None = None  # the setting is read again by each sender: for a moment the two may differ
        for t_ns, names, replication in zip(theirs["t_ns"], theirs["sync_names"], theirs["replication"], strict=True):
            _, listed = demanded(names)
            waited = [s.lower() for s, state in case.streaming(replication).items() if state in ("sync", "quorum")]
            strange = [s for s in waited if s not in listed and "*" not in listed]
            idle = [
                s
                for s, state in case.streaming(replication).items()
                if state == "async" and (s.lower() in listed or "*" in listed)
            ]
            if not strange and not idle:
                since = None
                continue
            since = t_ns if since is None else since
            if t_ns - since > BETWEEN_SAMPLES_NS:
                words = f"waits for {first_few(strange)}" if strange else f"does not wait for {first_few(idle)}"
                yield (
                    f"samples.csv: {node} {words} by its replication from {case.since_start(since)} on; its setting is {names!r}."
                )
                break
