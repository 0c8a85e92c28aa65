"""A process of its own that heals and removes when the harness dies. `python -m harness.watcher RUN_ID`.

Its stdin is a pipe whose other end only the harness holds. The word `release` means that there is nothing left to do; the
end of the pipe without it means that the harness is gone: then everything of the run is removed, faults with it.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from topologies import engine


class Watcher:
    def __init__(self, run_id: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.watcher", run_id],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def release(self) -> None:
        """There is nothing to watch any more: all is removed, or is to be kept."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.write("release\n")
            self.process.stdin.close()
            self.process.wait(10)


def main(run_id: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever ends the harness by its group must not end its healer
    if sys.stdin.readline().strip() == "release":
        return 0
    left = engine.remove_for_good(engine.connect(), run_id)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
