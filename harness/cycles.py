"""Several runs on one topology, of one drill or of several: each a complete run, with its own plan, proof, books and seal."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any

from harness.drill import Drill
from harness.ground import STANDING, Ground
from harness.runner import INTERRUPTED_EXIT, Options, Result, run_drill
from judging.errors import CouldNotStart
from runtime import engine


class Warm:
    """Runs one after the other, each on the topology of the one before as long as it asks for the same."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.ground: Ground | None = None
        self.stands: dict[str, Any] | None = None  # the topology that does
        self.group, self.number = "", 0

    def run(self, drill: Drill, following: Drill | None, *, seed: int | None = None, of: int | None = None) -> Result:
        """One drill; what stands stays if `following` asks for the same. `of`: how many runs, where that is known."""
        wanted = what_stands(drill, self.options)
        goes_on = following is not None and wanted is not None and what_stands(following, self.options) == wanted
        if self.ground is None or wanted is None or wanted != self.stands:
            self.close()
            if not goes_on and of is None:
                return run_drill(drill, replace(self.options, seed=seed))
            self.ground, self.stands = Ground(shared=True), wanted
            self.group = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
            self.number = 0
        ground = self.ground
        self.number += 1
        ground.last = not goes_on
        cycle = {"number": self.number, **({} if of is None else {"of": of}), "group": self.group}
        try:
            return run_drill(drill, replace(self.options, seed=seed, cycle=cycle), ground)
        finally:
            if ground.last:
                self.close()

    def close(self) -> None:
        """Take down what still stands. What is kept on purpose has been let go of."""
        ground, self.ground = self.ground, None
        if ground is not None:
            abandon(ground)


def what_stands(drill: Drill, options: Options) -> dict[str, Any] | None:
    """A drill's topology with these settings; None where they don't fit: the run itself tells why."""
    try:
        return drill.topology(**options.settings).to_json()
    except ValueError:
        return None


def run_cycles(drill: Drill, options: Options, count: int, *, tell: Callable[[str], None]) -> list[Result]:
    """`count` runs of a drill on one topology; returns the result of each, in order. With a seed, cycle n gets seed + n − 1.

    A cycle that ends in FAIL or INVALID doesn't end the rest. An interrupt does, and a topology that could not be started at
    first, or twice in a row later.
    """
    return run_warm([drill] * count, options, tell=tell, word="cycle")


def run_warm(drills: Sequence[Drill], options: Options, *, tell: Callable[[str], None], word: str = "run") -> list[Result]:
    """The drills one after the other, on one topology as long as they ask for the same; returns the results, in order.

    With a seed, the nth run of a drill gets seed + n − 1. It ends early as `run_cycles` does.
    """
    warm, results, before = Warm(options), list[Result](), Counter[str]()
    try:
        for number, (drill, following) in enumerate(zip_longest(drills, drills[1:]), 1):
            tell(f"{drill.name}: {word} {number} of {len(drills)}")
            seed = None if options.seed is None else options.seed + before[drill.name]
            before[drill.name] += 1
            results.append(warm.run(drill, following, seed=seed, of=len(drills)))
            if ends([result.exit_code for result in results]):
                break
    finally:
        warm.close()
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
