from faults.power_loss import RegionLoss
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_move_to_remote
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=30,  # 10 decision + 4 promotion and rerouting + 16 for a busy machine
    rpo_s=1,
    basis={
        "rto_s": "10 s decision + 4 s promotion and rerouting + 16 s for a busy machine; the source documents claim 15 min",
        "rpo_s": "replication to the remote region is asynchronous: 15 ms of distance, a second at the worst",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS)
def test_region_loss(run: Run) -> None:
    """A whole region goes dark: the remote center is promoted by runbook, and what was lost is known to the payment."""
    people_move_to_remote(run, RegionLoss("A"))
