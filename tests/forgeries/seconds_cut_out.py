"""Five seconds of an outage are cut out: their payments and samples, and all later times of the monotonic clock.

Wall times beside them say otherwise.
"""

from __future__ import annotations

from pathlib import Path

from tests.forger import SECOND_NS, SLOW, Forger

family = "seconds cut out"
caught_by = "clocks_agree"
base = SLOW
everywhere = True

TIMES = {
    "probe.csv": ("due_ns", "sent_ns", "done_ns"),
    "ledger.csv": ("due_ns", "sent_ns", "done_ns"),
    "samples.csv": ("asked_ns", "t_ns"),
}


def cut(run: Forger, from_ns: int, length_ns: int) -> set[str]:
    """Take a span out of every record of the harness and of the load; returns the keys that went with it."""
    gone = {row["key"] for row in run.payments() if from_ns <= int(row["due_ns"]) < from_ns + length_ns}
    for name, columns in TIMES.items():
        rows = [row for row in run.table(name) if not from_ns <= int(row[columns[0]]) < from_ns + length_ns]
        for row in rows:
            for column in columns:
                if int(row[column]) >= from_ns + length_ns:
                    row[column] = str(int(row[column]) - length_ns)
        run.replace(name, rows)
    for name in ("probe.json", "ledger.json"):
        run.edit_json(name, lambda data: data.update(stopped_ns=data["stopped_ns"] - length_ns))
    for event in run.events:
        if int(event["t_ns"]) >= from_ns + length_ns:
            event["t_ns"] -= length_ns
        for name in ("before_ns", "after_ns"):
            if event["data"].get(name, 0) >= from_ns + length_ns:
                event["data"][name] -= length_ns
    return gone


def forge(directory: Path) -> None:
    with Forger(directory) as run:
        gone = cut(run, run.before_ns + 10 * SECOND_NS, 5 * SECOND_NS)
        run.door_forgets(gone)
