"""What is staged is nothing until it is triggered, and one stroke then: with real network namespaces, without Docker."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from runtime import cluster, links, netfilter
from runtime.addresses import Addresses
from runtime.database import wait_for
from runtime.files import HeldFile, RemoteFile
from runtime.machine import Machine
from runtime.netfilter import Drop, NetfilterError
from runtime.staged import Deferred, Staged, StagedError
from runtime.trigger import stop_all, stopped, wait_dead
from topologies.two_region_three_center import two_region_three_center

ROOT = Path(__file__).resolve().parents[1]
LOOP = IPv4Network("127.0.0.0/8")
SILENCE = [Drop("arriving", "prerouting", -300, "saddr", LOOP, interface="lo")]
# Two processes, as a container has them: the first one, and one that holds a network of its own open too.
BODY = "ip link set lo up; sleep 300 & exec sleep 300"


def network_namespaces() -> bool:
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "ip")):
        return False
    return subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not network_namespaces(), reason="needs root, unshare and ip")


def hold(pid: int) -> Machine:
    return Machine(pid, os.pidfd_open(pid), os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), {})


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A process in namespaces of its own, the first of its kind, as a container's first process is."""
    outer = subprocess.Popen(["unshare", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", BODY])
    try:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        inner = int(wait_for(lambda: children.read_text().split(), within_s=10, what="a process in a namespace")[0])
        held = hold(inner)
        wait_for(lambda: held.interface("127.0.0.1") == "lo", within_s=10, what="its loopback interface")
        yield held
    finally:
        outer.kill()
        outer.wait()


def heard(machine: Machine) -> bool:
    """Whether a datagram gets through in that machine's network."""
    with machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as far, machine.socket(socket.AF_INET, socket.SOCK_DGRAM) as near:
        far.bind(("127.0.0.1", 0))
        far.settimeout(0.2)
        try:
            near.sendto(b"drill", far.getsockname())
            return far.recv(9) == b"drill"
        except OSError:
            return False


def dropped(machine: Machine, table: str) -> int | None:
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        return netfilter.dropped(kernel, table)


# --- Rules ------------------------------------------------------------------------------------------------------------
@needs_namespaces
def test_a_rule_that_was_tried_is_no_rule_and_one_that_was_put_drops_and_counts(machine: Machine) -> None:
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        netfilter.rehearse(kernel, {"tried": SILENCE})
        assert heard(machine)
        assert netfilter.dropped(kernel, "tried") is None
        for _ in range(2):  # again in place of itself: one rule, not two
            netfilter.put(kernel, {"put": SILENCE})
        assert not heard(machine)
        assert netfilter.dropped(kernel, "put") == 1


@needs_namespaces
@pytest.mark.parametrize(
    "drop",
    [
        Drop("a", "prerouting", -300, "saddr", IPv4Network("127.0.0.1/32")),
        Drop("a", "prerouting", -300, "saddr", IPv4Network("10.1.2.3/32"), inside=False, interface="lo"),
        Drop("a", "postrouting", 200, "daddr", IPv4Network("127.0.0.0/24"), interface="lo"),
        Drop("a", "output", -300, "daddr", IPv4Network("127.0.0.0/16")),
    ],
)
def test_each_kind_of_rule_drops(machine: Machine, drop: Drop) -> None:
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        netfilter.put(kernel, {"t": [drop]})
        assert not heard(machine)
        assert netfilter.dropped(kernel, "t") == 1


@needs_namespaces
@pytest.mark.parametrize(
    "drop",
    [
        Drop("a", "prerouting", -300, "saddr", IPv4Network("10.1.2.0/24")),
        Drop("a", "prerouting", -300, "saddr", IPv4Network("127.0.0.1/32"), inside=False),
        Drop("a", "prerouting", -300, "saddr", LOOP, interface="eth0"),
    ],
)
def test_a_rule_spares_what_it_does_not_name(machine: Machine, drop: Drop) -> None:
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        netfilter.put(kernel, {"t": [drop]})
        assert heard(machine)
        assert netfilter.dropped(kernel, "t") == 0


@needs_namespaces
def test_the_kernel_refuses_all_or_nothing(machine: Machine) -> None:
    odd = Drop("a" * 300, "prerouting", -300, "saddr", LOOP)  # no chain's name is that long
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        with pytest.raises(NetfilterError, match="refused"):
            netfilter.put(kernel, {"good": SILENCE, "bad": [odd]})
        assert netfilter.dropped(kernel, "good") is None
        with pytest.raises(NetfilterError, match="refused"):
            netfilter.rehearse(kernel, {"bad": [odd]})


def test_a_network_that_ends_within_a_byte_is_refused_and_not_rounded() -> None:
    with pytest.raises(ValueError, match="8, 16, 24 or 32"):
        netfilter.rule(Drop("a", "output", 0, "daddr", IPv4Network("10.0.0.0/20")))


# --- Staged, triggered, let go ----------------------------------------------------------------------------------------
@needs_namespaces
def test_staged_is_nothing_and_triggered_is_one_stroke(machine: Machine) -> None:
    staged = Staged([(machine, {"cut": SILENCE})], [machine])
    time.sleep(0.1)
    assert heard(machine)
    assert machine.alive()
    assert dropped(machine, "cut") is None
    assert not machine.killed
    called_ns = time.monotonic_ns()
    moment = staged.act()
    assert machine.killed  # whoever starts the node again waits until the engine has buried it
    assert called_ns <= moment.before_ns <= moment.after_ns <= time.monotonic_ns()
    wait_for(lambda: not machine.alive(), within_s=10, what="the first process to be gone")
    assert dropped(machine, "cut") == 0  # the network outlives its processes while somebody holds it
    assert staged.process.returncode == 0


@needs_namespaces
def test_what_was_let_go_never_happens(machine: Machine) -> None:
    staged = Staged([(machine, {"cut": SILENCE})], [machine])
    staged.close()
    staged.close()
    assert staged.process.returncode == 0
    assert machine.alive()
    assert heard(machine)
    assert dropped(machine, "cut") is None
    with pytest.raises(StagedError):
        staged.act()


@needs_namespaces
def test_the_process_that_would_act_dies_with_whoever_staged_it(machine: Machine) -> None:
    """SIGKILL to the harness between staging and trigger: nothing happens, and nobody lies in wait."""
    script = f"""
        import os, time
        from ipaddress import IPv4Network
        from tests.test_staged import SILENCE, hold
        from runtime.staged import Staged
        machine = hold({machine.pid})
        staged = Staged([(machine, {{"cut": SILENCE}})], [machine])
        print(staged.process.pid, flush=True)
        time.sleep(300)
    """
    harness = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert harness.stdout is not None
    waiting = int(harness.stdout.readline())
    assert Path(f"/proc/{waiting}").exists()
    harness.send_signal(signal.SIGKILL)
    harness.wait()
    wait_for(lambda: ended(waiting), within_s=10, what="the process that would act to end")
    harness.stdout.close()
    assert machine.alive()
    assert dropped(machine, "cut") is None


def ended(pid: int) -> bool:
    """Gone, or waiting for whoever reaps orphans here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@needs_namespaces
def test_half_an_act_is_told(machine: Machine) -> None:
    """A rule that the kernel took when it was staged and refuses when it counts: nobody is killed, and it is said."""
    staged = Staged([(machine, {"cut": SILENCE})], [machine])
    staged.close()
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()  # whatever is sent there is refused
        plan = {"rules": [[ours.fileno(), "00", 1]], "first": [], "thaw": [], "within_s": 1}
        staged.process = staged.begin(plan, [ours.fileno()])
    with pytest.raises(StagedError, match="refused the rules"):
        staged.act()
    assert machine.alive()


def test_who_does_not_die_is_counted() -> None:
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        held = os.pidfd_open(sleeper.pid)
        assert wait_dead([held], 0.05) == 1
        sleeper.kill()
        assert wait_dead([held], 5) == 0
        os.close(held)


def test_all_threads_are_stopped_those_too_that_came_between_the_looks(tmp_path: Path) -> None:
    """The list of a control group, here a file: a shell that goes on starting others is stopped, and they with it."""
    with subprocess.Popen(["sh", "-c", "while :; do sleep 60 & sleep 0.01; done"], start_new_session=True) as shell:
        tasks = tmp_path / "tasks"
        assert not stopped(shell.pid)
        tasks.write_text("\n".join(map(str, [shell.pid, *children_of(shell.pid)])))
        assert stop_all([str(tasks), str(tmp_path / "gone already")], 5) == 0
        assert stopped(shell.pid)
        assert all(stopped(int(pid)) for pid in tasks.read_text().split())
        os.killpg(shell.pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_thread_that_waits_in_the_kernel_is_stopped_by_the_signal_it_bears() -> None:
    """Stopped by a signal (as frozen, or waiting for a disk): it can't take its death yet, and can't run either."""
    with subprocess.Popen(["sleep", "300"]) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        assert not stopped(sleeper.pid)
        sleeper.kill()
        assert stopped(sleeper.pid)


def test_what_the_engine_does_is_not_done_before_it_is_asked_for() -> None:
    done: list[int] = []
    deferred = Deferred(lambda: done.append(time.monotonic_ns()))
    assert not done
    moment = deferred.act()
    assert moment.before_ns <= done[0] <= moment.after_ns


# --- Machines ---------------------------------------------------------------------------------------------------------
@needs_namespaces
def test_a_socket_inside_leaves_this_thread_where_it_is(machine: Machine) -> None:
    here = Path("/proc/thread-self/ns/net").stat().st_ino
    with machine.socket(socket.AF_INET, socket.SOCK_STREAM) as inside:
        inside.bind(("127.0.0.1", 5432))  # whoever listens there on the host is not in the way
        inside.listen()
        assert Path("/proc/thread-self/ns/net").stat().st_ino == here
        assert not cluster.answers_http(machine, ("127.0.0.1", 5433), "/", within_s=0.5)
        assert not cluster.answers_http(machine, ("127.0.0.1", 5432), "/", within_s=0.2)  # accepted, and no word


@needs_namespaces
def test_datagrams_are_heard_until_they_are_dropped(machine: Machine) -> None:
    assert cluster.hears(machine, machine, ("127.0.0.1", 9753))
    with machine.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter.NETLINK_NETFILTER) as kernel:
        netfilter.put(kernel, {"cut": SILENCE})
    assert not cluster.hears(machine, machine, ("127.0.0.1", 9753))


def test_a_process_that_is_not_the_containers_is_not_held() -> None:
    assert Machine.of(os.getpid(), "0123456789abcdef" * 4) is None
    assert Machine.of(0, "whatever") is None


# --- Cuts -------------------------------------------------------------------------------------------------------------
def test_both_ways_to_cut_say_the_same() -> None:
    """As a script for whoever goes through the engine, and as messages for the kernel: made of the same rules."""
    topology = two_region_three_center()
    names = ["dc1", "dc2", "dc3", "door"]
    networks = {name: IPv4Network(f"198.18.{n}.0/24") for n, name in enumerate(names)}
    addresses = Addresses(topology, networks)
    script = links.cut_script(addresses, "dc1->dc2")
    drops = links.cut_drops(addresses, "dc1->dc2", lambda address: {"198.18.0.3": "eth0", "198.18.1.3": "eth1"}[address])
    assert [d.interface for d in drops] == ["eth0", "eth1"]
    assert "to 198.18.0.3/32" in script
    assert script.index("to 198.18.0.3/32") < script.index("to 198.18.1.3/32")
    assert "iifname $(" in script
    assert "oifname $(" in script
    assert "ip saddr != 198.18.0.1/32 counter drop" in script  # the harness's own way to the link
    door = links.cut_drops(addresses, "door->dc3", lambda address: f"not asked: {address}")
    assert [(d.hook, d.field, d.network) for d in door] == [
        ("prerouting", "saddr", networks["dc3"]),
        ("output", "daddr", networks["dc3"]),
    ]


# --- Files ------------------------------------------------------------------------------------------------------------
def run_here(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("held", [True, False])
def test_a_file_is_read_and_changed_in_place(tmp_path: Path, held: bool) -> None:
    path = tmp_path / "page"
    path.write_bytes(bytes(range(16)))
    file = HeldFile(os.getpid(), str(path)) if held else RemoteFile(str(path), run_here)
    assert file.read(4, 4) == bytes([4, 5, 6, 7])
    file.write(4, b"\xff\xff\xff\xff")
    assert path.read_bytes() == bytes([0, 1, 2, 3, 255, 255, 255, 255, *range(8, 16)])
    with pytest.raises(EOFError):
        file.read(14, 4)
    file.close()
