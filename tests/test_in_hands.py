"""A topology held in one's hands, through the command line, and the bank's door as the contract says."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from harness.hold import attach
from runtime.cluster import Cluster
from runtime.database import wait_for
from runtime.links import cut_table
from runtime.redundancy import fully_redundant
from tests.laboratory import command, drillbook, standing_below

pytestmark = pytest.mark.docker


@dataclass(frozen=True)
class Hands:
    """A directory from which `drillbook up` stood a topology up, and that topology's run id: others may stand beside it."""

    directory: Path
    run_id: str

    def drillbook(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return drillbook(*arguments, cwd=self.directory)

    def inject(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.drillbook("inject", *arguments, "--run", self.run_id)

    def heal(self) -> subprocess.CompletedProcess[str]:
        return self.drillbook("heal", "--run", self.run_id)

    def status(self) -> dict[str, Any]:
        found = self.drillbook("status", "--json")
        assert found.returncode == 0, found.stderr
        (mine,) = [one for one in json.loads(found.stdout) if one["run_id"] == self.run_id]
        assert isinstance(mine, dict)
        return mine


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hands]:
    directory = tmp_path_factory.mktemp("hands")
    up = drillbook("up", "two-region-three-center", cwd=directory)
    assert up.returncode == 0, up.stdout + up.stderr
    run_id = next(line for line in up.stdout.splitlines() if " stands; " in line).split()[0]
    yield Hands(directory, run_id)
    drillbook("down", run_id, cwd=directory)


def pay(door: str, key: str, *, amount: Any = 7, debit: str = "acc-0101", credit: str = "acc-0102") -> requests.Response:
    """As a client does: what got no answer, or 5xx, is asked again with the same key."""
    body = {"debit": debit, "credit": credit, "amount_minor": amount}
    reply = requests.Response()

    def answered() -> bool:
        nonlocal reply
        reply = requests.post(f"{door}/payments", json=body, headers={"Idempotency-Key": key} if key else {}, timeout=5)
        return reply.status_code < 500

    wait_for(answered, within_s=30, what=f"an answer to {key}", every_s=0.2)
    return reply


def test_the_door_keeps_the_contract(hands: Hands) -> None:
    door = hands.status()["door"]
    assert pay(door, "k1").status_code in (200, 201)  # 200: the first try was committed and its answer lost
    assert pay(door, "k1").status_code == 200
    assert pay(door, "k1", amount=8).status_code == 409
    assert pay(door, "k2", amount=0).status_code == 422
    assert pay(door, "k2", amount="7").status_code == 422
    assert pay(door, "k2", credit="acc-0101").status_code == 422
    assert pay(door, "k2", credit="nobody").status_code == 422
    assert pay(door, "").status_code == 422
    assert requests.post(f"{door}/payments", data="{", headers={"Idempotency-Key": "k2"}, timeout=5).status_code == 422
    assert requests.get(f"{door}/payments/k1", timeout=5).json()["amount_minor"] == 7
    assert requests.get(f"{door}/payments/k2", timeout=5).status_code == 404
    too_late = {"Idempotency-Key": "k3", "Not-After": str(time.time() - 1)}  # a line had held it back
    body = {"debit": "acc-0101", "credit": "acc-0102", "amount_minor": 7}
    assert requests.post(f"{door}/payments", json=body, headers=too_late, timeout=5).status_code == 503
    assert requests.post(f"{door}/payments", json=body, headers=too_late | {"Not-After": "soon"}, timeout=5).status_code == 422
    assert requests.get(f"{door}/payments/k3", timeout=5).status_code == 404
    accounts = requests.get(f"{door}/accounts", timeout=5).json()
    assert len(accounts) == 1000
    account = requests.get(f"{door}/accounts/acc-0101", timeout=5).json()
    assert account["balance_minor"] == 1000000000 - 7
    assert requests.get(f"{door}/accounts/nobody", timeout=5).status_code == 404
    assert requests.get(f"{door}/ready", timeout=5).status_code == 200


def test_a_fault_by_hand_is_shown_proved_and_healed_by_another_process(hands: Hands) -> None:
    injected = hands.inject("LinkBlackholed", "dc1->dc3")
    assert injected.returncode == 0, injected.stdout + injected.stderr
    assert "NOT PROVED" not in injected.stdout
    assert "datagrams dc3->dc1: expected arrive" in injected.stdout  # one way only
    assert [f["name"] for f in hands.status()["faults"]] == ["LinkBlackholed"]
    assert hands.heal().returncode == 0
    assert hands.status()["faults"] == []
    again = hands.heal()
    assert (again.returncode, again.stdout.strip()) == (0, "nothing to heal")


def test_a_killed_node_is_seen_and_comes_back(hands: Hands) -> None:
    injected = hands.inject("NodeKilled", "dc2-b", "--for", "1")
    assert injected.returncode == 0, injected.stdout + injected.stderr
    assert "proved  dc2-b" in injected.stdout
    assert hands.status()["down"] == []


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (("LinkRefused", "dc1<->dc3"), r"packets refused; seen \d+ packets refused"),
        (
            ("LinkDegraded", "*->dc3", "--set", "jitter_ms=10"),
            r"seen 100 ms ± 10 ms more on (\d+) of \1 streams, round trip \d{3} ms",
        ),
        (
            ("LinkDegraded", "dc1<->dc3", "--set", "latency_ms=0", "--set", "loss_percent=5"),
            r"seen 5 % dropped: \d+ of \d+ packets",
        ),
        (("LinkDegraded", "dc1->dc3", "--set", "bandwidth_kbps=8000"), r"seen 8000 kbit/s"),
        (("ProcessKilled", "checkpointer@dc2-b"), r"seen gone; now "),
        (("NodeFrozen", "dc2-b"), r"seen frozen, no answer"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_it_is_done_as_said_and_nothing_of_it_is_left(hands: Hands, words: tuple[str, ...], seen: str) -> None:
    cluster, _ = attach(hands.run_id)
    rules = {link: cluster.script(link, "nft list ruleset; tc qdisc show") for link in ("link-dc1-dc3", "link-dc2-dc3")}
    injected = hands.inject(*words, "--for", "1")
    assert injected.returncode == 0, injected.stdout + injected.stderr
    assert re.search(seen, injected.stdout), injected.stdout
    assert "NOT PROVED" not in injected.stdout
    assert hands.status()["faults"] == []
    assert {link: cluster.script(link, "nft list ruleset; tc qdisc show") for link in rules} == rules
    assert {one for path in ("dc1->dc3", "dc3->dc1") for one in cluster.slowed(path)} == {None}
    wait_for(lambda: fully_redundant(cluster), within_s=60, what="full redundancy", every_s=0.2)


def test_what_was_injected_for_a_while_is_healed_though_inject_is_killed(hands: Hands) -> None:
    words = command("inject", "LinkBlackholed", "dc1->dc3", "--for", "6", "--run", hands.run_id)
    with subprocess.Popen(words, cwd=hands.directory, stdout=subprocess.PIPE, text=True) as inject:
        assert inject.stdout is not None
        assert any(" is in for 6 s" in line for line in inject.stdout)  # else it ended before
        inject.kill()
    (active,) = hands.status()["faults"]
    assert (active["name"], active["target"]) == ("LinkBlackholed", "dc1->dc3")
    wait_for(lambda: hands.status()["faults"] == [], within_s=60, what="the lease to end", every_s=0.5)
    assert attach(hands.run_id)[0].dropped("dc1->dc3") is None


@pytest.mark.parametrize("held", [True, False])
def test_a_frozen_node_dies_too(hands: Hands, held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever may hold its processes, and through the engine; and a start right after the kill is no start of a dead man."""
    cluster, _ = attach(hands.run_id)
    if not held:
        monkeypatch.setattr(Cluster, "machine", lambda *_: None)
    elif cluster.machine("dc3-bank") is None:
        pytest.skip("needs root on the engine's own host")
    cluster.container("dc3-bank").pause()
    cluster.kill(["dc3-bank"])
    cluster.wait_dead("dc3-bank")
    assert cluster.container_state("dc3-bank")["ExitCode"] == 137
    cluster.start(["dc3-bank"])
    cluster.kill(["dc3-bank"])
    cluster.start(["dc3-bank"])
    assert cluster.running("dc3-bank")


def test_a_frozen_balancer_does_not_answer(hands: Hands) -> None:
    """Its kernel goes on taking connections."""
    cluster, _ = attach(hands.run_id)
    assert all(cluster.answers(name) for name in ("dc1-haproxy", "dc3-haproxy"))  # one with a primary, one without
    cluster.container("dc1-haproxy").pause()
    try:
        assert cluster.listening("dc1-haproxy", 5432)
        assert not cluster.answers("dc1-haproxy")
    finally:
        cluster.container("dc1-haproxy").unpause()
    assert cluster.answers("dc1-haproxy")


def test_a_scrub_of_a_copy_reads_what_changed_a_moment_ago(hands: Hands) -> None:
    """A page that a copy wrote since its last restart point is newer than a base backup's start, which skips such pages."""
    door, copy = hands.status()["door"], "dc2-b"
    for number in range(3):
        assert pay(door, f"scrub-{number}").status_code in (200, 201)
    cluster, _ = attach(hands.run_id)
    wait_for(
        lambda: cluster.sql(copy, "SELECT 1 FROM entries WHERE key = 'scrub-2'"), within_s=30, what="the payment on the copy"
    )
    injected = hands.inject("BitsFlipped", f"entries@{copy}")
    assert injected.returncode == 0, injected.stdout + injected.stderr
    assert any("checksum" in line for line in cluster.scrub(copy))
    healed = hands.heal()
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert cluster.scrub(copy) == []


def test_both_ways_to_cut_put_the_same_rules(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages to the kernel, and the text that nft reads: what nft then lists is the same, but for the counters."""
    cluster, _ = attach(hands.run_id)
    if cluster.machine("door") is None:
        pytest.skip("needs root on the engine's own host")
    paths = {"dc2->dc3": "link-dc2-dc3", "door->dc3": "door"}

    def rules() -> list[str]:
        listed = [cluster.script(place, f"nft list table ip {cut_table(*path.split('->'))}") for path, place in paths.items()]
        return [re.sub(r"counter packets \d+ bytes \d+", "counter", one) for one in listed]

    try:
        cluster.cut(paths)
        by_messages = rules()
        assert [cluster.dropped(path) is not None for path in paths] == [True, True]
        with monkeypatch.context() as patch:
            patch.setattr(Cluster, "machine", lambda *_: None)
            cluster.cut(paths)
            assert [cluster.dropped(path) is not None for path in paths] == [True, True]
        assert rules() == by_messages
    finally:
        cluster.restore(paths)
    assert [cluster.dropped(path) for path in paths] == [None, None]


def test_bad_words_get_one_clear_line(hands: Hands) -> None:
    for refused, expected in (
        (hands.inject("Fire", "dc1"), "no fault 'Fire': there are"),
        (hands.inject("NodeKilled", "dc9-x"), "no node 'dc9-x'"),
        (hands.inject("LinkBlackholed", "dc1->dc9"), "no link 'dc1->dc9'"),
        (hands.drillbook("down", "nobody"), "'nobody' does not stand"),
    ):
        assert refused.returncode == 3, refused.stderr
        assert expected in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert hands.status()["faults"] == []


def test_down_leaves_nothing(hands: Hands) -> None:
    """Runs last in this file: it takes the topology down."""
    assert list(standing_below(hands.directory)) == [hands.run_id]
    wait_for(lambda: hands.drillbook("down", hands.run_id).returncode == 0, within_s=60, what="down")
    assert not standing_below(hands.directory)
    assert hands.run_id not in hands.drillbook("status").stdout
