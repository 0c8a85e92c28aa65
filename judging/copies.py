"""The bank's tables as they stand on each copy: read once, block by block, and held against the invariants on the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from judging.columns import AccountBook, Codes, KeyBook, arrow, numbers_of, stream_table
from judging.evidence import COPY_COLUMNS, Evidence

if TYPE_CHECKING:
    import pandas as pd

Accounts = npt.NDArray[np.int32]
KEPT = ("balances_match_entries", "double_entry", "sum_of_balances_kept", "keys_once")


@dataclass(frozen=True)
class Standing:
    """The payments that stand on a copy, in the order of its file; keys and accounts as numbers."""

    codes: Codes
    debit: Accounts
    credit: Accounts
    amount: Codes

    @staticmethod
    def of(frame: pd.DataFrame, keys: KeyBook, accounts: AccountBook) -> Standing:
        return Standing(
            keys.encode(arrow(frame["key"])),
            numbers_of(frame["debit"], accounts),
            numbers_of(frame["credit"], accounts),
            frame["amount_minor"].to_numpy(dtype=np.int64),
        )


@dataclass(frozen=True)
class Sound:
    """A copy that is in the best of orders: every payment has its two entries and nothing else has, every balance is right."""

    digest: str  # as Evidence.copy_digest
    payments: int
    standing: Standing | None  # None: let go, since only the authority's payments are looked up


class Shelf:
    """The copies of a run. Copies whose files are equal byte for byte are read once.

    A copy that is not sound in every point is told by None: it has to be looked at in the slow way, which says why.
    """

    def __init__(self, evidence: Evidence, keys: KeyBook, accounts: AccountBook, *, authority: str | None) -> None:
        self.evidence = evidence
        self.keys = keys
        self.accounts = accounts
        self.authority = self._files(authority) if authority else None
        self._read: dict[tuple[str, ...], Sound | None] = {}

    def sound(self, node: str) -> Sound | None:
        files = self._files(node)
        if files is None:
            return None
        if files not in self._read:
            found = self._examine(node)
            if found is not None and files != self.authority:
                found = replace(found, standing=None)
            self._read[files] = found
        return self._read[files]

    def _files(self, node: str) -> tuple[str, ...] | None:
        """The digests of a copy's three files as they lie there."""
        try:
            return tuple(self.evidence.file_digest(f"copies/{node}.{table}.csv.gz") for table in COPY_COLUMNS)
        except OSError:
            return None

    def _examine(self, node: str) -> Sound | None:
        payments = _Payments(self.keys, self.accounts)
        digests = [self._stream(node, "payments", payments.take)]
        standing = payments.standing()
        if digests[0] is None or not len(standing.codes) or self.keys.places(standing.codes).repeated().any():
            return None
        entries = _Entries(self.keys, self.accounts, standing)
        digests.append(self._stream(node, "entries", entries.take))
        balances = _Balances(self.accounts)
        digests.append(self._stream(node, "accounts", balances.take))
        if not entries.in_order() or not balances.match(entries.moved, entries.touched):
            return None
        digest = hashlib.sha256()
        for table in digests:
            if table is None:
                return None
            digest.update(bytes.fromhex(table))
        return Sound(digest.hexdigest(), len(standing.codes), standing)

    def _stream(self, node: str, table: str, take: Take) -> str | None:
        return stream_table(self.evidence.path(f"copies/{node}.{table}.csv.gz"), COPY_COLUMNS[table], take)


if TYPE_CHECKING:
    from collections.abc import Callable

    Take = Callable[[pa.RecordBatch], None]


class _Payments:
    def __init__(self, keys: KeyBook, accounts: AccountBook) -> None:
        self.keys = keys
        self.accounts = accounts
        self.parts: list[tuple[Codes, Accounts, Accounts, Codes]] = []

    def take(self, block: pa.RecordBatch) -> None:
        self.parts.append(
            (
                self.keys.encode(block["key"]),
                self.accounts.encode(block["debit"]),
                self.accounts.encode(block["credit"]),
                block["amount_minor"].to_numpy().copy(),  # a view would keep the whole block
            )
        )

    def standing(self) -> Standing:
        """All that was taken, column by column: what has been put together is let go before the next."""
        codes, debit, credit, amount = (list(part) for part in zip(*self.parts, strict=True)) if self.parts else ([], [], [], [])
        self.parts.clear()
        return Standing(
            _together(codes, np.int64), _together(debit, np.int32), _together(credit, np.int32), _together(amount, np.int64)
        )


def _together(parts: list[npt.NDArray[Any]], kind: type[np.integer[Any]]) -> npt.NDArray[Any]:
    whole = np.concatenate([np.zeros(0, kind), *parts])
    parts.clear()
    return whole


class _Entries:
    """Two entries a payment, in the order of the payments: so the files are written, and so they need not be sorted."""

    def __init__(self, keys: KeyBook, accounts: AccountBook, standing: Standing) -> None:
        self.keys = keys
        self.accounts = accounts
        self.standing = standing
        self.seen = 0
        self.sound = True
        self.moved: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # by account
        self.touched: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)

    def take(self, block: pa.RecordBatch) -> None:
        codes, account = self.keys.encode(block["key"]), self.accounts.encode(block["account"])
        amount: Codes = block["amount_minor"].to_numpy()
        if len(self.moved) < len(self.accounts):
            self.moved = np.append(self.moved, np.zeros(len(self.accounts) - len(self.moved), np.int64))
            self.touched = np.append(self.touched, np.zeros(len(self.accounts) - len(self.touched), np.bool_))
        np.add.at(self.moved, account, amount)
        self.touched[account] = True
        place = np.arange(self.seen, self.seen + len(codes))
        self.seen += len(codes)
        if self.sound and self.seen <= 2 * len(self.standing.codes):
            self.sound = self._pairs(codes, account, amount, place)

    def _pairs(self, codes: Codes, account: Accounts, amount: Codes, place: Codes) -> bool:
        """Each entry is its payment's debit or credit; which of the two comes first is the order of their names."""
        of, s = place // 2, self.standing
        debit, credit = s.debit[of], s.credit[of]
        is_debit = account == debit
        matches = (codes == s.codes[of]) & (debit != credit) & (is_debit | (account == credit))
        matches &= amount == np.where(is_debit, -s.amount[of], s.amount[of])
        if not matches.all():
            return False
        sides = np.zeros(0, bool) if not len(place) else is_debit ^ (place % 2 == 0)
        self._remember(of, sides)
        return not self._broken

    _broken = False
    _last: tuple[int, bool] | None = None

    def _remember(self, of: Codes, sides: npt.NDArray[np.bool_]) -> None:
        """The two entries of a payment must be one debit and one credit: then `sides` is the same for both."""
        if not len(of):
            return
        if self._last is not None and self._last[0] == of[0]:
            self._broken |= self._last[1] != bool(sides[0])
        together = of[1:] == of[:-1]
        self._broken |= bool((sides[1:] != sides[:-1])[together].any())
        self._last = int(of[-1]), bool(sides[-1])

    def in_order(self) -> bool:
        return self.sound and self.seen == 2 * len(self.standing.codes)


class _Balances:
    def __init__(self, accounts: AccountBook) -> None:
        self.accounts = accounts
        self.rows: list[tuple[Accounts, Codes, Codes]] = []

    def take(self, block: pa.RecordBatch) -> None:
        ids = self.accounts.numbers(block["id"].to_pylist())
        self.rows.append((ids, block["opening_minor"].to_numpy(), block["balance_minor"].to_numpy()))

    def match(self, moved: npt.NDArray[np.int64], touched: npt.NDArray[np.bool_]) -> bool:
        """Every account that entries move is there, once, with its opening balance plus what was moved; and the sum is kept."""
        if not self.rows:
            return False
        ids, opening, balance = (np.concatenate(parts) for parts in zip(*self.rows, strict=True))
        if len(np.unique(ids)) != len(ids) or not np.isin(np.flatnonzero(touched), ids).all():
            return False
        moved = np.append(moved, np.zeros(len(self.accounts) - len(moved), np.int64))
        return bool((opening + moved[ids] == balance).all()) and bool(opening.sum() == balance.sum())
