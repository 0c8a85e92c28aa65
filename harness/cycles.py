"""The same drill again and again on one topology: each cycle a complete run, with its own plan, proof, books and seal."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from harness.drill import Drill
from harness.ground import STANDING, Ground
from harness.runner import INTERRUPTED_EXIT, Options, Result, run_drill
from judging.errors import CouldNotStart
from runtime import engine


def run_cycles(drill: Drill, options: Options, count: int, *, tell: Callable[[str], None]) -> list[Result]:
    """`count` runs of a drill on one topology; returns the result of each, in order. With a seed, cycle n gets seed + n − 1.

    A cycle that ends in FAIL or INVALID doesn't end the rest. An interrupt does, and a topology that could not be started at
    first, or twice in a row later.
    """
    ground, results = Ground(shared=True), list[Result]()
    group = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
    try:
        for number in range(1, count + 1):
            tell(f"{drill.name}: cycle {number} of {count}")
            ground.last = number == count
            seed = None if options.seed is None else options.seed + number - 1
            cycle = {"number": number, "of": count, "group": group}
            results.append(run_drill(drill, replace(options, seed=seed, cycle=cycle), ground))
            if ends([result.exit_code for result in results]):
                break
    finally:
        abandon(ground)
    return results


def ends(codes: list[int]) -> bool:
    """Whether the cycles so far leave nothing to go on with."""
    refused = CouldNotStart.exit_code
    return codes[-1] == INTERRUPTED_EXIT or codes == [refused] or codes[-2:] == [refused, refused]


def abandon(ground: Ground) -> None:
    """Take down what an error or an interrupt between two cycles left standing. What is kept on purpose has been let go of."""
    if not ground.stands or ground.prepared is None:
        return
    gone = False
    try:
        gone = not engine.remove_for_good(ground.prepared[0], ground.run_id, looks=1)
        if gone:
            (ground.place / STANDING).unlink(missing_ok=True)
    finally:
        ground.leave(gone=gone)
