from faults.site_destroyed import SiteDestroyed
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import DECISION_AFTER_S, no_bank_can_write
from judging.evidence import Targets
from topologies.single_center import single_center

TARGETS = Targets(
    rto_s=60,  # 10 decision + 12 new machines and restore + 8 a copy of it + 30 for a busy machine
    rpo_s=13,  # 10 archive_timeout_s + 3 until that segment stands in the vault
    basis={
        "rto_s": "10 s decision + 12 s new machines and restore + 8 s until a copy confirms + 30 s for a busy machine",
        "rpo_s": "10 s archive time-out + 3 s until that segment stands in the vault: a backup is no copy, the rest is lost",
    },
)


@drill(single_center, load=payments(), targets=TARGETS, nightly=True)
def test_site_destroyed(run: Run) -> None:
    """The only site is destroyed, disks and all: a new one is made from the vault, and what was lost is known to the payment."""
    with run.fault(SiteDestroyed("site")):
        run.step("the front door sees no bank that can write", no_bank_can_write, role="detect")
        run.decide("give the site up", after_s=DECISION_AFTER_S)
        run.stand_in("site")
        run.until(service_restored, within_s=120)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
