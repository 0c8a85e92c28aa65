"""The harness sees what it must see: each test spoils something real behind its back, and the verdict must say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faults.node_killed import NodeKilled
from faults.power_loss import CenterPowerLoss
from harness.conditions import service_restored
from harness.drill import payments
from harness.run import Run
from judging.evidence import Evidence, Load
from judging.measure import measure
from managers import patroni
from runtime.cluster import Cluster
from runtime.database import wait_for
from tests.laboratory import perform

pytestmark = pytest.mark.docker


def lose_dc1(run: Run) -> None:
    with run.fault(CenterPowerLoss("dc1")):
        run.until(service_restored, within_s=120)
    run.step("wait for copies again", lambda cluster: set_synchronous(cluster, on=True))


def set_synchronous(cluster: Cluster, *, on: bool) -> None:
    primary = cluster.wait_primary(within_s=10).name
    patroni.call(cluster, primary, "PATCH", "/config", {"synchronous_mode": on, "synchronous_mode_strict": on})


def kill_a_bystander(run: Run) -> None:
    """A fault that customers do not notice: what is tested here is not the outage."""
    with run.fault(NodeKilled("dc2-haproxy")):
        run.until(service_restored, within_s=60)


def make_asynchronous(cluster: Cluster) -> None:
    """Synchronous replication off, and the way to the other center slow: what is confirmed is 0.3 s ahead of its copy."""
    set_synchronous(cluster, on=False)
    primary = cluster.wait_primary(within_s=10).name
    wait_for(
        lambda: cluster.sql(primary, "SHOW synchronous_standby_names")[0][0] == "", within_s=20, what="asynchronous replication"
    )
    cluster.set_latency({("dc1", "dc2"): 300, ("dc1", "dc3"): 300})


def test_lost_payments_are_seen_and_are_those_on_the_dead_disk(tmp_path: Path) -> None:
    result = perform(lose_dc1, tmp_path, sabotage=make_asynchronous)
    seen = json.loads((result.directory / "verdict.json").read_text())
    assert seen["verdict"] == "FAIL", seen["reasons"]
    assert seen["measured"]["lost_transactions"] > 0
    assert seen["measured"]["rpo_s"] > 0
    assert seen["measured"]["wal_bytes_lost"] > 0
    # The old primary's disk, read while it was dead, holds each payment that was confirmed and is gone.
    evidence = Evidence(result.directory)
    figures = measure(evidence)
    dead = evidence.autopsy("dc1-a")
    assert dead is not None
    survived = set(evidence.copy(str(figures.authority), "payments")["key"])
    acknowledged = set()
    for ledger in (evidence.probe, evidence.ledger):
        acknowledged |= set(ledger.loc[ledger["outcome"] == "acknowledged", "key"])
    on_the_dead_disk_only = (set(dead["key"]) - survived) & acknowledged
    assert set(figures.lost_keys) == on_the_dead_disk_only


class NoOp(CenterPowerLoss):
    """Does nothing, and claims to be a power loss."""

    def inject(self, cluster: Cluster) -> None:
        del cluster


def test_a_fault_that_did_not_happen_is_invalid(tmp_path: Path) -> None:
    def body(run: Run) -> None:
        with run.fault(NoOp("dc1")):
            run.until(service_restored, within_s=60)

    result = perform(body, tmp_path)
    assert result.verdict.verdict == "INVALID"
    assert result.exit_code == 2
    assert any("proof" in reason.lower() or "proved" in reason.lower() for reason in result.verdict.reasons)
    assert result.verdict.measured.lost_transactions == 0


def test_a_drill_without_customers_is_invalid(tmp_path: Path) -> None:
    def body(run: Run) -> None:
        with run.fault(NodeKilled("dc2-haproxy")):
            pass

    nobody = Load(probe_interval_ms=0, customers=0, customer_rate_per_s=0, baseline_s=1)
    result = perform(body, tmp_path, load=nobody)
    assert result.verdict.verdict == "INVALID"
    assert result.verdict.measured.acknowledged == 0


def lie(cluster: Cluster) -> None:
    """One payment in fifty is answered `committed` and written nowhere."""
    primary = cluster.wait_primary(within_s=10).name
    source = cluster.sql(primary, "SELECT pg_get_functiondef('pay'::regproc)")[0][0]
    liar = source.replace("BEGIN\n", "BEGIN\n  IF random() < 0.02 THEN RETURN 'committed'; END IF;\n", 1)
    assert liar != source
    cluster.sql(primary, liar)


def test_a_service_that_lies_fails(tmp_path: Path) -> None:
    result = perform(kill_a_bystander, tmp_path, sabotage=lie, load=payments(baseline_s=3))
    assert result.verdict.verdict == "FAIL", result.verdict.reasons
    assert (result.verdict.measured.lost_transactions or 0) > 0
    assert result.exit_code == 1
