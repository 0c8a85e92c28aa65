from faults.center_isolated import CenterIsolated
from faults.model import PRIMARYS_CENTER
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=41,  # 20 lease + 2 a silent node's answer + 4 promotion and rerouting + 9 rewind of copies + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "20 s lease + 2 s waiting for a silent node's answer + 4 s promotion and rerouting "
        "+ 9 s where every copy has to be rewound first + 6 s for a busy machine",
        "rpo_s": "two synchronous copies of four, so one is outside the center that is cut off",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_isolated_primary(run: Run) -> None:
    """The production center lives and reaches nobody: the other one takes over, and the old primary is none when it is back."""
    with run.fault(CenterIsolated(PRIMARYS_CENTER)):
        people_take_over(run)
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
