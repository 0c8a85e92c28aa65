"""The front door's own record of each payment, from logs/door.log: written by HAProxy, which knows nothing of our ledgers.

A line is the wall time that the engine puts before it, and `pay key=<key> status=<status> at=<time> took=<ms> end=<state>`;
docs/evidence.md says what each means. Whatever else the door says (servers that come and go) stands between them and is
passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from judging.columns import Codes, KeyBook
from judging.errors import EvidenceError
from judging.evidence import Clock, Evidence

if TYPE_CHECKING:
    import pandas as pd

LOG = "logs/door.log"
KEY_BYTES_MAX = 128  # the door keeps no more of a key
BLOCK_BYTES = 8 << 20
FIELDS = ("logged", "what", "key", "status", "at", "took", "end")
NAMED = ("key", "status", "at", "took", "end")
# How each field looks when it is whole; the door encodes a key's other characters with %.
LOOKS = {
    "key": r"^key=([A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+$",
    "status": r"^status=(-1|\d{1,3})$",
    "at": r"^at=\d{9,11}\.\d{3}$",
    "took": r"^took=-?\d{1,9}$",
    "end": r"^end=[A-Za-z-]{2}$",
}


@dataclass(frozen=True)
class DoorLog:
    """What the door logged of payments. `frame`: one row a line, in the order of the log, with the columns

    `key` (str), `status` (int64; -1: the customer was sent none), `at_ns` (int64, the host's monotonic clock by the plan's pair,
    to the millisecond: when the first byte of the request came), `took_ms` (int64, from then to the end of the answer; -1: not
    known) and `end` (HAProxy's termination state, two letters; `--`: in order).
    """

    frame: pd.DataFrame
    bad_lines: int  # begin as a payment's line, and are none
    keyless: int  # payments without a key: in no row
    cut: int  # rows whose key may go on: the door keeps its first 128 bytes


def read_door(evidence: Evidence) -> DoorLog | None:
    """The door's record; None when there is no logs/door.log. Damaged lines are counted and left out.

    Raises EvidenceError when the plan, whose clock places the lines, cannot be read.
    """
    path = evidence.path(LOG)
    if not path.is_file():
        return None
    offset_ns = _offset_ns(evidence.plan.clock)
    reader = _Reader()
    if path.stat().st_size:
        reader.read(str(path))
    return reader.told(offset_ns)


@dataclass(frozen=True)
class Lines:
    """Some lines of the log, in order; as in the frame of a DoorLog, with keys as numbers. `whole`: `end` is `--`."""

    codes: Codes
    status: Codes
    at_ns: Codes
    took_ms: Codes
    whole: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counted:
    """How many lines of payments the log holds: sound ones, damaged ones, and those of payments without a key."""

    lines: int
    bad_lines: int
    keyless: int


def read_lines(evidence: Evidence, keys: KeyBook, take: Callable[[Lines], None]) -> Counted | None:
    """Hand the door's record to `take` block by block, so that none of it stays in memory; otherwise as `read_door`."""
    path = evidence.path(LOG)
    if not path.is_file():
        return None
    offset_ns = _offset_ns(evidence.plan.clock)
    lines = 0

    def typed(words: pa.Table) -> None:
        nonlocal lines
        lines += words.num_rows
        take(
            Lines(
                codes=keys.encode(_plain(words["key"])),
                status=_int64(words["status"]),
                at_ns=_int64(words["at_ms"]) * 1_000_000 + offset_ns,
                took_ms=_int64(words["took"]),
                whole=pc.equal(words["end"], "--").to_numpy(),
            )
        )

    reader = _Reader(typed)
    if path.stat().st_size:
        reader.read(str(path))
    return Counted(lines, reader.bad_lines, reader.keyless)


def _plain(keys: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """The keys as they were before the door encoded them."""
    if not pc.any(pc.match_substring(keys, "%")).as_py():
        return keys
    return pa.array([unquote(key, errors="replace") for key in keys.to_pylist()], pa.large_string())


def _offset_ns(clock: Clock) -> int:
    """Monotonic minus epoch time, ns."""
    try:
        wall = datetime.fromisoformat(clock.wall)
    except ValueError as error:
        raise EvidenceError(f"plan.json: clock.wall {clock.wall!r} is no RFC 3339 time") from error
    since = wall - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return clock.monotonic_ns - (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds) * 1000


class _Reader:
    """Reads in blocks, so that memory holds the rows and not the text."""

    def __init__(self, keep: Callable[[pa.Table], None] | None = None) -> None:
        """`keep`: takes the words of whole lines, block by block; None: they are put into `rows`."""
        self.bad_lines = 0
        self.keyless = 0
        self.rows: list[pa.Table] = []
        self.keep = keep or self.rows.append

    def read(self, path: str) -> None:
        types = dict.fromkeys(FIELDS, pa.binary())
        with pacsv.open_csv(
            path,
            # Any byte is a character of latin1: a damaged one must not end the reading of the lines after it.
            read_options=pacsv.ReadOptions(column_names=list(FIELDS), block_size=BLOCK_BYTES, encoding="latin1"),
            parse_options=pacsv.ParseOptions(delimiter=" ", quote_char=False, invalid_row_handler=self.misfit),
            convert_options=pacsv.ConvertOptions(column_types=types, strings_can_be_null=False),
        ) as batches:
            for batch in batches:
                self.take(batch)

    def misfit(self, row: pacsv.InvalidRow) -> str:
        """A line with more or fewer words: something else that the door said, or a payment's line that is damaged."""
        _, _, said = row.text.partition(" ")
        self.bad_lines += said.startswith("pay")
        return "skip"

    def take(self, batch: pa.RecordBatch) -> None:
        words = pa.Table.from_batches([batch])
        words = words.filter(pc.equal(words["what"], b"pay"))
        keyless = pc.equal(words["key"], b"key=-")
        whole = pc.invert(keyless)
        for name, looks in LOOKS.items():
            whole = pc.and_(whole, pc.match_substring_regex(words[name], looks))
        count = words.num_rows
        without = int(pc.sum(keyless).as_py() or 0)
        words = words.filter(whole)
        self.keyless += without
        self.bad_lines += count - without - words.num_rows
        if words.num_rows:
            self.keep(_typed(words))

    def told(self, offset_ns: int) -> DoorLog:
        import pandas as pd

        table = pa.concat_tables([_typed(_NOTHING), *self.rows])
        keys = table["key"]
        frame = pd.DataFrame(
            {
                "key": pd.Series(keys.to_pandas(), dtype="str"),
                "status": _int64(table["status"]),
                "at_ns": _int64(table["at_ms"]) * 1_000_000 + offset_ns,
                "took_ms": _int64(table["took"]),
                "end": pd.Series(table["end"].to_pandas(), dtype="str"),
            }
        )
        encoded = frame["key"].str.contains("%", regex=False)
        if encoded.any():
            frame.loc[encoded, "key"] = frame.loc[encoded, "key"].map(lambda key: unquote(key, errors="replace"))
        # Three characters stand for an encoded byte, so a key without one is cut when it fills the whole room.
        plain = pc.replace_substring_regex(keys, "%[0-9A-Fa-f]{2}", "x") if encoded.any() else keys
        cut = int(pc.sum(pc.greater_equal(pc.binary_length(plain), KEY_BYTES_MAX)).as_py() or 0)
        return DoorLog(frame, bad_lines=self.bad_lines, keyless=self.keyless, cut=cut)


_NOTHING = pa.table({name: pa.array([], pa.binary()) for name in FIELDS})


def _typed(words: pa.Table) -> pa.Table:
    """The words of whole lines without their names, as numbers where they are numbers."""
    text = {name: pc.utf8_slice_codeunits(words[name].cast(pa.large_string()), len(name) + 1) for name in NAMED}
    at_ms = pc.replace_substring(text["at"], ".", "", max_replacements=1)
    return pa.table(
        {
            "key": text["key"],
            "status": text["status"].cast(pa.int64()),
            "at_ms": at_ms.cast(pa.int64()),
            "took": text["took"].cast(pa.int64()),
            "end": text["end"],
        }
    )


def _int64(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    numbers: npt.NDArray[np.int64] = column.to_numpy()
    return numbers
