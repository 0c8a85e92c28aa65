"""A process of its own that heals and removes when the harness dies. `python -m harness.watcher RUN_ID`.

Its stdin is a pipe whose other end only the harness holds. The word `release` means that there is nothing left to do; the
end of the pipe without it means that the harness is gone, or could not remove everything: then everything of the run is
removed, faults with it.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from runtime import engine

PATIENCE_S = 900.0


class Watcher:
    def __init__(self, run_id: str, *, log: Path) -> None:
        with log.open("a", encoding="utf-8") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.watcher", run_id],
                stdin=subprocess.PIPE,
                stdout=told,
                stderr=told,
                text=True,
                start_new_session=True,
            )

    def release(self, *, done: bool) -> None:
        """`done`: all is removed, or is to be kept. Otherwise the watcher removes what is left, also after we are gone."""
        if self.process.stdin is None or self.process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if done:
                self.process.stdin.write("release\n")
            self.process.stdin.close()
        if done:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)


def main(run_id: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever ends the harness by its group must not end its healer
    if sys.stdin.readline().strip() == "release":
        return 0
    tell(f"the harness is gone or could not remove everything of {run_id}: removing it")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            left: engine.Leftovers | str = engine.remove_for_good(engine.connect(), run_id)
        except Exception as error:  # an engine that restarts, or hangs
            left = engine.brief(error)
        if not left:
            tell("everything is removed")
            return 0
        tell(f"not removed yet: {left}")
        if time.monotonic() > deadline:
            tell("giving up: run 'drillbook clean'")
            return 1
        time.sleep(1)


def tell(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk must not stop it
        print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} watcher: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
