"""A process of its own that heals and removes when the harness dies. `python -m harness.watcher RUN_ID`.

Its stdin is a pipe whose other end only the harness holds. The word `release` means that there is nothing left to do; the
end of the pipe without it means that the harness is gone, or could not remove everything: then everything of the run is
removed, faults with it.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from harness import companion
from harness.companion import RELEASE, Companion, outlive
from runtime import engine

PATIENCE_S = 900.0

tell = partial(companion.tell, "watcher")


def watcher(run_id: str, *, log: Path) -> Companion:
    return Companion("harness.watcher", run_id, log=log)


def main(run_id: str) -> int:
    outlive()
    if sys.stdin.readline().strip() == RELEASE:
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
