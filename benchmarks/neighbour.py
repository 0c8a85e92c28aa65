"""A neighbour on the same machine: writes and syncs hard, or burns every core. `python -m benchmarks.neighbour disk cpu`.

What runs on a user's machine beside a drill: another job's database, a build, a backup. It goes on for `--seconds`, or until
its standard input ends, whichever comes first, and leaves nothing behind. `--share 0.3`: at work for three tenths of the time, as
most neighbours are, and as hard as it can then.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator

BLOCK_BYTES = 4 << 20
FILE_BYTES = 256 << 20  # the file goes round: it fills no disk
KINDS = ("disk", "cpu")


def write_and_sync(until: float, share: float) -> None:
    """Writes blocks of 4 MiB one after the other and syncs after each eighth, as fast as the disk takes them."""
    block = os.urandom(BLOCK_BYTES)
    with tempfile.TemporaryFile(dir=".") as file:
        count, began = 0, time.monotonic()
        while time.monotonic() < until:
            os.pwrite(file.fileno(), block, count * BLOCK_BYTES % FILE_BYTES)
            count += 1
            if count % 8 == 0:
                os.fsync(file.fileno())
                began = rest(began, share)


def burn(until: float, share: float) -> None:
    """One core, without pause but that of `share`."""
    number, began = 1, time.monotonic()
    while time.monotonic() < until:
        for _ in range(1_000_000):
            number = number * 1_103_515_245 + 12_345 & 0x7FFFFFFF
        began = rest(began, share)


def rest(began: float, share: float) -> float:
    """Idle for as long as makes the work since `began` its share of the time; returns when work goes on."""
    time.sleep((time.monotonic() - began) * (1 - share) / share)
    return time.monotonic()


def start(kinds: list[str], seconds: float, share: float = 1.0) -> list[multiprocessing.Process]:
    until = time.monotonic() + seconds
    work = [write_and_sync] * ("disk" in kinds) + [burn] * ((os.cpu_count() or 1) if "cpu" in kinds else 0)
    processes = [multiprocessing.Process(target=one, args=(until, share), daemon=True) for one in work]
    for process in processes:
        process.start()
    return processes


@contextlib.contextmanager
def beside(*kinds: str) -> Iterator[None]:
    """A neighbour, as a process of its own, for as long as the block lasts."""
    if not kinds:
        yield
        return
    command = [sys.executable, "-m", "benchmarks.neighbour", *kinds]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends by itself
            process.wait(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--share", type=float, default=1.0, help="of the time; 1: always")
    options = parser.parse_args()
    if not 0 < options.share <= 1:
        parser.error(f"--share: expected more than 0 and at most 1; seen {options.share:g}")
    processes = start(options.kinds, options.seconds, options.share)
    ended = threading.Thread(target=sys.stdin.buffer.read, daemon=True)
    ended.start()
    ended.join(options.seconds)
    for process in processes:
        process.terminate()
        process.join(5)


if __name__ == "__main__":
    main()
