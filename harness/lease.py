"""A process of its own that heals one fault of `inject --for` when its time is over and nobody else has.

`python -m harness.lease RUN_ID FAULT_ID`. On its stdin, a pipe whose other end only `inject` holds, come `until NS`
(CLOCK_MONOTONIC) once the fault is in, and `release` once it is healed. The end of the pipe without that word means that
`inject` is gone: then this keeps its word for it. Without `until` the fault may be half in, and is healed at once.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

from harness import companion
from harness.companion import RELEASE, Companion, outlive

PATIENCE_S = 300.0

tell = partial(companion.tell, "lease")


def lease(run_id: str, identity: str, *, log: Path) -> Companion:
    return Companion("harness.lease", run_id, identity, log=log)


def main(run_id: str, identity: str) -> int:
    outlive()
    until_ns = 0
    for line in sys.stdin:
        word, _, value = line.strip().partition(" ")
        if word == RELEASE:
            return 0
        if word == "until":
            until_ns = int(value)
    tell(f"who injected {identity} is gone: it is healed when its time is over")
    while (left := until_ns - time.monotonic_ns()) > 0:
        time.sleep(min(left / 1e9, 1.0))
    return heal(run_id, identity)


def heal(run_id: str, identity: str) -> int:
    """Heals that fault, if it is still in; again and again for 300 s where that fails. Returns the exit code."""
    from harness.hold import heal_by_hand
    from judging.errors import BadInput

    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            heal_by_hand(run_id, only=identity, say=tell)
            return 0
        except BadInput as error:
            tell(f"there is nothing to heal any more: {error}")
            return 0
        except Exception as error:  # an engine that restarts, a node that comes up slowly
            tell(f"not healed yet: {error}")
        if time.monotonic() > deadline:
            tell("giving up: run 'drillbook heal'")
            return 1
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
