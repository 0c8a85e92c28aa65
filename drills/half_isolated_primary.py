from faults.half_isolated import HalfIsolated
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=41,  # 20 lease + 3 until the old one gives up + 3 promotion and rerouting + 9 rewind of copies + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "20 s lease + 3 s until the old primary gives up + 3 s promotion and rerouting + 9 s where every copy has to be "
        "rewound first + 6 s for a busy machine",
        "rpo_s": "what no copy confirmed is not acknowledged, whoever its customers still reach",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_half_isolated_primary(run: Run) -> None:
    """The primary is cut from its peers and store, not from its customers: it confirms nothing alone, and another takes over."""
    with run.fault(HalfIsolated("primary")):
        people_take_over(run)
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
