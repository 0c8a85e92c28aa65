"""What people do where nobody takes over by itself: they notice, decide and promote. A part of a drill's body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import runbooks
from harness.conditions import replicas_caught_up, service_restored
from runtime.database import wait_for
from runtime.manager import manager_of

if TYPE_CHECKING:
    from faults.power_loss import RegionLoss
    from harness.run import Run
    from runtime.cluster import Cluster
    from topologies.model import Group

DECISION_AFTER_S = 10  # what people are given to decide; a drill cannot measure them, so it is set, and part of the RTO
NOTICED_WITHIN_S = 30.0


def people_take_over(run: Run) -> None:
    """Nothing where the manager of the primary side takes over by itself; else three steps of a runbook.

    People notice that the front door sees no bank that can write, decide ten seconds after the fault, and promote the living copy
    that received most.
    """
    group = next(g for g in run.cluster.topology.groups if g.upstream is None)
    manager = manager_of(group)
    if manager.takes_over:
        return
    run.step("the front door sees no bank that can write", no_bank_can_write, role="detect")
    run.decide("promote a copy", after_s=DECISION_AFTER_S)
    run.step("promote the copy that received most", lambda cluster: take_over(cluster, group), role="promote")


def people_move_to_remote(run: Run, loss: RegionLoss) -> None:
    """A whole region is lost: people notice, decide ten seconds after it, promote the standby side and let customers in there.

    Then the region is made a copy of it, and all copies are brought back.
    """
    region = loss.target
    with run.fault(loss):
        run.step(
            f"the front door sees no bank of region {region}",
            lambda cluster: wait_for(
                lambda: runbooks.region_is_dark(cluster, region), within_s=NOTICED_WITHIN_S, what=f"region {region} dark"
            ),
            role="detect",
        )
        run.decide(f"give region {region} up", after_s=DECISION_AFTER_S)
        run.step(f"keep customers out of region {region}", lambda cluster: runbooks.close_door_to_region(cluster, region))
        remote = runbooks.remote_center(run.cluster).name
        run.step(f"promote {remote}", runbooks.promote_remote_region, role="promote")
        run.step(f"let customers into {remote}", runbooks.open_door_to_remote, role="reroute")
        run.until(service_restored, within_s=120)
        run.begin_heal()
        run.autopsy()
        run.step(
            f"rebuild region {region} as the standby side", lambda cluster: runbooks.rebuild_region_as_standby(cluster, region)
        )
        run.step("bring every copy back", runbooks.rejoin_standbys)
        run.until(replicas_caught_up, within_s=60)


def no_bank_can_write(cluster: Cluster) -> None:
    def dark() -> bool:
        return not any(status.startswith("UP") for status in cluster.door_servers().values())

    wait_for(dark, within_s=NOTICED_WITHIN_S, what="no bank that the front door would send a payment to")


def take_over(cluster: Cluster, group: Group) -> str:
    return manager_of(group).take_over(cluster, group)
