"""Which node was the primary, where more than one said so, and what it means when two did at once (evidence version 2).

A node that was frozen or cut off goes on saying that it is the primary until it learns better, for part of a second. That
alone is no split brain: the newest timeline is the primary's. Payments that were sent when the new primary was there
already, acknowledged, and are absent from it prove one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd

from judging.protection import SILENCE_NS, Times, newest_timeline
from judging.records import Records, both_ledgers


def writing(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples of nodes that said they were the primary, in order of time; one that names no timeline is on 0."""
    chosen = samples[(samples["ok"] == 1) & samples["in_recovery"].eq(0).fillna(False)]
    return chosen.assign(timeline=chosen["timeline"].fillna(0).astype("int64")).sort_values(["t_ns", "node"])


def of_the_primary(samples: pd.DataFrame) -> pd.DataFrame:
    """As `writing`, without those of a node whose successor was sampled already."""
    rows = writing(samples)
    return rows[newest_timeline(rows["timeline"].to_numpy(dtype=np.int64))]


def two_at_once(records: Records, lost_keys: list[str]) -> list[str]:
    """Breaches: payments that two primaries at once cost. Two on one timeline, which nobody can tell apart, are a doubt."""
    if records.samples is None:
        return []
    rows = writing(records.samples)
    for one, other, timeline in _on_one_timeline(rows):
        records.doubt(f"{one} and {other} both said they were the primary on timeline {timeline}: nobody can tell which one was.")
    ledgers = [ledger for _, ledger in both_ledgers(records) if ledger is not None]
    if not lost_keys or not ledgers:
        return []
    both = pd.concat([ledger[["key", "sent_ns"]] for ledger in ledgers])
    sent = both["sent_ns"][both["key"].isin(lost_keys)].to_numpy(dtype=np.int64)
    return list(_cost(rows, sent))


def _on_one_timeline(rows: pd.DataFrame) -> Iterator[tuple[str, str, int]]:
    """Pairs of nodes that said so on the same timeline, the one's first time before the other's last and the other way."""
    said: dict[int, dict[str, tuple[int, int]]] = {}
    for t_ns, node, timeline in zip(rows["t_ns"].tolist(), rows["node"].tolist(), rows["timeline"].tolist(), strict=True):
        nodes = said.setdefault(timeline, {})
        nodes[node] = (nodes.get(node, (t_ns, t_ns))[0], t_ns)
    for timeline, nodes in sorted(said.items()):
        for (one, (one_from, one_to)), (other, (other_from, other_to)) in combinations(sorted(nodes.items()), 2):
            if timeline and one_from <= other_to and other_from <= one_to:
                yield one, other, timeline


def _cost(rows: pd.DataFrame, lost_sent_ns: Times) -> Iterator[str]:
    stale = rows[~newest_timeline(rows["timeline"].to_numpy(dtype=np.int64))]
    said = dict(zip(zip(stale["node"], stale["timeline"].tolist(), strict=True), stale["t_ns"].tolist(), strict=True))
    for (node, timeline), last_ns in said.items():
        newer = rows[(rows["timeline"] > timeline) & (rows["node"] != node)]
        if newer.empty:
            continue
        between = (lost_sent_ns >= newer["t_ns"].iloc[0]) & (lost_sent_ns <= last_ns + SILENCE_NS)
        if between.any():
            yield (
                f"Split brain: {node} (timeline {timeline}) and {newer['node'].iloc[0]} (timeline {newer['timeline'].iloc[0]})"
                f" both said they were the primary, and {int(between.sum())} payments that were sent then were acknowledged"
                " and are lost (expected 0)."
            )
