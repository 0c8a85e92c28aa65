"""What a fault should do to customers, derived from what stands and what the fault hits, before anybody drilled it. Pure.

Where no rule tells, the outcome is `unknown` and says what is not known: nothing here is guessed. What a manager does when copies
fall silent, and who may be promoted, is that of docs/managers.md. Two machines are connected when both live and neither direction
between them is cut: a cut of one way stalls TCP in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from judging.evidence import Model

Kind = Literal["unnoticed", "pause", "takeover", "people", "unknown", "outage"]
Loss = Literal["none", "possible"]
KINDS: tuple[Kind, ...] = ("unnoticed", "pause", "takeover", "people", "unknown", "outage")  # the gravest last

DATABASE, STORE, BALANCER, BANK, WATCHER, MONITOR = "postgres", "etcd", "haproxy", "bank", "watcher", "monitor"
FRONT, EDGE, REPOSITORY = "front", "edge", "repository"
KEEP_THE_LIST = frozenset({"patroni", "patroni-watched"})  # who must confirm a commit follows what the manager sees
FIXED_LIST = frozenset({"by-hand", "repmgr", "pg-auto-failover"})  # it stays as it is until people change it


class Expected(Model):
    """`people`: somebody has to follow a runbook; `outage`: until it is healed. `loss`: of confirmed payments."""

    kind: Kind
    loss: Loss
    why: str

    @property
    def gravity(self) -> tuple[bool, int]:
        return self.loss == "possible", KINDS.index(self.kind)


def gravest(found: Iterable[Expected]) -> Expected:
    return max(found, key=lambda one: one.gravity)


def unnoticed(why: str) -> Expected:
    return Expected(kind="unnoticed", loss="none", why=why)


@dataclass(frozen=True)
class Node:
    name: str
    kind: str
    group: str
    center: str
    region: str


@dataclass(frozen=True)
class Stands:
    """What stands, and which database is the primary. `takes_over`: by group, whether its manager does so by itself."""

    nodes: tuple[Node, ...]
    upstream: Mapping[str, str | None]  # by group
    manager: Mapping[str, str]  # by group
    takes_over: Mapping[str, bool]
    open_centers: tuple[str, ...]  # of the door, in order
    closed_centers: tuple[str, ...]
    spread: bool  # customers are dealt among all open centers
    sides: bool  # each of the two open centers has customers of its own
    synchronous: str
    count: int
    primary: str

    @classmethod
    def of(cls, topology: Mapping[str, Any], takes_over: Mapping[str, bool]) -> Stands:
        """From a topology as plan.json has it; at the start the primary side's first database is the primary."""
        upstream = {str(group["name"]): group["upstream"] for group in topology["groups"]}
        nodes = tuple(
            Node(node["name"], node["kind"], node["group"], center["name"], center["region"])
            for center in topology["centers"]
            for node in center["nodes"]
        )
        return cls(
            nodes=nodes,
            upstream=upstream,
            manager={str(group["name"]): str(group["manager"]) for group in topology["groups"]},
            takes_over=takes_over,
            open_centers=tuple(topology["door"]["centers"]),
            closed_centers=tuple(topology["door"]["closed"]),
            spread=bool(topology["door"].get("spread")),
            sides=bool(topology["door"].get("sides")),
            synchronous=str(topology["settings"]["synchronous"]),
            count=int(topology["settings"]["synchronous_node_count"]),
            primary=next(n.name for n in nodes if n.kind == DATABASE and upstream[n.group] is None),
        )

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def led_by(self, primary: str) -> Stands:
        return replace(self, primary=primary)

    def without(self, name: str) -> Stands:
        return replace(self, nodes=tuple(node for node in self.nodes if node.name != name))

    @property
    def first(self) -> Node:
        """The primary."""
        return next(node for node in self.nodes if node.name == self.primary)

    def of_kind(self, kind: str) -> list[Node]:
        """In the primary's group."""
        return [node for node in self.nodes if node.kind == kind and node.group == self.first.group]

    @property
    def copies(self) -> list[Node]:
        return [node for node in self.of_kind(DATABASE) if node.name != self.primary]

    @property
    def confirming(self) -> int:
        """How many copies must have a payment before it is confirmed; a standby side that was promoted serves without."""
        alone = self.synchronous == "off" or self.upstream[self.first.group] is not None
        return 0 if alone else min(self.count, len(self.copies))

    @property
    def decider(self) -> str:
        """The manager of the primary's group."""
        return self.manager[self.first.group]

    @property
    def decides_alone(self) -> bool:
        return self.takes_over[self.first.group]


def derive(stands: Stands, down: Iterable[str], cut: Iterable[str], destroyed: Iterable[str] = ()) -> Expected:
    """What customers should see when these nodes die and these directed paths (`dc1->dc2`, `dc1-a->dc2-a`) carry nothing.

    `destroyed`: those that die with their disks.
    """
    return _After(stands, frozenset(down), frozenset(cut), frozenset(destroyed)).outcome()


@dataclass(frozen=True)
class _After:
    """What stands, once the fault has struck."""

    stands: Stands
    down: frozenset[str]
    cut: frozenset[str]
    destroyed: frozenset[str]

    # What still works
    def lives(self, node: Node) -> bool:
        return node.name not in self.down

    def connected(self, one: Node, other: Node) -> bool:
        pairs = ((one.name, other.name), (other.name, one.name), (one.center, other.center), (other.center, one.center))
        return self.lives(one) and self.lives(other) and not any(f"{a}->{b}" in self.cut for a, b in pairs)

    def asks_store(self, node: Node) -> bool | None:
        """Whether a node reaches a majority of its group's store. None: it depends on which member leads it."""
        members = self.stands.of_kind(STORE)
        answers = set()
        for leader in filter(self.lives, members):
            together = [member for member in members if self.connected(member, leader)]
            if len(together) > len(members) // 2:
                answers.add(any(self.connected(node, member) for member in together))
        return None if len(answers) > 1 else answers == {True}

    def serving(self, primary: Node) -> str | None:
        """The first center of the door whose bank reaches that primary; people open the closed ones for a standby side."""
        return next(iter(self.all_serving(primary)), None)

    def all_serving(self, primary: Node) -> list[str]:
        stands = self.stands
        opened = stands.closed_centers if stands.upstream[primary.group] is not None else ()
        centers = [center for center in (*stands.open_centers, *opened) if f"door->{center}" not in self.cut]
        return [center for center in centers if any(self.pays(bank, primary) for bank in self.banks_of(center))]

    def banks_of(self, center: str) -> list[Node]:
        """Those that a center's customers come to: through its front or edge where it has one, else its own."""
        banks = [node for node in self.stands.nodes if node.kind == BANK and self.lives(node)]
        fronts = [node for node in self.stands.nodes if node.kind in (FRONT, EDGE) and node.center == center]
        if not fronts:
            return [bank for bank in banks if bank.center == center]
        return [bank for bank in banks if any(self.connected(front, bank) for front in fronts if front.group == bank.group)]

    def pays(self, bank: Node, primary: Node) -> bool:
        """Whether a bank's balancer finds that primary."""
        beside = [n for n in self.stands.nodes if n.kind == BALANCER and n.center == bank.center and n.group == bank.group]
        return bank.group == primary.group and any(self.connected(balancer, primary) for balancer in beside)

    # What follows
    def outcome(self) -> Expected:
        stands, primary = self.stands, self.stands.first
        if stands.decider not in KEEP_THE_LIST | FIXED_LIST:
            hit = self.down & {n.name for n in stands.nodes if n.group == primary.group} or self.cut
            why = f"what {stands.decider} does when a machine falls silent is not known here"
            return Expected(kind="unknown", loss="possible", why=why) if hit else unnoticed("nothing that pays is hit")
        if not self.lives(primary):
            return self.successor(f"the primary {primary.name} is dead")
        if stands.of_kind(STORE):
            asks = self.asks_store(primary)
            if asks is None:
                why = "whether the primary keeps its store's majority depends on which member leads the store"
                return Expected(kind="unknown", loss=self.loss(stands.copies), why=why)
            if not asks:
                return self.successor("the primary reaches no majority of its store and steps back")
        for monitor in filter(self.lives, stands.of_kind(MONITOR)):
            if not self.connected(primary, monitor):
                return self.successor("the monitor no longer hears the primary and gives it up")
        for watcher in filter(self.lives, stands.of_kind(WATCHER)):
            if not self.connected(watcher, primary) and self.asks_store(watcher):
                return self.successor("the watcher no longer hears the primary and takes its leader key")
        apart = [copy for copy in stands.copies if self.lives(copy) and not self.connected(copy, primary)]
        if apart and stands.decider == "repmgr":
            why = "copies that no longer see the primary may promote one of them while it lives: two may stand at once"
            return Expected(kind="unknown", loss=self.loss([]), why=why)
        return gravest([self.at_the_door(), self.confirmed(primary)])

    def at_the_door(self) -> Expected:
        """The primary lives where it was: whether customers still come to it."""
        primary = self.stands.first
        whole = replace(self, down=frozenset(), cut=frozenset())
        before, now = whole.serving(primary), self.serving(primary)
        if now is None:
            why = "no bank of an open center reaches the primary until it is healed"
            if any(node.kind == EDGE and self.lives(node) for node in self.stands.nodes):
                why = f"{why}; edges answer small payments by themselves, and refuse the others"
            return Expected(kind="outage", loss="none", why=why)
        gone = [center for center in whole.all_serving(primary) if center not in self.all_serving(primary)]
        if gone and self.stands.sides:
            return Expected(kind="pause", loss="none", why=f"the door moves the customers of {', '.join(gone)} to the other side")
        if now != before:
            why = f"the door moves customers from {before}'s bank to {now}'s"
            return Expected(kind="pause", loss="none", why=why)
        if gone and self.stands.spread:
            why = f"the door deals the customers of {', '.join(gone)} among the others"
            return Expected(kind="pause", loss="none", why=why)
        return unnoticed("neither the primary, nor a copy that must confirm, nor the bank where customers pay is hit")

    def confirmed(self, primary: Node) -> Expected:
        """Whether a primary that lives still has the copies that must confirm. It keeps what it confirmed."""
        stands, wanted = self.stands, self.stands.confirming
        there = [copy for copy in stands.copies if self.connected(copy, primary)]
        silent = len(stands.copies) - len(there)
        if not wanted or not silent:
            return unnoticed("every copy that must confirm a payment is reached" if wanted else "no copy has to confirm")
        if stands.decider in KEEP_THE_LIST:
            if not there and stands.synchronous == "strict":
                return Expected(kind="outage", loss="none", why="no copy is left to confirm, and none confirms alone (strict)")
            if stands.synchronous == "quorum" and len(there) >= wanted:
                return unnoticed(f"any {wanted} copies confirm, and {len(there)} are reached")
            why = f"payments may wait for copies that fell silent until {stands.decider} drops them from those that confirm"
            return Expected(kind="pause", loss="none", why=why)
        if len(there) >= wanted:
            return unnoticed(f"{wanted} of a fixed list must confirm, and {len(there)} are reached")
        short = f"{wanted} of a fixed list of copies must confirm and {len(there)} are reached: payments wait until it is healed"
        if stands.decides_alone:
            return Expected(kind="outage", loss="none", why=short)
        return Expected(kind="people", loss="none", why=f"{short}, or people change the list")

    def loss(self, gone: Iterable[Node]) -> Loss:
        """Whether confirmed payments may stand on nobody but the primary and these copies."""
        return "none" if self.stands.confirming > len(list(gone)) else "possible"

    def successor(self, why: str) -> Expected:
        """The primary is out of the game: who follows it."""
        stands = self.stands
        living = [copy for copy in stands.copies if self.lives(copy)]
        if not living:
            return self.elsewhere(why)
        if not stands.decides_alone:
            dead = [copy for copy in stands.copies if copy not in living]
            return self.promoted(Expected(kind="people", loss=self.loss(dead), why=f"{why}; people promote a copy"), living)
        if stands.of_kind(STORE):
            return self.elected(why)
        return self.told_by_monitor(why, living) if stands.of_kind(MONITOR) else self.chosen(why, living)

    def elected(self, why: str) -> Expected:
        """A store's majority decides, and nobody runs who may lack a confirmed payment."""
        stands = self.stands
        running = [copy for copy in stands.copies if self.asks_store(copy)]
        gone = [copy for copy in stands.copies if copy not in running]
        if not running:
            why = f"{why}; no copy reaches a majority of the store, so nobody takes over until it is healed"
            return Expected(kind="outage", loss="none", why=why)
        if not stands.confirming:
            why = f"{why}; a copy that may lag takes over"
            return self.promoted(Expected(kind="takeover", loss="possible", why=why), running)
        why = f"{why}; {stands.confirming} of {len(stands.copies)} copies confirm, {len(gone)} lost with it"
        if self.loss(gone) == "possible":
            why = f"{why}: whether one of the former is left is not certain, and no other may take over"
            return Expected(kind="unknown", loss="none", why=why)
        why = f"{why}: one that has everything takes over"
        return self.promoted(Expected(kind="takeover", loss="none", why=why), running)

    def told_by_monitor(self, why: str, living: list[Node]) -> Expected:
        """The monitor promotes nobody before each copy that may confirm has said how far it got."""
        stands = self.stands
        telling = [copy for copy in living if any(self.connected(copy, monitor) for monitor in stands.of_kind(MONITOR))]
        if not telling or (stands.confirming and len(telling) < len(stands.copies)):
            heard = f"{len(telling)} of {len(stands.copies)} copies tell the monitor how far they got"
            return Expected(kind="outage", loss="none", why=f"{why}; {heard}, and it waits for the others until it is healed")
        if not stands.confirming and len(telling) < len(stands.copies):
            why = f"{why}; whether the monitor waits for a silent copy that never confirms is not known here"
            return Expected(kind="unknown", loss="possible", why=why)
        loss = self.loss([])
        return self.promoted(Expected(kind="takeover", loss=loss, why=f"{why}; the copy that got farthest takes over"), telling)

    def chosen(self, why: str, living: list[Node]) -> Expected:
        """The copies that see each other choose the one that received most."""
        dead = [copy for copy in self.stands.copies if copy not in living]
        if not all(self.connected(one, other) for one in living for other in living):
            why = f"{why}; copies that don't see each other may each promote one"
            return Expected(kind="unknown", loss="possible", why=why)
        found = Expected(kind="takeover", loss=self.loss(dead), why=f"{why}; the living copy that received most takes over")
        return self.promoted(found, living)

    def promoted(self, found: Expected, candidates: list[Node]) -> Expected:
        """`found`, where customers can pay at whichever of the candidates is promoted."""
        stands = self.stands
        served = [self.serving(new) is not None for new in candidates]
        if not any(served):
            return Expected(kind="outage", loss=found.loss, why=f"{found.why}, and no bank of an open center reaches it")
        if not all(served):
            return Expected(kind="unknown", loss=found.loss, why=f"{found.why}; whether a bank reaches it depends on which")
        if not stands.confirming or (stands.decider in KEEP_THE_LIST and stands.synchronous != "strict"):
            return found
        # Of those who are there at a takeover one is enough; pg-auto-failover goes on waiting for as many as before.
        wanted = stands.confirming if stands.decider == "pg-auto-failover" else 1
        beside = [sum(self.connected(new, copy) for copy in stands.copies if copy != new) for new in candidates]
        if max(beside) < wanted:
            why = f"{found.why}, and then too few copies are left to confirm: payments wait until it is healed"
            return Expected(kind="outage", loss=found.loss, why=why)
        if min(beside) < wanted:
            why = f"{found.why}; whether enough copies are left to confirm depends on which"
            return Expected(kind="unknown", loss=found.loss, why=why)
        return found

    def elsewhere(self, why: str) -> Expected:
        """No database of the primary's group is left: people may promote the standby side, which streams asynchronously."""
        stands = self.stands
        remote = [n for n in stands.nodes if n.kind == DATABASE and stands.upstream[n.group] == stands.first.group]
        if any(self.lives(node) and self.serving(node) is not None for node in remote):
            why = f"{why}, and no copy beside it lives; people promote the standby side, which may lag"
            return Expected(kind="people", loss="possible", why=why)
        own = {stands.primary, *(copy.name for copy in stands.copies)}
        if own <= self.destroyed:
            if any(self.lives(keeper) for keeper in stands.of_kind(REPOSITORY)):
                why = (
                    f"{why}, with every disk; people restore a backup, and what was confirmed since the last archived log is lost"
                )
                return Expected(kind="people", loss="possible", why=why)
            return Expected(kind="outage", loss="possible", why=f"{why}, with every disk, and nothing was kept elsewhere")
        return Expected(kind="outage", loss="none", why=f"{why}, and no database is left that could follow it until it is healed")
