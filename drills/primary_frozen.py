from faults.node_frozen import NodeFrozen
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=41,  # 20 lease + 2 waiting for a silent node + 4 promotion and rerouting + 9 rewind of copies + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "20 s lease + 2 s waiting for a silent node's answer + 4 s promotion and rerouting + 9 s where every copy has "
        "to be rewound first + 6 s for a busy machine",
        "rpo_s": "two synchronous copies have what was confirmed, and a primary that goes on after the takeover has none",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_primary_frozen(run: Run) -> None:
    """The primary's machine stands still, and goes on after another took over: what it still believes costs no payment."""
    with run.fault(NodeFrozen("primary")):
        people_take_over(run)
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
