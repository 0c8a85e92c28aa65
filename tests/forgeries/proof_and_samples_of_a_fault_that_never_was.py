"""A node that was never killed is given a proof, and samples in which it is down.

Its log goes on.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import DEAD, Forger
from tests.synthetic import SCENARIOS

family = "fault that never happened"
caught_by = "victims_fell_silent"
base = SCENARIOS["no-op"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        proof, heal = run.one("proof")["data"], int(run.one("heal_started")["t_ns"])
        for check in proof["checks"]:
            if check["side"] == "victim":
                check.update(DEAD)
        proof["proved"] = True
        for row in run.samples:
            if row["node"] == "dc2-b" and run.before_ns < int(row["t_ns"]) < heal:
                row.update(dict.fromkeys(("in_recovery", "timeline", "flush_lsn", "replay_lsn", "sync_names", "replication"), ""))
                row.update(ok="0", error="connection refused")
