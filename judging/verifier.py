"""An independent verifier of one run of Drillbook: it judges a directory of evidence by `docs/evidence.md` alone.

Usage: python verifier.py RUN

It prints JSON: the verdict, every doubt and breach in words, and every figure. It needs Python 3.11 and nothing else, shares no
code with the judge of Drillbook, and follows the page from top to bottom; each part names its section there.
Version 2 only. Exit code 0 when a verdict could be printed, 2 when there is no run of version 2.

All times are whole nanoseconds of the monotonic clock unless a name ends in `_s` (seconds), `_ms`, or says `wall`.
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
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache, partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from random import Random
from statistics import median_low
from typing import Any, NamedTuple
from urllib.parse import unquote

S = 1_000_000_000  # a second
MS = 1_000_000
LATE = S  # B of the page: what a busy machine may be late
CLOCKS = 50 * MS  # C of the page: what clocks may differ
WATCH = 10 * S  # service is back when it was in order for so long
UNPACKED_LIMIT = 2 << 30  # bytes; no run's table is larger, and a bomb must not fill the memory

Span = tuple[int, int]
Data = dict[str, Any]


class Damaged(Exception):
    """A file is not what the page says; the text says how."""


# ---- "Clocks", and reading text, JSON and CSV as the page's beginning says -------------------------------------------------

_WALL = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)")


@lru_cache(maxsize=4096)
def _second(day: str, clock: str, zone: str) -> int:
    zone = "+00:00" if zone == "Z" else zone if len(zone) > 3 else zone + ":00"
    return int(datetime.fromisoformat(f"{day}T{clock}{zone}").timestamp())


def wall_ns(text: str, start: int = 0, whole: bool = True) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time. Raises Damaged."""
    found = _WALL.match(text, start)
    if not found or (whole and found.end() != len(text)):
        raise Damaged(f"no wall time: {text[start : start + 40]!r}")
    day, clock, fraction, zone = found.groups()
    try:
        return _second(day, clock, zone) * S + int((fraction or "").ljust(9, "0"))
    except ValueError as error:
        raise Damaged(str(error)) from error


class Clock(NamedTuple):
    """Wall to monotonic time: the plan's pair, and how much of the one passes in how much of the other."""

    monotonic: int
    wall: int
    passed: int
    wall_passed: int

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


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def is_wall(value: Any) -> bool:
    try:
        return isinstance(value, str) and wall_ns(value) >= 0
    except Damaged:
        return False


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON value has a shape: a type, a test, {name: shape}, [shape of each], (one of these), or a constant."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(name in value and fits(value[name], inner) for name, inner in shape.items())
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(item, shape[0]) for item in value)
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if shape is int:
        return is_int(value)
    if shape is float:
        return is_number(value)
    if isinstance(shape, type):
        return isinstance(value, shape)
    if callable(shape):
        return bool(shape(value))
    return type(value) is type(shape) and bool(value == shape)


# ---- Shapes: "plan.json", "manifest.json", "events.jsonl", "Counts", "witness.json" ----------------------------------------


def is_hash(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{64}", value))


def above_zero(value: Any) -> bool:
    return is_number(value) and value > 0


def not_negative(value: Any) -> bool:
    return is_number(value) and value >= 0


CLOCK = {"monotonic_ns": int, "wall": is_wall}
TARGETS = ("rto_s", "rpo_s", "lost_transactions", "interruption_s", "detect_s", "unprotected_s", "availability")
PLANNED = (
    {"kind": "fault", "name": str, "target": str, "args": dict},
    {"kind": "until", "condition": str, "within_s": float},
    {"kind": "step", "name": str, "role": ("detect", "decide", "promote", "reroute", None)},
)
CENTER = {"name": str, "region": str, "nodes": [{"name": str, "kind": str}]}
LOAD = {
    "probe_interval_ms": above_zero,
    "probe_timeout_s": above_zero,
    "customers": int,
    "customer_rate_per_s": float,
    "pay_share": float,
    "baseline_s": float,
    "service_level_s": above_zero,
}
PLAN = {
    "evidence_version": int,
    "drill": str,
    "claim": str,
    "run_id": str,
    "seed": int,
    "topology": {"name": str, "centers": [CENTER], "links": [{"source": str, "target": str}], "settings": dict},
    "targets": {**dict.fromkeys(TARGETS, (None, float)), "basis": dict},
    "load": LOAD,
    "body": (None, [PLANNED]),
    "witness": (None, dict),
    "environment_class": str,
    "drill_kind": str,
    "environment": dict,
    "clock": CLOCK,
}
MANIFEST = {"evidence_version": int, "run_id": str, "sealed_at": is_wall, "clock": CLOCK, "files": dict, "chain_head": is_hash}
SEALED = {"bytes": int, "sha256": is_hash}
PROBE_COUNT = {
    "scheduled": int,
    "recorded": int,
    "interval_ms": float,
    "started_ns": int,
    "stopped_ns": int,
    "late_ms_max": not_negative,
    "completed": bool,
}
LOCUST_COUNT = {"recorded": int, "locust_requests": int, "looks": int, "started_ns": int, "stopped_ns": int, "completed": bool}
WITNESS_COUNT = {"started_ns": int, "stopped_ns": int, "rows": int, "completed": bool, "cores": int, "degraded": [str]}
EVENT = {"seq": int, "t_ns": int, "wall": is_wall, "source": str, "kind": str, "text": str, "data": dict, "prev": str}
SOURCES = {"harness", "databases", "dcs", "door", "customers", "hands", "host"}
PHASES = ("start", "steady", "baseline", "fault", "heal", "drain", "readback", "seal")
CHECK = {"subject": str, "side": ("victim", "bystander"), "expected": str, "seen": str, "ok": bool}
KEYS = {"count": int, "sha256": is_hash}
EVENTS: dict[str, Any] = {
    "plan_registered": {"sha256": is_hash},
    "phase": {"name": PHASES},
    "ready": {},
    "books_closed": {"node": str, "payments": int, "sha256": is_hash},
    "baseline": {"from_ns": int, "to_ns": int},
    "intent": {"id": str, "name": str, "target": str, "args": dict, "effect": {"down": [str], "cut": [str]}},
    "injected": {"id": str, "before_ns": int, "after_ns": int},
    "proof": {"id": str, "proved": bool, "checks": [CHECK]},
    "reach": {"moment": ("before", "during", "after"), "cells": [{"source": str, "target": str, "ok": bool}]},
    "primary": {"node": (None, str), "roles": dict},
    "durability": {"node": str, "settings": dict, "overrides": [{"place": str, "name": str, "value": str}]},
    "leader_key": {"store": str, "leader": (None, str), "seen_before_ns": int},
    "step": {"name": str, "role": PLANNED[2]["role"], "before_ns": int, "after_ns": int, "ok": bool},
    "damage": {"node": str, "pages": list},
    "until": {"condition": str, "within_s": float, "reached": bool, "waited_s": float},
    "heal_started": {"id": str},
    "healed": {"id": str, "ok": bool},
    "load_started": {"origin": ("probe", "locust")},
    "load_stopped": {"origin": ("probe", "locust")},
    "authority": {"node": str},
    "expected_copies": {"nodes": [str]},
    "exempt_keys": {"observers": KEYS, "ready": KEYS},
    "autopsy": {"node": str, "payments": int, "end_lsn": (None, int)},
    "door_log": {"payments": int, "dropped": (None, int)},
    "by_hand": {"act": str},
}


class Event(NamedTuple):
    seq: int
    t: int
    wall: int
    kind: str
    data: Data


class Payment(NamedTuple):
    """A row of a ledger."""

    key: str
    due: int
    sent: int
    done: int
    status: int | None
    outcome: str
    debit: str
    credit: str
    amount: int
    error: str

    @property
    def acknowledged(self) -> bool:
        return self.outcome == "acknowledged"


class Sample(NamedTuple):
    asked: int
    t: int
    node: str
    ok: bool
    writes: bool
    timeline: int | None
    flush: int | None
    sync_names: str
    replication: list[Data]
    slow: bool  # its time was over: it may write all the same


class Witnessed(NamedTuple):
    start: int
    end: int
    kind: str
    core: str
    late: int | None
    data: Data


class Read(NamedTuple):
    key: str
    sent: int
    done: int
    status: int | None


class DoorLine(NamedTuple):
    key: str
    status: int
    at: int
    end: int | None
    state: str


class LogLine(NamedTuple):
    """A line of a server's log: when the engine received it, and what it says."""

    t: int
    wall: int
    text: str


class Stored(NamedTuple):
    """A row of a table of payments."""

    key: str
    debit: str
    credit: str
    amount: int
    committed: int


@dataclass
class Copy:
    """The tables of one copy that could be read, and the hash of each as text."""

    hashes: dict[str, str] = field(default_factory=dict)
    payments: list[Stored] | None = None
    entries: list[tuple[str, str, int]] | None = None
    accounts: list[tuple[str, int, int]] | None = None


@dataclass
class Fault:
    """An injected fault, and what was done about it."""

    id: str
    before: int
    after: int
    told: int  # when its `injected` event was written
    name: str = ""
    target: str = ""
    args: Data = field(default_factory=dict)
    down: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    intent: Event | None = None
    window_end: int = 0
    next_before: int | None = None
    heal_started: int | None = None
    heal_ended: int | None = None
    healed: bool | None = None
    proof: Event | None = None


@dataclass
class Run:
    """All that could be read of a run, and what was found wrong with it."""

    path: Path
    doubts: list[str] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    plan: Data = field(default_factory=dict)
    plan_hash: str = ""
    manifest: Data | None = None
    clock: Clock = field(default_factory=lambda: Clock(0, 0, 1, 1))
    events: list[Event] = field(default_factory=list)
    probe: list[Payment] | None = None
    locust: list[Payment] | None = None
    probe_count: Data | None = None
    locust_count: Data | None = None
    samples: list[Sample] | None = None
    witness: list[Witnessed] | None = None
    witness_count: Data | None = None
    reads: list[Read] | None = None
    door: list[DoorLine] | None = None
    copies: dict[str, Copy] = field(default_factory=dict)
    autopsies: dict[str, list[Stored]] = field(default_factory=dict)
    logs: dict[str, list[LogLine]] = field(default_factory=dict)
    door_words: list[LogLine] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    authority: str | None = None
    baseline: Span | None = None

    def doubt(self, text: str) -> None:
        self.doubts.append(text)

    def records(self, what: str) -> bool:
        """Whether the plan has it in `records`; runs of before have none."""
        return what in self.plan.get("records", [])

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    @property
    def interval(self) -> int:
        interval_ms: float = self.plan["load"]["probe_interval_ms"]
        return round(interval_ms * MS)

    @property
    def level(self) -> int:
        level_s: float = self.plan["load"]["service_level_s"]
        return round(level_s * S)

    @property
    def center_of(self) -> dict[str, str]:
        return {node["name"]: center["name"] for center in self.plan["topology"]["centers"] for node in center["nodes"]}

    @property
    def databases(self) -> list[str]:
        nodes = (node for center in self.plan["topology"]["centers"] for node in center["nodes"])
        return [node["name"] for node in nodes if node["kind"] == "postgres"]

    @property
    def probe_end(self) -> int:
        """The last due time plus the interval."""
        return max(payment.due for payment in self.probe or ()) + self.interval

    @property
    def payments(self) -> list[Payment]:
        return (self.probe or []) + (self.locust or [])

    @property
    def stored(self) -> list[Stored] | None:
        """The authority's payments, where they could be read."""
        copy = self.copies.get(self.authority or "")
        return copy.payments if copy else None

    def exempt(self, key: str) -> bool:
        return key.startswith(("observer-", f"{self.plan['run_id']}-ready-"))


# ---- "Files" and "Damage": each file is read alone; what is wrong with it is a doubt that names it -------------------------


def read_bytes(run: Run, name: str) -> bytes:
    path = run.path / name
    if path.is_symlink() or not path.is_file():
        raise Damaged("it is missing")
    data = path.read_bytes()
    if not name.endswith(".gz"):
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, UNPACKED_LIMIT)
    except zlib.error as error:
        raise Damaged(f"no gzip: {error}") from error
    if not unpacker.eof or unpacker.unused_data:
        raise Damaged("not one whole gzip stream")
    return text


def as_text(data: bytes) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"no UTF-8: {error}") from error
    if text and not text.endswith("\n"):
        raise Damaged("it ends in the middle of a line")
    return text


def read_json(run: Run, name: str, shape: Any) -> Any:
    try:
        value = parse_json(read_bytes(run, name).decode())
    except UnicodeDecodeError as error:
        raise Damaged(f"no UTF-8: {error}") from error
    if not fits(value, shape):
        raise Damaged("it is not what the page says")
    return value


def rows_of(data: bytes, columns: str) -> Iterator[list[str]]:
    """The rows of a CSV file behind its header. Raises Damaged."""
    text = as_text(data)
    if "\r" in text or "\0" in text:
        raise Damaged("it holds a carriage return or a NUL")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    width = columns.count(",") + 1
    try:
        if next(reader, None) != columns.split(","):
            raise Damaged("it has other columns")
        for row in reader:
            if len(row) != width:
                raise Damaged(f"line {reader.line_num} has {len(row)} fields, not {width}")
            yield row
    except csv.Error as error:
        raise Damaged(f"line {reader.line_num}: {error}") from error


_WHOLE = re.compile(r"-?[0-9]{1,19}")


def whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Damaged(f"no whole number: {text[:40]!r}")
    return int(text)


def whole_or_none(text: str) -> int | None:
    return whole(text) if text else None


def outcome_of(status: int | None) -> str:
    return "acknowledged" if status in (200, 201) else "refused" if status in (409, 422, 503) else "unknown"


def read_ledger(run: Run, name: str) -> list[Payment]:
    """A ledger; one that contradicts itself counts as unreadable."""
    payments, keys = [], set()
    for row in rows_of(read_bytes(run, name), "key,due_ns,sent_ns,done_ns,status,outcome,debit,credit,amount_minor,error"):
        key, due, sent, done, status, outcome, debit, credit, amount, error = row
        payment = Payment(
            key, whole(due), whole(sent), whole(done), whole_or_none(status), outcome, debit, credit, whole(amount), error
        )
        if not key or key in keys:
            raise Damaged(f"the key {key!r} stands twice, or is empty")
        if outcome_of(payment.status) != outcome or payment.done < payment.sent:
            raise Damaged(f"the row of {key} contradicts itself")
        keys.add(key)
        payments.append(payment)
    return payments


def read_samples(run: Run) -> list[Sample]:
    columns = "asked_ns,t_ns,node,ok,in_recovery,timeline,flush_lsn,replay_lsn,sync_names,replication,error"
    peer = [{"name": str, "state": str, "sync_state": str, "flush_lsn": (None, int)}]
    samples = []
    for asked, t, node, ok, recovery, timeline, flush, replay, names, replication, error in rows_of(
        read_bytes(run, "samples.csv"), columns
    ):
        peers = parse_json(replication) if replication not in ("", "[]") else []
        if ok not in "01" or recovery not in ("", "0", "1") or not ok or not fits(peers, peer) or whole(t) < whole(asked):
            raise Damaged(f"the sample of {node} at {t} is not as the page says")
        whole_or_none(replay)
        up = ok == "1"
        samples.append(
            Sample(
                whole(asked),
                whole(t),
                node,
                up,
                up and recovery == "0",
                whole_or_none(timeline),
                whole_or_none(flush),
                names,
                peers,
                re.search("no answer|time", error, re.IGNORECASE) is not None,
            )
        )
    return sorted(samples, key=lambda sample: (sample.t, sample.node))


def read_witness(run: Run) -> list[Witnessed]:
    rows, shapes = [], {"wake": {"at_ns": int}, "sync": {}, "pressure": {}, "cpu": {}}
    for start, end, kind, core, late, text in rows_of(read_bytes(run, "witness.csv"), "from_ns,to_ns,kind,core,late_ns,data"):
        data = parse_json(text) if text != "{}" else {}
        row = Witnessed(whole(start), whole(end), kind, core, whole_or_none(late), data)
        timed = kind in ("wake", "sync")
        if kind not in shapes or not fits(data, shapes[kind]) or row.end < row.start or (row.late is None) == timed:
            raise Damaged(f"the row at {start} is not as the page says")
        if (core != "") != (kind == "wake") or not all(is_int(value) for value in data.values()) or (row.late or 0) < 0:
            raise Damaged(f"the row at {start} is not as the page says")
        rows.append(row)
    return rows


_DOOR = re.compile(r"pay key=(\S+) status=(-?\d{1,9}) at=(\d{1,12})\.(\d{3}) took=(-?\d{1,12}) end=(\S\S)$")


def read_reads(run: Run) -> list[Read]:
    rows = rows_of(read_bytes(run, "reads.csv"), "key,sent_ns,done_ns,status")
    reads = [Read(key, whole(sent), whole(done), whole_or_none(status)) for key, sent, done, status in rows]
    if any(read.done < read.sent for read in reads):
        raise Damaged("a read ended before it was sent")
    return reads


def read_door(run: Run) -> list[DoorLine]:
    lines = []
    for number, line in enumerate(as_text(read_bytes(run, "logs/door.log")).split("\n"), 1):
        start = line.find("pay key=")
        if start < 0:
            continue
        found = _DOOR.match(line, start)
        if not found:
            raise Damaged(f"line {number} is no line of a payment")
        key, status, seconds, thousandths, took, state = found.groups()
        at = run.clock.at(int(seconds) * S + int(thousandths) * MS)
        lines.append(DoorLine(unquote(key), int(status), at, at + int(took) * MS if took != "-1" else None, state))
    return lines


def read_stored(run: Run, name: str) -> list[Stored]:
    return stored_payments(read_bytes(run, name))


def stored_payments(data: bytes) -> list[Stored]:
    rows = [
        Stored(key, debit, credit, whole(amount), wall_ns(committed))
        for key, debit, credit, amount, committed in rows_of(data, "key,debit,credit,amount_minor,committed_at")
    ]
    if any(one.key.encode() > other.key.encode() for one, other in pairwise(rows)):
        raise Damaged("its rows are not sorted")
    return rows


def stored_entries(data: bytes) -> list[tuple[str, str, int]]:
    rows = [(key, account, whole(amount)) for key, account, amount in rows_of(data, "key,account,amount_minor")]
    keys = [(key.encode(), account.encode()) for key, account, _ in rows]
    if keys != sorted(keys):
        raise Damaged("its rows are not sorted")
    return rows


def stored_accounts(data: bytes) -> list[tuple[str, int, int]]:
    rows = [(name, whole(opening), whole(balance)) for name, opening, balance in rows_of(data, "id,opening_minor,balance_minor")]
    if [row[0] for row in rows] != sorted((row[0] for row in rows), key=str.encode):
        raise Damaged("its rows are not sorted")
    return rows


def read_log(run: Run, name: str) -> list[LogLine]:
    """A server's log; a line that does not begin with a time is none of it. The door's payments are left out."""
    lines: list[LogLine] = []
    for text in read_bytes(run, name).decode(errors="replace").split("\n"):
        if text and "pay key=" not in text:
            with suppress(Damaged):
                wall = wall_ns(text, whole=False)
                lines.append(LogLine(run.clock.at(wall), wall, text))
    return lines


def attempt(run: Run, name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (Damaged, OSError) as error:
        run.doubt(f"{name}: {error}")
        return None


def read_plan(path: Path) -> Run:
    """The plan, without which there is no verdict. Raises Damaged."""
    run = Run(path)
    raw = read_bytes(run, "plan.json")
    version = parse_json(raw.decode(errors="replace"))
    if isinstance(version, dict) and version.get("evidence_version") == 1:
        raise Damaged("a run of version 1; this verifier judges version 2")
    run.plan = read_json(run, "plan.json", PLAN)
    if not fits(run.plan.get("records", []), [("durability", "reads")]):
        raise Damaged("its records are not as the page says")
    run.plan_hash = hashlib.sha256(raw).hexdigest()
    return run


def read_run(run: Run) -> None:
    check_seal(run)
    pair, seal = run.plan["clock"], (run.manifest or run.plan)["clock"]
    walls = wall_ns(pair["wall"]), wall_ns(seal["wall"])
    passed, wall_passed = seal["monotonic_ns"] - pair["monotonic_ns"], walls[1] - walls[0]
    sound = passed > 0 and wall_passed > 0
    run.clock = Clock(pair["monotonic_ns"], walls[0], passed if sound else 1, wall_passed if sound else 1)
    attempt(run, "events.jsonl", lambda: read_events(run))
    run.probe = attempt(run, "probe.csv", lambda: read_ledger(run, "probe.csv")) or None
    run.probe_count = attempt(run, "probe.json", lambda: read_json(run, "probe.json", PROBE_COUNT))
    run.locust = attempt(run, "ledger.csv", lambda: read_ledger(run, "ledger.csv"))
    run.locust_count = attempt(run, "ledger.json", lambda: read_json(run, "ledger.json", LOCUST_COUNT))
    run.samples = attempt(run, "samples.csv", lambda: read_samples(run))
    if run.plan["witness"] is not None:
        run.witness = attempt(run, "witness.csv", lambda: read_witness(run))
        run.witness_count = attempt(run, "witness.json", lambda: read_json(run, "witness.json", WITNESS_COUNT))
    if run.records("reads"):
        run.reads = attempt(run, "reads.csv", lambda: read_reads(run))
    run.door = attempt(run, "logs/door.log", lambda: read_door(run))
    run.door_words = read_log(run, "logs/door.log") if run.door is not None else []
    for log in sorted((run.path / "logs").glob("*.log")):
        if log.stem != "door":
            run.logs[log.stem] = attempt(run, f"logs/{log.name}", partial(read_log, run, f"logs/{log.name}")) or []
    read_copies(run)
    for file in sorted((run.path / "autopsy").glob("*.payments.csv.gz")):
        name = f"autopsy/{file.name}"
        rows = attempt(run, name, partial(read_stored, run, name))
        if rows is not None:
            run.autopsies[file.name.removesuffix(".payments.csv.gz")] = rows


def read_copies(run: Run) -> None:
    """Every copy that must be there. Equal copies are parsed once, and share what was parsed."""
    authorities = run.of("authority")
    run.authority = authorities[0].data["node"] if len(authorities) == 1 else None
    parsed: dict[tuple[str, str], Any] = {}
    parsers = {"payments": stored_payments, "entries": stored_entries, "accounts": stored_accounts}
    expected = {node for event in run.of("expected_copies") for node in event.data["nodes"]}
    for node in sorted(expected | ({run.authority} if run.authority else set())):
        copy = run.copies[node] = Copy()
        for table, parser in parsers.items():
            name = f"copies/{node}.{table}.csv.gz"
            data = attempt(run, name, partial(read_bytes, run, name))
            if data is not None:
                known = copy.hashes[table] = hashlib.sha256(data).hexdigest()
                if (table, known) not in parsed:
                    parsed[table, known] = attempt(run, name, partial(parser, data))
                setattr(copy, table, parsed[table, known])


# ---- Doubts 1 to 5: "manifest.json" and "events.jsonl" ---------------------------------------------------------------------

FIGURES_COME_FROM = {
    "plan.json", "events.jsonl", "probe.csv", "probe.json", "ledger.csv", "ledger.json", "samples.csv", "witness.csv",
    "witness.json", "logs/door.log",
}  # fmt: skip


def check_seal(run: Run) -> None:
    """1: the seal. A name that leads out of the run, or through a link, is a file that is missing."""
    manifest = run.manifest = attempt(run, "manifest.json", lambda: read_json(run, "manifest.json", MANIFEST))
    if manifest is None:
        return
    for name, sealed in manifest["files"].items():
        path = run.path / name
        if not fits(sealed, SEALED) or name.startswith("/") or ".." in PurePosixPath(name).parts:
            run.doubt(f"seal: the entry {name!r} is not as the page says")
        elif path.is_symlink() or not path.is_file():
            run.doubt(f"seal: {name} is missing")
        else:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sealed["sha256"] or file.tell() != sealed["bytes"]:
                    run.doubt(f"seal: {name} has changed")
    needed = set(FIGURES_COME_FROM)
    if run.plan["witness"] is None:
        needed -= {"witness.csv", "witness.json"}
    needed |= {"reads.csv"} if run.records("reads") else set()
    for folder in ("copies", "autopsy", "logs"):
        needed |= {f"{folder}/{file.name}" for file in (run.path / folder).glob("*")}
    needed = {name for name in needed if not name.rpartition("/")[2].startswith(".")}
    run.doubts += [f"seal: {name} is not in it" for name in sorted(needed - manifest["files"].keys())]
    if (manifest["evidence_version"], manifest["run_id"]) != (run.plan["evidence_version"], run.plan["run_id"]):
        run.doubt("seal: it names another version or run than the plan")
    if "by-hand.jsonl" in manifest["files"] or (run.path / "by-hand.jsonl").exists():
        run.doubt("events: somebody worked on the topology by hand (by-hand.jsonl)")


def read_events(run: Run) -> None:
    """3, 4, 5: the plan's hash, the events that can be read, the chain."""
    raw = read_bytes(run, "events.jsonl")
    lines = raw.split(b"\n")
    if lines.pop() != b"":
        run.doubt("events.jsonl: it ends in the middle of a line")
    before, expected = run.plan_hash, 0
    for number, line in enumerate(lines):
        event = attempt(run, f"events.jsonl line {number + 1}", partial(parse_event, line))
        here, digest = before, hashlib.sha256(line).hexdigest()
        before = digest
        if event is None:
            continue
        if event["prev"] != here:
            run.doubt(f"chain: the link of event {event['seq']} is not the hash of the line before it")
        if event["seq"] != expected:
            run.doubt(f"events: {event['seq']} stands where {expected} should")
        expected = event["seq"] + 1
        if event["source"] not in SOURCES or not fits(event["data"], EVENTS.get(event["kind"], {})):
            run.doubt(f"events: the data of event {event['seq']} ({event['kind']}) are not as the page says")
            continue
        run.events.append(Event(event["seq"], event["t_ns"], wall_ns(event["wall"]), event["kind"], event["data"]))
    run.events.sort(key=lambda event: event.seq)
    if run.manifest and run.manifest["chain_head"] != before:
        run.doubt("chain: its head is not that of the seal")
    first = run.events[0] if run.events else None
    if first is None or first.kind != "plan_registered" or first.data["sha256"] != run.plan_hash:
        run.doubt("plan: it is not the one that was registered by the first event")
    for event in run.of("interrupted", "error", "by_hand"):
        run.doubt(f"events: {event.kind}: {event.data.get('error') or event.data.get('act') or ''}")
    baselines = run.of("baseline")
    run.baseline = (baselines[-1].data["from_ns"], baselines[-1].data["to_ns"]) if baselines else None


def parse_event(line: bytes) -> Data:
    try:
        event: Data = parse_json(line.decode())
    except UnicodeDecodeError as error:
        raise Damaged(f"no UTF-8: {error}") from error
    if not fits(event, EVENT):
        raise Damaged("no event")
    return event


# ---- "How the other figures follow": faults and their windows; doubts 11 and 12 --------------------------------------------


def find_faults(run: Run) -> None:
    intents = {event.data["id"]: event for event in reversed(run.of("intent"))}
    for event in run.of("injected"):
        fault = Fault(event.data["id"], event.data["before_ns"], event.data["after_ns"], event.t)
        intent = fault.intent = intents.get(fault.id)
        if intent:
            fault.name, fault.target, fault.args = intent.data["name"], intent.data["target"], intent.data["args"]
            fault.down, fault.cut = intent.data["effect"]["down"], intent.data["effect"]["cut"]
        run.faults.append(fault)
    run.faults.sort(key=lambda fault: fault.before)
    for fault, after in zip(run.faults, [*run.faults[1:], None], strict=False):
        fault.next_before = after.before if after else None
        heals = [event.t for event in run.of("heal_started") if event.data["id"] == fault.id and event.t > fault.before]
        fault.heal_started = heals[0] if heals else None
        ended = [event for event in run.of("healed") if event.data["id"] == fault.id and event.t > fault.before]
        fault.heal_ended, fault.healed = (ended[0].t, ended[0].data["ok"]) if ended else (None, False if heals else None)
        proofs = [
            event
            for event in run.of("proof")
            if event.data["id"] == fault.id and fault.before <= event.t and (not heals or event.t < heals[0])
        ]
        fault.proof = proofs[-1] if proofs else None
        if run.probe:
            fault.window_end = min(heals[0] if heals else after.before if after else run.probe_end, run.probe_end)


def check_faults(run: Run) -> None:
    """11 and 12."""
    if not run.faults:
        run.doubt("fault: none was injected")
    told, meant = Counter(fault.id for fault in run.faults), Counter(event.data["id"] for event in run.of("intent"))
    for name in sorted(told.keys() | meant.keys()):
        if told[name] != 1 or meant[name] != 1:
            run.doubt(f"fault {name}: {meant[name]} intents and {told[name]} injections")
    for fault in run.faults:
        if fault.intent and not fault.intent.t <= fault.before <= fault.told:
            run.doubt(f"fault {fault.id}: it was not injected between its intent and its event")
        if fault.after < fault.before:
            run.doubt(f"fault {fault.id}: it ended before it began")
        run.doubts += [f"fault {fault.id}: {text}" for text in proof_gaps(run, fault)]


def proof_gaps(run: Run, fault: Fault) -> Iterator[str]:
    if fault.proof is None:
        yield "there is no proof of it"
        return
    checks = fault.proof.data["checks"]
    victims = {check["subject"] for check in checks if check["side"] == "victim"}
    bystanders = {check["subject"] for check in checks if check["side"] == "bystander"}
    if not fault.proof.data["proved"] or not all(check["ok"] for check in checks):
        yield "it is not proved"
    if not victims or not bystanders:
        yield "its proof has no victim or no bystander"
    for subject in sorted({*fault.down, *fault.cut} - victims):
        yield f"its proof leaves out {subject}"
    for subject in sorted(run.center_of.keys() - set(fault.down) - bystanders):
        yield f"its proof leaves out the bystander {subject}"


# ---- Doubts 6 to 10 and 13 to 16 -------------------------------------------------------------------------------------------


def check_witness(run: Run) -> None:
    """6."""
    if run.plan["witness"] is None:
        run.doubt("witness: the plan promises none")
    elif run.witness is not None and run.witness_count is not None:
        if not run.witness_count["completed"]:
            run.doubt("witness: it did not stop in order")
        if run.witness_count["rows"] != len(run.witness):
            run.doubt(f"witness: it counted {run.witness_count['rows']} rows, there are {len(run.witness)}")


def check_body(run: Run) -> None:
    """7: "The registered body"."""
    if run.plan["body"] is None:
        run.doubt("body: none was registered")
        return
    body, done, primary = run.plan["body"], 0, None
    for event in run.of("primary", "intent", "until", "step"):
        if event.kind == "primary":
            primary = event.data["node"]
            continue
        planned = body[done] if done < len(body) else {"kind": "nothing more"}
        if not is_planned(planned, event, primary):
            run.doubt(f"body: act {done + 1} ({event.kind}) is not the one that was registered ({planned['kind']})")
            return
        done += 1
    if done < len(body) and not run.of("interrupted", "error"):
        run.doubt(f"body: {done} acts were done, {len(body)} were registered")


def is_planned(planned: Data, event: Event, primary: str | None) -> bool:
    if event.kind == "intent" and planned["kind"] == "fault":
        target = primary if planned["target"] == "primary" else planned["target"]
        args = {name: primary if value == "primary" else value for name, value in planned["args"].items()}
        wanted: Data = {"name": planned["name"], "target": target, "args": args}
    elif event.kind == planned["kind"]:
        wanted = {name: value for name, value in planned.items() if name in ("condition", "within_s", "name", "role")}
    else:
        return False
    return all(event.data[name] == value for name, value in wanted.items())


def check_probe(run: Run) -> None:
    """8."""
    count, rows = run.probe_count, run.probe
    if rows is None or count is None:
        return
    if not count["scheduled"] == count["recorded"] == len(rows):
        run.doubt(f"probe: {count['scheduled']} scheduled, {count['recorded']} counted, {len(rows)} rows")
    if not count["completed"]:
        run.doubt("probe: it did not stop in order")
    if count["interval_ms"] != run.plan["load"]["probe_interval_ms"]:
        run.doubt("probe: another interval than the plan's")
    if any(payment.sent - payment.due > S for payment in rows):
        run.doubt("probe: a payment was sent over 1 s late")
    by_key = {payment.key: payment for payment in rows}
    missing = [i for i in range(min(count["scheduled"], 10_000_000)) if f"{run.plan['run_id']}-p-{i:07d}" not in by_key]
    if missing:
        run.doubt(f"probe: {len(missing)} payments of the schedule are not there")
    first = min(payment.due for payment in rows)
    for payment in rows:
        number = payment.key.rpartition("-")[2]
        if number.isdecimal() and abs(payment.due - first - int(number) * run.interval) > 1000:
            run.doubt(f"probe: {payment.key} was not due when the schedule says")
            break
    if not 0 <= first - count["started_ns"] < run.interval or run.probe_end - run.interval >= count["stopped_ns"]:
        run.doubt("probe: its schedule does not lie between its start and its end")


def check_customers(run: Run) -> None:
    """9."""
    if run.locust is not None and run.locust_count is not None:
        count = run.locust_count
        if not count["locust_requests"] == count["recorded"] == len(run.locust):
            run.doubt(
                f"customers: Locust counted {count['locust_requests']}, {count['recorded']} recorded, {len(run.locust)} rows"
            )
        if not count["completed"]:
            run.doubt("customers: Locust did not stop in order")
        if run.reads is not None and count.get("reads") != len(run.reads):
            run.doubt(f"customers: Locust counted {count.get('reads')} reads, {len(run.reads)} rows")
    if {payment.key for payment in run.probe or ()} & {payment.key for payment in run.locust or ()}:
        run.doubt("customers: a key was used by the probe, too")


def check_baseline(run: Run) -> None:
    """10."""
    if run.baseline is None:
        run.doubt("baseline: none")
        return
    start, end = run.baseline
    due = [payment for payment in run.probe or () if start <= payment.due < end]
    acknowledged = sum(payment.acknowledged for payment in due)
    if run.probe and (acknowledged < 2 or 20 * acknowledged < 19 * len(due)):
        run.doubt(f"baseline: {acknowledged} of {len(due)} payments acknowledged")
    if any(fault.before < end and start <= fault.after for fault in run.faults):
        run.doubt("baseline: a fault inside it")


def check_copies(run: Run) -> None:
    """14."""
    if run.authority is None:
        run.doubt(f"copies: {len(run.of('authority'))} authorities")
    expected = {node for event in run.of("expected_copies") for node in event.data["nodes"]}
    if run.authority is not None and run.authority not in expected:
        run.doubt("copies: the authority is not expected")
    run.doubts += [f"copies: {node} was not expected" for node in sorted(set(run.databases) - expected)]


def check_exempt_keys(run: Run) -> None:
    """15: "Exempt keys"."""
    told = run.of("exempt_keys")
    if len(told) != 1:
        run.doubt(f"exempt keys: told {len(told)} times")
    stored = run.stored
    if stored is None or len(told) != 1:
        return
    for kind, prefix in (("observers", "observer-"), ("ready", f"{run.plan['run_id']}-ready-")):
        keys = sorted(row.key.encode() for row in stored if row.key.startswith(prefix))
        found = {"count": len(keys), "sha256": hashlib.sha256(b"\n".join(keys)).hexdigest()}
        if any(told[0].data[kind][name] != value for name, value in found.items()):
            run.doubt(f"exempt keys: the {kind} are others than the authority said")


def check_autopsies(run: Run) -> None:
    """16."""
    known = {payment.key for payment in run.payments}
    told = {event.data["node"]: event.data["payments"] for event in run.of("autopsy")}
    for node in sorted(told.keys() | run.autopsies.keys()):
        rows = run.autopsies.get(node)
        if rows is None or told.get(node) != len(rows):
            run.doubt(f"autopsy of {node}: {told.get(node)} payments counted, {None if rows is None else len(rows)} there")
        if run.probe is not None and run.locust is not None:
            strangers = [row.key for row in rows or () if row.key not in known and not run.exempt(row.key)]
            if strangers:
                run.doubt(f"autopsy of {node}: {len(strangers)} payments are in no ledger")


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
        at = max(0, bisect_right(self.starts, start) - 1)
        cut = []
        for one, other in self.spans[at:]:
            if one >= end:
                break
            if other > start:
                cut.append((max(one, start), min(other, end)))
        return cut


def stalls_of(run: Run) -> list[Span]:
    """Stalls of one kind (and core) that overlap or touch are one."""
    stalls: dict[tuple[str, str], list[Span]] = defaultdict(list)
    cores = run.witness_count["cores"] if run.witness_count else 0
    for row in run.witness or ():
        if row.kind == "sync" and row.end - row.start >= 100 * MS:
            stalls[row.kind, ""].append((row.start, row.end))
        elif row.kind == "wake" and (row.late or 0) >= 20 * MS:
            stalls[row.kind, row.core].append((row.data["at_ns"], row.data["at_ns"] + (row.late or 0)))
        elif row.kind == "cpu" and "idle_ns" in row.data:
            capacity, busy = (row.end - row.start) * cores, row.data.get("busy_ns", 0)
            foreign = busy - row.data.get("ours_ns", busy) + row.data.get("steal_ns", 0)
            if 20 * row.data["idle_ns"] < capacity and 10 * foreign >= capacity:
                stalls[row.kind, ""].append((row.start, row.end))
    return [span for spans in stalls.values() for span in Spans(spans).spans]


def excuses_of(stalls: Sequence[Span]) -> Spans:
    return Spans((start, end + min(end - start, S)) for start, end in stalls)


# ---- "How RTO follows" -----------------------------------------------------------------------------------------------------


class Episode(NamedTuple):
    """An outage; `length` is None when it had no end, `watched` is how long it was seen to last."""

    began: int
    length: int | None
    watched: int


@dataclass
class Service:
    """The probe's record as the rule of return sees it, with forgiven payments in order where there are excuses."""

    due: list[int]
    bad_before: list[int]  # how many payments before this one are out of order
    dark: Spans
    end: int
    interval: int
    after_window: list[int]  # for each payment, the first one due 10 s after it or later

    def out(self, start: int, end: int) -> int:
        """Payments out of order among those numbered [start, end)."""
        return self.bad_before[end] - self.bad_before[start] if end > start else 0


def pauses_of(run: Run) -> list[Span]:
    """Pauses between acknowledgements of the probe, the last one to the end of the probe."""
    done = sorted(payment.done for payment in run.probe or () if payment.acknowledged)
    ends = [*done[1:], run.probe_end] if done else []
    return [(start, end) for start, end in zip(done, ends, strict=True) if end > start or end != run.probe_end]


def is_forgiven(run: Run, payment: Payment, excuses: Spans) -> bool:
    time = excuses.within(payment.due, payment.done)
    return time > 0 and payment.done - payment.due - time <= run.level


def in_order(run: Run, payment: Payment, excuses: Spans) -> bool:
    if payment.acknowledged and payment.done - payment.due <= run.level:
        return True
    return is_forgiven(run, payment, excuses)


def baseline_pause(run: Run) -> int:
    """The longest pause between two acknowledgements in the baseline."""
    if run.baseline is None:
        return 0
    start, end = run.baseline
    pauses = [pause for pause in pauses_of(run)[:-1] if start <= pause[0] and pause[1] < end]
    return max((one - zero for zero, one in pauses), default=0)


def service_of(run: Run, excuses: Spans) -> Service:
    """ "In order, dark". P is held doubled, so all stays whole: a pause g is dark as a whole from 2P on, else for 2g - 2P."""
    rows, interval, end = sorted(run.probe or (), key=lambda payment: payment.due), run.interval, run.probe_end
    due = [payment.due for payment in rows]
    good = [in_order(run, payment, excuses) for payment in rows]
    spans: list[Span] = []
    bad = [moment for moment, fine in zip(due, good, strict=True) if not fine]
    for moment, following in zip(bad, [*bad[1:], None], strict=False):
        gap = 0 if following is None else max(0, following - moment - interval)
        spans.append((moment, moment + interval + (gap if gap <= 10 * interval else max(0, 20 * interval - gap))))
    twice = max(100 * MS, min(3 * baseline_pause(run), 2 * run.level))
    for start, stop in pauses_of(run):
        length = stop - start - excuses.within(start, stop)
        if 2 * length > twice:
            spans.append((start, start + min(length, 2 * length - twice)))
    sums = [0]
    for fine in good:
        sums.append(sums[-1] + (not fine))
    return Service(due, sums, Spans(spans), end, interval, [bisect_left(due, moment + WATCH) for moment in due])


def allowances_of(interval: int) -> range:
    return range(WATCH // (20 * interval), WATCH // (10 * interval) + 1)


def first_windows(service: Service, before: int) -> dict[int, int]:
    """t(k) of "Return" for each allowance for which there is one."""
    allowances, found = allowances_of(service.interval), {}
    starts = [before, *service.due[bisect_left(service.due, before) :]]
    open_ones = list(allowances)
    for moment in starts:
        if moment + WATCH > service.end or not open_ones:
            break
        count = service.out(bisect_left(service.due, moment), bisect_left(service.due, moment + WATCH))
        while open_ones and open_ones[-1] >= count:
            found[open_ones.pop()] = moment
    return found


def back_in_window(service: Service, moment: int, before: int) -> int:
    """r(k) of a window that begins at a moment."""
    dark = service.dark.within(moment, moment + WATCH)
    if moment != before or not dark:
        return moment + dark
    biting = []
    for start, end in service.dark.pieces(before, before + WATCH):
        dark_before = service.dark.within(before, start)
        biting.append(start - before - dark_before + dark - dark_before - (end - start))
    return before + dark + min(dark, *biting)


def mean_up(values: Sequence[int]) -> int:
    return -(-sum(values) // len(values))


def episodes_of(
    service: Service, before: int, window_end: int, stalls: Sequence[Span], level: int
) -> tuple[list[Episode], int | None]:
    """The first episode and the relapses; and the return that is not settled, where the probe ended too early to watch it."""
    windows = first_windows(service, before)
    strict = allowances_of(service.interval)[0]
    backs = {k: back_in_window(service, moment, before) for k, moment in windows.items()}
    if strict not in windows:
        return [Episode(before, None, max(0, window_end - before))], unsettled_return(service, before, window_end)
    if backs[strict] > window_end:
        return [Episode(before, None, max(0, window_end - before))], None
    returned = mean_up(list(backs.values()))
    episodes = [Episode(before, returned - before, returned - before)]
    episodes += relapses(service, windows[strict], window_end, stalls, level)
    last = episodes[-1]
    return episodes, unsettled_return(service, last.began, window_end) if last.length is None else None


def unsettled_return(service: Service, began: int, window_end: int) -> int | None:
    """The moment from which fewer than 5 % were out of order to the end of the probe, plus what is dark after it."""
    for number in range(bisect_left(service.due, began), bisect_left(service.due, window_end)):
        if 20 * service.out(number, len(service.due)) < len(service.due) - number:
            moment = service.due[number]
            return moment + service.dark.within(moment, service.end)
    return None


def relapses(service: Service, returned: int, window_end: int, stalls: Sequence[Span], level: int) -> list[Episode]:
    """ "Relapses". Payments are meant by their number in the order of due times."""
    due, after = service.due, service.after_window
    allowances = allowances_of(service.interval)
    first = bisect_left(due, returned)
    counted = bisect_left(due, due[first] + WATCH), bisect_left(due, window_end)

    def bad(number: int) -> int:
        return service.out(max(number, counted[0]), min(after[number], counted[1]))

    def left(number: int) -> int:
        edge = due[number] - service.interval + WATCH
        return edge - service.dark.within(max(edge - WATCH, due[counted[0]]), edge)

    def back(number: int) -> int:
        return due[number] + service.dark.within(due[number], due[number] + WATCH)

    found: list[Episode] = []
    at = first
    last = bisect_right(due, service.end - WATCH)  # windows of later payments end after the probe
    while True:
        start = next((j for j in range(at, last) if bad(j) > allowances[0]), None)
        if start is None:
            return found
        began = left(start)
        end = next((b for b in range(start + 1, last) if service.out(b, after[b]) <= allowances[0]), None)
        length = None
        if end is not None and back(end) <= window_end:
            length = mean_up([longest_stretch(range(start, end), bad, k, left, back) for k in allowances])
        excused = any(to - since >= level and since <= began <= to + level for since, to in stalls)
        if not excused:
            found.append(Episode(began, length, max(0, window_end - began) if length is None else length))
        if end is None or length is None:
            return found
        at = end


def longest_stretch(
    numbers: range, bad: Callable[[int], int], allowed: int, left: Callable[[int], int], back: Callable[[int], int]
) -> int:
    longest, start = 0, None
    for number in [*numbers, None]:
        over = number is not None and bad(number) > allowed
        if over and start is None:
            start = number
        elif not over and start is not None:
            longest = max(longest, back(number if number is not None else numbers[-1] + 1) - left(start))
            start = None
    return longest


def longest_of(episodes: Sequence[Episode]) -> Episode:
    """One without an end is longer than any; the first of equals."""
    return max(episodes, key=lambda one: (one.length is None, one.length or 0, -one.began))


def first_success(run: Run, fault: Fault) -> int | None:
    """`rto_first_success_s`, as a moment; `before_ns` when nothing was disturbed."""
    before, end, rows = fault.before, fault.window_end, run.probe or []
    early = [
        payment.due
        for payment in rows
        if before - 3 * S <= payment.due < end and payment.done >= before and not payment.acknowledged
    ]
    one = min(early, default=None)
    span = min(S, max(S // 10, 3 * baseline_pause(run)))
    done = sorted(payment.done for payment in rows if payment.acknowledged)
    pauses = [(zero, stop) for zero, stop in pairwise(done) if stop > before and stop - zero > span and zero < end - span]
    if one is None and not pauses:
        return before
    disturbed = min(moment for moment in (one, pauses[0][0] if pauses else None) if moment is not None)
    horizon = max(disturbed, fault.after) + S
    not_before = max([before, *(stop for zero, stop in pauses if zero <= horizon)])
    due_after = one if one is not None and one <= horizon else -1
    success = min(
        (payment.done for payment in rows if payment.acknowledged and payment.due > due_after and payment.done >= not_before),
        default=None,
    )
    return None if success is None or success > end else success


# ---- "How the other figures follow" ----------------------------------------------------------------------------------------


def up(ns: int) -> float:
    """Seconds, rounded up to the millisecond."""
    return -(-ns // MS) / 1000


def low(ns: int) -> float:
    """A low end: seconds, rounded down, not below 0."""
    return max(0, ns // MS) / 1000


def primaries_of(run: Run, fault: Fault) -> tuple[str | None, str | None, bool]:
    """The lost primary, the new one, and whether the databases named any change in the window."""
    events = run.of("primary")
    lost = next((event.data["node"] for event in reversed(events) if event.t <= fault.before and event.data["node"]), None)
    window = [event.data["node"] for event in events if fault.before < event.t <= fault.window_end]
    new = next((node for node in reversed(window) if node), None)
    return lost, new, bool(window)


def wal_lost(run: Run, fault: Fault) -> int | None:
    lost, new, changed = primaries_of(run, fault)
    if not changed or (new is not None and new == lost):
        return 0
    if new is None or lost is None or run.samples is None:
        return None
    ends = [event.data["end_lsn"] for event in run.of("autopsy") if event.data["node"] == lost and event.t > fault.before]
    promoted = next((s for s in run.samples if s.node == new and s.writes and s.t >= fault.before), None)
    earlier = [s for s in run.samples if s.node == lost and s.ok and s.t < fault.before and s.timeline is not None]
    if not ends or ends[0] is None or promoted is None or not earlier:
        return None
    received = [
        s.flush for s in run.samples if s.node == new and s.ok and not s.writes and s.t < promoted.t and s.flush is not None
    ]
    if not received:
        return None
    written = [
        s.flush
        for s in run.samples
        if s.node == lost and s.writes and s.t <= fault.window_end and s.timeline == earlier[-1].timeline and s.flush is not None
    ]
    return int(max(0, max([*written, ends[0]]) - received[-1]))


class Border(NamedTuple):
    """The end of a segment: at `moment`, and not before `earliest`."""

    earliest: int
    moment: int


_OWN = re.compile(r"\S+ (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)[.,](\d{1,9})")


def own_stamp(run: Run, line: LogLine) -> int | None:
    """The server's own stamp of a line, placed by the plan's pair; None without one that can be."""
    found = _OWN.match(line.text)
    own = run.clock.placed(wall_ns(f"{found[1]}T{found[2]}.{found[3]}Z")) if found else None
    return own if own is not None and 0 <= run.clock.placed(line.wall) - own <= 60 * S else None


def bounds(run: Run, line: LogLine) -> Border:
    """Between which two times a line was written. All are earlier yet by what the two clocks came to differ."""
    end, start = run.clock.placed(line.wall), own_stamp(run, line)
    if start is None:
        took = [
            run.clock.placed(other.wall) - own
            for node in run.databases
            for other in run.logs.get(node, ())
            if abs(other.wall - line.wall) <= 2 * S and "LOG:" in other.text and (own := own_stamp(run, other)) is not None
        ]
        start = end - max(took, default=100 * MS)
    return Border(start - abs(run.clock.passed - run.clock.wall_passed), end)


def decided_by_log(run: Run, new: str) -> Iterator[Border]:
    manager, said = None, None
    for line in run.logs.get(new, ()):
        if "after acquiring leader lock" in line.text or "by acquiring session lock" in line.text:
            if said is None or line.wall - said > 5 * S:
                yield Border(bounds(run, manager or line).earliest, bounds(run, line).moment)
            said = line.wall
        if any(level in line.text for level in ("INFO:", "WARNING:", "ERROR:")):
            manager = line


def promoted_by_log(run: Run, new: str) -> Iterator[Border]:
    begun = None
    for line in run.logs.get(new, ()):
        if "selected new timeline ID" in line.text or "archive recovery complete" in line.text:
            begun = line
        elif "database system is ready to accept connections" in line.text and begun is not None:
            yield Border(bounds(run, begun).earliest, bounds(run, line).moment)
            begun = None


def rerouted_by_log(run: Run, fault: Fault, new: str) -> Iterator[Border]:
    """For each center, when its balancer and the door had both let writes through to the new primary."""
    for center in {center["name"]: None for center in run.plan["topology"]["centers"]}:
        ups = [
            line
            for line in run.logs.get(f"{center}-haproxy", ())
            if re.search(rf"\bprimary/{re.escape(new)} is UP\b", line.text) and run.clock.placed(line.wall) > fault.before
        ]
        if not ups:
            continue
        words = [line for line in run.door_words if re.search(rf"\bbank/{re.escape(center)} is\b.*\b(UP|DOWN)\b", line.text)]
        last = [line for line in words if line.wall <= ups[0].wall][-1:]
        if last and "DOWN" in last[0].text:
            ups = [line for line in words if line.wall > ups[0].wall and "DOWN" not in line.text]
        yield from (bounds(run, line) for line in ups[:1])


def border(run: Run, fault: Fault, role: str, limit: int) -> Border | None:
    """Where a segment ends by what the runbook, the leader key, samples or logs show, after the fault and up to a limit."""
    steps = [
        event.data["after_ns"] if event.kind == "step" else event.t
        for event in run.of("step", "damage")
        if (event.kind == "damage" and role == "detect")
        or (event.kind == "step" and event.data["role"] == role and event.data["ok"])
    ]
    steps = [moment for moment in steps if fault.before < moment <= limit]
    if steps:
        return Border(steps[-1], steps[-1])
    lost, new, _ = primaries_of(run, fault)
    sources: list[Border] = []
    if role in ("detect", "decide") and lost is not None:
        keys = run.of("leader_key")
        held = {event.data["store"]: event.data["leader"] for event in keys if event.t <= fault.before}
        for event in keys:
            gone = event.data["leader"] != lost and held.get(event.data["store"]) == lost and event.t > fault.before
            if gone and (role == "detect" or event.data["leader"] is not None):
                sources.append(Border(max(event.data["seen_before_ns"], fault.before), event.t))
                break
    if new is not None and new != lost and role == "decide":
        sources += first_after(decided_by_log(run, new), fault.before)
    elif new is not None and role == "promote":
        sources += promoted_by_samples(run, fault, new)
        sources += first_after(promoted_by_log(run, new), fault.before) if new != lost else []
    elif role == "reroute":
        success = first_success(run, fault)
        if new is not None and new != lost:
            sources += sorted(rerouted_by_log(run, fault, new), key=lambda one: one.moment)[:1]
        if success is not None and not any(one.moment <= success for one in sources):
            sources = [Border(success, success)]
    sources = [one for one in sources if fault.before < one.moment <= limit]
    return min(sources, key=lambda one: one.moment - one.earliest, default=None)


def first_after(ones: Iterable[Border], before: int) -> list[Border]:
    return [one for one in ones if one.moment > before][:1]


def promoted_by_samples(run: Run, fault: Fault, new: str) -> list[Border]:
    seen = fault.before
    for s in run.samples or ():
        if s.node == new and s.t >= fault.before and s.ok:
            if s.writes:
                return [Border(seen, s.t)]
            seen = max(fault.before, s.asked)
    return []


def segments(run: Run, fault: Fault, episode: Episode) -> dict[str, float | None]:
    names = ("detect", "decide", "promote", "reroute")
    if episode.length is None:
        return {f"{name}_s": None for name in (*names, "warm_up")}
    phases: dict[str, float | None] = {}
    here, end = episode.began, episode.began + episode.length
    for name in names:
        found = border(run, fault, name, end)
        there = found.moment if found and here <= found.moment <= end else here
        phases[f"{name}_s"] = (-(-(there - episode.began) // MS) - -(-(here - episode.began) // MS)) / 1000
        here = there
    phases["warm_up_s"] = (-(-episode.length // MS) - -(-(here - episode.began) // MS)) / 1000
    return phases


def guarantees(run: Run, sample: Sample) -> bool:
    """Whether `synchronous_standby_names` guarantees a copy in another center."""
    found = re.fullmatch(r"\s*(?:(?:ANY|FIRST)?\s*(\d+)\s*\((.*)\)|(.*?))\s*", sample.sync_names, re.IGNORECASE | re.DOTALL)
    number, listed, bare = found.groups() if found else (None, None, "")
    names = [name.strip().strip('"') for name in ((listed if number else bare) or "").split(",") if name.strip()]
    demanded = int(number) if number else 1 if names else 0
    centers = run.center_of
    home = centers.get(sample.node)
    if "*" in names:
        names = run.databases
    return demanded > sum(centers.get(name, home) == home for name in names if name != sample.node)


def protection(run: Run) -> tuple[int, int, int]:
    """Unprotected time, acknowledgements in it, and time of which nobody knows."""
    done = sorted(payment.done for payment in run.payments if payment.acknowledged)
    samples, newest = [], -1
    for sample in run.samples or ():
        if sample.writes:
            if (sample.timeline or 0) >= newest:
                samples.append((sample.t, guarantees(run, sample)))
            newest = max(newest, sample.timeline or 0)
    time = count = unknown = 0

    def spoken(start: int, end: int, safe: bool) -> None:
        nonlocal time, count
        acknowledged = bisect_right(done, end) - bisect_right(done, start)
        if not safe and acknowledged:
            time, count = time + end - start, count + acknowledged

    def unspoken(start: int | None, end: int | None) -> None:
        nonlocal unknown
        first = 0 if start is None else bisect_right(done, start)
        for at in range(first, len(done) if end is None else bisect_right(done, end)):
            since = max([moment for moment in (start, done[at - 1] if at else None) if moment is not None], default=done[at] - S)
            unknown += min(S, done[at] - since)

    if not samples:
        unspoken(None, None)
        return 0, 0, unknown
    unspoken(None, samples[0][0] - S)
    spoken(samples[0][0] - S, *samples[0])
    for (start, safe), (end, safe_after) in pairwise(samples):
        if end - start <= 2 * S:
            spoken(start, end, safe and safe_after)
        else:
            spoken(start, start + S, safe)
            unspoken(start + S, end - S)
            spoken(end - S, end, safe_after)
    if done and done[-1] > samples[-1][0]:
        spoken(samples[-1][0], min(done[-1], samples[-1][0] + S), samples[-1][1])
    unspoken(samples[-1][0] + S, None)
    return time, count, unknown


def books(run: Run, figures: Data) -> list[Payment]:
    """Payments against the authority: figures and breaches. Returns what was lost, in the order of `done_ns`, then key."""
    rows = run.payments
    counts = Counter(payment.outcome for payment in rows)
    figures |= {name: counts[name] for name in ("acknowledged", "refused", "unknown")}
    copy = run.copies.get(run.authority or "")
    if copy is None or copy.payments is None:
        return []
    stored = {row.key: row for row in copy.payments}
    twice = {key for key, number in Counter(row.key for row in copy.payments).items() if number > 1}
    twice |= {key for (key, _), number in Counter((key, account) for key, account, _ in copy.entries or ()).items() if number > 1}
    figures["duplicated"] = len(twice) if copy.entries is not None else None
    figures["unknown_committed"] = sum(payment.outcome == "unknown" and payment.key in stored for payment in rows)
    refused = sum(payment.outcome == "refused" and payment.key in stored for payment in rows)
    other = sum(
        payment.key in stored and stored[payment.key][1:4] != (payment.debit, payment.credit, payment.amount) for payment in rows
    )
    for number, text in (
        (len(twice), "payments are duplicated"),
        (refused, "payments stand though they were refused"),
        (other, "payments stand with other accounts or another amount than their customer sent"),
    ):
        if number:
            run.breaches.append(f"{number} {text}")
    own = {payment.key: payment for payment in run.locust or () if payment.acknowledged}
    stale = sum(r.status == 404 and r.key in stored and r.key in own and own[r.key].done <= r.sent for r in run.reads or ())
    if stale:
        run.breaches.append(f"{stale} stale reads")
    if run.probe is None or run.locust is None:
        return []
    known = {payment.key for payment in rows}
    phantom = sum(key not in known and not run.exempt(key) for key in stored)
    if phantom:
        run.breaches.append(f"{phantom} payments are phantoms")
    lost = sorted((p for p in rows if p.acknowledged and p.key not in stored), key=lambda p: (p.done, p.key))
    figures |= {"phantom": phantom, "lost_transactions": len(lost), "rpo_s": 0.0}
    if lost:
        survived = [
            payment.done for payment in rows if payment.acknowledged and payment.key in stored and payment.done <= lost[0].done
        ]
        since = max(survived) if survived else min(payment.sent for payment in rows)
        figures["rpo_s"] = up(lost[-1].done - since)
    return lost


def invariants(run: Run) -> None:
    """ "Invariants", on every copy. Equal copies are looked at once."""
    authority = run.copies.get(run.authority or "") or Copy()
    looked: set[str] = set()
    for node, copy in run.copies.items():
        if any(authority.hashes.get(table, known) != known for table, known in copy.hashes.items()):
            run.breaches.append(f"the copy on {node} differs from the authority's")
        if str(copy.hashes) not in looked:
            looked.add(str(copy.hashes))
            run.breaches += [f"{node}: {text}" for text in broken(copy)]


def broken(copy: Copy) -> Iterator[str]:
    booked: dict[str, int] = defaultdict(int)
    legs: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for key, account, amount in copy.entries or ():
        booked[account] += amount
        legs[key].append((account, amount))
    if copy.payments is not None:
        wanted = {row.key: sorted([(row.debit, -row.amount), (row.credit, row.amount)]) for row in copy.payments}
        if len(wanted) != len(copy.payments):
            yield "a key stands twice"
        if copy.entries is not None and {key: sorted(pair) for key, pair in legs.items()} != wanted:
            yield "the entries of a payment are not its debit and its credit"
    if copy.accounts is not None:
        accounts = {account for account, _, _ in copy.accounts}
        if len(accounts) != len(copy.accounts) or booked.keys() - accounts:
            yield "an account is not there, or twice"
        if copy.entries is not None and any(opening + booked[account] != balance for account, opening, balance in copy.accounts):
            yield "a balance is not its opening plus its entries"
        if sum(opening for _, opening, _ in copy.accounts) != sum(balance for _, _, balance in copy.accounts):
            yield "the balances do not sum to the opening ones"


# ---- "Intervals" -----------------------------------------------------------------------------------------------------------


@dataclass
class Measured:
    """One fault's figures in nanoseconds, with the low ends of their intervals with and without the host's part."""

    fault: Fault
    episodes: list[Episode]
    unsettled: int | None
    rto: Data | None
    interruption: Data | None
    detect: Data | None


def interval_of(low_ns: int | None, without_host: int | None, high_ns: int | None) -> Data:
    host = (without_host or 0) - (low_ns or 0)
    return {
        "low": None if low_ns is None else low(low_ns),
        "high": None if high_ns is None else up(high_ns),
        "host_s": up(max(0, host)),
    }


def measure_fault(run: Run, fault: Fault, plain: Service, lenient: Service, stalls: Sequence[Span], host: Spans) -> Measured:
    count, width = run.probe_count or {"late_ms_max": 0}, fault.after - fault.before
    episodes, unsettled = episodes_of(plain, fault.before, fault.window_end, (), run.level)
    forgiven, _ = episodes_of(lenient, fault.before, fault.window_end, stalls, run.level)
    longest = longest_of(episodes)
    answers = sorted(
        p.done - p.due for p in run.probe or () if p.acknowledged and run.baseline and run.baseline[0] <= p.due < run.baseline[1]
    )
    usual = answers[-(-99 * (len(answers) - 1) // 100)] if answers else 0

    seen = longest.watched
    base = min(seen, max(episode.watched for episode in forgiven)) - width - run.interval - usual
    late = round(count["late_ms_max"] * MS)
    high = None if longest.length is None else longest.length + run.interval + late
    rto = interval_of(base - host.within(longest.began, longest.began + seen), seen - width - run.interval - usual, high) | {
        "value": None if longest.length is None else up(longest.length)
    }
    until = run.probe_end if fault.next_before is None else fault.next_before
    pauses = [pause for pause in pauses_of(run) if pause[0] < until and pause[1] > fault.before]
    interruption = detect = None
    if pauses:
        pause = max(stop - start for start, stop in pauses)
        short = max(stop - start - host.within(start, stop) for start, stop in pauses)
        interruption = interval_of(short, pause, pause) | {"value": up(pause)}
    edge = border(run, fault, "detect", fault.window_end)
    if edge:
        took = edge.moment - fault.before
        sure = took - (edge.moment - edge.earliest) - width
        detect = interval_of(sure - host.within(fault.before, edge.moment), sure, took) | {"value": up(took)}
    return Measured(fault, episodes, unsettled, rto, interruption, detect)


def largest(ones: Sequence[Data | None]) -> Data | None:
    """Several faults: the largest figure, null if one is null; the largest low and the largest high."""
    whole_ones = [one for one in ones if one is not None]
    if len(whole_ones) < len(ones) or not ones:
        return None
    return {
        "value": None if any(one["value"] is None for one in whole_ones) else max(one["value"] for one in whole_ones),
        "low": max(one["low"] for one in whole_ones),
        "high": None if any(one["high"] is None for one in whole_ones) else max(one["high"] for one in whole_ones),
        "host_s": max(one["host_s"] for one in whole_ones),
    }


NO_PHASES = {f"{name}_s": None for name in ("detect", "decide", "promote", "reroute", "warm_up")}


def measure(run: Run) -> tuple[Data, list[Measured]]:
    figures: Data = dict.fromkeys(
        ("rto_s", "rto_first_success_s", "rto_resolution_s", "phases", "rpo_s", "wal_bytes_lost", "acknowledged",
         "lost_transactions", "unknown", "unknown_committed", "refused", "duplicated", "phantom", "unprotected_s",
         "unprotected_acknowledged", "protection_unknown_s", "availability", "interruption_s", "detect_s",
         "first_payment_s", "full_redundancy_s", "intervals")
    )  # fmt: skip
    intervals: Data = dict.fromkeys(TARGETS)
    figures |= {"phases": dict(NO_PHASES), "intervals": intervals}
    lost = books(run, figures)
    invariants(run)
    two_primaries(run, lost)
    for name in ("lost_transactions", "rpo_s"):
        if figures[name] is not None:
            intervals[name] = {"low": figures[name], "high": figures[name], "host_s": 0.0}
    for event in run.of("ready")[-1:]:
        figures |= {name: event.data.get(name) for name in ("first_payment_s", "full_redundancy_s")}
    if run.samples is not None and run.probe is not None and run.locust is not None:
        time, count, unknown = protection(run)
        figures |= {"unprotected_s": up(time), "unprotected_acknowledged": count, "protection_unknown_s": up(unknown)}
        intervals["unprotected_s"] = {"low": up(time), "high": up(time + unknown), "host_s": 0.0}
    measured = measure_faults(run, figures, intervals) if run.probe and run.faults else []
    return figures, measured


def measure_faults(run: Run, figures: Data, intervals: Data) -> list[Measured]:
    stalls = stalls_of(run)
    host, excuses = Spans(stalls), excuses_of(stalls)
    plain, lenient = service_of(run, Spans(())), service_of(run, excuses)
    measured = [measure_fault(run, fault, plain, lenient, stalls, host) for fault in run.faults]
    for name, ones in (
        ("rto_s", [one.rto for one in measured]),
        ("interruption_s", [one.interruption for one in measured]),
        ("detect_s", [one.detect for one in measured]),
    ):
        all_of = largest(ones)
        if all_of:
            figures[name] = all_of.pop("value")
            intervals[name] = all_of
    worst = max(measured, key=lambda one: (longest_of(one.episodes).length is None, longest_of(one.episodes).length or 0))
    figures["phases"] = segments(run, worst.fault, longest_of(worst.episodes))
    successes = [first_success(run, fault) for fault in run.faults]
    if None not in successes:
        figures["rto_first_success_s"] = max(
            up((moment or 0) - fault.before) for moment, fault in zip(successes, run.faults, strict=True)
        )
    late = round(run.probe_count["late_ms_max"] * MS) if run.probe_count else 0
    figures["rto_resolution_s"] = max(up(fault.after - fault.before + run.interval + late) for fault in run.faults)
    wal = [wal_lost(run, fault) for fault in run.faults]
    figures["wal_bytes_lost"] = None if None in wal else sum(number or 0 for number in wal)
    due = [payment for payment in run.probe or () if payment.due >= run.faults[0].before]
    if due:
        good = sum(in_order(run, payment, Spans(())) for payment in due)
        forgiven = sum(in_order(run, payment, excuses) for payment in due)
        figures["availability"] = good * 1_000_000 // len(due) / 1e6
        intervals["availability"] = {
            "low": figures["availability"],
            "high": forgiven * 1_000_000 // len(due) / 1e6,
            "host_s": up(host.within(run.faults[0].before, run.probe_end)),
        }
    check_last_seconds(run, excuses)
    check_traffic(run, measured)
    return measured


# ---- "The verdict": breaches -----------------------------------------------------------------------------------------------


def check_last_seconds(run: Run, excuses: Spans) -> None:
    due = [payment for payment in run.probe or () if payment.due >= run.probe_end - 5 * S]
    if 20 * sum(in_order(run, payment, Spans(())) for payment in due) < 19 * len(due):
        forgiven = 20 * sum(in_order(run, payment, excuses) for payment in due) >= 19 * len(due)
        (run.undecided if forgiven else run.breaches).append("under 95 % of the probe's last 5 s were in order")


def check_traffic(run: Run, measured: Sequence[Measured]) -> None:
    """13. Where service never left, the probe must still have paid once within an interval."""
    for one in measured:
        fault, first = one.fault, one.episodes[0]
        if run.locust is not None and not any(fault.before <= payment.sent < fault.window_end for payment in run.locust):
            run.doubt(f"traffic: no customer paid in the window of {fault.id}")
        until = fault.window_end if first.length is None else fault.before + max(first.length, run.interval)
        if not any(fault.before <= payment.due < until for payment in run.probe or ()):
            run.doubt(f"traffic: the probe did not pay in the outage of {fault.id}")


def two_primaries(run: Run, lost: Sequence[Payment]) -> None:
    terms: dict[tuple[str, int], Span] = {}
    for sample in run.samples or ():
        if sample.writes and sample.timeline is not None:
            known = terms.get((sample.node, sample.timeline), (sample.t, sample.t))
            terms[sample.node, sample.timeline] = (known[0], sample.t)
    for (node, timeline), (start, end) in terms.items():
        for (other, older), (other_start, other_end) in terms.items():
            if node != other and older < timeline and any(start <= payment.sent <= other_end + 2 * S for payment in lost):
                run.breaches.append(f"{node} and {other} were primaries at once, and payments were lost")
            if node < other and older == timeline and start <= other_end and other_start <= end:
                run.doubt(f"{node} and {other} were primaries at once on timeline {timeline}")


def check_untils(run: Run) -> None:
    """A condition that was not reached is a breach, unless the host's stalls may have decided it."""
    stalls = stalls_of(run)
    excuses = excuses_of(stalls)
    for event in run.of("until"):
        if not event.data["reached"]:
            waited, within = (max(0, round(event.data[name] * S)) for name in ("waited_s", "within_s"))
            start, last = event.t - waited, max(event.t - waited, event.t - 10 * S)
            shaken = any(end - begin >= S and begin < event.t and end > last for begin, end in stalls)
            robbed = 10 * (max(waited, within) - excuses.within(start, event.t)) < 9 * within
            found = run.undecided if shaken or robbed else run.breaches
            found.append(f"{event.data['condition']} was awaited for {event.data['within_s']} s and not reached")


# ---- "The verdict" ---------------------------------------------------------------------------------------------------------


def hold_against(run: Run, name: str, value: Any, interval: Data | None) -> None:
    """One figure against its target: met, missed (a breach), or not to be told."""
    target = run.plan["targets"][name]
    if target is None:
        return
    if value is None or interval is None:
        run.doubt(f"{name} has a target of {target} and could not be measured")
    elif interval["low"] > target if name != "availability" else interval["high"] < target:
        run.breaches.append(f"{name} {value} misses its target of {target}")
    elif interval["high"] > target if name != "availability" else interval["low"] < target:
        run.undecided.append(f"{name}: its interval {interval['low']} to {interval['high']} lies across its target of {target}")


def hold_rto(run: Run, one: Measured) -> None:
    target, rto = run.plan["targets"]["rto_s"], one.rto
    if target is None or rto is None:
        return
    name = f"rto_s of {one.fault.id}"
    if rto["value"] is not None:
        hold_against(run, "rto_s", rto["value"], rto)
    elif one.unsettled is not None and up(one.unsettled - longest_of(one.episodes).began) <= target:
        run.undecided.append(f"{name}: service was back within the target, and was not watched for 10 s")
    elif rto["low"] > target:
        run.breaches.append(f"{name}: service did not return, watched for at least {rto['low']} s")
    else:
        run.undecided.append(f"{name}: service did not return while it was watched, which is not surely longer than the target")


def verdict_of(run: Run, figures: Data, measured: Sequence[Measured]) -> str:
    check_untils(run)
    for name in TARGETS:
        if name == "rto_s" and measured:
            for one in measured:
                hold_rto(run, one)
        elif name == "interruption_s" and any(longest_of(one.episodes).length is None for one in measured):
            target, value = run.plan["targets"][name], figures[name]
            if target is not None and value is not None and value <= target:
                run.undecided.append("interruption_s is within its target, and service did not return: it may go on")
            else:
                hold_against(run, name, value, figures["intervals"][name])
        else:
            hold_against(run, name, figures[name], figures["intervals"][name])
    if run.doubts:
        return "INVALID"
    return "FAIL" if run.breaches else "INVALID" if run.undecided else "PASS"


def told(one: Measured) -> Data:
    """A fault as verdict.json tells it."""
    longest, begin = longest_of(one.episodes), one.fault.before
    rto = one.rto or {}
    return {
        "id": one.fault.id,
        "name": one.fault.name,
        "target": one.fault.target,
        "proved": bool(one.fault.proof and one.fault.proof.data["proved"]),
        "healed": one.fault.healed,
        "rto_s": rto.get("value"),
        "interruption_s": one.interruption["value"] if one.interruption else None,
        "rto_from_s": up(longest.began - begin),
        "rto_interval": {name: rto.get(name) for name in ("low", "high", "host_s")},
        "episodes": [
            {"began_s": up(episode.began - begin), "lasted_s": None if episode.length is None else up(episode.length)}
            for episode in one.episodes
        ],
    }


# ---- "Records held against each other": each function has the name of its rule on the page, and yields what contradicts ----


def customers_of(run: Run) -> dict[int, list[tuple[int, Payment]]]:
    """Each customer's payments by number, in the order of sending."""
    customers: dict[int, list[tuple[int, Payment]]] = defaultdict(list)
    prefix = re.compile(re.escape(run.plan["run_id"]) + r"-c-(\d{1,6})-(\d{7})")
    for payment in sorted(run.locust or (), key=lambda payment: payment.sent):
        found = prefix.fullmatch(payment.key)
        if found:
            customers[int(found[1])].append((int(found[2]), payment))
    return customers


def numbered_keys(run: Run) -> Iterator[str]:
    customers = customers_of(run)
    if sum(map(len, customers.values())) != len(run.locust or ()) or any(c >= run.plan["load"]["customers"] for c in customers):
        yield "a customer's key is not a customer's"
    prefix = re.compile(re.escape(run.plan["run_id"]) + r"-p-\d{7}")
    if any(not prefix.fullmatch(payment.key) for payment in run.probe or ()):
        yield "a probe's key is not the probe's"
    for customer, rows in customers.items():
        if [number for number, _ in rows] != list(range(len(rows))):
            yield f"customer {customer} left a number out, or paid out of order"
        if any(later.sent < payment.done for (_, payment), (_, later) in pairwise(rows)):
            yield f"customer {customer} paid while its last payment had not ended"


def schedule_adds_up(run: Run) -> Iterator[str]:
    count = run.probe_count
    if run.probe and count:
        ran = count["stopped_ns"] - count["started_ns"]
        if not (ran - LATE) / run.interval - 1 <= count["scheduled"] <= ran / run.interval + 2:
            yield f"{count['scheduled']} payments do not fit in {ran / S:.3f} s"
        late = max(payment.sent - payment.due for payment in run.probe)
        if abs(late / MS - count["late_ms_max"]) > 0.001:
            yield f"the latest was sent {late / MS:.3f} ms late, not {count['late_ms_max']}"
        if any(payment.sent < payment.due for payment in run.probe):
            yield "a payment was sent before it was due"


def patience_is_kept(run: Run) -> Iterator[str]:
    patience = round(run.plan["load"]["probe_timeout_s"] * S)
    for payments, longest in ((run.probe, patience + 2 * S), (run.locust, 2 * patience + 2 * S)):
        if any(payment.done - payment.sent > longest for payment in payments or ()):
            yield f"a payment took longer than {longest / S} s"
    for payment in run.probe or ():
        if payment.status is None and not payment.error:
            yield f"{payment.key} has neither a status nor an error"
        said = re.match(r"no answer within ([\d.]+) ?s", payment.error)
        if said and payment.done - payment.sent < float(said[1]) * S - MS:
            yield f"{payment.key} did not wait as long as it says"


def drawn_from_the_seed(run: Run) -> Iterator[str]:
    accounts = next((sorted(one[0] for one in copy.accounts) for copy in run.copies.values() if copy.accounts), [])
    seed, load, looks = run.plan["seed"], run.plan["load"], 0
    if len(accounts) < 2:
        return

    def draw(random: Random) -> tuple[str, str, int]:
        debit, credit = random.sample(accounts, 2)
        return debit, credit, random.randint(1, 1000)

    random = Random(f"{seed}-probe")
    for payment in sorted(run.probe or (), key=lambda payment: payment.key):
        if draw(random) != payment[6:9]:
            yield f"{payment.key} has other accounts or another amount than the seed says"
            break
    for customer, rows in customers_of(run).items():
        random = Random(f"{seed}-customer-{customer}")
        random.uniform(0, 1)
        paid, acts, seen = 0, 0, 0
        while paid < len(rows) and acts < 1000 * len(rows):
            acts += 1
            if random.random() >= load["pay_share"]:
                random.choice(accounts)
                seen += paid > 0
                continue
            if draw(random) != rows[paid][1][6:9]:
                yield f"{rows[paid][1].key} has other accounts or another amount than the seed says"
                break
            paid += 1
        looks += seen
    if run.locust_count and run.locust_count["looks"] < looks - load["customers"]:
        yield f"Locust counted {run.locust_count['looks']} looks, there were at least {looks}"


def reads_follow_the_looks(run: Run) -> Iterator[str]:
    if run.reads is None or run.locust is None:
        return
    accounts = next((len(copy.accounts) for copy in run.copies.values() if copy.accounts), 0)
    customers = customers_of(run)
    by_customer: dict[int, list[Read]] = defaultdict(list)
    prefix = re.compile(re.escape(run.plan["run_id"]) + r"-c-(\d{1,6})-\d{7}")
    for read in sorted(run.reads or (), key=lambda read: read.sent):
        found = prefix.fullmatch(read.key)
        if not found or int(found[1]) not in customers:
            yield f"{read.key} was read, and no customer sent it"
        else:
            by_customer[int(found[1])].append(read)
    for customer, rows in customers.items():
        random, looks, place, last = Random(f"{run.plan['seed']}-customer-{customer}"), 0, 0, None
        random.uniform(0, 1)
        reads = by_customer[customer]
        for number, payment in enumerate([*(payment for _, payment in rows), None]):
            expected, first = 0, place
            while payment and accounts > 1 and run.plan["load"]["pay_share"] > 0:
                if random.random() < run.plan["load"]["pay_share"]:
                    random.sample(range(accounts), 2)
                    random.randint(1, 1000)
                    break
                random.choice(range(accounts))
                expected += looks % 2 == 1 and last is not None
                looks += 1
            while place < len(reads) and (payment is None or reads[place].sent < payment.sent):
                read = reads[place]
                free = max(rows[number - 1][1].done if number else 0, reads[place - 1].done if place else 0)
                if read.key != last or read.sent < free or (payment and read.done > payment.sent):
                    yield f"customer {customer} read {read.key}, which was not acknowledged last, or did two things at once"
                place += 1
            if payment and accounts > 1 and number < 100_000 and place - first != expected:
                yield f"customer {customer} read {place - first} times before its payment {number}, the seed says {expected}"
            last = payment.key if payment and payment.acknowledged else last


def customers_keep_paying(run: Run) -> Iterator[str]:
    count, sent = run.locust_count, sorted(payment.sent for payment in run.locust or ())
    if count and sent:
        if sent[0] < count["started_ns"] or sent[-1] > count["stopped_ns"] + LATE:
            yield "a payment lies outside the time in which Locust ran"
        if any(after - one > (2 * run.plan["load"]["probe_timeout_s"] + 5) * S for one, after in pairwise(sent)):
            yield "customers paid nothing for too long"


def door_counted(run: Run) -> Iterator[str]:
    told = run.of("door_log")
    if len(told) != 1:
        yield f"the door's log was told {len(told)} times"
    elif run.door is not None and told[0].data["payments"] != len(run.door):
        yield f"the door counted {told[0].data['payments']} lines, there are {len(run.door)}"


def door_and_ledgers(run: Run) -> Iterator[str]:
    """door_told_the_same, door_saw_every_answer, door_agrees_on_time."""
    if run.door is None or run.probe is None or run.locust is None:
        return
    lines: dict[str, list[DoorLine]] = defaultdict(list)
    for line in run.door:
        lines[line.key].append(line)
    known, unseen, excuses = set(), 0, excuses_of(stalls_of(run))
    waited = ("no answer within", "timed out", "ended before")

    def apart(one: int, other: int) -> int:
        """How far two moments are apart, less what the host's excuses account for."""
        return abs(one - other) - excuses.within(min(one, other), max(one, other))

    for payment in run.payments:
        mine = lines.get(payment.key, [])
        known.add(payment.key)
        if payment.status is not None:
            same = [line for line in mine if line.status == payment.status]
            unseen += not mine
            if mine and not same:
                yield f"door_told_the_same: {payment.key} was answered with another status"
            elif payment.acknowledged:
                for line in same:
                    if line.end is None:
                        continue
                    early = line.end < payment.sent and apart(line.end, payment.sent) > CLOCKS
                    if early or apart(line.end, payment.done) > LATE:
                        yield f"door_agrees_on_time: {payment.key}"
            continue
        for line in mine:
            if line.status in (200, 201) and line.state == "--" and not payment.error.startswith(waited):
                yield f"door_told_the_same: {payment.key} was answered, and says it was not"
            if line.end is not None and line.end < payment.done and apart(line.end, payment.done) > LATE:
                yield f"door_told_the_same: {payment.key} was answered long before its client gave up"
    told = run.of("door_log")
    dropped = (told[0].data["dropped"] or 0) if told else 0
    if unseen > dropped:
        yield f"door_saw_every_answer: {unseen} answers are not in the door's log, which dropped {dropped}"
    strangers = [
        line.key for line in run.door if line.status in (200, 201) and line.key not in known and not run.exempt(line.key)
    ]
    if strangers:
        yield f"door_saw_every_answer: {len(strangers)} payments of the door's log are in no ledger"


def committed_when_told(run: Run) -> Iterator[str]:
    stored = {row.key: run.clock.at(row.committed) for row in run.stored or ()}
    for payment in run.payments:
        at = stored.get(payment.key)
        if at is not None and (at < payment.sent - CLOCKS or (payment.acknowledged and at > payment.done + CLOCKS)):
            yield f"{payment.key} was committed when it cannot have been"


_LAST = re.compile(r"last completed transaction was at log time (\S+ \S+)")


def committed_by_a_primary(run: Run) -> Iterator[str]:
    ours = {payment.key for payment in run.payments}
    committed = sorted(run.clock.at(row.committed) for row in run.stored or () if row.key in ours)
    begins = run.baseline[0] if run.baseline else 0
    for node in run.databases:
        last, log = None, run.logs.get(node, [])
        selected = [t for t, _, line in log if "selected new timeline ID" in line]
        for t, _, line in log:
            found = _LAST.search(line)
            if found:
                try:
                    last = run.clock.at(wall_ns(found[1]))
                except Damaged:
                    yield f"{node}: {line!r}"
            elif "selected new timeline ID" in line:
                if last is None and t > begins:
                    yield f"the log of {node} does not tell what it had received when it was promoted"
                elif last is not None and bisect_left(committed, t) > bisect_right(committed, last):
                    yield f"payments were committed before {node} was promoted, and after the last that it had received"
                last = None
            elif "received promote request" in line and t > begins and not any(abs(one - t) <= 30 * S for one in selected):
                yield f"the log of {node} tells a promotion without a new timeline"


def receipts_cover_what_stands(run: Run) -> Iterator[str]:
    ours = {payment.key for payment in run.payments}
    for fault in run.faults:
        lost, new, _ = primaries_of(run, fault)
        if lost not in fault.down or new is None or new == lost:
            continue
        promoted = next((s.t for s in run.samples or () if s.node == new and s.writes and s.t >= fault.before), fault.window_end)
        received = [s.flush or 0 for s in run.samples or () if s.node == new and s.ok and not s.writes and s.t < promoted]
        beyond = [
            s.t
            for s in run.samples or ()
            if s.node == lost and s.writes and s.t <= fault.window_end and (s.flush or 0) > max(received, default=0)
        ]
        if not received or not beyond:
            continue
        for row in run.stored or ():
            if beyond[0] + CLOCKS < run.clock.at(row.committed) < fault.after and row.key in ours:
                yield f"{row.key} stands, though its primary died before anybody had received it"


def dead_disks_and_ledgers(run: Run) -> Iterator[str]:
    """dead_disks_and_ledgers, same_commit_on_every_copy, every_dead_primary_was_opened, log_ends_on_the_dead_disk."""
    by_key = {payment.key: payment for payment in run.payments}
    stored = {row.key: row for row in run.stored or ()}
    for node, rows in run.autopsies.items():
        taken = [fault for fault in run.faults if node in fault.down]
        if not taken:
            yield f"{node} was opened, and no fault took it down"
            continue
        fault, held = taken[-1], {row.key for row in rows}
        for row in rows:
            at, payment = run.clock.at(row.committed), by_key.get(row.key)
            if at > fault.after + LATE:
                yield f"{row.key} was committed on {node} after it had died"
            if payment is not None and payment.outcome == "refused":
                yield f"{row.key} was refused, and is on the disk of {node}"
            if row.key in stored and stored[row.key] != row:
                yield f"same_commit_on_every_copy: {row.key} is another on {node} than on the authority"
            if node == primaries_of(run, fault)[0] and payment and payment.status is None and at < fault.before - LATE:
                yield f"{row.key} was committed on {node} long before the fault, and never answered"
        if node == primaries_of(run, fault)[0]:
            missing = sum(p.acknowledged and p.done < fault.before and p.key not in held for p in run.payments)
            if missing:
                yield f"{missing} payments were acknowledged before the fault and are not on the disk of {node}"
    opened = {event.data["node"]: event for event in run.of("autopsy")}
    for fault in run.faults:
        lost = primaries_of(run, fault)[0]
        if lost in fault.down and fault.heal_started is not None and lost not in opened:
            yield f"every_dead_primary_was_opened: {lost} was not"
        end = opened[lost].data["end_lsn"] if lost in opened else None
        if lost in fault.down and end is not None:
            died_until = min(opened[lost].t, fault.heal_started if fault.heal_started is not None else opened[lost].t)
            for s in run.samples or ():
                if s.node == lost and s.ok and s.t < died_until and (s.flush or 0) > end:
                    yield f"log_ends_on_the_dead_disk: {lost} was sampled beyond the end of its log"
                    break


def effect_follows_from_the_target(run: Run) -> Iterator[str]:
    topology = run.plan["topology"]
    links = [(link["source"], link["target"]) for link in topology["links"]]
    for fault in run.faults:
        down, cut = set(fault.down), set(fault.cut)
        by = "region" if fault.name == "RegionLoss" else "name"
        centers = {center["name"] for center in topology["centers"] if center[by] == fault.target}
        wanted_down, wanted_cut = down, [cut]
        if fault.name in ("CenterPowerLoss", "RegionLoss"):
            wanted_down = {node for node, center in run.center_of.items() if center in centers}
            wanted_cut = [{f"{a}->{b}" for a, b in links if {a, b} & centers} | {f"door->{center}" for center in centers}]
        elif fault.name == "NodeKilled":
            wanted_down, wanted_cut = {fault.target}, [set()]
        elif fault.name == "LinkBlackholed":
            one, arrow, other = re.split("(<->|->)", fault.target, maxsplit=1) if "->" in fault.target else ("", "", "")
            both = {f"{one}->{other}", f"{other}->{one}"}
            wanted_down, wanted_cut = set(), [both] if arrow == "<->" else [{f"{one}->{other}"}]
        elif fault.name in ("PlannedSwitchover", "BitsFlipped"):
            wanted_down, wanted_cut = set(), [set()]
        if down != wanted_down or cut not in wanted_cut:
            yield f"{fault.name} of {fault.target} has another effect"


def proof_is_of_its_kind(run: Run) -> Iterator[str]:
    centers = run.center_of
    for fault in run.faults:
        checks = fault.proof.data["checks"] if fault.proof else []
        dead = {center for center in centers.values() if all(node in fault.down for node in centers if centers[node] == center)}
        victims = [check for check in checks if check["side"] == "victim"]
        extra = {"LinkBlackholed": len(fault.cut) + 2, "PlannedSwitchover": 2, "BitsFlipped": 1}.get(fault.name)
        if fault.proof and extra is not None and len(victims) != extra:
            yield f"the proof of {fault.id} has {len(victims)} victims, not {extra}"
        for check in checks:
            subject, seen = check["subject"], check["seen"]
            if check["side"] == "bystander" and seen != check["expected"]:
                yield f"the bystander {subject} was not as expected"
            elif check["side"] == "victim" and subject in fault.down:
                if not re.fullmatch(r"exited, exit code 137, port \d+ closed", seen):
                    yield f"the death of {subject} was not seen as one"
            elif check["side"] == "victim" and subject in fault.cut:
                packets = re.fullmatch(r"(?:.*, )?(\d+) packets dropped", seen)
                if not packets or (packets[1] == "0" and not dead & set(subject.split("->"))):
                    yield f"the cut of {subject} dropped nothing"
            elif check["side"] == "victim" and fault.name == "BitsFlipped":
                was = re.fullmatch(r"bytes ([0-9a-f]+) \(were ([0-9a-f]+)\)", check["expected"])
                if (
                    not was
                    or seen != f"bytes {was[1]}"
                    or len(was[1]) != len(was[2])
                    or int(was[1], 16) ^ int(was[2], 16) != 16 ** len(was[1]) - 1
                ):
                    yield "the bits were not flipped"


def victims_fell_silent(run: Run) -> Iterator[str]:
    """victims_fell_silent, logs_resume_with_the_heal."""
    for fault in run.faults:
        if not (fault.proof and fault.proof.data["proved"]):
            continue
        start, end = fault.after + LATE, fault.heal_started if fault.heal_started is not None else 1 << 62
        for node in fault.down:
            if any(s.ok and s.node == node and start < s.t and s.asked < end and s.t < end for s in run.samples or ()):
                yield f"{node} was down and answered"
            log = run.logs.get(node, [])
            if any(start < t < end - CLOCKS for t, _, _ in log):
                yield f"{node} was down and wrote its log"
            if (
                fault.healed
                and fault.heal_ended is not None
                and not any(end - CLOCKS <= t <= fault.heal_ended + 15 * S for t, _, _ in log)
            ):
                yield f"logs_resume_with_the_heal: that of {node} does not"


def failures_of(run: Run, node: str) -> Iterator[Span]:
    """Rows of failed samples: from the first one's end to the next answer, or to the last sample."""
    start = last = None
    for sample in run.samples or ():
        if sample.node != node:
            continue
        last = sample.t
        if not sample.ok and start is None:
            start = sample.t
        elif sample.ok and start is not None:
            yield start, sample.t
            start = None
    if start is not None and last is not None:
        yield start, last + 1


def nobody_else_was_down(run: Run) -> Iterator[str]:
    if run.baseline is None or not run.probe:
        return
    common = [(event.data["before_ns"], event.data["after_ns"] + 30 * S) for event in run.of("step")]
    common += [(event.t - 30 * S, event.t + 30 * S) for event in run.of("primary") if event.data["node"] is None]
    for node in run.databases:
        spared = list(common)
        for fault in run.faults:
            if node in fault.down or not fault.down:
                end = fault.heal_ended if fault.heal_ended is not None else fault.heal_started
                spared.append((fault.before, end + 30 * S if end is not None else 1 << 62))
        covered = Spans(spared)
        for start, end in failures_of(run, node):
            start, end = max(start, run.baseline[0]), min(end, run.probe_end)
            if end - start - covered.within(start, end) > 8 * S:
                yield f"{node} did not answer for {(end - start) / S:.1f} s"


def fault_came_before_its_effect(run: Run) -> Iterator[str]:
    for fault in run.faults:
        for node in fault.down:
            if any(start < fault.before and start <= fault.after < end for start, end in failures_of(run, node)):
                yield f"{node} had failed before {fault.id} came"


def order_before_the_first_fault(run: Run) -> Iterator[str]:
    if run.baseline is None or not run.faults or not run.probe:
        return
    start, end = run.baseline[0], run.faults[0].before - S // 2
    seconds: dict[int, list[bool]] = defaultdict(list)
    for payment in run.probe:
        if start <= payment.due < end:
            seconds[(payment.due - start) // S].append(not payment.acknowledged)
    if any(sum(failed) >= 3 and 20 * sum(failed) > len(failed) for failed in seconds.values()):
        yield "payments failed before the first fault"
    if any(min(stop, end) - max(zero, start) > 2 * S for zero, stop in pauses_of(run)):
        yield "there was a pause of over 2 s before the first fault"


def reach_shows_the_cut(run: Run) -> Iterator[str]:
    """reach_shows_the_cut, cut_ended_replication, damage_is_where_the_fault_was."""
    centers, limit = run.center_of, run.plan["topology"]["settings"].get("wal_sender_timeout_s")
    for fault in run.faults:
        end = fault.heal_started if fault.heal_started is not None else fault.window_end
        for event in run.of("reach"):
            if event.data["moment"] == "during" and fault.before <= event.t < end:
                for cell in event.data["cells"]:
                    if cell["ok"] and f"{cell['source']}->{cell['target']}" in fault.cut:
                        yield f"{cell['source']} reached {cell['target']} across a cut link"
        late = fault.after + (limit + 5) * S if is_number(limit) else end
        for s in run.samples or ():
            if s.writes and late < s.t < end:
                for peer in s.replication:
                    there, here = centers.get(peer["name"]), centers.get(s.node)
                    if peer["state"] == "streaming" and {f"{here}->{there}", f"{there}->{here}"} & set(fault.cut):
                        yield f"cut_ended_replication: {peer['name']} streams from {s.node} across a cut link"
    flipped = {fault.args.get("node", fault.target) for fault in run.faults if fault.name == "BitsFlipped"}
    for event in run.of("damage"):
        if event.data["node"] not in flipped:
            yield f"damage_is_where_the_fault_was: no bits were flipped on {event.data['node']}"


def topology_was_watched(run: Run) -> Iterator[str]:
    nodes, databases = run.center_of, set(run.databases)
    if run.samples is not None and {s.node for s in run.samples} != databases:
        yield "other databases were sampled than the plan has"
    if {node for event in run.of("expected_copies") for node in event.data["nodes"]} - databases:
        yield "other databases were read back than the plan has"
    if nodes.keys() - run.logs.keys() or any(name not in nodes and not name.startswith("link-") for name in run.logs):
        yield "the logs are not those of the plan's nodes"
    places = {*nodes, *nodes.values(), "door"}
    for event in run.of("proof"):
        for check in event.data["checks"]:
            if not set(check["subject"].split(" ")[-1].split("->")) <= places:
                yield f"a proof asks {check['subject']}, which is not in the plan"


def primaries_were_sampled(run: Run) -> Iterator[str]:
    if run.samples is None:
        return
    sampled: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for s in run.samples:
        sampled[s.node].append((s.t, "primary" if s.writes else "standby" if s.ok else "down"))
    for event in run.of("primary"):
        for node, role in event.data["roles"].items():
            seen = sampled[node]
            near = {what for t, what in seen if abs(t - event.t) <= 2 * S}
            last = [what for t, what in seen if t <= event.t][-1:] or ["down"]
            silent = not any(what != "down" and event.t - S < t <= event.t for t, what in seen)
            if role not in near and role != last[0] and not (role == "down" and silent):
                yield f"{node} was {role} by event {event.seq}, and was not sampled so"
    for node, seen in sampled.items():
        start = None
        for t, what in seen:
            start = (start if start is not None else t) if what == "primary" else None if what == "standby" else start
            named = any(event.data["node"] == node and event.t <= t + 2 * S for event in run.of("primary"))
            if start is not None and what == "primary" and t - start > 2 * S and not named:
                yield f"{node} wrote for over 2 s, and no event names it"
                break


def leaders_wrote_it_down(run: Run) -> Iterator[str]:
    if run.baseline is None:
        return
    named = [event for event in run.of("primary") if event.data["node"]]
    for one, event in pairwise(named):
        node, log = event.data["node"], run.logs.get(event.data["node"], [])
        if node == one.data["node"] or event.t < run.baseline[0]:
            continue
        if not any(event.t - 30 * S <= t <= event.t + CLOCKS and "promot" in line for t, _, line in log):
            yield f"the log of {node} tells no promotion"
    for node in run.databases:
        for t, _, line in run.logs.get(node, ()):
            if t <= run.baseline[0] or "received promote request" not in line:
                continue
            if not any(event.data["node"] == node and t - CLOCKS <= event.t <= t + 30 * S for event in named):
                yield f"the log of {node} tells a promotion, and no event does"


def primary_changes_belong_to_faults(run: Run) -> Iterator[str]:
    if run.baseline and run.faults:
        start, end = run.baseline[0], run.faults[0].before
        before = [event.data["node"] for event in run.of("primary") if event.t <= start][-1:]
        during = [event.data["node"] for event in run.of("primary") if start < event.t < end]
        if len(set(before + during)) > 1:
            yield "the primary changed before the first fault"


def no_answer_without_a_primary(run: Run) -> Iterator[str]:
    if not run.samples:
        return
    watched: list[Span] | None = None
    for node in run.databases:
        mine = [s for s in run.samples if s.node == node]
        near = [(a.t, b.t) for a, b in pairwise(mine) if b.t - a.t <= 2 * S and not a.slow and not b.slow]
        spans = Spans(near).spans
        if watched is None:
            watched = spans
        else:
            both = Spans(spans)
            watched = [piece for start, end in watched for piece in both.pieces(start, end)]
    writing = [s.t for s in run.samples if s.writes]
    rows = sorted((p.sent, p.done) for p in run.payments if p.acknowledged)
    for one, after in pairwise([-1, *writing, 1 << 62]):
        for start, end in watched or ():
            start, end = max(start, one) + LATE, min(end, after) - LATE
            at = bisect_left(rows, (start, 0))
            while at < len(rows) and rows[at][0] < end:
                if rows[at][1] <= end:
                    yield "a payment was sent and acknowledged while no database wrote"
                    return
                at += 1


def samples_go_on(run: Run) -> Iterator[str]:
    """samples_go_on, samples_are_dense."""
    if not run.samples or run.baseline is None or not run.probe:
        return
    gaps, ends = [], (run.baseline[0], run.probe_end)
    for node in run.databases:
        mine = [s for s in run.samples if s.node == node]
        gaps += [after.t - one.t for one, after in pairwise(mine)]
        times = [ends[0], *(s.t for s in mine if ends[0] < s.t < ends[1]), ends[1]]
        if any(after - one > 45 * S for one, after in pairwise(times)):
            yield f"{node} was not sampled for over 45 s"
        writing = [s for s in mine if s.writes]
        if any(one.timeline == after.timeline and (one.flush or 0) > (after.flush or 0) for one, after in pairwise(writing)):
            yield f"samples_are_dense: the log of {node} shrank"
    if gaps and median_low(gaps) > S:
        yield "samples_are_dense: the median gap is over 1 s"


def synchronous_as_named(run: Run) -> Iterator[str]:
    since: dict[str, int] = {}
    for s in run.samples or ():
        if not s.writes:
            continue
        names = set(re.findall(r"[A-Za-z0-9_.*-]+", re.sub(r"^\s*(?:ANY|FIRST)?\s*\d+\s*\(", "(", s.sync_names)))
        listed = {peer["name"] for peer in s.replication if peer["name"] in names or "*" in names}
        wrong = any(
            peer["state"] == "streaming"
            and (peer["sync_state"] in ("sync", "quorum", "async"))
            and (peer["sync_state"] != "async") != (peer["name"] in listed)
            for peer in s.replication
        )
        if not wrong:
            since.pop(s.node, None)
        elif s.t - since.setdefault(s.node, s.t) > 2 * S:
            yield f"{s.node} has synchronous copies other than those that it names"
            return


def durability_was_told(run: Run) -> Iterator[str]:
    if not run.records("durability"):
        return
    for node in run.databases:
        told = [event for event in run.of("durability") if event.data["node"] == node]
        if run.baseline and not any(event.t <= run.baseline[1] for event in told):
            yield f"{node} did not tell how durable it is until the baseline ended"
        for t, _, line in run.logs.get(node, ()) if told else ():
            found = re.search(r'parameter "(\w+)" changed to "(\w+)"', line)
            if not found or t < told[0].t or found[1] not in told[0].data["settings"]:
                continue
            said = any(t - LATE <= event.t <= t + 30 * S and event.data["settings"].get(found[1]) == found[2] for event in told)
            if not said and any(s.node == node and s.ok and t + 2 * LATE < s.t < t + 30 * S for s in run.samples or ()):
                yield f"{node} changed {found[1]} to {found[2]} by its log, and no event says so"


def power_loss_was_provided_for(run: Run) -> Iterator[str]:
    if not run.records("durability"):
        return
    near = [node["name"] for center in run.plan["topology"]["centers"] if center["region"] == "A" for node in center["nodes"]]
    named = run.of("primary")
    ends = [event.t for event in named[1:]] + [1 << 62]
    for node in run.databases:
        told = [event for event in run.of("durability") if event.data["node"] == node]
        for event, until in zip(told, [later.t for later in told[1:]] + [1 << 62], strict=False):
            settings = event.data["settings"]
            if "off" in (settings.get("fsync"), settings.get("full_page_writes")):
                yield f"{node} did not sync what it committed"
            waits = [settings.get("synchronous_commit")]
            waits += [one["value"] for one in event.data["overrides"] if one["name"] == "synchronous_commit"]
            reigns = [(one.t, end) for one, end in zip(named, ends, strict=False) if one.data["node"] == node]
            promised = node in near and run.plan["topology"]["settings"].get("synchronous", "off") != "off"
            if promised and {"off", "local"} & set(waits) and any(t < until and event.t < end for t, end in reigns):
                yield f"{node} was the primary, and its commits waited for no copy"


def clocks_agree(run: Run) -> Iterator[str]:
    if abs(run.clock.passed - run.clock.wall_passed) * 1000 > run.clock.wall_passed:
        yield "the wall clock and the monotonic clock did not pass alike"
    if run.manifest and wall_ns(run.manifest["clock"]["wall"]) <= run.clock.wall:
        yield "the seal is not after the plan"
    for event in run.events:
        if not event.t - CLOCKS <= run.clock.at(event.wall) <= event.t + 5 * S:
            yield f"event {event.seq} was written at another time than it says"


def all_lies_between_plan_and_seal(run: Run) -> Iterator[str]:
    start = run.plan["clock"]["monotonic_ns"]
    end = run.manifest["clock"]["monotonic_ns"] if run.manifest else 1 << 62
    times = [event.t for event in run.events]
    times += [value for event in run.events for name, value in event.data.items() if name.endswith("_ns") and is_int(value)]
    times += [t for payment in run.payments for t in payment[1:4]] + [t for s in run.samples or () for t in s[:2]]
    times += [t for row in run.witness or () for t in row[:2]]
    times += [t for read in run.reads or () for t in read[1:3]]
    counts = [count for count in (run.probe_count, run.locust_count, run.witness_count) if count]
    times += [count[name] for count in counts for name in ("started_ns", "stopped_ns")]
    if times and not start <= min(times) <= max(times) <= end:
        yield "a record is older than the plan, or newer than the seal"


def story_is_whole(run: Run) -> Iterator[str]:
    for kind in ("ready", "baseline", "authority", "expected_copies"):
        if not run.of(kind):
            yield f"there is no {kind}"
    phases = " ".join(event.data["name"] for event in run.of("phase"))
    heals = len(run.of("heal_started"))
    if not re.fullmatch(r"start steady baseline (?:fault |heal )*drain readback seal", phases) or phases.count("fault") != len(
        run.of("intent")
    ):
        yield f"the phases are {phases}"
    if phases.count("heal") != heals or Counter(e.data["id"] for e in run.of("healed")) != Counter(
        e.data["id"] for e in run.of("heal_started")
    ):
        yield "a heal has no phase, or no end"
    for kind in ("load_started", "load_stopped"):
        if sorted(event.data["origin"] for event in run.of(kind)) != ["locust", "probe"]:
            yield f"{kind} is not told of both loads"


def loads_ran_as_told(run: Run) -> Iterator[str]:
    for origin, count in (("probe", run.probe_count), ("locust", run.locust_count)):
        for kind, name in (("load_started", "started_ns"), ("load_stopped", "stopped_ns")):
            for event in run.of(kind):
                if count and event.data["origin"] == origin and not 0 <= event.t - count[name] <= 15 * S:
                    yield f"{kind} of {origin} is not when its own count says"


def waits_are_as_long_as_told(run: Run) -> Iterator[str]:
    acts = [(event.data["before_ns"], event.data["after_ns"]) for event in run.of("step", "injected")]
    for event in run.of("step"):
        if not event.data["after_ns"] - event.data["before_ns"] >= 0 or run.clock.at(event.wall) > event.data["after_ns"] + 5 * S:
            yield f"the step {event.data['name']} was not written when it ended"
    for event in run.of("until"):
        acts.append((event.t - round(event.data["waited_s"] * S), event.t))
        if event.data["reached"] and event.data["waited_s"] > event.data["within_s"] + 1:
            yield f"{event.data['condition']} was awaited for longer than told"
    for start, end in acts:
        for other, stop in acts:
            if start < other < end < stop and min(end - other, other - start, stop - end) > LATE:
                yield "an act began in another and outlasted it"


def injection_is_as_told(run: Run) -> Iterator[str]:
    """injection_is_as_told, proofs_came_after."""
    for event in run.of("injected"):
        if not -CLOCKS <= run.clock.at(event.wall) - event.data["after_ns"] <= 5 * S:
            yield f"the injection of {event.data['id']} was not written when it ended"
    for fault in run.faults:
        if any(event.t < fault.after for event in run.of("proof") if event.data["id"] == fault.id):
            yield f"proofs_came_after: that of {fault.id} did not"


def baseline_is_as_planned(run: Run) -> Iterator[str]:
    if run.baseline:
        start, end = run.baseline
        planned = run.plan["load"]["baseline_s"]
        if not planned * S <= end - start <= (planned + 2) * S:
            yield f"it is {(end - start) / S} s long, not {planned} s"
        for count in (run.probe_count, run.locust_count):
            if count and not count["started_ns"] <= start <= end <= count["stopped_ns"]:
                yield "it does not lie in the load"


def targets_follow_from_their_basis(run: Run) -> Iterator[str]:
    for name, basis in run.plan["targets"]["basis"].items():
        target = run.plan["targets"].get(name)
        terms = basis.partition(";")[0].split("+") if isinstance(basis, str) else []
        seconds = [re.findall(r"(?<![\w.])(\d+(?:\.\d+)?) s\b", term) for term in terms]
        is_sum = len(terms) > 1 and all(len(found) == 1 for found in seconds) and is_number(target)
        if is_sum and abs(sum(float(found[0]) for found in seconds) - target) > 1e-6:
            yield f"the basis of {name} does not sum to {target}"


def witness_is_gapless(run: Run) -> Iterator[str]:
    """witness_is_gapless, witness_rows_add_up."""
    if not run.witness or run.baseline is None or not run.probe or not run.witness_count:
        return
    kinds: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for row in run.witness:
        kinds[row.kind, row.core].append((row.start, row.end))
        if row.kind == "sync" and row.late != row.end - row.start:
            yield "witness_rows_add_up: a sync's lateness is not its length"
        if row.kind == "wake" and (row.late or 0) >= 20 * MS:
            at = row.data["at_ns"]
            if at < row.start - 100 * MS or at + (row.late or 0) > row.end + 10 * MS:
                yield "witness_rows_add_up: a wake does not lie in its span"
    if ("sync", "") not in kinds or sum(kind == "wake" for kind, _ in kinds) != run.witness_count["cores"]:
        yield "a core or the disk was not watched"
    for (kind, core), spans in kinds.items():
        spans.sort()
        if any(not 0 <= after[0] - one[1] <= 2 * S for one, after in pairwise(spans)):
            yield f"{kind} {core}: its spans overlap, or leave a gap"
        if spans[0][0] > run.baseline[0] or spans[-1][1] < run.probe_end - 2 * S:
            yield f"{kind} {core}: it does not cover the run"


def stalls_were_felt(run: Run) -> Iterator[str]:
    measures = [row for row in run.witness or () if row.kind in ("pressure", "cpu")]
    for row in run.witness or ():
        length = row.late or 0
        if row.kind not in ("wake", "sync") or length < 200 * MS:
            continue
        start = row.data["at_ns"] if row.kind == "wake" else row.start
        end = start + length
        data = [one.data for one in measures if one.start < end and one.end > start]
        late = max((p.sent - p.due for p in run.probe or () if start - S <= p.due <= end and p.sent >= start), default=0)
        waited = [1000 * sum(one.get(name, 0) for one in data) for name in ("io_some_us", "cpu_some_us")]
        felt = max(late, *waited, sum(one.get("steal_ns", 0) for one in data))
        if felt * 20 < length:
            yield f"a stall of {length / S:.2f} s was felt by nothing else"


RULES: tuple[Callable[[Run], Iterator[str]], ...] = (
    numbered_keys,
    schedule_adds_up,
    patience_is_kept,
    drawn_from_the_seed,
    reads_follow_the_looks,
    customers_keep_paying,
    door_counted,
    door_and_ledgers,
    committed_when_told,
    committed_by_a_primary,
    receipts_cover_what_stands,
    dead_disks_and_ledgers,
    effect_follows_from_the_target,
    proof_is_of_its_kind,
    victims_fell_silent,
    nobody_else_was_down,
    fault_came_before_its_effect,
    order_before_the_first_fault,
    reach_shows_the_cut,
    topology_was_watched,
    primaries_were_sampled,
    leaders_wrote_it_down,
    primary_changes_belong_to_faults,
    no_answer_without_a_primary,
    samples_go_on,
    synchronous_as_named,
    durability_was_told,
    power_loss_was_provided_for,
    clocks_agree,
    all_lies_between_plan_and_seal,
    story_is_whole,
    loads_ran_as_told,
    waits_are_as_long_as_told,
    injection_is_as_told,
    baseline_is_as_planned,
    targets_follow_from_their_basis,
    witness_is_gapless,
    stalls_were_felt,
)


def check_records(run: Run) -> None:
    for rule in RULES:
        found = list(rule(run))
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            run.doubt(f"{rule.__name__}: {found[0]}{more}")


# ---- The verifier ----------------------------------------------------------------------------------------------------------


def verify(path: Path) -> Data:
    """The verdict on a run of version 2. Raises Damaged where there is none to judge."""
    run = read_plan(path)
    read_run(run)
    if run.plan["evidence_version"] != 2:
        run.doubt(f"plan: version {run.plan['evidence_version']} is not known")
    find_faults(run)
    for check in (check_witness, check_body, check_probe, check_customers, check_baseline, check_faults, check_copies):
        check(run)
    check_exempt_keys(run)
    check_autopsies(run)
    check_records(run)
    figures, measured = measure(run)
    verdict = verdict_of(run, figures, measured)
    return {
        "verdict": verdict,
        "doubts": run.doubts,
        "breaches": run.breaches,
        "undecided": run.undecided,
        "figures": figures,
        "faults": [told(one) for one in measured],
    }


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
