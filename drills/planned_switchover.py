from faults.planned_switchover import PlannedSwitchover
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    interruption_s=8,  # 2 to 4 measured with strict synchronous replication + 4 for a slow or busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "interruption_s": "4 s shutdown checkpoint, promotion and rerouting with strict synchronous replication"
        " + 4 s for a slow or busy machine",
        "lost_transactions": "a planned move waits for the last byte",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_planned_switchover(run: Run) -> None:
    """The primary moves to the same-city center and back on purpose: nothing is lost, and the interruption is seconds."""
    for center in ("dc2", "dc1"):
        with run.fault(PlannedSwitchover(center)):
            run.until(service_restored, within_s=60)
            run.until(replicas_caught_up, within_s=120)
