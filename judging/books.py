"""What customers were told, held against what stands in the bank: lost, unknown, doubled, phantom, and the invariants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pandas as pd

from judging.evidence import COPY_COLUMNS, sha256_of_bytes
from judging.records import (
    Authority,
    AutopsyDone,
    ExemptKeys,
    ExpectedCopies,
    Keys,
    Records,
    attempt,
    both_ledgers,
    topology_centers,
)

OBSERVER_PREFIX = "observer-"  # keys of clients that are not ours and check us
PAYMENT = ["debit", "credit", "amount_minor"]
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
    breaches: list[str] = field(default_factory=list)


def audit(records: Records) -> Books:
    """Look up every payment on the authority, and hold every copy against the invariants."""
    books = Books()
    named = [data.node for _, data in records.of("authority", Authority)]
    if len(set(named)) > 1:
        records.doubt(f"Several copies are said to be the one that counts: {', '.join(dict.fromkeys(named))}.")
    books.authority = named[-1] if named else None
    if books.authority is None:
        records.doubt("No authority: nobody says which copy counts after recovery.")
    _audit_copies(records, books)
    payments = None
    if books.authority is not None:
        node = books.authority
        payments = _table(records, node, "payments")
        entries = _table(records, node, "entries")
        if payments is not None and entries is not None:
            books.duplicated = _duplicated(payments, entries)
    present = None if payments is None else payments["key"]
    if present is not None and records.version > 1:
        _check_exempt_keys(records, present)
    books.counts = [_count(source, ledger, present) for source, ledger in both_ledgers(records) if ledger is not None]
    if payments is not None and records.probe is not None and records.ledger is not None:
        _audit_ledgers(records, books, payments, pd.concat([records.probe, records.ledger], ignore_index=True))
    _tell_breaches(books)
    return books


def _table(records: Records, node: str, table: str) -> pd.DataFrame | None:
    name = f"copies/{node}.{table}.csv.gz"
    return attempt(records.evidence, name, lambda: records.evidence.copy(node, table), records.doubts)


def _check_exempt_keys(records: Records, present: pd.Series[str]) -> None:
    """Keys that are no phantoms are told by number and hash at readback: nobody can hide a payment among them afterwards."""
    told = records.of("exempt_keys", ExemptKeys)
    if len(told) != 1:
        records.doubt(f"Expected one event of the exempt keys (observer-, -ready-); seen {len(told)}.")
        return
    prefixes = {"observers": OBSERVER_PREFIX, "ready": f"{records.plan.run_id}-ready-" if records.plan else OBSERVER_PREFIX}
    for name, prefix in prefixes.items():
        expected: Keys = getattr(told[0][1], name)
        keys = sorted(present[present.str.startswith(prefix)], key=str.encode)
        if (len(keys), sha256_of_bytes("\n".join(keys).encode())) != (expected.count, expected.sha256):
            records.doubt(
                f"Expected the {expected.count} keys that began with {prefix} at readback; seen {len(keys)}, or others."
            )


# Every payment, looked up


def _count(source: str, ledger: pd.DataFrame, present: pd.Series[str] | None) -> Count:
    by = {kind: ledger[ledger["outcome"] == kind]["key"] for kind in ("acknowledged", "refused", "unknown")}
    sent, acknowledged, unknown = len(ledger), len(by["acknowledged"]), len(by["unknown"])
    if present is None:
        return Count(source, sent, acknowledged, len(by["refused"]), unknown, None, None, None, None, None)
    there = {kind: int(keys.isin(present).sum()) for kind, keys in by.items()}
    return Count(
        source=source,
        sent=sent,
        acknowledged=acknowledged,
        refused=len(by["refused"]),
        unknown=unknown,
        acknowledged_present=there["acknowledged"],
        lost=acknowledged - there["acknowledged"],
        unknown_committed=there["unknown"],
        unknown_absent=unknown - there["unknown"],
        refused_present=there["refused"],
    )


def _audit_ledgers(records: Records, books: Books, payments: pd.DataFrame, ledgers: pd.DataFrame) -> None:
    twice = int(ledgers["key"].duplicated().sum())
    if twice:
        records.doubt(f"{twice} keys are used by the probe and by Locust: a lookup cannot tell whose payment stands.")
    acknowledged = ledgers[ledgers["outcome"] == "acknowledged"].sort_values(["done_ns", "key"])
    stands = acknowledged["key"].isin(payments["key"])
    books.lost_keys = acknowledged["key"][~stands].tolist()
    books.rpo_ns = _rpo_ns(acknowledged["done_ns"][~stands], acknowledged["done_ns"][stands], ledgers["sent_ns"])
    ready = f"{records.plan.run_id}-ready-" if records.plan is not None else OBSERVER_PREFIX

    def strange(keys: pd.Series[str]) -> pd.Series[bool]:
        """Nobody is known to have sent them."""
        return ~keys.isin(ledgers["key"]) & ~keys.str.startswith((ready, OBSERVER_PREFIX))

    books.phantom = int(strange(payments["key"]).sum())
    both = ledgers.merge(payments.drop_duplicates("key"), on="key", suffixes=("_sent", "_stands"))
    altered = int(sum((both[f"{c}_sent"] != both[f"{c}_stands"] for c in PAYMENT), start=_no(both)).astype(bool).sum())
    if altered:
        books.breaches.append(
            f"{altered} payments stand with other accounts or another amount than their customers sent (expected 0)."
        )
    _audit_autopsies(records, books, payments["key"], strange)


def _no(frame: pd.DataFrame) -> pd.Series[int]:
    return pd.Series(0, index=frame.index)


def _rpo_ns(lost: pd.Series[int], stands: pd.Series[int], sent: pd.Series[int]) -> int:
    """From the last surviving acknowledgement before the first lost one (none: the first payment sent) to the last lost."""
    if lost.empty:
        return 0
    before = stands[stands < lost.min()]
    return int(lost.max()) - int(sent.min() if before.empty else before.max())


def _duplicated(payments: pd.DataFrame, entries: pd.DataFrame) -> int:
    """Keys that occur more than once, or whose entries do."""
    in_payments = payments["key"][payments["key"].duplicated()]
    in_entries = entries["key"][entries.duplicated(["key", "account"])]
    return int(pd.concat([in_payments, in_entries]).nunique())


def _audit_autopsies(
    records: Records, books: Books, stands: pd.Series[str], strange: Callable[[pd.Series[str]], pd.Series[bool]]
) -> None:
    """What dead disks hold and the authority does not: where the lost payments are. `strange`: keys that nobody sent."""
    told = {data.node: data for _, data in records.of("autopsy", AutopsyDone)}
    found = {p.name.removesuffix(".payments.csv.gz") for p in records.evidence.path("autopsy").glob("*.payments.csv.gz")}
    on_disk: list[pd.Series[str]] = []
    for node in sorted(found | set(told)):
        name = f"autopsy/{node}.payments.csv.gz"
        table = attempt(records.evidence, name, lambda node=node: records.evidence.autopsy(node), records.doubts)  # type: ignore[misc]
        if table is None:
            return  # a doubt names the file; half the disks would be a wrong figure
        expected = told[node].payments if node in told else None
        if expected is not None and expected != len(table):
            records.doubt(f"{name}: expected {expected} payments, seen {len(table)}.")
        on_disk.append(table["key"])
        if unknown := int(strange(table["key"]).sum()):
            records.doubt(f"{name} holds {unknown} payments that no ledger knows: a ledger is not whole.")
    if on_disk:
        dead = pd.concat(on_disk).drop_duplicates()
        absent = set(dead[~dead.isin(stands)])
        books.autopsy_absent = len(absent)
        books.autopsy_lost_keys = [key for key in books.lost_keys or [] if key in absent]


# Every copy, held against the invariants


def _audit_copies(records: Records, books: Books) -> None:
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
    digests = {node: d for node in sorted(read_back) if (d := _digest(records, node)) is not None}
    judged: dict[str, tuple[int, dict[str, bool]]] = {}
    for node, digest in digests.items():
        if digest not in judged:  # equal copies keep the same invariants: one look is enough
            kept = _invariants(records, node)
            if kept is None:
                continue
            judged[digest] = kept
        rows, holds = judged[digest]
        equal = digest == digests.get(books.authority or "")
        books.copies.append(Copy(node, node in expected, rows, equal, digest, **holds))


def _digest(records: Records, node: str) -> str | None:
    for table in COPY_COLUMNS:
        name = f"copies/{node}.{table}.csv.gz"
        if not records.evidence.path(name).is_file():
            records.doubt(f"{name} is missing.")
            return None
    name = f"copies/{node}.payments.csv.gz"
    return attempt(records.evidence, name, lambda: records.evidence.copy_digest(node), records.doubts)


def _invariants(records: Records, node: str) -> tuple[int, dict[str, bool]] | None:
    """The number of payments of a copy, and which invariants hold; None when a table cannot be read."""
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
    for name, words in INVARIANTS.items():
        broken = [copy.node for copy in books.copies if not getattr(copy, name)]
        if broken:
            yield f"Invariant broken on {', '.join(broken)}: {words}."
    if any(copy.node == books.authority for copy in books.copies):
        unequal = [copy.node for copy in books.copies if copy.expected and not copy.equal_to_authority]
        if unequal:
            yield f"Expected every copy to equal the authority {books.authority}; {', '.join(unequal)} differs."
