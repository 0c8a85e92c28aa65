"""A host witness for a made-up run: witness.csv and witness.json beside it, sealed anew."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from judging.evidence import csv_text, write_atomically
from tests.synthetic import ns, reseal

COLUMNS = ("from_ns", "to_ns", "kind", "core", "late_ns", "data")
CORES = 2


@dataclass(frozen=True)
class Stalled:
    """`kind`: sync (the disk), wake (the cores), cpu (others take the processors). Seconds from the start of the run."""

    kind: str
    at_s: float
    for_s: float


def write_witness(
    directory: Path,
    stalls: Sequence[Stalled] = (),
    *,
    from_s: float = 1.0,
    to_s: float = 84.0,
    hole: tuple[float, float] = (0, 0),
) -> None:
    """`hole`: from, to, where the witness wrote nothing."""
    dice = random.Random(11)
    rows = [row for row in _rows(dice, stalls, from_s, to_s) if not hole[0] <= row[0] < hole[1]]
    lines = sorted((ns(a), ns(b), kind, core, late, json.dumps(data)) for a, b, kind, core, late, data in rows)
    write_atomically(directory / "witness.csv", csv_text(COLUMNS, lines))
    count = {
        "started_ns": ns(from_s),
        "stopped_ns": ns(to_s),
        "rows": len(lines),
        "completed": True,
        "cores": CORES,
        "degraded": [],
    }
    write_atomically(directory / "witness.json", json.dumps({**count, "degraded": []}, indent=2) + "\n")
    reseal(directory)


Told = tuple[float, float, str, object, object, dict[str, int]]


def _rows(dice: random.Random, stalls: Sequence[Stalled], from_s: float, to_s: float) -> list[Told]:
    rows: list[Told] = []
    for tick in range(round((to_s - from_s) * 10)):
        at = from_s + tick / 10
        for core in range(CORES):
            late = next((s.for_s for s in stalls if s.kind == "wake" and at <= s.at_s < at + 0.1), 0.0)
            late = late or dice.uniform(0.00005, 0.0009)
            rows.append((at, max(at + 0.1, at + late), "wake", core, round(late * 1e9), {"at_ns": ns(at + 0.03)}))
        stalled = next((s for s in stalls if s.kind == "sync" and at <= s.at_s < at + 0.1), None)
        if not any(s.kind == "sync" and s.at_s < at < s.at_s + s.for_s for s in stalls):
            took = stalled.for_s if stalled else dice.uniform(0.0008, 0.006)
            rows.append((at, at + took, "sync", "", round(took * 1e9), {}))
        if tick % 5 == 0:
            rows += _span(dice, at, any(s.kind == "cpu" and s.at_s - 0.5 < at < s.at_s + s.for_s for s in stalls),
                          any(s.kind == "sync" and s.at_s - 0.5 < at < s.at_s + s.for_s for s in stalls))  # fmt: skip
    return rows


def _span(dice: random.Random, at: float, taken: bool, disk: bool) -> list[Told]:
    whole = 500_000_000 * CORES
    ours = round(whole * dice.uniform(0.2, 0.35))
    others = round(whole * (0.64 if taken else dice.uniform(0.01, 0.05)))
    busy = min(whole, ours + others + (whole // 50 if taken else 0))
    cpu = {"busy_ns": busy, "idle_ns": max(0, whole - busy) if not taken else whole // 50, "steal_ns": 0, "ours_ns": ours,
           "dirty_kb": 2048, "writeback_kb": 0}  # fmt: skip
    core_share = 0.8 if taken else dice.uniform(0.02, 0.1)
    disk_share = 0.95 if disk else dice.uniform(0.01, 0.06)
    waits = {"cpu_some_us": round(500_000 * core_share), "io_some_us": round(500_000 * disk_share), "io_full_us": 0}
    return [(at, at + 0.5, "pressure", "", "", waits), (at, at + 0.5, "cpu", "", "", cpu)]
