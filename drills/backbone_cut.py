from faults.link_blackholed import LinkBlackholed
from harness import runbooks
from harness.conditions import customers_are_refused, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

REPAIRED_AFTER_S = 20  # what the vendor is given to repair it: a drill cannot measure that, so it is set
TARGETS = Targets(
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rpo_s": "no center has a majority of the store alone, so nobody confirms alone for longer than a lease",
        "lost_transactions": "the primary lives, or is followed by a copy that has all: what it confirmed is kept",
    },
)


@drill(two_region_three_center, load=payments(probe_interval_ms=20), targets=TARGETS, nightly=True)
def test_backbone_cut(run: Run) -> None:
    """The backbone between all centers fails: nobody confirms alone, customers are refused, and after the repair all goes on."""
    with run.fault(LinkBlackholed("*<->*")):
        run.until(customers_are_refused, within_s=60)
        run.decide("the backbone is repaired", after_s=REPAIRED_AFTER_S)
        run.until(customers_are_refused, within_s=5)
    run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
