"""Topologies held in one's hands: up, status, inject, heal, down, clean. Everything is found again from Docker's labels."""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

import faults
import topologies
from harness import environment, leftovers
from harness.companion import Companion
from harness.lease import lease
from harness.watcher import watcher
from judging.errors import BadInput, CouldNotStart, CouldNotTell
from judging.evidence import wall_now
from runtime import engine, images, startup
from runtime.cluster import Cluster, ClusterError, Standing
from runtime.database import wait_for
from runtime.links import LinkError
from runtime.manager import check_managers
from topologies.model import Topology

BY_HAND = "by-hand.jsonl"
Say = Callable[[str], Any]


def topology_named(name: str, settings: dict[str, Any]) -> Topology:
    known = topologies.catalogue()
    if name not in known:
        raise BadInput(f"no topology {name!r}: there are {', '.join(known)}")
    try:
        topology = known[name](**settings)
        check_managers(topology)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return topology


def connected() -> Any:
    try:
        return engine.connect()
    except engine.EngineError as error:
        raise CouldNotStart(str(error)) from error


def stand_up(name: str, settings: dict[str, str], *, runs: Path, port: int, progress: Say) -> Cluster:
    topology = topology_named(name, dict(settings))
    environment.check_port(port)
    environment.check_memory()
    try:
        client = connected()
        for line in leftovers.told(leftovers.all_of_ours(client)):
            progress(line)
        found = images.ensure(client, lambda text: progress(f"images: {text}"))
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        directory = runs.resolve() / "by-hand" / f"{stamp}-{secrets.token_hex(2)}"
        directory.mkdir(parents=True)
        run_id = f"by-hand-{stamp}-{secrets.token_hex(2)}"
        # Removes what was made, should this process die or be interrupted before all stands.
        guard, stands = watcher(run_id, log=directory / "harness.log"), False
        try:
            started = startup.start(topology, found, run_id=run_id, directory=directory, door_port=port, progress=progress)
            stands = True
            return started.cluster
        finally:
            guard.release(done=stands)
    except (engine.EngineError, images.ImageError, ClusterError, LinkError, *engine.REFUSALS) as error:
        raise CouldNotStart(str(error)) from error


def all_standing() -> dict[str, Path]:
    """Run directory by run id."""
    return {run_id: Path(directory) for run_id, directory in engine.runs(connected()).items()}


def chosen(run_id: str | None) -> tuple[str, Path]:
    """The topology that stands, or the one named, and its run directory. Raises BadInput that lists them."""
    standing = all_standing()
    if run_id is None and len(standing) != 1:
        nothing = "nothing stands: start one with 'drillbook up'"
        several = f"several stand: {', '.join(sorted(standing))}; name one (--run RUN_ID; 'down' takes it as it is)"
        raise BadInput(f"which topology? {several if standing else nothing}")
    name = run_id or next(iter(standing))
    if name not in standing:
        raise BadInput(f"{name!r} does not stand; seen: {', '.join(sorted(standing)) or 'nothing'}")
    return name, standing[name]


def attach(run_id: str | None) -> tuple[Cluster, Path]:
    """Take hold of a topology that stands. Raises BadInput as `chosen`, CouldNotTell when nobody wrote down what it is."""
    name, directory = chosen(run_id)
    path = directory / "standing.json"
    try:
        described = Standing.read(path)
    except (OSError, ValueError, TypeError) as error:
        raise CouldNotTell(
            f"{name} can't be taken hold of: {path} can't be read ({error}); 'drillbook down {name}' removes it"
        ) from error
    return Cluster(topology_named(described.topology, described.settings), described), directory


def status_of_all() -> list[dict[str, Any]]:
    return [{"state": one.state, **status_of(one.run_id)} for one in leftovers.all_of_ours(connected())]


def status_of(run_id: str) -> dict[str, Any]:
    try:
        cluster, directory = attach(run_id)
    except (CouldNotTell, BadInput) as error:
        return {"run_id": run_id, "topology": None, "door": None, "primary": None, "faults": [], "error": str(error)}
    primary = cluster.primary()
    running = {name: cluster.running(name) for name in cluster.container_names()}
    try:
        servers = cluster.door_servers() if running["door"] else {}
    except (OSError, ValueError, IndexError):
        servers = {}  # it is starting, or going
    return {
        "run_id": run_id,
        "topology": cluster.topology.name,
        "door": cluster.door_url,
        "primary": primary.name if primary else None,
        "faults": active_faults(directory),
        "directory": str(directory),
        "down": sorted(name for name, up in running.items() if not up),
        "door_servers": servers,
    }


# --- Faults by hand ---------------------------------------------------------------------------------------------------
def active_faults(directory: Path) -> list[dict[str, Any]]:
    """What was injected and not healed, by the records of the drill and of hands, oldest first."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("events.jsonl", BY_HAND):
        path = directory / name
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # the line that a dying harness did not finish
            data = event.get("data", {})
            if event.get("kind") == "intent":
                found[data["id"]] = {
                    "id": data["id"],
                    "name": data["name"],
                    "target": data["target"],
                    "args": data["args"],
                    "since": event["wall"],
                }
            elif event.get("kind") == "healed" and data.get("ok"):
                found.pop(data["id"], None)
    return list(found.values())


def acts_by_hand(directory: Path) -> list[dict[str, Any]]:
    """The record of what hands did, oldest first; a line that nobody finished stands for an act that is not known."""
    path = directory / BY_HAND
    acts: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            act = json.loads(line)
        except ValueError:
            act = None
        acts.append(act if isinstance(act, dict) else {"kind": "unreadable", "wall": "", "data": {}})
    return acts


def record(directory: Path, kind: str, **data: Any) -> None:
    """Append to the record of what hands did, durably, before and after it is done. While a drill runs, the runner tells it."""
    act = {"kind": kind, "t_ns": time.monotonic_ns(), "wall": wall_now(), "data": data}
    with (directory / BY_HAND).open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(act) + "\n")
        file.flush()
        os.fsync(file.fileno())


def fault_from_words(name: str, target: str, given: Mapping[str, str] | None = None) -> faults.Fault:
    """`BitsFlipped entries`, `BitsFlipped entries@dc2-a`, `ProcessKilled server`; every other fault takes its target as it is.

    `given`: more of the fault's arguments, by name. Raises BadInput.
    """
    if name not in faults.FAULTS:
        raise BadInput(f"no fault {name!r}: there are {', '.join(faults.FAULTS)}")
    words = target.split("@", 1) if name in ("BitsFlipped", "ProcessKilled") else [target]
    known = list(inspect.signature(faults.FAULTS[name]).parameters.values())[len(words) :]
    more: dict[str, Any] = {}
    for key, text in (given or {}).items():
        if (one := next((p for p in known if p.name == key), None)) is None:
            there = ", ".join(p.name for p in known) or "nothing: its target says all"
            raise BadInput(f"{name}: no argument {key!r}; expected {there}")
        try:
            more[key] = int(text) if isinstance(one.default, int) else text
        except ValueError:
            raise BadInput(f"{name}: expected {key} as a whole number; seen {text!r}") from None
    try:
        built: faults.Fault = faults.FAULTS[name](*words, **more)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return built


def inject_by_hand(
    name: str, target: str, *, for_s: float | None, run_id: str | None, say: Say, given: Mapping[str, str] | None = None
) -> None:
    fault = fault_from_words(name, target, given)
    cluster, directory = attach(run_id)
    try:
        effect = fault.effect(cluster.topology)
        fault.prepare(cluster)
    except (ValueError, KeyError, ClusterError, LinkError, TimeoutError, psycopg.Error) as error:
        raise BadInput(f"{name} {target}: {error.args[0] if error.args else error}") from error
    effect = fault.effect(cluster.topology)
    identity = f"h{secrets.token_hex(3)}"
    record(
        directory,
        "intent",
        id=identity,
        name=name,
        target=fault.target,
        args=fault.arguments,
        effect=effect.to_json(),
        undo=fault.undo(),
    )
    # Keeps our word should we be killed before the time is over.
    kept = None if for_s is None else lease(cluster.run_id, identity, log=directory / "harness.log")
    try:
        until_ns = put_in(cluster, directory, identity, fault, for_s=for_s, kept=kept, say=say)
        if until_ns is None:
            say(f"{name} on {fault.target} is in; heal it with 'drillbook heal'")
            return
        say(f"{name} on {fault.target} is in for {for_s:g} s (Ctrl-C heals at once)")
        try:
            time.sleep(max(0.0, (until_ns - time.monotonic_ns()) / 1e9))
        finally:
            heal_one(cluster, directory, identity, fault, say)
    finally:
        if kept is not None:
            kept.release(done=identity not in [one["id"] for one in active_faults(directory)])


def put_in(
    cluster: Cluster,
    directory: Path,
    identity: str,
    fault: faults.Fault,
    *,
    for_s: float | None,
    kept: Companion | None,
    say: Say,
) -> int | None:
    """Injects a fault and reads its proof; one that fails, or can't be proved, is healed at once. Returns until when it is in."""
    name, until_ns = type(fault).__name__, None
    try:
        fault.inject(cluster)
        if for_s is not None and kept is not None:
            until_ns = time.monotonic_ns() + int(for_s * 1e9)
            kept.say(f"until {until_ns}")
        proof = fault.proof(cluster)
    except BaseException as error:
        heal_one(cluster, directory, identity, fault, say)
        if not isinstance(error, Exception):
            raise
        raise CouldNotTell(f"{name} on {fault.target} failed, and was healed: {error}") from error
    for check in proof.checks:
        say(f"{'proved' if check.ok else 'NOT PROVED'}  {check.subject}: expected {check.expected}; seen {check.seen}")
    if not proof.proved:
        heal_one(cluster, directory, identity, fault, say)
        raise CouldNotTell(f"{name} on {fault.target} could not be proved, and was healed")
    return until_ns


def heal_one(cluster: Cluster, directory: Path, identity: str, fault: faults.Fault, say: Say) -> None:
    say(f"healing: {fault.undo()}")
    try:
        fault.heal(cluster)
    except Exception as error:
        record(directory, "healed", id=identity, ok=False, error=str(error))
        raise CouldNotTell(f"{type(fault).__name__} on {fault.target} could not be healed: {error}") from error
    record(directory, "healed", id=identity, ok=True, error="")
    say(f"{fault.target} is healed")


def heal_by_hand(run_id: str | None, *, say: Say, only: str | None = None) -> None:
    """Heals what is in, the newest first; `only` that one, by its id."""
    cluster, directory = attach(run_id)
    active = [one for one in active_faults(directory) if only is None or one["id"] == only]
    if not active:
        say("nothing to heal")
    for one in reversed(active):
        heal_one(cluster, directory, one["id"], faults.build(one["name"], one["args"]), say)


def take_down(run_id: str | None, *, say: Say) -> None:
    name, directory = chosen(run_id)  # not held: what a dead start left has no standing.json
    finish(connected(), name, directory, say)


def finish(client: Any, run_id: str, directory: Path, say: Say) -> None:
    if left := engine.remove_for_good(client, run_id, looks=1):
        raise CouldNotTell(
            f"the engine did not remove {left} of {run_id}: look at 'docker ps -a' and try again; a network that stays without "
            "any container on it needs a restart of the engine"
        )
    (directory / "standing.json").unlink(missing_ok=True)
    say(f"{run_id} is down; nothing of it is left")


def clean_all(*, say: Say) -> None:
    client = connected()
    standing = all_standing()
    resisted = []
    for run_id, directory in standing.items():
        try:
            finish(client, run_id, directory, say)
        except CouldNotTell as error:
            resisted.append(str(error))
    if resisted:
        raise CouldNotTell("; ".join(resisted))
    wait_for(lambda: not engine.leftovers(client), within_s=30, what="the engine to let go of everything with our label")
    say("nothing carries our label" if standing else "nothing carried our label")
