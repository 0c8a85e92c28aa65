"""Several runs of a drill beside each other: all of them, not the best."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

FIGURES = ("rto_s", "interruption_s", "rpo_s", "lost_transactions", "unprotected_s", "availability", "first_payment_s")


def distribution(directories: list[Path]) -> str:
    """A table of every run, and minimum, median and maximum of each figure by drill. `—`: could not be measured."""
    rows = []
    for directory in directories:
        path = directory / "verdict.json"
        if path.is_file():
            rows.append(json.loads(path.read_text(encoding="utf-8")))
    lines = [f"{'drill':<20} {'run':<22} {'verdict':<8}" + "".join(f" {name:>18}" for name in FIGURES)]
    for row in rows:
        run = row["run_id"].removeprefix(row["drill"] + "-")
        lines.append(f"{row['drill']:<20} {run:<22} {row['verdict']:<8}" + cells([row["measured"][name] for name in FIGURES]))
    for drill in dict.fromkeys(row["drill"] for row in rows):
        mine = [row for row in rows if row["drill"] == drill]
        passed = sum(row["verdict"] == "PASS" for row in mine)
        for label, pick in (("min", min), ("median", statistics.median), ("max", max)):
            values = [[r["measured"][name] for r in mine if r["measured"][name] is not None] for name in FIGURES]
            title = f"{passed} of {len(mine)} PASS" if label == "min" else ""
            lines.append(f"{drill:<20} {title:<22} {label:<8}" + cells([pick(v) if v else None for v in values]))
    return "\n".join(lines)


def cells(values: list[float | None]) -> str:
    return "".join(f" {'—' if value is None else f'{value:.3f}'.rstrip('0').rstrip('.'):>18}" for value in values)
