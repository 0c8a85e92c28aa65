"""A map of what is covered: faults by victims by moments, what is expected of each, and what runs told of it. Pure.

A cell is one fault on one kind of victim in one moment. Databases and other nodes are victims by their role, as it was when the
fault came; centers, regions and links are victims by name. A cell that nobody drilled is empty, and INVALID runs tell nothing.

What is expected is derived (analysis/expected.py). In `takeover` and `heal` something else is going on, and the lightest such
case is taken: the primary's machine has died and nobody follows it yet; one copy, whichever is worst, is still coming back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.expected import DATABASE, REPOSITORY, Expected, Node, Stands, derive, gravest, unnoticed
from judging.evidence import Model, Planned, PlannedFault, PlannedUntil

SCHEMA = "drillbook.coverage/1"
Moment = Literal["steady", "takeover", "heal"]
MOMENTS: tuple[Moment, ...] = ("steady", "takeover", "heal")
ENOUGH_RUNS = 5  # that could be told; a cell with fewer is thin
# Faults that stop nothing for good by themselves.
SWITCHOVER, BITS, EMPTIED, ENDED = "PlannedSwitchover", "BitsFlipped", "TableEmptied", "ProcessKilled"
LOCKED = "TableLocked"
PRIMARY, PRIMARYS_CENTER = "primary", "primary's center"  # in a plan: whoever it is, and where it stands, by then
TABLES = ("payments", "entries", "accounts")
RETURNED = "service_restored"


@dataclass(frozen=True)
class Target:
    """What one fault can hit, and its effect."""

    name: str
    down: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    destroyed: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    impaired: tuple[str, ...] = ()


Targets = Mapping[str, Sequence[Target]]  # by the fault's name


@dataclass(frozen=True)
class Struck:
    """A fault of a run. Times: CLOCK_MONOTONIC of the run; None: it did not happen."""

    id: str
    name: str
    target: str
    before_ns: int
    primary: str | None
    rto_s: float | None
    heal_started_ns: int | None
    healed_ns: int | None

    def gone_at(self, t_ns: int) -> bool:
        """Whether service was not back from it: it came back later, or never, and it was not healed."""
        if self.rto_s is None:
            return not self.healed_at(t_ns)
        return t_ns < self.before_ns + self.rto_s * 1e9

    def healed_at(self, t_ns: int) -> bool:
        return self.healed_ns is not None and self.healed_ns <= t_ns

    def healing_at(self, t_ns: int) -> bool:
        return self.heal_started_ns is not None and self.heal_started_ns <= t_ns and not self.healed_at(t_ns)


@dataclass(frozen=True)
class Drilled:
    """A run of any drill on the topology that is asked for."""

    drill: str
    run: str
    at: str  # wall time
    verdict: str  # PASS | FAIL | INVALID
    lost: int | None  # confirmed payments, of the whole run
    faults: tuple[Struck, ...]


class Told(Model):
    """What one run says of a cell. The verdict and the lost payments are the whole run's."""

    drill: str
    run: str
    at: str
    verdict: str
    rto_s: float | None  # None: service did not return, or nobody can tell
    lost: int | None


class Cell(Model):
    fault: str
    victim: str
    moment: Moment
    targets: list[str]
    expected: Expected
    drills: list[str]  # that would cover it
    runs: list[Told]  # the oldest first
    verdicts: dict[str, int]
    state: Literal["empty", "invalid", "told"]  # invalid: INVALID runs alone

    @property
    def told(self) -> list[Told]:
        return [run for run in self.runs if run.verdict != "INVALID"]

    @property
    def latest(self) -> Told | None:
        """The latest run that told something; where none did, the latest of all."""
        return next(reversed(self.told or self.runs), None)

    @property
    def never(self) -> bool:
        """Service did not return in a run that was told."""
        return any(run.rto_s is None for run in self.told)

    @property
    def worst_rto_s(self) -> float | None:
        return max((run.rto_s for run in self.told if run.rto_s is not None), default=None)

    @property
    def lost(self) -> int | None:
        return max((run.lost for run in self.told if run.lost is not None), default=None)


class Coverage(Model):
    schema_name: str = SCHEMA
    topology: str
    settings: dict[str, Any]
    primary: str  # at the start
    told: int  # cells that a run told something of
    invalid: int  # cells with INVALID runs alone
    cells: list[Cell]
    nowhere: list[str]  # faults of runs that are in no cell, and why

    def cell(self, fault: str, victim: str, moment: str) -> Cell | None:
        return next((one for one in self.cells if (one.fault, one.victim, one.moment) == (fault, victim, moment)), None)

    @property
    def rows(self) -> dict[str, list[str]]:
        """The victims of each fault."""
        found: dict[str, list[str]] = {}
        for cell in self.cells:
            if cell.victim not in found.setdefault(cell.fault, []):
                found[cell.fault].append(cell.victim)
        return found


# --- Victims ----------------------------------------------------------------------------------------------------------
def victim(target: str, stands: Stands, *, home: str) -> str | None:
    """What a target is, by where the primary stands. `home`: its center at the start. None: no such target."""
    name, first = target.rpartition("@")[2], stands.first
    if (node := first if name == PRIMARY else stands.node(name)) is not None:
        return _role(node, first)
    if name == PRIMARYS_CENTER:
        name = first.center
    if name in {node.center for node in stands.nodes}:
        return f"{name} (primary)" if name == first.center else name
    if name in {node.region for node in stands.nodes}:
        return f"region {name} (primary)" if name == first.region else f"region {name}"
    if name in TABLES:
        return f"table {name}"
    if "->" in name:
        return name if first.center == home else f"{name}, primary in {first.center}"
    return None


def _role(node: Node, first: Node) -> str:
    database, beside = node.kind == DATABASE, node.center == first.center
    if node.group != first.group:
        return "standby side" if database else f"{node.kind} of the standby side"
    if node == first:
        return "primary"
    if database:
        return "copy in the primary's center" if beside else "copy in another center"
    return f"{node.kind} in the primary's center" if beside else f"{node.kind} elsewhere"


# --- What is expected -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Row:
    """One fault on one kind of victim. `hit`: its targets; `all_targets`: the fault's, of every victim."""

    stands: Stands
    fault: str
    hit: Sequence[Target]
    all_targets: Sequence[Target]

    def expected(self, moment: Moment) -> Expected | None:
        """The gravest of its targets. None: that fault can't be injected in that moment."""
        if moment == "steady":
            return gravest(_of(self.stands, self.fault, one) for one in self.hit)
        found = self._during_heal() if moment == "heal" else self._during_takeover()
        return gravest(found) if found else None

    def _during_heal(self) -> list[Expected]:
        return [
            _told(f"while {away.name} is coming back", _of(self.stands.without(away.name), self.fault, one))
            for away in self.stands.copies
            for one in self.hit
            if _node(one) != away.name
        ]

    def _during_takeover(self) -> list[Expected]:
        if self.fault in (SWITCHOVER, EMPTIED, LOCKED):
            return []  # there is nobody to hand over from, and nobody who takes a statement
        dead, copies = (self.stands.primary,), {copy.name for copy in self.stands.copies}
        if any(_node(one) != self.stands.primary for one in self.hit):
            return [_of(self.stands, self.fault, one, dead=dead) for one in self.hit]
        # It is dead already: who follows it is hit.
        follow = [_of(self.stands, self.fault, one, dead=dead) for one in self.all_targets if _node(one) in copies]
        if not (self.stands.synchronous == "plain" or self.stands.decider == "pg-auto-failover"):
            return follow
        why = "; right after a takeover payments are confirmed for a moment that no copy has"
        return [one.model_copy(update={"loss": "possible", "why": f"{one.why}{why}"}) for one in follow]


def _node(target: Target) -> str:
    """`dc1-a` of `entries@dc1-a`; what is no node stays as it is."""
    return target.name.rpartition("@")[2]


def _told(when: str, one: Expected) -> Expected:
    return one.model_copy(update={"why": f"{when}: {one.why}"})


def _of(stands: Stands, fault: str, target: Target, *, dead: tuple[str, ...] = ()) -> Expected:
    """`dead`: nodes that died just before."""
    if fault == SWITCHOVER:
        return _switchover(stands, target.name)
    if fault == ENDED:  # it comes back, or another takes over before: no worse than if its machine had died
        return _told("at worst", derive(stands, (*dead, _node(target)), ()))
    found = derive(stands, (*target.down, *dead), target.cut, target.destroyed)
    if fault == BITS:
        return gravest([found, _bits(stands, _node(target), primary_lives=not dead)])
    if fault == LOCKED:
        why = "who pays waits for a lock that nobody gives back: people find the session and end it"
        return Expected(kind="people", loss="none", why=why)
    if target.damaged:
        return gravest([found, _emptied(stands)])
    if target.impaired:
        return gravest([found, _impaired(stands, target, dead)])
    if not target.down and not target.cut:
        return Expected(kind="unknown", loss="possible", why=f"{fault} stops nothing by itself, and no rule tells what it does")
    return found


def _impaired(stands: Stands, target: Target, dead: tuple[str, ...]) -> Expected:
    """Who confirms stays as it is; how long payments take over a bad link, and who gives up over it, is not derived."""
    whole, cut = derive(stands, dead, ()), derive(stands, dead, target.impaired)
    if cut == whole:
        return whole
    why = "the link goes on carrying: how long payments wait for it, and who gives up over it, depends on how bad it is"
    return Expected(kind="unknown", loss=whole.loss, why=why)


def _bits(stands: Stands, node: str, *, primary_lives: bool) -> Expected:
    """Replication copies changes, not pages: the other copies are whole."""
    if node == stands.primary and primary_lives:
        if not stands.copies:
            return Expected(kind="people", loss="possible", why="no copy is whole")
        why = "a scrub has to find it, and people move the primary to a clean copy"
        return Expected(kind="people", loss="none", why=why)
    if not primary_lives and node in {copy.name for copy in stands.copies}:
        return Expected(kind="people", loss="none", why="the damaged copy may be promoted: people move on to a clean one")
    return unnoticed("nobody pays at that copy; a scrub has to find it")


def _emptied(stands: Stands) -> Expected:
    """A statement is a change like any other: every copy carries it out."""
    why = "every copy carries a wrong statement out"
    if not stands.of_kind(REPOSITORY):
        return Expected(kind="people", loss="possible", why=f"{why}, and there is no backup")
    why = f"{why}; people restore a backup to the moment before, and what was confirmed since is given up"
    return Expected(kind="people", loss="possible", why=why)


def _switchover(stands: Stands, center: str) -> Expected:
    """The role is handed to a copy that confirms, so one has to stand there for certain."""
    inside = [copy for copy in stands.copies if copy.center == center]
    outside = len(stands.copies) - len(inside)
    any_of_all = stands.synchronous == "quorum" or stands.decider == "pg-auto-failover"
    if inside and stands.confirming and (any_of_all or stands.confirming > outside):
        return Expected(kind="pause", loss="none", why="the role is handed over in order, and the last byte is waited for")
    why = f"it is handed to a copy that confirms, and whether one stands in {center} is not certain: it may not begin"
    return Expected(kind="unknown", loss="none", why=why)


# --- What runs told ---------------------------------------------------------------------------------------------------
def struck(events: Iterable[tuple[int, str, Mapping[str, Any]]], rto_s: Mapping[str, float | None]) -> list[Struck]:
    """The faults that were injected, from (t_ns, kind, data) of events.jsonl and the verdict's RTO by the fault's id.

    Raises KeyError, TypeError or ValueError where an event is damaged.
    """
    intents: dict[str, Mapping[str, Any]] = {}
    times: dict[str, dict[str, int]] = {"injected": {}, "heal_started": {}, "healed": {}}
    primaries: list[tuple[int, str]] = []
    for t_ns, kind, data in events:
        if kind == "intent":
            intents[data["id"]] = data
        elif kind == "injected":
            times[kind][data["id"]] = int(data["before_ns"])
        elif kind == "heal_started" or (kind == "healed" and data["ok"]):
            times[kind].setdefault(data["id"], t_ns)
        elif kind == "primary" and data["node"] is not None:
            primaries.append((t_ns, str(data["node"])))
    return [
        Struck(
            id=name,
            name=str(intents[name]["name"]),
            target=str(intents[name]["target"]),
            before_ns=before_ns,
            primary=next((node for t_ns, node in reversed(primaries) if t_ns <= before_ns), None),
            rto_s=rto_s.get(name),
            heal_started_ns=times["heal_started"].get(name),
            healed_ns=times["healed"].get(name),
        )
        for name, before_ns in times["injected"].items()
    ]


def moment_of(one: Struck, faults: Sequence[Struck]) -> Moment:
    """What else was going on when it came."""
    t_ns = one.before_ns
    earlier = [other for other in faults if other.before_ns < t_ns]
    if any(other.healing_at(t_ns) for other in earlier):
        return "heal"
    return "takeover" if any(other.gone_at(t_ns) for other in earlier) else "steady"


def in_no_cell(one: Struck, faults: Sequence[Struck]) -> str | None:
    """Why a fault tells of no cell: something else stood, or what it cost is not its own."""
    t_ns = one.before_ns
    for other in faults:
        has_a_moment = other.gone_at(t_ns) or other.healing_at(t_ns) or other.healed_at(t_ns)
        if other.before_ns < t_ns and not has_a_moment:
            return f"{other.name} of {other.target} stood, and service was back from it"
        if t_ns < other.before_ns and one.gone_at(other.before_ns):
            return f"{other.name} of {other.target} came before service was back"
    return None


# --- What drills would tell -------------------------------------------------------------------------------------------
@dataclass
class Rows:
    """The rows of the map: every victim of every fault, and what runs and drills hit with another primary than the first."""

    stands: Stands
    targets: Targets
    found: dict[tuple[str, str], Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for fault, targets in self.targets.items():
            for one in targets:
                self.of(fault, one.name, self.stands)

    def of(self, fault: str, target: str, stands: Stands) -> tuple[str, str] | None:
        """The row of a target with that primary, made where there is none yet. None: it can't be hit."""
        home = self.stands.first.center
        label = victim(target, stands, home=home)
        hit = [one for one in self.targets.get(fault, ()) if victim(one.name, stands, home=home) == label]
        if label is None or not hit or (fault == SWITCHOVER and target in (stands.first.center, PRIMARYS_CENTER)):
            return None
        self.found.setdefault((fault, label), Row(stands, fault, hit, self.targets[fault]))
        return fault, label

    def planned(self, body: Iterable[Planned]) -> Iterator[tuple[tuple[str, str], Moment]]:
        """The cells that a drill's body is about, as far as it says: nobody knows beforehand who is primary after a takeover."""
        primary: str | None = self.stands.primary
        moment: Moment = "steady"
        for one in body:
            if isinstance(one, PlannedUntil) and one.condition == RETURNED:
                moment = "steady"
            if not isinstance(one, PlannedFault):
                continue
            stands = self.stands.led_by(primary or self.stands.primary)
            place = self.of(one.name, one.target, stands) if primary or one.target == PRIMARY else None
            if place is not None:
                yield place, moment
                primary = self._primary_after(place, one.target, stands) if primary else None
            moment = "takeover"

    def _primary_after(self, place: tuple[str, str], target: str, stands: Stands) -> str | None:
        if place[0] == SWITCHOVER:
            return next(copy.name for copy in stands.copies if copy.center == target)
        after = self.found[place].expected("steady")
        return stands.primary if after is not None and after.kind in ("unnoticed", "pause") else None


# --- The map ----------------------------------------------------------------------------------------------------------
def coverage(
    topology: Mapping[str, Any],
    takes_over: Mapping[str, bool],
    targets: Targets,
    *,
    drills: Mapping[str, Sequence[Planned]],
    runs: Sequence[Drilled],
) -> Coverage:
    """`topology` as plan.json has it; `takes_over` by group; `drills`: what the bodies of those on this topology do, by name."""
    stands = Stands.of(topology, takes_over)
    rows, told, nowhere = Rows(stands, targets), dict[tuple[tuple[str, str], Moment], list[Told]](), list[str]()
    covering: dict[tuple[tuple[str, str], Moment], list[str]] = {}
    for drill, body in drills.items():
        for place in dict.fromkeys(rows.planned(body)):
            covering.setdefault(place, []).append(drill)
    for run in sorted(runs, key=lambda run: run.at):
        for one in run.faults:
            row, why = _place(rows, one), in_no_cell(one, run.faults)
            if row is None or why is not None:
                why = why or f"no such target with {one.primary} as the primary"
                nowhere.append(f"{run.drill} {run.run}: {one.name} of {one.target}: {why}")
                continue
            lost = run.lost if run.verdict != "INVALID" else None
            line = Told(drill=run.drill, run=run.run, at=run.at, verdict=run.verdict, rto_s=one.rto_s, lost=lost)
            told.setdefault((row, moment_of(one, run.faults)), []).append(line)
    cells = [
        _cell(place, moment, row.hit, expected, covering.get((place, moment), []), told.get((place, moment), []))
        for place, row in sorted(rows.found.items(), key=lambda one: list(targets).index(one[0][0]))
        for moment in MOMENTS
        if (expected := row.expected(moment)) is not None
    ]
    return Coverage(
        topology=str(topology["name"]),
        settings=dict(topology["settings"]),
        primary=stands.primary,
        told=sum(cell.state == "told" for cell in cells),
        invalid=sum(cell.state == "invalid" for cell in cells),
        cells=cells,
        nowhere=nowhere,
    )


def _place(rows: Rows, one: Struck) -> tuple[str, str] | None:
    primary = one.primary or rows.stands.primary
    return rows.of(one.name, one.target, rows.stands.led_by(primary)) if rows.stands.node(primary) else None


def _cell(
    place: tuple[str, str], moment: Moment, hit: Sequence[Target], expected: Expected, drills: list[str], runs: list[Told]
) -> Cell:
    verdicts = {word: sum(run.verdict == word for run in runs) for word in ("PASS", "FAIL", "INVALID")}
    return Cell(
        fault=place[0],
        victim=place[1],
        moment=moment,
        targets=[one.name for one in hit],
        expected=expected,
        drills=drills,
        runs=runs,
        verdicts=verdicts,
        state="told" if verdicts["PASS"] + verdicts["FAIL"] else "invalid" if runs else "empty",
    )


def suggested(found: Coverage) -> list[Cell]:
    """The cells worth drilling, the least known first: never told by how grave, then thin ones, then those told longest ago.

    What failed is known: it has to be mended, and is not here.
    """
    return sorted((cell for cell in found.cells if not _failed(cell)), key=_known)


def _failed(cell: Cell) -> bool:
    return cell.latest is not None and cell.latest.verdict == "FAIL"


def _known(cell: Cell) -> tuple[bool, bool, int, int, str]:
    if cell.state != "told" or cell.latest is None:
        possible, kind = cell.expected.gravity
        return False, not possible, -kind, MOMENTS.index(cell.moment), ""
    return True, len(cell.told) >= ENOUGH_RUNS, 0, 0, cell.latest.at
