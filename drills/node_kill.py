from faults.node_killed import NodeKilled
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=39,  # as center-loss: the same lease decides
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "20 s lease + 2 s waiting for a dead node's answer + 2 s promotion and rerouting + 9 s where every copy has to "
        "be rewound first + 6 s for a busy machine",
        "rpo_s": "two synchronous copies",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS)
def test_node_kill(run: Run) -> None:
    """The primary's machine dies: a synchronous copy takes over, and no confirmed payment is lost."""
    with run.fault(NodeKilled("primary")):
        people_take_over(run)
        run.until(service_restored, within_s=120)
        run.explain_takeover()
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
