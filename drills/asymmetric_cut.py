from faults.link_blackholed import LinkBlackholed
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=10,  # 3 replication time-out + 1 loop + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "3 s replication time-out + 1 s until Patroni drops the unreachable copies + 6 s for a busy machine",
        "lost_transactions": "the primary lives: what it confirmed it has",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_asymmetric_cut(run: Run) -> None:
    """The production center hears its neighbour and is not heard: nobody takes over, and writes go on in one center."""
    with run.fault(LinkBlackholed("dc1->dc2")):
        run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
