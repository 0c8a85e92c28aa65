"""Makes a topology run, with Testcontainers: every container at once, ready when a payment came back that is held twice.

The only importer of testcontainers. Its own reaper is off: it has no image where no registry answers, cleans neither rules
nor mounts, and would end a topology that `up` left standing. Our watcher process cleans up instead.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"

from docker.errors import APIError
from docker.types import EndpointConfig, IPAMConfig, IPAMPool
from testcontainers.core.container import DockerContainer

from runtime import engine, links, nodes
from runtime.addresses import DOOR, Addresses, free_networks
from runtime.cluster import Cluster, ClusterError, Standing
from runtime.database import wait_for
from runtime.images import Images
from runtime.manager import Program, manager_of
from runtime.redundancy import fully_redundant
from runtime.toxics import Toxics
from topologies.kinds import DATABASE, KINDS, LINKS_START
from topologies.model import Topology

Progress = Callable[[str], None]
READY_WITHIN_S = 90.0
REDUNDANT_WITHIN_S = 120.0


@dataclass(frozen=True)
class Started:
    """A running cluster, and seconds from the call to the first payment and to full redundancy (None: not waited for)."""

    cluster: Cluster
    first_payment_s: float
    full_redundancy_s: float
    milestones: dict[str, float]


class Maker:
    """Makes containers of a topology, at first and, where nodes are gone for good, again."""

    def __init__(self, client: Any, addresses: Addresses, *, prefix: str, labels: dict[str, str], node_image: str) -> None:
        self.client = client
        self.addresses = addresses
        self.prefix = prefix
        self.labels = labels
        self.node_image = node_image
        # One at a time joins a network: see docs/decisions/0011-one-endpoint-at-a-time.md.
        self.joining: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @staticmethod
    def of(cluster: Cluster) -> Maker:
        standing = cluster.standing
        labels = engine.labels(standing.run_id, standing.directory)
        return Maker(cluster.client, cluster.addresses, prefix=standing.prefix, labels=labels, node_image=standing.node_image)

    def container(
        self, name: str, program: Program, *, image: str, network: str, address: str, published: int = 0, **more: Any
    ) -> Any:
        # With its version said, a client need not ask the engine for it, which starts two programs each time.
        client = {"timeout": engine.REQUEST_TIMEOUT_S, "version": self.client.api.api_version}
        container = DockerContainer(image, docker_client_kw=client)
        container.with_name(f"{self.prefix}-{name}").with_command(list(program.command))
        # A proxy of the host's Docker client would be put into every container, and catch what they say to each other.
        container.with_envs(NO_PROXY="*", no_proxy="*", **program.environment)
        if program.volume:
            volume = f"{self.prefix}-{name}"
            self.client.volumes.create(volume, labels=self.labels)
            container.with_volume_mapping(volume, program.volume, "rw")
        if published:
            container.ports[f"{nodes.DOOR_PORT}/tcp"] = ("127.0.0.1", published)  # type: ignore[assignment]
        full_network = f"{self.prefix}-{network}"
        container.with_kwargs(
            hostname=name,
            labels=self.labels,
            cap_add=list(program.capabilities),
            sysctls=program.sysctls,
            network=full_network,
            networking_config={full_network: EndpointConfig("1.41", ipv4_address=address)},
            **more,
        )
        with self.joining[network]:
            container.start()
        container.get_docker_client().client.close()
        return container.get_wrapped_container()

    def start_node(self, name: str, **environment: str) -> None:
        """`environment` is what the node gets beside its program's own."""
        topology = self.addresses.topology
        center, program = topology.center_of(name).name, nodes.program(self.addresses, topology.node(name))
        self.container(
            name,
            replace(program, environment=program.environment | environment),
            image=self.node_image,
            network=center,
            address=self.addresses.node(name),
            extra_hosts=self.addresses.hosts(center),
        )


class Startup:
    """One start. Split into steps so that each fits a screen; use `start`."""

    def __init__(self, topology: Topology, images: Images, *, run_id: str, directory: Path, door_port: int, progress: Progress):
        self.topology = topology
        self.images = images
        self.run_id = run_id
        self.directory = directory
        self.progress = progress
        self.client = engine.connect()
        self.labels = engine.labels(run_id, str(directory))
        self.prefix = f"drillbook-{secrets.token_hex(3)}"
        self.began = time.monotonic()
        self.milestones: dict[str, float] = {}
        self.addresses = self.make_networks(door_port)
        self.maker = Maker(self.client, self.addresses, prefix=self.prefix, labels=self.labels, node_image=images.node)
        self.standing = Standing(
            run_id=run_id,
            directory=str(directory),
            topology=topology.name,
            settings=topology.settings,
            networks={name: str(net) for name, net in self.addresses.networks.items()},
            door_port=self.door_port,
            toxiproxy=images.toxiproxy,
            node_image=images.node,
            prefix=self.prefix,
        )
        (directory / "standing.json").write_text(self.standing.text(), encoding="utf-8")

    def mark(self, name: str) -> None:
        self.milestones[name] = round(time.monotonic() - self.began, 3)
        self.progress(f"{self.milestones[name]:.1f} s: {name}")

    def make_networks(self, door_port: int) -> Addresses:
        self.door_port = door_port or free_port()
        names = [*(c.name for c in self.topology.centers), DOOR]
        for _attempt in range(5):
            taken = engine.taken_networks(self.client)
            networks = free_networks(names, taken, start=secrets.randbelow(512))
            try:
                for name, subnet in networks.items():
                    self.make_network(name, subnet)
            except APIError as error:
                # Somebody took the subnet between the look and the call.
                engine.remove(self.client, self.run_id)
                if "overlap" not in str(error):
                    raise
                continue
            self.mark("networks")
            return Addresses(self.topology, networks)
        raise engine.EngineError("no free subnets in 198.18.0.0/15 after 5 attempts: run 'drillbook clean'")

    def make_network(self, name: str, subnet: IPv4Network) -> None:
        pool = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]), iprange=f"{subnet[0]}/25")
        # check_duplicate is an argument of old engines that new ones reject: leave it out.
        self.client.networks.create(
            f"{self.prefix}-{name}",
            driver="bridge",
            internal=name != DOOR,
            ipam=IPAMConfig(pool_configs=[pool]),
            labels=self.labels,
        )

    # --- Containers ---------------------------------------------------------------------------------------------------
    def start_link(self, pair: tuple[str, str]) -> None:
        one, other = pair
        name = Cluster.link_name(pair)
        container = self.maker.container(
            name, nodes.link(), image=self.images.link, network=one, address=self.addresses.link(pair, one)
        )
        self.join(container.id, other, self.addresses.link(pair, other))
        script = links.provision_script(self.addresses, pair, toxiproxy=self.images.toxiproxy)
        done = container.exec_run(["timeout", "60", "sh", "-c", script])
        if done.exit_code != 0:
            raise ClusterError(f"{name} could not be provisioned: {done.output.decode(errors='replace').strip()[-300:]}")
        self.check_bandwidth(container, pair)
        if self.images.toxiproxy:
            proxy = Toxics(self.addresses.link(pair, one))
            wait_for(proxy.version, within_s=20, what=f"Toxiproxy in {name}", every_s=0.02)
            latency = {(li.source, li.target): li.latency_ms for li in self.topology.links}
            proxy.populate(links.proxies(self.addresses, pair), latency)

    def check_bandwidth(self, container: Any, pair: tuple[str, str]) -> None:
        """What was asked of the kernel is read back from it: a line that is wider than it says would go unseen."""
        for link in self.topology.links:
            if link.bandwidth_kbps is None or {link.source, link.target} != set(pair):
                continue
            told = container.exec_run(["timeout", "60", "sh", "-c", links.passed_script(self.addresses, str(link))], stderr=False)
            seen = links.passed(told.output.decode(errors="replace"))
            links.shaped_as_named(str(link), link.bandwidth_kbps, seen)
            self.progress(f"{link} lets {seen.kbps:g} kbit/s pass at most, its kernel says")

    def start_door(self) -> None:
        container = self.maker.container(
            DOOR,
            nodes.door(self.addresses),
            image=self.images.node,
            network=DOOR,
            address=str(self.addresses.networks[DOOR][2]),
            published=self.door_port,
        )
        for center in self.topology.centers:
            self.join(container.id, center.name, self.addresses.door(center.name))
        done = container.exec_run(["timeout", "60", "sh", "-c", links.DOOR_SCRIPT])
        if done.exit_code != 0:
            raise ClusterError(f"the door could not be closed to the outside: {done.output.decode(errors='replace').strip()}")

    def join(self, container_id: str, network: str, address: str) -> None:
        with self.maker.joining[network]:
            self.client.networks.get(f"{self.prefix}-{network}").connect(container_id, ipv4_address=address)

    def links_begun_by(self, center: str) -> list[tuple[str, str]]:
        """Each center starts about as many links as the others: the pairs, dealt out in turn to one of their ends."""
        return [pair for n, pair in enumerate(self.addresses.pairs()) if pair[n % 2] == center]

    def start_all(self) -> Cluster:
        """The centers beside each other; in each, one container after the other, what the others wait for first."""
        queues: dict[str, list[Callable[[], None]]] = {}
        for center in self.topology.centers:
            jobs: list[tuple[int, Callable[[], None]]] = []
            begun: set[str] = set()
            for node in center.nodes:
                kind = KINDS[node.kind]
                first = kind.first_start if kind.first_start is not None and kind.name not in begun else kind.start
                begun.add(kind.name)
                jobs.append((first, partial(self.maker.start_node, node.name)))
            jobs += [(LINKS_START, partial(self.start_link, pair)) for pair in self.links_begun_by(center.name)]
            queues[center.name] = [job for _, job in sorted(jobs, key=lambda one: one[0])]
        queues[DOOR] = [self.start_door]
        failed = threading.Event()

        def work(queue: list[Callable[[], None]]) -> None:
            for job in queue:
                if failed.is_set():
                    return
                job()

        with ThreadPoolExecutor(len(queues)) as pool:
            try:
                for future in as_completed([pool.submit(work, queue) for queue in queues.values()]):
                    future.result()
            except BaseException:
                failed.set()  # after an error or Ctrl-C nothing new starts, and what is being made is there to be removed
                raise
        self.mark("containers")
        return Cluster(self.topology, self.standing)

    # --- Readiness ----------------------------------------------------------------------------------------------------
    def wait_ready(self, cluster: Cluster) -> Started:
        """Ready: a payment came back through the front door and is held twice; then until every copy streams."""
        key = f"{self.run_id}-ready-0001"
        for group in cluster.topology.groups:
            if group.upstream is None:  # the others can't be whole before it, and are waited for at the end
                manager_of(group).form(cluster, group, within_s=READY_WITHIN_S)
                self.mark(f"{group.name} has a leader")
        wait_for(lambda: pay(cluster, key), within_s=READY_WITHIN_S, what="a payment through the front door", every_s=0.02)
        where = two_places(self.topology)
        wait_for(lambda: held_twice(cluster, key), within_s=READY_WITHIN_S, what=f"that payment {where}")
        self.mark(f"first payment through the front door, held {where}")
        first = self.milestones[next(reversed(self.milestones))]
        # Each look opens a connection to every database: more looks would slow down what they wait for.
        wait_for(lambda: fully_redundant(cluster), within_s=REDUNDANT_WITHIN_S, what="full redundancy", every_s=0.25)
        self.mark("full redundancy: every copy streams")
        return Started(cluster, first, self.milestones[next(reversed(self.milestones))], self.milestones)


def two_places(topology: Topology) -> str:
    """Where a payment is held twice: in two centers, if databases stand in as many."""
    return "in two centers" if in_centers(topology) else "on two copies"


def in_centers(topology: Topology) -> bool:
    return sum(any(n.kind == DATABASE for n in center.nodes) for center in topology.centers) > 1


def held_twice(cluster: Cluster, key: str) -> bool:
    """Whether a payment stands on databases of two centers; on two databases, where only one center has any."""
    holders = set()
    for node in cluster.databases():
        if cluster.state(node.name) and cluster.sql(node.name, "SELECT 1 FROM payments WHERE key = %s", key):
            holders.add(cluster.topology.center_of(node.name).name if in_centers(cluster.topology) else node.name)
    return len(holders) >= min(2, len(cluster.databases()))


def pay(cluster: Cluster, key: str) -> bool:
    """One payment through the front door, the same one each time; True once it is committed."""
    body = {"debit": "acc-0000", "credit": "acc-0001", "amount_minor": 1}
    reply = cluster.http().post(f"{cluster.door_url}/payments", json=body, headers={"Idempotency-Key": key}, timeout=3)
    if reply.status_code not in (200, 201):
        raise ClusterError(f"the door answered {reply.status_code}: {reply.text[:160]}")
    return True


def start(topology: Topology, images: Images, *, run_id: str, directory: Path, door_port: int = 0, progress: Progress) -> Started:
    """Start `topology` and wait until it is fully redundant.

    Whatever was made is removed again when that fails; what it had logged is kept in `logs` of the directory.
    """
    client = engine.connect()
    try:
        startup = Startup(topology, images, run_id=run_id, directory=directory, door_port=door_port, progress=progress)
        return startup.wait_ready(startup.start_all())
    except BaseException:
        if kept := keep_logs(client, run_id, directory / "logs"):
            progress(f"the start failed; what {kept} containers had logged until then is in {directory / 'logs'}")
        engine.remove_for_good(client, run_id)
        (directory / "standing.json").unlink(missing_ok=True)
        raise


def keep_logs(client: Any, run_id: str, place: Path) -> int:
    """What each container of a run has written, as `place/<name>.log`; returns of how many. What can't be read is left out."""
    kept = 0
    try:
        for container in engine.containers_of(client, run_id):
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{engine.name_of(container).split('-', 2)[-1]}.log").write_bytes(container.logs(timestamps=True))
            kept += 1
    except engine.REFUSALS:  # it is the failed start that is to be told, not this
        pass
    return kept


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
