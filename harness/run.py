"""What a drill's body holds in its hands: faults with their proof, waiting, and timed runbook steps."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from faults.model import Fault
from harness.customers import Customers, Window
from harness.live import LiveView
from harness.observer import Observer
from judging.errors import CouldNotTell
from judging.evidence import EventLog, Plan, csv_gz
from runtime.addresses import DOOR
from runtime.cluster import Cluster
from runtime.database import DatabaseState, wait_for
from runtime.going_back import Statement, restore_before
from runtime.restoring import stand_in
from topologies.model import Check, Effect, Moment, Node

T = TypeVar("T")
Condition = Callable[["Run"], tuple[bool, str]]
BYSTANDER_WITHIN_S = 20.0
SETTLED_WITHIN_S = 45.0  # 10 s in order, after what a busy machine may keep a bank waiting that has just got its copies back


class Run:
    """One drill while it runs. Everything here writes down what it does before and after it does it."""

    def __init__(
        self,
        plan: Plan,
        directory: Path,
        cluster: Cluster,
        events: EventLog,
        customers: Customers,
        observer: Observer,
        view: LiveView,
    ) -> None:
        self.plan = plan
        self.directory = directory
        self.cluster = cluster
        self.events = events
        self.customers = customers
        self.observer = observer
        self.view = view
        self.active: dict[str, Fault] = {}
        self.effects: dict[str, Effect] = {}  # of the active faults, by their id
        self.dead_primaries: list[str] = []
        self.windows: dict[str, Window] = {}  # by the fault's id, in the order of injection
        self.healing: set[str] = set()
        self.proofs: dict[str, Future[None]] = {}  # being read, by the fault's id
        self.telling = threading.Lock()  # a proof is not written once its heal has begun
        self.faults = 0
        self.damaged: str | None = None
        self.last_primary_state: DatabaseState | None = None

    # --- Faults -------------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """Inject, prove on both sides, and heal at the end, whatever happens in between.

        The proof is read beside the body, which goes on at once: what the harness reads is not the system's time.
        """
        self.faults += 1
        name = f"f{self.faults}"
        for earlier in list(self.proofs):  # who is spared by one fault may be the next one's victim
            self.join_proof(earlier)
        try:
            fault.prepare(self.cluster)
            effect = fault.effect(self.cluster.topology)
            primary = self.observer.primary
            self.last_primary_state = self.observer.latest.get(primary or "")
            self.refuse_overlap(fault, effect)
            self.prove_alive(effect)
            self.register_intent(name, fault, effect)
            self.active[name], self.effects[name] = fault, effect
            self.inject(name, fault)
            if primary in effect.down and primary not in effect.destroyed:
                self.dead_primaries.append(str(primary))
            self.start_proof(name, fault, effect)
            yield
            self.begin_heal(name)
            self.autopsy()
        finally:
            try:
                fault.release()
            finally:
                self.heal(name)

    def register_intent(self, name: str, fault: Fault, effect: Effect) -> None:
        self.phase("fault")
        self.events.write(
            "intent",
            f"about to inject {type(fault).__name__} on {fault.target}",
            durable=True,
            id=name,
            name=type(fault).__name__,
            target=fault.target,
            args=fault.arguments,
            effect=effect.to_json(),
            undo=fault.undo(),
        )

    def inject(self, name: str, fault: Fault) -> None:
        before = time.monotonic_ns()
        moment = fault.inject(self.cluster) or Moment(before, time.monotonic_ns())
        self.windows[name] = Window(moment.before_ns, moment.after_ns)
        self.events.write(
            "injected",
            f"{type(fault).__name__} hit {fault.target} within {(moment.after_ns - moment.before_ns) / 1e9:.3f} s",
            t_ns=moment.after_ns,
            id=name,
            before_ns=moment.before_ns,
            after_ns=moment.after_ns,
        )
        if self.effects[name].damaged:
            self.customers.damaged.append((moment.before_ns, None))
        self.view.injected([f"{type(f).__name__} {f.target}" for f in self.active.values()])

    def refuse_overlap(self, fault: Fault, effect: Effect) -> None:
        """Two faults may last at once; not on the same node or path, where the heal of one would undo the other."""
        for name, other in self.effects.items():
            hit, hit_already = ({*one.down, *one.cut, *one.damaged, *one.impaired} for one in (effect, other))
            if common := sorted(hit & hit_already):
                what = f"{type(fault).__name__} on {fault.target}"
                raise CouldNotTell(
                    f"no fault was injected: {what} would hit {', '.join(common)}, which fault {name} has hit already"
                )

    def lasting(self, effect: Effect) -> Effect:
        """That effect, together with those of all other faults that last: what neither of them explains must be in order."""
        found = [effect, *self.effects.values()]
        return Effect(
            down=tuple(dict.fromkeys(node for one in found for node in one.down)),
            cut=tuple(dict.fromkeys(path for one in found for path in one.cut)),
        )

    def prove_alive(self, effect: Effect) -> None:
        """What the fault is to kill must be alive: else it would get a death that came earlier, and the clock start too late."""
        if dead := [check.subject for check in self.answering(list(effect.down)) if not check.ok]:
            raise CouldNotTell(f"no fault was injected: {', '.join(dead)} did not answer before it")

    def start_proof(self, name: str, fault: Fault, effect: Effect) -> None:
        pool = ThreadPoolExecutor(1)
        self.proofs[name] = pool.submit(self.prove, name, fault, effect)
        pool.shutdown(wait=False)

    def join_proof(self, name: str) -> None:
        """Wait until that fault's proof is read and written. Raises what the proof raised: then the drill can't tell."""
        if (proof := self.proofs.pop(name, None)) is not None:
            proof.result()

    def prove(self, name: str, fault: Fault, effect: Effect) -> None:
        """What should be down is down, all else answers. Both sides are asked at once, and written when read.

        Nothing is written once the heal has begun: then it was cut short, and what was read may be the heal's doing.
        """
        with ThreadPoolExecutor(3) as pool:
            victim = pool.submit(fault.proof, self.cluster)
            bystanders = pool.submit(self.bystanders, self.lasting(effect))
            reach = pool.submit(self.dialled, self.lasting(effect))
            carries, links = reach.result()
            checks = [("victim", c) for c in victim.result().checks]
            checks += [("bystander", c) for c in (*bystanders.result(), *links)]
            proved = victim.result().proved and all(check.ok for _, check in checks)
        told = (
            "proved on both sides"
            if proved
            else "NOT proved: " + "; ".join(f"{c.subject}: expected {c.expected}, seen {c.seen}" for _, c in checks if not c.ok)
        )
        data = [{**c.to_json(), "side": side} for side, c in checks]
        with self.telling:
            if name not in self.healing:
                self.tell_reach("during", carries)
                text = f"{type(fault).__name__} on {fault.target} {told}"
                self.events.write("proof", text, id=name, proved=proved, checks=data)

    def bystanders(self, effect: Effect) -> list[Check]:
        """Each node that the fault must spare answers, within 20 s."""
        return self.answering([n.name for n in self.cluster.topology.nodes() if n.name not in effect.down])

    def answering(self, nodes: list[str]) -> list[Check]:
        """Whether each of the nodes does its work, asked for at most 20 s: a busy machine keeps one waiting."""

        def look(node: str) -> Check:
            try:
                wait_for(lambda: self.cluster.answers(node), within_s=BYSTANDER_WITHIN_S, what=node, every_s=0.2)
                return Check(node, "answers", "answers", ok=True)
            except TimeoutError:
                return Check(node, "answers", f"no answer within {BYSTANDER_WITHIN_S:g} s", ok=False)

        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(look, nodes))

    def reach(self, moment: str, effect: Effect | None = None) -> list[Check]:
        """Dial every link and write it down; returns a check for each that neither a cut nor a dead center explains."""
        carries, checks = self.dialled(effect or Effect())
        self.tell_reach(moment, carries)
        return checks

    def tell_reach(self, moment: str, carries: dict[tuple[str, str], bool]) -> None:
        cells = [{"source": source, "target": target, "ok": ok} for (source, target), ok in carries.items()]
        good = sum(carries.values())
        self.events.write("reach", f"{good} of {len(cells)} links carry, {moment} the fault", moment=moment, cells=cells)

    def dialled(self, effect: Effect) -> tuple[dict[tuple[str, str], bool], list[Check]]:
        """Which links carry, and the checks. One that should carry and doesn't is dialled again, for at most 20 s."""
        cut = {frozenset(path.split("->")) for path in effect.cut}
        dead = {c.name for c in self.cluster.topology.centers if all(n.name in effect.down for n in c.nodes)}
        pairs = [(li.source, li.target) for li in self.cluster.topology.links]
        spared = [pair for pair in pairs if not set(pair) & dead and frozenset(pair) not in cut]
        carries = self.cluster.dial(pairs)
        deadline = time.monotonic() + BYSTANDER_WITHIN_S
        while (silent := [pair for pair in spared if not carries[pair]]) and time.monotonic() < deadline:
            carries |= self.cluster.dial(silent)
        told = {True: "carries", False: "carries nothing"}
        return carries, [Check(f"{pair[0]}->{pair[1]}", "carries", told[carries[pair]], carries[pair]) for pair in spared]

    def begin_heal(self, name: str | None = None) -> None:
        """The window of that fault (the newest by default) is over: reading its disk, a rebuild and the heal are work of ours.

        Waits for the fault's proof first, and for service where a step of the runbook, a rebuild say, has disturbed it again:
        what returns only under the heal has not returned. Raises what the proof raised.
        """
        name = name or next(reversed(self.active))
        if name in self.healing:
            return
        self.join_proof(name)
        if (window := self.windows.get(name)) is not None:
            self.watch("service is still back", lambda: self.customers.relapsed(window))
        self.open_heal(name)

    def open_heal(self, name: str) -> None:
        with self.telling:
            self.healing.add(name)
        self.phase("heal")
        started = self.events.write("heal_started", f"healing: {self.active[name].undo()}", id=name)
        if name in self.windows:
            self.windows[name].end_ns = started.t_ns

    def heal(self, name: str) -> None:
        """Heal one fault. A failed heal is written down and erases nothing. Safe to call again.

        A proof that is still being read is not waited for: whoever comes here with one was interrupted, or could not tell.
        """
        fault = self.active.get(name)
        if fault is None:
            return
        self.proofs.pop(name, None)
        if name not in self.healing:
            self.open_heal(name)
        error = ""
        try:
            fault.heal(self.cluster)
        except Exception as failure:  # whatever it is, the other faults must still be healed
            error = " ".join(str(failure).split())
        del self.active[name], self.effects[name]
        told = f"healing {type(fault).__name__} on {fault.target} failed: {error}" if error else f"{fault.target} is healed"
        self.events.write("healed", told, id=name, ok=not error, error=error)
        self.view.injected([f"{type(f).__name__} {f.target}" for f in self.active.values()])

    def heal_all(self) -> None:
        for name in list(self.active):
            self.heal(name)

    @property
    def last_window(self) -> Window:
        return self.windows[next(reversed(self.windows))]

    # --- Waiting and runbook steps ------------------------------------------------------------------------------------
    def until(self, condition: Condition, *, within_s: float) -> bool:
        """Wait for a condition. Not reaching it is written down, and is a FAIL; the drill goes on to heal.

        Raises CouldNotTell when even the last look ended in an error.
        """
        name = condition.__name__
        began, seen, reached = time.monotonic(), "nothing yet", False
        self.view.phase(f"waiting for {name.replace('_', ' ')}", within_s)
        while not reached:
            self.check_load()
            error: Exception | None = None
            try:
                reached, seen = condition(self)
            except Exception as failure:  # whatever does not answer now may answer at the next look
                error = failure
            if reached or time.monotonic() - began > within_s:
                break
            time.sleep(0.1)
        if error is not None:
            raise CouldNotTell(f"whether {name} was reached could not be told within {within_s:g} s: {error}") from error
        waited = round(time.monotonic() - began, 3)
        words = name.replace("_", " ")
        text = f"{words} after {waited:.1f} s: {seen}" if reached else f"{words}: not within {within_s:g} s; seen last: {seen}"
        self.events.write("until", text, condition=name, within_s=within_s, reached=reached, waited_s=waited, seen=seen)
        return reached

    def step(self, name: str, action: Callable[[Cluster], T], *, role: str | None = None) -> T:
        """A runbook step, timed. One that fails ends the drill: what comes after it can't be told."""
        before = time.monotonic_ns()
        self.view.message(f"runbook: {name}")
        try:
            result = action(self.cluster)
        except Exception as error:
            self.tell_step(name, role, before, error=" ".join(str(error).split()))
            raise CouldNotTell(f"the runbook step {name!r} failed: {' '.join(str(error).split())}") from error
        names = result if isinstance(result, list) else [result.name] if isinstance(result, Node) else []
        told = ", ".join(one for one in names if isinstance(one, str))  # a step may return what it likes: rows of a query, too
        self.tell_step(name, role, before, result=told)
        return result

    def tell_step(self, name: str, role: str | None, before_ns: int, *, error: str = "", result: str = "") -> None:
        now = time.monotonic_ns()
        took = (now - before_ns) / 1e9
        outcome = f"done in {took:.2f} s" + (f" ({result})" if result else "")
        self.events.write(
            "step",
            f"{name}: failed after {took:.2f} s: {error}" if error else f"{name}: {outcome}",
            t_ns=now,
            name=name,
            role=role,
            before_ns=before_ns,
            after_ns=now,
            ok=not error,
            error=error,
        )

    def stand_in(self, center: str) -> None:
        """A runbook step: new machines for those of a center that are gone, made from the newest backup and its log.

        First it is told for which nodes, so that nobody takes them for the old ones.
        """
        for name in list(self.proofs):  # what is proved is that nothing is left
            self.join_proof(name)
        topology = self.cluster.topology
        nodes = [n.name for n in topology.center(center).nodes]
        paths = [*(str(link) for link in topology.links_of(center)), f"{DOOR}->{center}"]
        self.replacing(nodes)

        def restore(cluster: Cluster) -> list[str]:
            cluster.restore(paths)
            return stand_in(cluster, nodes)

        self.step(f"new machines for {center}, from the newest backup", restore, role="promote")

    def replacing(self, nodes: list[str]) -> None:
        self.events.write("replaced", f"new, empty machines stand in for {', '.join(nodes)}", durable=True, nodes=nodes)

    def go_back(self, statement: Statement) -> None:
        """A runbook step: the primary is restored, in place, to the moment before a statement. What it damaged is sound again."""
        for name in list(self.proofs):  # the rows that are gone are there again afterwards
            self.join_proof(name)
        node = self.cluster.wait_primary(within_s=30).name
        before_ns = time.monotonic_ns()
        what = "restore the primary to the moment before the statement"
        back = self.step(what, lambda cluster: restore_before(cluster, node, statement), role="promote")
        after_ns = time.monotonic_ns()
        self.events.write(
            "restored",
            f"{back.node} was restored to right before transaction {statement.xid} ({statement.at}), and is on timeline"
            f" {back.timeline}: what was committed since is not in it",
            durable=True,
            node=back.node,
            timeline=back.timeline,
            xid=statement.xid,
            lsn=statement.lsn,
            before_ns=before_ns,
            after_ns=after_ns,
        )
        self.customers.sound_again(before_ns, after_ns)

    def decide(self, name: str, *, after_s: float) -> None:
        """People take their time: the decision falls `after_s` seconds after the fault, not earlier."""
        before = time.monotonic_ns()
        due = self.last_window.before_ns + int(after_s * 1e9)
        self.view.message(f"runbook: {name} (decided {after_s:g} s after the fault)")
        while (left := due - time.monotonic_ns()) > 0:
            self.check_load()
            time.sleep(min(0.1, left / 1e9))
        self.tell_step(name, "decide", before)

    def found_damage(self, node: str, damaged: list[str]) -> None:
        """Somebody's monitoring found a damaged copy: that is the moment of detection."""
        self.damaged = node
        self.events.write("damage", f"the scrub found damage on {node}: {damaged[0]}", node=node, pages=damaged[:20])

    def damaged_node(self) -> str:
        """The node on which damage was found. Raises CouldNotTell when none was: a runbook has nothing to work on."""
        if self.damaged is None:
            raise CouldNotTell("no damage was found, so no node can be rebuilt: see the condition before this step")
        return self.damaged

    def explain_takeover(self) -> None:
        """Say which copy took over, and why that one: it was a synchronous copy, by the old primary's own last word."""
        before, after = self.last_primary_state, self.observer.primary
        if before is None or after is None:
            return
        copies = {r["name"]: r["sync_state"] for r in before.replication}
        text = (
            f"{after} took over: it was {copies.get(after, 'not streaming')} before (synchronous_standby_names was "
            f"{before.sync_names or 'empty'}), and only a synchronous copy may run for leader"
        )
        self.events.write("takeover", text, node=after, sync_names=before.sync_names, copies=copies)

    def watch(self, what: str, unclear: Callable[[], bool]) -> None:
        """Customers go on until it can be told whether `what`, for `SETTLED_WITHIN_S` and their time-out at most.

        A verdict must not miss it by a second; what is not clear by then, the verdict says.
        """
        within_s = SETTLED_WITHIN_S + self.customers.load.probe_timeout_s
        deadline = time.monotonic() + within_s
        if unclear():
            self.view.phase(f"watching whether {what}", within_s)
        while unclear() and time.monotonic() < deadline:
            self.check_load()
            time.sleep(0.1)

    def check_load(self) -> None:
        if wrong := self.customers.alive():
            raise CouldNotTell(wrong)

    def phase(self, name: str) -> None:
        self.events.write("phase", f"phase: {name}", name=name)
        self.view.phase(name)

    # --- Autopsy ------------------------------------------------------------------------------------------------------
    def autopsy(self) -> None:
        """Read the payments off the disk of each primary that died, while it is dead. Once for each."""
        while self.dead_primaries:
            node = self.dead_primaries.pop()
            rows, end_lsn = self.cluster.autopsy(node)
            (self.directory / "autopsy").mkdir(exist_ok=True)
            csv_gz(self.directory / "autopsy" / f"{node}.payments.csv.gz", rows)
            count = rows.count(b"\n") - 1
            text = f"{node}'s disk holds {count} payments"
            self.events.write("autopsy", text, node=node, payments=count, end_lsn=end_lsn)
