"""A second verifier of one run of Drillbook: it judges a directory of evidence by `docs/evidence.md` alone. Version 2 only.

Usage: python verifier.py RUN

It prints JSON: the verdict, every doubt, breach and undecided requirement in words, and every figure. It needs Python 3.11 and
nothing else, and shares no code with the judge of Drillbook. Exit code 0 when it gave a verdict, 2 when there is none to give.

To audit it, lay the page beside it. The parts below are in the page's order, and each names the section that it follows:

1. reading: a file that is not what the page says becomes a doubt that names it, and counts as missing from there on;
2. doubts 1 to 16 of the page's table, one function each;
3. stalls, return of service, the other figures, their intervals;
4. the verdict: doubts, else breaches, else what is undecided;
5. records held against each other (doubt 17): `yield "the rule's name on the page", [all that contradicts it]`.

All times are whole nanoseconds of the monotonic clock unless a name ends in `_s` (seconds), `_ms`, or says `wall`.
A column of a CSV file is an attribute of its row, a field of an event's `data` is `event["field"]`, both named as on the page.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sys
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path, PurePosixPath
from random import Random
from statistics import median_low
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import unquote

S, MS = 1_000_000_000, 1_000_000  # a second, a millisecond
LATE = S  # B of the page: what a busy machine may be late
CLOCKS = 50 * MS  # C of the page: what clocks may differ
WAITED = ("no answer within", "timed out", "ended before")  # a client that gave up waiting says so
WATCH = 10 * S  # service is back when it was in order for so long
NEVER = 1 << 62
UNPACKED_LIMIT = 2 << 30  # bytes; no run's table is larger, and a bomb must not fill the memory

Span = tuple[int, int]
Data = dict[str, Any]


class Damaged(Exception):
    """A file is not what the page says; the text says how."""


# ---- "Clocks", and the page's beginning: JSON, CSV, numbers, times ---------------------------------------------------------

WALL = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)")


@lru_cache(maxsize=4096)
def epoch_s(day: str, clock: str, zone: str) -> int:
    zone = "+00:00" if zone == "Z" else zone if len(zone) > 3 else zone + ":00"
    return int(datetime.fromisoformat(f"{day}T{clock}{zone}").timestamp())


def wall_ns(text: str, whole_text: bool = True) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time, or of one that begins a text."""
    found = WALL.match(text)
    if not found or (whole_text and found.end() != len(text)):
        raise Damaged(f"no wall time: {text[:40]!r}")
    try:
        return epoch_s(found[1], found[2], found[4]) * S + int((found[3] or "").ljust(9, "0"))
    except ValueError as error:
        raise Damaged(str(error)) from error


class Clock(NamedTuple):
    """Wall to monotonic time: the plan's pair, and how much of the one passes in how much of the other."""

    monotonic: int = 0
    wall: int = 0
    passed: int = 1
    wall_passed: int = 1

    def placed(self, wall: int) -> int:
        """By the plan's pair alone."""
        return self.monotonic + wall - self.wall

    def at(self, wall: int) -> int:
        return self.monotonic + (wall - self.wall) * self.passed // self.wall_passed


def parse_json(text: str) -> Any:
    """JSON of RFC 8259: no NaN, and no name twice in one object (two readers might take two values)."""

    def no_constant(name: str) -> Any:
        raise Damaged(f"{name} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> Data:
        if len({name for name, _ in pairs}) != len(pairs):
            raise Damaged("a name stands twice in one object")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=no_constant, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"no JSON: {error}") from error


def text_of(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"no UTF-8: {error}") from error


def whole(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise Damaged(f"no whole number: {text[:40]!r}")
    return int(text)


def bit(text: str) -> bool:
    if text not in ("0", "1"):
        raise Damaged(f"neither 0 nor 1: {text[:40]!r}")
    return text == "1"


def optional(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: reader(text) if text else None


# How a column is read, by its name; all others are text. A column means the same wherever it stands.
COLUMNS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("due_ns", "sent_ns", "done_ns", "asked_ns", "t_ns", "from_ns", "to_ns"), whole),
    **dict.fromkeys(("amount_minor", "opening_minor", "balance_minor"), whole),
    **dict.fromkeys(("status", "timeline", "flush_lsn", "replay_lsn", "core", "late_ns"), optional(whole)),
    "committed_at": wall_ns, "authorised_at": wall_ns, "forwarded_at": optional(wall_ns), "ok": bit,
    "in_recovery": optional(bit), "replication": optional(parse_json), "data": parse_json,
}  # fmt: skip


def table(data: bytes, kind: Any, sorted_by: int = 0) -> Any:
    """The rows of a CSV file. Its columns are the fields of `kind`; rows are in byte order of the first `sorted_by` columns."""
    text, columns = text_of(data), list(kind._fields)
    readers = [COLUMNS.get(name, str) for name in columns]
    if text[-1:] not in ("", "\n") or "\r" in text or "\0" in text:
        raise Damaged("it ends in the middle of a line, or holds a carriage return or a NUL")
    rows, lines = [], csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        if next(lines, None) != columns:
            raise Damaged("it has other columns")
        for line in lines:
            if len(line) != len(columns):
                raise Damaged(f"line {lines.line_num} has {len(line)} fields, not {len(columns)}")
            rows.append(kind(*[reader(value) for reader, value in zip(readers, line, strict=True)]))
    except csv.Error as error:
        raise Damaged(f"line {lines.line_num}: {error}") from error
    order = [tuple(value.encode() for value in row[:sorted_by]) for row in rows] if sorted_by else []
    if order != sorted(order):
        raise Damaged("its rows are not sorted")
    return rows


# ---- Shapes: "plan.json", "manifest.json", "events.jsonl", "Counts", "witness.json" ----------------------------------------


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON value has a shape: a type, test, pattern, {name: shape}, [shape of each], (one of these), or constant.

    A name that ends in `?` may be missing.
    """
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            fits(value[key], inner) if (key := name.rstrip("?")) in value else key != name for name, inner in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and bool(shape.fullmatch(value))
    if shape in (int, float):
        numbers = int if shape is int else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool) and abs(value) < float("inf")
    if isinstance(shape, type):
        return isinstance(value, shape)
    return bool(shape(value)) if callable(shape) else type(value) is type(shape) and bool(value == shape)


def is_wall(value: Any) -> bool:
    with suppress(Damaged):
        return isinstance(value, str) and wall_ns(value) >= 0
    return False


def above_0(value: Any) -> bool:
    return fits(value, float) and value > 0


def is_load(value: Any) -> bool:
    """`load` of a plan. Of the fields that may be left out, one that is there has a limit."""
    if not fits(value, LOAD):
        return False
    workers, shape, least = (value.get(name) for name in ("workers", "shape", "rate_min"))
    dealt = workers is None or (
        fits(workers, int) and workers > 0 and value["customers"] > 0 and not value["customers"] % workers
    )
    points = shape is None or (
        fits(shape, [list]) and shape and all(len(p) == 2 and fits(p[0], float) and p[0] >= 0 and above_0(p[1]) for p in shape)
    )
    ordered = not points or shape is None or all(a[0] <= b[0] for a, b in pairwise(shape))
    return bool(dealt and points and ordered and (least is None or (above_0(least) and least <= 1)))


# fmt: off
LOAD = {"probe_interval_ms": above_0, "probe_timeout_s": above_0, "customers": int, "customer_rate_per_s": float,
        "pay_share": float, "baseline_s": float, "service_level_s": above_0}
HASH = re.compile(r"[0-9a-f]{64}")
TARGETS = ("rto_s", "rpo_s", "lost_transactions", "interruption_s", "detect_s", "unprotected_s", "availability")
ROLE = ("detect", "decide", "promote", "reroute", None)
CLOCK = {"monotonic_ns": int, "wall": is_wall}
CENTER = {"name": str, "region": str, "nodes": [{"name": str, "kind": str, "group": str}]}
GROUP, LINK = {"name": str, "upstream": (None, str)}, {"source": str, "target": str, "bandwidth_kbps?": (None, int)}
PLAN = {
    "evidence_version": int, "drill": str, "claim": str, "run_id": str, "seed": int,
    "topology": {"name": str, "centers": [CENTER], "groups": [GROUP], "links": [LINK], "settings": dict},
    "targets": {**dict.fromkeys(TARGETS, (None, float)), "p99_back_s?": (None, float), "basis": dict},
    "load": is_load,
    "body": (None, [({"kind": "fault", "name": str, "target": str, "args": dict},
                     {"kind": "until", "condition": str, "within_s": float},
                     {"kind": "step", "name": str, "role": ROLE})]),
    "witness": (None, dict), "environment_class": str, "drill_kind": str, "environment": dict, "clock": CLOCK,
}
MANIFEST = {"evidence_version": int, "run_id": str, "sealed_at": is_wall, "clock": CLOCK, "files": dict, "chain_head": HASH}
SEALED = {"bytes": int, "sha256": HASH}
RAN = {"started_ns": int, "stopped_ns": int, "completed": bool}
PROBE_COUNT = {**RAN, "scheduled": int, "recorded": int, "interval_ms": above_0, "late_ms_max": (0, 0.0, above_0)}
OF_A_WORKER = {"worker": int, "recorded": int, "reads": int, "locust_requests": int}
LOCUST_COUNT = {**RAN, "recorded": int, "locust_requests": int, "looks": int}
WITNESS_COUNT = {**RAN, "rows": int, "cores": int, "degraded": [str]}
PEERS = [{"name": str, "state": str, "sync_state": str, "flush_lsn": (None, int)}]
OF_A_WITNESS = {"wake": {"at_ns": int}, "sync": {}, "pressure": {}, "cpu": {}}
SOURCE = ("harness", "databases", "dcs", "door", "customers", "hands", "host")
EVENT = {"seq": int, "t_ns": int, "wall": is_wall, "source": SOURCE, "kind": str, "text": str, "data": dict, "prev": str}
EFFECT = {"down": [str], "cut": [str], "destroyed?": [str], "damaged?": [str], "impaired?": [str]}
CHECK = {"subject": str, "side": ("victim", "bystander"), "expected": str, "seen": str, "ok": bool}
KEYS = {"count": int, "sha256": HASH}
LINE = {"source": str, "target": str, "bandwidth_kbps": int, "from_ns": int, "to_ns": int, "bytes": int, "dropped": int}
EVENTS: dict[str, Any] = {
    "plan_registered": {"sha256": HASH},
    "phase": {"name": ("start", "steady", "baseline", "fault", "heal", "drain", "readback", "seal")},
    "books_closed": {"node": str, "payments": int, "sha256": HASH},
    "baseline": {"from_ns": int, "to_ns": int},
    "intent": {"id": str, "name": str, "target": str, "args": dict, "effect": EFFECT},
    "injected": {"id": str, "before_ns": int, "after_ns": int},
    "proof": {"id": str, "proved": bool, "checks": [CHECK]},
    "reach": {"moment": ("before", "during", "after"), "cells": [{"source": str, "target": str, "ok": bool}]},
    "primary": {"node": (None, str), "roles": dict},
    "leader_key": {"store": str, "leader": (None, str), "seen_before_ns": int},
    "durability": {"node": str, "settings": dict, "overrides": [{"place": str, "name": str, "value": str}]},
    "replaced": {"nodes": [str]},
    "restored": {"node": str, "timeline": int, "xid": int, "before_ns": int, "after_ns": int},
    "step": {"name": str, "role": ROLE, "before_ns": int, "after_ns": int, "ok": bool},
    "damage": {"node": str, "pages": list},
    "until": {"condition": str, "within_s": float, "reached": bool, "waited_s": float},
    "heal_started": {"id": str}, "healed": {"id": str, "ok": bool},
    "load_started": {"origin": ("probe", "locust")}, "load_stopped": {"origin": ("probe", "locust")},
    "authority": {"node": str}, "expected_copies": {"nodes": [str]},
    "exempt_keys": {"observers": KEYS, "ready": KEYS},
    "autopsy": {"node": str, "payments": int, "end_lsn": (None, int)},
    "edge_store": {"node": str, "payments": int, "synchronous": int},
    "door_log": {"payments": int, "dropped": (None, int)},
    "lines": {"lines": [LINE]},
    "by_hand": {"act": str},
}
# fmt: on


class Event(Data):
    """The `data` of an event, and what all events have."""

    def __init__(self, line: Data) -> None:
        super().__init__(line["data"])
        self.seq, self.t, self.wall, self.kind = line["seq"], line["t_ns"], wall_ns(line["wall"]), line["kind"]


class Payment(namedtuple("Payment", "key due_ns sent_ns done_ns status outcome debit credit amount_minor error")):
    """A row of probe.csv or ledger.csv."""

    @property
    def acknowledged(self) -> bool:
        return bool(self.outcome == "acknowledged")


Sampled = namedtuple(
    "Sampled", "asked_ns t_ns node ok in_recovery timeline flush_lsn replay_lsn sync_names replication error"
)  # fmt: skip


class Sample(Sampled):
    """A row of samples.csv."""

    @property
    def writes(self) -> bool:
        return bool(self.ok and self.in_recovery is False)

    @property
    def slow(self) -> bool:
        """Its time was over: the database may write all the same."""
        return re.search("no answer|time", self.error, re.IGNORECASE) is not None


Read = namedtuple("Read", "key sent_ns done_ns status")
Witnessed = namedtuple("Witnessed", "from_ns to_ns kind core late_ns data")
Stored = namedtuple("Stored", "key debit credit amount_minor committed_at")  # on a copy, or on a dead disk
Authorised = namedtuple("Authorised", "key debit credit amount_minor authorised_at forwarded_at status")  # by an edge, by itself
Entry = namedtuple("Entry", "key account amount_minor")
Account = namedtuple("Account", "id opening_minor balance_minor")
TABLES = (("payments", Stored, 1), ("entries", Entry, 2), ("accounts", Account, 1))  # of a copy, and by how many columns sorted
DoorLine = namedtuple("DoorLine", "key status at end state")  # of the door's log; `end` None: it was not taken
LogLine = namedtuple("LogLine", "t wall text")  # of a server's log; when the engine received it
# A fault: id, before, after, name, target, args, down, cut (of its events injected, intent), and what was done about it: told
# (when it was written), window_end, next_before, heal_started, healed, proof, proved, destroyed, damaged, sound_again (when
# damaged tables were restored), not_found (reads in which they were missed). None: there is none.
Fault = SimpleNamespace


class Run:
    """All that could be read of a run, and what was found wrong with it. None: a file that is missing or damaged."""

    def __init__(self, path: Path) -> None:
        """Read the plan, without which there is no verdict. Raises Damaged."""
        self.path, raw = path, read_bytes(path / "plan.json")
        if fits(parse_json(text_of(raw)), {"evidence_version": lambda version: version == 1}):
            raise Damaged("a run of version 1; this verifier judges version 2")
        self.plan: Data = document(raw, PLAN)
        self.plan_hash = hashlib.sha256(raw).hexdigest()
        self.records: list[str] = self.plan.get("records", [])  # runs of before there was any of it have none
        if not fits(self.records, [("durability", "reads")]):
            raise Damaged("its records are not as the page says")
        self.run_id, self.load, self.topology = (self.plan[name] for name in ("run_id", "load", "topology"))
        self.interval, self.level = round(self.load["probe_interval_ms"] * MS), round(self.load["service_level_s"] * S)
        nodes = [(node, center["name"]) for center in self.topology["centers"] for node in center["nodes"]]
        self.center_of: dict[str, str] = {node["name"]: center for node, center in nodes}
        self.databases: list[str] = [node["name"] for node, _ in nodes if node["kind"] == "postgres"]
        self.edge_nodes: list[str] = [node["name"] for node, _ in nodes if node["kind"] == "edge"]
        self.doubts: list[str] = []
        self.breaches: list[str] = []
        self.undecided: list[str] = []
        self.manifest: Data | None = None
        self.clock = Clock()
        self.events: list[Event] = []
        self.faults: list[Fault] = []
        self.probe: list[Payment] | None = None
        self.locust: list[Payment] | None = None
        self.reads: list[Read] | None = None
        self.samples: list[Sample] | None = None
        self.witness: list[Witnessed] | None = None
        self.door: list[DoorLine] | None = None
        self.counts: dict[str, Data] = {}  # probe, ledger, witness: their own counts
        self.tables: dict[tuple[str, str], Any] = {}  # rows by node and table of a copy, and the hash of the table as text
        self.hashes: dict[tuple[str, str], str] = {}
        self.dead_disks: dict[str, list[Stored]] = {}
        self.edges: dict[str, list[Authorised]] = {}  # by edge
        self.logs: dict[str, list[LogLine]] = {}

    def read(self, name: str, parse: Callable[..., Any], *arguments: Any) -> Any:
        """A file of the run by the function that parses it. One that is not as the page says is a doubt, and None."""
        try:
            return parse(read_bytes(self.path / name), *arguments)
        except (Damaged, OSError) as error:
            self.doubts.append(f"{name}: {error}")
            return None

    def doubt_if(self, wrong: Any, text: str) -> None:
        if wrong:
            self.doubts.append(text)

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    def exempt(self, key: str) -> bool:
        return key.startswith(("observer-", f"{self.run_id}-ready-"))

    @cached_property
    def payments(self) -> list[Payment]:
        return (self.probe or []) + (self.locust or [])

    @cached_property
    def damage(self) -> Spans:
        """When tables were damaged."""
        return Spans((one.before, NEVER if one.sound_again is None else one.sound_again) for one in self.faults)

    @cached_property
    def felt(self) -> list[Payment]:
        """The probe's payments as service: what was acknowledged out of damaged tables is none."""
        damaged = self.damage
        rows = [(row, row.acknowledged and damaged.within(row.done_ns, row.done_ns + 1) > 0) for row in self.probe or ()]
        return [row._replace(outcome="in vain") if vain else row for row, vain in rows]

    @cached_property
    def authorised(self) -> set[str]:
        """Keys of payments that an edge answered by itself."""
        return {row.key for rows in self.edges.values() for row in rows}

    @cached_property
    def probe_end(self) -> int:
        """The last due time plus the interval."""
        return max(int(row.due_ns) for row in self.probe or ()) + int(self.interval)

    @cached_property
    def host(self) -> Host:
        return Host(self)

    @cached_property
    def baseline(self) -> Span | None:
        return next(((event["from_ns"], event["to_ns"]) for event in reversed(self.of("baseline"))), None)

    @cached_property
    def authority(self) -> str | None:
        told: list[str] = [event["node"] for event in self.of("authority")]
        return told[0] if len(told) == 1 else None

    @cached_property
    def expected(self) -> set[str]:
        return {node for event in self.of("expected_copies") for node in event["nodes"]}

    @property
    def standing(self) -> list[Stored] | None:
        """The authority's payments, where they could be read."""
        return self.tables.get((self.authority or "", "payments"))


# ---- "Files" and "Damage": each file is read alone -------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise Damaged("it is missing")
    data = path.read_bytes()
    if path.suffix == ".gz":
        unpacker = zlib.decompressobj(wbits=31)
        try:
            data = unpacker.decompress(data, UNPACKED_LIMIT)
        except zlib.error as error:
            raise Damaged(f"no gzip: {error}") from error
        if not unpacker.eof or unpacker.unused_data:
            raise Damaged("not one whole gzip stream")
    return data


def document(data: bytes, shape: Any) -> Any:
    value = parse_json(text_of(data))
    if not fits(value, shape):
        raise Damaged("it is not what the page says")
    return value


def ledger(data: bytes) -> list[Payment]:
    """A ledger; one that contradicts itself counts as unreadable."""
    rows: list[Payment] = table(data, Payment)
    told = {200: "acknowledged", 201: "acknowledged", 409: "refused", 422: "refused", 503: "refused"}
    for row in rows:
        if not row.key or row.outcome != told.get(row.status or 0, "unknown") or row.done_ns < row.sent_ns:
            raise Damaged(f"the row of {row.key!r} contradicts itself")
    if len({row.key for row in rows}) != len(rows):
        raise Damaged("a key stands twice")
    return rows


def reads(data: bytes) -> list[Read]:
    rows: list[Read] = table(data, Read)
    if any(row.done_ns < row.sent_ns for row in rows):
        raise Damaged("a read ended before it was sent")
    return rows


def edge_store(data: bytes) -> list[Authorised]:
    """ "edges/"."""
    rows: list[Authorised] = table(data, Authorised, 1)
    for row in rows:
        settled = row.status in (200, 201, 409, 422) if row.status is not None else row.forwarded_at is None
        if not row.key or not settled or (row.status is not None and row.forwarded_at is None) or row.amount_minor <= 0:
            raise Damaged(f"the row of {row.key!r} is not as the page says")
    if len({row.key for row in rows}) != len(rows):
        raise Damaged("a key stands twice")
    return rows


def samples(data: bytes) -> list[Sample]:
    rows: list[Sample] = table(data, Sample)
    for row in rows:
        if not fits(row.replication or [], PEERS) or row.t_ns < row.asked_ns:
            raise Damaged(f"the sample of {row.node} at {row.t_ns} is not as the page says")
    return sorted(rows, key=lambda row: (row.t_ns, row.node))


def witness(data: bytes) -> list[Witnessed]:
    rows: list[Witnessed] = table(data, Witnessed)
    for row in rows:
        sound = row.kind in OF_A_WITNESS and fits(row.data, OF_A_WITNESS[row.kind]) and row.to_ns >= row.from_ns
        numbers = sound and all(fits(value, int) for value in row.data.values()) and (row.late_ns or 0) >= 0
        timed, of_a_core = row.kind in ("wake", "sync"), row.kind == "wake"
        if not numbers or (row.late_ns is not None) != timed or (row.core is not None) != of_a_core:
            raise Damaged(f"the row at {row.from_ns} is not as the page says")
    return rows


def door(data: bytes, clock: Clock) -> list[DoorLine]:
    """ "logs/door.log"."""
    pattern = re.compile(r"pay key=(\S+) status=(-?\d{1,9}) at=(\d{1,12})\.(\d{3}) took=(-?\d{1,12}) end=(\S\S)$")
    lines, text = [], text_of(data)
    if text[-1:] not in ("", "\n"):
        raise Damaged("it ends in the middle of a line")
    for number, line in enumerate(text.split("\n"), 1):
        start = line.find("pay key=")
        found = pattern.match(line, start) if start >= 0 else None
        if start >= 0 and not found:
            raise Damaged(f"line {number} is no line of a payment")
        if found:
            key, status, seconds, thousandths, took, state = found.groups()
            at = clock.at(int(seconds) * S + int(thousandths) * MS)
            lines.append(DoorLine(unquote(key), int(status), at, at + int(took) * MS if took != "-1" else None, state))
    return lines


def log(data: bytes, clock: Clock) -> list[LogLine]:
    """A server's log; a line that does not begin with a time is none of it. The door's payments are left out."""
    lines: list[LogLine] = []
    for text in data.decode(errors="replace").split("\n"):
        if text and "pay key=" not in text:
            with suppress(Damaged):
                wall = wall_ns(text, whole_text=False)
                lines.append(LogLine(clock.at(wall), wall, text))
    return lines


def read_all(run: Run) -> None:
    manifest = run.manifest = run.read("manifest.json", document, MANIFEST)
    pair, seal = run.plan["clock"], (manifest or run.plan)["clock"]
    start, wall_passed = wall_ns(pair["wall"]), wall_ns(seal["wall"]) - wall_ns(pair["wall"])
    pace = seal["monotonic_ns"] - pair["monotonic_ns"], wall_passed
    run.clock = Clock(pair["monotonic_ns"], start, *(pace if min(pace) > 0 else (1, 1)))
    run.read("events.jsonl", read_events, run)
    run.probe, run.locust = run.read("probe.csv", ledger), run.read("ledger.csv", ledger)
    run.doubt_if(run.probe == [], "probe: it recorded no payment")
    run.probe = run.probe or None
    run.reads = run.read("reads.csv", reads) if "reads" in run.records else None
    run.samples, run.door = run.read("samples.csv", samples), run.read("logs/door.log", door, run.clock)
    shapes = {"probe": PROBE_COUNT, "ledger": LOCUST_COUNT}
    if run.plan["witness"] is not None:
        run.witness, shapes["witness"] = run.read("witness.csv", witness), WITNESS_COUNT
    run.counts = {name: count for name, shape in shapes.items() if (count := run.read(f"{name}.json", document, shape))}
    run.interval = round(run.counts["probe"]["interval_ms"] * MS) if "probe" in run.counts else run.interval
    for path in sorted((run.path / "logs").glob("*.log")):
        run.logs[path.stem] = run.read(f"logs/{path.name}", log, run.clock) or []
    for path in sorted((run.path / "autopsy").glob("*.payments.csv.gz")):
        rows = run.read(f"autopsy/{path.name}", table, Stored, 1)
        if rows is not None:
            run.dead_disks[path.name.removesuffix(".payments.csv.gz")] = rows
    for node in run.edge_nodes:
        if (rows := run.read(f"edges/{node}.csv.gz", edge_store)) is not None:
            run.edges[node] = rows
    parsed: dict[str, Any] = {}  # equal tables are parsed once
    for node in sorted(run.expected | ({run.authority} if run.authority else set())):
        for name, kind, sorted_by in TABLES:
            data = run.read(f"copies/{node}.{name}.csv.gz", bytes)
            if data is not None:
                known = run.hashes[node, name] = hashlib.sha256(data).hexdigest()
                if known not in parsed:
                    parsed[known] = run.read(f"copies/{node}.{name}.csv.gz", table, kind, sorted_by)
                run.tables[node, name] = parsed[known]


# ---- Doubts 1 to 5: "manifest.json" and "events.jsonl" ---------------------------------------------------------------------


FOLDERS = ("copies", "autopsy", "edges", "logs")


def check_seal(run: Run) -> None:
    """1. A name that leads out of the run, or through a link, is a file that is missing."""
    if run.manifest is None:
        return
    sealed: Data = run.manifest["files"]
    for name, entry in sealed.items():
        path = run.path / name
        if not fits(entry, SEALED) or name.startswith("/") or ".." in PurePosixPath(name).parts:
            run.doubts.append(f"seal: the entry {name!r} is not as the page says")
        elif path.is_symlink() or not path.is_file():
            run.doubts.append(f"seal: {name} is missing")
        else:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                run.doubt_if((digest, file.tell()) != (entry["sha256"], entry["bytes"]), f"seal: {name} has changed")
    needed = ["plan.json", "events.jsonl", "probe.csv", "probe.json", "ledger.csv", "ledger.json", "samples.csv", "logs/door.log"]
    needed += ["witness.csv", "witness.json"] if run.plan["witness"] is not None else []
    needed += ["reads.csv"] if "reads" in run.records else []
    there = [f"{folder}/{file.name}" for folder in FOLDERS for file in (run.path / folder).glob("[!.]*")]
    run.doubts += [f"seal: {name} is not in it" for name in sorted({*needed, *there} - sealed.keys())]
    run.doubt_if(any(run.manifest[name] != run.plan[name] for name in ("evidence_version", "run_id")), "seal: of another run")
    by_hand = "by-hand.jsonl" in sealed or (run.path / "by-hand.jsonl").exists()
    run.doubt_if(by_hand, "events: somebody worked on the topology by hand (by-hand.jsonl)")


def read_events(raw: bytes, run: Run) -> None:
    """3, 4, 5: the plan's hash, the events that can be read, the chain."""
    lines = raw.split(b"\n")
    run.doubt_if(lines.pop(), "events.jsonl: it ends in the middle of a line")
    before, expected = run.plan_hash, 0
    for number, text in enumerate(lines, 1):
        link, before = before, hashlib.sha256(text).hexdigest()
        try:
            line = document(text, EVENT)
        except Damaged as error:
            run.doubts.append(f"events.jsonl line {number}: {error}")
            continue
        run.doubt_if(line["prev"] != link, f"chain: the link of event {line['seq']} is not the hash of the line before it")
        run.doubt_if(line["seq"] != expected, f"events: {line['seq']} stands where {expected} should")
        expected = line["seq"] + 1
        if fits(line["data"], EVENTS.get(line["kind"], {})):
            run.events.append(Event(line))
        else:
            run.doubts.append(f"events: the data of event {line['seq']} ({line['kind']}) are not as the page says")
    run.events.sort(key=lambda event: event.seq)
    run.doubt_if(run.manifest and run.manifest["chain_head"] != before, "chain: its head is not that of the seal")
    registered = [one.kind == "plan_registered" and one["sha256"] == run.plan_hash for one in run.events[:1]] == [True]
    run.doubt_if(not registered, "plan: it is not the one that was registered by the first event")
    ended = run.of("interrupted", "error", "by_hand")
    run.doubts += [f"events: {event.kind}: {event.get('error') or event.get('act')}" for event in ended]


# ---- Doubts 6 to 16 --------------------------------------------------------------------------------------------------------


def check_witness(run: Run) -> None:
    """6."""
    count = run.counts.get("witness")
    run.doubt_if(run.plan["witness"] is None, "witness: the plan promises none")
    if run.witness is not None and count:
        run.doubt_if(not count["completed"], "witness: it did not stop in order")
        run.doubt_if(count["rows"] != len(run.witness), f"witness: it counted {count['rows']} rows, not {len(run.witness)}")


def check_body(run: Run) -> None:
    """7: "The registered body"."""
    compared = {"intent": ("name", "target", "args"), "until": ("condition", "within_s"), "step": ("name", "role")}
    acts: list[tuple[Event, str | None]] = []
    primary: str | None = None
    for event in run.of("primary", *compared):
        if event.kind == "primary":
            primary = event["node"] or primary
        else:
            acts.append((event, primary))

    def meant(value: Any, now: str | None) -> Any:
        if isinstance(value, dict):
            return {name: meant(one, now) for name, one in value.items()}
        there = {"primary": now, "primary's center": run.center_of.get(now or "")}
        return there[value] if now and isinstance(value, str) and value in there else value

    body = run.plan["body"]
    run.doubt_if(body is None, "body: none was registered")
    if len(acts) != len(acts if body is None else body) and (len(acts) > len(body) or not run.of("interrupted", "error")):
        run.doubts.append(f"body: {len(acts)} acts were done, {len(body)} were registered")
    for number, (planned, (event, now)) in enumerate(zip(body or (), acts, strict=False), 1):
        kind = {"fault": "intent"}.get(planned["kind"], planned["kind"])
        if kind != event.kind or any(meant(planned[name], now) != event[name] for name in compared[kind]):
            run.doubts.append(f"body: act {number} ({event.kind}) is not the one that was registered ({planned['kind']})")
            return


def check_probe(run: Run) -> None:
    """8."""
    count, rows = run.counts.get("probe"), run.probe
    if rows is None or count is None:
        return
    told = f"probe: {count['scheduled']} scheduled, {count['recorded']} counted, {len(rows)} rows"
    run.doubt_if(not count["scheduled"] == count["recorded"] == len(rows), told)
    run.doubt_if(not count["completed"], "probe: it did not stop in order")
    run.doubt_if(count["interval_ms"] != run.load["probe_interval_ms"], "probe: another interval than the plan's")
    run.doubt_if(any(row.sent_ns - row.due_ns > S for row in rows), "probe: a payment was sent over 1 s late")
    keys, first = {row.key for row in rows}, min(row.due_ns for row in rows)
    missing = sum(f"{run.run_id}-p-{i:07d}" not in keys for i in range(min(count["scheduled"], 10_000_000)))
    run.doubt_if(missing, f"probe: {missing} payments of the schedule are not there")
    numbers = [(row, row.key.rpartition("-")[2]) for row in rows]
    astray = [row.key for row, i in numbers if i.isdecimal() and abs(row.due_ns - first - int(i) * run.interval) > 1000]
    run.doubt_if(astray, f"probe: {astray[:1]} was not due when the schedule says")
    fits_in = 0 <= first - count["started_ns"] < run.interval and run.probe_end - run.interval < count["stopped_ns"]
    run.doubt_if(not fits_in, "probe: its schedule does not lie between its start and its end")


def check_customers(run: Run) -> None:
    """9."""
    if run.locust is not None and (count := run.counts.get("ledger")):
        told = f"customers: Locust counted {count['locust_requests']}, {count['recorded']} recorded, {len(run.locust)} rows"
        run.doubt_if(not count["locust_requests"] == count["recorded"] == len(run.locust), told)
        run.doubt_if(not count["completed"], "customers: Locust did not stop in order")
        check_workers(run, run.locust, count)
        check_stated_rate(run, run.locust, count)
        if run.reads is not None and count.get("reads") != len(run.reads):
            run.doubts.append(f"customers: Locust counted {count.get('reads')} reads, {len(run.reads)} rows")
    run.doubt_if(len({row.key for row in run.payments}) < len(run.payments), "customers: a key was used by the probe, too")


def check_workers(run: Run, locust: list[Payment], count: Data) -> None:
    """9: customer n lives in worker n modulo the number of workers."""
    planned, told = run.load.get("workers"), count.get("workers")
    if planned is None and told is None:
        return
    if not planned or told is None or not fits(told, [OF_A_WORKER]) or [one["worker"] for one in told] != list(range(planned)):
        run.doubts.append(f"customers: not the counts of {planned} workers")
        return
    rows, pattern = Counter[int](), re.compile(r"-c-(\d{1,6})-\d{7}$")
    for found in filter(None, (pattern.search(row.key) for row in locust)):
        rows[int(found[1]) % len(told)] += 1
    for one in told:
        same = rows[one["worker"]] == one["recorded"] == one["locust_requests"]
        run.doubt_if(not same, f"customers: worker {one['worker']} counted {one}, {rows[one['worker']]} rows")


def check_stated_rate(run: Run, locust: list[Payment], count: Data) -> None:
    """9: the least share of the stated rate, in the last `baseline_s` before the first fault."""
    least, seconds = run.load.get("rate_min"), run.load["baseline_s"]
    if least is None or not run.faults or round(seconds * S) <= 0:
        return
    end = run.faults[0].before
    start = end - round(seconds * S)
    paid = sum(start <= row.sent_ns < end for row in locust)
    shape, at, to = run.load.get("shape") or [[0, 1]], (start - count["started_ns"]) / S, (end - count["started_ns"]) / S
    share = run.load["pay_share"]
    stated = run.load["customer_rate_per_s"] * share * mean_of_shape(shape, at, to) * seconds
    short = paid < least * stated - 4 * max(0.0, stated * (1 - share)) ** 0.5
    run.doubt_if(short, f"customers: {paid} payments before the first fault, of {stated:.1f} stated")


def mean_of_shape(shape: Sequence[Sequence[float]], at: float, to: float) -> float:
    """Between two moments, seconds since the customers began."""
    moments = sorted({at, to, *(t for t, _ in shape if at < t < to)})

    def times(t: float, side: int) -> float:
        """The factor just after (side 1) or just before (side -1) that moment."""
        before = [point for point in shape if point[0] < t or (point[0] == t and side > 0)]
        after = [point for point in shape if point[0] > t or (point[0] == t and side < 0)]
        if not before or not after:
            return float(after[0][1] if after else before[-1][1])
        (t1, f1), (t2, f2) = before[-1], after[0]
        return float(f1 if t2 == t1 else f1 + (f2 - f1) * (t - t1) / (t2 - t1))

    return sum((b - a) * (times(a, 1) + times(b, -1)) / 2 for a, b in pairwise(moments)) / (to - at)


def check_baseline(run: Run) -> None:
    """10."""
    start, end = run.baseline or (0, 0)
    run.doubt_if(run.baseline is None, "baseline: none")
    due = [row.acknowledged for row in run.probe or () if start <= row.due_ns < end]
    short = run.probe and run.baseline and (sum(due) < 2 or 20 * sum(due) < 19 * len(due))
    run.doubt_if(short, f"baseline: {sum(due)} of {len(due)} payments acknowledged")
    run.doubt_if(any(fault.before < end and start <= fault.after for fault in run.faults), "baseline: a fault inside it")


def find_faults(run: Run) -> None:
    """ "Window of a fault", and the events that belong to each."""
    intents = {event["id"]: event for event in reversed(run.of("intent"))}
    injected = sorted(run.of("injected"), key=lambda event: event["before_ns"])
    for event, after in zip(injected, [*injected[1:], None], strict=False):
        intent = intents.get(event["id"])
        fault = Fault(intent=intent, told=event.t, id=event["id"], before=event["before_ns"], after=event["after_ns"])
        unknown = {"name": "unknown", "target": "unknown", "args": {}, "effect": {"down": [], "cut": []}}
        meant: Data = intent or unknown
        fault.name, fault.target, fault.args = meant["name"], meant["target"], meant["args"]
        fault.down, fault.cut = meant["effect"]["down"], meant["effect"]["cut"]
        rare = ("destroyed", "damaged", "impaired")
        fault.destroyed, fault.damaged, fault.impaired = (meant["effect"].get(name, []) for name in rare)
        restored = [one["after_ns"] for one in run.of("restored") if one["before_ns"] > fault.before]
        fault.sound_again = (restored[0] if restored else None) if fault.damaged else fault.before
        mine = [one for one in run.of("heal_started", "healed", "proof") if one["id"] == fault.id and one.t >= fault.before]
        fault.heal_started = next((one.t for one in mine if one.kind == "heal_started"), None)
        fault.healed = next((one for one in mine if one.kind == "healed"), None)
        proofs = [one for one in mine if one.kind == "proof" and one.t < (fault.heal_started or NEVER)]
        fault.proof = proofs[-1] if proofs else None
        fault.next_before = after["before_ns"] if after else None
        ends = fault.heal_started or fault.next_before or NEVER
        fault.window_end = min(ends, run.probe_end) if run.probe else 0
        fault.not_found = None  # until reads are looked at
        run.faults.append(fault)


def check_faults(run: Run) -> None:
    """11."""
    run.doubt_if(not run.faults, "fault: none was injected")
    told, meant = Counter(fault.id for fault in run.faults), Counter(event["id"] for event in run.of("intent"))
    for name in sorted(told | meant):
        run.doubt_if(not told[name] == meant[name] == 1, f"fault {name}: {meant[name]} intents and {told[name]} injections")
    for fault in run.faults:
        between = fault.intent is None or fault.intent.t <= fault.before <= fault.told
        run.doubt_if(not between, f"fault {fault.id}: it was not injected between its intent and its event")
        run.doubt_if(fault.after < fault.before, f"fault {fault.id}: it ended before it began")
        check_proof(run, fault)


def check_proof(run: Run, fault: Fault) -> None:
    """12."""
    checks: list[Data] = fault.proof["checks"] if fault.proof else []
    asked = {side: {check["subject"] for check in checks if check["side"] == side} for side in ("victim", "bystander")}
    read = fault.proof.t if fault.proof else 0
    lasting = [one for one in run.faults if one is not fault and one.before < read and (one.heal_started or NEVER) > fault.before]
    spared = run.center_of.keys() - {node for one in (fault, *lasting) for node in one.down}
    left_out = {*fault.down, *fault.cut, *fault.impaired} - asked["victim"] | (spared - asked["bystander"])
    sound = bool(fault.proof and fault.proof["proved"] and all(check["ok"] for check in checks))
    fault.proved = sound and all(asked.values()) and not left_out
    run.doubt_if(not sound, f"fault {fault.id}: it is not proved")
    run.doubt_if(not all(asked.values()), f"fault {fault.id}: its proof has no victim or no bystander")
    run.doubt_if(left_out, f"fault {fault.id}: its proof leaves out {sorted(left_out)}")


def check_copies(run: Run) -> None:
    """14."""
    run.doubt_if(run.authority is None, f"copies: {len(run.of('authority'))} authorities")
    run.doubt_if(run.authority and run.authority not in run.expected, "copies: the authority is not expected")
    run.doubts += [f"copies: {node} was not expected" for node in sorted(set(run.databases) - run.expected)]


def check_exempt_keys(run: Run) -> None:
    """15: "Exempt keys"."""
    told = run.of("exempt_keys")
    run.doubt_if(len(told) != 1, f"exempt keys: told {len(told)} times")
    if run.standing is not None and len(told) == 1:
        for kind, prefix in (("observers", "observer-"), ("ready", f"{run.run_id}-ready-")):
            keys = sorted(row.key.encode() for row in run.standing if row.key.startswith(prefix))
            found = len(keys), hashlib.sha256(b"\n".join(keys)).hexdigest()
            same = found == (told[0][kind]["count"], told[0][kind]["sha256"])
            run.doubt_if(not same, f"exempt keys: the {kind} are others than the authority said")


def check_autopsies(run: Run) -> None:
    """16."""
    known, told = {row.key for row in run.payments}, {event["node"]: event["payments"] for event in run.of("autopsy")}
    for node in sorted(told.keys() | run.dead_disks.keys()):
        rows = run.dead_disks.get(node)
        there = None if rows is None else len(rows)
        run.doubt_if(there is None or told.get(node) != there, f"autopsy of {node}: {told.get(node)} counted, {there} there")
        if run.probe is not None and run.locust is not None:
            strangers = sum(row.key not in known and not run.exempt(row.key) for row in rows or ())
            run.doubt_if(strangers, f"autopsy of {node}: {strangers} payments are in no ledger")


def check_edges(run: Run) -> None:
    """2: of each edge the harness counted the payments when it read them."""
    for node, rows in run.edges.items():
        counts = [event["payments"] for event in run.of("edge_store") if event["node"] == node]
        run.doubt_if(counts != [len(rows)], f"edges: {counts} payments of {node} were counted, {len(rows)} are there")


# ---- "witness.csv": stalls, host time, excuses -----------------------------------------------------------------------------


class Spans:
    """The union of half open spans; tells quickly how much of any span it covers."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self.spans: list[Span] = []
        for start, end in sorted(span for span in spans if span[1] > span[0]):
            if self.spans and start <= self.spans[-1][1]:
                self.spans[-1] = (self.spans[-1][0], max(end, self.spans[-1][1]))
            else:
                self.spans.append((start, end))
        self.starts = [start for start, _ in self.spans]
        self.sums = [0]
        for start, end in self.spans:
            self.sums.append(self.sums[-1] + end - start)

    def until(self, moment: int) -> int:
        """Covered time before a moment."""
        at = bisect_right(self.starts, moment)
        return self.sums[at] - (max(0, self.spans[at - 1][1] - moment) if at else 0)

    def within(self, start: int, end: int) -> int:
        return self.until(end) - self.until(start) if end > start else 0

    def pieces(self, start: int, end: int) -> list[Span]:
        near = self.spans[max(0, bisect_right(self.starts, start) - 1) : bisect_left(self.starts, end)]
        return [(max(one, start), min(other, end)) for one, other in near if other > start]


class Host:
    """Stalls of the host, host time, and excuses."""

    def __init__(self, run: Run) -> None:
        by_kind: dict[tuple[str, int | None], list[Span]] = defaultdict(list)
        cores = run.counts["witness"]["cores"] if "witness" in run.counts else 0
        for row in run.witness or ():
            late, length = row.late_ns or 0, row.to_ns - row.from_ns
            if row.kind == "sync" and length >= 100 * MS:
                by_kind["sync", None].append((row.from_ns, row.to_ns))
            elif row.kind == "wake" and late >= 20 * MS:
                by_kind["wake", row.core].append((row.data["at_ns"], row.data["at_ns"] + late))
            elif row.kind == "cpu" and "idle_ns" in row.data:
                capacity, busy = length * cores, row.data.get("busy_ns", 0)
                foreign = busy - row.data.get("ours_ns", busy) + row.data.get("steal_ns", 0)
                if 20 * row.data["idle_ns"] < capacity and 10 * foreign >= capacity:
                    by_kind["cpu", None].append((row.from_ns, row.to_ns))
        syncs = sorted((row.from_ns, row.to_ns) for row in run.witness or () if row.kind == "sync")
        for eight in zip(*(syncs[n:] for n in range(8)), strict=False):
            if sum(stop - start < 10 * MS for start, stop in eight) <= 3:
                by_kind["slow", None].append((eight[0][0], eight[-1][1]))
        self.slow = Spans(by_kind["slow", None]).spans
        self.stalls = [span for spans in by_kind.values() for span in Spans(spans).spans]
        self.time = Spans(self.stalls)
        self.excuses = Spans((start, end + min(end - start, S)) for start, end in self.stalls)


# ---- "How RTO follows" -----------------------------------------------------------------------------------------------------


class Episode(NamedTuple):
    """An outage; `length` is None when it had no end, `watched` is how long it was seen to last."""

    began: int
    length: int | None
    watched: int


class Service:
    """ "In order, dark": the probe's record by the rule of return, with forgiven payments in order where it has excuses."""

    def __init__(self, run: Run, excuses: Spans) -> None:
        rows = sorted(run.felt, key=lambda row: row.due_ns)
        self.interval, self.end, self.level = run.interval, run.probe_end, run.level
        self.due: list[int] = [row.due_ns for row in rows]
        self.good = [in_order(run, row, excuses) for row in rows]
        self.sums = [0]  # how many payments before each are out of order
        for fine in self.good:
            self.sums.append(self.sums[-1] + (not fine))
        self.after_window = [bisect_left(self.due, moment + WATCH) for moment in self.due]
        self.allowances = range(WATCH // (20 * self.interval), WATCH // (10 * self.interval) + 1)
        spans: list[Span] = []
        bad = [moment for moment, fine in zip(self.due, self.good, strict=True) if not fine]
        for moment, following in zip(bad, [*bad[1:], None], strict=False):
            gap = 0 if following is None else max(0, following - moment - self.interval)
            lengthened = gap if gap <= 10 * self.interval else max(0, 20 * self.interval - gap)
            spans.append((moment, moment + self.interval + lengthened))
        twice_p = max(100 * MS, min(3 * baseline_pause(run), 2 * run.level))  # so all stays whole
        for start, stop in pauses_of(run):
            length = stop - start - excuses.within(start, stop)
            if 2 * length > twice_p:
                spans.append((start, start + min(length, 2 * length - twice_p)))
        self.dark = Spans(spans)

    def out(self, start: int, end: int) -> int:
        """Payments out of order among those numbered [start, end)."""
        return self.sums[end] - self.sums[start] if end > start else 0

    def left(self, number: int, floor: int) -> int:
        """When service left order with a payment."""
        edge: int = self.due[number] - self.interval + WATCH
        return edge - self.dark.within(max(edge - WATCH, floor), edge)

    def back(self, number: int) -> int:
        """When service was back in order with a payment."""
        return self.due[number] + self.dark.within(self.due[number], self.due[number] + WATCH)


def in_order(run: Run, row: Payment, excuses: Spans) -> bool:
    """With excuses: or forgiven."""
    if row.acknowledged and row.done_ns - row.due_ns <= run.level:
        return True
    excused = excuses.within(row.due_ns, row.done_ns)
    return excused > 0 and row.done_ns - row.due_ns - excused <= run.level


def pauses_of(run: Run) -> list[Span]:
    """Pauses between acknowledgements of the probe, the last one to the end of the probe."""
    done = sorted(row.done_ns for row in run.felt if row.acknowledged)
    return [*pairwise(done), *((last, run.probe_end) for last in done[-1:] if last < run.probe_end)]


def baseline_pause(run: Run) -> int:
    """The longest pause between two acknowledgements in the baseline."""
    start, end = run.baseline or (0, 0)
    done = sorted(row.done_ns for row in run.probe or () if row.acknowledged and start <= row.done_ns < end)
    return max((after - one for one, after in pairwise(done)), default=0)


def mean_up(values: Sequence[int]) -> int:
    return -(-sum(values) // len(values))


def episodes_of(service: Service, fault: Fault, stalls: Sequence[Span]) -> tuple[list[Episode], int | None]:
    """ "Return": the first episode and the relapses; and the return that is not settled, where the probe ended too early."""
    before, window_end, strict = fault.before, fault.window_end, service.allowances[0]
    open_ones, first = list(service.allowances), dict[int, int]()  # t(k)
    for moment in [before, *service.due[bisect_left(service.due, before) :]]:
        if moment + WATCH > service.end or not open_ones:
            break
        count = service.out(bisect_left(service.due, moment), bisect_left(service.due, moment + WATCH))
        while open_ones and open_ones[-1] >= count:
            first[open_ones.pop()] = moment
    gone = Episode(before, None, max(0, window_end - before))
    backs = {k: returned_at(service.dark, moment, before) for k, moment in first.items()}
    episodes = [gone]
    if strict in first and backs[strict] <= window_end:
        length = mean_up(list(backs.values())) - before
        start = bisect_left(service.due, first[strict])
        episodes = [Episode(before, length, length), *relapses(service, start, window_end, stalls)]
    last = episodes[-1]
    return episodes, unsettled_return(service, last.began, window_end) if last.length is None else None


def returned_at(dark: Spans, moment: int, before: int) -> int:
    """r(k) of a window that begins at a moment."""
    whole_dark = dark.within(moment, moment + WATCH)
    if moment != before or not whole_dark:
        return moment + whole_dark
    biting = []  # of each dark stretch: the time that is not dark before it, and the dark time after it
    for start, end in dark.pieces(before, before + WATCH):
        dark_before = dark.within(before, start)
        biting.append(start - before - dark_before + whole_dark - dark_before - (end - start))
    return before + whole_dark + min(whole_dark, *biting)


def unsettled_return(service: Service, began: int, window_end: int) -> int | None:
    """Where the probe ended before 10 s in order could be watched: the return that is not settled."""
    due, strict = service.due, service.allowances[0]
    for number in range(max(bisect_left(due, began), bisect_right(due, service.end - WATCH)), len(due)):
        if service.out(number, len(due)) * WATCH <= strict * (service.end - due[number]):
            back = due[number] + service.dark.within(due[number], service.end)
            return back if back <= window_end else None
    return None


def relapses(service: Service, first: int, window_end: int, stalls: Sequence[Span]) -> Iterator[Episode]:
    """ "Relapses", from that payment on. Payments are meant by their number in the order of due times."""
    due, after, strict = service.due, service.after_window, service.allowances[0]
    until = bisect_left(due, window_end)
    while first < until:
        floor = bisect_left(due, due[first] + WATCH)

        def bad(number: int, floor: int = floor) -> int:
            return service.out(max(number, floor), min(after[number], until))

        start = next((j for j in range(first, until) if bad(j) > strict), None)
        if start is None:
            return
        lit = due[floor] if floor < len(due) else NEVER
        began, length = service.left(start, lit), None
        whole_ones = range(start + 1, bisect_right(due, service.end - WATCH))
        end = next((b for b in whole_ones if service.out(b, after[b]) <= strict), None)
        if end is not None and service.back(end) <= window_end:
            counts = [bad(number) for number in range(start, end)]
            length = mean_up([longest_stretch(service, start, counts, allowed, lit) for allowed in service.allowances])
        near = (to - since >= service.level and since - service.level <= began <= to + service.level for since, to in stalls)
        if not any(near):
            yield Episode(began, length, max(0, window_end - began) if length is None else length)
        if end is None or length is None:
            return
        first = end


def longest_stretch(service: Service, first: int, counts: Sequence[int], allowed: int, floor: int) -> int:
    """Of windows with more out of order than is allowed: from when service left order to when it was back."""
    longest, start = 0, None
    for number, count in enumerate([*counts, 0], first):
        if count > allowed and start is None:
            start = number
        elif count <= allowed and start is not None:
            longest, start = max(longest, service.back(number) - service.left(start, floor)), None
    return longest


def longest_of(episodes: Sequence[Episode]) -> Episode:
    """One without an end is longer than any; the first of equals."""
    return max(episodes, key=lambda one: (one.length is None, one.length or 0, -one.began))


def first_success(run: Run, fault: Fault) -> int | None:
    """`rto_first_success_s`, as a moment; `before_ns` when nothing was disturbed."""
    before, end, rows = fault.before, fault.window_end, run.felt
    failed = [row.due_ns for row in rows if before - 3 * S <= row.due_ns < end and row.done_ns >= before and not row.acknowledged]
    one, span = min(failed, default=None), min(S, max(S // 10, 3 * baseline_pause(run)))
    done = sorted(row.done_ns for row in rows if row.acknowledged)
    pauses = [(zero, stop) for zero, stop in pairwise(done) if stop > before and stop - zero > span and zero < end - span]
    if one is None and not pauses:
        return int(before)
    horizon = max(fault.after, min([*failed, *(zero for zero, _ in pauses)])) + S
    not_before = max([before, *(stop for zero, stop in pauses if zero <= horizon)])
    due_after = one if one is not None and one <= horizon else -1
    through = [row.done_ns for row in rows if row.acknowledged and row.due_ns > due_after and row.done_ns >= not_before]
    return min(through) if through and min(through) <= end else None


# ---- "How the other figures follow" ----------------------------------------------------------------------------------------


def up(ns: int) -> float:
    """Seconds, rounded up to the millisecond."""
    return -(-ns // MS) / 1000


def primaries_of(run: Run, fault: Fault) -> tuple[str | None, str | None, bool]:
    """The lost primary, the new one, and whether the databases named any change in the window."""
    events = run.of("primary")
    lost = next((event["node"] for event in reversed(events) if event.t <= fault.before and event["node"]), None)
    window = [event["node"] for event in events if fault.before < event.t <= fault.window_end]
    return lost, next((node for node in reversed(window) if node), None), bool(window)


def wal_lost(run: Run, fault: Fault) -> int | None:
    lost, new, changed = primaries_of(run, fault)
    if lost in fault.destroyed or fault.damaged:
        return None
    if not changed or (new is not None and new == lost):
        return 0
    rows = run.samples or []
    end = next((event["end_lsn"] for event in run.of("autopsy") if event["node"] == lost and event.t > fault.before), None)
    promoted = next((row.t_ns for row in rows if row.node == new and row.writes and row.t_ns >= fault.before), 0)
    standby = [row.flush_lsn for row in rows if row.node == new and row.ok and not row.writes and row.t_ns < promoted]
    received = [lsn for lsn in standby if lsn is not None]
    mine = [row for row in rows if row.node == lost and row.ok and row.timeline is not None]
    timeline = next((row.timeline for row in reversed(mine) if row.t_ns < fault.before), None)
    if end is None or not received or timeline is None:
        return None
    wrote = [row for row in mine if row.writes and row.t_ns <= fault.window_end and row.timeline == timeline]
    return int(max(0, max([end, *(row.flush_lsn for row in wrote if row.flush_lsn is not None)]) - received[-1]))


class Border(NamedTuple):
    """The end of a segment: at `moment`, and not before `earliest`."""

    earliest: int
    moment: int


def own_stamp(run: Run, line: LogLine) -> int | None:
    """The server's own stamp of a line, placed by the plan's pair; None without one that can be."""
    found = re.match(r"\S+ (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)[.,](\d{1,9})", line.text)
    own = run.clock.placed(wall_ns(f"{found[1]}T{found[2]}.{found[3]}Z")) if found else None
    return own if own is not None and 0 <= run.clock.placed(line.wall) - own <= 60 * S else None


def written(run: Run, line: LogLine) -> Border:
    """Between which two times a line was written."""
    end, start = run.clock.placed(line.wall), own_stamp(run, line)
    if start is None:
        near = [other for node in run.databases for other in run.logs.get(node, ()) if abs(other.wall - line.wall) <= 2 * S]
        stamps = [(run.clock.placed(other.wall), own_stamp(run, other)) for other in near if "LOG:" in other.text]
        start = end - max((engine - own for engine, own in stamps if own is not None), default=100 * MS)
    return Border(start - abs(run.clock.passed - run.clock.wall_passed), end)


def decided_by_log(run: Run, new: str) -> Iterator[Border]:
    manager, said = None, -NEVER
    for line in run.logs.get(new, ()):
        if "after acquiring leader lock" in line.text or "by acquiring session lock" in line.text:
            if line.wall - said > 5 * S:
                yield Border(written(run, manager or line).earliest, written(run, line).moment)
            said = line.wall
        if any(level in line.text for level in ("INFO:", "WARNING:", "ERROR:")):
            manager = line


def promoted_by_log(run: Run, new: str) -> Iterator[Border]:
    begun = None
    for line in run.logs.get(new, ()):
        if "selected new timeline ID" in line.text or "archive recovery complete" in line.text:
            begun = line
        elif "database system is ready to accept connections" in line.text and begun is not None:
            yield Border(written(run, begun).earliest, written(run, line).moment)
            begun = None


def rerouted_by_log(run: Run, fault: Fault, new: str) -> Iterator[Border]:
    """For each center, when its balancer and the door had both let writes through to the new primary."""
    nodes = [(center["name"], node) for center in run.topology["centers"] for node in center["nodes"]]
    for center, balancer in ((center, node["name"]) for center, node in nodes if node["kind"] == "haproxy"):
        pattern = re.compile(rf"\bprimary/{re.escape(new)} is UP\b")
        ups = [line for line in run.logs.get(balancer, ()) if pattern.search(line.text)]
        ups = [line for line in ups if run.clock.placed(line.wall) > fault.before]
        pattern = re.compile(rf"\bbank/{re.escape(center)} is\b.*\b(UP|DOWN)\b")
        words = [line for line in run.logs.get("door", ()) if pattern.search(line.text)]
        last = [line for line in words if ups and line.wall <= ups[0].wall][-1:]
        if last and "DOWN" in last[0].text:
            ups = [line for line in words if line.wall > ups[0].wall and "DOWN" not in line.text]
        yield from (written(run, line) for line in ups[:1])


def promoted_by_samples(run: Run, fault: Fault, new: str) -> Iterator[Border]:
    seen = fault.before
    for row in run.samples or ():
        if row.node == new and row.t_ns >= fault.before and row.ok:
            if row.writes:
                yield Border(seen, row.t_ns)
                return
            seen = max(fault.before, row.asked_ns)


def border(run: Run, fault: Fault, role: str, limit: int) -> Border | None:
    """Where a segment ends by what the runbook, the leader key, samples or logs show, after the fault and up to a limit."""
    steps = [event["after_ns"] for event in run.of("step") if event["role"] == role and event["ok"]]
    steps += [event.t for event in run.of("damage") if role == "detect"]
    steps = [moment for moment in steps if fault.before < moment <= limit]
    if steps:
        return Border(steps[-1], steps[-1])
    lost, new, _ = primaries_of(run, fault)
    moved, sources = new if new != lost else None, list[Border]()

    def first_of(ones: Iterable[Border]) -> list[Border]:
        return [one for one in ones if one.moment > fault.before][:1]

    if role in ("detect", "decide") and lost is not None:
        keys = run.of("leader_key")
        held = {event["store"]: event["leader"] for event in keys if event.t <= fault.before}
        gone = [
            event for event in keys if event["leader"] != lost and held.get(event["store"]) == lost and event.t > fault.before
        ]
        gone = [event for event in gone if role == "detect" or event["leader"] is not None]
        sources += [Border(max(event["seen_before_ns"], fault.before), event.t) for event in gone[:1]]
    if role == "decide" and moved:
        sources += first_of(decided_by_log(run, moved))
    if role == "promote" and new:
        sources += [*promoted_by_samples(run, fault, new), *(first_of(promoted_by_log(run, moved)) if moved else ())]
    if role == "reroute":
        sources += sorted(rerouted_by_log(run, fault, moved), key=lambda one: one.moment)[:1] if moved else []
        success = first_success(run, fault)
        if success is not None and not any(one.moment <= success for one in sources):
            sources = [Border(success, success)]
    sources = [one for one in sources if fault.before < one.moment <= limit]
    return min(sources, key=lambda one: one.moment - one.earliest, default=None)


def segments(run: Run, fault: Fault, episode: Episode) -> dict[str, float | None]:
    names = ("detect", "decide", "promote", "reroute", "warm_up")
    if episode.length is None:
        return {f"{name}_s": None for name in names}
    ends, limit = [episode.began], episode.began + episode.length
    for name in names[:-1]:
        found = border(run, fault, name, limit)
        ends.append(found.moment if found and ends[-1] <= found.moment <= limit else ends[-1])
    rounded = [-(-(end - episode.began) // MS) for end in [*ends, limit]]
    return {f"{name}_s": (end - start) / 1000 for name, (start, end) in zip(names, pairwise(rounded), strict=True)}


def guarantees(run: Run, sample: Sample) -> bool:
    """Whether `synchronous_standby_names` guarantees a copy in another center."""
    found = re.fullmatch(r"\s*(?:(?:ANY|FIRST)?\s*(\d+)\s*\((.*)\)|(.*?))\s*", sample.sync_names, re.IGNORECASE | re.DOTALL)
    number, listed, bare = found.groups() if found else (None, None, "")
    names = [name.strip().strip('"') for name in ((listed if number else bare) or "").split(",") if name.strip()]
    demanded = int(number) if number else 1 if names else 0
    home = run.center_of.get(sample.node)
    names = run.databases if "*" in names else names
    return demanded > sum(run.center_of.get(name, home) == home for name in names if name != sample.node)


def protection(run: Run) -> tuple[int, int, int]:
    """Unprotected time, acknowledgements in it, and time of which nobody knows."""
    done = sorted(row.done_ns for row in run.payments if row.acknowledged)
    safe_at: list[tuple[int, bool]] = []
    newest = time = count = unknown = 0
    for row in run.samples or ():
        if row.writes:
            safe_at += [(row.t_ns, guarantees(run, row))] if (row.timeline or 0) >= newest else []
            newest = max(newest, row.timeline or 0)

    def spoken(start: int, end: int, safe: bool) -> None:
        nonlocal time, count
        acknowledged = bisect_right(done, end) - bisect_right(done, start)
        if not safe and acknowledged:
            time, count = time + end - start, count + acknowledged

    def unspoken(start: int | None, end: int | None) -> None:
        nonlocal unknown
        first = 0 if start is None else bisect_right(done, start)
        for at in range(first, len(done) if end is None else bisect_right(done, end)):
            since = [moment for moment in (start, done[at - 1] if at else None) if moment is not None]
            unknown += min(S, done[at] - max(since, default=done[at] - S))

    if not safe_at:
        unspoken(None, None)
        return 0, 0, unknown
    (begin, safe_first), (last, safe_last) = safe_at[0], safe_at[-1]
    unspoken(None, begin - S)
    spoken(begin - S, begin, safe_first)
    for (start, safe), (end, safe_after) in pairwise(safe_at):
        if end - start <= 2 * S:
            spoken(start, end, safe and safe_after)
        else:
            spoken(start, start + S, safe)
            unspoken(start + S, end - S)
            spoken(end - S, end, safe_after)
    if done and done[-1] > last:
        spoken(last, min(done[-1], last + S), safe_last)
    unspoken(last + S, None)
    return time, count, unknown


def books(run: Run, figures: Data) -> None:
    """Payments against the authority: figures and breaches."""
    counts = Counter(row.outcome for row in run.payments)
    figures |= {name: counts[name] for name in ("acknowledged", "refused", "unknown")}
    if run.standing is None:
        return
    stored, entries = {row.key: row for row in run.standing}, run.tables.get((run.authority or "", "entries"))
    seen = Counter(row.key for row in run.standing), Counter((row.key, row.account) for row in entries or ())
    twice = {key for key, number in seen[0].items() if number > 1} | {key for (key, _), number in seen[1].items() if number > 1}
    figures["duplicated"] = len(twice) if entries is not None else None
    figures["unknown_committed"] = sum(row.outcome == "unknown" and row.key in stored for row in run.payments)
    wrong = {
        "are duplicated": len(twice),
        "stand though they were refused": sum(row.outcome == "refused" and row.key in stored for row in run.payments),
        "stand with other accounts or another amount than their customer sent": sum(
            row.key in stored and stored[row.key][1:4] != row[6:9] for row in run.payments
        ),
    }
    if run.probe is not None and run.locust is not None:
        known = {row.key for row in run.payments}
        figures["phantom"] = wrong["are phantoms"] = sum(key not in known and not run.exempt(key) for key in stored)
        lost, rpo = lost_of(run, stored), 0
        if lost:
            end = [
                row.done_ns for row in run.payments if row.acknowledged and row.key in stored and row.done_ns <= lost[0].done_ns
            ]
            rpo = lost[-1].done_ns - max(end, default=min(row.sent_ns for row in run.payments))
        figures |= {"lost_transactions": len(lost), "rpo_s": up(rpo)}
        first = run.faults[0] if run.faults else None
        if first and first.damaged and first.sound_again is not None:
            early = [row for row in lost if row.done_ns < first.before]
            run.breaches += [f"{len(early)} lost payments were acknowledged before {first.id} came"] * bool(early)
        two_primaries(run, lost)
    run.breaches += [f"{number} payments {text}" for text, number in wrong.items() if number]
    limit = run.topology["settings"].get("edge_limit_minor")
    for node, rows in run.edges.items():
        gone = sum(stored.get(row.key, ("",) * 4)[:4] != row[:4] for row in rows)
        above = sum(fits(limit, int) and row.amount_minor > limit for row in rows)
        run.breaches += [f"{gone} payments that {node} had authorised do not stand as it authorised them"] * (gone > 0)
        run.breaches += [f"{node} authorised {above} payments above its limit"] * (above > 0)
    told_at = {row.key: row.done_ns for row in run.locust or () if row.acknowledged and row.key in stored}
    stale = [read for read in run.reads or () if read.status == 404 and told_at.get(read.key, NEVER) <= read.sent_ns]
    for fault in run.faults if run.reads is not None and run.locust is not None else ():
        until = NEVER if fault.sound_again is None else fault.sound_again
        theirs = [fault.damaged and read.done_ns >= fault.before and read.sent_ns < until for read in stale]
        fault.not_found = sum(map(bool, theirs))
        stale = [read for read, its_doing in zip(stale, theirs, strict=True) if not its_doing]
    run.breaches += [f"{len(stale)} stale reads"] * bool(stale)


def edge_figures(run: Run) -> Data | None:
    """What customers had of the edges."""
    limit = run.topology["settings"].get("edge_limit_minor")
    if not run.edges or not fits(limit, int) or run.probe is None or run.locust is None:
        return None
    ours = {key for key in run.authorised if not run.exempt(key)}
    windows = [(fault.before, fault.window_end) for fault in run.faults]
    struck = [row for row in run.payments if any(start <= row.sent_ns < end for start, end in windows)]
    answered = sorted(row.done_ns - row.sent_ns for row in struck if row.acknowledged and row.key in ours)
    elsewhere = sum(row.key in ours for row in run.payments) - sum(row.key in ours for row in struck)
    away = [row for row in struck if row.outcome == "refused"]
    large = sorted(row.done_ns - row.sent_ns for row in away if row.amount_minor > limit)

    def quantile(took: list[int], percent: int) -> float | None:
        return up(took[-(-percent * (len(took) - 1) // 100)]) if took else None

    healed = [event.t for event in run.of("healed")][-1:]
    theirs = [row for rows in run.edges.values() for row in rows if not run.exempt(row.key)]
    before = [row for row in theirs if healed and run.clock.at(row.authorised_at) <= healed[0]]
    done = before and all(row.status in (200, 201) for row in before)
    last = max(run.clock.at(row.forwarded_at) for row in before) if done else None
    return {
        "authorised": len(ours), "elsewhere": elsewhere,
        "latency_p50_s": quantile(answered, 50), "latency_p99_s": quantile(answered, 99),
        "refused": len(large), "refused_p99_s": quantile(large, 99), "small_refused": len(away) - len(large),
        "forwarded_s": None if last is None else up(max(0, last - healed[0])),
    }  # fmt: skip


def lost_of(run: Run, stored: dict[str, Stored]) -> list[Payment]:
    """In the order of `done_ns`, then key."""
    return sorted(
        (row for row in run.payments if row.acknowledged and row.key not in stored), key=lambda row: (row.done_ns, row.key)
    )


def invariants(run: Run) -> None:
    """ "Invariants", on every copy. Equal copies are looked at once."""
    looked: set[str] = set()
    for node in dict.fromkeys(node for node, _ in run.hashes):
        mine = {name: known for (other, name), known in run.hashes.items() if other == node}
        if any(run.hashes.get((run.authority or "", name), known) != known for name, known in mine.items()):
            run.breaches.append(f"the copy on {node} differs from the authority's")
        if str(mine) not in looked:
            looked.add(str(mine))
            run.breaches += [f"{node}: {text}" for text in broken(*(run.tables.get((node, name)) for name, _, _ in TABLES))]


def broken(payments: list[Stored] | None, entries: list[Entry] | None, accounts: list[Account] | None) -> Iterator[str]:
    booked: dict[str, int] = defaultdict(int)
    legs: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, account, amount in entries or ():
        booked[account] += amount
        legs[key].append((account, amount))
    if payments is not None:
        wanted = {row.key: sorted([(row.debit, -row.amount_minor), (row.credit, row.amount_minor)]) for row in payments}
        if len(wanted) != len(payments):
            yield "a key stands twice"
        if entries is not None and {key: sorted(pair) for key, pair in legs.items()} != wanted:
            yield "the entries of a payment are not its debit and its credit"
    if accounts is not None:
        ids = {row.id for row in accounts}
        if len(ids) != len(accounts) or booked.keys() - ids:
            yield "an account is not there, or twice"
        if entries is not None and any(row.opening_minor + booked[row.id] != row.balance_minor for row in accounts):
            yield "a balance is not its opening plus its entries"
        if sum(row.opening_minor - row.balance_minor for row in accounts):
            yield "the balances do not sum to the opening ones"


def two_primaries(run: Run, lost: Sequence[Payment]) -> None:
    """A breach of "The verdict", where they cost payments."""
    terms: dict[tuple[str, int], Span] = {}
    for row in run.samples or ():
        if row.writes and row.timeline is not None:
            terms[row.node, row.timeline] = terms.get((row.node, row.timeline), (row.t_ns, 0))[0], row.t_ns
    for (node, timeline), (start, end) in terms.items():
        for (other, older), (other_start, other_end) in terms.items():
            if node != other and older < timeline and any(start <= row.sent_ns <= other_end + 2 * S for row in lost):
                run.breaches.append(f"{node} and {other} were primaries at once, and payments were lost")
            at_once = node < other and older == timeline and start <= other_end and other_start <= end
            run.doubt_if(at_once, f"{node} and {other} were primaries at once on timeline {timeline}")


# ---- "Intervals" -----------------------------------------------------------------------------------------------------------


def interval(value: int | None, low: int, without_host: int, high: int | None) -> Data:
    """A figure in nanoseconds, and its interval; `without_host` is the low end if the host had not stalled."""
    ends = {"low": max(0, low // MS) / 1000, "high": None if high is None else up(high)}
    return {"value": None if value is None else up(value), **ends, "host_s": up(max(0, without_host - low))}


# What one fault cost: fault, episodes, longest (of them), unsettled, rto_s, interruption_s, detect_s; None: not measured.
Measured = SimpleNamespace


def measure_fault(run: Run, fault: Fault, plain: Service, lenient: Service, host: Host) -> Measured:
    episodes, unsettled = episodes_of(plain, fault, ())
    forgiven, _ = episodes_of(lenient, fault, host.stalls)
    longest, start, end = longest_of(episodes), *(run.baseline or (0, 0))
    answers = sorted(row.done_ns - row.due_ns for row in run.probe or () if row.acknowledged and start <= row.due_ns < end)
    usual = answers[-(-99 * (len(answers) - 1) // 100)] if answers else 0  # A of the page
    width, seen = fault.after - fault.before, longest.watched
    sure = min(seen, max(one.watched for one in forgiven)) - width - run.interval - usual
    stalled = host.time.within(longest.began, longest.began + seen)
    high = None if longest.length is None else longest.length + run.interval + late_of(run)
    rto = interval(longest.length, sure - stalled, seen - width - run.interval - usual, high)
    interruption, detect = None, None
    pauses = felt(run, fault)
    if pauses:
        pause = max(stop - zero for zero, stop in pauses)
        interruption = interval(pause, max(stop - zero - host.time.within(zero, stop) for zero, stop in pauses), pause, pause)
    if edge := border(run, fault, "detect", fault.window_end):
        sure, took = edge.earliest - fault.before - width, edge.moment - fault.before
        detect = interval(took, sure - host.time.within(fault.before, edge.moment), sure, took)
    return_of = {"episodes": episodes, "longest": longest, "unsettled": unsettled}
    quick = p99_back(run, fault, plain, lenient, host, usual)
    return Measured(fault=fault, **return_of, rto_s=rto, interruption_s=interruption, detect_s=detect, p99_back_s=quick)


def quick_again(service: Service, fault: Fault) -> int | None:
    """From when on at most 1 % of the payments due in 10 s of the window are out of order; nanoseconds after the fault."""
    for moment in [fault.before, *service.due[bisect_left(service.due, fault.before) :]]:
        if moment + WATCH > fault.window_end:
            return None
        if service.out(*(bisect_left(service.due, edge) for edge in (moment, moment + WATCH))) <= WATCH // (
            100 * service.interval
        ):
            return int(moment - fault.before)
    return None


def p99_back(run: Run, fault: Fault, plain: Service, lenient: Service, host: Host, usual: int) -> Data:
    back, forgiven, width = quick_again(plain, fault), quick_again(lenient, fault), fault.after - fault.before
    gone = max(0, fault.window_end - WATCH - fault.before) if back is None else back
    sure = (gone if forgiven is None else min(gone, forgiven)) - width - run.interval - usual
    stalled = host.time.within(fault.before, fault.before + gone)
    high = None if back is None else back + run.interval + late_of(run)
    return interval(back, sure - stalled, gone - width - run.interval - usual, high)


def check_surges(run: Run, measured: Sequence[Measured]) -> None:
    """Doubt 19. A surge was made, was felt, was too much for the open lines, and ended after customers were let in elsewhere."""
    for one in measured:
        fault = one.fault
        if fault.name != "CustomersSurge":
            continue
        told = f"surge {fault.id}: "
        check_surge_was_made(run, fault, told)
        steps = [event for event in run.of("step") if event["role"] == "reroute" and event["ok"]]
        steps = [event for event in steps if fault.after <= event["before_ns"] and event["after_ns"] <= fault.window_end]
        if steps:
            opened, first = steps[0]["before_ns"], one.episodes[0]
            felt = any(each.length != 0 for each in one.episodes)
            back = (
                None if first.length is None else fault.before + -(-first.length // MS) * MS
            )  # to the millisecond, as it is told
            run.doubt_if(not felt, told + "nobody felt it")
            if felt:
                run.doubt_if(back is not None and back < opened, told + "service was back before customers were let in elsewhere")
                check_lines(run, fault, opened, back, told)


def check_surge_was_made(run: Run, fault: Fault, told: str) -> None:
    times, count = fault.args.get("times"), run.counts.get("ledger")
    if not fits(times, float) or times <= 1:
        run.doubts.append(f"{told}it was none: {times!r} times the rate")
        return
    if run.locust is None or count is None:
        return
    least, share = run.load.get("rate_min"), run.load["pay_share"]
    end, shape = fault.window_end, run.load.get("shape") or [[0, 1]]
    for start in (fault.after, max(fault.after, end - round(run.load["baseline_s"] * S))):
        if end <= start:
            run.doubts.append(f"{told}it lasted for no time")
            continue
        factor = mean_of_shape(shape, (start - count["started_ns"]) / S, (end - count["started_ns"]) / S)
        stated = run.load["customer_rate_per_s"] * share * factor * times * (end - start) / S
        paid = sum(start <= row.sent_ns < end for row in run.locust)
        short = paid < (1 if least is None else least) * stated - 4 * max(0.0, stated * (1 - share)) ** 0.5
        run.doubt_if(short, f"{told}{paid} payments in {(end - start) / S:.1f} s, of {stated:.1f} stated")


def check_lines(run: Run, fault: Fault, opened: int, back: int | None, told: str) -> None:
    """The open lines were full until then; and afterwards all lines carried more than those that were open can."""
    narrow = {
        (link["source"], link["target"]): link["bandwidth_kbps"] for link in run.topology["links"] if link.get("bandwidth_kbps")
    }
    if not narrow:
        return
    door = run.topology.get("door", {})
    ways_in, closed = set(door.get("centers", ())), set(door.get("closed", ()))
    counted = [line for event in run.of("lines") for line in event["lines"]]

    def kbps(path: tuple[str, str], start: int, end: int) -> float:
        mine = [
            line
            for line in counted
            if (line["source"], line["target"]) == path and start <= line["from_ns"] and line["to_ns"] <= end
        ]
        length = sum(line["to_ns"] - line["from_ns"] for line in mine)
        return float(sum(line["bytes"] for line in mine) * 8_000_000 / length) if length > 0 else 0.0

    before = [line for line in counted if fault.after + 3 * S <= line["from_ns"] < line["to_ns"] <= opened]
    for center in door.get("centers", ()):
        mine = [line for line in before if center in (line["source"], line["target"])]
        looks = [
            (line["bytes"] * 8_000_000 / (line["to_ns"] - line["from_ns"]), narrow.get((line["source"], line["target"])))
            for line in mine
        ]
        full = any(named and kbps >= 0.9 * named for kbps, named in looks)
        run.doubt_if(not full, f"{told}the line of {center} was not full")
    if back is not None:
        more = False
        for end in (0, 1):
            way = [path for path in narrow if path[end] in ways_in | closed]
            more |= sum(kbps(path, back, fault.window_end) for path in way) > sum(
                narrow[path] for path in way if set(path) & ways_in
            )
        run.doubt_if(not more, f"{told}the lines that were open before would have been enough")


def felt(run: Run, fault: Fault) -> list[Span]:
    """The pauses that a fault's interruption is of; one that the next fault finds under way ends there."""
    until = fault.next_before or run.probe_end
    last = until if until < run.probe_end else NEVER
    return [(start, min(stop, last)) for start, stop in pauses_of(run) if start < until and stop > fault.before]


def late_of(run: Run) -> int:
    return round(run.counts["probe"]["late_ms_max"] * MS) if "probe" in run.counts else 0


def largest(ones: Sequence[Data | None]) -> Data:
    """Several faults: the largest figure, low and high; null where one is null."""
    names = ("value", "low", "high", "host_s")
    columns: dict[str, list[Any]] = {name: [None if one is None else one[name] for one in ones] for name in names}
    return {name: None if None in column else max(column) for name, column in columns.items()}


FIGURES = (
    "rto_s", "rto_first_success_s", "rto_resolution_s", "phases", "rpo_s", "wal_bytes_lost", "acknowledged", "lost_transactions",
    "unknown", "unknown_committed", "refused", "duplicated", "phantom", "unprotected_s", "unprotected_acknowledged",
    "protection_unknown_s", "availability", "interruption_s", "detect_s", "first_payment_s", "full_redundancy_s", "intervals",
)  # fmt: skip


def measure(run: Run, host: Host) -> tuple[Data, list[Measured]]:
    figures: Data = dict.fromkeys(FIGURES)
    intervals: Data = dict.fromkeys(TARGETS)
    phases = {f"{name}_s": None for name in (*ROLE[:4], "warm_up")}
    figures |= {"intervals": intervals, "phases": phases}
    books(run, figures)
    invariants(run)
    for name in ("lost_transactions", "rpo_s"):
        if figures[name] is not None:
            intervals[name] = {"low": figures[name], "high": figures[name], "host_s": 0.0}
    for event in run.of("ready")[-1:]:
        figures |= {name: event.get(name) for name in ("first_payment_s", "full_redundancy_s")}
    if run.samples is not None and run.probe is not None and run.locust is not None:
        time, count, unknown = protection(run)
        figures |= {"unprotected_s": up(time), "unprotected_acknowledged": count, "protection_unknown_s": up(unknown)}
        intervals["unprotected_s"] = {"low": up(time), "high": round(up(time) + up(unknown), 3), "host_s": 0.0}
    if (edges := edge_figures(run)) is not None:
        figures["edges"] = edges
    return figures, measure_faults(run, host, figures) if run.probe and run.faults else []


def measure_faults(run: Run, host: Host, figures: Data) -> list[Measured]:
    plain, lenient, intervals = Service(run, Spans(())), Service(run, host.excuses), figures["intervals"]
    measured = [measure_fault(run, fault, plain, lenient, host) for fault in run.faults]
    for name in ("rto_s", "interruption_s", "detect_s"):
        worst = largest([getattr(one, name) for one in measured])
        figures[name] = worst.pop("value")
        intervals[name] = worst if worst["low"] is not None else None
    if run.plan["targets"].get("p99_back_s") is not None:
        known = largest([one.p99_back_s for one in measured])
        figures |= {"p99_back_s": value} if (value := known.pop("value")) is not None else {}
        intervals["p99_back_s"] = known
    longest = max(measured, key=lambda one: (one.longest.length is None, one.longest.length or 0))
    figures["phases"] = segments(run, longest.fault, longest.longest)
    successes = [first_success(run, fault) for fault in run.faults]
    took = [None if moment is None else up(moment - fault.before) for moment, fault in zip(successes, run.faults, strict=True)]
    wal = [wal_lost(run, fault) for fault in run.faults]
    figures["rto_first_success_s"] = None if None in took else max(second or 0.0 for second in took)
    figures["rto_resolution_s"] = max(up(fault.after - fault.before + run.interval + late_of(run)) for fault in run.faults)
    figures["wal_bytes_lost"] = None if None in wal else sum(number or 0 for number in wal)
    good, forgiven = share_in_order(plain, run.faults[0].before), share_in_order(lenient, run.faults[0].before)
    if good is not None and forgiven is not None:
        figures["availability"] = good
        host_s = up(host.time.within(run.faults[0].before, run.probe_end))
        intervals["availability"] = {"low": good, "high": forgiven, "host_s": host_s}
    check_traffic(run, measured)
    door = run.topology.get("door")
    askew = isinstance(door, dict) and door.get("sides") and not two_sides(door)
    run.doubt_if(askew, "sides: the door has none of two centers")
    check_surges(run, measured)
    if not enough_at_the_end(plain):
        told = run.undecided if enough_at_the_end(lenient) else run.breaches
        told.append("under 95 % of the payments due in the probe's last 5 s were in order")
    return measured


def share_in_order(service: Service, start: int) -> float | None:
    due = service.good[bisect_left(service.due, start) :]
    return sum(due) * 1_000_000 // len(due) / 1e6 if due else None


def enough_at_the_end(service: Service) -> bool:
    due = service.good[bisect_left(service.due, service.end - 5 * S) :]
    return 20 * sum(due) >= 19 * len(due)


def check_traffic(run: Run, measured: Sequence[Measured]) -> None:
    """Doubt 13. Where service never left, the probe must still have paid once within an interval."""
    for one in measured:
        fault, first = one.fault, one.episodes[0]
        paid = run.locust is None or any(fault.before <= row.sent_ns < fault.window_end for row in run.locust)
        run.doubt_if(not paid, f"traffic: no customer paid in the window of {fault.id}")
        until = fault.window_end if first.length is None else fault.before + max(first.length, run.interval)
        probed = any(fault.before <= row.due_ns < until for row in run.probe or ())
        run.doubt_if(not probed, f"traffic: the probe did not pay in the outage of {fault.id}")


# ---- "The verdict" ---------------------------------------------------------------------------------------------------------


def check_untils(run: Run, host: Host) -> None:
    """A condition that was not reached is a breach, unless the host's stalls may have decided it."""
    for event in run.of("until"):
        if not event["reached"]:
            waited, within = (max(0, round(event[name] * S)) for name in ("waited_s", "within_s"))
            start, last = event.t - waited, max(event.t - waited, event.t - WATCH)
            shaken = any(to - since >= S and since < event.t and to > last for since, to in host.stalls)
            robbed = 10 * (max(waited, within) - host.excuses.within(start, event.t)) < 9 * within
            told = run.undecided if shaken or robbed else run.breaches
            told.append(f"{event['condition']} was awaited for {event['within_s']} s and not reached")


def decide(run: Run, name: str, value: Any, known: Data | None) -> None:
    """One figure against its target: met, missed (a breach), undecided, or not measured (a doubt)."""
    target = run.plan["targets"][name]
    if target is None:
        return
    if value is None or known is None:
        run.doubts.append(f"{name} has a target of {target} and could not be measured")
    elif known["low"] > target if name != "availability" else known["high"] < target:
        run.breaches.append(f"{name} {value} misses its target of {target}")
    elif known["high"] > target if name != "availability" else known["low"] < target:
        run.undecided.append(f"{name}: its interval {known['low']} to {known['high']} lies across its target of {target}")


def decide_rto(run: Run, one: Measured) -> None:
    target, rto = run.plan["targets"]["rto_s"], one.rto_s
    if target is None or rto["value"] is not None:
        decide(run, "rto_s", rto["value"], rto)
    elif one.unsettled is not None and up(one.unsettled - one.longest.began) <= target:
        run.undecided.append(f"rto_s of {one.fault.id}: service was back within the target, and was not watched for 10 s")
    elif rto["low"] > target:
        run.breaches.append(f"rto_s of {one.fault.id}: service did not return, watched for at least {rto['low']} s")
    else:
        run.undecided.append(f"rto_s of {one.fault.id}: service did not return while it was watched")


def decide_p99_back(run: Run, figures: Data) -> None:
    """One that did not come back is missed when it was surely gone for longer than the target, else undecided."""
    target, value = run.plan["targets"].get("p99_back_s"), figures.get("p99_back_s")
    if target is None:
        return
    known = figures["intervals"].get("p99_back_s")
    if known is None:
        run.doubts.append("p99_back_s has a target and could not be measured")
    elif known["low"] > target:
        run.breaches.append(f"p99_back_s {value} misses its target of {target}")
    elif value is None or known["high"] > target:
        run.undecided.append(f"p99_back_s: its interval {known['low']} to {known['high']} lies across its target of {target}")


def verdict_of(run: Run, host: Host, figures: Data, measured: Sequence[Measured]) -> str:
    check_untils(run, host)
    for one in measured:
        decide_rto(run, one)
    for name in TARGETS[0 if not measured else 1 :]:
        target, value = run.plan["targets"][name], figures[name]
        gone = name == "interruption_s" and any(one.longest.length is None for one in measured)
        if gone and target is not None and value is not None and value <= target:
            run.undecided.append("interruption_s is within its target, and service did not return: it may go on")
        else:
            decide(run, name, value, figures["intervals"][name])
    decide_p99_back(run, figures)
    return "INVALID" if run.doubts else "FAIL" if run.breaches else "INVALID" if run.undecided else "PASS"


def two_sides(door: Data) -> list[str]:
    centers = door.get("centers")
    return centers if isinstance(centers, list) and len(centers) == 2 else []


def sides_of(run: Run, fault: Fault) -> Iterator[Data]:
    """ "Sides": the fault as each side's customers saw it; nothing where the door has none."""
    door = run.topology.get("door")
    if not isinstance(door, dict) or not door.get("sides") or run.probe is None:
        return
    for number, center in enumerate(two_sides(door)):
        side = copy(run)
        side.probe = [row for row in run.probe if (row.key[-1] in "13579") == (number == 1)]
        side.interval = 2 * run.interval
        side.__dict__ |= {"probe_end": run.probe_end}
        side.__dict__.pop("felt", None)
        if not side.probe:
            continue
        service = Service(side, Spans(()))
        length = longest_of(episodes_of(service, fault, ())[0]).length
        pauses = [stop - start for start, stop in felt(side, fault)]
        due = service.good[bisect_left(service.due, fault.before) : bisect_left(service.due, fault.window_end)]
        yield {
            "center": center, "rto_s": None if length is None else up(length), "interruption_s": up(max(pauses, default=0)),
            "availability": sum(due) * 1_000_000 // len(due) / 1e6 if due else None,
        }  # fmt: skip


def damage_of(run: Run, fault: Fault) -> Data:
    """What `faults[]` has of damaged tables; nothing where there were none."""
    end = fault.sound_again
    given = [row for row in run.payments if row.acknowledged and fault.before <= row.done_ns < (NEVER if end is None else end)]
    lasted = None if end is None else up(end - fault.before)
    told_of = {"tables": fault.damaged, "lasted_s": lasted, "acknowledged": len(given), "not_found": fault.not_found}
    return {"damage": told_of} if fault.damaged else {}


def told(run: Run, one: Measured) -> Data:
    """A fault as verdict.json tells it."""
    fault, longest = one.fault, one.longest
    rto, interruption = one.rto_s, one.interruption_s or {"value": None}
    lasted = [(up(each.began - fault.before), None if each.length is None else up(each.length)) for each in one.episodes]
    return {
        "id": fault.id, "name": fault.name, "target": fault.target, "proved": fault.proved,
        "healed": None if fault.heal_started is None else bool(fault.healed and fault.healed["ok"]),
        "rto_s": rto["value"], "interruption_s": interruption["value"], "rto_from_s": up(longest.began - fault.before),
        "rto_interval": {name: rto[name] for name in ("low", "high", "host_s")},
        "episodes": [{"began_s": began, "lasted_s": length} for began, length in lasted],
        "sides": list(sides_of(run, fault)), **damage_of(run, fault),
    }  # fmt: skip


# ---- "Records held against each other": asked of a run that has all its files and at least one fault ------------------------

Rules = Iterator[tuple[str, Iterable[Any]]]  # the name of a rule, and all that contradicts it
Customers = dict[int, list[tuple[int, Payment]]]


def customers_of(run: Run) -> Customers:
    """Each customer's payments with their numbers, in the order of sending; number -1: a key that is no customer's."""
    customers: Customers = defaultdict(list)
    pattern = re.compile(re.escape(run.run_id) + r"-c-(\d{1,6})-(\d{7})")
    for row in sorted(run.locust or (), key=lambda row: row.sent_ns):
        found = pattern.fullmatch(row.key)
        known = found and int(found[1]) < run.load["customers"]
        customers[int(found[1]) if found else -1].append((int(found[2]) if found and known else -1, row))
    return customers


def ledgers(run: Run, probe: list[Payment], locust: list[Payment]) -> Rules:
    """ "Ledgers, plan and seed"."""
    count, counted, customers = run.counts["probe"], run.counts["ledger"], customers_of(run)
    within = run.host.excuses.within
    pattern = re.compile(re.escape(run.run_id) + r"-p-\d{7}")
    yield "numbered_keys", [row.key for row in probe if not pattern.fullmatch(row.key)]
    for customer, rows in customers.items():
        yield "numbered_keys", [f"customer {customer}"] * ([number for number, _ in rows] != list(range(len(rows))))
        yield "numbered_keys", [later.key for (_, row), (_, later) in pairwise(rows) if later.sent_ns < row.done_ns]
    ran, late = count["stopped_ns"] - count["started_ns"], max(row.sent_ns - row.due_ns for row in probe) / MS
    fits_in = (ran - LATE) / run.interval - 1 <= count["scheduled"] <= ran / run.interval + 2
    yield "schedule_adds_up", [f"{count['scheduled']} payments in {ran / S:.3f} s"] * (not fits_in)
    yield (
        "schedule_adds_up",
        [f"{late:.3f} ms late at most, not {count['late_ms_max']}"] * (abs(late - count["late_ms_max"]) > 0.001),
    )
    yield "schedule_adds_up", [row.key for row in probe if row.sent_ns < row.due_ns]
    patience = round(run.load["probe_timeout_s"] * S)
    took = [(row.key, row.done_ns - row.sent_ns - patience, row.sent_ns, row.done_ns) for row in probe]
    took += [(row.key, row.done_ns - row.sent_ns - 2 * patience, row.sent_ns, row.done_ns) for row in locust]
    yield "patience_is_kept", [key for key, more, a, b in took if more > 2 * S and more > 2 * S + within(a, b)]
    for row in probe:
        said = re.match(r"no answer within ([\d.]+) ?s", row.error)
        short = said and row.done_ns - row.sent_ns < float(said[1]) * S - MS
        yield "patience_is_kept", [row.key] * bool(short or (row.status is None and not row.error))
    accounts = next((sorted(row.id for row in rows) for (_, name), rows in run.tables.items() if name == "accounts" and rows), [])
    if len(accounts) > 1:
        looks, otherwise = drawn_from_the_seed(run, accounts, probe, customers)
        between = sum(sum(before[1:]) for before in looks.values())
        yield "drawn_from_the_seed", otherwise
        too_few = counted["looks"] < between - run.load["customers"]
        yield "drawn_from_the_seed", [f"{counted['looks']} looks were counted, there were at least {between}"] * too_few
        yield "reads_follow_the_looks", read_otherwise(run, run.reads, customers, looks) if run.reads is not None else ()
    sent = sorted(row.sent_ns for row in locust)
    stopped = counted["stopped_ns"]
    outside = [t for t in sent if not counted["started_ns"] <= t <= stopped + LATE + within(stopped, t)]
    idle = [t for t, after in pairwise(sent) if after - t > 2 * patience + 5 * S + within(t, after)]
    yield "customers_keep_paying", outside + idle


def drawn_from_the_seed(
    run: Run, accounts: list[str], probe: list[Payment], customers: Customers
) -> tuple[dict[int, list[int]], list[str]]:
    """Each customer's looks right before each of its payments; and the first payment of each generator that it did not draw."""

    def drawn(random: Random) -> tuple[str, str, int]:
        debit, credit = random.sample(accounts, 2)
        return debit, credit, random.randint(1, 1000)

    random, looks = Random(f"{run.plan['seed']}-probe"), defaultdict[int, list[int]](list)
    otherwise = [row.key for row in sorted(probe)[:100_000] if drawn(random) != row[6:9]][:1]
    for customer, rows in customers.items():
        random = Random(f"{run.plan['seed']}-customer-{customer}")
        random.uniform(0, 1)
        for _, row in rows[:100_000]:
            acts = 0
            while random.random() >= run.load["pay_share"] and acts < 100_000:
                random.choice(accounts)
                acts += 1
            looks[customer].append(acts)
            if drawn(random) != row[6:9]:
                otherwise.append(row.key)
                break
    return looks, otherwise


def read_otherwise(run: Run, reads: list[Read], customers: Customers, looks: dict[int, list[int]]) -> Iterator[str]:
    """Reads that no look of their customer explains; each look of odd number reads back what was acknowledged last."""
    by_customer, pattern = defaultdict[int, list[Read]](list), re.compile(re.escape(run.run_id) + r"-c-(\d{1,6})-\d{7}")
    for read in sorted(reads, key=lambda read: read.sent_ns):
        found = pattern.fullmatch(read.key)
        by_customer[int(found[1]) if found else -1].append(read)
    yield from [read.key for customer in by_customer.keys() - customers.keys() for read in by_customer[customer]]
    for customer, rows in customers.items():
        sent, before = [row.sent_ns for _, row in rows], defaultdict[int, list[Read]](list)
        for read in by_customer[customer]:
            before[bisect_right(sent, read.sent_ns)].append(read)
        last, free, looked = None, 0, 0  # the payment acknowledged last, since when nothing is under way, looks so far
        for number, until in enumerate([*sent, NEVER]):
            for read in before[number]:
                yield from [read.key] * (read.key != last or read.sent_ns < free or read.done_ns > until)
                free = read.done_ns
            for acts in looks[customer][number : number + 1]:
                due = (looked + acts) // 2 - looked // 2 if last is not None else 0
                yield from [f"{len(before[number])} reads before {rows[number][1].key}, not {due}"] * (len(before[number]) != due)
                looked += acts
            for _, row in rows[number : number + 1]:
                last, free = row.key if row.acknowledged else last, max(free, row.done_ns)


def door_and_ledgers(run: Run, lines: list[DoorLine]) -> Rules:
    """ "The door and the ledgers"."""
    told, by_key, answered = run.of("door_log"), defaultdict[str, list[DoorLine]](list), (200, 201)
    yield "door_counted", [f"{len(lines)} lines"] * ([event["payments"] for event in told] != [len(lines)])
    for line in lines:
        by_key[line.key].append(line)
    unseen, excuses = 0, run.host.excuses

    def before(one: int, other: int, by: int) -> bool:
        """Whether one moment lies before another by more than that, and than the host's excuses between the two."""
        return other - one - excuses.within(one, other) > by

    for row in run.payments:
        mine = by_key[row.key]
        same = [line for line in mine if line.status == row.status]
        unseen += row.status is not None and not mine
        if row.status is None:
            passed = any(line.status in answered and line.state == "--" for line in mine) and not row.error.startswith(WAITED)
            early = any(line.end is not None and before(line.end, row.done_ns, LATE) for line in mine)
            yield "door_told_the_same", [row.key] * (passed or early)
        else:
            yield "door_told_the_same", [row.key] * bool(mine and not same)
            ends = [line.end for line in same if line.end is not None and row.acknowledged]
            for end in ends:
                astray = before(end, row.done_ns, LATE) or before(row.done_ns, end, LATE) or before(end, row.sent_ns, CLOCKS)
                yield "door_agrees_on_time", [row.key] * astray
    dropped = sum(event["dropped"] or 0 for event in told[:1])
    yield "door_saw_every_answer", [f"{unseen} answers are not in it, {dropped} were dropped"] * (unseen > dropped)
    ours = {row.key for row in run.payments}
    yield (
        "door_saw_every_answer",
        [
            key
            for key in by_key
            if key not in ours and not run.exempt(key) and any(line.status in answered for line in by_key[key])
        ],
    )


def bank(run: Run, standing: list[Stored], samples: list[Sample]) -> Rules:
    """ "The bank"."""
    by_key, stored = {row.key: row for row in run.payments}, {row.key: row for row in standing}
    within, patience = run.host.excuses.within, round(run.load["probe_timeout_s"] * S)
    committed = {row.key: run.clock.at(row.committed_at) for row in standing}
    for payment in run.payments:
        at = committed.get(payment.key, payment.sent_ns)
        late = payment.acknowledged and payment.key not in run.authorised and at > payment.done_ns + CLOCKS
        yield "committed_when_told", [payment.key] * (late or at < payment.sent_ns - CLOCKS)
    ours = sorted(at for key, at in committed.items() if key in by_key)
    yield "committed_by_a_primary", promoted_over(run, ours)
    for fault in run.faults:
        lost, new, _ = primaries_of(run, fault)
        died = lost in fault.down and lost not in fault.destroyed
        opened = next((event for event in reversed(run.of("autopsy")) if event["node"] == lost), None)
        yield "every_dead_primary_was_opened", [lost] * (died and fault.heal_started is not None and opened is None)
        if died and opened and opened["end_lsn"] is not None:
            dead = [s for s in samples if s.node == lost and s.ok and s.t_ns < min(opened.t, fault.heal_started or NEVER)]
            yield "log_ends_on_the_dead_disk", [s.t_ns for s in dead if (s.flush_lsn or 0) > opened["end_lsn"]]
        if died and new not in (None, lost):
            mine = [s for s in samples if s.node == new and s.ok]
            promoted = next((s.t_ns for s in mine if s.writes and s.t_ns >= fault.before), fault.window_end)
            received = [s.flush_lsn or 0 for s in mine if not s.writes and s.t_ns < promoted]
            wrote = [s for s in samples if s.node == lost and s.writes and s.t_ns <= fault.window_end and received]
            beyond = next((s.t_ns for s in wrote if (s.flush_lsn or 0) > max(received)), NEVER)
            yield "receipts_cover_what_stands", [at for at in ours if beyond + CLOCKS < at < fault.after]
    for node, rows in run.dead_disks.items():
        taken = [fault for fault in run.faults if node in fault.down][-1:]
        yield "dead_disks_and_ledgers", [node] * (not taken)
        for fault in taken:
            primary = node == primaries_of(run, fault)[0]
            before = [
                (one.before, (one.heal_started or fault.before) + 30 * S) for one in run.faults if one.before < fault.before
            ]
            yield "same_commit_on_every_copy", [row.key for row in rows if stored.get(row.key, row) != row]
            for row in rows:
                at, known = run.clock.at(row.committed_at), by_key.get(row.key)
                waited, after = fault.before - at - within(at, fault.before), at - fault.after - within(fault.after, at)
                gave_up = known and known.error.startswith(WAITED) and known.done_ns - known.sent_ns >= patience
                troubled = known and any(start <= known.done_ns <= end for start, end in before)
                silent = primary and known and known.status is None and waited > LATE and not gave_up and not troubled
                refused = known and known.outcome == "refused"
                yield "dead_disks_and_ledgers", [row.key] * bool(after > LATE or refused or silent)
            held = {row.key for row in rows}
            due = [row.key for row in run.payments if primary and row.acknowledged and row.done_ns < fault.before]
            yield "dead_disks_and_ledgers", [key for key in due if key not in held | run.authorised]


def hits_others_alone(run: Run, fault: Fault, edge: str) -> bool:
    """Whether a fault hits something, and nothing but other edges and the ways to them."""
    others = {name for name in run.edge_nodes if name != edge}
    away = {run.center_of[name] for name in others}
    struck = {*fault.down, *fault.destroyed}
    ways = [{run.center_of.get(end, end) for end in path.split("->")} for path in (*fault.cut, *fault.impaired)]
    elsewhere = all(way & away and run.center_of[edge] not in way for way in ways)
    return bool(struck or ways) and not fault.damaged and struck <= others and elsewhere


def edges(run: Run, standing: list[Stored]) -> Rules:
    """ "Edges"."""
    by_key, at, excuses = {row.key: row for row in run.payments}, run.clock.at, run.host.excuses
    committed = {row.key: at(row.committed_at) for row in standing}
    for node, rows in run.edges.items():
        kept = [fault for fault in run.faults if not hits_others_alone(run, fault, node)]
        spans = [(fault.before - CLOCKS, (fault.heal_started or NEVER) + 30 * S) for fault in kept]
        for row in rows:
            moment, payment = at(row.authorised_at), by_key.get(row.key)
            early = payment and moment < payment.sent_ns - CLOCKS
            late = payment and payment.acknowledged and moment > payment.done_ns + CLOCKS
            done = at(row.forwarded_at) if row.status in (200, 201) else NEVER
            yield "edges_told_the_same", [row.key] * bool(early or late or committed.get(row.key, 0) > done + CLOCKS)
            apart = any(start <= moment <= end for start, end in spans) or excuses.within(moment - 5 * S, moment) > 0
            yield "edges_authorise_while_cut_off", [f"{row.key} at {node}"] * (not apart and not run.exempt(row.key))
    synced = [event["node"] for event in run.of("edge_store") if event["synchronous"] < 2]
    yield "edges_sync_what_they_acknowledge", synced


def promoted_over(run: Run, committed: Sequence[int]) -> Iterator[str]:
    """What was committed between what a promoted database had received last and its promotion."""
    begins = run.baseline[0] if run.baseline else 0
    for node in run.databases:
        last, start, lines = None, None, run.logs.get(node, [])
        selected = [t for t, _, line in lines if "selected new timeline ID" in line]
        for t, _, line in lines:
            if "LOG:  starting PostgreSQL" in line:  # what it got since then it tells, or it got nothing
                last, start = None, t + CLOCKS
            elif found := re.search(r"last completed transaction was at log time (\S+ \S+)", line):
                try:
                    last = run.clock.at(wall_ns(found[1]))
                except Damaged:
                    yield f"{node}: {line!r}"
            elif "selected new timeline ID" in line:
                last, start = start if last is None else last, None
                if last is None and t > begins:
                    yield f"the log of {node} does not tell what it had received when it was promoted"
                elif last is not None and bisect_left(committed, t) > bisect_right(committed, last):
                    yield f"payments were committed before {node} was promoted, and after the last that it had received"
                last = None
            elif "received promote request" in line and t > begins and not any(abs(one - t) <= 30 * S for one in selected):
                yield f"the log of {node} tells a promotion without a new timeline"


KILLS = ("CenterPowerLoss", "RegionLoss", "NodeKilled", "SiteDestroyed")


def effect_of(run: Run, fault: Fault) -> tuple[set[str], set[str]]:
    """What a fault takes down and cuts by its target; of one that the page does not name, what it says itself."""
    links = [(link["source"], link["target"]) for link in run.topology["links"]]
    by = "region" if fault.name == "RegionLoss" else "name"
    centers = {center["name"] for center in run.topology["centers"] if center[by] == fault.target}
    if fault.name in ("CenterPowerLoss", "RegionLoss", "SiteDestroyed", "CenterIsolated"):
        down = {node for node, center in run.center_of.items() if center in centers}
        cut, alive = {f"{a}->{b}" for a, b in links if {a, b} & centers}, fault.name == "CenterIsolated"
        led_to = centers & set(run.topology.get("door", {}).get("centers", ())) if alive else centers
        return set() if alive else down, cut | {f"door->{center}" for center in led_to}
    if fault.name in ("LinkBlackholed", "LinkRefused"):
        return set(), ways_of(run, fault)
    nothing = (
        "PlannedSwitchover",
        "BitsFlipped",
        "CustomersSurge",
        "TableEmptied",
        "LinkDegraded",
        "ProcessKilled",
        "TableLocked",
    )
    alone = {name: {fault.target} for name in ("NodeKilled", "NodeFrozen")} | {name: set[str]() for name in nothing}
    return alone.get(fault.name, set(fault.down)), set() if fault.name in alone else set(fault.cut)


COUNT = "([1-9][0-9]{0,17})"


def ways_of(run: Run, fault: Fault) -> set[str]:
    """The directed paths of a link's fault; `*` is every center."""
    one, other = [*re.split("<->|->", fault.target), ""][:2]
    links, found = [(link["source"], link["target"]) for link in run.topology["links"]], set[str]()
    for x, y in [(one, other), (other, one)] if "<->" in fault.target else [(one, other)]:
        found |= {f"{a}->{b}" for a, b in links if x in (a, "*") and y in (b, "*")} or {f"{x}->{y}"}
    return found


def worsened(fault: Fault) -> list[str]:
    """What each path of a degraded link has to show, by the arguments: delay, loss, bandwidth."""
    words = {
        "latency_ms": "{latency_ms} ms ± {jitter_ms} ms more",
        "loss_percent": "{loss_percent} % dropped",
        "bandwidth_kbps": "{bandwidth_kbps} kbit/s",
    }
    numbers = [fault.args.get(name) for name in ("latency_ms", "jitter_ms", "loss_percent", "bandwidth_kbps")]
    if not all(fits(one, int) and one >= 0 for one in numbers) or numbers[1] > numbers[0] or numbers[2] >= 100:
        return []
    return [text.format(**fault.args) for name, text in words.items() if fault.args[name]]


def is_worse(run: Run, fault: Fault, check: Data) -> bool:
    """Whether a check of a degraded link shows what the arguments say."""
    wanted, seen, args = check["expected"], check["seen"], fault.args
    if wanted not in worsened(fault):
        return False
    if wanted.endswith("more"):
        told = re.fullmatch(re.escape(wanted) + rf" on {COUNT} of {COUNT} streams, round trip {COUNT} ms", seen)
        links = [one for one in run.topology["links"] if {one["source"], one["target"]} == set(check["subject"].split("->"))]
        ways = [one.get("latency_ms") for one in links]
        if told is None or not all(fits(way, float) for way in ways):
            return False
        least: int = sum(map(round, ways)) + args["latency_ms"] - args["jitter_ms"]
        return told[1] == told[2] and int(told[3]) >= least
    if wanted.endswith("dropped"):
        told = re.fullmatch(re.escape(wanted) + rf": {COUNT} of {COUNT} packets", seen)
        gone, total, share = (int(told[1]), int(told[2]), args["loss_percent"] / 100) if told else (0, 0, 0.0)
        return 0 < gone < total and total >= 100 and abs(gone - total * share) <= 5 * (total * share * (1 - share)) ** 0.5 + 1
    return bool(seen == wanted)


def emptied_by(fault: Fault) -> set[str]:
    """Tables that are empty by a statement on the target: those that refer to it are emptied with it."""
    if fault.name != "TableEmptied":
        return set()
    return {"payments", "entries"} if fault.target == "payments" else {fault.target}


def flipped(check: Data) -> bool:
    was = re.fullmatch(r"bytes ([0-9a-f]+) \(were ([0-9a-f]+)\)", check["expected"])
    mask = 16 ** len(was[1]) - 1 if was else 0
    return bool(
        was and check["seen"] == f"bytes {was[1]}" and len(was[1]) == len(was[2]) and int(was[1], 16) ^ int(was[2], 16) == mask
    )


def proofs(run: Run) -> Rules:
    """Of "Faults": what each is by its target, and how it has to have been seen."""
    for fault in run.faults:
        gone = set(fault.down) if fault.name == "SiteDestroyed" else set[str]()
        worse = ways_of(run, fault) if fault.name == "LinkDegraded" else set[str]()
        meant = (*effect_of(run, fault), gone, emptied_by(fault), worse)
        if fault.name in ("LinkBlackholed", "LinkRefused", "LinkDegraded"):
            known = {f"{link['source']}->{link['target']}" for link in run.topology["links"]}
            yield "effect_follows_from_the_target", sorted(ways_of(run, fault) - known)
        said = (set(fault.down), set(fault.cut), set(fault.destroyed), set(fault.damaged), set(fault.impaired))
        yield "effect_follows_from_the_target", [fault.id] * (said != meant)
        checks: list[Data] = fault.proof["checks"] if fault.proof else []
        alive = {center for node, center in run.center_of.items() if node not in fault.down}
        victims = [check for check in checks if check["side"] == "victim"]
        pairs = {frozenset(path.split("->")) for path in fault.cut}
        many = {
            "LinkBlackholed": len(fault.cut) + 2 * len(pairs),
            "PlannedSwitchover": 2,
            "BitsFlipped": 1,
            "ProcessKilled": 1,
            "TableLocked": 1,
        }
        wanted = many.get(fault.name, len(victims))
        yield "proof_is_of_its_kind", [f"{len(victims)} victims"] * (fault.proof is not None and len(victims) != wanted)
        if fault.name == "LinkDegraded" and fault.proof is not None:
            told = {(check["subject"], check["expected"]) for check in victims}
            due = {(path, one) for path in fault.impaired for one in worsened(fault)}
            yield "proof_is_of_its_kind", sorted(f"{path}: {one}" for path, one in due - told) or [fault.id] * (not due)
        copies = {f"{table_name} on {node}" for table_name in fault.damaged for node in run.databases if fault.proof}
        yield "proof_is_of_its_kind", sorted(copies - {check["subject"] for check in victims})
        for check in checks:
            subject, seen, sound = check["subject"], check["seen"], True
            if check["side"] == "bystander":
                sound = seen == check["expected"]
            elif subject in fault.destroyed:
                sound = bool(re.fullmatch(r"no container, no disk, port \d+ closed", seen))
            elif fault.name == "NodeFrozen":
                sound = seen == "frozen, no answer"
            elif subject in fault.down and fault.name in KILLS:
                sound = bool(re.fullmatch(r"exited, exit code 137, port \d+ closed", seen))
            elif fault.name == "LinkDegraded":
                sound = is_worse(run, fault, check)
            elif subject in fault.cut:
                how = "refused" if fault.name == "LinkRefused" else "dropped"
                before = "(?:rule in place, )?" if how == "dropped" else ""
                packets = re.fullmatch(rf"{before}({COUNT if how == 'refused' else '[0-9]+'}) packets {how}", seen)
                dead = set(subject.split("->")) & set(run.center_of.values()) - alive
                sound = bool(packets and (packets[1] != "0" or dead))
            elif fault.name == "BitsFlipped":
                sound = flipped(check)
            elif fault.name == "ProcessKilled":
                were = re.fullmatch(rf"killed: ({COUNT}(?:, {COUNT})*)", check["expected"])
                now = re.fullmatch(rf"gone; now (none|{COUNT}(?:, {COUNT})*)", seen)
                sound = bool(were and now and set(were[1].split(", ")).isdisjoint(now[1].split(", ")))
                sound = sound and subject == f"{fault.args.get('process')} on {fault.target}"
            elif fault.name == "TableLocked":
                locked = re.fullmatch(rf"(locked by session {COUNT}), {COUNT} wait", seen)
                there = subject in {f"{fault.target} on {node}" for node in run.databases}
                sound = bool(there and locked and locked[1] == check["expected"])
            elif fault.name == "TableEmptied":
                sound = transaction_of(check) is not None
            yield "proof_is_of_its_kind", [subject] * (not sound)


def transaction_of(check: Data) -> int | None:
    """The statement of which a proof's check says that no row of before it is left; None: it doesn't say that."""
    found = re.fullmatch(r"0 of [1-9]\d* rows of before transaction (\d+)", check["seen"])
    return int(found[1]) if found and check["seen"] == check["expected"] else None


def restores(run: Run, samples: list[Sample], baseline: Span) -> Rules:
    """ "Restores"."""
    told, replaced = run.of("restored"), run.of("replaced")
    for node in run.databases:
        spans = [(one["before_ns"] - CLOCKS, one["after_ns"] + CLOCKS) for one in told if one["node"] == node]
        spans += [(one.t - CLOCKS, NEVER) for one in replaced if node in one["nodes"]]
        for line in run.logs.get(node, ()):
            begins = any(words in line.text for words in ("starting point-in-time recovery", "starting archive recovery"))
            hidden = begins and line.t >= baseline[0] and not any(start <= line.t <= end for start, end in spans)
            yield "restores_are_told", [f"{node}: {line.text[:80]!r}"] * hidden
    writing: list[Sample] = []  # of the primary: an older timeline than before is a straggler's
    for row in samples:
        if row.writes and (not writing or (row.timeline or 0) >= (writing[-1].timeline or 0)):
            writing.append(row)
    first: dict[int, Sample] = {}  # of each timeline
    for row in writing:
        first.setdefault(row.timeline or 0, row)
    first.pop(0, None)
    for one, row in pairwise(first.values()):
        had = [s.flush_lsn for s in samples if s.node == row.node and s.ok and s.timeline == one.timeline and s.t_ns < row.t_ns]
        known = [lsn for lsn in had if lsn is not None]
        back = bool(known) and row.flush_lsn is not None and max(known) - row.flush_lsn > 262_144
        by_word = any(e["node"] == row.node and one.t_ns < e["before_ns"] < row.t_ns for e in told)
        by_word = by_word or any(row.node in e["nodes"] for e in replaced)
        yield "restores_are_told", [f"{row.node} on timeline {row.timeline}"] * (back and not by_word)
    for event in told:
        yield "restores_are_as_told", otherwise_restored(run, writing, event)


def otherwise_restored(run: Run, writing: list[Sample], event: Event) -> Iterator[str]:
    """What contradicts one `restored` event."""
    start, end, xid, timeline = (event[name] for name in ("before_ns", "after_ns", "xid", "timeline"))
    text = "\n".join(line.text for line in run.logs.get(event["node"], ()) if start - CLOCKS <= line.t <= end + CLOCKS)
    stopped = set(re.findall(r"recovery stopping before commit of transaction (\d+),", text))
    began = set(re.findall(r"selected new timeline ID: (\d+)", text))
    if (stopped, began) != ({str(xid)}, {str(timeline)}):
        yield f"transaction {xid}, timeline {timeline}; its log: {sorted(stopped)}, {sorted(began)}"
    before = [fault for fault in run.faults if fault.damaged and fault.proof and fault.before < start]
    if xid not in {transaction_of(check) for fault in before for check in fault.proof["checks"] if check["side"] == "victim"}:
        yield f"transaction {xid} is of no proof"
    yield from (row.key for row in run.payments if row.acknowledged and row.sent_ns > start and row.done_ns < end)
    newest = max((s.timeline or 0 for s in writing if s.t_ns < start), default=0)
    after = next((s.timeline for s in writing if s.asked_ns > end), timeline)
    if newest >= timeline or after != timeline:
        yield f"timeline {timeline}, of a primary on {newest} before and on {after} after it"


def failures_of(samples: Sequence[Sample], node: str) -> Iterator[Span]:
    """Rows of failed samples: from the first one's end to the next answer, or to the last sample."""
    start, mine = None, [row for row in samples if row.node == node]
    for row in mine:
        if not row.ok and start is None:
            start = row.t_ns
        elif row.ok and start is not None:
            yield start, row.t_ns
            start = None
    if start is not None:
        yield start, mine[-1].t_ns + 1


def faults(run: Run, samples: list[Sample], baseline: Span) -> Rules:
    """ "Faults"."""
    limit, flips, within = run.topology["settings"].get("wal_sender_timeout_s"), set[str](), run.host.excuses.within
    for fault in run.faults:
        start, healing = fault.after + LATE, fault.heal_started or NEVER
        for node in fault.down:
            came = [event.t for event in run.of("replaced") if node in event["nodes"] and event.t > fault.after]
            end = min([healing, *came]) if node in fault.destroyed else healing
            lines = [line.t for line in run.logs.get(node, ())]
            failures = list(failures_of(samples, node))
            yield (
                "fault_came_before_its_effect",
                [node for since, to in failures if since < fault.before and since <= fault.after < to],
            )
            if fault.proved:
                alive = [s for s in samples if s.ok and s.node == node and start < s.t_ns and max(s.asked_ns, s.t_ns) < end]
                alive = [s for s in alive if s.asked_ns > start + within(fault.after, s.asked_ns)]
                spoke = fault.name in (*KILLS, "NodeFrozen") and any(start < t < end - CLOCKS for t in lines)
                yield "victims_fell_silent", [node] * bool(alive or spoke)
                if fault.name in KILLS and fault.healed and fault.healed["ok"]:
                    back = any(end - CLOCKS <= t <= fault.healed.t + 15 * S for t in lines)
                    yield "logs_resume_with_the_heal", [node] * (not back)
        end = fault.heal_started or fault.window_end
        during = [event for event in run.of("reach") if event["moment"] == "during" and fault.before <= event.t < end]
        carried = {f"{cell['source']}->{cell['target']}" for event in during for cell in event["cells"] if cell["ok"]}
        yield "reach_shows_the_cut", sorted(carried & set(fault.cut))
        late = fault.after + (limit + 5) * S if fits(limit, float) else end
        for s in samples:
            if s.writes and late < s.t_ns < end:
                streams = [peer["name"] for peer in s.replication or () if peer["state"] == "streaming"]
                here, there = run.center_of.get(s.node), {run.center_of.get(name) for name in streams}
                cut = {f"{here}->{one}" for one in there} | {f"{one}->{here}" for one in there}
                yield "cut_ended_replication", sorted(cut & set(fault.cut))
        flips |= {fault.args.get("node", fault.target)} if fault.name == "BitsFlipped" else set()
    for event in run.of("replaced"):
        told = [fault for fault in run.faults if fault.proof and fault.proof["proved"] and fault.proof.t < event.t]
        gone = {node for fault in told for node in fault.destroyed}
        yield "who_was_replaced_was_gone", sorted(set(event["nodes"]) - gone)
    yield "damage_is_where_the_fault_was", [event["node"] for event in run.of("damage") if event["node"] not in flips]
    common = [(event["before_ns"], event["after_ns"] + 30 * S) for event in run.of("step")]
    common += [(event.t - 30 * S, event.t + 30 * S) for event in run.of("primary") if event["node"] is None]
    for node in run.databases:
        mine = [fault for fault in run.faults if node in fault.down or not fault.down]
        ends = [fault.healed.t if fault.healed else fault.heal_started or NEVER for fault in mine]
        covered = Spans(common + [(fault.before, end + 30 * S) for fault, end in zip(mine, ends, strict=True)])
        silent = [(max(start, baseline[0]), min(end, run.probe_end)) for start, end in failures_of(samples, node)]
        covered = Spans([*covered.spans, *run.host.excuses.spans])
        yield "nobody_else_was_down", [node for start, end in silent if end - start - covered.within(start, end) > 8 * S]
    start, before = baseline[0], run.faults[0].before
    end = before - S // 2
    excuses, failed = run.host.excuses, []
    theirs = sorted((row for row in run.probe or () if start <= row.due_ns < end), key=lambda row: row.due_ns)
    early = [row.due_ns for row in theirs]
    lost = [row for row in theirs if not row.acknowledged and (row.done_ns < before or row.due_ns < before - run.level)]
    bad = [row.due_ns for row in lost if not in_order(run, row, excuses)]
    for due in bad:
        count = bisect_left(bad, due + S) - bisect_left(bad, due)
        among = bisect_left(early, due + S) - bisect_left(early, due)
        failed += [due] * (count >= 3 and 20 * count > among)
    pauses = [zero for zero, stop in pauses_of(run) if min(stop, end) - max(zero, start) > 2 * S]
    yield "order_before_the_first_fault", failed + pauses


def nodes(run: Run, samples: list[Sample], baseline: Span) -> Rules:
    """ "Nodes"."""
    sampled = {node: [row for row in samples if row.node == node] for node in run.databases}
    odd = {row.node for row in samples} ^ set(run.databases) | (run.expected - set(run.databases))
    odd |= run.center_of.keys() - run.logs.keys()
    odd |= {name for name in run.logs.keys() - run.center_of.keys() - {"door"} if not name.startswith("link-")}
    places = {*run.center_of, *run.center_of.values(), "door"}
    for event in run.of("proof"):
        odd |= {place for check in event["checks"] for place in check["subject"].split(" ")[-1].split("->")} - places
    yield "topology_was_watched", sorted(odd)
    named, excuses = run.of("primary"), run.host.excuses
    for event in named:
        for node, role in event["roles"].items():
            seen = [(row.t_ns, "primary" if row.writes else "standby" if row.ok else "down") for row in sampled.get(node, ())]
            near = {what for t, what in seen if abs(t - event.t) <= 2 * S} | {
                [what for t, what in seen if t <= event.t][-1:][0] if any(t <= event.t for t, _ in seen) else "down"
            }
            answers = [t for t, what in seen if what != "down" and event.t - S < t <= event.t]
            silent = role == "down" and not any(event.t - t > excuses.within(t, event.t) for t in answers)
            yield "primaries_were_sampled", [f"{node} as {role}"] * (role not in near and not silent)
    for node, rows in sampled.items():
        start = None
        for row in rows:
            start = (row.t_ns if start is None else start) if row.writes else None if row.ok else start
            unnamed = not any(event["node"] == node and event.t <= row.t_ns + 2 * S for event in named)
            yield "primaries_were_sampled", [node] * (row.writes and row.t_ns - (start or 0) > 2 * S and unnamed)
        lines = [line for line in run.logs.get(node, ()) if line.t > baseline[0] and "received promote request" in line.text]
        told = [event.t for event in named if event["node"] == node]
        yield "leaders_wrote_it_down", [node for line in lines if not any(line.t - CLOCKS <= t <= line.t + 30 * S for t in told)]
        times = [baseline[0], *(row.t_ns for row in rows if baseline[0] < row.t_ns < run.probe_end), run.probe_end]
        yield "samples_go_on", [node] * any(after - t > 45 * S for t, after in pairwise(times))
        terms = [(row.timeline, row.flush_lsn or 0) for row in rows if row.writes]
        yield "samples_are_dense", [node for one, after in pairwise(terms) if one[0] == after[0] and one[1] > after[1]]
    for one, event in pairwise(event for event in named if event["node"]):
        lines = [line for line in run.logs.get(event["node"], ()) if event.t - 30 * S <= line.t <= event.t + CLOCKS]
        new = event["node"] != one["node"] and event.t >= baseline[0]
        told_there = any("promot" in line.text or "selected new timeline ID" in line.text for line in lines)
        yield "leaders_wrote_it_down", [event["node"]] * (new and not told_there)
    before = [event["node"] for event in named if event.t <= baseline[0]][-1:]
    later = [event for event in named if baseline[0] < event.t < run.faults[0].before]
    before += [event["node"] for event in later if event["node"] or not excuses.within(event.t - S, event.t)]
    yield "primary_changes_belong_to_faults", sorted({str(node) for node in before})[1:]
    gaps = [after.t_ns - row.t_ns for rows in sampled.values() for row, after in pairwise(rows)]
    yield "samples_are_dense", ["the median gap"] * (bool(gaps) and median_low(gaps) > S)
    yield "no_answer_without_a_primary", answered_by_nobody(run, sampled)
    since: dict[str, int] = {}
    for row in samples:
        names = set(re.findall(r"[A-Za-z0-9_.*-]+", re.sub(r"^\s*(?:ANY|FIRST)?\s*\d+\s*\(", "(", row.sync_names)))
        states = [
            (peer["sync_state"], peer["name"] in names or "*" in names)
            for peer in row.replication or ()
            if peer["state"] == "streaming"
        ]
        if row.writes and any(
            (state, listed) in (("sync", False), ("quorum", False), ("async", True)) for state, listed in states
        ):
            yield "synchronous_as_named", [row.node] * (row.t_ns - since.setdefault(row.node, row.t_ns) > 2 * S)
        elif row.writes:
            since.pop(row.node, None)


def answered_by_nobody(run: Run, sampled: dict[str, list[Sample]]) -> Iterator[str]:
    """Payments that were sent and acknowledged while every database was watched and none wrote."""
    watched: list[Span] = [(0, NEVER)]
    for rows in sampled.values():
        near = [(row, after) for row, after in pairwise(rows) if after.t_ns - row.t_ns <= 2 * S]
        mine = Spans((row.t_ns, after.t_ns) for row, after in near if not row.slow and not after.slow)
        watched = [piece for start, end in watched for piece in mine.pieces(start, end)]
    writing = sorted(row.t_ns for rows in sampled.values() for row in rows if row.writes)
    by_center = (row for row in run.payments if row.acknowledged and row.key not in run.authorised)
    paid = sorted((row.sent_ns, row.done_ns, row.key) for row in by_center)
    for one, after in pairwise([-1, *writing, NEVER]):
        for start, end in watched if after - one > 2 * LATE else ():
            start, end = max(start, one) + LATE, min(end, after) - LATE
            yield from (
                key
                for sent, done, key in paid[bisect_left(paid, (start, 0, "")) : bisect_left(paid, (end, 0, ""))]
                if done <= end
            )


def durability(run: Run, samples: list[Sample], baseline: Span) -> Rules:
    """ "Durability"."""
    primaries, promised = run.of("primary"), run.topology["settings"].get("synchronous", "off") != "off"
    reigns = [(one["node"], one.t, after.t if after else NEVER) for one, after in pairwise([*primaries, None]) if one]
    copies = {group["name"] for group in run.topology["groups"] if group["upstream"] is not None}
    near = {node["name"] for center in run.topology["centers"] for node in center["nodes"] if node["group"] not in copies}
    for node in run.databases if "durability" in run.records else ():
        told = [event for event in run.of("durability") if event["node"] == node]
        yield "durability_was_told", [node] * (not any(event.t <= baseline[1] for event in told))
        for line in run.logs.get(node, ()) if told else ():
            found = re.search(r'parameter "(\w+)" changed to "(\w+)"', line.text)
            if found and line.t >= told[0].t and found[1] in told[0]["settings"]:
                until = line.t + 30 * S
                near_it = [event["settings"] for event in told if line.t - LATE <= event.t <= until]
                said = any(settings.get(found[1]) == found[2] for settings in near_it)
                asked = any(row.node == node and row.ok and line.t + 2 * LATE < row.t_ns < until for row in samples)
                yield "durability_was_told", [f"{node}: {found[0]}"] * (asked and not said)
        for event, after in zip(told, [*told[1:], None], strict=False):
            settings, until = event["settings"], after.t if after else NEVER
            yield "power_loss_was_provided_for", [node] * ("off" in (settings.get("fsync"), settings.get("full_page_writes")))
            waits = [one["value"] for one in event["overrides"] if one["name"] == "synchronous_commit"]
            alone = any(value in ("off", "local") for value in [settings.get("synchronous_commit"), *waits])
            reigned = any(one == node and start < until and event.t < end for one, start, end in reigns)
            wrong = promised and node in near and alone and reigned
            yield "power_loss_was_provided_for", [f"{node}, a primary"] * wrong


def lines(run: Run) -> Rules:
    """ "Lines"."""
    named = {(link["source"], link["target"]): link.get("bandwidth_kbps") for link in run.topology["links"]}
    for line in (line for event in run.of("lines") for line in event["lines"]):
        kbps, span = line["bandwidth_kbps"], line["to_ns"] - line["from_ns"]
        other = span <= 0 or named.get((line["source"], line["target"])) != kbps
        wide = not other and (line["bytes"] - 6400) * 8 * 100 * S > 105 * kbps * 1000 * span
        yield "lines_are_as_narrow_as_named", [f"{line['source']}->{line['target']}"] * (other or wide)


def events(run: Run, manifest: Data, baseline: Span) -> Rules:
    """ "Events"."""
    clock, seal, at, within = run.clock, manifest["clock"], run.clock.at, run.host.excuses.within
    apart = abs(clock.passed - clock.wall_passed) * 1000 > clock.wall_passed or wall_ns(seal["wall"]) <= clock.wall
    yield "clocks_agree", ["the plan's and the seal's"] * apart
    yield "clocks_agree", [event.seq for event in run.events if not event.t - CLOCKS <= at(event.wall) < event.t + 5 * S]
    times = [event.t for event in run.events]
    times += [value for event in run.events for name, value in event.items() if name.endswith("_ns") and fits(value, int)]
    times += [t for row in run.payments for t in row[1:4]] + [t for row in run.samples or () for t in row[:2]]
    times += [t for row in run.witness or () for t in row[:2]] + [t for read in run.reads or () for t in read[1:3]]
    times += [count[name] for count in run.counts.values() for name in ("started_ns", "stopped_ns")]
    start, end = clock.monotonic, seal["monotonic_ns"]
    yield "all_lies_between_plan_and_seal", [t for t in (min(times), max(times)) if not start <= t <= end]
    lines = [(name, line.t) for name, log_of in run.logs.items() if name != "door" for line in log_of]
    yield "all_lies_between_plan_and_seal", sorted({name for name, t in lines if not start - CLOCKS <= t <= end + CLOCKS})
    yield "story_is_whole", [kind for kind in ("ready", "baseline", "authority", "expected_copies") if not run.of(kind)]
    phases, heals = " ".join(event["name"] for event in run.of("phase")), [event["id"] for event in run.of("heal_started")]
    whole_story = re.fullmatch(r"start steady baseline (?:fault |heal )*drain readback seal", phases)
    as_often = (phases.count("fault"), phases.count("heal")) == (len(run.of("intent")), len(heals))
    yield "story_is_whole", [phases] * (not whole_story or not as_often)
    yield "story_is_whole", ["a heal without an end"] * (sorted(event["id"] for event in run.of("healed")) != sorted(heals))
    for kind, name in (("load_started", "started_ns"), ("load_stopped", "stopped_ns")):
        ran = {
            event["origin"]: event.t - run.counts[{"locust": "ledger"}.get(event["origin"], "probe")][name]
            for event in run.of(kind)
        }
        yield "story_is_whole", [kind] * (sorted(event["origin"] for event in run.of(kind)) != ["locust", "probe"])
        yield "loads_ran_as_told", [f"{kind} of {origin}" for origin, later in ran.items() if not 0 <= later <= 15 * S]
    acts = [(event["before_ns"], event["after_ns"]) for event in run.of("step", "injected")]
    steps = [
        event for event in run.of("step") if event["after_ns"] < event["before_ns"] or at(event.wall) > event["after_ns"] + 5 * S
    ]
    waits = [
        event
        for event in run.of("until")
        if event["reached"]
        and round((event["waited_s"] - event["within_s"]) * S) > LATE + within(event.t - round(event["waited_s"] * S), event.t)
    ]
    acts += [(event.t - round(event["waited_s"] * S), event.t) for event in run.of("until")]
    crossed = [
        (a, b) for a in acts for b in acts if a[0] < b[0] < a[1] < b[1] and min(a[1] - b[0], b[0] - a[0], b[1] - a[1]) > LATE
    ]
    yield "waits_are_as_long_as_told", [f"event {event.seq}" for event in steps + waits] + crossed
    late = [event["id"] for event in run.of("injected") if not -CLOCKS <= at(event.wall) - event["after_ns"] <= 5 * S]
    yield "injection_is_as_told", late
    for fault in run.faults:
        yield "proofs_came_after", [fault.id for event in run.of("proof") if event["id"] == fault.id and event.t < fault.after]
    (start, end), planned = baseline, run.load["baseline_s"] * S
    in_load = all(
        run.counts[name]["started_ns"] <= start <= end <= run.counts[name]["stopped_ns"] for name in ("probe", "ledger")
    )
    yield "baseline_is_as_planned", [f"{(end - start) / S} s"] * (not planned <= end - start <= planned + 2 * S or not in_load)
    for name, basis in run.plan["targets"]["basis"].items():
        terms = basis.partition(";")[0].split("+") if isinstance(basis, str) else []
        seconds, target = [re.findall(r"(?<![\w.])(\d+(?:\.\d+)?) s\b", term) for term in terms], run.plan["targets"].get(name)
        is_sum = len(terms) > 1 and all(len(found) == 1 for found in seconds) and target is not None
        yield (
            "targets_follow_from_their_basis",
            [name] * (is_sum and abs(sum(float(found[0]) for found in seconds) - target) > 1e-6),
        )


def witnessed(run: Run, rows: list[Witnessed], baseline: Span) -> Rules:
    """ "The witness"."""
    kinds: dict[tuple[str, int | None], list[Span]] = defaultdict(list)
    measures = [row for row in rows if row.kind in ("pressure", "cpu")]
    for row in rows:
        kinds[row.kind, row.core].append((row.from_ns, row.to_ns))
        late = row.late_ns or 0
        start = row.data.get("at_ns", row.from_ns)
        if row.kind == "wake" and late >= 20 * MS:
            outside = start < row.from_ns - 100 * MS or start + late > row.to_ns + 10 * MS
            yield "witness_rows_add_up", [f"the wake at {start}"] * outside
        yield "witness_rows_add_up", [f"the sync at {start}"] * (row.kind == "sync" and late != row.to_ns - row.from_ns)
        if late >= 200 * MS:
            end, data = start + late, [one.data for one in measures if one.from_ns < start + late and one.to_ns > start]
            felt = [1000 * sum(one.get(name, 0) for one in data) for name in ("io_some_us", "cpu_some_us")]
            felt += [sum(one.get("steal_ns", 0) for one in data)]
            felt += [p.sent_ns - p.due_ns for p in run.probe or () if start - S <= p.due_ns <= end and p.sent_ns >= start]
            yield "stalls_were_felt", [f"{late / S:.2f} s at {start}"] * (max(felt) * 20 < late)
    for start, end in run.host.slow:
        told = [row.data["io_some_us"] for row in rows if row.from_ns < end and row.to_ns > start and "io_some_us" in row.data]
        yield "stalls_were_felt", [f"slow from {start} on"] * (bool(told) and sum(told) * 1000 * 20 < end - start)
    watched = ("sync", None) in kinds and sum(kind == "wake" for kind, _ in kinds) == run.counts["witness"]["cores"]
    yield "witness_is_gapless", ["a core or the disk was not watched"] * (not watched)
    for kind, spans in kinds.items():
        spans.sort()
        gap = any(not 0 <= after[0] - one[1] <= 2 * S for one, after in pairwise(spans))
        covers = spans[0][0] <= baseline[0] and spans[-1][1] >= run.probe_end - 2 * S
        yield "witness_is_gapless", [kind] * (gap or not covers)


def check_records(run: Run) -> None:
    """Doubt 17. Where a file is missing there is a doubt already, and nothing to hold against each other."""
    if not (
        run.probe and run.locust is not None and run.samples is not None and run.door is not None and run.witness is not None
    ):
        return
    if not (run.baseline and run.faults and run.manifest and run.standing is not None and len(run.counts) == 3):
        return
    rules = (
        ledgers(run, run.probe, run.locust), door_and_ledgers(run, run.door), bank(run, run.standing, run.samples), proofs(run),
        edges(run, run.standing),
        faults(run, run.samples, run.baseline), nodes(run, run.samples, run.baseline),
        restores(run, run.samples, run.baseline), durability(run, run.samples, run.baseline),
        events(run, run.manifest, run.baseline), witnessed(run, run.witness, run.baseline), lines(run),
    )  # fmt: skip
    found: dict[str, list[str]] = defaultdict(list)
    for part in rules:
        for name, against in part:
            found[name] += map(str, against)
    for name, texts in found.items():
        run.doubt_if(texts, f"{name}: {', '.join(texts[:3])}" + (f" and {len(texts) - 3} more" if len(texts) > 3 else ""))


# ---- The verifier ----------------------------------------------------------------------------------------------------------


def verify(path: Path) -> Data:
    """The verdict on a run of version 2. Raises Damaged where there is none to judge."""
    run = Run(path)
    run.doubt_if(run.plan["evidence_version"] != 2, f"plan: version {run.plan['evidence_version']} is not known")
    read_all(run)
    find_faults(run)
    for check in (
        check_seal, check_witness, check_body, check_probe, check_customers, check_baseline, check_faults, check_copies,
        check_exempt_keys, check_autopsies, check_edges, check_records,
    ):  # fmt: skip
        check(run)
    host = run.host
    figures, measured = measure(run, host)
    verdict = verdict_of(run, host, figures, measured)
    wrong = {"doubts": run.doubts, "breaches": run.breaches, "undecided": run.undecided}
    return {"verdict": verdict, **wrong, "figures": figures, "faults": [told(run, one) for one in measured]}


def main(arguments: Sequence[str]) -> int:
    if len(arguments) != 1:
        print("usage: python verifier.py RUN", file=sys.stderr)
        return 2
    try:
        found, code = verify(Path(arguments[0])), 0
    except (Damaged, OSError) as error:
        found, code = {"verdict": None, "doubts": [f"plan.json: {error}"], "breaches": [], "figures": None, "faults": []}, 2
    print(json.dumps(found, indent=2))
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
