"""What several rules need of a run, read once: its faults, its clock, its ledgers as one table, its logs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from judging.columns import ROWS, Codes, KeyBook, Places, arrow
from judging.crosschecks.passed import Passed, pass_on
from judging.crosschecks.sent import Sent
from judging.crosschecks.standing import Stood, TextBook, read_frame, read_table
from judging.evidence import Event, Plan
from judging.host import Host, read_host
from judging.records import DAMAGE, Baseline, Effect, HealStarted, Injected, Intent, Proof, Records, topology_centers

T = TypeVar("T")

SECOND_NS = 1_000_000_000
# A machine that is busy may sample, write or send this late: the probe itself may be 1 s late in a run that counts.
BUSY_NS = SECOND_NS
# Wall clocks are read beside monotonic ones, and may be slewed by 500 ppm: 50 ms in a hundred seconds.
CLOCK_NS = 50_000_000
WAITED = ("no answer within", "timed out", "ended before")  # how a client says that it was not the connection that ended
LOG_END_BYTES = 1 << 16  # of a log of which only the first and the last line matter
CUSTOMER = re.compile(r"-c-(\d+)-(\d{7})$")  # how a customer's key ends: who, and which of its payments


@dataclass(frozen=True)
class Fault:
    """One injected fault, as events.jsonl tells it."""

    id: str
    name: str
    target: str
    args: dict[str, Any]
    effect: Effect
    before_ns: int
    after_ns: int
    intended_ns: int | None
    heal_ns: int | None
    proof: Proof | None
    proved_ns: int | None  # when the proof was written


class Case:
    """A run under cross-examination. Times are nanoseconds of the run's monotonic clock."""

    def __init__(self, records: Records) -> None:
        self.records = records

    @cached_property
    def plan(self) -> Plan | None:
        return self.records.plan

    @cached_property
    def plan_as_written(self) -> dict[str, Any]:
        found = json.loads(self.records.evidence.path("plan.json").read_text("utf-8"))
        return found if isinstance(found, dict) else {}

    @cached_property
    def run_id(self) -> str:
        return self.plan.run_id if self.plan is not None else ""

    def once(self, what: Callable[[Case], T]) -> T:
        """What several rules need and one of them derives: derived once."""
        if what not in self._known:
            self._known[what] = what(self)
        found: T = self._known[what]
        return found

    @cached_property
    def _known(self) -> dict[Callable[[Case], Any], Any]:
        return {}

    def told(self, *kinds: str) -> list[Event]:
        """The events of these kinds, in order."""
        return [event for event in self.records.events if event.kind in kinds]

    @cached_property
    def keys(self) -> KeyBook:
        return self.records.evidence.keys

    @cached_property
    def sent(self) -> list[Sent]:
        """The ledgers that could be read: the probe's, then Locust's."""
        evidence, found = self.records.evidence, []
        if self.records.probe is not None:
            found.append(Sent(self.records.probe, evidence.probe_keys, self.keys))
        if self.records.ledger is not None:
            found.append(Sent(self.records.ledger, evidence.ledger_keys, self.keys))
        return found

    @cached_property
    def customers(self) -> list[tuple[int, str | None]]:
        """By the place of a ledger key's prefix in the book: whose payments have it (-1: no customer's); a number in the text."""
        _ = self.sent  # then the book has them all
        found: list[tuple[int, str | None]] = []
        for text, digits in self.keys.names():
            match = CUSTOMER.search(text + "0" * KeyBook.DIGITS if digits else text)
            found.append((-1, None) if match is None else (int(match[1]), None if digits else match[2]))
        return found

    @cached_property
    def by_customer(self) -> dict[int, tuple[Codes, Codes]]:
        """Of Locust's payments by customer, in the order of sending: which rows they are, and their numbers."""
        ledger = self.records.ledger
        if ledger is None or not len(ledger):
            return {}
        codes, sent_ns = self.records.evidence.ledger_keys, ledger["sent_ns"].to_numpy(dtype=np.int64)
        prefix, number = np.divmod(codes, KeyBook.BASE)
        named = [customer for customer, _ in self.customers]
        who = np.array(named, np.int16 if max(named) < 1 << 15 else np.int64)[prefix]  # small ones are sorted in linear time
        for place, (_, told) in enumerate(self.customers):
            if told is not None:
                number[prefix == place] = int(told)
        order = np.argsort(who, kind="stable")
        cuts = np.flatnonzero(np.diff(who[order])) + 1
        found: dict[int, tuple[Codes, Codes]] = {}
        for theirs in np.split(order, cuts):
            if (customer := int(who[theirs[0]])) < 0:
                continue
            if (np.diff(sent_ns[theirs]) <= 0).any():
                theirs = theirs[np.lexsort((number[theirs], sent_ns[theirs]))]
            found[customer] = theirs, number[theirs]
        return found

    @cached_property
    def door_log(self) -> Passed | None:
        """The front door's own log, held against the ledgers line by line; None without one."""
        if self.plan is None:
            return None
        try:
            (monotonic, _), pace = self._pairs
        except (*DAMAGE, AttributeError):
            monotonic, pace = 0, 1.0  # the lines can be counted all the same; `door` tells
        return pass_on(self.records.evidence, self.sent, monotonic_ns=monotonic, pace=pace, busy_ns=BUSY_NS, clock_ns=CLOCK_NS)

    @cached_property
    def door(self) -> Passed | None:
        """What the door's lines say of payments; None when no `door_log` event and no line tells of any."""
        log = self.door_log
        if log is None or not (log.counted.lines or self.told("door_log")):
            return None
        _ = self._pairs  # raises where a clock pair is none: then no line has a time
        return log

    @cached_property
    def host(self) -> Host:
        """The host's stalls. What is wrong with the witness's rows is a doubt already, or is told elsewhere."""
        before = list(self.records.doubts)
        try:
            return read_host(self.records)
        finally:
            self.records.doubts[:] = before

    def excused_ns(self, from_ns: npt.ArrayLike, to_ns: npt.ArrayLike) -> Codes:
        """How much of the time between two moments the host's excuses account for, whichever comes first."""
        return self.host.excuses.inside(np.minimum(from_ns, to_ns), np.maximum(from_ns, to_ns))

    @cached_property
    def faults(self) -> list[Fault]:
        """The faults that were injected, in the order of time."""
        intents = {data.id: (event.t_ns, data) for event, data in self.records.of("intent", Intent)}
        heals = [(data.id, event.t_ns) for event, data in self.records.of("heal_started", HealStarted)]
        proofs = self.records.of("proof", Proof)
        found = []
        for _, data in sorted(self.records.of("injected", Injected), key=lambda one: one[1].before_ns):
            told_ns, intent = intents.get(data.id, (None, None))
            heal_ns = next((t for one, t in heals if one == data.id and t >= data.before_ns), None)
            theirs = [(event.t_ns, one) for event, one in proofs if one.id == data.id and event.t_ns >= data.before_ns]
            proved_ns, proof = next((p for p in reversed(theirs) if heal_ns is None or p[0] <= heal_ns), (None, None))
            found.append(
                Fault(
                    id=data.id,
                    name=intent.name if intent else "",
                    target=intent.target if intent else "",
                    args=intent.args if intent else {},
                    effect=intent.effect if intent else Effect(),
                    before_ns=data.before_ns,
                    after_ns=data.after_ns,
                    intended_ns=told_ns,
                    heal_ns=heal_ns,
                    proof=proof,
                    proved_ns=proved_ns,
                )
            )
        return found

    @cached_property
    def baseline(self) -> Baseline | None:
        told = self.records.of("baseline", Baseline)
        return told[-1][1] if told else None

    @cached_property
    def databases(self) -> dict[str, str]:
        """Database node → its center."""
        nodes = topology_centers(self.plan)
        return {node: center for node, (center, kind) in nodes.items() if kind == "postgres"}

    @cached_property
    def centers(self) -> dict[str, str]:
        """Node of the plan → its center."""
        return {node: center for node, (center, _) in topology_centers(self.plan).items()}

    @cached_property
    def authority(self) -> str | None:
        named = [event.data.get("node") for event in self.told("authority")]
        return str(named[-1]) if named else None

    def copy(self, node: str, table: str) -> pd.DataFrame | None:
        """One table of one copy; None when it is not there (which is told elsewhere)."""
        if not self.records.evidence.path(f"copies/{node}.{table}.csv.gz").is_file():
            return None
        return self.records.evidence.copy(node, table)

    @cached_property
    def authorised(self) -> Places:
        """The keys of all that edges authorised by themselves: acknowledged before it stood at the center, as planned."""
        codes = [self.keys.encode(arrow(frame["key"])) for frame in self.records.edges.values()]
        return self.keys.places(np.concatenate([np.zeros(0, np.int64), *codes]))

    @cached_property
    def stands(self) -> Stood | None:
        """The authority's payments."""
        name = f"copies/{self.authority}.payments.csv.gz"
        if self.authority is None or not self.records.evidence.path(name).is_file():
            return None
        found = read_table(self.records.evidence.path(name), self, rows=bool(self.dead_disks))
        return found or read_frame(self.records.evidence.copy(self.authority, "payments"), self)

    @cached_property
    def dead_disks(self) -> dict[str, Stood]:
        """What was read of dead disks: node → its payments."""
        evidence, found = self.records.evidence, {}
        for path in sorted(evidence.path("autopsy").glob("*.payments.csv.gz")):
            node = path.name.removesuffix(".payments.csv.gz")
            disk = read_table(path, self, rows=True)
            if disk is None and (frame := evidence.autopsy(node)) is not None:
                disk = read_frame(frame, self)
            if disk is not None:
                found[node] = disk
        return found

    @cached_property
    def texts(self) -> TextBook:
        """The accounts and the odd times of all copies, as numbers."""
        return TextBook()

    @staticmethod
    def streaming(replication: str) -> dict[str, str]:
        """The copies that stream by a sample's `replication`, each with its `sync_state`."""
        listed = json.loads(replication) if replication else []
        return {str(r["name"]): str(r.get("sync_state")) for r in listed if r.get("state") == "streaming"}

    # Wall time

    @cached_property
    def witness_rows(self) -> pd.DataFrame | None:
        """The witness's rows as they stand in its file; None without any."""
        path = self.records.evidence.path("witness.csv")
        if not path.is_file():
            return None
        types = {"from_ns": "int64", "to_ns": "int64", "kind": "str", "core": "str", "data": "str"}
        frame = pd.read_csv(path, keep_default_na=False, dtype=types)
        return frame.assign(late_ns=pd.to_numeric(frame["late_ns"]).fillna(0).astype("int64")) if len(frame) else None

    @cached_property
    def _pairs(self) -> tuple[tuple[int, int], float]:
        """The plan's clock pair, and monotonic nanoseconds a wall nanosecond, from the pair at the end."""
        assert self.plan is not None
        first = (self.plan.clock.monotonic_ns, wall_ns(self.plan.clock.wall))
        manifest = self.records.evidence.manifest
        if manifest is None or (spent := wall_ns(manifest.clock.wall) - first[1]) <= 0:
            return first, 1.0
        return first, (manifest.clock.monotonic_ns - first[0]) / spent

    @property
    def pace(self) -> float:
        """Monotonic seconds a second of wall time, between the plan's clock pair and the seal's."""
        return self._pairs[1]

    def at_ns(self, wall: int) -> int:
        """The monotonic time of a wall time, both in nanoseconds."""
        (monotonic, begun), pace = self._pairs
        return monotonic + round((wall - begun) * pace)

    def at_all_ns(self, walls: Codes) -> Codes:
        """The monotonic times of wall times, both in nanoseconds."""
        (monotonic, begun), pace = self._pairs
        found = np.empty(len(walls), np.int64)
        for at in range(0, len(walls), ROWS):
            found[at : at + ROWS] = np.rint((walls[at : at + ROWS] - begun) * pace).astype(np.int64) + monotonic
        return found

    # Logs

    @cached_property
    def log_names(self) -> list[str]:
        return sorted(self.records.evidence.logs())

    def log(self, node: str) -> list[tuple[int, str]]:
        """The lines of one container's log with the times at which they were written; none when it has no log."""
        if node not in self._logs:
            self._logs[node] = list(self._lines(node))
        return self._logs[node]

    def ends_of_log(self, node: str) -> tuple[int, int] | None:
        """The times of the first and the last line of one container's log, read from its ends; None without a line."""
        path = self.records.evidence.path(f"logs/{node}.log")
        if self.plan is None or not path.is_file():
            return None
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size > 2 * LOG_END_BYTES and node not in self._logs:
                file.seek(0)
                first = file.read(LOG_END_BYTES).rpartition(b"\n")[0]
                file.seek(size - LOG_END_BYTES)
                last = file.read().partition(b"\n")[2]
                begin, end = (list(self._stamped(part.decode("utf-8", "replace"))) for part in (first, last))
                if begin and end:
                    return begin[0][0], end[-1][0]
        lines = self.log(node)
        return (lines[0][0], lines[-1][0]) if lines else None

    @cached_property
    def _logs(self) -> dict[str, list[tuple[int, str]]]:
        return {}

    def _lines(self, node: str) -> Iterator[tuple[int, str]]:
        path = self.records.evidence.path(f"logs/{node}.log")
        if self.plan is None or not path.is_file():
            return
        yield from self._stamped(path.read_text("utf-8", "replace"))

    def _stamped(self, text: str) -> Iterator[tuple[int, str]]:
        for line in text.splitlines():
            stamp, _, words = line.partition(" ")
            try:
                yield self.at_ns(wall_ns(stamp)), words
            except ValueError:
                continue  # the rest of a line that had a break in it

    def since_start(self, t_ns: int) -> str:
        """A time in words: seconds from the plan."""
        return f"+{(t_ns - (self.plan.clock.monotonic_ns if self.plan is not None else 0)) / 1e9:.3f} s"


def wall_ns(wall: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time. Raises ValueError."""
    at = datetime.fromisoformat(wall)
    if at.tzinfo is None:
        raise ValueError(f"{wall!r} has no time zone")
    return round(at.timestamp() * 1_000_000) * 1000


def first_few(names: list[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
