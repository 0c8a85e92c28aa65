from faults.power_loss import CenterPowerLoss
from harness import runbooks
from harness.conditions import load_at_its_height, replicas_caught_up, service_restored
from harness.drill import drill, payments, surge
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=42,  # as center-loss, and 3 for what piled up meanwhile
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "as center-loss (39 s), and 3 s for the customers that wait when service comes back",
        "rpo_s": "two synchronous copies of four, so one is in the other center, however many customers pay",
        "lost_transactions": "as rpo_s",
    },
)
# Payday: three and a half times the rate of before, beside the probe's hundred a second; two cores just make it. A machine that
# can't make nine tenths of it has drilled another load.
LOAD = payments(rate_per_s=20, customers=16, workers=4, shape=surge(3.5, after_s=12), rate_min=0.9)


@drill(two_region_three_center, load=LOAD, targets=TARGETS, nightly=True)
def test_surge_failover(run: Run) -> None:
    """The production center dies at three and a half times the usual load: service comes back, and nothing confirmed is lost."""
    run.until(load_at_its_height, within_s=60)
    with run.fault(CenterPowerLoss("dc1")):
        people_take_over(run)
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
