"""Many stops of the customers, one after the other in one process: `python -m tests.stops --door URL --out DIR --stops N`.

Each stop is a set of customers of its own, which pays for a moment of random length and is then stopped as a drill stops
it. Prints `ready` when the door has answered, then one JSON object a stop:
`{"stop", "run_id", "recorded", "locust_requests", "completed"}`.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import gevent
from gevent.event import Event

from load import customers
from load.ledger import READ_COLUMNS, Door, Guardian, Ledger

CUSTOMERS = 8
RATE_PER_S = 400.0
PAYS_S_MAX = 0.12  # customers arrive over 20 ms; a stop falls anywhere in what follows
TIMEOUT_S = 0.3


def once(door: Door, accounts: Sequence[str], out: Path, number: int, *, pays_s: float) -> None:
    run_id = f"stop-{number}"
    ledger, reads = Ledger(out / "ledger.csv"), Ledger(out / "reads.csv", READ_COLUMNS)
    office = customers.Office(ledger, reads, accounts, run_id, number, pay_share=0.8, spread_s=CUSTOMERS / RATE_PER_S)
    stopping = Event()
    gevent.spawn_later(pays_s, stopping.set)
    customers.attend(
        office,
        door,
        Guardian(parent_pid=None, stop_on_eof=False),
        stopping,
        out=out,
        customers=CUSTOMERS,
        rate_per_s=RATE_PER_S,
        timeout_s=TIMEOUT_S,
    )
    counts = json.loads((out / "ledger.json").read_text(encoding="utf-8"))
    told = {name: counts[name] for name in ("recorded", "locust_requests", "completed")}
    print(json.dumps({"stop": number, "run_id": run_id, **told}), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--door", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--stops", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    door = Door.parse(options.door)
    accounts = door.accounts(timeout_s=3, patience_s=10)
    print("ready", flush=True)
    choice = random.Random(options.seed)
    for number in range(options.stops):
        once(door, accounts, options.out / f"{number:04d}", number, pays_s=choice.uniform(0.03, PAYS_S_MAX))
    return 0


if __name__ == "__main__":
    sys.exit(main())
