from faults.table_locked import TableLocked
from harness import runbooks
from harness.conditions import customers_are_kept_waiting, replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

FOUND_AFTER_S = 15  # what people are given to be called and to look: a drill cannot measure them, so it is set
TARGETS = Targets(
    rto_s=26,  # 15 until people look + 5 to find and end the session + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "15 s until people look + 5 s to find the session and end it + 6 s for a busy machine",
        "rpo_s": "nothing dies: who waits is not confirmed",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_table_locked(run: Run) -> None:
    """A maintenance session locks the accounts and stays: payments wait until people end it, and nothing confirmed is lost."""
    with run.fault(TableLocked("accounts")):
        run.until(customers_are_kept_waiting, within_s=30)
        run.decide("somebody looks who blocks whom", after_s=FOUND_AFTER_S)
        run.step("end the session that all others wait for", runbooks.end_blocking_sessions)
        run.until(service_restored, within_s=60)
    run.until(replicas_caught_up, within_s=60)
