from faults.center_isolated import CenterIsolated
from faults.node_killed import NodeKilled
from harness import runbooks
from harness.conditions import edges_answer_alone, edges_have_forwarded, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.edge_and_center import edge_and_center

STARTED_AFTER_S, REPAIRED_AFTER_S = 10, 20  # after the kill; what people are given: a drill cannot measure them, so they are set
TARGETS = Targets(
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rpo_s": "an edge syncs what it acknowledges, and forwards it when it is back and hears the center",
        "lost_transactions": "as rpo_s",
    },
)


@drill(edge_and_center, load=payments(), targets=TARGETS, nightly=True)
def test_edge_killed(run: Run) -> None:
    """An edge that is cut off from the center is killed and started again: nothing that it had acknowledged is lost."""
    with run.fault(CenterIsolated("center")):
        run.until(edges_answer_alone, within_s=15)
        with run.fault(NodeKilled("edge-1-edge")):
            run.until(edges_answer_alone, within_s=10)
            run.decide("the edge is started again", after_s=STARTED_AFTER_S)
        run.until(edges_answer_alone, within_s=15)
        run.decide("the lines are repaired", after_s=REPAIRED_AFTER_S)
    run.until(edges_have_forwarded, within_s=120)
    run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
