"""pytest wiring only: a function that `@drill` marked is run by the runner, and passes when its verdict is PASS.

`--again N`: a drill whose verdict is INVALID, which proves nothing either way, is run up to N times more, on a new topology.
A FAIL never is. `--warm`: drills that follow each other and ask for the same topology stand on one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cycles import Warm
from harness.drill import Drill
from harness.runner import INTERRUPTED_EXIT, Options, Result


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--again", type=int, default=0, metavar="N", help="run a drill that ended INVALID up to N times more")
    parser.addoption("--warm", action="store_true", help="let drills that ask for the same topology follow each other on one")


OPTIONS = Options(runs=Path("runs"), interactive=False)
WARM = pytest.StashKey[Warm]()
FOLLOWING = pytest.StashKey[Drill | None]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[WARM] = Warm(OPTIONS)


def pytest_unconfigure(config: pytest.Config) -> None:
    if WARM in config.stash:
        config.stash[WARM].close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Which drill comes next, if the next item is one: the topology stands on for it."""
    item.stash[FOLLOWING] = getattr(getattr(nextitem, "obj", None), "drill", None) if item.config.getoption("--warm") else None


@pytest.fixture
def run() -> None:
    """Stands in the signature of a drill; the runner makes the real one."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.obj, "drill"):
            item.add_marker(pytest.mark.docker)
            if item.obj.drill.nightly:
                item.add_marker(pytest.mark.nightly)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    drill = getattr(pyfuncitem.obj, "drill", None)
    if drill is None:
        return None
    warm, following = pyfuncitem.config.stash[WARM], pyfuncitem.stash.get(FOLLOWING, None)
    result = until_told(drill, pyfuncitem.config.getoption("--again"), lambda: warm.run(drill, following), warm.close)
    if result.exit_code == INTERRUPTED_EXIT:
        pytest.exit("interrupted, and healed", returncode=INTERRUPTED_EXIT)
    if result.exit_code != 0:
        reasons = "\n".join(f"  - {reason}" for reason in result.verdict.reasons)
        pytest.fail(f"{result.verdict.verdict}: see {result.directory}/report.html\n{reasons}", pytrace=False)
    return True


def until_told(drill: Drill, again: int, run_once: Callable[[], Result], start_anew: Callable[[], None]) -> Result:
    """The first run that was told PASS or FAIL, or interrupted; the last of `1 + again` runs where none was. All are kept."""
    while True:
        result = run_once()
        if again <= 0 or result.verdict.verdict != "INVALID" or result.exit_code == INTERRUPTED_EXIT:
            return result
        again -= 1
        start_anew()
        print(f"{drill.name} was INVALID, which proves nothing: it is run again ({result.directory} is kept)")
