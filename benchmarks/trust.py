"""Whether a first run can be trusted: `python -m benchmarks.trust [--runs 20] [--drill center-loss]`.

Runs a drill again and again as a user would, every second time beside a neighbour (benchmarks/neighbour.py), and prints each
verdict with the reasons of all that are not PASS. No bank here misses its targets by itself: a FAIL is a false one.

`--throttled` asks the opposite: each run's bank has a slow disk of its own (benchmarks/throttle.py), on a machine that is in
order. Then everything but a FAIL for its RTO is a false one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks.neighbour import KINDS, beside
from benchmarks.throttle import SlowDisk
from harness.drill import load_drill
from harness.runner import Options, run_drill
from judging.errors import DrillbookError

DRILLBOOK = str(Path(sys.executable).with_name("drillbook"))


def once(drill: str, neighbour: tuple[str, ...], runs: Path) -> dict[str, object]:
    """One run; its verdict.json. Raises SystemExit where the drill could not start."""
    with beside(*neighbour):
        done = subprocess.run([DRILLBOOK, "run", drill], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1, 2):
        raise SystemExit(f"'drillbook run {drill}' ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    verdict: dict[str, object] = json.loads((runs / drill / "latest" / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def once_throttled(drill: str, runs: Path) -> tuple[dict[str, object], str]:
    """One run of a bank whose disk is slow from the fault on: its verdict.json, and what the brake did."""
    slow = SlowDisk()
    try:
        result = run_drill(load_drill(drill), Options(runs=runs, interactive=False, sabotage=slow))
    except DrillbookError as error:
        raise SystemExit(f"{drill} could not start: {error}") from error
    if result.exit_code not in (0, 1, 2):
        raise SystemExit(f"{drill} ended with {result.exit_code}")
    told = slow.error or f"{slow.writes} writes in {slow.held_s:.0f} s"
    verdict: dict[str, object] = json.loads((result.directory / "verdict.json").read_text(encoding="utf-8"))
    return verdict, told


def tell(number: int, what: str, verdict: dict[str, object]) -> None:
    measured, reasons = verdict["measured"], verdict["reasons"]
    assert isinstance(measured, dict)
    assert isinstance(reasons, list)
    interval = (measured.get("intervals") or {}).get("rto_s") or {}
    span = f" [{interval.get('low')}, {interval.get('high')}]" if interval else ""
    print(f"{number + 1:>3}  {what} {verdict['verdict']:<8} RTO {measured['rto_s']} s{span}", flush=True)
    for reason in reasons if verdict["verdict"] != "PASS" else []:
        print(f"       - {reason}", flush=True)


def throttled(drill: str, runs: int) -> int:
    """So many runs of a slow bank; 1 when one of them is no FAIL for its RTO."""
    failed = 0
    for number in range(runs):
        verdict, held = once_throttled(drill, Path("runs"))
        tell(number, f"throttled ({held})", verdict)
        failed += verdict["verdict"] == "FAIL" and "RTO" in str(verdict["reasons"])
    print(f"throttled: {failed} of {runs} FAIL for their RTO")
    return 0 if failed == runs else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--drill", default="center-loss")
    parser.add_argument(
        "--neighbours", default=",disk,,cpu,,disk+cpu", help="in turn, by commas; empty: none (default: %(default)s)"
    )
    parser.add_argument("--throttled", action="store_true", help="a bank whose own disk is slow, with no neighbour")
    options = parser.parse_args()
    if options.throttled:
        sys.exit(throttled(options.drill, options.runs))
    turns = [tuple(kind for kind in turn.split("+") if kind) for turn in options.neighbours.split(",")]
    if unknown := {kind for turn in turns for kind in turn} - set(KINDS):
        parser.error(f"--neighbours: expected of {', '.join(KINDS)}; seen {', '.join(sorted(unknown))}")
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(options.runs):
        turn = turns[number % len(turns)]
        beside_whom = "+".join(turn) or "nobody"
        verdict = once(options.drill, turn, Path("runs"))
        tell(number, f"beside {beside_whom:<10}", verdict)
        seen[beside_whom, str(verdict["verdict"])] += 1
    for (beside_whom, word), count in sorted(seen.items()):
        print(f"beside {beside_whom:<10} {word:<8} {count}")
    if any(word == "FAIL" for _, word in seen):
        sys.exit(1)


if __name__ == "__main__":
    main()
