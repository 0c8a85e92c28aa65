"""What the topology's settings say a fault should cost, before it is measured: bounds with their derivation. Pure.

A figure outside its bounds is a finding: either the system is not what its settings say, or the derivation is wrong. Both are
worth knowing, neither changes the verdict. Where no setting bounds a side, it is open (None), and the derivation says why.

Sources: Patroni 4 (dynamic configuration, `ttl`, `loop_wait`, `retry_timeout`; two seconds for the REST answer of a member that
is dead), etcd 3.5 (leases are looked at twice a second, an election gives each its whole time again), PostgreSQL 17
(`wal_sender_timeout`), HAProxy 3.0 (`inter`, `fall`, `rise`, `timeout check`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from judging.evidence import Model, Plan
from judging.measure import FaultMeasurement, Measurement
from judging.records import topology_centers

MANAGER = "patroni"
MEMBER_ANSWER_S = 2.0  # Patroni's own: how long a candidate waits for the answer of a member that is dead
LEASE_LOOK_S = 0.5  # how often etcd looks for leases that ran out
PROMOTION_S = 1.0  # no setting: pg_promote on a small database took 0.3 to 0.9 s
REWIND_S = 9.0  # no setting: checkpoint, pg_rewind and start of a copy that is past the fork took 7 to 9 s on two cores
POOL_S = 0.5  # the bank's pools open their connections again
READY_S = 0.5  # no setting: a bank notices that it can write, by a heartbeat of its own


class Term(Model):
    """One summand: between how many seconds, and why."""

    name: str
    low_s: float
    high_s: float
    why: str


class Prediction(Model):
    """Bounds of one figure, seconds. None: no setting bounds it. `within` None: it was not measured."""

    fault: str | None  # the fault's id; None: of the whole run
    figure: str  # rto_s | rpo_s | unprotected_s
    low: float
    high: float | None
    terms: list[Term]
    why: str
    measured: float | None
    within: bool | None


def predictions(plan: Plan, measurement: Measurement) -> list[Prediction]:
    """For each fault whose cost follows from settings, and for the run; empty where the plan does not hold the settings."""
    try:
        rules = Rules(plan)
        found = [one for n, fault in enumerate(measurement.faults) for one in rules.of_fault(fault, first=n == 0)]
        return found + rules.of_run(measurement)
    except (KeyError, TypeError, ValueError):
        return []  # another topology, or a plan that somebody damaged: the verdict says so


def findings(predicted: Sequence[Prediction]) -> list[str]:
    """What was measured outside its bounds, in words."""
    told = []
    for one in predicted:
        if one.within is False and one.measured is not None:
            of = f" of {one.fault}" if one.fault else ""
            told.append(
                f"{one.figure}{of}: {one.measured:.3f} s measured, {bounds(one)} predicted from the settings ({one.why}). "
                "Either the system is not what its settings say, or the derivation is wrong."
            )
    return told


def bounds(one: Prediction) -> str:
    """`21.0 to 26.6 s`, `at least 3.0 s`."""
    return f"at least {one.low:.1f} s" if one.high is None else f"{one.low:.1f} to {one.high:.1f} s"


class Rules:
    """The settings of one plan, and what follows from them. Raises KeyError, TypeError, ValueError where they are not there."""

    def __init__(self, plan: Plan) -> None:
        settings: Mapping[str, Any] = plan.topology["settings"]
        if {str(group.get("manager", MANAGER)) for group in plan.topology["groups"]} != {MANAGER}:
            raise ValueError("another manager than the one whose leases and turns these are")
        self.ttl_s = float(settings["ttl_s"])
        self.loop_s = float(settings["loop_wait_s"])
        self.retry_s = float(settings["retry_timeout_s"])
        self.sender_s = float(settings["wal_sender_timeout_s"])
        self.mode = str(settings["synchronous"])
        self.copies = int(settings["synchronous_node_count"])
        self.election_s = float(settings["etcd_election_ms"]) / 1000
        self.store_leader = str(settings["etcd_leader_center"])
        self.balancer_s = float(settings["balancer_check_ms"]) / 1000
        self.fast_s = float(settings["balancer_fast_check_ms"]) / 1000
        self.door_s = float(settings["door_check_ms"]) / 1000
        self.interval_s = plan.load.probe_interval_ms / 1000
        self.nodes = topology_centers(plan)
        standby = {str(g["name"]): g["upstream"] is not None for g in plan.topology["groups"]}
        self.by_hand = {name for name, on_standby in standby.items() if on_standby}  # groups that take over when people say so
        nodes = [(str(c["name"]), n) for c in plan.topology["centers"] for n in c["nodes"] if n["kind"] == "postgres"]
        self.group_of = {str(node["name"]): str(node["group"]) for _, node in nodes}
        self.holders: dict[str, set[str]] = {}  # the centers that hold databases of a group
        for center, node in nodes:
            self.holders.setdefault(str(node["group"]), set()).add(center)

    # Which faults hit what

    def of_fault(self, fault: FaultMeasurement, *, first: bool = True) -> list[Prediction]:
        """`first`: nothing broke before it, so the store's leader is where the settings put it."""
        primary = fault.old_primary or ""
        center = self.nodes.get(primary, ("", ""))[0]
        if fault.name == "NodeKilled":
            terms, why = (self.takeover(False), "the primary's machine died") if fault.target == primary else self.spared()
        elif fault.name == "CenterPowerLoss":
            store = fault.target == self.store_leader or not first
            terms, why = (self.takeover(store), "the primary's center died") if fault.target == center else self.spared()
        elif fault.name == "LinkBlackholed" and self.silences(fault.target, primary):
            terms, why = self.silence(), "copies that must confirm fell silent"
        elif fault.name == "PlannedSwitchover":
            terms, why = self.switchover(), "the primary's role was handed over in order"
        else:
            return []
        low = sum(term.low_s for term in terms)
        high = sum(term.high_s for term in terms) + (fault.after_ns - fault.before_ns) / 1e9
        # Waited for from before the injection began: the figure may be longer than the truth by its resolution, never shorter.
        return [_held(fault.id, "rto_s", low, high, terms, why, fault.rto_s, fault.rto_resolution_s)]

    def silences(self, target: str, primary: str) -> bool:
        """Whether the cut link ends in the primary's center and the other end holds copies that confirm: of the same group."""
        ends = target.replace("<->", " ").replace("->", " ").split()
        center, holders = self.nodes.get(primary, ("", ""))[0], self.holders.get(self.group_of.get(primary, ""), set())
        waits = self.group_of.get(primary) not in self.by_hand and self.mode != "off"
        return waits and len(ends) == 2 and center in ends and holders.issuperset(ends)

    # What each costs

    def takeover(self, store_leader_died: bool) -> list[Term]:
        lease = Term(
            name="lease",
            low_s=self.ttl_s - self.loop_s,
            high_s=self.ttl_s + LEASE_LOOK_S,
            why=f"ttl {self.ttl_s:g} s from its last renewal, at most loop_wait {self.loop_s:g} s before the fault; "
            f"the store looks for leases that ran out every {LEASE_LOOK_S:g} s",
        )
        terms = [lease]
        if store_leader_died:
            why = "the store elects a leader, and each lease gets its whole time again"
            terms.append(Term(name="election", low_s=0, high_s=self.loop_s + 2 * self.election_s, why=why))
        extra = 2 * self.retry_s if self.mode == "quorum" else self.loop_s
        terms.append(
            Term(
                name="decision",
                low_s=MEMBER_ANSWER_S,
                high_s=MEMBER_ANSWER_S + extra,
                why=f"a candidate waits {MEMBER_ANSWER_S:g} s for the dead member's answer, then up to "
                + ("two rounds of retry_timeout for its quorum" if self.mode == "quorum" else "one loop_wait for its turn"),
            )
        )
        why = (
            f"pg_promote, up to {PROMOTION_S:g} s on a small database, and one loop_wait until the new primary is told its copies"
        )
        terms.append(Term(name="promotion", low_s=0, high_s=PROMOTION_S + self.loop_s, why=why))
        if self.mode == "strict":
            why = (
                "every living copy may have received more than the synchronous one that takes over: until the first of them is"
                " rewound, none can confirm"
            )
            terms.append(Term(name="rewind", low_s=0, high_s=REWIND_S, why=why))
        return [*terms, self.rerouting()]

    def rerouting(self) -> Term:
        high = 2 * self.fast_s + self.balancer_s + READY_S + 2 * self.fast_s + self.door_s + POOL_S + self.interval_s
        why = (
            "the balancer's check and the door's, each up to its interval and two fast ones, the bank's own heartbeat and pool, "
            "and the probe's next payment"
        )
        return Term(name="rerouting", low_s=0, high_s=high, why=why)

    def silence(self) -> list[Term]:
        return [
            Term(
                name="replication time-out",
                low_s=max(0.0, self.sender_s - 1),
                high_s=self.sender_s * 1.5,
                why=f"wal_sender_timeout {self.sender_s:g} s since the copy's last answer, which may be 1 s old; "
                "the primary looks after half of it",
            ),
            Term(
                name="copies dropped", low_s=0, high_s=2 * self.loop_s, why="Patroni's next turn, and the list in force after it"
            ),
            Term(name="answer", low_s=0, high_s=POOL_S + self.interval_s, why="payments that waited, and the probe's next one"),
        ]

    def switchover(self) -> list[Term]:
        return [
            Term(name="turn", low_s=0, high_s=self.loop_s, why="Patroni acts at its next turn, loop_wait"),
            Term(name="stop", low_s=0, high_s=self.retry_s, why="checkpoint and stop of the old primary, within a retry_timeout"),
            Term(name="promotion", low_s=0, high_s=PROMOTION_S + 2 * self.loop_s, why="pg_promote, and two turns to its copies"),
            self.rerouting(),
        ]

    def spared(self) -> tuple[list[Term], str]:
        """Copies fell silent that may have had to confirm; the primary lives."""
        none = Term(
            name="copies dropped", low_s=0, high_s=self.sender_s * 1.5 + 2 * self.loop_s, why="as a silent copy, at worst"
        )
        return [none], "the primary was not hit"

    # Of the run

    def of_run(self, measurement: Measurement) -> list[Prediction]:
        names = {fault.name for fault in measurement.faults}
        found = []
        dead = names & {"NodeKilled", "CenterPowerLoss", "PlannedSwitchover", "LinkBlackholed"}
        if dead and dead == names and (self.mode != "off" or names <= {"PlannedSwitchover", "LinkBlackholed"}):
            enough = self.copies >= 2 or "CenterPowerLoss" not in names
            if enough:
                why = f"synchronous={self.mode} with {self.copies} copies: what was confirmed stands on a copy that survives"
                found.append(_held(None, "rpo_s", 0, 0, [], why, measurement.rpo_s, 0))
        if len(measurement.faults) == 1:
            found += self.unprotected(measurement, measurement.faults[0])
        return found

    def unprotected(self, measurement: Measurement, fault: FaultMeasurement) -> list[Prediction]:
        seen, unsure = measurement.unprotected_s, measurement.protection_unknown_s or 0.0
        if fault.name == "NodeKilled" and self.mode in ("strict", "plain") and self.copies >= 2:
            why = (
                "after a takeover any copy may confirm (strict), or none has to (plain), until Patroni has counted its copies: "
                "one member's answer and two turns"
            )
            high = MEMBER_ANSWER_S + 2 * self.loop_s + 1.0
            return [_held(None, "unprotected_s", 0, high, [], why, seen, unsure)]
        if fault.name in ("CenterPowerLoss", "LinkBlackholed") and fault.rto_s is not None and self.mode != "off":
            hit = [p for p in self.of_fault(fault) if p.high]
            holders = self.holders.get(self.group_of.get(fault.old_primary or "", ""), set())
            if not hit or not holders.issuperset(fault.target.replace("<->", " ").split()):
                return []
            left = max(0.0, fault.observed_s - fault.rto_s - 2 * self.loop_s)
            why = "payments go on without the other center from the return of service until its copies are back"
            low = left if fault.disturbed else 0.0
            return [_held(None, "unprotected_s", low, None, [], why, seen, unsure)]
        return []


def _held(
    fault: str | None, figure: str, low: float, high: float | None, terms: list[Term], why: str, seen: float | None, width: float
) -> Prediction:
    """`width`: by how much the figure may be larger than the truth, or (unprotected time) smaller."""
    within = None
    if seen is not None:
        grows = width if figure == "unprotected_s" else 0.0
        within = seen + grows >= low - 1e-9 and (high is None or seen - (0.0 if grows else width) <= high + 1e-9)
    return Prediction(
        fault=fault,
        figure=figure,
        low=round(low, 3),
        high=None if high is None else round(high, 3),
        terms=terms,
        why=why,
        measured=seen,
        within=within,
    )
