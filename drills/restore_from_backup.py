from faults.table_emptied import TableEmptied
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.going_back import new_backup, people_go_back
from harness.run import Run
from judging.evidence import Targets
from topologies.single_center import single_center

TARGETS = Targets(
    rto_s=65,  # 10 decision + 5 door, statement, log + 12 restore + 8 a copy of it + 30 for a busy machine
    rpo_s=13,  # 10 decision + 3 until the door is closed
    detect_s=5,
    basis={
        "rto_s": "10 s decision + 5 s door, statement, log + 12 s restore + 8 s until a copy confirms + 30 s for a busy machine",
        "rpo_s": "10 s decision + 3 s until the door is closed: what was paid since the statement is given up",
        "detect_s": "the bank balances every account with its entries five times a second here; a busy machine gets the rest",
    },
)


@drill(single_center, load=payments(), targets=TARGETS, nightly=True)
def test_restore_from_backup(run: Run) -> None:
    """A wrong statement empties a table on every copy: the bank goes back to the moment before, and tells what that cost."""
    with run.fault(TableEmptied("payments")):
        people_go_back(run)
        run.until(service_restored, within_s=120)
    run.step("take a new backup", new_backup)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
