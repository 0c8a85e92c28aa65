"""What `inject --for` promises is kept by a process of its own when `inject` is killed: when it heals, and when it doesn't."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import pytest

from harness import hold, lease
from harness.companion import Companion
from judging.errors import BadInput, CouldNotTell


@pytest.fixture
def healed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """By whom nothing is healed; holds what was asked for."""
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(lease, "outlive", lambda: None)

    def heal(run_id: str, identity: str) -> int:
        asked.append((run_id, identity))
        return 0

    monkeypatch.setattr(lease, "heal", heal)
    return asked


def told(monkeypatch: pytest.MonkeyPatch, *lines: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    return lease.main("run-1", "h1")


def test_what_is_healed_already_is_left_alone(healed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, f"until {time.monotonic_ns() + 10**12}", "release") == 0
    assert healed == []


def test_whose_inject_is_gone_is_healed_when_its_time_is_over(
    healed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    until_ns = time.monotonic_ns() + 300_000_000
    assert told(monkeypatch, f"until {until_ns}") == 0
    assert time.monotonic_ns() >= until_ns
    assert healed == [("run-1", "h1")]


def test_what_is_half_in_is_healed_at_once(healed: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch) == 0
    assert healed == [("run-1", "h1")]


def test_a_heal_that_fails_is_tried_again_and_one_of_what_is_gone_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str | None] = []

    def heal_by_hand(run_id: str | None, *, say: hold.Say, only: str | None = None) -> None:
        assert (run_id, only) == ("run-1", "h1")
        del say
        tries.append(run_id)
        if len(tries) == 1:
            raise CouldNotTell("the engine restarts")
        raise BadInput("'run-1' does not stand")

    monkeypatch.setattr(hold, "heal_by_hand", heal_by_hand)
    assert lease.heal("run-1", "h1") == 0
    assert len(tries) == 2


def test_a_companion_that_is_released_does_nothing_and_one_that_is_left_does_its_work(tmp_path: Path) -> None:
    """By a process that writes down how its stdin ended."""
    (tmp_path / "ends.py").write_text("import sys\nprint('released' if 'release' in sys.stdin.read() else 'left', flush=True)\n")
    log = tmp_path / "log"

    def ended(*, done: bool) -> str:
        log.unlink(missing_ok=True)
        one = Companion("timeit", "-n1", "-r1", f"exec(open({str(tmp_path / 'ends.py')!r}).read())", log=log)
        one.say("until 7")
        one.release(done=done)
        one.process.wait(20)
        return log.read_text().split()[0]

    assert ended(done=True) == "released"
    assert ended(done=False) == "left"


def test_signals_to_the_group_do_not_end_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    one = Companion("harness.lease", "run-1", "h1", log=log)
    try:
        deadline = time.monotonic() + 20
        ignored = 0
        while ignored & 0x4003 != 0x4003 and time.monotonic() < deadline:  # SIGHUP, SIGINT, SIGTERM: bits 0, 1, 14
            status = Path(f"/proc/{one.process.pid}/status").read_text(encoding="utf-8")
            ignored = int(next(line for line in status.splitlines() if line.startswith("SigIgn:")).split()[1], 16)
            time.sleep(0.05)
        assert ignored & 0x4003 == 0x4003
    finally:
        one.say("release")
        assert one.process.wait(20) == 0
