"""Narrow lines: what the plan names, held against what their kernels counted."""

from __future__ import annotations

from collections.abc import Iterator

from judging.crosschecks.case import SECOND_NS, Case
from judging.records import Lines

OVER_PERCENT = 105  # clocks of a kernel's bucket and of who asks it
AT_ONCE_BYTES = 6400  # what passes after a silence: a bucketful, and a packet


def lines_are_as_narrow_as_named(case: Case) -> Iterator[str]:
    """No line carried more than the plan says that it can; and no line is counted that the plan does not name so."""
    links = case.plan.topology.get("links", []) if case.plan is not None else []
    named = {(link["source"], link["target"]): link.get("bandwidth_kbps") for link in links}
    for event, data in case.records.of("lines", Lines):
        for line in data.lines:
            path, kbps = f"{line.source}->{line.target}", named.get((line.source, line.target))
            if kbps != line.bandwidth_kbps or line.to_ns <= line.from_ns:
                yield (
                    f"events.jsonl seq {event.seq} counts {path} as a line of {line.bandwidth_kbps} kbit/s; plan.json names"
                    f" {kbps or 'none'}."
                )
            elif (line.bytes - AT_ONCE_BYTES) * 8 * 100 * SECOND_NS > OVER_PERCENT * kbps * 1000 * (line.to_ns - line.from_ns):
                yield (
                    f"events.jsonl seq {event.seq}: {path} carried {line.bytes} bytes in"
                    f" {(line.to_ns - line.from_ns) / SECOND_NS:.2f} s; plan.json names {kbps} kbit/s."
                )
