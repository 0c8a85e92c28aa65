"""RTO by the old rule and the new one over the same histories: `python -m benchmarks.continuity [--figure FILE.svg]`.

In each of 200 histories the bank is gone for 22.6 s. Seven seconds later all answers pause once more: not at all in the first
history, 10 ms longer in each one after it. Prints each rule's largest jump from one history to the next. By the rule of
evidence version 1 ten milliseconds can decide about seconds; by version 2's they change the figure a little.
Exit 1 when the new rule jumps by more than half a second.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from judging import outage_v1
from judging.outage import SECOND_NS, Service

HISTORIES = 200
STEP_NS = 10_000_000
INTERVAL_NS = 10_000_000
FAULT_NS, BACK_NS, PAUSE_NS, END_NS = (round(t * 1e9) for t in (10.0, 32.6, 39.6, 80.0))
JUMP_S_MAX = 0.5


def history(pause_ns: int) -> tuple[outage_v1.Service, Service]:
    """The same payments for both rules: turned away from the fault to its end; later answered only when the pause is over."""
    due = np.arange(0, END_NS, INTERVAL_NS, dtype=np.int64)
    done = due + 4_000_000
    paused = (done > PAUSE_NS) & (due < PAUSE_NS + pause_ns)
    done[paused] = np.maximum(done[paused], PAUSE_NS + pause_ns + 4_000_000)
    acknowledged = (due < FAULT_NS) | (due >= BACK_NS)
    old = outage_v1.Service(due, done, acknowledged, interval_ns=INTERVAL_NS)
    new = Service(due, done, acknowledged, interval_ns=INTERVAL_NS)
    for service in (old, new):
        service.take_baseline(2 * SECOND_NS, 8 * SECOND_NS)
    return old, new


def rto_s(service: outage_v1.Service) -> float:
    outage = service.outage(before_ns=FAULT_NS, after_ns=FAULT_NS, window_end_ns=END_NS)
    lengths = [episode.length_ns for episode in outage.episodes] or [(outage.return_ns or END_NS) - FAULT_NS]
    return max(float("inf") if length is None else length for length in lengths) / SECOND_NS


def draw(pauses_s: Sequence[float], old: Sequence[float], new: Sequence[float], path: Path) -> None:
    """Both curves as an SVG of its own, 720 by 400: RTO against the length of the pause."""
    left, bottom, wide, high = 60, 350, 620, 300
    low, top = int(min(*old, *new)), int(max(*old, *new)) + 1

    def place(pause_s: float, rto: float) -> str:
        return f"{left + wide * pause_s / max(pauses_s):.1f},{bottom - high * (rto - low) / (top - low):.1f}"

    def curve(figures: Sequence[float], color: str) -> str:
        points = " ".join(place(*pair) for pair in zip(pauses_s, figures, strict=True))
        return f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'

    rows = [(t, bottom - high * (t - low) / (top - low) + 4) for t in range(low, top + 1)]
    columns = [(t, left + wide * t / max(pauses_s)) for t in (0.0, 0.5, 1.0, 1.5) if t <= max(pauses_s)]
    ticks = [f'<text x="50" y="{y:.0f}" text-anchor="end">{t}</text>' for t, y in rows]
    ticks += [f'<text x="{x:.0f}" y="370" text-anchor="middle">{t:g}</text>' for t, x in columns]
    names = [
        '<text x="370" y="392" text-anchor="middle">pause, 7 s after the return of service (s)</text>',
        '<text x="60" y="24">RTO (s) of the same 200 histories</text>',
        '<text x="420" y="24" fill="#888">version 1</text><text x="520" y="24" fill="#1f5fa8">version 2</text>',
        f'<path d="M{left} {bottom - high}V{bottom}H{left + wide}" fill="none" stroke="#444"/>',
    ]
    lines = [*names, *ticks, curve(old, "#888"), curve(new, "#1f5fa8")]
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 400" font-family="sans-serif" font-size="13">'
    path.write_text("\n".join([head, *lines, "</svg>"]) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="draw both curves there")
    options = parser.parse_args(argv)
    pauses_ns = [n * STEP_NS for n in range(HISTORIES)]
    figures = [tuple(rto_s(service) for service in history(pause_ns)) for pause_ns in pauses_ns]
    old, new = ([pair[n] for pair in figures] for n in (0, 1))
    print("pause   version 1   version 2")
    for n in range(0, HISTORIES, 10):
        print(f"{pauses_ns[n] / 1e9:4.1f} s  {old[n]:7.3f} s   {new[n]:7.3f} s")
    jumps = {}
    for name, curve in (("version 1", old), ("version 2", new)):
        steps = np.abs(np.diff(curve))
        at = int(steps.argmax())
        jumps[name] = float(steps[at])
        print(f"{name}: largest jump {jumps[name]:.3f} s, from a pause of {pauses_ns[at] / 1e9:.2f} s to one of 10 ms more")
    if options.figure:
        draw([pause / 1e9 for pause in pauses_ns], old, new, options.figure)
    return 0 if jumps["version 2"] <= JUMP_S_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
