from faults.model import PRIMARY
from faults.node_killed import NodeKilled
from faults.power_loss import CenterPowerLoss
from harness import runbooks
from harness.conditions import another_primary, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

STARTED_AFTER_S = 40  # what people are given to start the machine again: a drill cannot measure them, so it is set
TARGETS = Targets(
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rpo_s": "what was confirmed before stands on the copy that took over; the last copy may lack what that one confirmed, "
        "and so may not follow it",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_failover_interrupted(run: Run) -> None:
    """The production center dies, and the new primary right after its takeover: service waits for it, and nothing is lost."""
    with run.fault(CenterPowerLoss("dc1")):
        run.until(another_primary, within_s=60)
        with run.fault(NodeKilled(PRIMARY)):
            run.decide("somebody starts the machine again", after_s=STARTED_AFTER_S)
        run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
