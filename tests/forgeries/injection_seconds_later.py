"""The fault is said to have come four seconds later.

Payments failed before it.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "shifted injection"
caught_by = "order_before_the_first_fault"
base = SLOW


def shift(run: Forger, by_ns: int) -> None:
    """The fault, its proof and what was seen beside it, later."""
    for event in run.kind("intent", "injected", "proof"):
        run.move(event, int(event["t_ns"]) + by_ns)
    for event in run.kind("injected"):
        for name in ("before_ns", "after_ns"):
            event["data"][name] += by_ns


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        shift(run, 4 * SECOND_NS)
