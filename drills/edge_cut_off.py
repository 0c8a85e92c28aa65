from faults.center_isolated import CenterIsolated
from harness import runbooks
from harness.conditions import edges_answer_alone, edges_have_forwarded, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.edge_and_center import edge_and_center

REPAIRED_AFTER_S = 30  # what people are given to find and repair the lines: a drill cannot measure them, so it is set
TARGETS = Targets(
    rpo_s=0,
    lost_transactions=0,
    availability=0.75,
    basis={
        "rpo_s": "an edge syncs what it acknowledges, and forwards it",
        "lost_transactions": "as rpo_s",
        "availability": "800 of 1000 amounts are within the edges' limit while they are cut off; less a twentieth for its begin",
    },
)


@drill(edge_and_center, load=payments(), targets=TARGETS, nightly=True)
def test_edge_cut_off(run: Run) -> None:
    """Edges cut off from the center answer small payments by themselves and refuse others; afterwards each stands there once."""
    with run.fault(CenterIsolated("center")):
        run.until(edges_answer_alone, within_s=15)
        run.decide("the lines are repaired", after_s=REPAIRED_AFTER_S)
        run.until(edges_answer_alone, within_s=10)
    run.until(edges_have_forwarded, within_s=120)
    run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
