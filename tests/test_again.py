"""`pytest --again N`: what was INVALID is run again, what FAILed never is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import conftest
from harness.runner import INTERRUPTED_EXIT


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
def test_only_what_proved_nothing_is_run_again(
    told: list[str], again: int, runs: int, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(told)
    ran = []

    def once(*_: Any) -> SimpleNamespace:
        ran.append(verdict := next(left))
        return SimpleNamespace(verdict=SimpleNamespace(verdict=verdict), exit_code=0, directory=Path("runs/x"))

    monkeypatch.setattr(conftest, "run_drill", once)
    result = conftest.until_told(cast(Any, SimpleNamespace(name="x")), again)
    assert (len(ran), result.verdict.verdict) == (runs, last)


def test_who_interrupts_is_not_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = SimpleNamespace(verdict="INVALID")
    interrupted = SimpleNamespace(verdict=verdict, exit_code=INTERRUPTED_EXIT, directory=Path("runs/x"))
    monkeypatch.setattr(conftest, "run_drill", lambda *_: interrupted)
    assert conftest.until_told(cast(Any, SimpleNamespace(name="x")), 5).exit_code == INTERRUPTED_EXIT
