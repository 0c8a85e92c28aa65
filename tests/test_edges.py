"""Edges that authorise by themselves: their store, what they are given, and what both verifiers make of their record."""

from __future__ import annotations

import csv
import io
import sqlite3
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.agreement import compare
from harness.customers import Customers
from judging.crosschecks.edges import hits_others_alone
from judging.evidence import EDGE_COLUMNS, Load
from judging.records import Effect
from runtime import nodes
from runtime.images import edge_store
from runtime.images.edge_store import FULL, Payment, Store
from tests.forger import SECOND_NS, Forger
from tests.synthetic import EDGES, SCENARIOS, write_run
from tests.test_forgeries import light
from tests.test_managers import addresses_of
from topologies.edge_and_center import edge_and_center
from topologies.kinds import EDGE, KINDS
from verifying import verifier

LIMIT = 5000


def payment(number: int, *, debit: str = "a", amount: int = 100) -> Payment:
    return Payment(f"k-{number:04d}", debit, "b", amount)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(str(tmp_path / "edge.db"))
    yield found
    found.close()


# --- The store ----------------------------------------------------------------------------------------------------------
def test_what_is_authorised_is_synced_and_there_for_whoever_opens_the_file(store: Store, tmp_path: Path) -> None:
    assert store.synchronous == FULL
    assert store.writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.authorise([payment(2), payment(1)], account_limit_minor=LIMIT) == ["authorised", "authorised"]
    again = Store(str(tmp_path / "edge.db"))  # as after a SIGKILL: nobody has closed anything
    assert [one.key for one in again.next(9)] == ["k-0002", "k-0001"]  # the order of authorisation
    assert again.unforwarded() == 2
    again.close()


def test_a_key_stands_once(store: Store) -> None:
    assert store.authorise([payment(1), payment(1), payment(1, amount=7)], account_limit_minor=LIMIT) == [
        "authorised", "again", "conflict",
    ]  # fmt: skip
    held = store.held("k-0001")
    assert held is not None
    assert (held.payment, held.status) == (payment(1), None)
    assert store.held("k-0002") is None


def test_an_account_owes_no_more_than_its_limit_to_what_is_not_forwarded(store: Store) -> None:
    first = store.authorise([payment(n, amount=2000) for n in range(3)], account_limit_minor=LIMIT)
    assert first == ["authorised", "authorised", "over"]
    assert store.authorise([payment(7, debit="c", amount=2000)], account_limit_minor=LIMIT) == ["authorised"]
    store.settle([("k-0000", 201)])
    assert store.authorise([payment(2, amount=2000)], account_limit_minor=LIMIT) == ["authorised"]


def test_what_the_center_refused_is_kept_and_not_forwarded_again(store: Store, tmp_path: Path) -> None:
    store.authorise([payment(1), payment(2)], account_limit_minor=LIMIT)
    store.settle([("k-0001", 422)])
    assert [one.key for one in store.next(9)] == ["k-0002"]
    held = store.held("k-0001")
    assert held is not None
    assert held.status == 422
    rows = edge_store.rows(str(tmp_path / "edge.db"), "2020")
    assert [(row[0], row[-1]) for row in rows] == [("k-0001", 422), ("k-0002", None)]


def test_half_a_batch_is_none(store: Store) -> None:
    """A payment that can't be stored takes those with it that are told at the same sync."""
    with pytest.raises(sqlite3.IntegrityError):
        store.authorise([payment(1), Payment("k-2", cast(str, None), "b", 1)], account_limit_minor=LIMIT)
    assert store.unforwarded() == 0
    assert store.authorise([payment(1)], account_limit_minor=LIMIT) == ["authorised"]


def test_only_accounts_that_the_center_told_of_are_known(store: Store) -> None:
    store.know(["a", "b"])
    store.know(["b", "c"])
    assert store.knows("a", "c")
    assert not store.knows("a", "z")


def test_the_record_is_printed_from_a_moment_on_and_by_key(store: Store, tmp_path: Path) -> None:
    store.authorise([payment(3)], account_limit_minor=LIMIT)
    since = edge_store.now()
    store.authorise([payment(2), payment(1)], account_limit_minor=LIMIT)
    program = Path(edge_store.__file__)
    printed = subprocess.run(
        [sys.executable, "-I", str(program), str(tmp_path / "edge.db"), since], capture_output=True, text=True, check=True
    ).stdout
    rows = list(csv.reader(io.StringIO(printed)))
    assert tuple(rows[0]) == edge_store.COLUMNS == EDGE_COLUMNS
    assert [row[0] for row in rows[1:]] == ["k-0001", "k-0002"]
    assert rows[1][1:4] == ["a", "b", "100"]
    assert rows[1][5:] == ["", ""]


# --- What stands --------------------------------------------------------------------------------------------------------
def test_an_edge_knows_its_center_its_peer_and_its_limits() -> None:
    topology = edge_and_center(edge_limit_minor=300)
    program = nodes.program(addresses_of(topology), topology.node("edge-1-edge"))
    assert program.command == ("edge",)
    assert program.volume == KINDS[EDGE].state  # outlives the container's process
    told = program.environment
    assert (told["CENTER"], told["PEERS"], told["LIMIT_MINOR"]) == ("center-bank:8080", "edge-2-edge:8080", "300")


def test_the_door_deals_customers_among_the_edges() -> None:
    lines = nodes.door(addresses_of(edge_and_center())).environment["CONFIG"].splitlines()
    servers = [line.split()[1] for line in lines if line.strip().startswith("server ")]
    assert servers == ["edge-1", "edge-2"]
    assert not any("backup" in line for line in lines)


def customers(answers: list[tuple[float, str, int]]) -> Customers:
    """(seconds that it took, outcome, amount) of a payment every 10 ms of the last 2 s."""
    now = time.monotonic_ns()
    recent = deque(
        (now - n * 10_000_000, now - n * 10_000_000 - int(took * 1e9), told) for n, (took, told, _) in enumerate(answers)
    )
    amounts = deque(amount for _, _, amount in answers)
    return cast(Customers, SimpleNamespace(load=Load(), lock=Lock(), recent=recent, amounts=amounts))


@pytest.mark.parametrize(
    ("spoiled", "reached"),
    [
        (None, True),
        ((0.01, "refused", 800), False),
        ((0.01, "acknowledged", 801), False),
        ((1.2, "acknowledged", 5), False),
        ((1.2, "refused", 900), False),
        ((0.01, "unknown", 900), False),
    ],
)
def test_edges_answer_alone_when_small_and_large_payments_are_told_apart(
    spoiled: tuple[float, str, int] | None, reached: bool
) -> None:
    answers = [(0.01, "acknowledged", 800) if n % 5 else (0.01, "refused", 801) for n in range(200)]
    if spoiled is not None:
        answers[100] = spoiled
    assert Customers.told_apart(customers(answers), 800)[0] is reached


def test_without_a_large_payment_nothing_is_told() -> None:
    assert not Customers.told_apart(customers([(0.01, "acknowledged", 1)] * 200), 800)[0]
    assert not Customers.told_apart(customers([(0.01, "acknowledged", 1), (0.01, "refused", 900)]), 800)[0]


# --- The record, by both verifiers --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("edges") / "run", light(SCENARIOS["edges"]))


def test_both_measure_what_customers_had_of_the_edges(honest: Path) -> None:
    judged, verified, found = compare(honest)
    assert (judged["verdict"], found) == ("PASS", [])
    told = judged["measured"]["edges"]
    assert told == verified["figures"]["edges"]
    assert told["authorised"] > 100
    assert told["refused"] > 20
    assert (told["elsewhere"], told["small_refused"], told["forwarded_s"]) == (0, 0, 0.0)
    assert 0 < told["latency_p50_s"] <= told["latency_p99_s"] < 0.01


def drop_from_the_center(desk: Forger) -> None:
    desk.unbook({desk.table(f"edges/{EDGES[0]}.csv.gz")[3]["key"]})


def book_under_another_key(desk: Forger) -> None:
    row = desk.table(f"edges/{EDGES[0]}.csv.gz")[3]
    desk.book([row | {"key": row["key"] + "-again"}], lambda one: one["forwarded_at"])


def book_another_amount(desk: Forger) -> None:
    row = desk.table(f"edges/{EDGES[0]}.csv.gz")[3]
    desk.unbook({row["key"]})
    desk.book([row | {"amount_minor": "7"}], lambda one: one["forwarded_at"])


def lower_the_limit(desk: Forger) -> None:
    above = max(int(row["amount_minor"]) for row in desk.table(f"edges/{EDGES[0]}.csv.gz"))
    desk.plan["topology"]["settings"]["edge_limit_minor"] = above - 1


def never_forward(desk: Forger) -> None:
    row = desk.table(f"edges/{EDGES[1]}.csv.gz")[3]
    row["forwarded_at"] = row["status"] = ""
    desk.unbook({row["key"]})


def was_refused(desk: Forger) -> None:
    desk.table(f"edges/{EDGES[1]}.csv.gz")[3]["status"] = "422"
    desk.unbook({desk.table(f"edges/{EDGES[1]}.csv.gz")[3]["key"]})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (drop_from_the_center, "1 payments that edge-1-edge had authorised do not stand"),
        (book_another_amount, "1 payments that edge-1-edge had authorised do not stand"),
        (book_under_another_key, "1 payments on dc2-a were sent by nobody"),
        (lower_the_limit, "payments above its limit"),
        (never_forward, "1 payments that edge-2-edge had authorised do not stand"),
        (was_refused, "1 payments that edge-2-edge had authorised do not stand"),
    ],
)
def test_an_edge_that_breaks_its_word_fails(spoil: Callable[[Forger], None], said: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", light(SCENARIOS["edges"]))
    with Forger(run) as desk:
        spoil(desk)
    judged, verified, found = compare(run)
    assert (judged["verdict"], verified["verdict"], found) == ("FAIL", "FAIL", [])
    assert any(said in reason for reason in judged["reasons"]), judged["reasons"]


def drop_a_row(desk: Forger) -> None:
    desk.table(f"edges/{EDGES[0]}.csv.gz").pop(4)


def miscount(desk: Forger) -> None:
    desk.count = False
    desk.table(f"edges/{EDGES[0]}.csv.gz").pop(4)


def say_nothing(desk: Forger) -> None:
    desk.drop_events(lambda event: event["kind"] == "edge_store" and event["data"]["node"] == EDGES[0])


def lose_the_file(desk: Forger) -> None:
    (desk.directory / "edges" / f"{EDGES[1]}.csv.gz").unlink()


def answer_without_a_time(desk: Forger) -> None:
    desk.table(f"edges/{EDGES[0]}.csv.gz")[4]["forwarded_at"] = ""


def twice(desk: Forger) -> None:
    rows = desk.table(f"edges/{EDGES[0]}.csv.gz")
    rows.insert(4, dict(rows[4]))


def tell_no_time(desk: Forger) -> None:
    desk.table(f"edges/{EDGES[0]}.csv.gz")[4]["authorised_at"] = "yesterday"


def after_its_heal(desk: Forger) -> None:
    healed = next(event["t_ns"] for event in desk.kind("heal_started"))
    row = desk.table(f"edges/{EDGES[0]}.csv.gz")[4]
    row["authorised_at"] = desk.wall(healed + 31 * SECOND_NS)


@pytest.mark.parametrize(
    "spoil", [drop_a_row, miscount, say_nothing, lose_the_file, answer_without_a_time, twice, tell_no_time, after_its_heal]
)
def test_a_record_that_is_not_whole_proves_nothing(spoil: Callable[[Forger], Any], tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", light(SCENARIOS["edges"]))
    with Forger(run) as desk:
        spoil(desk)
    judged, verified, found = compare(run)
    assert (judged["verdict"], verified["verdict"]) == ("INVALID", "INVALID"), judged["reasons"]
    assert found == []


@pytest.mark.parametrize(
    ("effect", "excuses"),
    [
        ({"cut": ["edge-1->center", "center->edge-1"]}, True),
        ({"cut": ["edge-2->center", "center->edge-2"]}, False),
        ({"cut": ["door->edge-2"]}, False),
        ({"cut": ["edge-2-edge->center"]}, False),
        ({"cut": ["edge-2->edge-1"]}, True),
        ({"cut": ["edge-2->center", "center->far"]}, True),  # a way between centers of the bank: it may hold the bank up
        ({"impaired": ["edge-1->center"]}, True),
        ({"impaired": ["edge-2->center"]}, False),
        ({"down": ["edge-1-edge"]}, True),
        ({"down": ["edge-2-edge"]}, False),
        ({"down": ["edge-2-edge", "center-a"]}, True),
        ({"down": ["center-a"], "destroyed": ["center-a"]}, True),
        ({"damaged": ["payments"]}, True),
        ({"down": ["edge-2-edge"], "damaged": ["payments"]}, True),
        ({}, True),  # it hits nothing that is told, as a switchover: it may have kept the edge from its center
    ],
)
def test_a_fault_at_another_edge_excuses_no_authorisation(effect: dict[str, list[str]], excuses: bool) -> None:
    place = {"edge-1-edge": ("edge-1", "edge"), "edge-2-edge": ("edge-2", "edge"), "center-a": ("center", "postgres")}
    assert hits_others_alone(Effect(**effect), EDGES[0], place) is not excuses
    run: Any = SimpleNamespace(center_of={name: center for name, (center, _) in place.items()}, edge_nodes=list(EDGES))
    fault = SimpleNamespace(**({name: [] for name in ("down", "cut", "destroyed", "damaged", "impaired")} | effect))
    assert verifier.hits_others_alone(run, fault, EDGES[0]) is not excuses


def test_an_edges_record_that_was_put_in_after_the_seal_does_not_count(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", light(SCENARIOS["edges"]))
    (run / "edges" / "edge-3-edge.csv.gz").write_bytes((run / "edges" / f"{EDGES[0]}.csv.gz").read_bytes())
    judged, verified, _ = compare(run)
    assert judged["verdict"] == verified["verdict"] == "INVALID"
    assert "The seal is broken: edges/edge-3-edge.csv.gz is not in manifest.json." in judged["reasons"]
