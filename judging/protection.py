"""Whether a primary had to wait for a copy in another center before it confirmed a payment, and how long it had not to.

`synchronous_standby_names` as in the PostgreSQL manual, "Replication": `[FIRST] n (list)`, `ANY n (list)` or a plain list,
which means `FIRST 1`. Names match without regard to case; `*` matches every standby.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
SILENCE_NS = 2_000_000_000  # samples further apart leave something untold between them
SPEAKS_FOR_NS = SILENCE_NS // 2  # then the sample on either side speaks for this long

_COUNTED = re.compile(r"^(?:(?:ANY|FIRST)\s+)?(\d+)\s*\((.*)\)$", re.IGNORECASE | re.DOTALL)
_NAME = re.compile(r'"((?:[^"]|"")*)"|([^\s,"]+)')


@dataclass(frozen=True)
class Protection:
    unprotected_ns: int
    unprotected_acknowledged: int
    unknown_ns: int


def demanded(sync_names: str) -> tuple[int, list[str]]:
    """How many standbys must confirm, and of which: `ANY 1 ("a","b")` gives (1, ["a", "b"]), `` gives (0, [])."""
    text = sync_names.strip()
    counted = _COUNTED.match(text)
    number, names = (int(counted[1]), counted[2]) if counted else (1, text)
    listed = [(m[1].replace('""', '"') if m[1] is not None else m[2]).lower() for m in _NAME.finditer(names)]
    return (number, list(dict.fromkeys(listed))) if listed else (0, [])


def guarantees_copy_elsewhere(sync_names: str, primary: str, center_of: Mapping[str, str]) -> bool:
    """Whether every confirmed payment stands in another center too. `center_of` names the center of each database.

    More standbys must confirm than stand in the primary's own center, or they could all be neighbours. The primary is
    not its own standby. A name that is no database of the topology could be anywhere, so it counts as a neighbour.
    """
    number, listed = demanded(sync_names)
    databases = {node.lower(): center for node, center in center_of.items() if node != primary}
    named = set(listed) - {"*", primary.lower()} | (set(databases) if "*" in listed else set())
    home = center_of.get(primary)
    neighbours = sum(1 for name in named if databases.get(name, home) == home)
    return number > neighbours


def integrate(
    at_ns: Times, guaranteed: npt.NDArray[np.bool_], acknowledged_ns: Times, *, whole_spans: bool = False
) -> Protection:
    """Sum up the time between samples of a primary, at the sorted times `at_ns`, in which payments were acknowledged.

    `acknowledged_ns` is sorted. With no sample at all, all of it is unknown. Of a span that no sample tells of, the second
    up to each acknowledgement in it is unknown: one late answer says nothing about the outage that it waited for.
    `whole_spans`: one makes the whole span unknown, as in version 1.
    """
    if not len(acknowledged_ns):
        return Protection(0, 0, 0)
    first, last = int(acknowledged_ns[0]) - 1, int(acknowledged_ns[-1])
    if not len(at_ns):
        return Protection(0, 0, last - first - 1 if whole_spans else _near_payments([(first + 1, last)], acknowledged_ns))
    unprotected: list[tuple[int, int]] = []
    unknown: list[tuple[int, int]] = []
    if first < at_ns[0]:
        border = max(first, int(at_ns[0]) - SPEAKS_FOR_NS)
        unknown.append((first, border))
        unprotected += [(border, int(at_ns[0]))] * (not guaranteed[0])
    if last > at_ns[-1]:
        border = min(last, int(at_ns[-1]) + SPEAKS_FOR_NS)
        unknown.append((border, last))
        unprotected += [(int(at_ns[-1]), border)] * (not guaranteed[-1])
    near = np.diff(at_ns) <= SILENCE_NS
    lacking = near & ~(guaranteed[:-1] & guaranteed[1:])
    unprotected += list(zip(at_ns[:-1][lacking].tolist(), at_ns[1:][lacking].tolist(), strict=True))
    for n in np.flatnonzero(~near).tolist():
        left, right = int(at_ns[n]) + SPEAKS_FOR_NS, int(at_ns[n + 1]) - SPEAKS_FOR_NS
        unknown.append((left, right))
        unprotected += [(left - SPEAKS_FOR_NS, left)] * (not guaranteed[n])
        unprotected += [(right, right + SPEAKS_FOR_NS)] * (not guaranteed[n + 1])
    unprotected_ns, count = _with_payments(unprotected, acknowledged_ns)
    unknown_ns = _with_payments(unknown, acknowledged_ns)[0] if whole_spans else _near_payments(unknown, acknowledged_ns)
    return Protection(unprotected_ns, count, unknown_ns)


def _with_payments(spans: list[tuple[int, int]], acknowledged_ns: Times) -> tuple[int, int]:
    """The length of the spans (after start, up to end) that hold an acknowledgement, and how many they hold."""
    if not spans:
        return 0, 0
    start, end = np.array(spans, dtype=np.int64).T
    count = np.searchsorted(acknowledged_ns, end, side="right") - np.searchsorted(acknowledged_ns, start, side="right")
    return int((end - start)[count > 0].sum()), int(count.sum())


def _near_payments(spans: list[tuple[int, int]], acknowledged_ns: Times) -> int:
    """How much of the spans (after start, up to end) lies within the second up to an acknowledgement that they hold, ns."""
    total = 0
    for start, end in spans:
        inside = acknowledged_ns[
            np.searchsorted(acknowledged_ns, start, "right") : np.searchsorted(acknowledged_ns, end, "right")
        ]
        since = np.concatenate(([start], inside[:-1])) if len(inside) else inside
        total += int(np.minimum(inside - since, SPEAKS_FOR_NS).sum())
    return total


# Who is the primary, where several say so


def newest_timeline(timeline: Times) -> npt.NDArray[np.bool_]:
    """Of samples of nodes that say they are the primary, in order of time: those on the newest timeline seen so far.

    A node that was frozen and woke up says so for a moment, on the timeline that it had; its successor's is a newer one.
    """
    return np.asarray(timeline >= np.maximum.accumulate(timeline)) if len(timeline) else np.zeros(0, dtype=bool)
