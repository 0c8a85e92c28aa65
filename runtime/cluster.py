"""A topology that is running: a few general primitives, of which faults, runbooks and measurements are built.

A Cluster is found again by another process from `standing.json` (see `Standing`): it holds no state of its own beyond
connections. Roles are asked of the databases, never of the configuration.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import shutil
import socket
import struct
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import psycopg
import requests

from runtime import engine, links, netfilter
from runtime.addresses import DOOR, Addresses
from runtime.database import Database, DatabaseState, wait_for
from runtime.files import HeldFile, OpenFile, RemoteFile
from runtime.machine import Machine
from runtime.manager import Manager, manager_of
from runtime.netfilter import NetfilterError
from runtime.nodes import DOOR_COMMAND_PORT, program
from runtime.processes import LISTING, Held, command_lines, listed, named
from runtime.staged import Cut, Deferred, Staged, StagedError
from runtime.toxics import Toxics
from topologies.kinds import DATA_DIRECTORY, DATABASE, KINDS, STORE
from topologies.model import Center, Moment, Node, Topology

LOG = logging.getLogger(__name__)
R = TypeVar("R")

HTTP_TIMEOUT_S = 2.0
DOOR_TIMEOUT_S = 10.0
DIAL_WITHIN_S = 1.5
DATAGRAM_PORT = 9753
DATAGRAMS, DATAGRAM_EVERY_S = 15, 0.1
EXECUTE_TIMEOUT_S = 120


class ClusterError(Exception):
    """A primitive failed: says what was asked of which node, and what it answered."""


@dataclass(frozen=True)
class Standing:
    """What stands in Docker, as written to standing.json: enough for another process to take hold of it."""

    run_id: str
    directory: str
    topology: str
    settings: dict[str, Any]
    networks: dict[str, str]  # subnet by center, and the door's own
    door_port: int
    toxiproxy: bool
    node_image: str
    prefix: str  # of container, network and volume names

    @staticmethod
    def read(path: Path) -> Standing:
        return Standing(**json.loads(path.read_text(encoding="utf-8")))

    def text(self) -> str:
        return json.dumps(self.__dict__, indent=2) + "\n"


@dataclass(frozen=True)
class Ran:
    """What a command in a container ended with."""

    exit_code: int
    output: str


class Cluster:
    def __init__(self, topology: Topology, standing: Standing) -> None:
        self.topology = topology
        self.standing = standing
        # Nodes by what their databases call themselves at the primary, where that is not the node's name.
        self.copy_names = {k: n for g in topology.groups for k, n in manager_of(g).copy_names(topology, g).items()}
        self.run_id = standing.run_id
        self.addresses = Addresses(topology, {name: IPv4Network(net) for name, net in standing.networks.items()})
        self.door_url = f"http://127.0.0.1:{standing.door_port}"
        self.client = engine.connect()
        self._local = threading.local()
        self.answered: dict[tuple[str, ...], str] = {}  # of several who may be asked, who answered last
        self._lock = threading.Lock()
        self._machines: dict[str, Machine] = {}
        self._last_words: dict[str, list[bytes]] = {}  # logs of containers that are destroyed
        self._victims: dict[str, Machine] = {}  # who was to be killed, so that a start comes after the engine has noted it

    # --- Names --------------------------------------------------------------------------------------------------------
    def container_name(self, name: str) -> str:
        return f"{self.standing.prefix}-{name}"

    def container(self, name: str) -> Any:
        return self.client.containers.get(self.container_name(name))

    def find(self, name: str) -> Any | None:
        """As `container`; None where nothing is left of it."""
        return engine.find(self.client, self.container_name(name))

    def exists(self, name: str) -> bool:
        """Whether a node is there, dead or alive."""
        return self.find(name) is not None

    def machine(self, name: str) -> Machine | None:
        """A running container's first process, held; None when it is dead, or may not be held from here."""
        with self._lock:
            known = self._machines.get(name)
        if known is not None and not known.killed and known.alive():
            return known
        if (container := self.find(name)) is None:
            return None
        pid = container.attrs["State"]["Pid"]
        if known is not None and known.killed and known.pid == pid:
            return None  # the engine has not noted yet whom we killed
        held = Machine.of(pid, container.id)
        with self._lock:
            if held is None:
                self._machines.pop(name, None)
            else:
                self._machines[name] = held
        return held

    def container_names(self) -> list[str]:
        """Every container by its short name: nodes, links, the door."""
        return [n.name for n in self.topology.nodes()] + [self.link_name(p) for p in self.addresses.pairs()] + [DOOR]

    @staticmethod
    def link_name(pair: tuple[str, str]) -> str:
        return f"link-{pair[0]}-{pair[1]}"

    def databases(self, center: Center | None = None) -> list[Node]:
        nodes = self.topology.nodes() if center is None else center.nodes
        return [n for n in nodes if n.kind == DATABASE]

    def manager(self, node: str) -> Manager:
        """Who decides for the group of that node."""
        return manager_of(self.topology.group_of(node))

    # --- Observing ----------------------------------------------------------------------------------------------------
    def database(self, node: str) -> Database:
        """This thread's connection to a node."""
        kept: dict[str, Database] = self._local.__dict__.setdefault("databases", {})
        if node not in kept:
            kept[node] = Database(self.addresses.node(node))
        return kept[node]

    def state(self, node: str) -> DatabaseState | None:
        """What the database says of itself; None when it does not answer."""
        if not self.listening(node, KINDS[DATABASE].port):
            self.database(node).close()
            return None
        try:
            return self.database(node).state().named(self.copy_names)
        except psycopg.Error:
            return None

    def states(self) -> dict[str, DatabaseState | None]:
        names = [n.name for n in self.databases()]
        with ThreadPoolExecutor(len(names)) as pool:
            return dict(zip(names, pool.map(self.fresh_state, names), strict=True))

    def fresh_state(self, node: str) -> DatabaseState | None:
        """As `state`, on a connection that is closed again: for use from passing threads."""
        try:
            return self.state(node)
        finally:
            self.database(node).close()

    def primaries(self) -> list[Node]:
        """Every database that says it is a primary, newest timeline first."""
        found = [(s.timeline or 0, name) for name, s in self.states().items() if s is not None and not s.in_recovery]
        return [self.topology.node(name) for _timeline, name in sorted(found, reverse=True)]

    def primary(self) -> Node | None:
        """The primary, as the databases say; the newest timeline where there are several; None where there is none."""
        found = self.primaries()
        return found[0] if found else None

    def wait_primary(self, *, within_s: float) -> Node:
        node = wait_for(self.primary, within_s=within_s, what="a primary")
        assert isinstance(node, Node)
        return node

    def listening(self, node: str, port: int, *, within_s: float = 0.5) -> bool:
        """Whether the node takes a TCP connection from the host."""
        try:
            with socket.create_connection((self.addresses.node(node), port), timeout=within_s):
                return True
        except OSError:
            return False

    def answers(self, node: str) -> bool:
        """Whether the node does its work, asked above TCP."""
        kind = KINDS[self.topology.node(node).kind]
        if kind.name == DATABASE:
            return self.fresh_state(node) is not None
        if kind.asked is None:
            return passes_on(self.addresses.node(node), kind.port)
        return self.http_status(f"http://{self.addresses.node(node)}:{kind.port}{kind.asked}") in kind.says

    def http_status(self, url: str) -> int | None:
        try:
            return self.http().get(url, timeout=HTTP_TIMEOUT_S).status_code
        except requests.RequestException:
            return None

    def http(self) -> requests.Session:
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
            self._local.session.trust_env = False
        session: requests.Session = self._local.session
        return session

    def reaches(self, source: str, target: str) -> bool:
        """Dials from center `source` to center `target` now, above TCP: a proxy accepts for a dead backend.

        Where nobody is left there who can be asked, whoever lives there hears datagrams, which no proxy takes for another.
        """
        return self.carries(source, target) if self.to_ask(target) is None else self.round_trip_s(source, target) is not None

    def to_ask(self, center: str) -> Node | None:
        """Who can be asked over HTTP in a center, and lives."""
        asked = sorted((n for n in self.topology.center(center).nodes if KINDS[n.kind].asked), key=lambda n: KINDS[n.kind].start)
        return next((n for n in asked if self.held_or_running(n.name)), None)

    def round_trip_s(self, source: str, target: str) -> float | None:
        """As `reaches`: after how long the answer to a dial came, in seconds; None where none comes.

        Root on the engine's own host dials by a socket of its own in the caller's network, and starts no program: who looks must
        not be what customers feel.
        """
        caller, probe = self.somebody(source), self.to_ask(target)
        if caller is None or probe is None:
            return None
        port, path = KINDS[probe.kind].port, str(KINDS[probe.kind].asked)
        if (machine := self.machine(caller)) is not None:
            began, address = time.monotonic(), (self.addresses.seen_from(source, probe.name), port)
            return time.monotonic() - began if answers_http(machine, address, path, within_s=DIAL_WITHIN_S) else None
        script = (
            "import http.client,time\n"
            f"t=time.monotonic();c=http.client.HTTPConnection('{probe.name}',{port},timeout={DIAL_WITHIN_S})\n"
            f"c.request('GET','{path}');c.getresponse().read();print(time.monotonic()-t)"
        )
        try:
            ran = self.execute(caller, ["python3", "-c", script])
        except engine.REFUSALS:  # it died a moment ago, and the engine had not noticed when it was asked whether it runs
            return None
        return float(ran.output) if ran.exit_code == 0 else None

    def held_or_running(self, name: str) -> bool:
        """As `running`, without asking the engine where the first process is held and lives. Who is frozen does not run."""
        machine = self.machine(name)
        return self.running(name) if machine is None else not machine.frozen()

    def carries(self, source: str, target: str) -> bool:
        """Sends datagrams from `source` to `target`: a one-way cut stalls TCP both ways, UDP tells the direction.

        Between whoever lives there; nothing arrives where nobody does.
        """
        sender, receiver = self.somebody(source), self.somebody(target)
        if sender is None or receiver is None:
            return False
        near, far = self.machine(sender), self.machine(receiver)
        if near is not None and far is not None:
            return hears(near, far, (self.addresses.seen_from(source, receiver), DATAGRAM_PORT))
        listen = (
            f"import socket;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.bind(('',{DATAGRAM_PORT}))"
            ";s.settimeout(2);s.recvfrom(9)"
        )
        send = (
            "import socket,time;s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
            f"for _ in range(15):\n s.sendto(b'drill',('{receiver}',{DATAGRAM_PORT}));time.sleep(.1)"
        )
        with ThreadPoolExecutor(2) as pool:
            heard = pool.submit(self.execute, receiver, ["python3", "-c", listen])
            sent = pool.submit(self.execute, sender, ["python3", "-c", send])
            try:
                return sent.result().exit_code == heard.result().exit_code == 0
            except engine.REFUSALS:  # one of them died a moment ago, and the engine had not noticed
                return False

    def somebody(self, center: str) -> str | None:
        """A node of a center that lives; balancers and banks before databases, which a fault may cut from single peers."""
        nodes = sorted(self.topology.center(center).nodes, key=lambda n: n.kind in (DATABASE, STORE))
        return next((n.name for n in nodes if self.held_or_running(n.name)), None)

    def running(self, name: str) -> bool:
        return engine.is_running(self.client, self.container_name(name))

    def container_state(self, name: str) -> dict[str, Any]:
        """Docker's own view: Status, ExitCode, Running, FinishedAt …"""
        state: dict[str, Any] = self.container(name).attrs["State"]
        return state

    def dial(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
        """`reaches` for each (source, target), all at once."""
        with ThreadPoolExecutor(len(pairs)) as pool:
            return dict(zip(pairs, pool.map(lambda pair: self.reaches(*pair), pairs), strict=True))

    # --- Acting -------------------------------------------------------------------------------------------------------
    def execute(self, name: str, command: Sequence[str], *, user: str = "root", stdin: str | None = None) -> Ran:
        """Run a command in a container; its output is stdout and stderr together."""
        run = ["timeout", str(EXECUTE_TIMEOUT_S), *(command if stdin is None else ["sh", "-c", stdin])]
        result = self.container(name).exec_run(run, user=user)
        return Ran(int(result.exit_code), result.output.decode(errors="replace"))

    def begin(self, name: str, command: Sequence[str], *, user: str = "postgres") -> None:
        """Start a command in a container and leave it to itself. Raises ClusterError where the engine refuses."""
        try:
            self.container(name).exec_run(list(command), user=user, detach=True)
        except engine.REFUSALS as error:
            raise ClusterError(f"{command[0]} could not be started on {name}: {engine.brief(error)}") from error

    def open_file(self, node: str, path: str) -> OpenFile:
        """A file of a node, held open where that may be done. Raises ClusterError."""
        if (machine := self.machine(node)) is not None:
            try:
                return HeldFile(machine.pid, path)
            except OSError as error:
                raise ClusterError(f"{path} on {node} can't be opened: {error}") from error

        def run(command: list[str]) -> str:
            ran = self.execute(node, command)
            if ran.exit_code != 0:
                raise ClusterError(f"{path} on {node} could not be read or changed: {ran.output.strip()[-200:]}")
            return ran.output

        return RemoteFile(path, run)

    def put_file(self, node: str, path: str, text: str) -> None:
        """Write a file on a node, whether it runs or is dead; it belongs to its database's user. Raises ClusterError."""
        data, packed = text.encode(), io.BytesIO()
        entry = tarfile.TarInfo(PurePosixPath(path).name)
        entry.size, entry.mode, entry.uname, entry.gname = len(data), 0o600, "postgres", "postgres"
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(entry, io.BytesIO(data))
        try:
            done = self.container(node).put_archive(str(PurePosixPath(path).parent), packed.getvalue())
        except engine.REFUSALS as error:
            raise ClusterError(f"{path} could not be written on {node}: {engine.brief(error)}") from error
        if not done:
            raise ClusterError(f"{path} could not be written on {node}: the engine refused it")

    def script(self, name: str, text: str) -> str:
        """Run a shell script in a container. Raises ClusterError with its output when it fails.

        Root on the engine's own host enters the container's namespaces directly: 10 ms, where the engine takes 100 and more.
        """
        machine = self.machine(name)
        if machine and (tool := shutil.which("nsenter")):
            enter = [tool, "--target", str(machine.pid), "--mount", "--net", "/bin/sh", "-c", text]
            path = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # the container's, whatever the caller's is
            done = subprocess.run(enter, capture_output=True, text=True, timeout=30, check=False, env=path)
            ran = Ran(done.returncode, done.stdout + done.stderr)
        else:
            ran = self.execute(name, [], stdin=text)
        if ran.exit_code != 0:
            raise ClusterError(f"a script in {name} ended with {ran.exit_code}: {ran.output.strip()[-300:]}")
        return ran.output

    # --- Cutting and killing ------------------------------------------------------------------------------------------
    def stage(self, *, cut: Iterable[str] = (), kill: Iterable[str] = ()) -> Staged | Deferred:
        """Find out all that is needed to cut paths and kill nodes, and do nothing yet; `act` does it, once, `close` lets go.

        Root on the engine's own host: in milliseconds, by a process that lies ready (see runtime/staged.py). Everybody else:
        through the engine. A node that is dead stays dead.
        """
        paths, nodes = list(cut), list(kill)
        try:
            if (staged := self._staged(paths, nodes)) is not None:
                return staged
        except (OSError, StagedError, NetfilterError) as error:
            LOG.info("not staged, the engine will do it: %s", engine.brief(error))

        def through_engine() -> None:
            self._on_paths(paths, healing=False)
            self._kill_by_engine(nodes)

        return Deferred(through_engine)

    def _staged(self, paths: Sequence[str], nodes: Sequence[str]) -> Staged | None:
        """None where one of the machines can't be held."""
        places = sorted({self.place_of(path) for path in paths})
        found = dict(zip(names := [*places, *nodes], self._each(self.machine, names), strict=True))
        alive = [node for node in nodes if found[node] is not None]
        unheld = [place for place in places if found[place] is None] + [
            n for n in nodes if n not in alive and self.standing_up(n)
        ]
        if unheld:
            return None
        cuts: list[Cut] = []
        for place in places:
            machine = found[place]
            assert machine is not None
            own = [path for path in paths if self.place_of(path) == place]
            tables = {links.cut_table(*p.split("->")): links.cut_drops(self.addresses, p, machine.interface) for p in own}
            cuts.append((machine, tables))
        victims = {node: machine for node in alive if (machine := found[node]) is not None}
        self._victims |= victims
        return Staged(cuts, list(victims.values()))

    def cut(self, paths: Iterable[str]) -> Moment:
        """Drop all packets on directed paths (`dc1->dc2`, `door->dc1`), all at once. Safe to run again."""
        return self.stage(cut=paths).act()

    def kill(self, nodes: Iterable[str]) -> Moment:
        """SIGKILL every process of the nodes, at once, frozen ones too. A node that is dead already stays dead."""
        return self.stage(kill=nodes).act()

    def restore(self, paths: Iterable[str]) -> None:
        """Undo `cut`. Safe to run again, and on paths that were never cut."""
        self._on_paths(paths, healing=True)

    def place_of(self, path: str) -> str:
        """The container whose network a cut of that path is made in."""
        if (node := links.sender(self.topology, path)) is not None:
            return node
        pair = links.cut_place(path)
        return DOOR if pair is None else self.link_name(pair)

    def _on_paths(self, paths: Iterable[str], *, healing: bool) -> None:
        def text(path: str) -> str:
            return links.restore_script(*path.split("->")) if healing else links.cut_script(self.addresses, path)

        self._scripts({path: text(path) for path in paths})

    def _scripts(self, texts: Mapping[str, str]) -> None:
        """A script for each path, where it is cut; all places at once."""
        scripts: dict[str, list[str]] = {}
        for path, text in texts.items():
            scripts.setdefault(self.place_of(path), []).append(text)
        self._each(lambda name: self.script(name, "\n".join(["set -e", *scripts[name]])), list(scripts))

    def dropped(self, path: str) -> int | None:
        """Packets dropped by a cut so far; None when the path is not cut."""
        ends, place = path.split("->"), self.place_of(path)
        if (machine := self.machine(place)) is None:
            return links.dropped(json.loads(self.script(place, links.seen_script())), *ends)
        try:
            with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
                return netfilter.dropped(kernel, links.cut_table(*ends))
        except (OSError, NetfilterError) as error:
            raise ClusterError(f"what was dropped on {path} could not be read: {error}") from error

    def _kill_by_engine(self, names: Sequence[str]) -> None:
        """One after the other as the engine goes, a second for a dozen; returns when it has noted that all are dead."""

        def kill(name: str) -> None:
            container = self.container(name)
            if container.status not in ("running", "paused"):
                return
            with contextlib.suppress(*engine.REFUSALS):  # it may have died meanwhile; whether it did is asked below
                container.kill(signal="SIGKILL")
            # A frozen process takes its death when it thaws; some engines do that by themselves, and then refuse.
            if container.status == "paused":
                with contextlib.suppress(*engine.REFUSALS):
                    container.unpause()

        self._each(kill, names)
        for name in names:
            self.wait_dead(name)

    def wait_dead(self, name: str) -> None:
        """Wait until the engine has noted that a node is dead. Raises TimeoutError after 10 s."""
        wait_for(lambda: not self.standing_up(name), within_s=10, what=f"{name} to be dead", every_s=0.01)

    def standing_up(self, name: str) -> bool:
        """Whether the engine says that the container has living processes: a frozen one has."""
        container = self.find(name)
        return container is not None and container.status in ("running", "paused")

    def freeze(self, node: str) -> Moment:
        """Let no process of the node run until `thaw`: it keeps its connections and says nothing. Raises ClusterError.

        Through the engine, up to tenths of a second: it refuses to pause, and could not remove, what was frozen without it.
        """
        container, before_ns = self.container(node), time.monotonic_ns()
        try:
            container.pause()
        except engine.REFUSALS as error:
            raise ClusterError(f"{node} could not be frozen: {engine.brief(error)}") from error
        return Moment(before_ns, time.monotonic_ns())

    def thaw(self, node: str) -> None:
        """Let a frozen node run on. Safe on one that runs, is dead or is gone."""
        container = self.find(node)
        if container is not None and container.status == "paused":
            container.unpause()

    def frozen(self, node: str) -> bool:
        """Whether none of its processes may run: by the kernel, where it may be asked from here, else by the engine."""
        machine = self.machine(node)
        return self.container_state(node)["Paused"] is True if machine is None else machine.frozen()

    def processes(self, node: str, process: str) -> list[int]:
        """The ids of a node's processes of that name (`runtime/processes.py`): the host's where it may be asked, else its own."""
        if (machine := self.machine(node)) is not None:
            return named(command_lines(machine), process)
        ran = self.execute(node, ["python3", "-c", LISTING])
        if ran.exit_code != 0:
            raise ClusterError(f"the processes of {node} could not be listed: {ran.output.strip()[-200:]}")
        return named(listed(ran.output), process)

    def hold_processes(self, node: str, process: str) -> Held | None:
        """Those processes, ready to be killed; None where they can't be held from here. Raises ClusterError."""
        machine = self.machine(node)
        if machine is None:
            return None
        held = Held(machine, process)
        if machine.pid in held.pids:
            held.close()
            raise ClusterError(f"the {process} is the first process of {node}, which would die with it: expected NodeKilled")
        return held

    def kill_processes(self, node: str, pids: Sequence[int]) -> None:
        """SIGKILL through the engine, to processes by the node's own ids. Raises ClusterError."""
        if 1 in pids:
            raise ClusterError(f"that is the first process of {node}, which would die with it: expected NodeKilled")
        ran = self.execute(node, ["kill", "-KILL", *map(str, pids)])
        if ran.exit_code != 0:
            raise ClusterError(f"{node}: {ran.output.strip()[-200:]}")

    def start(self, nodes: Iterable[str]) -> None:
        """Start dead nodes again, with their disks as they were left. Safe on nodes that run.

        One at a time in each center: see docs/decisions/0011-one-endpoint-at-a-time.md.
        """
        by_center: dict[str, list[str]] = {}
        for name in nodes:
            by_center.setdefault(self.topology.center_of(name).name, []).append(name)

        def begin(center: str) -> None:
            for name in by_center[center]:
                self._start(name)

        self._each(begin, list(by_center))

    def _start(self, name: str) -> None:
        victim = self._victims.pop(name, None)
        if victim is not None and victim.killed:
            # The engine learns of a death a moment after it, and would take the node for a running one until then.
            wait_for(lambda: self.container_state(name)["Pid"] != victim.pid, within_s=10, what=f"{name} to be dead")
        self.container(name).start()

    def _each(self, action: Callable[[str], R], things: Sequence[str]) -> list[R]:
        if not things:
            return []
        with ThreadPoolExecutor(len(things)) as pool:
            return list(pool.map(action, things))

    def destroy(self, nodes: Iterable[str]) -> None:
        """Nodes that are dead are gone: their containers, and their disks. What they had logged is kept. Safe to run again."""

        def end(name: str) -> None:
            self.wait_dead(name)
            if (container := self.find(name)) is not None:
                self._last_words.setdefault(name, []).append(container.logs(timestamps=True))
                container.remove(v=True, force=True)
            engine.drop_volume(self.client, self.volume_name(name))

        self._each(end, list(nodes))

    def disk(self, node: str) -> bool:
        """Whether a node has a disk of its own that outlives its process."""
        return engine.has_volume(self.client, self.volume_name(node))

    def set_latency(self, latency_ms: dict[tuple[str, str], float]) -> None:
        """Change the one-way latency of links, by (source, target). Raises LinkError where Toxiproxy is missing."""
        if not self.standing.toxiproxy:
            raise links.LinkError("links run without Toxiproxy here: latency can't be changed (see 'drillbook doctor')")
        for pair in self.addresses.pairs():
            wanted = {(p.source, p.target): p.latency_ms for p in self.topology.links} | latency_ms
            if pair in latency_ms or pair[::-1] in latency_ms:
                Toxics(self.addresses.link(pair, pair[0])).set_latency(links.proxies(self.addresses, pair), wanted)

    def degrade(self, path: str, *, latency_ms: int = 0, jitter_ms: int = 0, loss_percent: int = 0, kbps: int = 0) -> None:
        """Let a path between centers go on carrying, and worse; what is 0 stays as it is. Safe to run again.

        Latency is added to TCP that goes through Toxiproxy, on connections that stand too; loss and bandwidth are the
        kernel's, for every packet. Raises ClusterError or LinkError.
        """
        if latency_ms:  # before its interface has less to say through the same line
            self.toxics(path).slow(self.proxies(path), path, latency_ms, jitter_ms)
        scripts = [links.loss_script(self.addresses, path, loss_percent)] if loss_percent else []
        scripts += [links.shape_script(self.addresses, path, kbps)] if kbps else []
        if scripts:
            self.script(self.place_of(path), "\n".join(scripts))

    def undegrade(self, path: str) -> None:
        """Undo `degrade`: the path carries as its topology says. Safe to run again, and on paths that were never degraded."""
        usual = next(link.bandwidth_kbps for link in self.topology.links if str(link) == path)
        whole = links.restore_script(*path.split("->"), kind=links.LOSS_TABLE)
        self.script(self.place_of(path), "\n".join([whole, links.shape_script(self.addresses, path, usual)]))
        if self.standing.toxiproxy:
            self.toxics(path).unslow(self.proxies(path), path)

    def toxics(self, path: str) -> Toxics:
        """The Toxiproxy of the link that a path leads over. Raises LinkError where there is none."""
        if not self.standing.toxiproxy:
            raise links.LinkError("links run without Toxiproxy here: latency can't be changed (see 'drillbook doctor')")
        pair = links.pair_of(path)
        return Toxics(self.addresses.link(pair, pair[0]))

    def proxies(self, path: str) -> list[links.Proxy]:
        return links.proxies(self.addresses, links.pair_of(path))

    def slowed(self, path: str) -> list[tuple[int, int] | None]:
        """What has been added to each stream of a path: latency and jitter in ms; None where nothing has."""
        return self.toxics(path).slowed(self.proxies(path), path)

    def thinned(self, path: str) -> tuple[int, int] | None:
        """How many packets a path's loss has dropped, of how many; None where no such rule stands."""
        ruleset = json.loads(self.script(self.place_of(path), links.seen_script()))
        counts = links.counted(ruleset, links.cut_table(*path.split("->"), kind=links.LOSS_TABLE))
        return None if counts is None else (counts[1], counts[0])

    def refuse(self, paths: Iterable[str]) -> None:
        """Answer whatever directed paths between centers carry with a refusal. Safe to run again."""
        self._scripts({path: links.refuse_script(self.addresses, path) for path in paths})

    def accept(self, paths: Iterable[str]) -> None:
        """Undo `refuse`. Safe to run again, and on paths that were never refused."""
        self._scripts({path: links.restore_script(*path.split("->"), kind=links.REFUSAL_TABLE) for path in paths})

    def refused(self, path: str) -> int | None:
        """Packets of a path that were refused so far; None where it is not."""
        ruleset = json.loads(self.script(self.place_of(path), links.seen_script()))
        counts = links.counted(ruleset, links.cut_table(*path.split("->"), kind=links.REFUSAL_TABLE))
        return None if counts is None else sum(counts)

    def passed(self, path: str) -> links.Passed:
        """What a link has let pass from one center to another, by its kernel's own count. Raises ClusterError or LinkError."""
        return links.passed(self.script(self.place_of(path), links.passed_script(self.addresses, path)))

    def door_command(self, command: str) -> str:
        """One command to the front door's balancer, with its answer."""
        address = (str(self.addresses.networks[DOOR][2]), DOOR_COMMAND_PORT)
        with socket.create_connection(address, timeout=DOOR_TIMEOUT_S) as connection:
            connection.sendall(command.encode() + b"\n")
            answer = b""
            while block := connection.recv(65536):
                answer += block
        return answer.decode().strip()

    def open_door_to(self, centers: Sequence[str], *, closed: Sequence[str] = ()) -> None:
        """Let customers into `centers`, keep them out of `closed`. Raises ClusterError when the door says otherwise."""
        for center, wanted in [*((c, "maint") for c in closed), *((c, "ready") for c in centers)]:
            said = self.door_command(f"set server bank/{center} state {wanted}")
            if said:
                raise ClusterError(f"the door refused to set {center} to {wanted}: {said}")

    def door_servers(self) -> dict[str, str]:
        """How the door sees each center's bank: UP, DOWN, MAINT …"""
        rows = [line.split(",") for line in self.door_command("show stat").splitlines() if line]
        column = rows[0].index("status")
        return {r[1]: r[column] for r in rows[1:] if r[0] == "bank" and r[1] not in ("FRONTEND", "BACKEND")}

    def door_log_dropped(self) -> int:
        """Log lines that the door's balancer could not write. Raises ClusterError when it doesn't say."""
        for line in self.door_command("show info").splitlines():
            name, _, value = line.partition(": ")
            if name == "DroppedLogs" and value.strip().isdigit():
                return int(value)
        raise ClusterError("expected the door's 'show info' to count DroppedLogs; it does not")

    def sql(self, node: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        return self.database(node).query(query, *parameters)

    def scrub(self, node: str) -> list[str]:
        """Read every page of a node's data directory and verify its checksum; what is damaged, in words.

        Reads as a base backup does: from the disk, whatever memory holds, and no page that was written since it began. A primary
        begins with a checkpoint of its own; a copy can't make one, and gets what the primary has until now first. Raises
        ClusterError or TimeoutError where the disk can't be read so: then nothing is known of it.
        """
        self._checkpoint_arrives(node)
        command = (
            "pg_basebackup -h /run/postgresql -U postgres -D - -F tar -X none -c fast --no-manifest >/dev/null 2>/tmp/scrub.$$"
            "; code=$?; cat /tmp/scrub.$$; rm -f /tmp/scrub.$$; exit $code"
        )
        ran = self.execute(node, [], user="postgres", stdin=command)
        if ran.exit_code == 0:
            return []
        damaged = [line.strip() for line in ran.output.splitlines() if "checksum" in line]
        if not damaged:
            raise ClusterError(f"the scrub of {node} could not read its disk: {ran.output.strip()[-300:]}")
        return damaged

    def _checkpoint_arrives(self, node: str) -> None:
        """A checkpoint of the primary that a copy has replayed, and made one of its own from."""
        state = wait_for(lambda: self.state(node), within_s=10, what=f"an answer of {node}, whose disk is to be read")
        if not state.in_recovery:
            return
        primary = self.wait_primary(within_s=10).name
        self.sql(primary, "CHECKPOINT")
        wanted = self.sql(primary, "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")[0][0]

        def replayed() -> bool:
            now = self.state(node)
            return now is not None and (now.replay_lsn or 0) >= wanted

        wait_for(replayed, within_s=60, what=f"{node} to replay a checkpoint of {primary}")
        self.sql(node, "CHECKPOINT")

    # --- Evidence -----------------------------------------------------------------------------------------------------
    def read_copy(self, node: str, table: str) -> bytes:
        """One of the bank's tables as it stands on one copy, as CSV, sorted."""
        with_connection = Database(self.addresses.node(node))
        try:
            return with_connection.copy(table)
        finally:
            with_connection.close()

    def logs(self, name: str, *, since: str | None = None) -> bytes:
        """What a container has written, and those whose place it took, from the wall time `since` (RFC 3339, UTC) on."""
        begin = None if since is None else datetime.fromisoformat(since).timestamp()
        before = [line for text in self._last_words.get(name, []) for line in text.splitlines(keepends=True)]
        kept = [line for line in before if begin is None or stamped(line) >= begin]
        found = self.find(name)
        output: bytes = b"" if found is None and before else self.container(name).logs(timestamps=True, since=begin)
        return b"".join(kept) + output

    def autopsy(self, node: str) -> tuple[bytes, int | None]:
        """The payments on a dead node's disk, as CSV, and where its WAL ends (bytes; None when it can't be read).

        Works on a copy of the disk, in a container without a network: the dead node stays as it was left.
        """
        from runtime.database import COPY_QUERIES

        query = " ".join(COPY_QUERIES["payments"].split()).replace('"', '\\"')
        server = "/usr/lib/postgresql/17/bin/postgres --single -D /tmp/copy -c log_checkpoints=on -c lc_messages=C -j bank"
        # Recovery reads the log to its end and puts its checkpoint there: that is where the dead node's log ends.
        script = f"""set -eu
cp -a {DATA_DIRECTORY} /tmp/copy
cd /tmp/copy; rm -f postmaster.pid standby.signal recovery.signal
printf '%s\\n' "COPY ({query}) TO '/tmp/payments.csv' (FORMAT csv, HEADER)" > /tmp/ask.sql
{server} < /tmp/ask.sql > /tmp/single.log 2>&1 || {{ cat /tmp/single.log >&2; exit 1; }}
sed -n '/checkpoint starting: end-of-recovery/,$ s/.*redo lsn=\\([0-9A-F/]*\\).*/END \\1/p' /tmp/single.log | head -1
echo ROWS
cat /tmp/payments.csv"""
        name = f"{self.standing.prefix}-autopsy-{node}"
        disk = program(self.addresses, self.topology.node(node)).volume or DATA_DIRECTORY
        output = self.client.containers.run(
            self.standing.node_image,
            ["shell", "setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "sh", "-c", script],
            name=name,
            remove=True,
            network_mode="none",
            tmpfs={"/tmp": "exec,mode=1777"},  # the copy's writes must not hold up the disk on which customers are paying
            labels=engine.labels(self.run_id, self.standing.directory),
            volumes={self.volume_name(node): {"bind": disk, "mode": "ro"}},
            stderr=False,
        )
        head, _, rows = output.partition(b"ROWS\n")
        end = next((line[4:] for line in head.decode().splitlines() if line.startswith("END ")), None)
        return rows, None if end is None else lsn_bytes(end)

    def volume_name(self, node: str) -> str:
        return f"{self.standing.prefix}-{node}"


SSL_REQUEST = struct.pack("!II", 8, 80877103)  # the first words of a PostgreSQL client: answered with one letter


def passes_on(address: str, port: int) -> bool:
    """Whether a balancer works: it brings a server's letter, or closes at once because it knows no server.

    The kernel takes connections for one that is frozen.
    """
    try:
        with socket.create_connection((address, port), timeout=HTTP_TIMEOUT_S) as connection:
            connection.settimeout(HTTP_TIMEOUT_S)
            connection.sendall(SSL_REQUEST)
            connection.recv(1)
    except (ConnectionResetError, BrokenPipeError):
        return True
    except OSError:
        return False
    return True


def answers_http(machine: Machine, address: tuple[str, int], path: str, *, within_s: float) -> bool:
    """Whether somebody answers over HTTP, dialled from within the machine's network."""
    try:
        with machine.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.settimeout(within_s)
            connection.connect(address)
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: {address[0]}\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/")
    except OSError:
        return False


def hears(sender: Machine, receiver: Machine, address: tuple[str, int]) -> bool:
    """Whether one of fifteen datagrams from one machine's network to `address` arrives in the other's. Raises OSError."""
    with (
        receiver.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
        sender.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
    ):
        far.bind(("", address[1]))
        far.settimeout(DATAGRAM_EVERY_S)
        for _ in range(DATAGRAMS):
            with contextlib.suppress(OSError):  # a rule may refuse it outright
                near.sendto(b"drill", address)
            with contextlib.suppress(TimeoutError):
                far.recv(9)
                return True
        return False


def stamped(line: bytes) -> float:
    """When the engine took a line of a log: seconds since 1970; 0 where it doesn't say."""
    word = line.partition(b" ")[0].decode(errors="replace")
    try:
        return datetime.fromisoformat(word[:26].rstrip("Z") + "+00:00").timestamp()
    except ValueError:
        return 0.0


def lsn_bytes(lsn: str) -> int:
    """`1/2A` as bytes from 0/0."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
