"""Every lie in tests/forgeries is told on a clean run, counted and sealed anew, and has to be found by the rule that it names."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

import tests.forgeries
from judging.crosschecks import RULES, Contradiction, contradictions
from judging.evidence import Evidence
from judging.judge import judge
from judging.measure import measure
from judging.records import read
from tests.forger import Unfit
from tests.synthetic import SCENARIOS, Scenario, write_run

SIGNATURE = json.loads((Path(tests.forgeries.__file__).parent / "needs_signature.json").read_text(encoding="utf-8"))
FAMILIES_MAX = 5
# Rules that stand outside of judging/crosschecks, by the words that they use
ELSEWHERE = {
    "seal": "The seal is broken",
    "chain": "The chain of events",
    "registered plan": "is not the plan that was registered",
    "body": "did not do what its plan says",
    "proof": "is not proved",
}
REAL = [Path(p) for p in os.environ.get("DRILLBOOK_REAL_RUNS", "").split(os.pathsep) if p]


@dataclass(frozen=True)
class Lie:
    name: str
    module: ModuleType

    @property
    def caught_by(self) -> str | None:
        return getattr(self.module, "caught_by", None)

    @property
    def base(self) -> Scenario:
        scenario: Scenario = getattr(self.module, "base", SCENARIOS["center-loss"])
        return light(scenario)

    @property
    def forge(self) -> Callable[[Path], None]:
        forge: Callable[[Path], None] = self.module.forge
        return forge


def light(scenario: Scenario) -> Scenario:
    """The same story with fewer payments: quicker to write and to read."""
    return replace(scenario, probe_interval_ms=20)


def lies() -> list[Lie]:
    found = sorted(info.name for info in pkgutil.iter_modules(tests.forgeries.__path__))
    return [Lie(name, importlib.import_module(f"tests.forgeries.{name}")) for name in found]


LIES = lies()
CAUGHT = [lie for lie in LIES if lie.caught_by is not None]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Scenario], Path]:
    """A directory with the honest run of a story; written once each, never to be changed."""
    written: list[tuple[Scenario, Path]] = []

    def run(story: Scenario) -> Path:
        known = next((path for one, path in written if one == story), None)
        if known is None:
            known = write_run(tmp_path_factory.mktemp("clean") / "run", story)
            written.append((story, known))
        return known

    return run


def verdict_of(directory: Path) -> tuple[str, list[str]]:
    evidence = Evidence(directory)
    given = judge(measure(evidence), evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)
    return given.verdict, given.reasons


def found_in(directory: Path) -> list[Contradiction]:
    return contradictions(read(Evidence(directory)))


def test_the_corpus_is_as_large_as_it_must_be() -> None:
    assert len(CAUGHT) >= 45
    assert len({lie.module.family for lie in LIES}) >= 12
    known = {rule.__name__ for rule in RULES} | set(ELSEWHERE)
    assert {lie.caught_by for lie in CAUGHT} <= known
    assert [lie.name for lie in LIES if not (lie.module.__doc__ or "").strip()] == []


@pytest.mark.parametrize("lie", CAUGHT, ids=lambda lie: lie.name)
def test_a_lie_is_found_by_its_rule(lie: Lie, clean: Callable[[Scenario], Path], tmp_path: Path) -> None:
    directory = Path(shutil.copytree(clean(lie.base), tmp_path / "run"))
    lie.forge(directory)
    verdict, reasons = verdict_of(directory)
    assert verdict != "PASS"
    assert lie.caught_by is not None
    if lie.caught_by in ELSEWHERE:
        assert any(ELSEWHERE[lie.caught_by] in reason for reason in reasons), reasons
        return
    assert verdict == "INVALID"
    said = [found.words for found in found_in(directory) if found.rule == lie.caught_by]
    assert said, f"{lie.caught_by} is silent; told: {reasons}"
    assert said[0] in reasons
