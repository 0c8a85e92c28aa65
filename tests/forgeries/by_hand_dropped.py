"""Somebody stopped a database by hand for half a minute; the record of it is taken out.

The database did not answer, and nothing says why.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "records dropped"
caught_by = "nobody_else_was_down"


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        from_ns = run.before_ns + 33 * SECOND_NS
        for row in run.samples:
            if row["node"] == "dc3-a" and from_ns < int(row["t_ns"]) < from_ns + 15 * SECOND_NS:
                row.update(dict.fromkeys(("in_recovery", "timeline", "flush_lsn", "replay_lsn", "sync_names", "replication"), ""))
                row.update(ok="0", error="connection refused")
