from faults.model import PRIMARYS_CENTER
from faults.power_loss import CenterPowerLoss
from harness import runbooks
from harness.conditions import all_is_whole, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.three_vendors import three_vendors

TARGETS = Targets(
    rto_s=42,  # 20 lease + 3 election + 2 a dead node's answer + 2 promotion and rerouting + 9 rewind + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "20 s lease + 3 s election, where the store's leader dies too + 2 s waiting for a dead node's answer "
        "+ 2 s promotion and rerouting + 9 s where every copy has to be rewound first + 6 s for a busy machine; the source "
        "documents claim 15 min",
        "rpo_s": "two synchronous copies of five, two databases to a vendor: one copy is another vendor's",
        "lost_transactions": "as rpo_s",
    },
)


@drill(three_vendors, load=payments(), targets=TARGETS, nightly=True)
def test_vendor_loss(run: Run) -> None:
    """The vendor where the primary runs is lost, repaired, and then the next one: nothing confirmed is lost either time."""
    for _ in range(2):
        with run.fault(CenterPowerLoss(PRIMARYS_CENTER)):
            run.until(service_restored, within_s=120)
        run.step("bring every copy back", runbooks.rejoin_standbys)
        run.until(all_is_whole, within_s=60)
