"""Two verifiers on one run: ours, and a file that shares no code with it. Where do they differ? Writes nothing."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import verifying
from judging.errors import CouldNotTell
from judging.judge import verdict_json

SECOND_VERIFIER = Path(verifying.__file__).with_name("verifier.py")
WITHIN_S = 600
TOLERANCE = 1e-6  # figures are rounded to the millisecond by the same rule


@dataclass(frozen=True)
class Difference:
    what: str
    ours: Any
    theirs: Any


@dataclass
class Agreement:
    """`compared`: the figures that both gave. `alone`: those that only one of them has."""

    verdict: str
    second_verdict: str
    compared: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        return {"agree": self.agree, **asdict(self)}


def verify(directory: Path, verifier: Path = SECOND_VERIFIER) -> Agreement:
    """Run both. Raises CouldNotTell where the second one gives no answer, EvidenceError where there is no run."""
    from harness.handover import recompute

    _, verdict, _ = recompute(directory)
    ours = json.loads(verdict_json(verdict))
    theirs = second_opinion(directory, verifier)
    found = Agreement(ours["verdict"], str(theirs.get("verdict")))
    if found.verdict != found.second_verdict:
        found.differences.append(Difference("verdict", found.verdict, found.second_verdict))
    mine, other = figures(ours), figures(theirs)
    for name in sorted(mine.keys() | other.keys()):
        if name not in mine or name not in other:
            found.alone.append(name)
            continue
        found.compared.append(name)
        if not same(mine[name], other[name]):
            found.differences.append(Difference(name, mine[name], other[name]))
    if not found.compared:
        raise CouldNotTell(f"{verifier.name} gave a verdict and no figure that ours has: nothing can be compared")
    stored = directory / "verdict.json"
    if stored.is_file():
        found.differences += stale(json.loads(stored.read_text(encoding="utf-8")), ours)
    return found


def second_opinion(directory: Path, verifier: Path) -> dict[str, Any]:
    """What the file says, run without anything that is installed: with the standard library alone."""
    if not verifier.is_file():
        raise CouldNotTell(f"there is no second verifier at {verifier}")
    command = [sys.executable, "-I", "-S", str(verifier.resolve()), str(directory.resolve())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CouldNotTell(f"{verifier.name} gave no answer within {WITHIN_S} s") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise CouldNotTell(f"{verifier.name} ended with {done.returncode} and printed no JSON: {last}") from error
    if not isinstance(answer, dict) or "verdict" not in answer:
        raise CouldNotTell(f"{verifier.name} printed JSON without a verdict")
    return answer


def figures(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers by name: those of `measured`, of `figures`, or of the whole; what is nested one level down as `name.inner`.

    And those of each fault, as `f1.name`, and of each side of it, as `f1.center.name`.
    """
    found = _numbers(answer.get("measured") or answer.get("figures") or answer)
    for fault in answer.get("faults") or ():
        found |= _numbers(fault, f"{fault['id']}.")
        for side in fault.get("sides") or ():
            found |= _numbers(side, f"{fault['id']}.{side['center']}.")
    return found


def _numbers(whole: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in whole.items():
        if isinstance(value, Mapping):
            found |= {f"{before}{name}.{inner}": v for inner, v in value.items() if _is_figure(v)}
        elif _is_figure(value):
            found[f"{before}{name}"] = value
    return found


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=0, abs_tol=TOLERANCE)


def stale(stored: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Difference]:
    """What verdict.json in the directory says otherwise: it is not sealed, so it may have been changed."""
    names = ("verdict", "reasons", "targets", "measured")
    return [Difference(f"verdict.json: {n}", ours[n], stored.get(n)) for n in names if not _alike(stored.get(n), ours[n])]


def _alike(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
