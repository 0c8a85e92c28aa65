"""A bank that said yes before it had committed is excused by an edge: a row is put into its store's record.

Nothing kept that edge from its center then: it had no reason to answer by itself.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, Forger
from tests.synthetic import EDGES, SCENARIOS

family = "edges"
caught_by = "edges_authorise_while_cut_off"
base = SCENARIOS["edges"]


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        small = (row for row in run.probe if row["outcome"] == "acknowledged" and int(row["amount_minor"]) <= 800)
        paid = next(row for row in small if int(row["due_ns"]) > run.before_ns - 3 * SECOND_NS)
        late = run.wall(int(paid["done_ns"]) + SECOND_NS // 2)
        for node in run.copies():
            for row in run.table(f"copies/{node}.payments.csv.gz"):
                if row["key"] == paid["key"]:
                    row["committed_at"] = late
        told = {"authorised_at": run.wall(int(paid["done_ns"]) - 1_000_000), "forwarded_at": late, "status": "201"}
        rows = run.table(f"edges/{EDGES[1]}.csv.gz")
        rows.append({name: paid[name] for name in ("key", "debit", "credit", "amount_minor")} | told)
        rows.sort(key=lambda row: row["key"].encode())
