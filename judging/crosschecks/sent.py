"""One ledger as rules look at it: its rows in their order, its keys as numbers."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from judging.columns import Codes, Flags, KeyBook, Places
from judging.records import OUTCOMES, outcome_numbers

if TYPE_CHECKING:
    import pandas as pd


class Sent:
    """The payments of a ledger. No key stands in it twice: such a ledger counts as unreadable."""

    def __init__(self, frame: pd.DataFrame, codes: Codes, keys: KeyBook) -> None:
        self.frame = frame
        self.codes = codes
        self._keys = keys

    @cached_property
    def places(self) -> Places:
        return self._keys.places(self.codes)

    @cached_property
    def _outcome(self) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        return outcome_numbers(self.frame)

    @cached_property
    def status(self) -> Codes:
        """The status of each payment, in as few bytes as its file's reader took; see `answered`."""
        size = np.int16 if str(self.frame["status"].dtype) == "Int16" else np.int64
        found: Codes = self.frame["status"].to_numpy(dtype=size, na_value=-2)
        return found

    @cached_property
    def answered(self) -> Flags:
        return self.frame["status"].notna().to_numpy()

    def where(self, outcome: str) -> Flags:
        chosen: Flags = self._outcome == OUTCOMES.index(outcome)
        return chosen

    def times(self, column: str) -> Codes:
        return self.frame[column].to_numpy(dtype=np.int64)

    def key(self, row: int) -> str:
        return str(self.frame["key"].iloc[row])

    def keys(self, chosen: Flags) -> list[str]:
        """The keys of these rows, in their order."""
        return [str(key) for key in self.frame["key"][chosen].tolist()]

    def says(self, column: str, rows: Codes, beginnings: tuple[str, ...]) -> Flags:
        """Whether the text in a column of these rows begins so."""
        found: Flags = self.frame[column].iloc[rows].str.startswith(beginnings).to_numpy(dtype=bool)
        return found
