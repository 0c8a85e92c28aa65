"""The neighbour of the benchmarks makes noise, and is gone when it is told so."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from benchmarks import neighbour
from benchmarks.neighbour import beside


def children_of(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listing.read_text(encoding="utf-8").split()] if listing.is_file() else []


def test_a_neighbour_works_while_the_block_lasts_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[1]))
    monkeypatch.chdir(tmp_path)
    before = set(children_of(os.getpid()))
    with beside("disk", "cpu"):
        (process,) = set(children_of(os.getpid())) - before
        deadline = time.monotonic() + 20
        while len(children_of(process)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(children_of(process)) >= 2
    assert not Path(f"/proc/{process}").exists()
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_no_neighbour() -> None:
    before = set(children_of(os.getpid()))
    with beside():
        assert set(children_of(os.getpid())) == before


def test_a_neighbour_that_rests_works_for_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("benchmarks.neighbour.time.sleep", slept.append)
    monkeypatch.setattr("benchmarks.neighbour.time.monotonic", lambda: 103.0)
    assert neighbour.rest(100.0, 0.25) == 103.0
    assert neighbour.rest(100.0, 1.0) == 103.0
    assert slept == [9.0, 0.0]  # 3 s of work, a quarter of the time
