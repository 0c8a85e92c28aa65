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
    return replace(scenario, probe_interval_ms=40, locust_rate_per_s=16)


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


@pytest.mark.parametrize("lie", [lie for lie in LIES if lie.caught_by is None], ids=lambda lie: lie.name)
def test_what_is_said_to_need_a_signature_does(lie: Lie, clean: Callable[[Scenario], Path], tmp_path: Path) -> None:
    """Whoever finds a rule for one of these takes its family off the list."""
    directory = Path(shutil.copytree(clean(lie.base), tmp_path / "run"))
    lie.forge(directory)
    assert lie.module.family in SIGNATURE
    assert (verdict_of(directory)[0], found_in(directory)) == ("PASS", [])


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_honest_run_contradicts_nothing(name: str, clean: Callable[[Scenario], Path]) -> None:
    assert found_in(clean(light(SCENARIOS[name]))) == []


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.name)
def test_a_lie_begins_with_an_honest_run(lie: Lie, clean: Callable[[Scenario], Path]) -> None:
    """Else the rule would have found something that the lie did not do."""
    if not getattr(lie.module, "already_lies", False):
        assert found_in(clean(lie.base)) == []


if REAL:  # else there is nothing to ask: an empty list would be a skip that looks like a test

    @pytest.mark.parametrize("run", REAL, ids=str)
    def test_a_real_run_contradicts_nothing(run: Path) -> None:
        """Runs of Docker, named in DRILLBOOK_REAL_RUNS; of version 1 too, whose judge asks none of these rules."""
        assert found_in(run) == []

    @pytest.mark.parametrize("lie", [lie for lie in CAUGHT if getattr(lie.module, "everywhere", False)], ids=lambda lie: lie.name)
    @pytest.mark.parametrize("run", REAL, ids=str)
    def test_a_lie_on_a_real_run_is_found_by_its_rule(run: Path, lie: Lie, tmp_path: Path) -> None:
        directory = Path(shutil.copytree(run, tmp_path / "run"))
        try:
            lie.forge(directory)
        except (Unfit, StopIteration) as error:
            pytest.skip(f"this run has not what the lie needs: {error}")
        assert lie.caught_by in {found.rule for found in found_in(directory)}


def test_no_more_families_need_a_signature_than_the_page_lists() -> None:
    assert len(SIGNATURE) <= FAMILIES_MAX
    assert all(len(words.split()) > 5 for words in SIGNATURE.values())
