"""A run's files, read so that damage becomes a doubt in words and never an exception.

`Evidence` is strict, as a reader should be. A verdict has to be given on damaged runs too, and it is INVALID then: with
every reason, not the first one alone. No doubt names the place where the run lies, so that a verdict is the same bytes
anywhere.
"""

from __future__ import annotations

import hashlib
import math
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from judging.errors import EvidenceError
from judging.evidence import (
    EVIDENCE_VERSION,
    UNSEALED,
    VERSIONS,
    Event,
    Evidence,
    LedgerCount,
    Plan,
    ProbeCount,
    WitnessCount,
    sha256_of_bytes,
)
from judging.kinds import wrong

if TYPE_CHECKING:
    import pandas as pd

    from judging.columns import Codes

T = TypeVar("T")

# What reading a damaged file can raise: ours, the file system's, gzip's, pandas' and the parsers'.
DAMAGE = (EvidenceError, OSError, EOFError, zlib.error, ValueError, OverflowError, TypeError, KeyError)
ACKNOWLEDGED_STATUS = (200, 201)
REFUSED_STATUS = (409, 422, 503)
EDGE = "edge"  # a kind of node that authorises by itself


class Data(BaseModel):
    """The `data` of an event, as far as figures need it; more may stand there for the reader's sake."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Nanoseconds = Annotated[int, Field(ge=0, lt=1 << 62)]  # what an int64 column can be held against


class PlanRegistered(Data):
    sha256: str


class Baseline(Data):
    from_ns: Nanoseconds
    to_ns: Nanoseconds


class Effect(Data):
    down: list[str] = []
    cut: list[str] = []
    destroyed: list[str] = []
    damaged: list[str] = []
    impaired: list[str] = []


class Replaced(Data):
    nodes: list[str]


class Restored(Data):
    """A database went back, in place, to right before transaction `xid`, and writes on `timeline` since."""

    node: str
    timeline: int
    xid: int
    before_ns: Nanoseconds
    after_ns: Nanoseconds


class Intent(Data):
    effect: Effect = Effect()
    id: str
    name: str
    target: str
    args: dict[str, Any] = {}


class Injected(Data):
    id: str
    before_ns: Nanoseconds
    after_ns: Nanoseconds


class Check(Data):
    subject: str
    side: str
    expected: object
    seen: object
    ok: bool


class Proof(Data):
    id: str
    proved: bool
    checks: list[Check]


class Primary(Data):
    node: str | None


class Override(Data):
    place: str
    name: str
    value: str


class Durability(Data):
    node: str
    settings: dict[str, str]
    overrides: list[Override]


class LeaderKey(Data):
    store: str
    leader: str | None
    seen_before_ns: Nanoseconds | None = None
    revision: int | None = None


class Step(Data):
    name: str
    role: str | None
    before_ns: Nanoseconds = 0
    after_ns: Nanoseconds
    ok: bool


class Line(Data):
    source: str
    target: str
    bandwidth_kbps: int
    from_ns: Nanoseconds
    to_ns: Nanoseconds
    bytes: int
    dropped: int


class Lines(Data):
    """What narrow lines carried between two looks, by their kernel's own count."""

    lines: list[Line]


class Damage(Data):
    """What a scrub found. In version 2 this is the end of detection; in version 1 a step with that role told it."""

    node: str
    pages: list[str] = []


class Until(Data):
    condition: str
    within_s: float
    reached: bool
    waited_s: float | None = None
    seen: object = None


class HealStarted(Data):
    id: str


class Healed(Data):
    id: str
    ok: bool


class Authority(Data):
    node: str


class ExpectedCopies(Data):
    nodes: list[str]


class AutopsyDone(Data):
    node: str
    payments: int | None = None
    end_lsn: int | None = None


class Ready(Data):
    first_payment_s: float | None = None
    full_redundancy_s: float | None = None


class Ended(Data):
    error: object = None


class ByHand(Data):
    act: str
    did: dict[str, Any] = {}


class Keys(Data):
    count: int
    sha256: str


class ExemptKeys(Data):
    observers: Keys
    ready: Keys


class EdgeStore(Data):
    node: str
    payments: int
    synchronous: int


class DoorLog(Data):
    payments: int
    dropped: int | None = None


class Peer(Data):
    """A copy in the `replication` of a primary's sample."""

    name: str
    state: str
    sync_state: str
    flush_lsn: int | None


_PEERS = TypeAdapter(list[Peer])
D = TypeVar("D", bound=Data)


@dataclass
class Records:
    """What could be read of a run; None: missing or damaged, and `doubts` says so."""

    evidence: Evidence
    plan: Plan | None
    events: list[Event]
    probe: pd.DataFrame | None
    ledger: pd.DataFrame | None
    samples: pd.DataFrame | None
    probe_count: ProbeCount | None
    ledger_count: LedgerCount | None
    doubts: list[str] = field(default_factory=list)
    witness: pd.DataFrame | None = None  # None without a doubt: the plan promises none
    witness_count: WitnessCount | None = None
    reads: pd.DataFrame | None = None  # None without a doubt: the plan promises none
    edges: dict[str, pd.DataFrame] = field(default_factory=dict)  # by edge: what it had authorised

    @property
    def version(self) -> int:
        """Which page the run is judged by; the newest where the plan can't say."""
        return self.plan.evidence_version if self.plan is not None else EVIDENCE_VERSION

    def promised(self, what: str) -> bool:
        """Whether the plan says that this is recorded. Runs of before it was have no word of it."""
        return self.plan is not None and what in self.plan.records

    def of(self, kind: str, model: type[D]) -> list[tuple[Event, D]]:
        """The events of a kind with their data, in order; one that is not as the page says becomes a doubt."""
        found: list[tuple[Event, D]] = []
        for event in (e for e in self.events if e.kind == kind):
            try:
                found.append((event, model.model_validate(event.data)))
            except ValidationError as error:
                where = ".".join(str(part) for part in error.errors()[0]["loc"])
                self.doubt(f"events.jsonl seq {event.seq} ({kind}): {where}: {error.errors()[0]['msg']}.")
        return found

    def doubt(self, sentence: str) -> None:
        if sentence not in self.doubts:
            self.doubts.append(sentence)


def read(evidence: Evidence) -> Records:
    """Read every file, check the seal, the plan's hash, the order of events and what each ledger counts."""
    doubts: list[str] = []
    _check_seal(evidence, doubts)
    records = Records(
        evidence=evidence,
        plan=attempt(evidence, "plan.json", lambda: evidence.plan, doubts),
        events=_events(evidence, doubts),
        probe=attempt(evidence, "probe.csv", lambda: _payments(evidence.probe, lambda: evidence.probe_keys, evidence), doubts),
        ledger=attempt(
            evidence, "ledger.csv", lambda: _payments(evidence.ledger, lambda: evidence.ledger_keys, evidence), doubts
        ),
        samples=attempt(evidence, "samples.csv", lambda: evidence.samples, doubts),
        probe_count=attempt(evidence, "probe.json", lambda: evidence.probe_count, doubts),
        ledger_count=attempt(evidence, "ledger.json", lambda: evidence.ledger_count, doubts),
        doubts=doubts,
    )
    if evidence.path("manifest.json").is_file() and _touched_by_hand(evidence):
        doubts.append("Somebody worked on the topology by hand while the drill ran: see by-hand.jsonl.")
    _check_plan(records)
    if records.version > 1:
        _check_version_2(records)
    _check_ending(records)
    _check_probe(records)
    _check_ledger(records)
    return records


def _touched_by_hand(evidence: Evidence) -> bool:
    """Whether by-hand.jsonl was there when the run was sealed: what `--keep` leaves to hands afterwards does not count."""
    try:
        return evidence.manifest is not None and "by-hand.jsonl" in evidence.manifest.files
    except EvidenceError:
        return False  # the broken seal is told already


def attempt(evidence: Evidence, name: str, reading: Callable[[], T], doubts: list[str]) -> T | None:
    """What `reading` gives, or None and a doubt that names the file."""
    if not evidence.path(name).is_file():
        doubts.append(f"{name} is missing.")
        return None
    try:
        if name.endswith(".csv"):
            _check_last_line(evidence, name)
        return reading()
    except DAMAGE as error:
        doubts.append(f"{name} cannot be read: {_placeless(evidence, error)}.")
        return None


def _check_last_line(evidence: Evidence, name: str) -> None:
    """A reader takes a row that was cut short for a row with empty cells."""
    with evidence.path(name).open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            raise ValueError("it ends in the middle of a line")


def _placeless(evidence: Evidence, error: Exception) -> str:
    """The error's words without the directory, which differs from place to place."""
    words = str(error).replace(f"{evidence.directory}/", "").replace(str(evidence.directory), "the run")
    return (words.splitlines() or [type(error).__name__])[0].rstrip(".")


# The seal and the plan


def _check_seal(evidence: Evidence, doubts: list[str]) -> None:
    try:
        manifest = evidence.manifest
        doubts += [f"The seal is broken: {broken}." for broken in evidence.broken_seals()]
        if manifest is None:
            return
        if manifest.evidence_version != evidence.plan.evidence_version:
            seen = evidence.plan.evidence_version
            doubts.append(f"manifest.json seals evidence version {manifest.evidence_version}; plan.json is of version {seen}.")
        if manifest.run_id != evidence.plan.run_id:
            doubts.append(f"manifest.json seals run {manifest.run_id}; plan.json is of run {evidence.plan.run_id}.")
        doubts += [
            f"The seal is broken: {name} is not in manifest.json."
            for name in _figures_come_from(evidence)
            if name not in manifest.files
        ]
    except DAMAGE as error:
        doubts.append(f"The seal cannot be checked: {_placeless(evidence, error)}.")


def _figures_come_from(evidence: Evidence) -> list[str]:
    """The files of the run that figures are computed from: a file added after sealing must not count."""
    whole = ["plan.json", "events.jsonl", "probe.csv", "probe.json", "ledger.csv", "ledger.json", "samples.csv"]
    if evidence.plan.evidence_version > 1:
        whole += ["witness.csv", "witness.json", "logs/door.log", *(["reads.csv"] if "reads" in evidence.plan.records else [])]
    folders = [p for folder in ("copies", "autopsy", "edges") for p in evidence.path(folder).glob("*.csv.gz")]
    names = whole + sorted(p.relative_to(evidence.directory).as_posix() for p in folders)
    return [name for name in names if name not in UNSEALED and evidence.path(name).is_file()]


def _check_plan(records: Records) -> None:
    if records.plan is not None and records.plan.evidence_version not in VERSIONS:
        known = " or ".join(map(str, VERSIONS))
        records.doubt(f"plan.json: expected evidence version {known}, seen {records.plan.evidence_version}.")
    first = records.events[0] if records.events else None
    if first is None or first.kind != "plan_registered":
        records.doubt("events.jsonl: expected the plan's hash in its first line; it is not there.")
        return
    for _, registered in records.of("plan_registered", PlanRegistered)[:1]:
        try:
            seen_sha = hashlib.sha256(records.evidence.path("plan.json").read_bytes()).hexdigest()
        except OSError:
            return  # already a doubt: plan.json cannot be read
        if registered.sha256 != seen_sha:
            records.doubt("plan.json is not the plan that was registered: its SHA-256 differs from events.jsonl's.")


# What version 2 adds


def _check_version_2(records: Records) -> None:
    _check_chain(records)
    _check_kinds(records)
    _check_times_of_seal(records)
    if records.samples is not None:
        records.samples = attempt(records.evidence, "samples.csv", lambda: _samples(records.evidence.samples), records.doubts)
    for _, by_hand in records.of("by_hand", ByHand):
        what = by_hand.did.get("name") or by_hand.did.get("id") or "something"
        records.doubt(f"Somebody worked on the topology by hand while the drill ran: {by_hand.act} of {what}.")
    if records.plan is not None and records.plan.witness is not None:
        evidence, doubts = records.evidence, records.doubts
        records.witness = attempt(evidence, "witness.csv", lambda: _witness(evidence.witness), doubts)
        records.witness_count = attempt(evidence, "witness.json", lambda: evidence.witness_count, doubts)
        _check_witness(records)
    if records.promised("reads"):
        records.reads = attempt(records.evidence, "reads.csv", lambda: _reads(records.evidence.reads), records.doubts)
        _check_reads(records)
    _check_edges(records)


def _check_edges(records: Records) -> None:
    """Each edge of the plan has its record, which holds as many payments as the harness counted when it read it."""
    told = [data for _, data in records.of("edge_store", EdgeStore)]
    for node, (_, kind) in topology_centers(records.plan).items():
        if kind != EDGE:
            continue
        counts = [data.payments for data in told if data.node == node]
        name = f"edges/{node}.csv.gz"
        frame = attempt(records.evidence, name, lambda node=node: _edge(records.evidence.edge(node)), records.doubts)  # type: ignore[misc]
        if frame is None:
            continue
        records.edges[node] = frame
        if counts != [len(frame)]:
            records.doubt(f"{name}: expected one event of {node}'s store with {len(frame)} payments, seen {counts or 'none'}.")


def _edge(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows, if they are what the page says: in byte order, each key once, an answer with its time."""
    keys = [str(key).encode() for key in frame["key"]]
    if any(one >= after for one, after in pairwise(keys)) or not all(keys):
        raise ValueError("its rows are not sorted, or a key stands there twice")
    if (frame["amount_minor"] <= 0).any():
        raise ValueError("an amount is not above 0")
    settled = frame["status"].notna().to_numpy()
    if ((frame["forwarded_at"] != "").to_numpy() != settled).any():
        raise ValueError("an answer of the center without its time, or a time without an answer")
    if not frame["status"][settled].isin((*ACKNOWLEDGED_STATUS, 409, 422)).all():
        raise ValueError("the center answered what is no answer to a payment")
    for name in ("authorised_at", "forwarded_at"):
        for text in frame[name][settled] if name == "forwarded_at" else frame[name]:
            if datetime.fromisoformat(text).tzinfo is None:
                raise ValueError(f"{name} {text!r} is no RFC 3339 time")
    return frame


def _check_kinds(records: Records) -> None:
    """An event whose data is not as the page says tells nothing, not even the part of it that can be read."""
    told = []
    for event in records.events:
        if (what := wrong(event.kind, event.data)) is None:
            told.append(event)
        else:
            records.doubt(f"events.jsonl seq {event.seq} ({event.kind}): {what}.")
    records.events = told


def _check_chain(records: Records) -> None:
    """Each line carries the hash of the one before it, the first that of the plan, and the seal that of the last."""
    try:
        lines = records.evidence.path("events.jsonl").read_bytes().removesuffix(b"\n").split(b"\n")
        head = sha256_of_bytes(records.evidence.path("plan.json").read_bytes())
        manifest = records.evidence.manifest
    except DAMAGE:
        return  # a doubt names the file already
    if len(lines) != len(records.events):
        return  # a doubt names the lines that are no events
    for event, line in zip(records.events, lines, strict=True):
        if event.prev != head:
            records.doubt(f"The chain of events is broken at seq {event.seq}: it does not carry the hash of the line before it.")
            return
        head = sha256_of_bytes(line)
    if manifest is not None and manifest.chain_head != head:
        records.doubt("The chain of events does not end where manifest.json says: its last line is not the one that was sealed.")


def _check_times_of_seal(records: Records) -> None:
    """The manifest is sealed by nothing but itself: what no check reads could say anything."""
    try:
        manifest = records.evidence.manifest
    except DAMAGE:
        return  # a doubt says that the seal cannot be checked
    times = {} if manifest is None else {"sealed_at": manifest.sealed_at, "clock.wall": manifest.clock.wall}
    for name, told in times.items():
        try:
            placed = datetime.fromisoformat(told).tzinfo is not None
        except ValueError:
            placed = False
        if not placed:
            records.doubt(f"manifest.json: {name} {told!r} is no RFC 3339 time.")


def _witness(frame: pd.DataFrame) -> pd.DataFrame:
    """Raises where a row tells what no witness sees: host time that comes from the other rows would be too short."""
    if strange := sorted({*frame["kind"].dropna().unique()} - WITNESSED) or ["nothing"] * int(frame["kind"].isna().any()):
        raise ValueError(f"expected rows of {', '.join(sorted(WITNESSED))}; seen {strange[0]!r}")
    return frame


def _check_witness(records: Records) -> None:
    count, rows = records.witness_count, records.witness
    if count is None or rows is None:
        return
    if not count.completed:
        records.doubt("The host witness did not stop in order.")
    if len(rows) != count.rows:
        records.doubt(f"witness.csv: expected {count.rows} rows, seen {len(rows)}.")
    if (rows["to_ns"] < rows["from_ns"]).any():
        records.doubt("witness.csv: a span ends before it begins.")


def _samples(frame: pd.DataFrame) -> pd.DataFrame:
    """Raises where a row is not as the page says: figures would be made of the rows that happen to be whole."""
    for name in ("ok", "in_recovery"):
        if (odd := ~frame[name].dropna().isin((0, 1))).any():
            raise ValueError(f"{name}: expected 0 or 1; seen something else in {int(odd.sum())} rows")
    if (frame["t_ns"] < frame["asked_ns"]).any():
        raise ValueError("a sample was answered before it was asked for")
    for text in frame["replication"].unique():
        if text:
            _PEERS.validate_json(text, strict=True)
    return frame


def _reads(frame: pd.DataFrame) -> pd.DataFrame:
    if (early := (frame["done_ns"] < frame["sent_ns"]).to_numpy()).any():
        raise ValueError(f"{int(early.sum())} reads ended before they were sent")
    return frame


def _check_reads(records: Records) -> None:
    count, reads = records.ledger_count, records.reads
    if count is not None and reads is not None and count.reads != len(reads):
        seen = "none" if count.reads is None else count.reads
        records.doubt(f"Locust counted {seen} payments that were read back; reads.csv holds {len(reads)}.")


# Events


def _events(evidence: Evidence, doubts: list[str]) -> list[Event]:
    text = attempt(evidence, "events.jsonl", lambda: evidence.path("events.jsonl").read_text("utf-8", "replace"), doubts)
    lines = (text or "").split("\n")
    if lines[-1] != "":
        doubts.append("events.jsonl ends in the middle of a line: the harness did not end in order.")
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            events.append(Event.model_validate_json(line))
        except ValidationError as error:
            if number < len(lines):  # the cut last line is told above
                doubts.append(f"events.jsonl line {number} is no event: {error.errors()[0]['msg']}.")
    if [e.seq for e in events] != list(range(len(events))):
        doubts.append("events.jsonl: expected seq 0, 1, 2 … without a gap; lines are missing or out of order.")
    return events


def _check_ending(records: Records) -> None:
    for kind, words in (("interrupted", "The run was interrupted"), ("error", "The run ended with an error")):
        for _, ended in records.of(kind, Ended):
            records.doubt(f"{words}: {str(ended.error or 'no reason given').rstrip('.')}.")


# The two ledgers


def _payments(frame: pd.DataFrame, codes: Callable[[], Codes], evidence: Evidence) -> pd.DataFrame:
    """The rows, if they are what the page says; an outcome that its status does not give is the writer's mistake."""
    wrong = outcome_numbers(frame) != _outcome_by_status(frame)
    if wrong.any():
        row = frame[wrong].iloc[0]
        raise ValueError(
            f"{int(wrong.sum())} outcomes do not follow from their status; payment {row['key']} has"
            f" status {row['status']} and outcome {row['outcome']}"
        )
    if (early := (frame["done_ns"] < frame["sent_ns"]).to_numpy()).any():
        raise ValueError(f"{int(early.sum())} payments ended before they were sent")
    twice = evidence.keys.places(codes()).repeated()
    if twice.any():
        raise ValueError(f"{int(twice.sum())} keys are used twice, the first of them {frame['key'][twice].iloc[0]}")
    return frame


WITNESSED = {"wake", "sync", "pressure", "cpu"}
OUTCOMES = ("acknowledged", "refused", "unknown")


def outcome_numbers(frame: pd.DataFrame) -> npt.NDArray[np.int8]:
    """Each row's outcome as its place in OUTCOMES; 3: something else."""
    told = frame["outcome"].astype("category").cat
    places = [OUTCOMES.index(name) if name in OUTCOMES else len(OUTCOMES) for name in told.categories]
    return np.array([*places, len(OUTCOMES)], np.int8)[told.codes.to_numpy()]  # the code of no outcome is -1: the last place


def _outcome_by_status(frame: pd.DataFrame) -> npt.NDArray[np.int8]:
    status = frame["status"].to_numpy(dtype=np.int64, na_value=-1)
    by_status = np.full(len(frame), OUTCOMES.index("unknown"), np.int8)
    by_status[np.isin(status, ACKNOWLEDGED_STATUS)] = OUTCOMES.index("acknowledged")
    by_status[np.isin(status, REFUSED_STATUS)] = OUTCOMES.index("refused")
    return by_status


def _check_probe(records: Records) -> None:
    count, plan = records.probe_count, records.plan
    if count is None:
        return
    if not (0 < count.interval_ms < math.inf and math.isfinite(count.late_ms_max)):
        records.doubt("probe.json: expected a finite interval_ms above 0 and a finite late_ms_max.")
        records.probe_count = None
        return
    if count.scheduled != count.recorded:
        records.doubt(f"The probe recorded {count.recorded} of {count.scheduled} scheduled payments.")
    if records.probe is not None and len(records.probe) != count.recorded:
        records.doubt(f"probe.csv: expected {count.recorded} rows, seen {len(records.probe)}.")
    if records.probe is not None and _has_gaps(records.probe, round(count.interval_ms * 1e6), count.started_ns):
        records.doubt(f"probe.csv: expected a payment due every {count.interval_ms:g} ms from the start on; some are not there.")
    if records.version > 1 and records.probe is not None and (records.probe["due_ns"] < count.started_ns).any():
        records.doubt("probe.csv holds payments that were due before the probe started (probe.json).")
    if not count.completed:
        records.doubt("The probe did not stop in order.")
    if plan is not None and plan.load.probe_interval_ms != count.interval_ms:
        planned = plan.load.probe_interval_ms
        records.doubt(f"The probe paid every {count.interval_ms:g} ms; the plan says every {planned:g} ms.")
    late_ms = count.late_ms_max
    if records.probe is not None and len(records.probe):
        late_ms = max(late_ms, float((records.probe["sent_ns"] - records.probe["due_ns"]).max()) / 1e6)
    if late_ms > 1000:
        records.doubt(f"The probe sent a payment {late_ms / 1000:.1f} s late; at most 1 s is allowed.")


def _has_gaps(probe: pd.DataFrame, interval_ns: int, started_ns: int) -> bool:
    due = probe["due_ns"].sort_values()
    return bool(len(due)) and bool((due.diff().iloc[1:] != interval_ns).any() or due.iloc[0] - started_ns >= interval_ns)


def _check_ledger(records: Records) -> None:
    count, ledger = records.ledger_count, records.ledger
    if count is None:
        return
    if not count.completed:
        records.doubt("Locust did not stop in order.")
    rows = count.recorded if ledger is None else len(ledger)
    if count.recorded != rows:
        records.doubt(f"ledger.csv: expected {count.recorded} rows, seen {rows}.")
    if count.locust_requests != rows:
        records.doubt(f"Locust counted {count.locust_requests} payments; its ledger holds {rows}.")
    _check_workers(records)


def _check_workers(records: Records) -> None:
    """Customer `n` lives in worker `n` modulo the number of workers: its rows are as many as it, and Locust, counted."""
    count, ledger = records.ledger_count, records.ledger
    planned = records.plan.load.workers if records.plan is not None else None
    if count is None or records.plan is None:
        return
    told = {one.worker: one for one in count.workers or ()}
    if planned is None and count.workers is None:
        return
    if planned is None or list(told) != list(range(planned)) or len(told) != len(count.workers or ()):
        seen = ", ".join(str(one.worker) for one in count.workers or ()) or "none"
        records.doubt(f"ledger.json: expected the counts of {planned or 0} workers, each once and in order; seen {seen}.")
        return
    if ledger is None:
        return
    whose = ledger["key"].str.extract(r"-c-(\d{1,6})-\d{7}$")[0]
    rows = (whose.dropna().astype(int) % len(told)).value_counts().to_dict()
    for worker, one in told.items():
        if not rows.get(worker, 0) == one.recorded == one.locust_requests:
            records.doubt(
                f"Worker {worker} wrote down {one.recorded} payments, Locust counted {one.locust_requests} of it;"
                f" ledger.csv holds {rows.get(worker, 0)} of its customers."
            )


def both_ledgers(records: Records) -> Sequence[tuple[str, pd.DataFrame | None]]:
    return (("probe", records.probe), ("locust", records.ledger))


def topology_centers(plan: Plan | None) -> dict[str, tuple[str, str]]:
    """Node → (its center, its kind), as the plan says; empty when the plan does not."""
    found: dict[str, tuple[str, str]] = {}
    for center in _objects(plan.topology.get("centers") if plan is not None else None):
        for node in _objects(center.get("nodes")):
            found[str(node.get("name"))] = (str(center.get("name")), str(node.get("kind")))
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
