"""What several rules need of a run, read once: its faults, its clock, its ledgers as one table, its logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

import pandas as pd

from judging.doorlog import DoorLog, read_door
from judging.evidence import Event, Plan
from judging.records import Baseline, Effect, HealStarted, Injected, Intent, Proof, Records, topology_centers

T = TypeVar("T")

SECOND_NS = 1_000_000_000
# A machine that is busy may sample, write or send this late: the probe itself may be 1 s late in a run that counts.
BUSY_NS = SECOND_NS
# Wall clocks are read beside monotonic ones, and may be slewed by 500 ppm: 50 ms in a hundred seconds.
CLOCK_NS = 50_000_000


@dataclass(frozen=True)
class Fault:
    """One injected fault, as events.jsonl tells it."""

    id: str
    name: str
    target: str
    effect: Effect
    before_ns: int
    after_ns: int
    intended_ns: int | None
    heal_ns: int | None
    proof: Proof | None


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
    def payments(self) -> pd.DataFrame:
        """Both ledgers as one table; empty when neither could be read."""
        found = [table for table in (self.records.probe, self.records.ledger) if table is not None]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame({"key": [], "done_ns": [], "outcome": []})

    @cached_property
    def by_customer(self) -> dict[int, pd.DataFrame]:
        """Locust's payments by customer, in the order of sending, with their `number`."""
        ledger = self.records.ledger
        if ledger is None or not len(ledger):
            return {}
        parts = ledger["key"].str.extract(r"-c-(\d+)-(\d{7})$")
        known = ledger.assign(customer=parts[0], number=parts[1])[parts[0].notna()]
        known = known.astype({"customer": "int64", "number": "int64"}).sort_values(["sent_ns", "number"])
        return {int(str(customer)): theirs for customer, theirs in known.groupby("customer")}

    @cached_property
    def door_log(self) -> DoorLog | None:
        """The front door's own log."""
        return read_door(self.records.evidence) if self.plan is not None else None

    @cached_property
    def door(self) -> pd.DataFrame | None:
        """The payments that the door logged, from `at_ns` to `end_ns`; None when no `door_log` event and no line tells of any."""
        log = self.door_log
        if log is None or not (len(log.frame) or self.told("door_log")):
            return None
        monotonic = self._pairs[0][0]
        at_ns = ((log.frame["at_ns"] - monotonic) * self.pace).round().astype("int64") + monotonic
        return log.frame.assign(at_ns=at_ns, end_ns=at_ns + log.frame["took_ms"].clip(lower=0) * 1_000_000)

    @cached_property
    def faults(self) -> list[Fault]:
        """The faults that were injected, in the order of time."""
        intents = {data.id: (event.t_ns, data) for event, data in self.records.of("intent", Intent)}
        heals = [(data.id, event.t_ns) for event, data in self.records.of("heal_started", HealStarted)]
        proofs = {data.id: data for _, data in self.records.of("proof", Proof)}
        found = []
        for _, data in sorted(self.records.of("injected", Injected), key=lambda one: one[1].before_ns):
            told_ns, intent = intents.get(data.id, (None, None))
            found.append(
                Fault(
                    id=data.id,
                    name=intent.name if intent else "",
                    target=intent.target if intent else "",
                    effect=intent.effect if intent else Effect(),
                    before_ns=data.before_ns,
                    after_ns=data.after_ns,
                    intended_ns=told_ns,
                    heal_ns=next((t for one, t in heals if one == data.id and t >= data.before_ns), None),
                    proof=proofs.get(data.id),
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
    def stands(self) -> pd.DataFrame | None:
        """The authority's payments."""
        return None if self.authority is None else self.copy(self.authority, "payments")

    @cached_property
    def dead_disks(self) -> dict[str, pd.DataFrame]:
        """What was read of dead disks: node → its payments."""
        folder = self.records.evidence.path("autopsy")
        nodes = sorted(p.name.removesuffix(".payments.csv.gz") for p in folder.glob("*.payments.csv.gz"))
        return {node: table for node in nodes if (table := self.records.evidence.autopsy(node)) is not None}

    @staticmethod
    def streaming(replication: str) -> dict[str, str]:
        """The copies that stream by a sample's `replication`, each with its `sync_state`."""
        listed = json.loads(replication) if replication else []
        return {str(r["name"]): str(r.get("sync_state")) for r in listed if r.get("state") == "streaming"}

    # Wall time

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

    def at_all_ns(self, walls: pd.Series[str]) -> pd.Series[int]:
        """The monotonic times of a column of wall times."""
        (monotonic, begun), pace = self._pairs
        stamps = pd.to_datetime(walls, utc=True, format="ISO8601").astype("datetime64[ns, UTC]").astype("int64")
        return ((stamps - begun) * pace).round().astype("int64") + monotonic

    # Logs

    @cached_property
    def log_names(self) -> list[str]:
        return sorted(self.records.evidence.logs())

    def log(self, node: str) -> list[tuple[int, str]]:
        """The lines of one container's log with the times at which they were written; none when it has no log."""
        if node not in self._logs:
            self._logs[node] = list(self._lines(node))
        return self._logs[node]

    @cached_property
    def _logs(self) -> dict[str, list[tuple[int, str]]]:
        return {}

    def _lines(self, node: str) -> Iterator[tuple[int, str]]:
        path = self.records.evidence.path(f"logs/{node}.log")
        if self.plan is None or not path.is_file():
            return
        for line in path.read_text("utf-8", "replace").splitlines():
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
