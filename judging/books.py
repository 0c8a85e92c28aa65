"""What customers were told, held against what stands in the bank: lost, unknown, doubled, phantom, and the invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from judging.columns import AccountBook, Codes, KeyBook, Places, arrow, numbers_of
from judging.copies import KEPT, Shelf, Standing
from judging.damage import damages, lost_too_early, overlaps
from judging.evidence import COPY_COLUMNS, sha256_of_bytes
from judging.records import (
    OUTCOMES,
    Authority,
    AutopsyDone,
    ExemptKeys,
    ExpectedCopies,
    Injected,
    Keys,
    Records,
    attempt,
    both_ledgers,
    outcome_numbers,
    topology_centers,
)

if TYPE_CHECKING:
    import pandas as pd

NOT_FOUND = 404
OBSERVER_PREFIX = "observer-"  # keys of clients that are not ours and check us
INVARIANTS = {
    "balances_match_entries": "balances differ from opening balance plus entries",
    "double_entry": "entries are not the debit and the credit of each payment",
    "sum_of_balances_kept": "the sum of balances is not the sum of opening balances",
    "keys_once": "a key stands there more than once",
}


@dataclass(frozen=True)
class Count:
    """The payments of one source. None: there is no authority to look them up in."""

    source: str
    sent: int
    acknowledged: int
    refused: int
    unknown: int
    acknowledged_present: int | None
    lost: int | None
    unknown_committed: int | None
    unknown_absent: int | None
    refused_present: int | None


@dataclass(frozen=True)
class Copy:
    node: str
    expected: bool
    payments: int
    equal_to_authority: bool
    digest: str
    balances_match_entries: bool
    double_entry: bool
    sum_of_balances_kept: bool
    keys_once: bool


@dataclass
class Books:
    """Every figure that needs the bank's tables. None: it could not be measured."""

    authority: str | None = None
    counts: list[Count] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    lost_keys: list[str] | None = None
    rpo_ns: int | None = None
    duplicated: int | None = None
    phantom: int | None = None
    autopsy_lost_keys: list[str] | None = None
    autopsy_absent: int | None = None
    stale_keys: list[str] = field(default_factory=list)  # of payments that were not found when they were read back
    unfound: dict[str, int] = field(default_factory=dict)  # such reads, by the fault that had damaged the tables then
    breaches: list[str] = field(default_factory=list)


def exempt(records: Records, key: str) -> bool:
    """Whether a payment is nobody's: of an observer, or of the harness itself before the load."""
    ready = f"{records.plan.run_id}-ready-" if records.plan is not None else OBSERVER_PREFIX
    return key.startswith((OBSERVER_PREFIX, ready))


def audit(records: Records) -> Books:
    """Look up every payment on the authority, and hold every copy against the invariants."""
    books = Books()
    named = [data.node for _, data in records.of("authority", Authority)]
    if len(set(named)) > 1:
        records.doubt(f"Several copies are said to be the one that counts: {', '.join(dict.fromkeys(named))}.")
    books.authority = named[-1] if named else None
    if books.authority is None:
        records.doubt("No authority: nobody says which copy counts after recovery.")
    ground = _Ground(records, books.authority)
    _audit_copies(records, books, ground)
    standing = None
    if books.authority is not None:
        standing, books.duplicated = ground.authority(records, books.authority)
    if standing is not None and records.version > 1:
        _check_exempt_keys(records, ground.keys, standing.codes)
    codes = {"probe": lambda: records.evidence.probe_keys, "locust": lambda: records.evidence.ledger_keys}
    ledgers = {
        source: _Ledger(frame, codes[source](), outcome_numbers(frame))
        for source, frame in both_ledgers(records)
        if frame is not None
    }
    places = None if standing is None else ground.keys.places(standing.codes)
    if places is not None and records.reads is not None and "locust" in ledgers:
        _audit_reads(records, books, ground, ledgers["locust"], places)
    books.counts = [_count(source, ledger, places) for source, ledger in ledgers.items()]
    if standing is not None and places is not None and len(ledgers) == 2:
        _audit_ledgers(records, books, ground, list(ledgers.values()), standing, places)
    _tell_breaches(books)
    return books


class _Ground:
    """What all lookups of one run share: the numbers of keys and accounts, and the copies that were read."""

    def __init__(self, records: Records, authority: str | None) -> None:
        self.keys = records.evidence.keys
        self.accounts = AccountBook()
        self.shelf = Shelf(records.evidence, self.keys, self.accounts, authority=authority)

    def authority(self, records: Records, node: str) -> tuple[Standing | None, int | None]:
        """What stands on the authority, and how many payments are doubled there; None: its tables cannot be read."""
        sound = self.shelf.sound(node)
        if sound is not None and sound.standing is not None:
            return sound.standing, 0
        payments = _table(records, node, "payments")
        entries = _table(records, node, "entries")
        standing = None if payments is None else Standing.of(payments, self.keys, self.accounts)
        return standing, None if payments is None or entries is None else _duplicated(payments, entries)


@dataclass(frozen=True)
class _Ledger:
    """One ledger with its keys as numbers. `outcome`: the place in OUTCOMES."""

    frame: pd.DataFrame
    codes: Codes
    outcome: npt.NDArray[np.int8]

    def where(self, outcome: str) -> npt.NDArray[np.bool_]:
        chosen: npt.NDArray[np.bool_] = self.outcome == OUTCOMES.index(outcome)
        return chosen

    def times(self, column: str) -> Codes:
        return self.frame[column].to_numpy(dtype=np.int64)


def _table(records: Records, node: str, table: str) -> pd.DataFrame | None:
    name = f"copies/{node}.{table}.csv.gz"
    return attempt(records.evidence, name, lambda: records.evidence.copy(node, table), records.doubts)


def _check_exempt_keys(records: Records, book: KeyBook, present: Codes) -> None:
    """Keys that are no phantoms are told by number and hash at readback: nobody can hide a payment among them afterwards."""
    told = records.of("exempt_keys", ExemptKeys)
    if len(told) != 1:
        records.doubt(f"Expected one event of the exempt keys (observer-, -ready-); seen {len(told)}.")
        return
    prefixes = {"observers": OBSERVER_PREFIX, "ready": f"{records.plan.run_id}-ready-" if records.plan else OBSERVER_PREFIX}
    for name, prefix in prefixes.items():
        expected: Keys = getattr(told[0][1], name)
        keys = sorted(book.starting(present, prefix), key=str.encode)
        if (len(keys), sha256_of_bytes("\n".join(keys).encode())) != (expected.count, expected.sha256):
            records.doubt(
                f"Expected the {expected.count} keys that began with {prefix} at readback; seen {len(keys)}, or others."
            )


# Every payment, looked up


def _count(source: str, ledger: _Ledger, places: Places | None) -> Count:
    count = {name: int(ledger.where(name).sum()) for name in OUTCOMES}
    sent, acknowledged, unknown = len(ledger.codes), count["acknowledged"], count["unknown"]
    if places is None:
        return Count(source, sent, acknowledged, count["refused"], unknown, None, None, None, None, None)
    stands = places.of(ledger.codes) >= 0
    there = {name: int((stands & ledger.where(name)).sum()) for name in OUTCOMES}
    return Count(
        source=source,
        sent=sent,
        acknowledged=acknowledged,
        refused=count["refused"],
        unknown=unknown,
        acknowledged_present=there["acknowledged"],
        lost=acknowledged - there["acknowledged"],
        unknown_committed=there["unknown"],
        unknown_absent=unknown - there["unknown"],
        refused_present=there["refused"],
    )


def _audit_ledgers(
    records: Records, books: Books, ground: _Ground, ledgers: list[_Ledger], standing: Standing, places: Places
) -> None:
    known = [ground.keys.places(ledger.codes) for ledger in ledgers]
    twice = int((known[0].of(ledgers[1].codes) >= 0).sum())
    if twice:
        records.doubt(f"{twice} keys are used by the probe and by Locust: a lookup cannot tell whose payment stands.")
    lost, books.rpo_ns = _lost(ledgers, places)
    books.lost_keys = [key for _, key in lost]
    first = min((data for _, data in records.of("injected", Injected)), key=lambda data: data.before_ns, default=None)
    if early := lost_too_early(damages(records), first.id if first else None, [done_ns for done_ns, _ in lost]):
        books.breaches.append(
            f"{early} lost payments had been acknowledged before fault {first.id if first else ''} damaged the tables: a restore"
            " to the moment before keeps them (expected 0)."
        )
    ready = f"{records.plan.run_id}-ready-" if records.plan is not None else OBSERVER_PREFIX

    def strange(codes: Codes) -> int:
        """How many of these keys nobody is known to have sent."""
        unsent = codes[(known[0].of(codes) < 0) & (known[1].of(codes) < 0)]
        return sum(not key.startswith((ready, OBSERVER_PREFIX)) for key in ground.keys.decode(unsent))

    books.phantom = strange(standing.codes)
    altered = sum(_altered(ledger, ground, standing, places) for ledger in ledgers)
    if altered:
        books.breaches.append(
            f"{altered} payments stand with other accounts or another amount than their customers sent (expected 0)."
        )
    _audit_autopsies(records, books, ground, places, strange)


def _altered(ledger: _Ledger, ground: _Ground, standing: Standing, places: Places) -> int:
    at = places.of(ledger.codes)
    there, at = at >= 0, at[at >= 0]
    differs = np.zeros(len(at), np.bool_)
    for column, stands in (("debit", standing.debit), ("credit", standing.credit)):
        differs |= numbers_of(ledger.frame[column], ground.accounts)[there] != stands[at]
    differs |= ledger.times("amount_minor")[there] != standing.amount[at]
    return int(differs.sum())


def _lost(ledgers: list[_Ledger], places: Places) -> tuple[list[tuple[int, str]], int]:
    """The acknowledged payments that do not stand, with the time of their answer; and the time in which they were lost, ns:

    from the last surviving acknowledgement before the first lost one (none: the first payment sent) to the last lost.
    """
    lost: list[tuple[int, str]] = []
    survived: list[Codes] = []
    for ledger in ledgers:
        stands, acknowledged, done = places.of(ledger.codes) >= 0, ledger.where("acknowledged"), ledger.times("done_ns")
        gone = acknowledged & ~stands
        lost += zip(done[gone].tolist(), ledger.frame["key"][gone].tolist(), strict=True)
        survived.append(done[acknowledged & stands])
    if not lost:
        return [], 0
    lost.sort()
    before = max((int(done[done < lost[0][0]].max(initial=-1)) for done in survived), default=-1)
    since = before if before >= 0 else min(int(ledger.times("sent_ns").min()) for ledger in ledgers if len(ledger.codes))
    return lost, lost[-1][0] - since


def _audit_reads(records: Records, books: Books, ground: _Ground, ledger: _Ledger, places: Places) -> None:
    """A payment that had been acknowledged when it was read back, was not found, and stands all the same, is a stale read.

    Where the tables were damaged then, it is that fault's doing: told, and no breach.
    """
    codes, reads = records.evidence.read_keys, records.reads
    assert reads is not None
    told = _stale(reads, codes, ground, ledger, places)
    sent, done = reads["sent_ns"].to_numpy(dtype=np.int64), reads["done_ns"].to_numpy(dtype=np.int64)
    for one in damages(records):
        theirs = told & overlaps(one, sent, done)
        books.unfound[one.fault] = int(theirs.sum())
        told &= ~theirs
    books.stale_keys = ground.keys.decode(codes[told])


def _stale(reads: pd.DataFrame, codes: Codes, ground: _Ground, ledger: _Ledger, places: Places) -> npt.NDArray[np.bool_]:
    told: npt.NDArray[np.bool_]
    row = ground.keys.places(ledger.codes).of(codes)
    told = (row >= 0) & (reads["status"].to_numpy(dtype=np.int64, na_value=-1) == NOT_FOUND) & (places.of(codes) >= 0)
    told[told] = ledger.where("acknowledged")[row[told]] & (
        ledger.times("done_ns")[row[told]] <= reads["sent_ns"].to_numpy(dtype=np.int64)[told]
    )
    return told


def _duplicated(payments: pd.DataFrame, entries: pd.DataFrame) -> int:
    """Keys that occur more than once, or whose entries do."""
    import pandas as pd

    in_payments = payments["key"][payments["key"].duplicated()]
    in_entries = entries["key"][entries.duplicated(["key", "account"])]
    return int(pd.concat([in_payments, in_entries]).nunique())


def _audit_autopsies(records: Records, books: Books, ground: _Ground, places: Places, strange: Callable[[Codes], int]) -> None:
    """What dead disks hold and the authority does not: where the lost payments are. `strange`: how many keys nobody sent."""
    told = {data.node: data for _, data in records.of("autopsy", AutopsyDone)}
    found = {p.name.removesuffix(".payments.csv.gz") for p in records.evidence.path("autopsy").glob("*.payments.csv.gz")}
    absent: list[Codes] = []
    for node in sorted(found | set(told)):
        name = f"autopsy/{node}.payments.csv.gz"
        table = attempt(records.evidence, name, lambda node=node: records.evidence.autopsy(node), records.doubts)  # type: ignore[misc]
        if table is None:
            return  # a doubt names the file; half the disks would be a wrong figure
        expected = told[node].payments if node in told else None
        if expected is not None and expected != len(table):
            records.doubt(f"{name}: expected {expected} payments, seen {len(table)}.")
        codes = ground.keys.encode(arrow(table["key"]))
        absent.append(codes[places.of(codes) < 0])
        if unknown := strange(codes):
            records.doubt(f"{name} holds {unknown} payments that no ledger knows: a ledger is not whole.")
    if absent:
        gone = set(ground.keys.decode(np.unique(np.concatenate(absent))))
        books.autopsy_absent = len(gone)
        books.autopsy_lost_keys = [key for key in books.lost_keys or [] if key in gone]


# Every copy, held against the invariants


def _audit_copies(records: Records, books: Books, ground: _Ground) -> None:
    told = records.of("expected_copies", ExpectedCopies)
    expected = set(told[-1][1].nodes) if told else set()
    if not told:
        records.doubt("Nobody says which copies are to be read back.")
    databases = {node for node, (_, kind) in topology_centers(records.plan).items() if kind == "postgres"}
    if told and (left_out := sorted(databases - expected)):
        records.doubt(f"{', '.join(left_out)} are databases of the plan, and nobody expected their copies.")
    read_back = set(records.evidence.copy_nodes())
    for node in sorted(expected - read_back):
        records.doubt(f"The copy on {node} was expected and was not read back.")
    if books.authority is not None and books.authority not in read_back | expected:
        records.doubt(f"The copy on the authority {books.authority} was not read back.")
    digests = {node: d for node in sorted(read_back) if (d := _digest(records, node, ground.shelf)) is not None}
    judged: dict[str, tuple[int, dict[str, bool]]] = {}
    for node, digest in digests.items():
        if digest not in judged:  # equal copies keep the same invariants: one look is enough
            kept = _invariants(records, node, ground.shelf)
            if kept is None:
                continue
            judged[digest] = kept
        rows, holds = judged[digest]
        equal = digest == digests.get(books.authority or "")
        books.copies.append(Copy(node, node in expected, rows, equal, digest, **holds))


def _digest(records: Records, node: str, shelf: Shelf) -> str | None:
    for table in COPY_COLUMNS:
        name = f"copies/{node}.{table}.csv.gz"
        if not records.evidence.path(name).is_file():
            records.doubt(f"{name} is missing.")
            return None
    if (sound := shelf.sound(node)) is not None:
        return sound.digest
    name = f"copies/{node}.payments.csv.gz"
    return attempt(records.evidence, name, lambda: records.evidence.copy_digest(node), records.doubts)


def _invariants(records: Records, node: str, shelf: Shelf) -> tuple[int, dict[str, bool]] | None:
    """The number of payments of a copy, and which invariants hold; None when a table cannot be read."""
    if (sound := shelf.sound(node)) is not None:
        return sound.payments, dict.fromkeys(KEPT, True)
    payments, entries, accounts = (_table(records, node, table) for table in COPY_COLUMNS)
    if payments is None or entries is None or accounts is None:
        return None
    return len(payments), {
        "balances_match_entries": _balances_match(entries, accounts),
        "double_entry": _double_entry(payments, entries),
        "sum_of_balances_kept": bool(accounts["balance_minor"].sum() == accounts["opening_minor"].sum()),
        "keys_once": _duplicated(payments, entries) == 0,
    }


def _balances_match(entries: pd.DataFrame, accounts: pd.DataFrame) -> bool:
    moved = entries.groupby("account")["amount_minor"].sum()
    known = accounts.set_index("id")
    if not known.index.is_unique or not moved.index.isin(known.index).all():
        return False
    expected = known["opening_minor"] + moved.reindex(known.index, fill_value=0)
    return bool((expected == known["balance_minor"]).all())


def _double_entry(payments: pd.DataFrame, entries: pd.DataFrame) -> bool:
    """Each payment's entries are its debit, negative, and its credit: so they sum to 0, and none is missing."""
    import pandas as pd

    once = payments.drop_duplicates("key")
    debits = pd.DataFrame({"key": once["key"], "account": once["debit"], "amount_minor": -once["amount_minor"]})
    credits = pd.DataFrame({"key": once["key"], "account": once["credit"], "amount_minor": once["amount_minor"]})
    columns = ["key", "account", "amount_minor"]
    expected = pd.concat([debits, credits]).sort_values(columns, ignore_index=True)
    seen = entries[columns].sort_values(columns, ignore_index=True)
    return len(expected) == len(seen) and bool((expected.to_numpy() == seen.to_numpy()).all())


def _tell_breaches(books: Books) -> None:
    books.breaches += list(_breaches(books))


def _breaches(books: Books) -> Iterator[str]:
    if books.duplicated:
        yield f"{books.duplicated} payments are duplicated on {books.authority} (expected 0)."
    if books.phantom:
        yield f"{books.phantom} payments on {books.authority} were sent by nobody (expected 0)."
    refused = sum(count.refused_present or 0 for count in books.counts)
    if refused:
        yield f"{refused} payments were refused and stand on {books.authority} all the same (expected 0)."
    if books.stale_keys:
        yield (
            f"{len(books.stale_keys)} stale reads: payments that had been acknowledged, and stand, were answered {NOT_FOUND} when"
            f" they were read back, the first {books.stale_keys[0]} (expected 0)."
        )
    for name, words in INVARIANTS.items():
        broken = [copy.node for copy in books.copies if not getattr(copy, name)]
        if broken:
            yield f"Invariant broken on {', '.join(broken)}: {words}."
    if any(copy.node == books.authority for copy in books.copies):
        unequal = [copy.node for copy in books.copies if copy.expected and not copy.equal_to_authority]
        if unequal:
            yield f"Expected every copy to equal the authority {books.authority}; {', '.join(unequal)} differs."
