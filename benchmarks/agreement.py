"""Whether the judge and the second verifier agree, over many generated histories.

    python -m benchmarks.agreement --histories 10000 [--first SEED] [--processes N]

Prints how many agree, how many verdicts are what the making of the history allows, and each difference with its seed.
Both run in one process for each history; `python -m benchmarks.histories SEED DIR` writes one again, to look at it.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.histories import history
from harness.handover import recompute
from judging.judge import verdict_json
from verifying import verifier


@dataclass(frozen=True)
class Compared:
    """One history under both eyes."""

    seed: int
    kind: str
    ours: str
    theirs: str
    allowed: bool  # both verdicts are among those that the making of the history allows
    differences: tuple[str, ...]


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from flat(inner, f"{name}[{number}]")
    else:
        yield name, value


PROGRESS = 500  # histories; a long run tells how far it is
MEMORY = Path("/dev/shm")  # files there wait for no disk
SILENT = ("reasons", "injected_at")  # words, and a label


def differences(judged: dict[str, Any], verified: dict[str, Any]) -> list[str]:
    """Every verdict and figure that differs, to the millisecond; the wording of reasons is each one's own."""
    found = []
    pairs = [({"verdict": judged["verdict"]}, {"verdict": verified["verdict"]}), (judged["measured"], verified["figures"])]
    pairs += [({"faults": judged["faults"]}, {"faults": verified["faults"]})]
    for one, other in pairs:
        left, right = dict(flat(one)), dict(flat(other))
        for name in sorted(left.keys() | right.keys()):
            if any(word in name for word in SILENT):
                continue
            a, b = left.get(name), right.get(name)
            if a != b and not (isinstance(a, int | float) and isinstance(b, int | float) and abs(a - b) < 1e-9):
                found.append(f"{name}: {a} | {b}")
    return found


def compare(directory: Path) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """Judge and verify one run directory. Raises what either raises where there is no run."""
    _, verdict, _ = recompute(directory)
    judged = json.loads(verdict_json(verdict))
    verified = verifier.verify(directory)
    return judged, verified, differences(judged, verified)


def settle() -> None:
    """Of a worker: what was imported is garbage no more, and rows of a history hold no circles to look for."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


def compare_seed(seed: int) -> Compared:
    directory = Path(tempfile.mkdtemp(prefix="history-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        truth = history(seed, directory)
        judged, verified, found = compare(directory)
        verdicts = {judged["verdict"], verified["verdict"]}
        notes = tuple(found) if not found else (*found, f"judge: {judged['reasons'][:2]}", f"verifier: {verified['doubts'][:3]}")
        return Compared(seed, truth.kind, judged["verdict"], verified["verdict"], verdicts <= truth.allowed, notes)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def run(histories: int, first: int, processes: int) -> int:
    began, kinds, verdicts, wrong, different = time.monotonic(), Counter[str](), Counter[str](), 0, 0
    with multiprocessing.get_context("spawn").Pool(processes, settle) as pool:
        for one in pool.imap_unordered(compare_seed, range(first, first + histories), chunksize=8):
            kinds[one.kind.split(" ")[0].rstrip(":")] += 1
            verdicts[one.theirs] += 1
            wrong += not one.allowed
            different += bool(one.differences)
            if not (done := sum(verdicts.values())) % PROGRESS:
                print(f"{done} of {histories}: {different} differ, {wrong} cannot be; {dict(verdicts)}", flush=True)
            if one.differences or not one.allowed:
                print(
                    f"{one.seed} ({one.kind}): {one.ours} | {one.theirs}{'' if one.allowed else ', which cannot be'}", flush=True
                )
                for text in one.differences[:8]:
                    print(f"    {text}", flush=True)
    print(
        f"{histories} histories in {time.monotonic() - began:.0f} s: {histories - different} agree, {different} differ;", end=" "
    )
    print(f"{wrong} verdicts cannot be. Kinds {dict(kinds)}, verdicts {dict(verdicts)}.")
    return 1 if different or wrong else 0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--histories", type=int, default=1000)
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    told = arguments.parse_args()
    return run(told.histories, told.first, told.processes)


if __name__ == "__main__":
    raise SystemExit(main())
