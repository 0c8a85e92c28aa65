"""Whether a first run can be trusted: `python -m benchmarks.trust [--runs 20] [--drill center-loss]`.

Runs a drill again and again as a user would, every second time beside a neighbour (benchmarks/neighbour.py), and prints each
verdict with the reasons of all that are not PASS. No bank here misses its targets by itself: a FAIL is a false one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.neighbour import KINDS, beside

DRILLBOOK = str(Path(sys.executable).with_name("drillbook"))


def once(drill: str, neighbour: tuple[str, ...], runs: Path) -> dict[str, object]:
    """One run; its verdict.json. Raises SystemExit where the drill could not start."""
    with beside(*neighbour):
        done = subprocess.run([DRILLBOOK, "run", drill], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"'drillbook run {drill}' ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    verdict: dict[str, object] = json.loads((runs / drill / "latest" / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--drill", default="center-loss")
    parser.add_argument(
        "--neighbours", default=",disk,,cpu,,disk+cpu", help="in turn, by commas; empty: none (default: %(default)s)"
    )
    options = parser.parse_args()
    turns = [tuple(kind for kind in turn.split("+") if kind) for turn in options.neighbours.split(",")]
    if unknown := {kind for turn in turns for kind in turn} - set(KINDS):
        parser.error(f"--neighbours: expected of {', '.join(KINDS)}; seen {', '.join(sorted(unknown))}")
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(options.runs):
        turn = turns[number % len(turns)]
        beside_whom = "+".join(turn) or "nobody"
        verdict = once(options.drill, turn, Path("runs"))
        measured = verdict["measured"]
        assert isinstance(measured, dict)
        interval = (measured.get("intervals") or {}).get("rto_s") or {}
        span = f" [{interval.get('low')}, {interval.get('high')}]" if interval else ""
        print(f"{number + 1:>3}  beside {beside_whom:<10} {verdict['verdict']:<8} RTO {measured['rto_s']} s{span}", flush=True)
        if verdict["verdict"] != "PASS":
            reasons = verdict["reasons"]
            assert isinstance(reasons, list)
            for reason in reasons:
                print(f"       - {reason}", flush=True)
        seen[beside_whom, str(verdict["verdict"])] += 1
    for (beside_whom, word), count in sorted(seen.items()):
        print(f"beside {beside_whom:<10} {word:<8} {count}")
    if any(word == "FAIL" for _, word in seen):
        sys.exit(1)


if __name__ == "__main__":
    main()
