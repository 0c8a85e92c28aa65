from faults.power_loss import RegionLoss
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_move_to_remote
from judging.evidence import Targets
from topologies.active_active_city import CITY, active_active_city

TARGETS = Targets(
    rto_s=30,  # 10 decision + 4 promotion and rerouting + 16 for a busy machine
    rpo_s=1,
    basis={
        "rto_s": "10 s decision + 4 s promotion and rerouting + 16 s for a busy machine; the source documents claim 15 min",
        "rpo_s": "replication to the remote center is asynchronous: 15 ms of distance, a second at the worst",
    },
)


@drill(active_active_city, load=payments(), targets=TARGETS, nightly=True)
def test_city_loss(run: Run) -> None:
    """Both sides of the city go dark: the remote center is promoted by runbook, and what was lost is known to the payment."""
    people_move_to_remote(run, RegionLoss(CITY))
