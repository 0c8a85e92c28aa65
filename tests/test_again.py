"""`pytest --again N`: what was INVALID is run again, what FAILed never is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import conftest
from harness.runner import INTERRUPTED_EXIT

DRILL: Any = SimpleNamespace(name="x")


@pytest.mark.parametrize(
    ("told", "again", "runs", "last"),
    [
        (["INVALID", "PASS"], 1, 2, "PASS"),
        (["INVALID", "FAIL"], 1, 2, "FAIL"),
        (["INVALID", "INVALID", "PASS"], 1, 2, "INVALID"),
        (["INVALID", "PASS"], 0, 1, "INVALID"),
        (["FAIL", "PASS"], 3, 1, "FAIL"),
        (["PASS", "FAIL"], 3, 1, "PASS"),
    ],
)
def test_only_what_proved_nothing_is_run_again(told: list[str], again: int, runs: int, last: str) -> None:
    left = iter(told)
    did = []

    def once() -> Any:
        did.append(verdict := next(left))
        return SimpleNamespace(verdict=SimpleNamespace(verdict=verdict), exit_code=0, directory=Path("runs/x"))

    result = conftest.until_told(DRILL, again, once, lambda: did.append("anew"))
    assert result.verdict.verdict == last
    assert did == [word for verdict in told[:runs] for word in (verdict, "anew")][:-1]


def test_who_interrupts_is_not_asked_twice() -> None:
    verdict = SimpleNamespace(verdict="INVALID")
    interrupted: Any = SimpleNamespace(verdict=verdict, exit_code=INTERRUPTED_EXIT, directory=Path("runs/x"))
    assert conftest.until_told(DRILL, 5, lambda: interrupted, lambda: None).exit_code == INTERRUPTED_EXIT
