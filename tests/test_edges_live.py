"""What edges answer for real while they are cut off, and afterwards: payments again, other ones of a key, reads. On Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.center_isolated import CenterIsolated
from harness.conditions import edges_answer_alone, edges_have_forwarded, service_restored
from harness.run import Run
from judging.evidence import Targets
from runtime.cluster import Cluster
from runtime.edges import edges
from tests.laboratory import perform
from topologies.edge_and_center import edge_and_center
from topologies.kinds import EDGE, KINDS

pytestmark = [pytest.mark.docker, pytest.mark.nightly]
KEY = "observer-edge-1"  # an independent client's


def pay(cluster: Cluster, node: str, key: str, amount: int, *, credit: str = "acc-0008", **more: str) -> int:
    """At an edge, or at the bank: both take payments at the same port."""
    url = f"http://{cluster.addresses.node(node)}:{KINDS[EDGE].port}/payments"
    body = {"debit": "acc-0007", "credit": credit, "amount_minor": amount}
    headers = {"Idempotency-Key": key, **{name.replace("_", "-"): value for name, value in more.items()}}
    return int(cluster.http().post(url, json=body, headers=headers, timeout=5).status_code)


def find(cluster: Cluster, node: str, key: str) -> int | None:
    return cluster.http_status(f"http://{cluster.addresses.node(node)}:{KINDS[EDGE].port}/payments/{key}")


def expect(seen: object, wanted: object) -> None:
    if seen != wanted:
        raise AssertionError(f"expected {wanted}; seen {seen}")


def alone(cluster: Cluster) -> None:
    one, other = edges(cluster)
    expect(pay(cluster, one, KEY, 800), 201)
    expect(pay(cluster, one, KEY, 800), 200)
    expect(pay(cluster, one, KEY, 799), 409)
    expect(pay(cluster, one, f"{KEY}-large", 801), 503)
    expect(pay(cluster, one, f"{KEY}-nobody", 5, credit="acc-9999"), 503)
    expect(pay(cluster, one, f"{KEY}-wrong", 0), 422)
    expect([find(cluster, node, KEY) for node in (one, other)], [200, 200])  # the other one asks
    expect([find(cluster, node, f"{KEY}-none") for node in (one, other)], [503, 503])  # the center may have it


def together(cluster: Cluster) -> None:
    one, other = edges(cluster)
    expect([find(cluster, node, KEY) for node in (one, other)], [200, 200])
    expect([find(cluster, node, f"{KEY}-none") for node in (one, other)], [404, 404])
    expect([pay(cluster, node, KEY, 800) for node in (one, other)], [200, 200])
    expect([pay(cluster, node, KEY, 799) for node in (one, other)], [409, 409])
    expect(pay(cluster, other, f"{KEY}-large", 801), 201)  # the center's to decide
    expect(pay(cluster, "center-bank", f"{KEY}-late", 5, not_after="1700000000.000"), 503)  # nobody waits for it any longer
    expect(find(cluster, one, f"{KEY}-late"), 404)


def talks(run: Run) -> None:
    with run.fault(CenterIsolated("center")):
        run.until(edges_answer_alone, within_s=20)
        run.step("ask edges that are cut off", alone)
    run.until(edges_have_forwarded, within_s=120)
    run.step("ask them again", together)
    run.until(service_restored, within_s=60)


def test_edges_tell_what_they_know_and_no_more(tmp_path: Path) -> None:
    result = perform(talks, tmp_path, topology=edge_and_center, targets=Targets(lost_transactions=0))
    assert result.verdict.verdict == "PASS", result.verdict.reasons
