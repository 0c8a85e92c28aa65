from harness import runbooks
from harness.conditions import (
    customers_are_kept_waiting,
    customers_pay_as_usual,
    p99_is_back,
    replicas_caught_up,
    service_restored,
)
from harness.drill import drill, payments
from harness.run import Run
from harness.surge import CustomersSurge
from judging.evidence import Targets
from topologies.hybrid_cloud import hybrid_cloud

DECIDED_AFTER_S = 15  # what people are given to open another front: a drill cannot measure them, so it is set
TARGETS = Targets(
    p99_back_s=45,
    rpo_s=0,
    lost_transactions=0,
    basis={
        "p99_back_s": "15 s decision + 10 s until what has piled up is done + 20 s for a busy machine",
        "rpo_s": "fronts hold nothing: what was acknowledged stands in the core",
        "lost_transactions": "as rpo_s",
    },
)
# Customers are many, so that those who wait keep nobody else from paying. What is not made of four times their rate was no surge.
LOAD = payments(rate_per_s=22, customers=320, workers=4, rate_min=0.9, probe_interval_ms=20)


@drill(hybrid_cloud, load=LOAD, targets=TARGETS, nightly=True)
def test_front_surge(run: Run) -> None:
    """Customers pay at four times their rate, too many for two fronts' lines: a third front is opened, and p99 is back."""
    run.until(customers_pay_as_usual, within_s=60)
    with run.fault(CustomersSurge(run.customers, times=4)):
        run.until(customers_are_kept_waiting, within_s=30)
        run.step("the open fronts' lines are full", runbooks.lines_are_full, role="detect")
        run.decide("open another front", after_s=DECIDED_AFTER_S)
        run.step("let customers into another front", runbooks.open_another_center, role="reroute")
        run.until(service_restored, within_s=90)
        run.until(p99_is_back, within_s=60)
    run.step("close the spare front again", runbooks.close_spare_centers)
    run.until(replicas_caught_up, within_s=60)
