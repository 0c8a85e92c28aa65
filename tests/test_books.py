"""The bank's books, payment by payment: small ledgers and copies written by hand, and what `audit` makes of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from judging.books import Books, audit
from judging.evidence import COPY_COLUMNS, PAYMENT_COLUMNS, Evidence, csv_gz, csv_text
from judging.records import Records, read
from tests.synthetic import Scenario, exempt, write_run
from tests.test_measure import light, without

S = 1_000_000_000
NODES = ("dc1-a", "dc1-b", "dc2-a", "dc2-b", "dc3-a")
STATUS = {"acknowledged": 201, "refused": 503, "unknown": ""}
RUN = Scenario().run_id


@dataclass(frozen=True)
class Paid:
    """One payment as its customer tells it. Times in seconds."""

    key: str
    outcome: str = "acknowledged"
    done_s: float = 10.0
    sent_s: float | None = None
    debit: str = "A1"
    credit: str = "A2"
    amount: int = 100

    def row(self) -> list[object]:
        done, sent = round(self.done_s * S), round((self.done_s - 0.5 if self.sent_s is None else self.sent_s) * S)
        return [self.key, sent, sent, done, STATUS[self.outcome], self.outcome, self.debit, self.credit, self.amount, ""]


@dataclass
class Bank:
    """The tables of one copy: payments, what they moved, and balances that follow. Each may then be changed by hand."""

    payments: list[list[Any]]
    entries: list[list[Any]]
    accounts: list[list[Any]] = field(default_factory=list)

    @classmethod
    def of(cls, paid: Sequence[Paid]) -> Bank:
        payments = [[one.key, one.debit, one.credit, one.amount, "2026-01-15T02:00:25Z"] for one in paid]
        entries: list[list[Any]] = [
            [one.key, account, amount]
            for one in paid
            for account, amount in sorted(((one.debit, -one.amount), (one.credit, one.amount)))
        ]
        bank = cls(payments, entries)
        for name in ("A1", "A2", "A3"):
            bank.accounts.append([name, 1000, 1000 + sum(amount for _, account, amount in entries if account == name)])
        return bank


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("books") / "run", light(Scenario()))


Write = Callable[..., Path]


@pytest.fixture
def written(clean: Path, tmp_path: Path) -> Write:
    """A run with these ledgers, and this bank on every copy; on those in `other`, another one."""

    def write(probe: Sequence[Paid], locust: Sequence[Paid], bank: Bank, *, other: dict[str, Bank] | None = None,
              dead: dict[str, Sequence[Paid]] | None = None) -> Path:  # fmt: skip
        directory = Path(shutil.copytree(clean, tmp_path / "run"))
        for name, ledger in (("probe.csv", probe), ("ledger.csv", locust)):
            (directory / name).write_text(csv_text(PAYMENT_COLUMNS, [one.row() for one in ledger]))
        for node in NODES:
            tables = (other or {}).get(node, bank)
            for table, columns in COPY_COLUMNS.items():
                csv_gz(directory / f"copies/{node}.{table}.csv.gz", csv_text(columns, getattr(tables, table)).encode())
        shutil.rmtree(directory / "autopsy", ignore_errors=True)
        (directory / "autopsy").mkdir()
        for node, paid in (dead or {}).items():
            text = csv_text(COPY_COLUMNS["payments"], Bank.of(paid).payments)
            csv_gz(directory / f"autopsy/{node}.payments.csv.gz", text.encode())
        events(directory, without("autopsy"))
        return directory

    return write


def events(directory: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None], *more: tuple[str, dict[str, Any]]) -> None:
    """Change or drop (None) events, and tell some more."""
    told = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    kept = [changed for event in told if (changed := change(event)) is not None]
    kept += [{**kept[-1], "kind": kind, "data": data} for kind, data in more]
    (directory / "events.jsonl").write_text("".join(json.dumps({**event, "seq": n}) + "\n" for n, event in enumerate(kept)))


def audited(directory: Path) -> tuple[Books, list[str]]:
    """The books, and the doubts that the audit itself had: the files were written anew, and the seal knows."""
    records: Records = read(Evidence(directory))
    before = list(records.doubts)
    return audit(records), [doubt for doubt in records.doubts if doubt not in before]


def paid(count: int, *, name: str = "p", from_s: float = 10.0, outcome: str = "acknowledged") -> list[Paid]:
    """One payment a second."""
    return [Paid(f"{RUN}-{name}-{n:07d}", outcome, from_s + n) for n in range(count)]


# Counts


def test_every_payment_is_counted_once_by_what_its_customer_was_told(written: Write) -> None:
    probe = [*paid(3), *paid(4, name="r", outcome="refused"), *paid(5, name="u", outcome="unknown")]
    locust = [*paid(2, name="c"), *paid(1, name="d", outcome="unknown")]
    books, _ = audited(written(probe, locust, Bank.of([*probe[:2], probe[3], *probe[7:9], *locust])))
    first, second = books.counts
    assert (first.source, first.sent, first.acknowledged, first.refused, first.unknown) == ("probe", 12, 3, 4, 5)
    assert (first.acknowledged_present, first.lost, first.refused_present) == (2, 1, 1)
    assert (first.unknown_committed, first.unknown_absent) == (2, 3)
    assert (second.source, second.sent, second.acknowledged, second.refused, second.unknown) == ("locust", 3, 2, 0, 1)
    assert (second.acknowledged_present, second.lost, second.refused_present) == (2, 0, 0)
    assert (second.unknown_committed, second.unknown_absent) == (1, 0)
    assert books.breaches == ["1 payments were refused and stand on dc2-a all the same (expected 0)."]


# Loss


def test_what_was_lost_is_told_in_the_order_of_its_answers(written: Write) -> None:
    probe, locust = paid(6), paid(6, name="c", from_s=10.5)
    gone = {probe[3].key, locust[2].key, locust[4].key}
    stands = [one for one in [*probe, *locust] if one.key not in gone]
    books, _ = audited(written(probe, locust, Bank.of(stands)))
    assert books.lost_keys == [locust[2].key, probe[3].key, locust[4].key]
    assert books.rpo_ns == round(2.5 * S)  # from 12.0, the last to survive before the first lost at 12.5, to 14.5


def test_a_survivor_of_the_same_moment_was_not_before_the_first_lost(written: Write) -> None:
    probe, locust = paid(5), paid(5, name="c")  # answered at the same moments
    books, _ = audited(written(probe, locust, Bank.of([*probe, *locust[:3]])))
    assert (books.lost_keys, books.rpo_ns) == ([locust[3].key, locust[4].key], 2 * S)


def test_where_nothing_survived_before_loss_counts_from_the_first_payment_sent(written: Write) -> None:
    probe = [Paid(f"{RUN}-p-{n:07d}", done_s=20 + n, sent_s=15 + n) for n in range(3)]
    locust = [Paid(f"{RUN}-c-{n:07d}", done_s=21 + n, sent_s=14 + n) for n in range(3)]
    books, _ = audited(written(probe, locust, Bank.of([probe[2]])))
    assert books.rpo_ns == (23 - 14) * S
    assert books.lost_keys == [one.key for one in (probe[0], locust[0], probe[1], locust[1], locust[2])]


def test_a_survivor_at_the_clocks_zero_counts(written: Write) -> None:
    probe = [Paid(f"{RUN}-p-0000000", done_s=0, sent_s=0), Paid(f"{RUN}-p-0000001", done_s=3, sent_s=2)]
    books, _ = audited(written(probe, paid(1, name="c"), Bank.of([probe[0], *paid(1, name="c")])))
    assert books.rpo_ns == 3 * S


def test_refused_and_unknown_payments_are_not_lost(written: Write) -> None:
    probe = [*paid(2), *paid(2, name="r", outcome="refused"), *paid(2, name="u", outcome="unknown")]
    locust = paid(2, name="c")
    books, doubts = audited(written(probe, locust, Bank.of([*probe[:2], *locust])))
    assert (books.lost_keys, books.rpo_ns, books.phantom, books.duplicated) == ([], 0, 0, 0)
    assert (books.breaches, books.autopsy_lost_keys, books.autopsy_absent) == ([], None, None)
    assert not any("ledger" in doubt or "used by" in doubt for doubt in doubts)


def test_one_ledger_alone_says_nothing_of_loss(written: Write) -> None:
    probe = paid(3)
    directory = written(probe, paid(1, name="c"), Bank.of(probe[:2]))
    (directory / "ledger.csv").unlink()
    books, _ = audited(directory)
    assert [count.source for count in books.counts] == ["probe"]
    assert (books.lost_keys, books.rpo_ns, books.phantom) == (None, None, None)


def test_without_an_authority_nothing_is_looked_up(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of(probe))
    events(directory, without("authority"))
    books, doubts = audited(directory)
    assert "No authority: nobody says which copy counts after recovery." in doubts
    first = books.counts[0]
    assert (first.sent, first.acknowledged, first.refused, first.unknown) == (3, 3, 0, 0)
    assert (first.acknowledged_present, first.lost, first.unknown_committed, first.unknown_absent, first.refused_present) == (
        None, None, None, None, None,
    )  # fmt: skip
    assert (books.duplicated, books.lost_keys, books.authority) == (None, None, None)
    assert not any(copy.equal_to_authority for copy in books.copies)


def test_the_last_authority_named_counts_and_two_are_a_doubt(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]), other={"dc1-b": Bank.of(probe)})
    events(directory, lambda event: event, ("authority", {"node": "dc1-b"}), ("authority", {"node": "dc2-a"}),
           ("authority", {"node": "dc1-b"}))  # fmt: skip
    books, doubts = audited(directory)
    assert (books.authority, books.lost_keys) == ("dc1-b", [one.key for one in locust])
    assert "Several copies are said to be the one that counts: dc2-a, dc1-b." in doubts
    events(directory, without("authority"), ("authority", {"node": "dc2-a"}), ("authority", {"node": "dc2-a"}))
    assert not any("Several" in doubt for doubt in audited(directory)[1])


# Strangers


def test_what_stands_and_nobody_sent_is_phantom_but_for_observers_and_readiness(written: Write) -> None:
    probe, locust = paid(2), paid(2, name="c")
    strangers = [Paid(f"{RUN}-ready-0000001"), Paid("observer-x-0000001"), Paid("other-ready-0000001"), Paid("x-observer-7")]
    books, _ = audited(written(probe, locust, Bank.of([*probe, *locust, *strangers])))
    assert books.phantom == 2
    assert books.breaches == ["2 payments on dc2-a were sent by nobody (expected 0)."]


def test_exempt_keys_are_counted_and_hashed_when_they_were_told(written: Write) -> None:
    probe, locust = paid(2), paid(2, name="c")
    keys = ["observer-b-1", "observer-ä-2", "observer-a-3", f"{RUN}-ready-0000002", f"{RUN}-ready-0000001"]
    directory = written(probe, locust, Bank.of([*probe, *locust, *map(Paid, keys)]))
    told = {"observers": exempt(keys, "observer-"), "ready": exempt(keys, f"{RUN}-ready-")}
    assert (told["observers"]["count"], told["ready"]["count"]) == (3, 2)
    events(directory, without("exempt_keys"), ("exempt_keys", told))
    assert not any("keys" in doubt for doubt in audited(directory)[1])
    for name, prefix in (("observers", "observer-"), ("ready", f"{RUN}-ready-")):
        for wrong in ({"count": told[name]["count"] + 1}, {"sha256": "ab" * 32}):
            events(directory, without("exempt_keys"), ("exempt_keys", told | {name: told[name] | wrong}))
            count, seen = (told[name] | wrong)["count"], told[name]["count"]
            assert [doubt for doubt in audited(directory)[1] if "keys" in doubt] == [
                f"Expected the {count} keys that began with {prefix} at readback; seen {seen}, or others."
            ]
    for events_of_it in ((), (("exempt_keys", told), ("exempt_keys", told))):
        events(directory, without("exempt_keys"), *events_of_it)
        expected = f"Expected one event of the exempt keys (observer-, -ready-); seen {len(events_of_it)}."
        assert expected in audited(directory)[1]


def test_keys_of_both_ledgers_are_counted(written: Write) -> None:
    probe, locust = paid(4), paid(2, name="c")
    _, doubts = audited(written(probe, [*locust, *probe[1:3]], Bank.of([*probe, *locust])))
    assert "2 keys are used by the probe and by Locust: a lookup cannot tell whose payment stands." in doubts


@pytest.mark.parametrize("change", [{"debit": "A3"}, {"credit": "A3"}, {"amount": 101}, {"debit": "A3", "amount": 101}])
def test_a_payment_that_stands_otherwise_than_it_was_sent_is_altered(written: Write, change: dict[str, Any]) -> None:
    probe, locust = paid(3), paid(2, name="c")
    altered = [Paid(probe[1].key, **change), Paid(locust[0].key, **change)]
    stands = [probe[0], altered[0], probe[2], altered[1], locust[1]]
    books, _ = audited(written([*probe, *paid(2, name="r", outcome="refused")], locust, Bank.of(stands)))
    assert books.breaches == ["2 payments stand with other accounts or another amount than their customers sent (expected 0)."]


# Dead disks


def test_dead_disks_say_where_the_lost_payments_are(written: Write) -> None:
    probe, locust = paid(5), paid(5, name="c", from_s=10.5)
    unknown = paid(2, name="u", outcome="unknown")
    stands = [*probe[:3], *locust[:3]]
    dead = {"dc1-a": [*probe[:4], unknown[0]], "dc1-b": [*probe[:3], locust[3], probe[3], unknown[1]]}
    directory = written([*probe, *unknown], locust, Bank.of(stands), dead=dead)
    events(directory, lambda event: event, told_dead("dc1-a", 5), told_dead("dc1-b", len(dead["dc1-b"])))
    books, doubts = audited(directory)
    assert books.lost_keys == [probe[3].key, locust[3].key, probe[4].key, locust[4].key]
    assert books.autopsy_lost_keys == [probe[3].key, locust[3].key]
    assert books.autopsy_absent == 4  # two of them lost, two never answered
    assert not any("autopsy" in doubt for doubt in doubts)


def told_dead(node: str, payments: int) -> tuple[str, dict[str, Any]]:
    return "autopsy", {"node": node, "payments": payments, "end_lsn": None}


def test_a_dead_disk_with_other_payments_than_told_or_unknown_ones_is_a_doubt(written: Write) -> None:
    probe, locust = paid(3), paid(3, name="c")
    dead = {"dc1-a": [*probe, Paid("zz-1"), Paid("zz-2"), Paid("observer-1"), Paid(f"{RUN}-ready-0000001")]}
    directory = written(probe, locust, Bank.of([*probe, *locust]), dead=dead)
    events(directory, lambda event: event, told_dead("dc1-a", 6))
    books, doubts = audited(directory)
    assert [doubt for doubt in doubts if "autopsy" in doubt] == [
        "autopsy/dc1-a.payments.csv.gz: expected 6 payments, seen 7.",
        "autopsy/dc1-a.payments.csv.gz holds 2 payments that no ledger knows: a ledger is not whole.",
    ]
    assert (books.autopsy_lost_keys, books.autopsy_absent) == ([], 4)


def test_a_dead_disk_that_nobody_told_of_is_read_all_the_same(written: Write) -> None:
    probe, locust = paid(3), paid(3, name="c")
    books, _ = audited(written(probe, locust, Bank.of([*probe, *locust[:2]]), dead={"dc1-b": [*probe, locust[2]]}))
    assert (books.autopsy_lost_keys, books.autopsy_absent) == ([locust[2].key], 1)


def test_half_the_disks_would_be_a_wrong_figure(written: Write) -> None:
    probe, locust = paid(3), paid(3, name="c")
    directory = written(probe, locust, Bank.of(probe), dead={"dc1-a": locust})
    events(directory, lambda event: event, told_dead("dc1-b", 3))
    books, doubts = audited(directory)
    assert (books.autopsy_lost_keys, books.autopsy_absent) == (None, None)
    assert "autopsy/dc1-b.payments.csv.gz is missing." in doubts


# Copies


def by_node(books: Books) -> dict[str, Any]:
    return {copy.node: copy for copy in books.copies}


DAMAGE: dict[str, Callable[[Bank], object]] = {
    "twice": lambda bank: bank.payments.append(bank.payments[0]),
    "entry-twice": lambda bank: bank.entries.append(bank.entries[0]),
    "no-entry": lambda bank: bank.entries.pop(),
    "wrong-entry": lambda bank: bank.entries[0].__setitem__(2, bank.entries[0][2] + 1),
    "wrong-balance": lambda bank: bank.accounts[0].__setitem__(2, bank.accounts[0][2] + 1),
    "moved-balance": lambda bank: (bank.accounts[0].__setitem__(2, bank.accounts[0][2] + 1),
                                   bank.accounts[1].__setitem__(2, bank.accounts[1][2] - 1)),
    "account-twice": lambda bank: bank.accounts.append(bank.accounts[2]),
    "account-gone": lambda bank: bank.accounts.pop(0),
    "idle-account": lambda bank: bank.accounts.append(["A9", 5, 5]),
    "idle-moved": lambda bank: bank.accounts.append(["A9", 5, 6]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "broken"),
    [
        ("twice", {"keys_once"}),
        ("entry-twice", {"keys_once", "double_entry", "balances_match_entries"}),
        ("no-entry", {"double_entry", "balances_match_entries"}),
        ("wrong-entry", {"double_entry", "balances_match_entries"}),
        ("wrong-balance", {"balances_match_entries", "sum_of_balances_kept"}),
        ("moved-balance", {"balances_match_entries"}),
        ("account-twice", {"balances_match_entries"}),
        ("account-gone", {"balances_match_entries", "sum_of_balances_kept"}),
        ("idle-account", set()),
        ("idle-moved", {"balances_match_entries", "sum_of_balances_kept"}),
    ],
)
def test_each_damage_breaks_its_own_invariants(written: Write, damage: str, broken: set[str]) -> None:
    probe, locust = paid(3), paid(2, name="c")
    other = Bank.of([*probe, *locust])
    DAMAGE[damage](other)
    books, _ = audited(written(probe, locust, Bank.of([*probe, *locust]), other={"dc3-a": other}))
    copies = by_node(books)
    names = ("balances_match_entries", "double_entry", "sum_of_balances_kept", "keys_once")
    assert {name for name in names if not getattr(copies["dc3-a"], name)} == broken
    assert {name for name in names if not getattr(copies["dc2-b"], name)} == set()
    assert [node for node, copy in copies.items() if not copy.equal_to_authority] == ["dc3-a"]
    assert copies["dc3-a"].payments == len(other.payments)
    assert books.duplicated == 0  # on the authority
    assert books.breaches[-1] == "Expected every copy to equal the authority dc2-a; dc3-a differs."
    assert len(books.breaches) == len(broken) + 1
    assert all("on dc3-a:" in breach for breach in books.breaches[:-1])


def test_doubled_payments_are_counted_on_the_authority(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    bank = Bank.of([*probe, *locust])
    bank.payments += [bank.payments[0], bank.payments[0]]
    bank.entries += [bank.entries[0], bank.entries[2]]  # of the first payment, and of the second
    books, _ = audited(written(probe, locust, bank))
    assert books.duplicated == 2
    assert books.breaches[0] == "2 payments are duplicated on dc2-a (expected 0)."
    assert any(breach.startswith("Invariant broken on dc1-a, dc1-b, dc2-a, dc2-b, dc3-a: a key") for breach in books.breaches)


def test_copies_that_were_left_out_or_not_read_are_a_doubt(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]))
    for table in COPY_COLUMNS:
        (directory / f"copies/dc2-b.{table}.csv.gz").unlink()
    (directory / "copies/dc1-b.accounts.csv.gz").unlink()
    (directory / "copies/dc1-a.entries.csv.gz").write_bytes(b"no gzip")
    events(directory, without("expected_copies"), ("expected_copies", {"nodes": ["dc1-a", "dc1-b", "dc2-a", "dc2-b"]}))
    books, doubts = audited(directory)
    assert "dc3-a are databases of the plan, and nobody expected their copies." in doubts
    assert "The copy on dc2-b was expected and was not read back." in doubts
    assert "copies/dc1-b.accounts.csv.gz is missing." in doubts
    assert any(doubt.startswith("copies/dc1-a.") and "cannot be read" in doubt for doubt in doubts)
    assert not any("authority" in doubt for doubt in doubts)
    copies = by_node(books)
    assert {node: copy.expected for node, copy in copies.items()} == {"dc2-a": True, "dc3-a": False}
    assert books.breaches == []


@pytest.mark.parametrize("table", COPY_COLUMNS)
def test_a_copy_with_a_table_of_another_shape_is_a_doubt_and_has_no_invariants(written: Write, table: str) -> None:
    """It can be unpacked, so it has a digest; what it says makes no sense."""
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]))
    csv_gz(directory / f"copies/dc3-a.{table}.csv.gz", b"who,what\n1,2\n")
    books, doubts = audited(directory)
    assert set(by_node(books)) == {"dc1-a", "dc1-b", "dc2-a", "dc2-b"}
    assert any(f"copies/dc3-a.{table}.csv.gz cannot be read" in doubt for doubt in doubts)
    assert books.breaches == []


def test_a_copy_that_nobody_expected_may_differ(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]), other={"dc3-a": Bank.of(probe)})
    events(directory, without("expected_copies"), ("expected_copies", {"nodes": ["dc1-a", "dc1-b", "dc2-a", "dc2-b"]}))
    books, _ = audited(directory)
    assert books.breaches == []
    assert not by_node(books)["dc3-a"].equal_to_authority


def test_an_authority_whose_copy_nobody_has_is_a_doubt(written: Write) -> None:
    probe, locust = paid(3), paid(2, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]), other={"dc3-a": Bank.of(probe)})
    events(directory, without("authority"), ("authority", {"node": "dc9-a"}))
    books, doubts = audited(directory)
    assert "The copy on the authority dc9-a was not read back." in doubts
    assert (books.lost_keys, books.duplicated) == (None, None)
    assert not any("equal the authority" in breach for breach in books.breaches)  # nobody can tell


def test_nobody_says_which_copies_to_expect(written: Write) -> None:
    probe, locust = paid(1), paid(1, name="c")
    directory = written(probe, locust, Bank.of([*probe, *locust]))
    events(directory, without("expected_copies"))
    books, doubts = audited(directory)
    assert "Nobody says which copies are to be read back." in doubts
    assert not any("databases of the plan" in doubt for doubt in doubts)
    assert [copy.expected for copy in books.copies] == [False] * 5
