"""A process of its own that goes on when we die, because it holds the other end of a pipe: what the watcher and leases are."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

RELEASE = "release"
ENDS_WITHIN_S = 10.0


class Companion:
    """`python -m MODULE ARGUMENTS`, in a session of its own. Its stdin ends without the word `release`: then we are gone."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        with log.open("a", encoding="utf-8") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=told,
                stderr=told,
                text=True,
                start_new_session=True,
            )

    def say(self, word: str) -> None:
        """One line to it; nothing where it has ended."""
        if self.process.stdin is not None and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{word}\n")
                self.process.stdin.flush()

    def release(self, *, done: bool) -> None:
        """`done`: there is nothing left to do for it. Otherwise it does its work, also after we are gone."""
        if self.process.stdin is None or self.process.poll() is not None:
            return
        if done:
            self.say(RELEASE)
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if done:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(ENDS_WITHIN_S)


def outlive() -> None:
    """In a companion: whoever ends the harness by its group must not end its healer."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def tell(who: str, text: str) -> None:
    """In a companion: a line of its log. A full disk must not stop it."""
    with contextlib.suppress(OSError):
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {who}: {text}", flush=True)
