"""What a run stands on: a topology of its own, or one on which cycles of a drill, or several drills, follow each other.

A shared topology belongs, by its label, to the run that started it. The directory in that label is a link that always points to
the cycle that runs: so `status`, `inject` and `heal` find the newest records, as with a run that is alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.companion import Companion
from harness.watcher import watcher
from runtime.cluster import Cluster
from runtime.images import Images

STANDING = "standing.json"


class Ground:
    """A topology and its watcher. `shared`: it outlives a run, until the run for which `last` is set, or an interrupt."""

    def __init__(self, *, shared: bool = False) -> None:
        self.shared = shared
        self.last = not shared
        self.prepared: tuple[Any, Images] | None = None
        self.cluster: Cluster | None = None
        self.home: str | None = None  # the center in which the first run found its primary
        self.runs = 0  # that began on this topology
        self.run_id = ""  # in the labels: of the run that started the topology
        self.place = Path()  # in the labels: where that run's, or the newest cycle's, records are
        self._watcher: Companion | None = None
        self._directory = Path()

    @property
    def stands(self) -> bool:
        return self.cluster is not None

    def enter(self, run_id: str, directory: Path) -> None:
        """A run begins, in its directory: from here on the watcher cleans up after us, whatever happens."""
        old, self._directory = self._directory, directory
        self.runs += 1
        if self._watcher is None:
            self.run_id, self.runs = run_id, 1
            self.place = directory.parent / f".standing-{run_id}" if self.shared else directory
            self._watcher = watcher(run_id, log=directory / "harness.log")
        if self.shared:
            if self.stands:
                (directory / STANDING).write_text((old / STANDING).read_text(encoding="utf-8"), encoding="utf-8")
            self._point(directory)
            if self.stands:
                (old / STANDING).unlink(missing_ok=True)

    def _point(self, directory: Path) -> None:
        temporary = self.place.with_name(f"{self.place.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(directory, self.place.parent))  # the next run may be another drill's
        temporary.replace(self.place)

    def stays(self, *, keep: bool, started: bool, interrupted: bool) -> bool:
        """Whether the topology is to stand after the run that ends now."""
        return started and not interrupted and (keep if self.last else self.shared)

    def replace(self, run_id: str, take_down: Callable[[], bool]) -> None:
        """Give a topology up of which nobody knows what state it is in; the run that asks gets a new one, of its own name."""
        directory = self._directory
        self.leave(gone=take_down())
        self.enter(run_id, directory)

    def leave(self, *, gone: bool) -> None:
        """The topology is gone, or kept for hands; else the watcher goes on removing it."""
        self.cluster, self.home = None, None
        held, self._watcher = self._watcher, None
        if held is not None:
            held.release(done=gone)
        if self.shared and gone and not (self._directory / STANDING).exists():
            with contextlib.suppress(OSError):
                self.place.unlink(missing_ok=True)
