"""A copy that differs is left out of the plan, the copies and the samples.

Its log was collected.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import Scenario

family = "records dropped"
caught_by = "topology_was_watched"
base = replace(Scenario(), corrupt=("differs",))


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for center in run.plan["topology"]["centers"]:
            center["nodes"] = [node for node in center["nodes"] if node["name"] != "dc3-a"]
        run.replace("samples.csv", [row for row in run.samples if row["node"] != "dc3-a"])
        run.one("expected_copies")["data"]["nodes"].remove("dc3-a")
        for path in (directory / "copies").glob("dc3-a.*"):
            path.unlink()
        for event in run.kind("primary"):
            event["data"]["roles"].pop("dc3-a", None)
        checks = run.one("proof")["data"]["checks"]
        checks[:] = [check for check in checks if check["subject"] != "dc3-a"]
