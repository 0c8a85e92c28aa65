"""Keys as numbers, and large tables read as columns: exact, and the same as what pandas reads."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scale import write_run
from judging import columns
from judging.books import audit
from judging.columns import AccountBook, KeyBook, misquoted, padded
from judging.copies import Shelf
from judging.evidence import Evidence, csv_gz
from judging.measure import measure
from judging.records import read
from tests.synthetic import SCENARIOS, Scenario
from tests.synthetic import write_run as write_scenario

KEYS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.from_regex(r"(run-p-|run-c-[0-9]-|é)[0-9]{5,9}", fullmatch=True),
        st.from_regex(r"[0-9]{0,8}", fullmatch=True),
    ),
    max_size=30,
)


def encoded(book: KeyBook, keys: list[str]) -> columns.Codes:
    return book.encode(pa.chunked_array([pa.array(keys[::2], pa.large_string()), pa.array(keys[1::2], pa.large_string())]))


@given(KEYS)
@settings(deadline=None)
def test_a_number_is_one_key_and_back(keys: list[str]) -> None:
    book = KeyBook()
    codes = encoded(book, keys)
    told = keys[::2] + keys[1::2]
    assert book.decode(codes) == told
    assert len(set(codes.tolist())) == len(set(told))


@pytest.mark.parametrize("table", [True, False])
@given(KEYS, KEYS)
@settings(deadline=None)
def test_lookups_are_those_of_a_dictionary(table: bool, left: list[str], right: list[str]) -> None:
    book = KeyBook()
    codes, there = book.encode(pa.array(left, pa.large_string())), book.encode(pa.array(right, pa.large_string()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "ROWS", 7 if table else 1)
        places = book.places(there)
        found = places.of(codes).tolist()
        repeated = places.repeated().tolist()
    first: dict[str, int] = {}
    for index, key in enumerate(right):
        first.setdefault(key, index)
    assert found == [first.get(key, -1) for key in left]
    assert repeated == [first[key] != index for index, key in enumerate(right)]


@given(KEYS, st.text(max_size=3))
@settings(deadline=None)
def test_keys_are_found_by_what_they_start_with(keys: list[str], prefix: str) -> None:
    book = KeyBook()
    codes = book.encode(pa.array(keys, pa.large_string()))
    for start in (prefix, "run-c-", *(key[:-2] for key in keys[:3])):
        assert book.starting(codes, start) == [key for key in keys if key.startswith(start)]


def test_sparse_numbers_take_no_table_of_their_size() -> None:
    book = KeyBook()
    keys = [f"prefix-{n}-9999999" for n in range(50)]
    codes = book.encode(pa.array(keys, pa.large_string()))
    places = book.places(codes)
    assert places._table is None
    assert places.of(codes).tolist() == list(range(50))


@pytest.mark.parametrize("name", ["probe.csv", "ledger.csv", "autopsy/dc1-a.payments.csv.gz"])
def test_columns_say_what_pandas_says(name: str, tmp_path: Path) -> None:
    evidence = Evidence(write_scenario(tmp_path))
    fast = {"probe.csv": lambda: evidence.probe, "ledger.csv": lambda: evidence.ledger}.get(
        name, lambda: evidence.autopsy("dc1-a")
    )()
    assert fast is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "read_frame", lambda *_: None)
        again = Evidence(tmp_path)
        slow = {"probe.csv": lambda: again.probe, "ledger.csv": lambda: again.ledger}.get(name, lambda: again.autopsy("dc1-a"))()
    assert slow is not None
    assert len(fast) > 100
    for column in slow.columns:
        assert fast[column].astype("object").tolist() == slow[column].astype("object").tolist(), column


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_fast_way_and_the_slow_way_agree(name: str, tmp_path: Path) -> None:
    write_scenario(tmp_path, SCENARIOS[name])
    fast = measure(Evidence(tmp_path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "read_frame", lambda *_: None)
        patch.setattr(Shelf, "sound", lambda *_: None)
        slow = measure(Evidence(tmp_path))
    assert fast == slow


def edited(directory: Path, table: str, edit: object) -> None:
    for path in sorted((directory / "copies").glob(f"*.{table}.csv.gz")):
        lines = gzip.decompress(path.read_bytes()).split(b"\n")
        edit(lines)  # type: ignore[operator]
        csv_gz(path, b"\n".join(lines))


def swap(lines: list[bytes]) -> None:
    lines[1], lines[2] = lines[2], lines[1]


def move(lines: list[bytes]) -> None:
    lines[1], lines[4] = lines[4], lines[1]


def double(lines: list[bytes]) -> None:
    lines[2] = lines[1]


@pytest.mark.parametrize(
    ("table", "edit", "sound"),
    [
        ("payments", lambda lines: lines.pop(7), False),
        ("payments", lambda lines: lines.insert(7, lines[7]), False),
        ("entries", lambda lines: lines.pop(7), False),
        ("entries", lambda lines: lines.insert(7, lines[7]), False),
        ("entries", swap, True),  # the order of the two is nobody's promise
        ("entries", move, False),
        ("entries", double, False),
        ("accounts", lambda lines: lines.pop(7), False),
        ("accounts", lambda lines: lines.insert(7, lines[7]), False),
        ("accounts", swap, True),
    ],
)
def test_only_a_sound_copy_is_taken_for_sound(table: str, edit: object, sound: bool, tmp_path: Path) -> None:
    write_scenario(tmp_path, Scenario())
    edited(tmp_path, table, edit)
    evidence = Evidence(tmp_path)
    shelf = Shelf(evidence, KeyBook(), AccountBook(), authority="dc2-a")
    found = shelf.sound("dc2-a")
    assert (found is not None) == sound
    if found is not None:
        assert found.digest == evidence.copy_digest("dc2-a")


def test_equal_copies_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenario(tmp_path)
    seen: list[str] = []
    real = columns.stream_table

    def stream(path: Path, *arguments: object) -> str | None:
        seen.append(path.name)
        return real(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("judging.copies.stream_table", stream)
    books = audit(read(Evidence(tmp_path)))
    assert len(books.copies) == 4 or len(books.copies) == 5
    assert len(seen) == 3


def test_a_made_up_run_of_any_size_is_judged(tmp_path: Path) -> None:
    """What the benchmark of scale makes is a run as the page describes it."""
    write_run(tmp_path / "run", 40_000)
    found = measure(Evidence(tmp_path / "run"))
    frame = pd.read_csv(tmp_path / "run" / "probe.csv")
    assert found.acknowledged == 2 * int((frame["outcome"] == "acknowledged").sum()) > 10_000
    assert (found.lost_transactions, found.phantom, found.duplicated, found.breaches) == (0, 0, 0, [])
    assert found.doubts == []  # else a check may end early, and the benchmark would not show what it costs
    assert all(copy.equal_to_authority and copy.double_entry and copy.balances_match_entries for copy in found.copies)


def test_numbers_of_accounts_do_not_depend_on_how_they_came() -> None:
    book = AccountBook()
    names = ["b", "a", "b", "c"]
    plain = columns.numbers_of(pd.Series(names, dtype="str"), book)
    category = columns.numbers_of(pd.Series(names, dtype="category"), book)  # type: ignore[arg-type]
    encoded_ = book.encode(pa.array(names).dictionary_encode())
    assert plain.tolist() == category.tolist() == encoded_.tolist()
    assert len(np.unique(plain)) == 3


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        (b'a,"b ""c"", d",\n', True),
        (b'"a","",""\n', True),
        (b'a"b,c,d\n', True),  # a quote that opens nothing stands for itself
        (b'a,"b &"c"",d\n', False),
        (b'a,"b,c\n', False),
        (b'"a"b,c,d\n', False),
    ],
)
def test_quotes_stand_in_pairs_around_a_field(tmp_path: Path, line: bytes, whole: bool) -> None:
    path = tmp_path / "text.csv"
    path.write_bytes(b"x,y,z\n1,2,3\n" + line + b"4,5,6\n")
    assert misquoted(path) == (None if whole else 3)


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        (b"10, a b ,7\n", True),  # a text may have any
        (b'10,"a, b",7\n', True),
        (b"1 ,a,7\n", False),
        (b"10,a, 7\n", False),
        (b"10,a,7 \n", False),
        (b"\t10,a,7\n", False),
        (b'10,"a, b",7\t\n', False),
        (b"10,a,7\x0b\n", False),
        (b"10,a,\x0c\n", False),
    ],
)
def test_no_blanks_stand_around_a_number(tmp_path: Path, line: bytes, whole: bool) -> None:
    path = tmp_path / "numbers.csv"
    path.write_bytes(b"x,y,z\n1,2,3\n" + line + b"4,5,6\n")
    assert padded(path, ("x", "y", "z"), ("x", "z")) == (None if whole else 3)
    path.write_bytes(path.read_bytes().removesuffix(b"\n4,5,6\n"))  # at the very end
    assert padded(path, ("x", "y", "z"), ("x", "z")) == (None if whole else 3)


def test_a_field_that_no_reader_takes_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    path.write_bytes(b"x,y\n1, " + b"a" * 200_000 + b"\n")
    with pytest.raises(ValueError, match="line 2: field larger"):
        padded(path, ("x", "y"), ("x",))
