"""The run directory: written while a drill runs, sealed, and read back by `measure`, `judge` and `render`.

docs/evidence.md describes every file and column; names here are the same. Reading needs the files alone.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import io
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from judging.errors import EvidenceError

if TYPE_CHECKING:
    import pandas as pd

    from judging.columns import Codes, KeyBook

EVIDENCE_VERSION = 2  # what is written
VERSIONS = (1, 2)  # what is judged, each by its own page: docs/evidence-1.md, docs/evidence.md
DERIVED = ("verdict.json", "losses.csv", "junit.xml", "report.html")
UNSEALED = (*DERIVED, "standing.json", "harness.log", "manifest.json")
PAYMENT_COLUMNS = (
    "key", "due_ns", "sent_ns", "done_ns", "status", "outcome", "debit", "credit", "amount_minor", "error",
)  # fmt: skip
SAMPLE_COLUMNS = (
    "asked_ns", "t_ns", "node", "ok", "in_recovery", "timeline", "flush_lsn", "replay_lsn", "sync_names",
    "replication", "error",
)  # fmt: skip
READ_COLUMNS = ("key", "sent_ns", "done_ns", "status")
EDGE_COLUMNS = ("key", "debit", "credit", "amount_minor", "authorised_at", "forwarded_at", "status")
WITNESS_COLUMNS = ("from_ns", "to_ns", "kind", "core", "late_ns", "data")
COPY_COLUMNS = {
    "payments": ("key", "debit", "credit", "amount_minor", "committed_at"),
    "entries": ("key", "account", "amount_minor"),
    "accounts": ("id", "opening_minor", "balance_minor"),
}


def _nothing(value: object) -> bool:
    """Fields that version 1 does not have are not written there."""
    return value is None


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Clock(Model):
    monotonic_ns: int
    wall: str

    @staticmethod
    def now() -> Clock:
        return Clock(monotonic_ns=time.monotonic_ns(), wall=wall_now())


class Targets(Model):
    """What the drill must meet; None: no target set. Seconds, counts, and a share for `availability`."""

    rto_s: float | None = None
    rpo_s: float | None = None
    lost_transactions: int | None = None
    interruption_s: float | None = None
    detect_s: float | None = None
    unprotected_s: float | None = None
    availability: float | None = None
    p99_back_s: float | None = Field(default=None, exclude_if=_nothing)  # version 2
    basis: dict[str, str] = Field(default_factory=dict)


class Load(Model):
    """What customers do. The probe gives RTO; the customers give load and their own acknowledged payments."""

    probe_interval_ms: float = 10
    probe_timeout_s: float = 3
    customers: int = 8
    customer_rate_per_s: float = 40
    pay_share: float = 0.8
    baseline_s: float = 5
    service_level_s: float = Field(default=1.0, gt=0, allow_inf_nan=False)  # acknowledged within it of its due time: in order
    # Locust's own distributed mode, with so many workers; None: one process does all
    workers: int | None = Field(default=None, ge=1, exclude_if=_nothing)
    # (seconds since the customers began, times the rate): straight lines in between; None: steady
    shape: list[tuple[float, float]] | None = Field(default=None, min_length=1, exclude_if=_nothing)
    # the least share of the customers' stated rate that is to be made right before the first fault; None: not asked
    rate_min: float | None = Field(default=None, gt=0, le=1, exclude_if=_nothing)

    @model_validator(mode="after")
    def _can_be_done(self) -> Self:
        if self.workers is not None and (self.customers % self.workers or not self.customers):
            raise ValueError(f"workers: expected to divide the {self.customers} customers evenly; seen {self.workers}")
        for before, after in pairwise(self.shape or ()):
            if not before[0] <= after[0]:
                raise ValueError(f"shape: expected points in the order of time; seen {after[0]:g} s after {before[0]:g} s")
        for at_s, times in self.shape or ():
            if not (0 <= at_s < math.inf and 0 < times < math.inf):
                raise ValueError(f"shape: expected a time of 0 s or more and a factor above 0; seen ({at_s:g}, {times:g})")
        return self


class PlannedFault(Model):
    """A fault that the drill's body injects.

    "primary", as target or argument: whoever it is when the fault is prepared; "primary's center": where that node stands.
    """

    kind: Literal["fault"] = "fault"
    name: str
    target: str
    args: dict[str, Any]


class PlannedUntil(Model):
    """A condition that the body awaits."""

    kind: Literal["until"] = "until"
    condition: str
    within_s: float


class PlannedStep(Model):
    """A runbook step of the body. A decision is a step with the role `decide`."""

    kind: Literal["step"] = "step"
    name: str
    role: str | None


Planned = Annotated[PlannedFault | PlannedUntil | PlannedStep, Field(discriminator="kind")]


class Plan(Model):
    """plan.json. One of version 1 has neither `body` nor `witness` nor `records` nor `load.service_level_s`, read or written."""

    evidence_version: int
    drill: str
    claim: str
    run_id: str
    seed: int
    topology: dict[str, Any]
    targets: Targets
    load: Load
    environment_class: str
    drill_kind: str
    environment: dict[str, Any]
    clock: Clock
    body: list[Planned] | None = None  # None: it could not be rehearsed
    witness: dict[str, Any] | None = None  # None: no host witness runs
    records: list[Literal["durability", "reads"]] = Field(default_factory=list)  # what is written beside what each run has

    @model_validator(mode="after")
    def _of_its_version(self) -> Self:
        newer = {"body", "witness", "records"} & self.model_fields_set | {"service_level_s"} & self.load.model_fields_set
        if self.evidence_version == 1 and newer:
            raise ValueError(f"version 1 has no {', '.join(sorted(newer))}")
        return self

    @model_serializer(mode="wrap")
    def _as_its_version(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        if self.evidence_version == 1:
            written.pop("body", None)
            written.pop("witness", None)
            written.pop("records", None)
            written.get("load", {}).pop("service_level_s", None)
        return written


SOURCES = ("harness", "databases", "dcs", "door", "customers", "hands", "host")
WALL = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d(?::?\d\d)?)")


def _check_wall(text: str) -> None:
    if not WALL.fullmatch(text):
        raise ValueError("expected a wall time such as 2026-03-01T09:00:27.172676Z")
    datetime.fromisoformat(text)  # no thirteenth month


class Event(Model):
    seq: int
    t_ns: int
    wall: str
    source: str  # one of SOURCES; in version 1 also the program's name
    kind: str
    text: str
    data: dict[str, Any]
    prev: str | None = Field(default=None, exclude_if=_nothing)  # SHA-256 of the line before; None in version 1

    @model_validator(mode="after")
    def _as_the_page_says(self) -> Self:
        """Version 1 was never held to it."""
        if self.prev is not None:
            _check_wall(self.wall)
            if self.source not in SOURCES:
                raise ValueError(f"expected a source of {', '.join(SOURCES)}; seen {self.source!r}")
        return self


class WorkerCount(Model):
    """What one of Locust's workers wrote down and what Locust counted of it: payments, and of looks the recorded reads."""

    worker: int
    recorded: int
    reads: int
    locust_requests: int


class ProbeCount(Model):
    scheduled: int
    recorded: int
    interval_ms: float
    started_ns: int
    stopped_ns: int
    late_ms_max: float
    completed: bool


class LedgerCount(Model):
    recorded: int
    locust_requests: int
    looks: int
    reads: int | None = None  # of the looks, those at an own payment; None: the run does not record them
    workers: list[WorkerCount] | None = Field(default=None, exclude_if=_nothing)  # None: one process did all
    started_ns: int
    stopped_ns: int
    completed: bool


class WitnessCount(Model):
    """witness.json: what the host witness counted of itself."""

    started_ns: int
    stopped_ns: int
    rows: int
    completed: bool
    cores: int
    degraded: list[str]


class FileSeal(Model):
    bytes: int
    sha256: str


class Manifest(Model):
    evidence_version: int
    run_id: str
    sealed_at: str
    clock: Clock
    files: dict[str, FileSeal]
    chain_head: str | None = Field(default=None, exclude_if=_nothing)  # SHA-256 of the last line of events.jsonl


M = TypeVar("M", bound=Model)


def wall_now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write `text` so that a reader, or a crash, sees the whole file or the old one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def csv_gz(path: Path, text: bytes) -> None:
    """Write compressed bytes that depend on the content alone (no name, no time in the header)."""
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as file:
        file.write(text)


def sha256_of_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def chain_head_of(directory: Path) -> str:
    """SHA-256 of the last line of events.jsonl, without its newline; of the plan when no event was written."""
    lines = (directory / "events.jsonl").read_bytes().removesuffix(b"\n").rsplit(b"\n", 1)
    return sha256_of_bytes(lines[-1]) if lines[-1] else sha256_of(directory / "plan.json")


class EventLog:
    """Appends to a new events.jsonl. Safe from several threads; `durable=True` returns after fsync.

    Every event carries the hash of the line before it, the first one that of plan.json beside it: `head` is the hash of
    the newest line. A directory without a plan (a benchmark's, a test's) starts from the hash of nothing.
    """

    def __init__(self, path: Path) -> None:
        plan = path.with_name("plan.json")
        self.head = sha256_of(plan) if plan.is_file() else sha256_of_bytes(b"")
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._seq = 0
        self.listeners: list[Any] = []

    def write(
        self,
        kind: str,
        text: str,
        *,
        source: str = "harness",
        t_ns: int | None = None,
        durable: bool = False,
        **data: Any,
    ) -> Event:
        with self._lock:
            event = Event(
                seq=self._seq,
                t_ns=time.monotonic_ns() if t_ns is None else t_ns,
                wall=wall_now(),
                source=source,
                kind=kind,
                text=text,
                data=data,
                prev=self.head,
            )
            line = event.model_dump_json()
            self._seq += 1
            self._file.write(line + "\n")
            self._file.flush()
            self.head = sha256_of_bytes(line.encode())
            if durable:
                os.fsync(self._file.fileno())
        for listener in self.listeners:
            with contextlib.suppress(Exception):  # an onlooker must not stop what is done
                listener(event)
        return event

    def close(self) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()


def seal(directory: Path, *, run_id: str, version: int = EVIDENCE_VERSION) -> Manifest:
    """Hash every evidence file and write manifest.json. Nothing sealed may change afterwards."""
    files = {
        path.relative_to(directory).as_posix(): FileSeal(bytes=path.stat().st_size, sha256=sha256_of(path))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.relative_to(directory).as_posix() not in UNSEALED and not path.name.startswith(".")
    }
    manifest = Manifest(
        evidence_version=version,
        run_id=run_id,
        sealed_at=wall_now(),
        clock=Clock.now(),
        files=files,
        chain_head=chain_head_of(directory) if version > 1 and "events.jsonl" in files else None,
    )
    write_atomically(directory / "manifest.json", manifest.model_dump_json(indent=2) + "\n")
    return manifest


class Evidence:
    """A run directory, read only. Raises EvidenceError where a file is missing or is not what docs/evidence.md says.

    Frames have the columns of docs/evidence.md; times are int64 nanoseconds of the host's monotonic clock.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(directory)
        if not (self.directory / "plan.json").is_file():
            raise EvidenceError(
                f"{self.directory} is not a run: it has no plan.json. Name a directory such as runs/center-loss/latest."
            )

    def path(self, name: str) -> Path:
        return self.directory / name

    def text(self, name: str) -> str:
        try:
            return self.path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EvidenceError(f"{name} of {self.directory} cannot be read: {error}") from error

    @cached_property
    def plan(self) -> Plan:
        return _parse(Plan, self.text("plan.json"), "plan.json")

    @cached_property
    def manifest(self) -> Manifest | None:
        """The seal; None when the run was never sealed."""
        if not self.path("manifest.json").is_file():
            return None
        return _parse(Manifest, self.text("manifest.json"), "manifest.json")

    @cached_property
    def events(self) -> list[Event]:
        lines = self.text("events.jsonl").splitlines()
        return [_parse(Event, line, f"events.jsonl line {n}") for n, line in enumerate(lines, 1)]

    def of_kind(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    @cached_property
    def probe_count(self) -> ProbeCount | None:
        if not self.path("probe.json").is_file():
            return None
        return _parse(ProbeCount, self.text("probe.json"), "probe.json")

    @cached_property
    def ledger_count(self) -> LedgerCount | None:
        if not self.path("ledger.json").is_file():
            return None
        return _parse(LedgerCount, self.text("ledger.json"), "ledger.json")

    @cached_property
    def probe(self) -> pd.DataFrame:
        return self._payments("probe.csv")

    @cached_property
    def ledger(self) -> pd.DataFrame:
        return self._payments("ledger.csv")

    @cached_property
    def reads(self) -> pd.DataFrame:
        """Payments that customers read back, one row a read."""
        types = {"key": "str", "sent_ns": "int64", "done_ns": "int64", "status": "Int64"}
        return self._fast("reads.csv", READ_COLUMNS, types, ())

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row a sample. Nullable Int64 where a node did not say; `replication` is the JSON text."""
        types = {
            "asked_ns": "int64", "t_ns": "int64", "node": "str", "ok": "int64", "in_recovery": "Int64",
            "timeline": "Int64", "flush_lsn": "Int64", "replay_lsn": "Int64", "sync_names": "str",
            "replication": "str", "error": "str",
        }  # fmt: skip
        return self._frame("samples.csv", SAMPLE_COLUMNS, types)

    @cached_property
    def witness_count(self) -> WitnessCount | None:
        if not self.path("witness.json").is_file():
            return None
        return _parse(WitnessCount, self.text("witness.json"), "witness.json")

    @cached_property
    def witness(self) -> pd.DataFrame:
        """What the host witness saw, one row a span; `core` is empty where a row is of the whole host, `data` is JSON text."""
        types = {"from_ns": "int64", "to_ns": "int64", "kind": "str", "core": "Int64", "late_ns": "Int64", "data": "str"}
        return self._frame("witness.csv", WITNESS_COLUMNS, types)

    def copy_nodes(self) -> list[str]:
        """The nodes whose tables were read back."""
        return sorted(p.name.removesuffix(".payments.csv.gz") for p in self.path("copies").glob("*.payments.csv.gz"))

    def copy(self, node: str, table: str) -> pd.DataFrame:
        """One table of one copy; `table` is payments, entries or accounts."""
        return self._copy_frame(f"copies/{node}.{table}.csv.gz", COPY_COLUMNS[table])

    def copy_digest(self, node: str) -> str:
        """SHA-256 over the three unpacked tables of a copy: equal copies have equal digests."""
        digest = hashlib.sha256()
        for table in COPY_COLUMNS:
            with gzip.open(self.path(f"copies/{node}.{table}.csv.gz"), "rb") as file:
                digest.update(hashlib.sha256(file.read()).digest())
        return digest.hexdigest()

    def autopsy(self, node: str) -> pd.DataFrame | None:
        name = f"autopsy/{node}.payments.csv.gz"
        return self._copy_frame(name, COPY_COLUMNS["payments"]) if self.path(name).is_file() else None

    def edge(self, node: str) -> pd.DataFrame:
        """What an edge had authorised by itself, one row a payment, in the order of keys; times are text."""
        types = dict.fromkeys(EDGE_COLUMNS, "str") | {"amount_minor": "int64", "status": "Int64"}
        return self._frame(f"edges/{node}.csv.gz", EDGE_COLUMNS, types)

    def logs(self) -> dict[str, Path]:
        """Server logs by container name."""
        return {path.stem: path for path in sorted(self.path("logs").glob("*.log"))}

    def broken_seals(self) -> list[str]:
        """What does not match the manifest, in words; empty when the seal is whole."""
        if self.manifest is None:
            return ["the run was never sealed: it has no manifest.json"]
        broken = []
        self._hash_all(self.manifest.files)
        for name, sealed in self.manifest.files.items():
            path = self.path(name)
            if not path.is_file():
                broken.append(f"{name} is missing")
            elif path.stat().st_size != sealed.bytes or self.file_digest(name) != sealed.sha256:
                broken.append(f"{name} was changed after it was sealed")
        return broken

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    def _hash_all(self, names: Iterable[str]) -> None:
        """The digests of the files that are there, two at a time: hashing is what the seal of a large run takes."""
        there = [name for name in names if self.path(name).is_file()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.file_digest, there))

    def file_digest(self, name: str) -> str:
        """SHA-256 of a file's bytes as they lie there; each file is hashed once."""
        if name not in self._digests:
            self._digests[name] = sha256_of(self.path(name))
        return self._digests[name]

    @cached_property
    def keys(self) -> KeyBook:
        """The numbers of all keys of this run."""
        from judging.columns import KeyBook

        return KeyBook()

    @cached_property
    def probe_keys(self) -> Codes:
        """The probe's keys as numbers, in the order of its rows."""
        return self._encoded(self.probe)

    @cached_property
    def ledger_keys(self) -> Codes:
        """The keys of Locust's ledger as numbers, in the order of its rows."""
        return self._encoded(self.ledger)

    @cached_property
    def read_keys(self) -> Codes:
        """The keys that were read back as numbers, in the order of rows."""
        return self._encoded(self.reads)

    def _encoded(self, frame: pd.DataFrame) -> Codes:
        from judging.columns import arrow

        return self.keys.encode(arrow(frame["key"]))

    def _payments(self, name: str) -> pd.DataFrame:
        types = {
            "key": "str", "due_ns": "int64", "sent_ns": "int64", "done_ns": "int64", "status": "Int64",
            "outcome": "str", "debit": "str", "credit": "str", "amount_minor": "int64", "error": "str",
        }  # fmt: skip
        return self._fast(name, PAYMENT_COLUMNS, types, ("outcome", "debit", "credit", "error"))

    def _copy_frame(self, name: str, columns: Sequence[str]) -> pd.DataFrame:
        return self._fast(name, columns, {c: "int64" if c.endswith("_minor") else "str" for c in columns}, ())

    def _fast(self, name: str, columns: Sequence[str], types: dict[str, str], categories: Sequence[str]) -> pd.DataFrame:
        """Millions of rows by way of Arrow. A file that is not plain is read by pandas, which says what is wrong with it."""
        from judging.columns import read_frame

        self._check_plain(name, columns, types)
        frame = read_frame(self.path(name), columns, types, categories) if self.path(name).is_file() else None
        return self._frame(name, columns, types) if frame is None else frame

    def _frame(self, name: str, columns: Sequence[str], types: dict[str, str]) -> pd.DataFrame:
        import pandas as pd

        self._check_plain(name, columns, types)
        try:
            frame = pd.read_csv(
                self.path(name),
                dtype={c: types[c] for c in columns},
                keep_default_na=False,
                na_values={c: [""] for c in columns if types[c] == "Int64"},
            )
        except (OSError, ValueError, EOFError) as error:
            raise EvidenceError(f"{name} of {self.directory} cannot be read: {error}") from error
        if list(frame.columns) != list(columns):
            raise EvidenceError(f"{name}: expected the columns {', '.join(columns)}; seen {', '.join(frame.columns)}")
        return frame

    def _check_plain(self, name: str, columns: Sequence[str], types: dict[str, str]) -> None:
        """Raises EvidenceError for what readers take and the page does not say. What is packed has a checksum of its own."""
        from judging.columns import misquoted, padded

        path = self.path(name)
        if path.suffix != ".csv" or not path.is_file():
            return
        numbers = [column for column in columns if types[column] != "str"]
        try:
            if (line := misquoted(path)) is not None:
                seen = "expected quotes in pairs around a field; seen others"
            elif (line := padded(path, columns, numbers)) is not None:
                seen = "expected whole numbers; seen one with blanks around it"
            else:
                return
        except ValueError as error:
            raise EvidenceError(f"{name} of {self.directory} cannot be read: {error}") from error
        raise EvidenceError(f"{name} of {self.directory} cannot be read: line {line}: {seen}")


def _parse(kind: type[M], text: str, name: str) -> M:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise EvidenceError(f"{name}: {where}: {first['msg']} (see docs/evidence.md)") from error
