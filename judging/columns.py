"""Large CSV files as columns: ledgers, and the tables of a copy, in bounded memory and at the speed of the disk.

Each reader returns None for a file that is not plainly what docs/evidence.md describes. Then the caller reads it in the slow
way, whose words tell what is wrong with it; so a damaged run gets the same doubts however large it is.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import mmap
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

if TYPE_CHECKING:
    import pandas as pd

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
BLOCK_BYTES = 8 << 20
ROWS = 1 << 20  # that are worked on at once, so that what lies between two steps stays small
CATEGORIES = pa.dictionary(pa.int32(), pa.string())
# What is not plain: damage of any kind. Whoever reads it in the slow way finds out which.
NOT_PLAIN = (pa.ArrowInvalid, pa.ArrowKeyError, OSError, EOFError, zlib.error, ValueError)


def read_frame(path: Path, columns: Sequence[str], types: dict[str, str], categories: Sequence[str]) -> pd.DataFrame | None:
    """A whole CSV file as a frame; `types` as pandas names them, those of `categories` with few different values."""
    wanted = {name: CATEGORIES if name in categories else _ARROW[types[name]] for name in columns}
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            options = pacsv.ReadOptions(block_size=BLOCK_BYTES)
            table = pacsv.read_csv(file, read_options=options, convert_options=_convert(wanted))
    except NOT_PLAIN:
        return None
    if table.column_names != list(columns):
        return None
    import pandas as pd

    parts: dict[str, Any] = {}
    for name in columns:  # one after the other: a column is let go as soon as it has been taken over
        column, table = table[name], table.drop_columns([name])
        if types[name] == "int64" and column.null_count:
            return None
        parts[name] = _to_pandas(column, types[name])
        del column
    give_back()
    return pd.DataFrame(parts, copy=False)


FIELD = rb'(?:[^",\n][^,\n]*|"(?:[^"\n]|"")*"|)'
QUOTED = re.compile(FIELD + rb"(?:," + FIELD + rb")*\n?")


def misquoted(path: Path) -> int | None:
    """The number of the first line whose quotes don't stand in pairs around a field; None where all do.

    Both readers of CSV here take such a line all the same, and put another value in the place of what stands there.
    """
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        place = text.find(b'"')
        while place >= 0:
            start, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
            end = len(text) if end < 0 else end
            if not QUOTED.fullmatch(text[start:end]):
                return text[:start].count(b"\n") + 1
            place = text.find(b'"', end)
    return None


BLANKS = (b" ", b"\t", b"\v", b"\f")


def padded(path: Path, columns: Sequence[str], numbers: Sequence[str]) -> int | None:
    """The number of the first line in which one of `numbers` has blanks around it; None where none has.

    Both readers of CSV here take such a number all the same: a digit that became a blank leaves a tenth of it. Texts may
    have some. Raises ValueError for a field that is longer than readers of CSV take (128 KiB).
    """
    if not path.stat().st_size:
        return None
    places, found = [columns.index(name) for name in numbers], list[int]()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for blank in BLANKS:
            place = text.find(blank)
            while place >= 0:
                after = place + 1
                around = (text[place - 1 : place] or b"\n") + (text[after : after + 1] or b"\n")
                if not set(b",\n").isdisjoint(around):
                    start, end = text.rfind(b"\n", 0, place) + 1, text.find(b"\n", place)
                    after = len(text) if end < 0 else end
                    try:
                        row = next(csv.reader([text[start:after].decode(errors="replace")]))
                    except csv.Error as error:
                        number = text[:start].count(b"\n") + 1
                        raise ValueError(f"line {number}: {error}") from error
                    if any(row[at] != row[at].strip() for at in places if at < len(row)):
                        found.append(text[:start].count(b"\n") + 1)
                        break
                place = text.find(blank, after)
    return min(found, default=None)


def give_back() -> None:
    """What Arrow's allocator keeps of memory that was let go: nearly half of a ledger's size."""
    pa.default_memory_pool().release_unused()


_ARROW = {"int64": pa.int64(), "Int64": pa.int16(), "str": pa.large_string()}


def _convert(wanted: dict[str, pa.DataType]) -> pacsv.ConvertOptions:
    return pacsv.ConvertOptions(
        column_types=wanted, null_values=[""], strings_can_be_null=False, quoted_strings_can_be_null=False
    )


def _to_pandas(column: pa.ChunkedArray, kind: str) -> Any:
    import pandas as pd

    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
        names = column.chunk(0).dictionary.to_pylist() if column.num_chunks else []
        size = np.int16 if len(names) < 2**15 else np.int32
        codes = [chunk.indices.to_numpy().astype(size) for chunk in column.chunks]
        return pd.Categorical.from_codes(np.concatenate(codes) if codes else np.zeros(0, size), pd.Index(names, dtype="str"))
    if kind == "Int64":
        filled = column.fill_null(0).to_numpy()
        return pd.arrays.IntegerArray(filled, column.is_null().to_numpy())
    if kind == "int64":
        return column.to_numpy()
    return pd.array(column, dtype="str")


def arrow(series: pd.Series[str]) -> pa.Array | pa.ChunkedArray:
    """A column of strings as Arrow holds it."""
    return pa.array(series, type=pa.large_string())


def numbers_of(series: pd.Series[str], accounts: AccountBook) -> npt.NDArray[np.int32]:
    """A column of account ids as numbers."""
    told = series.astype("category").cat
    return np.append(accounts.numbers(told.categories.tolist()), np.int32(-1))[told.codes.to_numpy()]


# Keys and accounts as numbers


class KeyBook:
    """Keys as int64, exactly: what stands before the last seven digits, by number, and these digits.

    No hash: two keys have the same number only when they are the same. Keys of another shape get numbers of their own.
    """

    DIGITS = 7
    BASE = 10**DIGITS

    def __init__(self) -> None:
        self._ids: dict[tuple[str, bool], int] = {}
        self._names: list[tuple[str, bool]] = []  # (the text, whether digits follow)

    def __len__(self) -> int:
        """How many prefixes there are."""
        return len(self._names)

    def encode(self, keys: pa.Array | pa.ChunkedArray) -> Codes:
        codes, at = np.empty(len(keys), np.int64), 0
        for chunk in keys.chunks if isinstance(keys, pa.ChunkedArray) else [keys]:
            for start in range(0, len(chunk), ROWS):
                part = chunk.slice(start, ROWS)
                codes[at : at + len(part)] = self._encode(part)
                at += len(part)
        return codes

    def decode(self, codes: Codes) -> list[str]:
        told = []
        for code in codes.tolist():
            text, digits = self._names[code // self.BASE]
            told.append(f"{text}{code % self.BASE:0{self.DIGITS}d}" if digits else text)
        return told

    def numbered(self, prefix: str, count: int) -> Codes:
        """The codes of `prefix` with 0, 1, 2 … behind it in seven digits, or in as many as it takes."""
        numbers = np.arange(count, dtype=np.int64)
        for more in range(-(-count // self.BASE)):
            part = numbers[more * self.BASE : (more + 1) * self.BASE]
            part += (self._id(f"{prefix}{more or ''}", True) - more) * self.BASE
        return numbers

    def names(self) -> list[tuple[str, bool]]:
        """By code // BASE: the text before the digits; or, where no digits follow, the whole key."""
        return list(self._names)

    def used(self, codes: Codes) -> list[int]:
        """The prefixes (places in `names`) that these codes have."""
        there = np.zeros(len(self._names), np.bool_)
        for at in range(0, len(codes), ROWS):
            there[codes[at : at + ROWS] // self.BASE] = True
        return np.flatnonzero(there).tolist()

    def starting(self, codes: Codes, prefix: str) -> list[str]:
        """The keys among these that start with `prefix`."""
        may = np.array([text.startswith(prefix) or prefix.startswith(text) for text, _ in self._names] or [False])
        return [key for key in self.decode(codes[may[codes // self.BASE]]) if key.startswith(prefix)]

    def _encode(self, chunk: pa.Array) -> Codes:
        numbers, numbered = _last_digits(chunk, self.DIGITS)
        if numbered.all():
            return self._number(pc.utf8_slice_codeunits(chunk, 0, -self.DIGITS), digits=True) + numbers
        codes = np.empty(len(chunk), np.int64)
        mask = pa.array(numbered)
        codes[numbered] = (
            self._number(pc.utf8_slice_codeunits(chunk.filter(mask), 0, -self.DIGITS), digits=True) + numbers[numbered]
        )
        codes[~numbered] = self._number(chunk.filter(pc.invert(mask)), digits=False)
        return codes

    def _number(self, texts: pa.Array, *, digits: bool) -> Codes:
        encoded = texts.dictionary_encode()
        ids = [self._id(text, digits) for text in encoded.dictionary.to_pylist()]
        return np.array(ids, np.int64)[encoded.indices.to_numpy()] * self.BASE if ids else np.zeros(0, np.int64)

    def _id(self, text: str, digits: bool) -> int:
        known = self._ids.setdefault((text, digits), len(self._names))
        if known == len(self._names):
            self._names.append((text, digits))
        return known

    def places(self, codes: Codes) -> Places:
        return Places(self, codes)


def _last_digits(chunk: pa.Array, count: int) -> tuple[Codes, Flags]:
    """The number that the last `count` bytes of each text make, and whether they are digits all."""
    _, offsets, data = chunk.buffers()
    width = np.int64 if pa.types.is_large_string(chunk.type) else np.int32
    ends = np.frombuffer(offsets, width)[chunk.offset : chunk.offset + len(chunk) + 1].astype(np.int64)
    whole = np.diff(ends) >= count
    text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    numbers = np.zeros(len(chunk), np.int64)
    first = np.maximum(ends[1:] - count, 0)
    for place in range(count):
        digit = text[np.minimum(first + place, len(text) - 1)] - 48  # wraps round below "0": then it is above 9
        whole &= digit <= 9
        numbers = numbers * 10 + digit
    return numbers, whole


class Places:
    """Where each code stands among given ones: a table by prefix and number where that is small, else sorted."""

    def __init__(self, book: KeyBook, codes: Codes) -> None:
        self.base = book.BASE
        self.codes = codes
        self._last = np.full(max(1, len(book)), -1, np.int64)
        for at in range(0, len(codes), ROWS):
            np.maximum.at(self._last, *np.divmod(codes[at : at + ROWS], self.base))
        self._start = np.concatenate([[0], np.cumsum(self._last + 1)])
        self._table: npt.NDArray[np.int32] | None = None
        if self._start[-1] <= 8 * len(codes) + ROWS:
            self._table = np.full(int(self._start[-1]) + 1, -1, np.int32)
            for at in reversed(range(0, len(codes), ROWS)):  # backwards, so that the first of several stands
                prefix, number = np.divmod(codes[at : at + ROWS][::-1], self.base)
                self._table[self._start[prefix] + number] = np.arange(at, at + len(prefix), dtype=np.int32)[::-1]
        else:
            self._order = np.argsort(codes, kind="stable")
            self._sorted = codes[self._order]

    def of(self, codes: Codes) -> npt.NDArray[np.int32]:
        """The index of the first occurrence of each; -1: it isn't there."""
        if not len(self.codes):
            return np.full(len(codes), -1, np.int32)
        found = [self._of(codes[at : at + ROWS]) for at in range(0, len(codes), ROWS)]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def _of(self, codes: Codes) -> npt.NDArray[np.int32]:
        if self._table is None:
            at = np.minimum(np.searchsorted(self._sorted, codes), len(self._sorted) - 1)
            return np.where(self._sorted[at] == codes, self._order[at], -1).astype(np.int32)
        prefix, number = np.divmod(codes, self.base)
        known = prefix < len(self._last)
        prefix = np.where(known, prefix, 0)
        known &= number <= self._last[prefix]
        return np.where(known, self._table[np.where(known, self._start[prefix] + number, -1)], -1).astype(np.int32)

    def repeated(self) -> Flags:
        """Which of the given codes stand there a second time or more."""
        found: Flags = self.of(self.codes) != np.arange(len(self.codes), dtype=np.int32)
        return found


class AccountBook:
    """Account ids as int32."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def numbers(self, names: Sequence[str]) -> npt.NDArray[np.int32]:
        return np.array([self._ids.setdefault(name, len(self._ids)) for name in names], np.int32)

    def encode(self, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int32]:
        """Of a column of strings in dictionaries."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        found = [self.numbers(c.dictionary.to_pylist())[c.indices.to_numpy()] for c in chunks if len(c)]
        return np.concatenate(found) if found else np.zeros(0, np.int32)

    def __len__(self) -> int:
        return len(self._ids)


# The tables of a copy, block by block


class _Hashed:
    """A gzip file, unpacked, with the SHA-256 of all that was read."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._file = gzip.GzipFile(fileobj=raw, mode="rb")
        self.digest = hashlib.sha256()
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.digest.update(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def stream_table(path: Path, columns: Sequence[str], take: Callable[[pa.RecordBatch], None]) -> str | None:
    """Hand a table of a copy to `take` block by block; returns the SHA-256 of the unpacked file, None when it is not plain."""
    wanted: dict[str, pa.DataType] = dict.fromkeys(columns, pa.large_string())
    wanted |= {c: pa.int64() for c in columns if c.endswith("_minor")}
    wanted |= {c: CATEGORIES for c in columns if c in ("debit", "credit", "account")}
    try:
        with path.open("rb") as raw:
            unpacked = _Hashed(raw)
            options = _convert(wanted)
            with pacsv.open_csv(
                unpacked, read_options=pacsv.ReadOptions(block_size=BLOCK_BYTES), convert_options=options
            ) as blocks:
                if blocks.schema.names != list(columns):
                    return None
                for block in blocks:
                    if any(column.null_count for column in block.columns):
                        return None
                    take(block)
            while unpacked.read(BLOCK_BYTES):
                pass
            give_back()
            return unpacked.digest.hexdigest()
    except NOT_PLAIN:
        return None
