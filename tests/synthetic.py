"""Run directories made up without Docker: complete, valid and sealed, as docs/evidence.md describes them.

    python -m tests.synthetic DIR [SCENARIO]

writes one run into DIR. `write_run` takes a `Scenario`; `SCENARIOS` holds the ones with a name. The same scenario gives
the same bytes. Times in a scenario are seconds from the start of the run, those of a fault seconds from its injection.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

from judging.evidence import (
    COPY_COLUMNS,
    EDGE_COLUMNS,
    EVIDENCE_VERSION,
    PAYMENT_COLUMNS,
    READ_COLUMNS,
    SAMPLE_COLUMNS,
    WITNESS_COLUMNS,
    Clock,
    LedgerCount,
    Load,
    Plan,
    Planned,
    PlannedFault,
    PlannedStep,
    PlannedUntil,
    ProbeCount,
    Targets,
    WitnessCount,
    WorkerCount,
    csv_text,
    seal,
    sha256_of,
    sha256_of_bytes,
    write_atomically,
)

ZERO_NS = 7_200_000_000_000  # the host had been up for two hours
ZERO_WALL = datetime(2026, 1, 15, 2, 0, 0, tzinfo=UTC)
SECOND_NS = 1_000_000_000
ACCOUNTS = 200
OPENING_MINOR = 10_000_000
LSN_START = 0x3000000
LSN_PER_S = 60_000
POSTGRES = ("dc1-a", "dc1-b", "dc2-a", "dc2-b", "dc3-a")
NODES = (*POSTGRES, *(f"{c}-{n}" for c in ("dc1", "dc2", "dc3") for n in ("etcd", "haproxy", "bank")), "dc3-store")
REGION_A = tuple(f"{c}-{n}" for c in ("dc1", "dc2") for n in ("a", "b", "etcd", "haproxy", "bank"))
EDGES = ("edge-1-edge", "edge-2-edge")
EDGE_LIMIT_MINOR = 800
LATEST = 7  # the number of the payment that the probe sent latest of all
CORES = 2
SURGE_TIMES = 4
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on", "wal_level": "replica"}
WITNESS_SEES = {"cores": CORES, "wake_every_ms": 5, "sync_every_ms": 200, "degraded": []}
LOAD_STARTS_S, BASELINE_S, BASELINE_ENDS_S = 19.0, 20.0, 25.0


@dataclass(frozen=True)
class Outage:
    """Seconds from the injection. `late`: payments wait and are acknowledged then; `closed`: they are refused at once."""

    from_s: float
    to_s: float
    late: bool = False
    closed: bool = False


@dataclass(frozen=True)
class Step:
    name: str
    role: str | None
    from_s: float
    to_s: float
    ok: bool = True


@dataclass(frozen=True)
class Stall:
    """The host itself stands still: `wake` a core, `sync` the disk, `cpu` somebody else burns both cores; or its disk is `slow`.

    Seconds of the run.
    """

    from_s: float
    to_s: float
    kind: str = "sync"


@dataclass(frozen=True)
class FaultStory:
    """One fault. `at_s` is the last moment before it; all else is seconds from there. None: it did not happen."""

    at_s: float = 25.05
    inject_s: float = 0.4
    name: str = "CenterPowerLoss"
    target: str = "dc1"
    down: tuple[str, ...] = ("dc1-a", "dc1-b", "dc1-etcd", "dc1-haproxy", "dc1-bank")
    cut: tuple[str, ...] = ()
    outages: tuple[Outage, ...] = (Outage(0.15, 22.0),)
    old: str = "dc1-a"
    new: str = "dc2-a"
    leader_gone_s: float | None = 10.3
    leader_new_s: float | None = 11.1
    promoted_s: float = 17.4
    steps: tuple[Step, ...] = ()
    damage_s: float | None = None  # a scrub finds the damage on `old`
    proved: bool | None = True  # False: the victim still answered; None: no proof was read
    injected: bool = True
    heal_s: float | None = 37.0
    healed: bool | None = True
    damaged: tuple[str, ...] = ()  # tables; by transaction `xid`, on every copy
    xid: int = 801
    restored: tuple[float, float] | None = None  # in place, from when until when
    impaired: tuple[str, ...] = ()  # paths; by `args`, beside the target
    args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether another timeline begins."""
        return self.new != self.old or self.restored is not None


@dataclass(frozen=True)
class Scenario:
    drill: str = "center-loss"
    claim: str = "The production center loses power: the same-city center takes over, and no confirmed payment is lost."
    faults: tuple[FaultStory, ...] = (FaultStory(),)
    ends_s: float = 75.0  # when the load stops
    targets: Targets = field(
        default_factory=lambda: Targets(
            rto_s=30,
            rpo_s=0,
            lost_transactions=0,
            basis={
                "rto_s": "lease 10 s + promotion 10 s + reroute 5 s + margin 5 s",
                "lost_transactions": "a confirmed payment is a promise",
            },
        )
    )
    probe_interval_ms: float = 10
    locust_rate_per_s: float = 32
    sync_before: str = '2 ("dc1-b","dc2-a")'
    sync_after: str = '1 ("dc2-b")'
    lost: int = 0  # the last payments acknowledged before the first outage are gone
    unknown_committed: int = 3
    copies: tuple[str, ...] = POSTGRES  # up and replicating at readback; the last fault's new primary is the authority
    missing_copies: tuple[str, ...] = ()  # expected, and never written
    corrupt: tuple[str, ...] = ()  # phantom, doubled, doubled-entries, balance, entries, unposted, differs, altered
    uncounted: int = 0  # probe payments that were due and not recorded
    locust_uncounted: int = 0
    sampled: Callable[[float], bool] = lambda _: True  # whether samples were taken at that second
    late_ms_max: float = 3.2
    baseline_share: float = 1.0  # of the payments, how many the bank answers in the baseline
    until: tuple[tuple[str, float, bool, float], ...] = (
        ("service_restored", 120, True, 22.6),
        ("replicas_caught_up", 180, True, 6.4),
    )
    interrupted: str | None = None
    seed: int = 7
    version: int = EVIDENCE_VERSION  # of the evidence; what follows is of version 2 alone
    body: bool = True  # the drill's body was registered
    stalls: tuple[Stall, ...] = ()  # of the host, as its witness saw them
    witness: bool = True  # one was promised and ran
    observer_payments: int = 2  # of somebody who is not ours
    service_level_s: float = 1.0
    records: tuple[Literal["durability", "reads"], ...] = ("durability", "reads")  # runs of before have none
    asked: Mapping[str, Any] = field(default_factory=dict)  # of the load, what not every plan has: workers, shape, rate_min
    edges: bool = False  # two edges take customers, and authorise small payments by themselves while there is an outage
    stale: int = 0  # of the reads between the payments, the first ones after the fault that don't find a payment that stands

    @property
    def run_id(self) -> str:
        return f"{self.drill}-20260115T020000Z"

    @property
    def nodes(self) -> tuple[str, ...]:
        return (*NODES, *(EDGES if self.edges else ()))

    @property
    def lost_span_s(self) -> float:
        """How long before the first outage the new primary had stopped receiving, when payments are lost."""
        return 1.2 * self.lost / (1000 / self.probe_interval_ms + self.locust_rate_per_s)

    @property
    def autopsy(self) -> bool:
        """The disk of a primary that died was read while it was dead, and holds what was lost."""
        return bool(self.faults) and self.faults[0].injected and self.faults[0].old in self.faults[0].down


def ns(seconds: float) -> int:
    return ZERO_NS + round(seconds * 1e9)


def wall(t_ns: int) -> str:
    at = ZERO_WALL + timedelta(microseconds=(t_ns - ZERO_NS) // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def write_run(directory: Path, scenario: Scenario | None = None) -> Path:
    """Write the whole run directory and seal it; returns it."""
    story = scenario or Scenario()
    for name in ("copies", "autopsy", "logs"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    plan = _plan(story)
    if story.version > 1:
        plan = plan.model_copy(
            update={
                "body": _body(story),
                "witness": WITNESS_SEES if story.witness else None,
                "records": list(story.records),
            }
        )
    write_atomically(directory / "plan.json", plan.model_dump_json(indent=2) + "\n")
    payments = Payments(story)
    _write_payments(directory, story, payments)
    _write_copies(directory, story, payments)
    for node in EDGES if story.edges else ():
        (directory / "edges").mkdir(exist_ok=True)
        _gzip(directory / "edges" / f"{node}.csv.gz", csv_text(EDGE_COLUMNS, payments.of_edge(node)))
    write_atomically(directory / "samples.csv", csv_text(SAMPLE_COLUMNS, _samples(story)))
    _write_events(directory, story, payments)
    _write_logs(directory, story, payments)
    if story.version > 1:
        write_atomically(directory / "logs" / "door.log", door_log([*payments.probe, *payments.locust], wall))
        if story.witness:
            _write_witness(directory, story)
    if not story.autopsy:
        (directory / "autopsy").rmdir()
    reseal(directory, story)
    return directory


def reseal(directory: Path, scenario: Scenario | None = None, *, chain: bool = True) -> None:
    """Seal (again) at a made-up time, so that the same files give the same manifest; `chain` chains the events anew, too."""
    story = scenario or Scenario()
    if chain and story.version > 1:
        rechain(directory)
    manifest = seal(directory, run_id=story.run_id, version=story.version)
    at = ns(story.ends_s + 9)
    manifest = manifest.model_copy(
        update={"sealed_at": wall(at), "clock": Clock(monotonic_ns=at, wall=wall(at))},
    )
    write_atomically(directory / "manifest.json", manifest.model_dump_json(indent=2) + "\n")


def rechain(directory: Path) -> None:
    """Let each event carry the hash of the line before it, as whoever edits a run and seals it anew would do."""
    path, plan = directory / "events.jsonl", directory / "plan.json"
    if not path.is_file() or not plan.is_file():
        return
    head, lines = sha256_of(plan), path.read_bytes().split(b"\n")
    for n, line in enumerate(lines[:-1]):
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if isinstance(event, dict):
            lines[n] = json.dumps({**event, "prev": head}, ensure_ascii=False).encode()
        head = sha256_of_bytes(lines[n])
    path.write_bytes(b"\n".join(lines))


GROUPS = [{"name": "region-a", "upstream": None}, {"name": "region-b", "upstream": "region-a"}]


def _group(node: str) -> str:
    return "region-b" if node.startswith("dc3") and node != "dc3-etcd" else "region-a"


def _plan(story: Scenario) -> Plan:
    nodes = {
        "dc1": [("dc1-a", "postgres"), ("dc1-b", "postgres")],
        "dc2": [("dc2-a", "postgres"), ("dc2-b", "postgres")],
        "dc3": [("dc3-a", "postgres")],
    }
    kinds = {"dc3": [("dc3-store", "etcd")]}
    centers = [
        {
            "name": center,
            "region": "B" if center == "dc3" else "A",
            "nodes": [
                {"name": name, "kind": kind, **({} if story.version == 1 else {"group": _group(name)})}
                for name, kind in [
                    *nodes[center],
                    (f"{center}-etcd", "etcd"),
                    *kinds.get(center, []),
                    (f"{center}-haproxy", "haproxy"),
                    (f"{center}-bank", "bank"),
                ]
            ],
        }
        for center in nodes
    ]
    for node in EDGES if story.edges else ():
        of_it = [{"name": node, "kind": "edge", "group": "region-a"}]
        centers.append({"name": node.removesuffix("-edge"), "region": node, "nodes": of_it})
    far = {frozenset(("dc1", "dc2")): 1.0}
    links = [
        {"source": a, "target": b, "latency_ms": far.get(frozenset((a, b)), 15.0), "bandwidth_kbps": None}
        for a in nodes
        for b in nodes
        if a != b
    ]
    return Plan(
        evidence_version=story.version,
        drill=story.drill,
        claim=story.claim,
        run_id=story.run_id,
        seed=story.seed,
        topology={
            "name": "two-region-three-center",
            "centers": centers,
            "links": links,
            **({} if story.version == 1 else {"groups": GROUPS}),
            "service": "http://127.0.0.1:8080",
            "settings": {"lease_s": 10, "loop_wait_s": 2, "synchronous_mode": "quorum"}
            | ({} if story.version == 1 else {"wal_sender_timeout_s": 3, "synchronous": "strict"})
            | ({"edge_limit_minor": EDGE_LIMIT_MINOR} if story.edges else {}),
        },
        targets=story.targets,
        load=_load(story),
        environment_class="lab-containers",
        drill_kind="test",
        environment={
            "host": "drill-host",
            "kernel": "6.8.0",
            "cores": 4,
            "memory_mb": 16384,
            "docker": "28.3.0",
            "python": "3.11.9",
            "programs": {"drillbook": "0.1.0", "locust": "2.40.0", "postgres": "17.5"},
            "degraded": [],
        },
        clock=Clock(monotonic_ns=ZERO_NS, wall=wall(ZERO_NS)),
    )


def _load(story: Scenario) -> Load:
    if story.version == 1:
        return Load(probe_interval_ms=story.probe_interval_ms)
    # Who is answered late must have had the patience.
    late = [outage.to_s - outage.from_s for fault in story.faults for outage in fault.outages if outage.late]
    return Load(
        probe_interval_ms=story.probe_interval_ms,
        probe_timeout_s=max([3.0, *(span + 1 for span in late)]),
        service_level_s=story.service_level_s,
        **story.asked,
    )


def _body(story: Scenario) -> list[Planned] | None:
    """What the drill would do, by its story: the same order in which its events are told."""
    found: list[tuple[float, Planned]] = []
    for fault in story.faults:
        target = "primary" if fault.target == fault.old else fault.target
        found.append((fault.at_s, PlannedFault(name=fault.name, target=target, args=_arguments(fault, target))))
        found += [(fault.at_s + step.to_s, PlannedStep(name=step.name, role=step.role)) for step in fault.steps]
    found += [(at_s, PlannedUntil(condition=name, within_s=within_s)) for at_s, (name, within_s, _, _) in _awaited(story)]
    return [one for _, one in sorted(found, key=lambda one: one[0])] if story.body else None


def _arguments(fault: FaultStory, target: str) -> dict[str, Any]:
    name = fault.name
    if name == "BitsFlipped":
        return {"relation": "entries", "node": target, "page": 0}
    if name == "CustomersSurge":
        return {"times": SURGE_TIMES}
    first = {"CenterPowerLoss": "center", "PlannedSwitchover": "center", "RegionLoss": "region", "LinkBlackholed": "path"}
    first |= {"TableEmptied": "table", "LinkRefused": "path", "LinkDegraded": "path", "TableLocked": "table"}
    return {first.get(name, "node"): target, **fault.args}


def _awaited(story: Scenario) -> list[tuple[float, tuple[str, float, bool, float]]]:
    """When each condition was reached or given up, seconds of the run."""
    last = story.faults[-1] if story.faults else None
    return [
        (story.ends_s - 1 if one[0] != "service_restored" or not last else last.at_s + 0.5 + one[3], one) for one in story.until
    ]


@dataclass
class Row:
    key: str
    due_ns: int
    sent_ns: int
    done_ns: int
    status: int | None
    outcome: str
    debit: str
    credit: str
    amount_minor: int
    error: str = ""
    committed_ns: int | None = None  # None: when it was done
    edge: str | None = None  # who authorised it by itself
    authorised_ns: int = 0

    def cells(self) -> tuple[object, ...]:
        return tuple("" if (v := getattr(self, c)) is None else v for c in PAYMENT_COLUMNS)


class Payments:
    """What both ledgers say, and what really stands in the bank."""

    def __init__(self, story: Scenario) -> None:
        self.story = story
        self.dice = random.Random(story.seed)
        self.outages = [
            (ns(f.at_s + o.from_s), ns(f.at_s + o.to_s), o.late) for f in story.faults for o in f.outages if f.injected
        ]
        self.closed = {ns(f.at_s + o.from_s) for f in story.faults for o in f.outages if o.closed}
        self.drawn = Draws(story)
        self.probe = [self._pay("probe", n, due) for n, due in enumerate(self._due(story.probe_interval_ms / 1000))]
        rate = story.locust_rate_per_s
        turns = self._due(1 / rate, 0.4 / rate) if rate else []
        self.locust = [self._pay("locust", n, due) for n, due in enumerate(turns)] if story.version == 1 else self._in_turn(turns)
        self.committed = self._commit()

    def _due(self, every_s: float, jitter_s: float = 0.0) -> list[int]:
        count = round((self.story.ends_s - LOAD_STARTS_S) / every_s)
        return [ns(LOAD_STARTS_S + n * every_s) + round(self.dice.random() * jitter_s * 1e9) for n in range(count)]

    def _pay(self, source: str, number: int, due: int) -> Row:
        debit, credit = self.dice.sample(range(ACCOUNTS), 2)
        sent = due + self.dice.randrange(20_000, 400_000)
        row = Row(
            f"{self.story.run_id}-{source}-{number:06d}", due, sent, sent + self.dice.randrange(2_500_000, 6_000_000),
            201, "acknowledged", f"A{debit:04d}", f"A{credit:04d}", self.dice.randrange(100, 50_000),
        )  # fmt: skip
        if self.story.version > 1:
            self._as_in_version_2(row, source, number)
        for start, end, late in self.outages:
            if row.done_ns > start and row.due_ns < end:
                if self.story.edges:
                    self._at_an_edge(row, end)
                else:
                    self._suffer(row, start, end, late)
                if self.story.version > 1:
                    break  # what has failed can't fail again
        if row.due_ns < ns(BASELINE_ENDS_S) and self.dice.random() > self.story.baseline_share:
            row.status, row.outcome = 503, "refused"
        return row

    def _in_turn(self, turns: Sequence[int]) -> list[Row]:
        """Customers take turns; who still waits for an answer misses its turn."""
        theirs: list[list[Row]] = [[] for _ in range(self.drawn.customers)]
        for turn, due in enumerate(turns):
            who = turn % len(theirs)
            if not theirs[who] or theirs[who][-1].done_ns < due:
                theirs[who].append(self._pay("locust", who, due))
        return [row for rows in theirs for row in rows]

    def _as_in_version_2(self, row: Row, source: str, number: int) -> None:
        """Its key, accounts and amount follow from the seed; the latest of the probe is as late as its count says."""
        if source == "probe":
            row.key, row.debit, row.credit, row.amount_minor = self.drawn.of_probe(number)
            if number == LATEST:
                row.sent_ns = row.due_ns + round(self.story.late_ms_max * 1e6)
                row.done_ns = row.sent_ns + 4_000_000
        else:
            row.key, row.debit, row.credit, row.amount_minor = self.drawn.of_customer(number)
            row.due_ns = row.sent_ns

    def _at_an_edge(self, row: Row, end: int) -> None:
        """Small payments are authorised there, and forwarded when the outage is over; others are refused."""
        if row.amount_minor > EDGE_LIMIT_MINOR:
            row.status, row.outcome = 503, "refused"
            return
        row.edge, row.authorised_ns = EDGES[len(row.key + row.debit) % 2 if row.amount_minor % 2 else 0], row.done_ns - 400_000
        row.committed_ns = end + 300_000_000 + (row.due_ns - ns(LOAD_STARTS_S)) // 50

    def of_edge(self, node: str) -> list[list[object]]:
        """The rows of an edge's store."""
        theirs = sorted((row for row in [*self.probe, *self.locust] if row.edge == node), key=lambda row: row.key.encode())
        return [
            [
                row.key,
                row.debit,
                row.credit,
                row.amount_minor,
                wall(row.authorised_ns),
                wall((row.committed_ns or 0) + 1_000_000),
                201,
            ]
            for row in theirs
        ]

    def _suffer(self, row: Row, start: int, end: int, late: bool) -> None:
        if late:
            row.done_ns = end + self.dice.randrange(0, 4_000_000)
        elif start in self.closed:
            row.status, row.outcome = 503, "refused"
        elif row.due_ns < start + 1_500_000_000 and end - start > 2_000_000_000:
            patience_s = _load(self.story).probe_timeout_s
            row.status, row.outcome, row.error = None, "unknown", f"no answer within {patience_s:g} s"
            row.done_ns = row.sent_ns + round(patience_s * SECOND_NS)
        elif row.due_ns < start + 100_000_000:
            row.status, row.outcome, row.error = None, "unknown", "connection reset by peer"
        else:
            row.status, row.outcome = 503, "refused"

    def _commit(self) -> list[Row]:
        rows = sorted([*self.probe, *self.locust], key=lambda r: r.done_ns)
        begins = min((start for start, _, _ in self.outages), default=ns(self.story.ends_s))
        before = [r for r in rows if r.outcome == "acknowledged" and r.done_ns <= begins]
        self.lost = before[len(before) - self.story.lost :] + [r for r in before if self.in_vain(r)]
        gone = {r.key for r in self.lost}
        unknown = sorted((r for r in rows if r.outcome == "unknown"), key=lambda r: r.due_ns)
        kept = {r.key for r in unknown[: self.story.unknown_committed]}
        own = [
            Row(f"{self.story.run_id}-ready-{n}", 0, 0, ns(14 + n), 201, "acknowledged", "A0000", "A0001", 1) for n in range(3)
        ]
        stands = [r for r in rows if (r.outcome == "acknowledged" and r.key not in gone) or r.key in kept]
        if self.story.version > 1:
            for row in (row for row in rows if row.edge is None):  # before it was acknowledged; in flight, when no answer came
                row.committed_ns = max(row.sent_ns, row.done_ns - 1_000_000)
                if row.outcome == "unknown":
                    row.committed_ns = max(row.sent_ns, min(row.sent_ns + 1_000_000, begins))
                    if self.story.lost:  # what came after lost payments can only stand when the new primary did it
                        row.committed_ns = ns(self.story.faults[0].at_s + self.story.faults[0].promoted_s + 0.01)
            own += [
                Row(f"observer-{n:04d}", 0, 0, ns(22 + n), 201, "acknowledged", "A0002", "A0003", 7)
                for n in range(self.story.observer_payments)
            ]
        return sorted([*own, *stands], key=lambda r: r.key.encode())

    def in_vain(self, row: Row) -> bool:
        """Whether it was committed to damaged tables that were restored to before that."""
        at_ns = max(row.sent_ns, row.done_ns - 1_000_000)
        return any(
            ns(f.at_s + f.inject_s / 2) <= at_ns < ns(f.at_s + f.restored[0]) for f in self.story.faults if f.restored is not None
        )


class Draws:
    """Key, accounts and amount of each payment, as docs/evidence.md says that they follow from the seed."""

    def __init__(self, story: Scenario) -> None:
        self.run_id, self.pay_share, self.customers = story.run_id, Load().pay_share, Load().customers
        self.accounts = sorted(f"A{n:04d}" for n in range(ACCOUNTS))
        self.probe = random.Random(f"{story.seed}-probe")
        self.customer = [random.Random(f"{story.seed}-customer-{n}") for n in range(self.customers)]
        for choice in self.customer:
            choice.uniform(0, 1)
        self.number = [count() for _ in self.customer]
        self.looks = 0
        self.before: list[list[int]] = [[] for _ in self.customer]  # looks right before each payment

    def of_probe(self, number: int) -> tuple[str, str, str, int]:
        return (f"{self.run_id}-p-{number:07d}", *self._draw(self.probe))

    def of_customer(self, who: int) -> tuple[str, str, str, int]:
        choice = self.customer[who]
        looks = self.looks
        while choice.random() >= self.pay_share:
            choice.choice(self.accounts)
            self.looks += 1
        self.before[who].append(self.looks - looks)
        return (f"{self.run_id}-c-{who}-{next(self.number[who]):07d}", *self._draw(choice))

    def _draw(self, choice: random.Random) -> tuple[str, str, int]:
        debit, credit = choice.sample(self.accounts, 2)
        return debit, credit, choice.randint(1, 1000)


def _write_payments(directory: Path, story: Scenario, payments: Payments) -> None:
    probe = sorted(payments.probe, key=lambda r: r.done_ns)
    recorded = probe[: len(probe) - story.uncounted] if story.uncounted else probe
    locust = sorted(payments.locust, key=lambda r: r.done_ns)
    write_atomically(directory / "probe.csv", csv_text(PAYMENT_COLUMNS, [r.cells() for r in recorded]))
    write_atomically(directory / "ledger.csv", csv_text(PAYMENT_COLUMNS, [r.cells() for r in locust]))
    started, stopped = ns(LOAD_STARTS_S), ns(story.ends_s)
    looks = len(locust) // 4 if story.version == 1 else payments.drawn.looks
    probe_count = ProbeCount(
        scheduled=len(probe), recorded=len(recorded), interval_ms=story.probe_interval_ms, started_ns=started,
        stopped_ns=stopped, late_ms_max=story.late_ms_max, completed=True,
    )  # fmt: skip
    reads = _reads(story, payments) if story.version > 1 and "reads" in story.records else None
    if reads is not None:
        write_atomically(directory / "reads.csv", csv_text(READ_COLUMNS, reads))
    ledger_count = LedgerCount(
        recorded=len(locust), locust_requests=len(locust) + story.locust_uncounted, looks=looks,
        reads=None if reads is None else len(reads), started_ns=started, stopped_ns=stopped, completed=True,
        workers=_workers(story.asked["workers"], locust, reads or []) if story.asked.get("workers") else None,
    )  # fmt: skip
    write_atomically(directory / "probe.json", probe_count.model_dump_json(indent=2) + "\n")
    write_atomically(directory / "ledger.json", ledger_count.model_dump_json(indent=2, exclude_none=True) + "\n")


def _workers(workers: int, locust: Sequence[Row], reads: Sequence[tuple[str, int, int, int]]) -> list[WorkerCount]:
    def whose(keys: Iterable[str]) -> Counter[int]:
        return Counter(int(key.rsplit("-", 2)[1]) % workers for key in keys)

    paid, read = whose(row.key for row in locust), whose(row[0] for row in reads)
    return [WorkerCount(worker=n, recorded=paid[n], reads=read[n], locust_requests=paid[n]) for n in range(workers)]


def _reads(story: Scenario, payments: Payments) -> list[tuple[str, int, int, int]]:
    """Each second look of a customer is at its payment that was acknowledged last, somewhere between two payments."""
    found: list[tuple[str, int, int, int]] = []
    for who, before in enumerate(payments.drawn.before):
        theirs = [row for row in payments.locust if row.key.startswith(f"{story.run_id}-c-{who}-")]
        looks, last = 0, None
        for number, row in enumerate(theirs):
            began = theirs[number - 1].done_ns if number else row.sent_ns
            for n in range(before[number]):
                sent = began + (row.sent_ns - began) * (2 * n + 1) // (2 * before[number] + 1)
                done = began + (row.sent_ns - began) * (2 * n + 2) // (2 * before[number] + 1)
                dark = any(start < done and sent < end for start, end, _ in payments.outages)
                if looks % 2 and last is not None:
                    found.append((last, sent, done, 503 if dark else 404 if _missing(story, payments, last, sent) else 200))
                looks += 1
            last = row.key if row.outcome == "acknowledged" else last
    found.sort(key=lambda read: (read[2], read[0]))
    after = ns(story.faults[-1].at_s + 30) if story.faults else 0
    stands = {row.key for row in payments.committed}
    late = [n for n, (key, sent, _, status) in enumerate(found) if sent > after and status == 200 and key in stands]
    for n in late[: story.stale]:
        found[n] = (*found[n][:3], 404)
    return found


def _missing(story: Scenario, payments: Payments, key: str, sent_ns: int) -> bool:
    """Whether that payment's row is not there then: emptied away and not restored yet, or given up by the restore."""
    if not any(fault.damaged for fault in story.faults):
        return False
    lost = any(row.key == key for row in payments.lost)
    for fault in story.faults:
        if fault.damaged and sent_ns >= ns(fault.at_s + fault.inject_s / 2):
            return lost == (fault.restored is not None and sent_ns >= ns(fault.at_s + fault.restored[1]))
    return False


def _gzip(path: Path, text: str) -> bytes:
    data = gzip.compress(text.encode(), compresslevel=1, mtime=0)  # no time inside: the same rows, the same bytes
    path.write_bytes(data)
    return data


def _tables(rows: Sequence[Row], corrupt: Iterable[str]) -> dict[str, str]:
    """The three tables of one copy, with the named damage done to them."""
    payments = [[r.key, r.debit, r.credit, r.amount_minor, wall(r.committed_ns or r.done_ns)] for r in rows]
    entries = [
        [r.key, account, amount]
        for r in rows
        for account, amount in sorted(((r.debit, -r.amount_minor), (r.credit, r.amount_minor)))
    ]
    balance = {f"A{n:04d}": OPENING_MINOR for n in range(ACCOUNTS)}
    for _, account, amount in entries:
        balance[str(account)] += int(str(amount))
    accounts = [[account, OPENING_MINOR, amount] for account, amount in sorted(balance.items())]
    damage: dict[str, Callable[[], object]] = {
        "phantom": lambda: payments.append(["zz-nobody-sent-this", "A0000", "A0001", 5, wall(ZERO_NS)]),
        "doubled": lambda: payments.insert(11, list(payments[10])),
        "doubled-entries": lambda: entries.insert(11, list(entries[10])),
        "balance": lambda: accounts[3].__setitem__(2, int(str(accounts[3][2])) + 1),
        "entries": lambda: entries[20].__setitem__(2, int(str(entries[20][2])) + 1),
        "unposted": lambda: [entries.pop(20), entries.pop(20)],
        "altered": lambda: payments[10].__setitem__(3, int(str(payments[10][3])) + 1),
    }
    for name in corrupt:
        damage[name]()
    tables = {"payments": payments, "entries": entries, "accounts": accounts}
    return {name: csv_text(COPY_COLUMNS[name], table) for name, table in tables.items()}


def _write_copies(directory: Path, story: Scenario, payments: Payments) -> None:
    whole = _tables(payments.committed, [c for c in story.corrupt if c != "differs"])
    behind = _tables(payments.committed[:-1], []) if "differs" in story.corrupt else whole
    present = [node for node in story.copies if node not in story.missing_copies]
    for node in present:
        tables = behind if node == present[-1] else whole
        for name, text in tables.items():
            _gzip(directory / "copies" / f"{node}.{name}.csv.gz", text)
    if story.autopsy:
        on_disk = sorted([*payments.committed, *payments.lost], key=lambda r: r.key.encode())
        dead = [r for r in on_disk if _before_death(story, r)]
        _gzip(directory / "autopsy" / f"{story.faults[0].old}.payments.csv.gz", _tables(dead, [])["payments"])


def _before_death(story: Scenario, row: Row) -> bool:
    """Whether the row reached the disk of the primary that died."""
    first = story.faults[0]
    if row.committed_ns is None:
        return row.done_ns <= ns(first.at_s + 1)
    return row.committed_ns <= ns(first.at_s + (first.outages[0].from_s if first.outages else 0.15))


# What the database nodes say of themselves


class Databases:
    def __init__(self, story: Scenario) -> None:
        self.story = story
        self.faults = [f for f in story.faults if f.injected]
        # (since, primary, timeline): who writes from when on
        self.reigns: list[tuple[int, str | None, int]] = [(0, "dc1-a", 1)]
        for fault in self.faults:
            self.reigns[0] = (0, self.faults[0].old, 1)
            if fault.moves:
                until = ns(fault.at_s + (fault.outages[0].from_s if fault.outages else 0.1))
                self.reigns.append((until, None, self.reigns[-1][2]))
                self.reigns.append((ns(fault.at_s + fault.promoted_s), fault.new, self.reigns[-1][2] + 1))

    def reign(self, t_ns: int) -> tuple[str | None, int]:
        _, primary, timeline = self.reigns[bisect_right([since for since, _, _ in self.reigns], t_ns) - 1]
        return primary, timeline

    def down(self, node: str, t_ns: int) -> bool:
        return any(
            node in f.down
            and (f.proved is not False or self.story.version == 1)  # what is not proved did not happen
            and ns(f.at_s + 0.15) <= t_ns < (ns(f.at_s + f.heal_s + 4) if f.heal_s else 1 << 62)
            for f in self.faults
        )

    def lsn(self, t_ns: int) -> int:
        """Where the log ends: it grows while there is a primary."""
        writing = 0
        for n, (since, primary, _) in enumerate(self.reigns):
            start = max(since, ns(LOAD_STARTS_S))
            end = min(t_ns, self.reigns[n + 1][0] if n + 1 < len(self.reigns) else t_ns)
            writing += max(0, end - start) if primary else 0
        return LSN_START + writing * LSN_PER_S // SECOND_NS

    def received(self, node: str, t_ns: int) -> int:
        lag_ns = 40_000_000 if node.startswith("dc3") else 2_000_000
        primary, _ = self.reign(t_ns)
        died = max(since for since, _, _ in self.reigns if since <= t_ns)
        if self.story.version > 1 and self.story.lost and self.faults and node == self.faults[0].new:
            fell_behind = ns(self.faults[0].at_s + self.faults[0].outages[0].from_s - self.story.lost_span_s)
            if fell_behind <= t_ns < ns(self.faults[0].at_s + self.faults[0].promoted_s):
                return self.lsn(fell_behind)
        return self.lsn(t_ns - lag_ns) if primary else self.lsn(died - lag_ns)


def _samples(story: Scenario) -> list[tuple[object, ...]]:
    bases = Databases(story)
    dice = random.Random(story.seed + 1)
    rows: list[tuple[object, ...]] = []
    for tick in range(15 * 5, round((story.ends_s + 5) * 5)):
        if not story.sampled(tick / 5):
            continue
        for offset, node in enumerate(POSTGRES):
            asked = ns(tick / 5 + offset * 0.004)
            rows.append(_sample(story, bases, node, asked, asked + dice.randrange(900_000, 3_000_000)))
    return sorted(rows, key=lambda r: int(str(r[1])))


def _sample(story: Scenario, bases: Databases, node: str, asked: int, t_ns: int) -> tuple[object, ...]:
    if bases.down(node, t_ns):
        return (asked, t_ns, node, 0, "", "", "", "", "", "" if story.version == 1 else "[]", "connection refused")
    primary, timeline = bases.reign(t_ns)
    nothing = "" if story.version == 1 else "[]"
    if node != primary:
        lsn = bases.received(node, t_ns)
        return (asked, t_ns, node, 1, 1, timeline, lsn, lsn, "", nothing, "")
    names = story.sync_before if timeline == 1 else story.sync_after
    replication = [
        {
            "name": other,
            "state": "streaming",
            "sync_state": ("quorum" if other in names else "async") if story.version == 1 else _sync_state(other, names),
            "flush_lsn": bases.received(other, t_ns),
        }
        for other in POSTGRES
        if other != node and not bases.down(other, t_ns)
    ]
    return (asked, t_ns, node, 1, 0, timeline, bases.lsn(t_ns), "", names, json.dumps(replication), "")


def _sync_state(node: str, names: str) -> str:
    """What pg_stat_replication says of a standby under these synchronous_standby_names."""
    counted = re.match(r"(ANY )?(\d+) \((.*)\)", names)
    listed = [name.strip('" ') for name in (counted[3] if counted else names).split(",")]
    if node not in listed:
        return "async"
    if counted and counted[1]:
        return "quorum"
    return "sync" if listed.index(node) < (int(counted[2]) if counted else 1) else "potential"


# What the harness did and saw


def _write_events(directory: Path, story: Scenario, payments: Payments) -> None:
    told: list[tuple[int, str, str, str, dict[str, Any]]] = []

    def tell(at_s: float, kind: str, text: str, source: str = "harness", **data: Any) -> None:
        told.append((ns(at_s), source, kind, text, data))

    sha = sha256_of(directory / "plan.json")
    tell(0.01, "plan_registered", "The plan is registered before anything starts.", sha256=sha)
    tell(0.2, "phase", "The topology starts.", name="start")
    first = story.faults[0].old if story.faults else "dc1-a"
    tell(9.1, "leader_key", f"{first} holds the leader key.", "dcs",
         store="region-a", leader=first, seen_before_ns=ns(8.9))  # fmt: skip
    tell(10.2, "leader_key", "dc3-a holds the standby leader key.", "dcs",
         store="region-b", leader="dc3-a", seen_before_ns=ns(10.0))  # fmt: skip
    tell(11.0 if story.version == 1 else 15.2, "primary", f"{first} is the primary.", node=first, roles=_roles(first, ()))
    tell(18.3, "ready", "First payment after 14.2 s, full redundancy after 18.1 s.",
         first_payment_s=14.2, full_redundancy_s=18.1)  # fmt: skip
    tell(18.5, "phase", "The steady state is proved.", name="steady")
    tell(18.6, "reach", "Every center reaches every other.", moment="before", cells=_cells(()))
    started_s = (18.9, 18.95) if story.version == 1 else (19.05, 19.06)
    _tell_load(tell, story, *started_s, "load_started", "starts")
    tell(20.0, "phase", "The baseline is taken.", name="baseline")
    tell(25.0, "baseline", "Undisturbed for 5 s.", from_ns=ns(BASELINE_S), to_ns=ns(BASELINE_ENDS_S))
    if story.faults:
        tell(25.01, "phase", "The fault.", name="fault")
    for number, fault in enumerate(story.faults, 1):
        if number > 1 and story.version > 1:
            tell(fault.at_s - 0.04, "phase", "The fault.", name="fault")
        _tell_fault(tell, f"f{number}", fault, story)
    last = story.faults[-1] if story.faults else None
    for at_s, (condition, within_s, reached, waited_s) in _awaited(story):
        tell(at_s, "until", f"{condition}: {'reached' if reached else 'not reached'} after {waited_s} s.",
             condition=condition, within_s=within_s, reached=reached, waited_s=waited_s,
             seen="as awaited" if reached else "the last answer was 503")  # fmt: skip
    end = story.ends_s
    if story.interrupted:
        tell(end - 0.5, "interrupted", "The run was interrupted.", error=story.interrupted)
    tell(end - 0.2, "phase", "The load is drained.", name="drain")
    _tell_load(tell, story, end + 3.1, end + 0.1, "load_stopped", "has stopped")
    authority = last.new if last and last.injected else first
    tell(end + 3.5, "phase", "Every copy is read back.", name="readback")
    tell(end + 3.6, "authority", f"{authority} is the primary at readback.", node=authority)
    tell(end + 3.7, "expected_copies", f"{len(story.copies)} copies are up.", nodes=list(story.copies))
    if story.autopsy and last:
        old = story.faults[0]
        dead = [r for r in [*payments.committed, *payments.lost] if _before_death(story, r)]
        lsn = Databases(story).lsn(ns(old.at_s + 0.15)) + (512 if story.lost else 0)
        tell(old.at_s + 30, "autopsy", f"The disk of {old.old} holds {len(dead)} payments.",
             node=old.old, payments=len(dead), end_lsn=lsn)  # fmt: skip
    if story.version > 1:
        _tell_version_2(tell, story, payments)
    tell(end + 8.5, "phase", "The evidence is sealed.", name="seal")
    lines = [
        json.dumps({"seq": n, "t_ns": t, "wall": wall(t), "source": s, "kind": k, "text": text, "data": data})
        for n, (t, s, k, text, data) in enumerate(sorted(told, key=lambda e: e[0]))
    ]
    write_atomically(directory / "events.jsonl", "\n".join(lines) + "\n")


def _tell_load(tell: Callable[..., None], story: Scenario, probe_s: float, locust_s: float, kind: str, word: str) -> None:
    for at_s, name, origin in ((probe_s, "The probe", "probe"), (locust_s, "Locust", "locust")):
        if story.version == 1:
            tell(at_s, kind, f"{name} {word}.", source=origin)
        else:
            tell(at_s, kind, f"{name} {word}.", "customers", origin=origin)


def _tell_version_2(tell: Callable[..., None], story: Scenario, payments: Payments) -> None:
    keys = [row.key for row in payments.committed]
    tell(story.ends_s + 4.5, "exempt_keys", "Keys that are nobody's.",
         observers=exempt(keys, "observer-"), ready=exempt(keys, f"{story.run_id}-ready-"))  # fmt: skip
    for n, node in enumerate(POSTGRES if "durability" in story.records else ()):
        tell(
            15.3 + n / 100, "durability", f"{node} syncs what it commits.", "databases", node=node, settings=DURABLE, overrides=[]
        )
    for node in EDGES if story.edges else ():
        count_of = len(payments.of_edge(node))
        tell(
            story.ends_s + 3.55,
            "edge_store",
            f"{node} authorised {count_of} payments.",
            node=node,
            payments=count_of,
            synchronous=2,
        )
    tell(story.ends_s + 8.2, "door_log", "The front door logged every payment.", "door",
         payments=len(payments.probe) + len(payments.locust), dropped=0)  # fmt: skip


def exempt(keys: Iterable[str], prefix: str) -> dict[str, Any]:
    """Number and hash of the keys with that prefix."""
    found = sorted((key for key in keys if key.startswith(prefix)), key=str.encode)
    return {"count": len(found), "sha256": sha256_of_bytes("\n".join(found).encode())}


def _tell_fault(tell: Callable[..., None], fault_id: str, fault: FaultStory, story: Scenario) -> None:
    at, version = fault.at_s, story.version
    tell(at - 0.03, "intent", f"{fault.name} of {fault.target} is about to be injected.", id=fault_id, name=fault.name,
         target=fault.target, args=_arguments(fault, fault.target) if version > 1 else {},
         effect={"down": list(fault.down), "cut": list(fault.cut if version == 1 else _cut(fault))}
         | ({"damaged": list(fault.damaged)} if fault.damaged else {})
         | ({"impaired": list(fault.impaired)} if fault.impaired else {}),
         undo=f"start {', '.join(fault.down) or 'nothing'}")  # fmt: skip
    if not fault.injected:
        return
    tell(at + fault.inject_s, "injected", f"{fault.name} of {fault.target} is injected.",
         id=fault_id, before_ns=ns(at), after_ns=ns(at + fault.inject_s))  # fmt: skip
    if fault.proved is not None:
        tell(at + fault.inject_s + 0.8, "proof", f"{fault.name} is {'proved' if fault.proved else 'not proved'}.",
             id=fault_id, proved=fault.proved, checks=_checks(fault, story))  # fmt: skip
        lost = (fault.target,) if version == 1 else _lost_centers(fault)
        tell(at + fault.inject_s + 0.9, "reach", "Center to center, during the fault.",
             moment="during", cells=_cells(lost))  # fmt: skip
    if fault.damage_s is not None:
        tell(at + fault.damage_s, "damage", f"A scrub found damage on {fault.old}.", node=fault.old, pages=["entries page 0"])
    _tell_takeover(tell, fault, version)
    if fault.restored is not None:
        begins, ends = (ns(at + moment) for moment in fault.restored)
        tell(at + fault.restored[1], "restored", f"{fault.new} was restored to before transaction {fault.xid}.",
             node=fault.new, timeline=2, xid=fault.xid, before_ns=begins, after_ns=ends)  # fmt: skip
    for step in fault.steps:
        tell(at + step.to_s, "step", f"{step.name} took {step.to_s - step.from_s:.1f} s.", name=step.name,
             role=step.role, before_ns=ns(at + step.from_s), after_ns=ns(at + step.to_s), ok=step.ok,
             error="" if step.ok else "time-out")  # fmt: skip
    if fault.heal_s is not None:
        tell(at + fault.heal_s - 0.01, "phase", "The fault is healed.", name="heal")
        tell(at + fault.heal_s, "heal_started", f"{fault.name} is being healed.", id=fault_id)
        if fault.healed is not None:
            tell(at + fault.heal_s + 4, "healed", f"{fault.name} is healed.", id=fault_id, ok=fault.healed,
                 error="" if fault.healed else "dc1-a did not start within 60 s")  # fmt: skip
        if version > 1 and fault.down:
            tell(at + fault.heal_s + 4.3, "primary", f"{fault.new} is the primary, and all are back.",
                 node=fault.new, roles=_roles(fault.new, ()))  # fmt: skip
        tell(at + fault.heal_s + 5, "reach", "Center to center, after the fault.", moment="after", cells=_cells(()))


def _tell_takeover(tell: Callable[..., None], fault: FaultStory, version: int) -> None:
    at = fault.at_s
    if not fault.moves:
        return
    if fault.leader_gone_s is not None:
        tell(at + fault.leader_gone_s, "leader_key", "The leader key has expired.", "dcs",
             store="region-a", leader=None, seen_before_ns=ns(at + fault.leader_gone_s - 0.2))  # fmt: skip
    if fault.leader_new_s is not None:
        tell(at + fault.leader_new_s, "leader_key", f"{fault.new} holds the leader key.", "dcs",
             store="region-a", leader=fault.new, seen_before_ns=ns(at + fault.leader_new_s - 0.2))  # fmt: skip
    gone_s = 0.4 if version == 1 else 0.25 + (fault.outages[0].from_s if fault.outages else 0.15)
    tell(at + gone_s, "primary", "No primary.", node=None, roles=_roles(None, fault.down))
    tell(at + fault.promoted_s + 0.25, "primary", f"{fault.new} is the primary.",
         node=fault.new, roles=_roles(fault.new, fault.down))  # fmt: skip


def _roles(primary: str | None, down: Sequence[str]) -> dict[str, str]:
    return {n: "primary" if n == primary else "down" if n in down else "standby" for n in POSTGRES}


def _cells(lost: Sequence[str]) -> list[dict[str, Any]]:
    centers = ("dc1", "dc2", "dc3")
    return [{"source": a, "target": b, "ok": not {a, b} & set(lost)} for a in centers for b in centers if a != b]


def _lost_centers(fault: FaultStory) -> tuple[str, ...]:
    return tuple(c for c in ("dc1", "dc2", "dc3") if all(n in fault.down for n in NODES if n.startswith(c)))


def _cut(fault: FaultStory) -> tuple[str, ...]:
    """What a fault cuts: unless the story says which, the paths of the centers that lost power."""
    dark = _lost_centers(fault)
    links = [f"{a}->{b}" for a in ("dc1", "dc2", "dc3") for b in ("dc1", "dc2", "dc3") if a != b and {a, b} & set(dark)]
    return fault.cut or (*links, *(f"door->{center}" for center in dark))


def _victim(subject: str, fault: FaultStory) -> dict[str, Any]:
    """What was read back from a victim: of a death its exit code, of a cut its packets."""
    happened = bool(fault.proved)
    if fault.name == "NodeFrozen":
        expected, seen = "frozen, no answer", "frozen, no answer" if happened else "not frozen, answers"
    elif subject in fault.down:
        expected = "killed (exit code 137), port closed"
        seen = "exited, exit code 137, port 5432 closed" if happened else "running, exit code 0, port 5432 open"
    elif fault.name == "PlannedSwitchover":
        expected = seen = "primary" if subject == fault.new else "standby"
    elif fault.name == "TableLocked":
        subject, expected = f"{subject} on {fault.old}", "locked by session 4711"
        seen = "locked by session 4711, 8 wait" if happened else "not locked"
    elif fault.name == "ProcessKilled":
        subject, expected, seen = f"server on {subject}", "killed: 4711", "gone; now 4812" if happened else "still 4711"
    elif subject in _cut(fault):
        how = "refused" if fault.name == "LinkRefused" else "dropped"
        expected, seen = f"packets {how}", f"17 packets {how}" if happened else "no rule"
    else:
        expected, seen = "changed", "changed" if happened else "as before"
    return {"subject": subject, "side": "victim", "expected": expected, "seen": seen, "ok": happened}


def _checks(fault: FaultStory, story: Scenario) -> list[dict[str, Any]]:
    victims = [*fault.down, *fault.cut] or [fault.target]
    checks: list[dict[str, Any]] = [
        {"subject": v, "side": "victim", "expected": "no answer", "seen": "no answer" if fault.proved else "answers",
         "ok": bool(fault.proved)}
        for v in victims
    ]  # fmt: skip
    if story.version > 1:
        moved = [fault.new, fault.old] if fault.name == "PlannedSwitchover" else []
        hit = moved or [*fault.down, *_cut(fault)] or [fault.target]
        checks = [_victim(v, fault) for v in hit if not fault.damaged and not fault.impaired]
        worse = {"100 ms ± 20 ms more": "100 ms ± 20 ms more on 12 of 12 streams, round trip 161 ms",
                 "5 % dropped": "5 % dropped: 23 of 412 packets", "8000 kbit/s": "8000 kbit/s"}  # fmt: skip
        checks += [
            {"subject": path, "side": "victim", "expected": one, "seen": seen if fault.proved else "no rule",
             "ok": bool(fault.proved)}
            for path in fault.impaired for one, seen in worse.items()
        ]  # fmt: skip
        of = f"of 4211 rows of before transaction {fault.xid}"
        checks += [
            {"subject": f"{table} on {node}", "side": "victim", "expected": f"0 {of}",
             "seen": f"{0 if fault.proved else 4211} {of}", "ok": bool(fault.proved)}
            for table in fault.damaged for node in POSTGRES
        ]  # fmt: skip
    return checks + [
        {"subject": n, "side": "bystander", "expected": "answers", "seen": "answers", "ok": True}
        for n in story.nodes
        if n not in fault.down
    ]


def _write_logs(directory: Path, story: Scenario, payments: Payments) -> None:
    lines: dict[str, list[tuple[float, str]]] = {}
    some = (*POSTGRES, "dc1-etcd", "dc2-etcd", "dc3-etcd", "dc1-haproxy", "dc2-haproxy", "dc1-bank", "dc2-bank")
    for node in some if story.version == 1 else story.nodes:
        lines[node] = [(3.0, "starting"), (11.5, "ready")]
    for f in (f for f in story.faults if f.injected and f.moves):
        at = f.at_s
        gone, leads = at + (f.leader_gone_s or 1), at + (f.leader_new_s or 2)
        home = "dc2"
        if story.version > 1:
            home = f.new.split("-")[0]
            leads = at + (f.leader_new_s or f.promoted_s - 1)
            lines[f.new] += _promotion(f, leads, payments)
            if f.restored is not None:
                lines[f.new] += [
                    (leads - 0.2, f"LOG:  starting point-in-time recovery to XID {f.xid}"),
                    (leads + 0.01, f"LOG:  recovery stopping before commit of transaction {f.xid}, time 2026-01-15 02:00:25+00"),
                ]
        lines[f.new] += [
            (at + 0.3, "FATAL:  could not receive data from WAL stream: server closed the connection unexpectedly"),
            (gone + 0.1, "INFO: Got response from dc2-b: {\"role\": \"replica\", \"timeline\": 1}"),
            (leads, "INFO: promoted self to leader by acquiring session lock"),
            (leads + 0.3, "LOG:  received promote request"),
            (at + f.promoted_s, "LOG:  database system is ready to accept connections"),
        ]  # fmt: skip
        lines[f"{home}-etcd"] += [(at + 1.2, "raft: 2 is starting a new election at term 2"), (gone, "lease expired")]
        lines[f"{home}-haproxy"] += [
            (at + 2.1, f"Server postgres/{f.old} is DOWN, reason: Layer4 timeout"),
            (at + f.promoted_s + 1.0, f"Server postgres/{f.new} is UP, reason: Layer7 check passed"),
        ]
        lines[f"{home}-bank"] += [(at + f.promoted_s + 1.4, f"writes go to {f.new}")]
    bases = Databases(story)
    for node in POSTGRES if story.version > 1 else ():  # Patroni's loop goes on as long as its node is up
        beats = (20.0 + 5 * n for n in range(round((story.ends_s - 12) / 5)))
        lines[node] += [(at, f"INFO: no action. I am ({node})") for at in beats if not bases.down(node, ns(at))]
    for f in story.faults if story.version > 1 else ():
        for node in f.down if f.heal_s is not None and f.injected else ():
            lines[node] += [(f.at_s + f.heal_s + 4.0, "starting again")]  # type: ignore[operator]
    for node, told in lines.items():
        stamped = [f"{wall(ns(at))[:-1]}000Z {text}" for at, text in sorted(told)]
        write_atomically(directory / "logs" / f"{node}.log", "\n".join(stamped) + "\n")


def _promotion(fault: FaultStory, leads_s: float, payments: Payments) -> list[tuple[float, str]]:
    """What PostgreSQL tells of its promotion: the last commit that it had received is that of its predecessor's time."""
    theirs = [t for row in payments.committed if (t := row.committed_ns or row.done_ns) < ns(fault.at_s + fault.promoted_s)]
    last = wall(max(theirs))[:-1].replace("T", " ")
    return [
        (leads_s + 0.03, f"LOG:  last completed transaction was at log time {last}+00"),
        (leads_s + 0.04, "LOG:  selected new timeline ID: 2"),
    ]


# What others wrote down: the front door, and the witness on the host


class Sent(Protocol):
    """What the front door saw of a payment."""

    key: str
    sent_ns: int
    done_ns: int
    status: int | None


def door_log(rows: Sequence[Sent], wall_of: Callable[[int], str]) -> str:
    """Each payment as HAProxy logs it when it is over."""
    lines = []
    for row in sorted(rows, key=lambda r: (r.done_ns, r.key)):
        at = datetime.fromisoformat(wall_of(row.sent_ns + 100_000)).timestamp()
        took_ms = (row.done_ns - row.sent_ns) // 1_000_000
        status, end = (row.status, "--") if row.status is not None else (-1, "CH")
        stamp = f"{wall_of(row.done_ns)[:-1]}000Z"
        lines.append(f"{stamp} pay key={row.key} status={status} at={at:.3f} took={took_ms} end={end}\n")
    return "".join(lines)


def _write_witness(directory: Path, story: Scenario) -> None:
    rows = [*_wakes(story), *_syncs(story), *_loads(story)]
    write_atomically(directory / "witness.csv", csv_text(WITNESS_COLUMNS, sorted(rows, key=lambda r: (r[1], r[2], str(r[3])))))
    count = WitnessCount(
        started_ns=ns(0.5), stopped_ns=ns(story.ends_s + 3), rows=len(rows), completed=True, cores=CORES, degraded=[]
    )
    write_atomically(directory / "witness.json", count.model_dump_json(indent=2) + "\n")


WitnessRow = tuple[int, int, str, int | str, int | str, str]


def _spans(story: Scenario, every_s: float) -> list[tuple[float, float]]:
    """From the start of the witness to its end."""
    return [(0.5 + n * every_s, 0.5 + (n + 1) * every_s) for n in range(round((story.ends_s + 2.5) / every_s))]


def _wakes(story: Scenario) -> Iterator[WitnessRow]:
    """A wake that is late for longer than a span makes one long row: the thread slept."""
    for core in range(CORES):
        until = 0.0
        for start, end in _spans(story, 0.1):
            stall = next((s for s in story.stalls if s.kind == "wake" and start <= s.from_s < end), None)
            if start < until and stall is None:
                continue
            late = 180_000 if stall is None else round((stall.to_s - stall.from_s) * 1e9)
            until = end if stall is None else max(end, stall.to_s)
            at_ns = ns(start + 0.05 if stall is None else stall.from_s)
            yield ns(start), ns(until), "wake", core, late, json.dumps({"at_ns": at_ns})


def _syncs(story: Scenario) -> Iterator[WitnessRow]:
    stalls = [s for s in story.stalls if s.kind == "sync"]
    for start, _ in _spans(story, 0.2):
        if any(s.from_s <= start < s.to_s for s in stalls):
            continue  # the write before is not over
        took_s = 0.025 if any(s.kind == "slow" and s.from_s <= start < s.to_s for s in story.stalls) else 0.003
        yield ns(start), ns(start + took_s), "sync", "", round(took_s * 1e9), "{}"
    for s in stalls:
        yield ns(s.from_s), ns(s.to_s), "sync", "", ns(s.to_s) - ns(s.from_s), "{}"


def _loads(story: Scenario) -> Iterator[WitnessRow]:
    for start, end in _spans(story, 0.5):
        stalled = any(s.kind == "cpu" and s.from_s < end and s.to_s > start for s in story.stalls)
        waited_us = {  # who stalls presses: the witness itself waited
            kind: sum(round(max(0.0, min(s.to_s, end) - max(s.from_s, start)) * 1e6) for s in story.stalls if s.kind == kind)
            for kind in ("sync", "wake", "slow")
        }
        capacity = round((end - start) * CORES * 1e9)
        busy, ours = (capacity, capacity // 2) if stalled else (capacity // 3, capacity // 4)
        used = {"busy_ns": busy, "idle_ns": capacity - busy, "steal_ns": 0, "ours_ns": ours, "dirty_kb": 900, "writeback_kb": 0}
        pressed = {
            "cpu_some_us": max(400_000 if stalled else 20_000, waited_us["wake"]),
            "io_some_us": 9_000 + waited_us["sync"] + waited_us["slow"] // 5,
            "io_full_us": 2_000,
            "memory_some_us": 0,
        }
        yield ns(start), ns(end), "pressure", "", "", json.dumps(pressed)
        yield ns(start), ns(end), "cpu", "", "", json.dumps(used)


# Scenarios with a name

_REGION = FaultStory(
    name="RegionLoss", target="A", down=REGION_A, outages=(Outage(0.15, 41.0),), new="dc3-a",
    leader_gone_s=None, leader_new_s=None, promoted_s=31.0, heal_s=None,
    steps=(Step("notice the alarm", "detect", 0.5, 8.0), Step("decide to move", "decide", 8.0, 20.0),
           Step("promote dc3", "promote", 20.1, 31.5), Step("move the door", "reroute", 31.5, 38.0)),
)  # fmt: skip
_THERE = FaultStory(
    name="PlannedSwitchover", target="dc2-a", down=(), inject_s=3.5, outages=(Outage(1.5, 2.7),),
    leader_gone_s=1.7, leader_new_s=1.9, promoted_s=2.3, heal_s=15.0,
)  # fmt: skip
_BACK = replace(_THERE, at_s=44.0, target="dc1-a", old="dc2-a", new="dc1-a")
_STILL = FaultStory(
    name="NodeKilled", target="dc2-b", down=("dc2-b",), outages=(), new="dc1-a", leader_gone_s=None, leader_new_s=None
)
_FROZEN = replace(FaultStory(), name="NodeFrozen", target="dc1-a", down=("dc1-a",))
_DEGRADED = FaultStory(
    name="LinkDegraded", target="dc1<->dc3", down=(), outages=(), new="dc1-a", leader_gone_s=None, leader_new_s=None,
    impaired=("dc1->dc3", "dc3->dc1"), args={"latency_ms": 100, "jitter_ms": 20, "loss_percent": 5, "bandwidth_kbps": 8000},
)  # fmt: skip
_ENDED = replace(
    _FROZEN, name="ProcessKilled", down=(), args={"process": "server"}, outages=(Outage(0.15, 3.0),), promoted_s=2.0,
    leader_gone_s=0.5, leader_new_s=1.0,
)  # fmt: skip
_LOCKED = replace(
    FaultStory(), name="TableLocked", target="accounts", down=(), outages=(Outage(0.15, 16.0),), new="dc1-a",
    leader_gone_s=None, leader_new_s=None,
)  # fmt: skip
_SHORT = replace(FaultStory(), heal_s=25.0)

SCENARIOS: dict[str, Scenario] = {
    "center-loss": Scenario(),
    "lost-payments": Scenario(lost=14),
    "unknown": Scenario(unknown_committed=40),
    "short-outage": Scenario(faults=(replace(_SHORT, outages=(Outage(0.15, 0.45),), promoted_s=0.35,
                                             leader_gone_s=0.2, leader_new_s=0.25),), ends_s=60),
    # A fault that nobody has: what its intent says is believed.
    "stall": Scenario(faults=(replace(_SHORT, name="NodePaused", target="dc2-a", down=("dc2-a",), new="dc1-a",
                                      outages=(Outage(0.15, 8.0, late=True),)),), ends_s=60),
    "frozen": Scenario(faults=(_FROZEN,)),
    "table-locked": Scenario(faults=(_LOCKED,)),
    "process-killed": Scenario(faults=(_ENDED,)),
    "degraded": Scenario(faults=(_DEGRADED,)),
    "relapse": Scenario(faults=(replace(FaultStory(), outages=(Outage(0.15, 9.0), Outage(22.0, 26.0)),
                                        promoted_s=7.0, leader_gone_s=4.0, leader_new_s=4.5, heal_s=42.0),), ends_s=80),
    "no-return": Scenario(faults=(replace(FaultStory(), outages=(Outage(0.15, 40.0),)),),
                          until=(("service_restored", 35, False, 35.0),)),
    "no-proof": Scenario(faults=(replace(FaultStory(), proved=None),)),
    "no-op": Scenario(faults=(replace(_STILL, proved=False),), ends_s=65),
    "undisturbed": Scenario(faults=(_STILL,), ends_s=65),
    "zero-load": Scenario(locust_rate_per_s=0),
    "region-loss": Scenario(
        drill="region-loss", claim="Region A is gone: region B takes over by hand, and what is lost is known.",
        faults=(_REGION,), ends_s=85, lost=9, sync_after="",
        targets=Targets(rto_s=120, rpo_s=1), until=(("service_restored", 120, True, 41.2),)),
    "planned-switchover": Scenario(
        drill="planned-switchover", claim="Service moves to the other center and back within seconds, losing nothing.",
        faults=(_THERE, _BACK), ends_s=72, targets=Targets(interruption_s=5, lost_transactions=0),
        sync_after='2 ("dc2-b","dc1-a")', until=(("service_restored", 30, True, 2.9),)),
    "disk-corruption": Scenario(
        drill="disk-corruption", claim="Bits flip under the primary's ledger: a scrub finds it and a clean copy takes over.",
        faults=(replace(_THERE, name="BitsFlipped", target="dc1-a", inject_s=0.3, outages=(Outage(9.5, 10.7),), damage_s=6.1,
                        leader_gone_s=9.7, leader_new_s=9.9, promoted_s=10.3, heal_s=24.0,
                        steps=(Step("move the primary to a clean copy", "promote", 6.2, 10.4),
                               Step("rebuild the damaged node", None, 20.4, 23.8))),),
        ends_s=60, targets=Targets(detect_s=60, interruption_s=5, lost_transactions=0),
        until=(("service_restored", 60, True, 13.4),)),
    "restore-from-backup": Scenario(
        drill="restore-from-backup", claim="A wrong statement empties a table: the bank goes back to the moment before.",
        faults=(FaultStory(
            name="TableEmptied", target="payments", down=(), inject_s=0.02, damaged=("payments", "entries"),
            outages=(Outage(10.8, 22.0, closed=True),), new="dc1-a", leader_gone_s=None, leader_new_s=None, promoted_s=18.0,
            restored=(12.0, 18.5), heal_s=36.0,
            steps=(Step("notice it", "detect", 0.1, 0.6), Step("decide to go back", "decide", 0.6, 10.0),
                   Step("restore", "promote", 12.0, 18.5), Step("open the door", "reroute", 20.0, 21.8))),),
        ends_s=72, unknown_committed=0, targets=Targets(rto_s=40, rpo_s=13),
        until=(("service_restored", 60, True, 10.0), ("replicas_caught_up", 180, True, 6.4)),
        sync_after='2 ("dc1-b","dc2-a")'),
    "edges": Scenario(edges=True),
    "missing-copy": Scenario(missing_copies=("dc2-b",)),
    "interrupted": Scenario(interrupted="SIGINT"),
}  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    if not arguments or len(arguments) > 2 or (len(arguments) == 2 and arguments[1] not in SCENARIOS):
        print(f"usage: python -m tests.synthetic DIR [{' | '.join(SCENARIOS)}]", file=sys.stderr)
        return 2
    print(write_run(Path(arguments[0]), SCENARIOS[arguments[1] if len(arguments) == 2 else "center-loss"]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
