"""A center loss with next to no load, as a program of its own: `python tests/light.py`, below whose directory `runs/` is made.

For tests that interrupt or kill a run in mid-fault. What they ask does not hang on how much a machine can bear, and it may be
busy with a topology that somebody else left standing.
"""

from __future__ import annotations

import sys
from pathlib import Path

from faults.power_loss import CenterPowerLoss
from harness.conditions import service_restored
from harness.drill import Drill
from harness.run import Run
from harness.runner import Options, run_drill
from judging.evidence import Load, Targets
from topologies.two_region_three_center import two_region_three_center


def body(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)


def main() -> int:
    drill = Drill(
        name="light-center-loss",
        claim="A drill of the tests, with a payment now and then.",
        topology=two_region_three_center,
        load=Load(probe_interval_ms=500, customers=1, customer_rate_per_s=1, baseline_s=2),
        targets=Targets(),
        body=body,
    )
    return run_drill(drill, Options(runs=Path("runs"), interactive=False)).exit_code


if __name__ == "__main__":
    sys.exit(main())
