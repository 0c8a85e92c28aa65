"""Who was the primary at a moment, when more than one database may say that it is.

A frozen primary answers for itself again when it thaws, and an answer may lie for long on its way: a row of samples.csv
that says `in_recovery` = 0 is a claim, not yet the truth of its moment.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import pandas as pd

SPEAKS_FOR_NS = 1_000_000_000  # an answer older than this, or under way for longer, says nothing of the moment


def claims(samples: pd.DataFrame) -> pd.DataFrame:
    """The timely answers in which a node called itself the primary, by `t_ns`.

    One that was asked long before it was answered tells neither of the one moment nor of the other.
    """
    if not len(samples):
        return samples
    timely = samples["t_ns"] - samples["asked_ns"] <= SPEAKS_FOR_NS
    return samples[(samples["ok"] == 1) & (samples["in_recovery"] == 0).fillna(False) & timely].sort_values("t_ns")


def reigning(samples: pd.DataFrame) -> list[Any]:
    """The rows of `claims` that speak for the primary of their moment: that of the newest timeline among the answers of
    the last second. On the same timeline it is the one that held it first.
    """
    kept: list[Any] = []
    recent: deque[Any] = deque()
    first: dict[int, str] = {}
    for row in claims(samples).itertuples():
        recent.append(row)
        while row.t_ns - recent[0].t_ns > SPEAKS_FOR_NS:
            recent.popleft()
        mine = _timeline(row)
        rivals = {other.node for other in recent if _timeline(other) == mine}
        if first.get(mine) not in rivals:
            first[mine] = str(row.node)
        if mine == max(_timeline(other) for other in recent) and row.node == first[mine]:
            kept.append(row)
    return kept


def answering(samples: pd.DataFrame, t_ns: int) -> set[str]:
    """The nodes that called themselves the primary in the second before `t_ns`."""
    said = claims(samples)
    if not len(said):
        return set()
    return set(said["node"][(said["t_ns"] <= t_ns) & (said["t_ns"] > t_ns - SPEAKS_FOR_NS)])


def _timeline(row: Any) -> int:
    return -1 if pd.isna(row.timeline) else int(row.timeline)
