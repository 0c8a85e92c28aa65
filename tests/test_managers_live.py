"""Each manager takes over, or its people do, when the production center dies: for real. `make nightly` runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.drill import load_drill
from harness.runner import INTERRUPTED_EXIT, Options, run_drill
from runtime.manager import managers

pytestmark = [pytest.mark.docker, pytest.mark.nightly]


@pytest.mark.parametrize("manager", sorted(set(managers()) - {"patroni"}))  # Patroni's run is the drill's own
def test_every_manager_keeps_what_it_confirmed_when_a_center_dies(manager: str, tmp_path: Path) -> None:
    result = run_drill(load_drill("center-loss"), Options(runs=tmp_path, interactive=False, settings={"manager": manager}))
    if result.exit_code == INTERRUPTED_EXIT:
        pytest.exit("interrupted, and healed", returncode=INTERRUPTED_EXIT)
    assert result.verdict.verdict == "PASS", result.verdict.reasons
