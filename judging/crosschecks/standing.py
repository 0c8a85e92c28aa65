"""The payments that stand on a copy or a dead disk, with the times at which they were committed, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from judging.columns import ROWS, AccountBook, Codes, KeyBook, Places, arrow, stream_table
from judging.evidence import COPY_COLUMNS

if TYPE_CHECKING:
    import numpy.typing as npt

PLAIN_CHARACTERS = len("2026-01-15 02:00:20+00")  # and up to seven more: a point and up to six digits
US_MAX = (1 << 63) // 1000 - 1  # what fits into 64 bits as nanoseconds


class TextBook:
    """Accounts and commit times as numbers. Two times have one number only when their texts are the same.

    A time is its microseconds times 8, plus the number of characters after its seconds: with a blank in the middle and +00
    at the end, as databases write it, nothing else is in the text. Other texts get negative numbers of their own.
    """

    def __init__(self) -> None:
        self.accounts = AccountBook()
        self._odd: dict[str, int] = {}
        self._odd_ns: list[int] = []

    def times(self, texts: pa.Array) -> Codes:
        """Raises ValueError where a text is no time."""
        plain = pc.match_substring_regex(texts, r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?\+00$")
        if pc.all(plain).as_py() is not False:
            try:
                return self._plain(texts)
            except (pa.ArrowInvalid, OverflowError):  # no such day, or one that does not fit: whoever reads it alone says which
                return self._numbers(texts.to_pylist())
        chosen = plain.to_numpy(zero_copy_only=False)
        codes = np.empty(len(texts), np.int64)
        codes[chosen] = self.times(texts.filter(plain))
        codes[~chosen] = self._numbers(texts.filter(pc.invert(plain)).to_pylist())
        return codes

    def _plain(self, texts: pa.Array) -> Codes:
        since_us = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        if len(since_us) and (since_us.max() > US_MAX or since_us.min() < -US_MAX):
            raise OverflowError
        characters = pc.binary_length(texts).to_numpy().astype(np.int64) - PLAIN_CHARACTERS
        codes: Codes = (since_us << 3) + characters + (1 << 62)
        return codes

    def _numbers(self, texts: list[str]) -> Codes:
        """All that are new at once: one alone takes as long as a thousand."""
        new = list(dict.fromkeys(text for text in texts if text not in self._odd))
        if new:
            at = pd.to_datetime(pd.Series(new), utc=True, format="ISO8601").astype("datetime64[ns, UTC]").astype("int64")
            self._odd |= {text: -1 - len(self._odd) - place for place, text in enumerate(new)}
            self._odd_ns += at.tolist()
        return np.array([self._odd[text] for text in texts], np.int64)

    def wall_ns(self, codes: Codes) -> Codes:
        """Nanoseconds since 1970 of times."""
        found = np.empty(len(codes), np.int64)
        for at in range(0, len(codes), ROWS):
            part = codes[at : at + ROWS]
            walls = ((part - (1 << 62)) >> 3) * 1000
            if (odd := part < 0).any():
                walls[odd] = np.array(self._odd_ns, np.int64)[-1 - part[odd]]
            found[at : at + ROWS] = walls
        return found


class Ground(Protocol):
    """What all tables of one run share."""

    @property
    def keys(self) -> KeyBook: ...
    @property
    def texts(self) -> TextBook: ...

    def at_all_ns(self, walls: Codes, /) -> Codes: ...


@dataclass(frozen=True)
class Stood:
    """Payments in the order of their file. `rows`: debit, credit, amount and commit time as numbers; None: nobody asks."""

    codes: Codes
    rows: tuple[npt.NDArray[Any], ...] | None
    ground: Ground
    wall_ns: Codes

    @cached_property
    def committed_ns(self) -> Codes:
        """On the run's clock."""
        return self.ground.at_all_ns(self.wall_ns)

    @cached_property
    def places(self) -> Places:
        return self.ground.keys.places(self.codes)

    def key(self, row: int) -> str:
        return self.ground.keys.decode(self.codes[row : row + 1])[0]


class _Parts:
    def __init__(self, ground: Ground, rows: bool) -> None:
        self.ground, self.rows = ground, rows
        self.columns: list[list[npt.NDArray[Any]]] = [[] for _ in range(5)]

    def take(self, block: pa.RecordBatch) -> None:
        accounts = self.ground.texts.accounts
        self.columns[0].append(self.ground.keys.encode(block["key"]))
        self.columns[1].append(self.ground.texts.times(block["committed_at"]))
        if self.rows:
            self.columns[2].append(accounts.encode(block["debit"]))
            self.columns[3].append(accounts.encode(block["credit"]))
            self.columns[4].append(block["amount_minor"].to_numpy().copy())

    def stood(self) -> Stood:
        codes, times, *rest = (self._whole(column) for column in self.columns)
        walls = self.ground.texts.wall_ns(times)
        return Stood(codes, (*rest, times) if self.rows else None, self.ground, walls)

    @staticmethod
    def _whole(column: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        whole = np.concatenate(column) if column else np.zeros(0, np.int64)
        column.clear()
        return whole


def read_table(path: Path, ground: Ground, *, rows: bool) -> Stood | None:
    """A table of payments, block by block; None when it is not plain."""
    parts = _Parts(ground, rows)
    failed: list[Exception] = []

    def take(block: pa.RecordBatch) -> None:
        try:
            parts.take(block)
        except (ValueError, OverflowError) as error:  # else the reader would take it for a file that is not plain
            failed.append(error)
            raise

    digest = stream_table(path, COPY_COLUMNS["payments"], take)
    return None if digest is None or failed else parts.stood()


def read_frame(frame: pd.DataFrame, ground: Ground) -> Stood:
    """The same from a table that was read as a whole."""
    parts = _Parts(ground, rows=True)
    texts = [_one(arrow(frame[name])) for name in ("key", "debit", "credit", "committed_at")]
    block = {
        "key": texts[0], "debit": texts[1].dictionary_encode(), "credit": texts[2].dictionary_encode(),
        "amount_minor": pa.array(frame["amount_minor"].to_numpy()), "committed_at": texts[3],
    }  # fmt: skip
    parts.take(pa.RecordBatch.from_pydict(block))
    return parts.stood()


def _one(texts: pa.Array | pa.ChunkedArray) -> pa.Array:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
