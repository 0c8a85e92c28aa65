"""A power loss is said to have damaged tables, so that payments that were missed when they were read back would be its doing."""

from __future__ import annotations

from pathlib import Path

from tests.forger import Forger

family = "restore"
caught_by = "effect_follows_from_the_target"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        run.one("intent")["data"]["effect"]["damaged"] = ["payments", "entries"]
