from faults.link_degraded import LinkDegraded
from harness.conditions import copies_agree, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    interruption_s=5,  # 0 nobody who confirms is behind that line + 5 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "interruption_s": "0 s, since no copy that has to confirm is behind that line + 5 s for a busy machine",
        "rpo_s": "the primary lives, and the copies that confirm are not behind that line",
        "lost_transactions": "the primary lives: what it confirmed it has",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_replication_audit(run: Run) -> None:
    """The line to the other region is slow, lossy and narrow: payments don't wait for it, and every copy holds the same rows."""
    with run.fault(LinkDegraded("dc1<->dc3", latency_ms=80, jitter_ms=20, loss_percent=3, bandwidth_kbps=8000)):
        run.until(service_restored, within_s=60)
        run.until(copies_agree, within_s=60)
    run.until(replicas_caught_up, within_s=60)
