"""pytest wiring only: a function that `@drill` marked is run by the runner, and passes when its verdict is PASS."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runner import INTERRUPTED_EXIT, Options, run_drill


@pytest.fixture
def run() -> None:
    """Stands in the signature of a drill; the runner makes the real one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item.obj, "drill"):
            item.add_marker(pytest.mark.docker)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    drill = getattr(pyfuncitem.obj, "drill", None)
    if drill is None:
        return None
    result = run_drill(drill, Options(runs=Path("runs"), interactive=False))
    if result.exit_code == INTERRUPTED_EXIT:
        pytest.exit("interrupted, and healed", returncode=INTERRUPTED_EXIT)
    if result.exit_code != 0:
        reasons = "\n".join(f"  - {reason}" for reason in result.verdict.reasons)
        pytest.fail(f"{result.verdict.verdict}: see {result.directory}/report.html\n{reasons}", pytrace=False)
    return True
