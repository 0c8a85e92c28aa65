"""What each side's customers saw, where two centers have customers of their own: the probe's payments, as the door deals them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from judging.evidence import Model
from judging.intervals import longest, up
from judging.outage import Service

if TYPE_CHECKING:
    from judging.injections import Injection
    from judging.records import Records


class SideMeasurement(Model):
    """One fault as one side's customers saw it. Seconds; `availability`: the share of their payments due from the fault to the

    end of its window that were in order. None: service did not return while it was watched, or no payment was due.
    """

    center: str
    rto_s: float | None
    interruption_s: float | None
    availability: float | None


def sides(records: Records, service: Service) -> dict[str, Service]:
    """By center: its customers' payments. Even numbers are the first side's, odd ones the second's. Empty without sides."""
    door = records.plan.topology.get("door") if records.plan is not None else None
    probe = records.probe
    if not isinstance(door, dict) or not door.get("sides") or probe is None:
        return {}
    centers = door.get("centers")
    if not isinstance(centers, list) or len(centers) != 2:
        records.doubt(f"The plan's door has two sides, of two open centers; seen {centers!r}.")
        return {}
    odd = records.evidence.probe_keys % 2
    found = {}
    for number, center in enumerate(centers):
        mine = odd == number
        if not mine.any():
            records.doubt(f"The probe recorded no payment of {center}'s customers.")
            continue
        rows = probe[mine]
        found[str(center)] = Service(
            rows["due_ns"].to_numpy(dtype=np.int64),
            rows["done_ns"].to_numpy(dtype=np.int64),
            (rows["outcome"] == "acknowledged").to_numpy(dtype=bool),
            interval_ns=2 * service.interval_ns,
            level_ns=service.level_ns,
        )
        found[str(center)].end_ns = service.end_ns
    return found


def measure_side(center: str, service: Service, one: Injection) -> SideMeasurement:
    """Measured by the rule of the whole, on one side's payments alone."""
    outage = service.outage(before_ns=one.before_ns, after_ns=one.after_ns, window_end_ns=one.window_end_ns)
    length_ns = longest(outage).length_ns
    due = (service.due >= one.before_ns) & (service.due < one.window_end_ns)
    in_order = int((due & ~service.out_of_order).sum())
    pause_ns = service.felt_in(one.before_ns, one.felt_until_ns).longest_ns
    return SideMeasurement(
        center=center,
        rto_s=None if length_ns is None else up(length_ns),
        interruption_s=up(pause_ns),
        availability=in_order * 1_000_000 // int(due.sum()) / 1e6 if due.any() else None,
    )
