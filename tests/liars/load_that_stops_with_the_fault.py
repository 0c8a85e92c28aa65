"""The customers stand still as soon as the fault comes, and go on when it is over: nobody felt anything.

Caught by the ledger: no payment was sent through the fault.
"""

from __future__ import annotations

import os
import signal

from faults.node_killed import NodeKilled
from harness.conditions import service_restored
from harness.run import Run

VERDICT, CAUGHT_BY = "INVALID", r"Expected Locust payments through fault"


def body(run: Run) -> None:
    (customers,) = [p.process.pid for p in run.customers.processes if p.source == "locust"]
    os.kill(customers, signal.SIGSTOP)
    try:
        with run.fault(NodeKilled("dc2-haproxy")):
            run.until(service_restored, within_s=60)
    finally:
        os.kill(customers, signal.SIGCONT)
