"""A link that went on carrying is given a proof of its cut.

Copies went on streaming across it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.forger import Forger
from tests.synthetic import FaultStory, Outage, Scenario

family = "fault that never happened"
caught_by = "cut_ended_replication"
base = replace(
    Scenario(),
    faults=(
        replace(
            FaultStory(),
            name="LinkBlackholed",
            target="dc1<->dc2",
            down=(),
            cut=("dc1->dc2", "dc2->dc1"),
            outages=(Outage(0.15, 4.0),),
            new="dc1-a",
        ),
    ),
)
already_lies = True  # the link carries in its honest run, and is said to be cut


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        for event in run.kind("reach"):
            for cell in event["data"]["cells"]:
                if event["data"]["moment"] == "during" and {cell["source"], cell["target"]} == {"dc1", "dc2"}:
                    cell["ok"] = False
        checks = run.one("proof")["data"]["checks"]
        for path in ("dc1->dc2", "dc2->dc1"):
            said = {
                "subject": f"datagrams {path}",
                "side": "victim",
                "expected": "none arrives",
                "seen": "none arrived",
                "ok": True,
            }
            checks.append(said)
