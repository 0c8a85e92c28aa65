from faults.center_isolated import CenterIsolated
from harness import runbooks
from harness.conditions import customers_are_refused, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.hybrid_cloud import hybrid_cloud

REPAIRED_AFTER_S = 20  # what people are given to find and repair the line: a drill cannot measure them, so it is set
TARGETS = Targets(
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rpo_s": "fronts hold nothing: what was acknowledged stands in the core",
        "lost_transactions": "as rpo_s",
    },
)


@drill(hybrid_cloud, load=payments(probe_interval_ms=20), targets=TARGETS, nightly=True)
def test_front_cut(run: Run) -> None:
    """The lines between the public fronts and the core are cut: customers are refused at once, and nothing confirmed is lost."""
    with run.fault(CenterIsolated("private")):
        run.until(customers_are_refused, within_s=10)
        run.decide("the lines are repaired", after_s=REPAIRED_AFTER_S)
        run.until(customers_are_refused, within_s=5)
    run.until(service_restored, within_s=30)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
