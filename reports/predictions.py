"""What the settings let expect, beside what was measured, ready to print."""

from __future__ import annotations

import importlib
from typing import Any

from judging.evidence import Plan
from judging.measure import Measurement
from judging.sentence import seconds
from reports.words import Words


def predicted_rows(plan: Plan, measurement: Measurement, words: Words) -> list[dict[str, Any]]:
    """One row a bound: the figure, its bounds with each term of their derivation, what was measured."""
    return [
        {
            "figure": one.figure,
            "why": f"{one.fault}: {one.why}" if one.fault and len(measurement.faults) > 1 else one.why,
            "between": _between(one.low, one.high, words),
            "terms": [
                words("predicted.term", name=term.name, between=_between(term.low_s, term.high_s, words), why=term.why)
                for term in one.terms
            ],
            "measured": words("figures.not_told") if one.measured is None else seconds(one.measured),
            "within": one.within,
        }
        for one in _predictions(plan, measurement)
    ]


def _predictions(plan: Plan, measurement: Measurement) -> list[Any]:
    try:
        found: list[Any] = importlib.import_module("judging.predicted").predictions(plan, measurement)
    except ModuleNotFoundError:
        return []
    return found


def _between(low: float, high: float | None, words: Words) -> str:
    if high is None:
        return words("predicted.at_least", low=seconds(low))
    if low == high:
        return words("predicted.zero") if high == 0 else seconds(high)
    return words("predicted.between", low=seconds(low).removesuffix(" s"), high=seconds(high))
