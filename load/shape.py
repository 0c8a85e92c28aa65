"""The load's shape: by how much the customers' rate is multiplied, and when."""

from __future__ import annotations

from collections.abc import Sequence

Shape = Sequence[tuple[float, float]]


def factor(shape: Shape, at_s: float) -> float:
    """By how much the rate is multiplied so long after the customers began: straight lines between the shape's points, and
    its ends before and after them; 1 without a shape."""
    if not shape:
        return 1.0
    before = None
    for point in shape:
        if point[0] > at_s:
            if before is None:
                return point[1]
            return before[1] + (point[1] - before[1]) * (at_s - before[0]) / (point[0] - before[0])
        before = point
    return shape[-1][1]


def shape_of(text: str) -> Shape:
    """`0:1,20:1,25:4`: seconds and factor of each point."""
    return tuple((float(at), float(times)) for at, _, times in (point.partition(":") for point in text.split(",") if point))
