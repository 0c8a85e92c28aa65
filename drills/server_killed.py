from faults.process_killed import ProcessKilled
from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from harness.drill import drill, payments
from harness.run import Run
from harness.takeover import people_take_over
from judging.evidence import Targets
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(
    rto_s=20,  # 1 the manager's turn + 4 promotion and rerouting + 9 rewind of copies + 6 for a busy machine
    rpo_s=0,
    lost_transactions=0,
    basis={
        "rto_s": "1 s until the manager's turn, who gives the lease up at once + 4 s promotion and rerouting + 9 s where every "
        "copy has to be rewound first + 6 s for a busy machine",
        "rpo_s": "the disk and two synchronous copies have what was confirmed",
        "lost_transactions": "as rpo_s",
    },
)


@drill(two_region_three_center, load=payments(), targets=TARGETS, nightly=True)
def test_server_killed(run: Run) -> None:
    """The primary's database server is killed, and its machine lives: nobody waits for a lease, and nothing confirmed is lost."""
    with run.fault(ProcessKilled("server")):
        people_take_over(run)
        run.until(service_restored, within_s=60)
    run.step("bring every copy back", runbooks.rejoin_standbys)
    run.until(replicas_caught_up, within_s=60)
