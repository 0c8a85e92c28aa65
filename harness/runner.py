"""One drill, from the registered plan to the handed-over report, in one straight line: `run_drill`."""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import requests
from pydantic import ValidationError

from harness import environment, leftovers, witness
from harness.customers import Customers
from harness.drill import Drill
from harness.first_state import first_state_again
from harness.ground import Ground
from harness.hold import acts_by_hand
from harness.live import LiveView
from harness.observer import Observer
from harness.rehearsal import CannotRehearse, rehearse
from harness.run import Run
from judging.books import OBSERVER_PREFIX
from judging.errors import CouldNotStart, CouldNotTell, DrillbookError
from judging.evidence import (
    COPY_COLUMNS,
    EVIDENCE_VERSION,
    Clock,
    EventLog,
    Load,
    Plan,
    Planned,
    csv_gz,
    seal,
    sha256_of,
    sha256_of_bytes,
    write_atomically,
)
from judging.judge import EXIT_CODES, Verdict
from judging.measure import BASELINE_SHARE_MIN
from judging.outage import SECOND_NS
from runtime import edges, engine, images, startup
from runtime.cluster import Cluster, ClusterError
from runtime.database import wait_for
from runtime.manager import check_managers
from runtime.redundancy import fully_redundant, replayed

CAUGHT_UP_WITHIN_S = 60.0
STEADY_WITHIN_S = 60.0
COPY_WITHIN_S = 30.0
BASELINE_SETTLE_S = 1.0  # the pools open their connections: not part of the baseline
BASELINE_WITHIN_S = 120.0  # a busy machine may keep a bank that has just started out of order for a while
INTERRUPTED_EXIT = 130


@dataclass(frozen=True)
class Options:
    """How to run. `sabotage` is called once the topology is steady: tests spoil with it what stands, behind the drill's back.

    `cycle` goes into the plan as it is: which of how many cycles on one topology this run is. `workers`: among how many Locust
    workers the customers are dealt; None: as the drill says.
    """

    runs: Path = Path("runs")
    seed: int | None = None
    keep: bool = False
    port: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    interactive: bool | None = None
    sabotage: Callable[[Cluster], None] | None = None
    cycle: dict[str, Any] | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Result:
    """What became of a run. One whose topology did not start keeps its record, with the verdict INVALID and exit code 3."""

    directory: Path
    verdict: Verdict
    exit_code: int


def run_drill(drill: Drill, options: Options, ground: Ground | None = None) -> Result:
    """plan → up → steady → load → baseline → fault, proof, recovery, heal → drain → read back → seal → down → judge → render.

    With a shared `ground`, `up` and `down` are left out where the topology of an earlier cycle stands and is to stand on.
    """
    ground = ground or Ground()
    client, found = ground.prepared = ground.prepared or prepare(options)
    plan = make_plan(drill, options, client, found)
    directory, events = register(plan, options)
    with LiveView(plan.drill, plan.claim, interactive=options.interactive) as view, signals_as_interrupts(view):
        view.anchors({"plan hash": sha256_of(directory / "plan.json")})
        events.listeners.append(view.event)
        ground.enter(plan.run_id, directory)
        host = witness.Witness(directory, engine.root_directory(client), events)
        interrupted, started = False, False
        try:
            cluster = stand_on(ground, drill, plan, options, events, view)
            started = True
            try:
                with loaded(plan, directory, cluster, events, view) as run:
                    if options.sabotage:
                        options.sabotage(cluster)
                    take_baseline(run)
                    perform(drill, run)
                read_back(cluster, directory, plan, events, view)
            finally:
                with uninterrupted(view):
                    host.stop()
                    finish_evidence(cluster, directory, events, since=plan.clock.wall if ground.runs > 1 else None)
        except KeyboardInterrupt:
            interrupted = True
            events.write("interrupted", "interrupted by the operator; healed first", durable=True)
        except Exception as error:
            logging.getLogger("drillbook").exception("the run ended early")
            events.write("error", f"the run ended early: {brief(error)}", durable=True, error=brief(error))
        finally:
            with uninterrupted(view):
                host.stop()
                keep = ground.stays(keep=options.keep, started=started, interrupted=interrupted)
                gone = seal_and_take_down(client, ground, plan, directory, events, view, keep=keep)
                if not keep or ground.last:
                    ground.leave(gone=gone)
        verdict = hand_over(directory, view)
    code = INTERRUPTED_EXIT if interrupted else EXIT_CODES[verdict.verdict] if started else CouldNotStart.exit_code
    return Result(directory, verdict, code)


# --- Before anything is written ---------------------------------------------------------------------------------------
def prepare(options: Options) -> tuple[Any, images.Images]:
    """Everything that can refuse, before anything is made. Raises CouldNotStart with what to do."""
    environment.check_port(options.port)
    environment.check_memory()
    try:
        client = engine.connect()
        for line in leftovers.told(leftovers.all_of_ours(client)):
            print(line, flush=True)
        return client, images.ensure(client, lambda text: print(f"images: {text}", flush=True))
    except (engine.EngineError, images.ImageError) as error:
        raise CouldNotStart(str(error)) from error
    except engine.REFUSALS as error:
        raise CouldNotStart(engine.brief(error)) from error


def make_plan(drill: Drill, options: Options, client: Any, found: images.Images) -> Plan:
    now = datetime.now(UTC)
    degraded = [] if found.toxiproxy else [f"links run without Toxiproxy, so without base latency: {found.why_no_toxiproxy}"]
    try:
        topology = drill.topology(**options.settings)
        check_managers(topology)
    except ValueError as error:
        raise CouldNotStart(str(error)) from error
    body: list[Planned] | None = None
    seed = random.SystemRandom().randrange(2**31) if options.seed is None else options.seed
    try:
        body = rehearse(drill.body, topology, seed=seed)
    except CannotRehearse as error:
        degraded.append(f"the drill's body could not be rehearsed, so the verdict will be INVALID: {error}")
    return Plan(
        evidence_version=EVIDENCE_VERSION,
        drill=drill.name,
        claim=drill.claim,
        run_id=f"{drill.name}-{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        seed=seed,
        topology=topology.to_json(),
        targets=drill.targets,
        load=load_of(drill, options.workers),
        environment_class=environment.ENVIRONMENT_CLASS,
        drill_kind=environment.DRILL_KIND,
        environment=environment.describe(client.version(), degraded=degraded)
        | ({"cycle": options.cycle} if options.cycle else {}),
        clock=Clock.now(),
        body=body,
        witness=witness.describe(engine.root_directory(client), options.runs),
        records=["durability", "reads"],
    )


def register(plan: Plan, options: Options) -> tuple[Path, EventLog]:
    """Targets are on disk and hashed before anything starts."""
    stamp = plan.run_id.removeprefix(f"{plan.drill}-").rpartition("-")[0]
    directory = options.runs.resolve() / plan.drill / stamp
    while directory.exists():
        directory = directory.with_name(f"{stamp}-{secrets.token_hex(2)}")
    directory.mkdir(parents=True)
    write_atomically(directory / "plan.json", plan.model_dump_json(indent=2) + "\n")
    for link, target in (
        (directory.parent / "latest", directory.name),
        (options.runs / "latest", f"{plan.drill}/{directory.name}"),
    ):
        point(link, target)
    logging.basicConfig(
        filename=directory / "harness.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s", force=True
    )
    events = EventLog(directory / "events.jsonl")
    events.write("plan_registered", "the plan is registered", durable=True, sha256=sha256_of(directory / "plan.json"))
    return directory, events


def point(link: Path, target: str) -> None:
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(2)}")
    temporary.symlink_to(target)
    temporary.replace(link)


# --- What it stands on ------------------------------------------------------------------------------------------------
def stand_on(ground: Ground, drill: Drill, plan: Plan, options: Options, events: EventLog, view: LiveView) -> Cluster:
    """The topology, in its first state: started, or that of the cycle before. One that can't be set right is replaced."""
    assert ground.prepared is not None
    client, found = ground.prepared
    if ground.cluster is not None and ground.home is not None:
        events.write("phase", "phase: start", name="start")
        view.phase("the first state again", startup.READY_WITHIN_S)
        try:
            first_state_again(ground.cluster, plan, events, home=ground.home, door_closed=door_closed)
            return ground.cluster
        except (ClusterError, TimeoutError, OSError, psycopg.Error) as error:
            events.write("progress", f"the first state can't be had again, so the topology is replaced: {brief(error)}")
            ground.replace(plan.run_id, lambda: take_down(client, ground, view))
    ground.cluster = bring_up(drill, plan, options, ground.place, events, view, found)
    ground.home = ground.cluster.topology.center_of(ground.cluster.wait_primary(within_s=30).name).name
    return ground.cluster


# --- While it runs ----------------------------------------------------------------------------------------------------
def bring_up(
    drill: Drill, plan: Plan, options: Options, directory: Path, events: EventLog, view: LiveView, found: images.Images
) -> Cluster:
    events.write("phase", "phase: start", name="start")
    view.phase("starting the topology", startup.READY_WITHIN_S)

    def progress(text: str) -> None:
        events.write("progress", text)

    started = startup.start(
        drill.topology(**options.settings),
        found,
        run_id=plan.run_id,
        directory=directory,
        door_port=options.port,
        progress=progress,
    )
    events.write(
        "ready",
        f"first payment after {started.first_payment_s:.1f} s, full redundancy after {started.full_redundancy_s:.1f} s",
        first_payment_s=started.first_payment_s,
        full_redundancy_s=started.full_redundancy_s,
        milestones=started.milestones,
    )
    return started.cluster


@contextlib.contextmanager
def loaded(plan: Plan, directory: Path, cluster: Cluster, events: EventLog, view: LiveView) -> Iterator[Run]:
    """Observer and customers on, around the drill's body; every fault is healed before they go off."""
    observer = Observer(cluster, events, directory / "samples.csv")
    customers: Customers | None = None
    stop_numbers = threading.Event()
    observer.start()
    try:
        customers = Customers(plan, directory, cluster.door_url, events)
        run = Run(plan, directory, cluster, events, customers, observer, view)
        prove_steady(run)
        customers.start()
        threading.Thread(target=show_numbers, args=(run, stop_numbers), daemon=True).start()
        try:
            yield run
        finally:
            if run.active:
                with uninterrupted(view):
                    run.heal_all()
        run.watch("service stays", lambda: run.customers.unsettled(run.windows.values()))
        run.phase("drain")
    finally:
        stop_numbers.set()
        with uninterrupted(view):
            if customers is not None:
                customers.stop()
            observer.stop()


def prove_steady(run: Run) -> None:
    """Nothing may be missing before a drill starts, or it measures something else."""
    run.phase("steady")
    try:
        wait_for(lambda: fully_redundant(run.cluster), within_s=STEADY_WITHIN_S, what="full redundancy")
    except TimeoutError as error:
        raise CouldNotTell(f"no steady state before the drill: {error}") from error
    if silent := [check.subject for check in run.reach("before") if not check.ok]:
        raise CouldNotTell(f"no steady state before the drill: {', '.join(silent)} carry nothing")
    run.events.write("steady", "every copy streams, every link carries, a payment came back")


def load_of(drill: Drill, workers: int | None) -> Load:
    """The drill's load, dealt among so many workers. Raises CouldNotStart where its customers can't be."""
    if workers is None:
        return drill.load
    try:
        return Load(**{**drill.load.model_dump(), "workers": workers or None})
    except ValidationError as error:
        raise CouldNotStart(f"--workers: {brief_of(error)}") from error


def brief_of(error: ValidationError) -> str:
    return "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())


def show_numbers(run: Run, stop: threading.Event) -> None:
    while not stop.wait(0.25):
        seen = run.customers.numbers()
        run.view.numbers(seen.acknowledged_per_s, seen.errors_per_s, seen.p99_ms, run.observer.lag_bytes(), run.observer.primary)


def take_baseline(run: Run) -> None:
    """The rate of the first `baseline_s` in order. Raises CouldNotTell where none comes: a bank out of order is not hurt."""
    run.phase("baseline")
    span_s = run.plan.load.baseline_s
    run.view.phase("baseline", BASELINE_SETTLE_S + span_s)
    since_ns = time.monotonic_ns() + round(BASELINE_SETTLE_S * SECOND_NS)
    deadline_ns = since_ns + round((span_s + BASELINE_WITHIN_S) * SECOND_NS)
    while True:
        run.check_load()
        window, seen = run.customers.undisturbed(since_ns)
        if window is not None:
            break
        if time.monotonic_ns() > deadline_ns:
            raise CouldNotTell(
                f"no steady state under load, so no fault was injected: expected {span_s:g} s with {BASELINE_SHARE_MIN:.0%} of"
                f" the payments in order within {BASELINE_WITHIN_S:g} s; seen last: {seen}"
            )
        time.sleep(0.1)
    run.customers.baseline_ns = from_ns, to_ns = window
    run.events.write("baseline", f"baseline: {seen}", from_ns=from_ns, to_ns=to_ns)


def perform(drill: Drill, run: Run) -> None:
    drill.body(run)
    run.reach("after")


# --- Afterwards -------------------------------------------------------------------------------------------------------
def read_back(cluster: Cluster, directory: Path, plan: Plan, events: EventLog, view: LiveView) -> None:
    """Once replay has finished: the bank's tables of every copy."""
    events.write("phase", "phase: readback", name="readback")
    view.phase("reading every copy back", CAUGHT_UP_WITHIN_S)
    with door_closed(cluster, events):
        read_edges(cluster, directory, plan, events)
        compare_copies(cluster, directory, plan.run_id, events)


@contextlib.contextmanager
def door_closed(cluster: Cluster, events: EventLog) -> Iterator[None]:
    """Nobody pays while the books are compared: other clients than ours may still be at the door."""
    was_open = [center for center, status in cluster.door_servers().items() if status != "MAINT"]
    cluster.open_door_to([], closed=was_open)
    events.write("door", "the front door is closed while the copies are read", source="door", closed=was_open)
    try:
        yield
    finally:
        try:
            cluster.open_door_to(was_open)
        except (OSError, ClusterError) as error:  # all is read: it only matters to who keeps the topology
            events.write("door", f"the front door stays closed: {brief(error)}", source="door", closed=was_open)


def read_edges(cluster: Cluster, directory: Path, plan: Plan, events: EventLog) -> None:
    """What each edge has authorised in this run, once all is forwarded: what isn't by then is told, and is lost."""
    names = edges.edges(cluster)
    if not names:
        return
    try:
        wait_for(lambda: not edges.unforwarded(cluster), within_s=CAUGHT_UP_WITHIN_S, what="edges to have forwarded all")
        gap = ""
    except TimeoutError as error:
        gap = str(error)
    events.write("forwarded", gap or "every edge has forwarded what it had authorised", gap=gap)
    (directory / "edges").mkdir(exist_ok=True)
    for node in names:
        try:
            rows, state = edges.read_store(cluster, node, since=plan.clock.wall), edges.edge_state(cluster, node)
        except (ClusterError, *engine.REFUSALS) as error:  # an edge without its file makes the run INVALID
            events.write("edge_missing", f"the store of {node} could not be read: {brief(error)}", node=node)
            continue
        csv_gz(directory / "edges" / f"{node}.csv.gz", rows)
        count = rows.count(b"\n") - 1
        text = f"{node} has authorised {count} payments by itself"
        events.write("edge_store", text, node=node, payments=count, synchronous=state.synchronous)


def compare_copies(cluster: Cluster, directory: Path, run_id: str, events: EventLog) -> None:
    wait_replayed(cluster, events)
    primary = cluster.wait_primary(within_s=30)
    events.write("authority", f"{primary.name} is the copy that counts", node=primary.name)
    tell_exempt_keys(cluster, primary.name, run_id, events)
    expected = [n.name for n in cluster.databases()]
    events.write("expected_copies", f"expected copies: {', '.join(expected)}", nodes=expected)
    (directory / "copies").mkdir(exist_ok=True)

    def read(node: str) -> None:
        for table in COPY_COLUMNS:
            what = f"{table} of {node}"
            try:
                rows = wait_for(lambda table=table: cluster.read_copy(node, table), within_s=COPY_WITHIN_S, what=what)
            except TimeoutError as error:  # an expected copy without files makes the run INVALID
                events.write("copy_missing", f"{what} could not be read: {error}", node=node, table=table)
                return
            csv_gz(directory / "copies" / f"{node}.{table}.csv.gz", rows)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(read, expected))


def tell_exempt_keys(cluster: Cluster, authority: str, run_id: str, events: EventLog) -> None:
    """Keys in no ledger of ours that are no phantoms, as the authority itself counts them."""

    def told(prefix: str) -> dict[str, Any]:
        query = "SELECT key FROM payments WHERE starts_with(key, %s) ORDER BY key"
        rows = wait_for(lambda: [cluster.sql(authority, query, prefix)], within_s=COPY_WITHIN_S, what=f"keys with {prefix}")[0]
        keys = [str(row[0]) for row in rows]
        return {"count": len(keys), "sha256": sha256_of_bytes("\n".join(keys).encode())}

    observers, ready = told(OBSERVER_PREFIX), told(f"{run_id}-ready-")
    text = f"{observers['count']} payments of observers and {ready['count']} of our own are in no ledger"
    events.write("exempt_keys", text, source="databases", observers=observers, ready=ready)


def wait_replayed(cluster: Cluster, events: EventLog) -> None:
    """Heartbeats go on, so each look compares with where the primary was a moment before."""
    try:
        wait_for(lambda: replayed(cluster), within_s=CAUGHT_UP_WITHIN_S, what="every copy to replay what the primary had")
        gap = ""
    except TimeoutError as error:
        gap = str(error)
    events.write("replayed", gap or "every copy has replayed what the primary had", gap=gap)


def finish_evidence(cluster: Cluster, directory: Path, events: EventLog, *, since: str | None = None) -> None:
    """Server logs, whatever happened before; of a topology that stood before the run, from that wall time on."""
    (directory / "logs").mkdir(exist_ok=True)
    for name in cluster.container_names():
        try:
            (directory / "logs" / f"{name}.log").write_bytes(cluster.logs(name, since=since))
        except Exception as error:
            events.write("log_missing", f"{name}'s log could not be read: {brief(error)}", container=name)
            if isinstance(error, requests.Timeout):
                break  # an engine that hangs would keep us a minute for each
    tell_door_log(cluster, directory, events)


def tell_door_log(cluster: Cluster, directory: Path, events: EventLog) -> None:
    """How many payments the front door logged by itself, and how many log lines it had to drop (null: it doesn't say)."""
    try:
        with (directory / "logs" / "door.log").open("rb") as log:
            payments = sum(b" pay key=" in line for line in log)
    except OSError:
        return  # told as log_missing
    try:
        dropped = cluster.door_log_dropped()
    except (OSError, ClusterError):
        dropped = None
    text = f"the front door logged {payments} payments and dropped {'?' if dropped is None else dropped} lines"
    events.write("door_log", text, source="door", payments=payments, dropped=dropped)


def seal_and_take_down(
    client: Any, ground: Ground, plan: Plan, directory: Path, events: EventLog, view: LiveView, *, keep: bool
) -> bool:
    """False when the engine would not let something go: then the watcher goes on."""
    gone = False
    try:
        tell_acts_by_hand(directory, events)
        events.write("phase", "phase: seal", name="seal")
        events.listeners.clear()
        events.close()
        seal(directory, run_id=plan.run_id)
        view.anchors({"chain head": events.head, "seal": sha256_of(directory / "manifest.json")})
    finally:
        if not keep:
            gone = take_down(client, ground, view)
    if keep and ground.last:
        view.message(f"kept: the topology stands; end it with 'drillbook down {ground.run_id}'")
    return keep or gone


def tell_acts_by_hand(directory: Path, events: EventLog) -> None:
    """What hands did beside the drill becomes part of the chain; what they do between here and the seal is in it as a file."""
    for act in acts_by_hand(directory):
        data = act.get("data") or {}
        what = f"{act.get('kind')} of {data.get('name') or data.get('id') or 'something'}"
        told = {"act": act.get("kind"), "wall": act.get("wall"), "at_ns": act.get("t_ns")}
        events.write("by_hand", f"by hand: {what}", source="hands", durable=True, **told, did=data)


def take_down(client: Any, ground: Ground, view: LiveView) -> bool:
    view.phase("taking the topology down")
    try:
        left: engine.Leftovers | str = engine.remove_for_good(client, ground.run_id, looks=1)
    except engine.REFUSALS as error:
        left = brief(error)
    if left:
        view.message(f"not everything is removed yet ({left}): the watcher process goes on; 'drillbook clean' does the same")
        return False
    (ground.place / "standing.json").unlink(missing_ok=True)
    return True


def hand_over(directory: Path, view: LiveView) -> Verdict:
    """From the sealed files alone; `drillbook judge` and `drillbook report` do the same again later."""
    from harness.handover import judge_run, report_run, sentence_of

    view.phase("judging")
    verdict, measurement = judge_run(directory)
    try:
        report = str(report_run(directory))
    except Exception as error:  # a page that can't be drawn is told beside the verdict and does not erase it
        logging.getLogger("drillbook").exception("no report")
        report = f"none: it could not be rendered ({brief(error)}); try 'drillbook report {directory}'"
    view.finish(verdict.verdict, sentence_of(measurement, verdict), report, verdict.reasons)
    return verdict


# --- Signals ----------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def signals_as_interrupts(view: LiveView) -> Iterator[None]:
    """SIGTERM and SIGHUP end a drill as Ctrl-C does. Outside the main thread signals are somebody else's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> None:
        view.healing()
        raise KeyboardInterrupt

    old = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def uninterrupted(view: LiveView) -> Iterator[None]:
    """A second Ctrl-C must not stop the healing that the first one started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def patience(*_: Any) -> None:
        view.message("healing and cleaning up: a moment. To leave at once is safe with SIGKILL: the watcher process cleans up")

    old = {number: signal.signal(number, patience) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, DrillbookError) else f"{type(error).__name__}: {text}"
