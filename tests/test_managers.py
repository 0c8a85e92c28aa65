"""What each manager makes of each topology, by values alone; and how a balancer asks a server itself."""

from __future__ import annotations

import base64
import http.server
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from drills.center_loss import test_center_loss as center_loss
from harness.rehearsal import rehearse
from judging.evidence import PlannedStep
from judging.protection import demanded
from managers.pg_auto_failover import misnumbered
from runtime import images, nodes
from runtime.addresses import DOOR, Addresses
from runtime.database import DatabaseState
from runtime.manager import check_managers, manager_of, managers
from runtime.server import asked_by_sql, synchronous_list
from topologies import catalogue
from topologies.kinds import BALANCER, DATABASE, MONITOR, STORE, WATCHER
from topologies.model import Topology
from topologies.two_region_three_center import two_region_three_center


def addresses_of(topology: Topology) -> Addresses:
    names = [*(c.name for c in topology.centers), DOOR]
    return Addresses(topology, {name: IPv4Network(f"198.18.{n}.0/24") for n, name in enumerate(names)})


def refused(name: str, manager: str) -> str:
    """Why a topology has no place for a manager; "" where it has."""
    if name == "single-center" and manager != "by-hand":
        return "expected one of by-hand"
    two_databases = name in ("hybrid-cloud", "edge-and-center")
    return "expects more than 1 copies" if two_databases and manager == "pg-auto-failover" else ""


@pytest.mark.parametrize("manager", managers())
@pytest.mark.parametrize("name", catalogue())
def test_every_manager_decides_for_every_topology_that_has_a_place_for_it(name: str, manager: str) -> None:
    if told := refused(name, manager):
        with pytest.raises(ValueError, match=told):
            check_managers(catalogue()[name](manager=manager))
        return
    topology = catalogue()[name](manager=manager)
    check_managers(topology)
    addresses = addresses_of(topology)
    for node in topology.nodes():
        assert nodes.program(addresses, node).command
    assert {group.manager for group in topology.groups if group.upstream is None} == {manager}


def test_a_manager_that_nobody_knows_is_told_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"expected a manager of by-hand, .*patroni.*; seen 'pacemaker'"):
        check_managers(two_region_three_center(manager="pacemaker"))


def test_people_keep_no_store_and_know_no_plain_mode() -> None:
    assert not two_region_three_center(manager="by-hand").nodes(STORE)
    with pytest.raises(ValueError, match="synchronous: expected one of strict, quorum, off where people decide; seen 'plain'"):
        check_managers(two_region_three_center(manager="by-hand", synchronous="plain"))


def test_one_server_begins_as_the_primary_and_waits_for_all_others() -> None:
    topology = two_region_three_center(manager="by-hand")
    programs = {n.name: nodes.program(addresses_of(topology), n) for n in topology.nodes(DATABASE)}
    assert [name for name, program in programs.items() if program.environment["SEED"] == "1"] == ["dc1-a"]
    assert """synchronous_standby_names = 'FIRST 2 ("dc1-b", "dc2-a", "dc2-b")'\n""" in programs["dc1-a"].environment["CONFIG"]
    assert all("synchronous_standby_names" not in p.environment["CONFIG"] for name, p in programs.items() if name != "dc1-a")
    # Each finds the primary among its peers, its neighbour first; the remote one at its center's balancer.
    upstream = "host=dc2-a,dc1-a,dc1-b port=5432 target_session_attrs=read-write"
    assert programs["dc2-b"].environment["UPSTREAM"] == upstream
    assert programs["dc3-a"].environment["UPSTREAM"] == "host=dc3-haproxy port=5433"


@pytest.mark.parametrize(
    ("mode", "names", "text", "count"),
    [
        ("strict", ["a", "b", "c"], 'FIRST 2 ("a", "b", "c")', 2),
        ("quorum", ["a", "b", "c"], 'ANY 2 ("a", "b", "c")', 2),
        ("strict", ["a"], 'FIRST 1 ("a")', 1),
        ("strict", [], "", 0),
        ("off", ["a"], "", 0),
    ],
)
def test_who_must_confirm(mode: str, names: list[str], text: str, count: int) -> None:
    assert synchronous_list(mode, 2, names) == text
    assert demanded(text)[0] == count


def test_where_nobody_takes_over_people_notice_decide_and_promote() -> None:
    def steps(manager: str) -> list[tuple[str, str | None]]:
        body = rehearse(center_loss.drill.body, two_region_three_center(manager=manager))
        return [(one.name, one.role) for one in body if isinstance(one, PlannedStep)]

    by_itself, by_hand = steps("patroni"), steps("by-hand")
    assert [role for _, role in by_hand] == ["detect", "decide", "promote", *(role for _, role in by_itself)]
    assert manager_of(two_region_three_center().groups[0]).takes_over


def test_a_balancer_asks_the_server_itself() -> None:
    """What it sends is PostgreSQL's protocol, by a server of our own that reads it: a start-up, a question, a good-bye."""
    sent = [bytes.fromhex(line.split()[-1]) for line in asked_by_sql().lines if "send-binary" in line]
    expected = [bytes.fromhex(line.split()[-1]) for line in asked_by_sql().lines if "expect binary" in line]
    here, there = socket.socketpair()
    heard: dict[str, Any] = {}

    def serve() -> None:
        size, version = struct.unpack("!II", there.recv(8))
        words = there.recv(size - 8).rstrip(b"\0").split(b"\0")
        heard["version"], heard["startup"] = version, dict(zip(words[::2], words[1::2], strict=True))
        there.sendall(b"R" + struct.pack("!II", 8, 0) + b"Z" + struct.pack("!I", 5) + b"I")
        kind, size = struct.unpack("!cI", there.recv(5))
        heard["query"] = kind, there.recv(size - 4)
        there.sendall(b"D" + struct.pack("!IHI", 11, 1, 1) + b"f")
        heard["bye"] = there.recv(16)

    server = threading.Thread(target=serve)
    server.start()
    for message, answer in zip(sent, [*expected, None], strict=True):
        here.sendall(message)
        if answer is not None:
            assert answer in here.recv(4096)
    server.join(10)
    assert heard["version"] == 3 << 16
    assert heard["startup"] == {b"user": b"monitor", b"database": b"postgres"}
    assert heard["query"] == (b"Q", b"SELECT pg_is_in_recovery()\0")
    assert heard["bye"] == b"X\0\0\0\x04"


def test_every_balancer_of_a_group_without_a_manager_asks_by_sql() -> None:
    topology = two_region_three_center(manager="by-hand")
    for balancer in topology.nodes(BALANCER):
        assert "tcp-check send-binary" in nodes.program(addresses_of(topology), balancer).environment["CONFIG"]


def test_a_watcher_stands_once_outside_the_city() -> None:
    topology = two_region_three_center(manager="patroni-watched")
    (watcher,) = topology.nodes(WATCHER)
    assert topology.center_of(watcher.name).name == "dc3"
    program = nodes.program(addresses_of(topology), watcher)
    assert program.environment["STORE"] == "dc1-etcd:2379,dc2-etcd:2379,dc3-etcd:2379"
    fewer = tuple(replace(c, nodes=tuple(n for n in c.nodes if n.kind != WATCHER)) for c in topology.centers)
    with pytest.raises(ValueError, match="patroni-watched expects one node of kind watcher; seen none"):
        check_managers(replace(topology, centers=fewer))


class Store(http.server.BaseHTTPRequestHandler):
    """A store with one key, and a Patroni beside it: what it is told stands in `server.told`."""

    def log_message(self, *_: object) -> None: ...

    def answer(self, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        server: Any = self.server
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v3/kv/range":
            holder = base64.b64encode(b"127.0.0.1").decode()
            self.answer({"kvs": [{"value": holder, "mod_revision": "7"}]} if server.held else {})
            return
        server.told.append(asked)
        server.held = False
        self.answer({"succeeded": True})


def test_the_watcher_takes_the_key_from_a_primary_that_does_not_answer_and_from_no_other() -> None:
    """The program of the image itself, against a store of our own; nobody listens where the holder's Patroni would."""
    store: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    store.told, store.held = [], True
    threading.Thread(target=store.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "STORE": f"127.0.0.1:{store.server_port}", "SCOPE": "bank", "EVERY_MS": "20", "ANSWER_MS": "200", "MISSES": "3",
        "PORT": str(port), "PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    script = Path(images.__file__).parent / "watcher-node"
    with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        said = [watcher.stdout.readline() for _ in range(3)]
        watcher.kill()
    store.shutdown()
    assert said[0] == "watcher: the leader key is held by 127.0.0.1\n"
    assert said[1] == "watcher: 127.0.0.1 did not answer 3 times: its leader key was deleted\n"
    assert said[2] == "watcher: the leader key is held by None\n"
    (told,) = store.told
    assert told["compare"][0]["modRevision"] == "7"
    assert base64.b64decode(told["success"][0]["requestDeleteRange"]["key"]) == b"/service/bank/leader"


def test_a_monitor_decides_from_outside_the_city_and_tells_its_servers_apart_by_number() -> None:
    topology = two_region_three_center(manager="pg-auto-failover")
    city, remote = topology.groups
    assert (remote.manager, topology.nodes(STORE), topology.nodes(WATCHER)) == ("by-hand", (), ())
    (monitor,) = topology.nodes(MONITOR)
    assert topology.center_of(monitor.name).name == "dc3"
    programs = {n.name: nodes.program(addresses_of(topology), n) for n in topology.nodes() if n.group == city.name}
    told = programs[monitor.name].environment
    assert "pgautofailover.node_considered_unhealthy_timeout = '3000'\n" in told["CONFIG"]
    assert told["HBA"].startswith("host pg_auto_failover autoctl_node 198.18.0.0/15 trust\n")
    servers = [n.name for n in topology.members(city.name)]
    assert [programs[name].environment["PLACE"] for name in servers] == ["0", "1", "2", "3"]
    assert all(programs[name].environment["MONITOR"].endswith("&tcp_user_timeout=2000") for name in servers)
    # Who must confirm, pg_autoctl says; its state stands beside the data directory, on the disk that outlives a power loss.
    assert all("synchronous_standby_names" not in programs[name].environment["CONFIG"] for name in servers)
    assert {programs[name].volume for name in servers} == {"/var/lib/postgresql"}
    assert manager_of(city).copy_names(topology, city)["pgautofailover_standby_3"] == "dc2-a"
    fewer = tuple(replace(c, nodes=tuple(n for n in c.nodes if n.kind != MONITOR)) for c in topology.centers)
    with pytest.raises(ValueError, match="pg-auto-failover expects one node of kind monitor; seen none"):
        check_managers(replace(topology, centers=fewer))
    with pytest.raises(ValueError, match="pg-auto-failover expects more than 3 copies; seen 3"):
        check_managers(two_region_three_center(manager="pg-auto-failover", synchronous_node_count=3))


def test_copies_with_names_of_their_own_are_told_by_their_nodes() -> None:
    topology = two_region_three_center(manager="pg-auto-failover")
    names = manager_of(topology.groups[0]).copy_names(topology, topology.groups[0])
    copies = [{"name": f"pgautofailover_standby_{n}", "state": "streaming", "sync_state": "quorum"} for n in (4, 2)]
    listed = "ANY 2 (pgautofailover_standby_2, pgautofailover_standby_3, pgautofailover_standby_40)"
    said = DatabaseState(False, 1, 10, None, listed, [{"name": "dc3-a", "state": "streaming", "sync_state": "async"}, *copies])
    told = said.named(names)
    assert told.sync_names == 'ANY 2 ("dc1-b", "dc2-a", pgautofailover_standby_40)'
    assert [copy["name"] for copy in told.replication] == ["dc1-b", "dc2-b", "dc3-a"]
    assert told.streams_to("dc2-b")
    assert demanded(told.sync_names) == (2, ["dc1-b", "dc2-a", "pgautofailover_standby_40"])
    assert said.named({}) is said


def test_numbers_that_are_not_the_places_are_told() -> None:
    expected = {"pgautofailover_standby_1": "a", "pgautofailover_standby_2": "b"}
    assert misnumbered(expected, [(2, "b"), (1, "a")]) == ""
    assert misnumbered(expected, [(3, "b"), (1, "a")]) == "b is 3"
