"""What edges authorised by themselves, by their own stores, held against what stands at the end; and the figures of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from judging.books import exempt
from judging.columns import arrow
from judging.crosschecks.case import wall_ns
from judging.evidence import Model
from judging.intervals import up
from judging.records import ACKNOWLEDGED_STATUS, DAMAGE, Healed, Records, attempt, both_ledgers

if TYPE_CHECKING:
    import pandas as pd

    from judging.injections import Injection

STOOD = ("debit", "credit", "amount_minor")


class EdgeFigures(Model):
    """What customers had of the edges while the center was away. Seconds by suffix; None: there was no such payment."""

    authorised: int  # payments that an edge authorised by itself
    elsewhere: int  # of these, those that were sent outside the window of any fault: a stall, or a center that was just back
    latency_p50_s: float | None  # of those that were acknowledged, and sent in the window of a fault: until the answer
    latency_p99_s: float | None
    refused: int  # above the edges' limit, in the window of a fault
    refused_p99_s: float | None  # how long they took to be refused
    small_refused: int  # up to the limit, and refused all the same, in the window of a fault
    forwarded_s: float | None  # from the last heal to the last answer of the center to what had been authorised before it


def limit_minor(records: Records) -> int | None:
    """The largest amount that an edge may authorise by itself; None where the plan doesn't say."""
    settings = records.plan.topology.get("settings") if records.plan is not None else None
    found = settings.get("edge_limit_minor") if isinstance(settings, dict) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def breaches(records: Records, authority: str | None) -> Iterator[str]:
    """What an edge promised and the center does not have, and what it should not have promised."""
    limit = limit_minor(records)
    name = f"copies/{authority}.payments.csv.gz"
    stands: dict[str, tuple[Any, ...]] | None = None
    if authority is not None and records.edges and records.evidence.path(name).is_file():
        table = attempt(records.evidence, name, lambda: records.evidence.copy(authority, "payments"), records.doubts)
        stands = None if table is None else _rows(table)
    for node, frame in records.edges.items():
        held = _rows(frame)
        if stands is not None and (gone := [key for key, row in held.items() if stands.get(key) != row]):
            yield (
                f"{len(gone)} payments that {node} had authorised do not stand on {authority} as it authorised them, the first"
                f" {gone[0]} (expected 0)."
            )
        if limit is not None and (above := [key for key, row in held.items() if row[2] > limit]):
            yield f"{node} authorised {len(above)} payments above its limit of {limit}, the first {above[0]} (expected 0)."


def _rows(frame: pd.DataFrame) -> dict[str, tuple[Any, ...]]:
    columns = (frame[name].astype("object").tolist() for name in STOOD)
    return dict(zip(frame["key"].tolist(), zip(*columns, strict=True), strict=True))


def figures(records: Records, injected: Sequence[Injection]) -> EdgeFigures | None:
    """None without edges, or where their record, a ledger or the limit is missing."""
    limit, ledgers = limit_minor(records), [ledger for _, ledger in both_ledgers(records)]
    if not records.edges or limit is None or any(ledger is None for ledger in ledgers):
        return None
    keys = {key for frame in records.edges.values() for key in frame["key"] if not exempt(records, key)}
    book = records.evidence.keys
    places = book.places(book.encode(arrow(_series(keys))))
    answered, refused, small, elsewhere = list[int](), list[int](), 0, 0
    for ledger, codes in zip(ledgers, (records.evidence.probe_keys, records.evidence.ledger_keys), strict=True):
        assert ledger is not None
        took = (ledger["done_ns"] - ledger["sent_ns"]).to_numpy(dtype=np.int64)
        sent, amount = ledger["sent_ns"].to_numpy(dtype=np.int64), ledger["amount_minor"].to_numpy(dtype=np.int64)
        told = (ledger["outcome"] == "acknowledged").to_numpy(dtype=np.bool_)
        struck, here = _within(sent, injected), places.of(codes) >= 0
        answered += took[told & here & struck].tolist()
        elsewhere += int((here & ~struck).sum())
        away = (ledger["outcome"] == "refused").to_numpy(dtype=np.bool_) & struck
        refused += took[away & (amount > limit)].tolist()
        small += int((away & (amount <= limit)).sum())
    return EdgeFigures(
        authorised=len(keys),
        elsewhere=elsewhere,
        latency_p50_s=_quantile(answered, 50),
        latency_p99_s=_quantile(answered, 99),
        refused=len(refused),
        refused_p99_s=_quantile(refused, 99),
        small_refused=small,
        forwarded_s=_forwarded(records),
    )


def _series(keys: set[str]) -> pd.Series:
    import pandas as pd

    return pd.Series(sorted(keys), dtype="str")


def _within(sent: npt.NDArray[np.int64], injected: Sequence[Injection]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(sent), np.bool_)
    for one in injected:
        found |= (sent >= one.before_ns) & (sent < one.window_end_ns)
    return found


def _quantile(took_ns: list[int], percent: int) -> float | None:
    """Number ⌈percent / 100 × (m − 1)⌉ of the m values in order, from 0; in seconds, rounded up to the millisecond."""
    if not took_ns:
        return None
    return up(sorted(took_ns)[math.ceil(percent * (len(took_ns) - 1) / 100)])


def _forwarded(records: Records) -> float | None:
    """None without a heal, or where something that had been authorised before it was never taken by the center."""
    healed = [event.t_ns for event, _ in records.of("healed", Healed)]
    if not healed:
        return None
    last = None
    try:
        for frame in records.edges.values():
            for key, authorised, forwarded, status in zip(
                frame["key"], frame["authorised_at"], frame["forwarded_at"], frame["status"].astype("object"), strict=True
            ):
                if exempt(records, key) or placed_ns(records, authorised) > healed[-1]:
                    continue
                if status not in ACKNOWLEDGED_STATUS:
                    return None
                last = max(last or 0, placed_ns(records, forwarded))
    except DAMAGE:
        return None  # a clock pair that is none is told elsewhere
    return None if last is None else up(max(0, last - healed[-1]))


def placed_ns(records: Records, wall: str) -> int:
    """Where a wall time lies on the monotonic clock, by the plan's clock pair and the pace to the seal's; rounded down."""
    assert records.plan is not None
    first, manifest = records.plan.clock, records.evidence.manifest
    passed, spent = 1, 1
    if manifest is not None:
        passed, spent = manifest.clock.monotonic_ns - first.monotonic_ns, wall_ns(manifest.clock.wall) - wall_ns(first.wall)
    if passed <= 0 or spent <= 0:
        passed, spent = 1, 1
    return first.monotonic_ns + (wall_ns(wall) - wall_ns(first.wall)) * passed // spent
