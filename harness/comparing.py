"""The same drill under several settings, in turns and with the same seeds, so that what changes meanwhile hits them alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.cycles import run_cycles
from harness.drill import Drill
from harness.runner import INTERRUPTED_EXIT, Options
from judging.errors import BadInput, CouldNotStart


def variants(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, str], str, list[str]]:
    """From `--set`: settings that are common, and the one that has several values, separated by commas. Raises BadInput."""
    several = [(name, value.split(",")) for name, value in pairs if "," in value]
    if len(several) != 1:
        raise BadInput(f"--set: expected one setting with several values, such as synchronous=strict,quorum; seen {len(several)}")
    name, values = several[0]
    if len(set(values)) < len(values) or "" in values:
        raise BadInput(f"--set {name}: expected values that differ; seen {', '.join(values)}")
    return {n: v for n, v in pairs if n != name}, name, values


def turns(values: Sequence[str], faults: int, per_start: int) -> list[tuple[str, int, int]]:
    """(value, number of its first fault, how many): blocks in rounds; each round begins with the next value."""
    order = []
    for number, first in enumerate(range(0, faults, per_start)):
        shift = number % len(values)
        order += [(v, first, min(per_start, faults - first)) for v in (*values[shift:], *values[:shift])]
    return order


def run_compared(
    drill: Drill, options: Options, name: str, values: Sequence[str], *, faults: int, per_start: int, tell: Callable[[str], None]
) -> tuple[dict[str, list[Path]], int]:
    """Run directories by value, and the highest exit code of could-not-start or interrupt (0: neither)."""
    for value in values:
        try:
            drill.topology(**{**options.settings, name: value})
        except ValueError as error:
            raise BadInput(str(error)) from error
    seed = random.SystemRandom().randrange(2**31 - faults) if options.seed is None else options.seed
    found: dict[str, list[Path]] = {value: [] for value in values}
    for value, first, count in turns(values, faults, per_start):
        tell(f"{name}={value}: faults {first + 1} to {first + count} of {faults}")
        here = replace(options, seed=seed + first, settings={**options.settings, name: value})
        results = run_cycles(drill, here, count, tell=tell)
        found[value] += [result.directory for result in results]
        if results[-1].exit_code in (CouldNotStart.exit_code, INTERRUPTED_EXIT):
            return found, results[-1].exit_code
    return found, 0
