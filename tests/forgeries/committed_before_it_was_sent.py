"""A payment in the ledger is moved behind its commit, to hide that it was answered from a cache.

Nothing is committed before it was sent.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger

family = "ledger edited alone"
caught_by = "committed_when_told"
everywhere = True


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        row = next(row for row in run.probe if row["outcome"] == "acknowledged" and int(row["due_ns"]) > run.before_ns)
        for name in run.copies():
            for paid in run.table(f"copies/{name}.payments.csv.gz"):
                if paid["key"] == row["key"]:
                    paid["committed_at"] = run.wall(int(row["sent_ns"]) - 2 * SECOND_NS)
