"""What edges authorised by themselves, against the ledgers, the faults and what stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from judging.books import exempt
from judging.columns import Codes, arrow
from judging.crosschecks.case import CLOCK_NS, SECOND_NS, Case, first_few
from judging.records import EdgeStore, Effect, topology_centers

FULL = 2  # SQLite's word for: a commit has reached the disk when it returns
TROUBLE_NS = 30 * SECOND_NS  # after a heal began, a center that just came back may leave payments unanswered
SHAKEN_NS = 5 * SECOND_NS  # a stall that kept an edge from its center ended at most so long before it authorised


def edges_told_the_same(case: Case) -> Iterator[str]:
    """A payment is authorised between its sending and its answer, and stands at the center when that has answered to it."""
    early, late = list[str](), list[str]()
    for frame in case.records.edges.values():
        codes, authorised = case.keys.encode(arrow(frame["key"])), _at(case, frame["authorised_at"])
        for one in case.sent:
            row = one.places.of(codes)
            there = np.flatnonzero(row >= 0)
            sent, done = one.times("sent_ns")[row[there]], one.times("done_ns")[row[there]]
            told = one.where("acknowledged")[row[there]]
            off = (authorised[there] < sent - CLOCK_NS) | (told & (authorised[there] > done + CLOCK_NS))
            early += frame["key"].iloc[there[off]].tolist()
        if case.stands is None:
            continue
        settled = np.flatnonzero(frame["status"].isin((200, 201)).to_numpy(dtype=np.bool_))
        place = case.stands.places.of(codes[settled])
        forwarded = _at(case, frame["forwarded_at"].iloc[settled])
        known = place >= 0
        later = case.stands.committed_ns[place[known]] > forwarded[known] + CLOCK_NS
        late += frame["key"].iloc[settled[known][later]].tolist()
    if early:
        yield f"{len(early)} payments were authorised at an edge before they were sent or after their answer: {first_few(early)}."
    if late:
        yield f"{len(late)} payments were committed on {case.authority} after the center had answered an edge: {first_few(late)}."


def edges_authorise_while_cut_off(case: Case) -> Iterator[str]:
    """An edge authorises by itself only while a fault that may, or a stall of the host, keeps it from its center."""
    place = topology_centers(case.plan)
    for node, frame in case.records.edges.items():
        at = _at(case, frame["authorised_at"])
        alone = case.excused_ns(at - SHAKEN_NS, at) == 0
        for fault in case.faults:
            if hits_others_alone(fault.effect, node, place):
                continue
            until = (1 << 62) if fault.heal_ns is None else fault.heal_ns + TROUBLE_NS
            alone &= (at < fault.before_ns - CLOCK_NS) | (at > until)
        keys = [key for key in frame["key"][alone].tolist() if not exempt(case.records, key)]
        if keys:
            yield f"{node} authorised {len(keys)} payments while nothing kept it from its center, the first {keys[0]}."


def hits_others_alone(effect: Effect, edge: str, place: Mapping[str, tuple[str, str]]) -> bool:
    """Whether a fault hits something, and nothing but other edges and the ways to them."""
    others = {name for name, (_, kind) in place.items() if kind == "edge" and name != edge}
    if effect.damaged or edge not in place:
        return False
    home, theirs = place[edge][0], {place[name][0] for name in others}
    found = [name in others for name in (*effect.down, *effect.destroyed)]
    for path in (*effect.cut, *effect.impaired):
        ends = {place[end][0] if end in place else end for end in path.split("->")}
        found.append(bool(ends & theirs) and home not in ends)
    return bool(found) and all(found)


def edges_sync_what_they_acknowledge(case: Case) -> Iterator[str]:
    """An edge's store has each commit on its disk before it answers: a kill alone would not show the difference."""
    for _, data in case.records.of("edge_store", EdgeStore):
        if data.synchronous < FULL:
            yield f"{data.node} ran with synchronous={data.synchronous}, and a power loss would take what it acknowledged."


def _at(case: Case, texts: pd.Series) -> Codes:
    """Wall times of an edge on the run's clock."""
    walls = pd.to_datetime(texts, utc=True, format="ISO8601").astype("datetime64[ns, UTC]").astype("int64")
    return case.at_all_ns(np.array(walls.tolist(), np.int64))
