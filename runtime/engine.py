"""The Docker engine: connect, find and remove what carries our label. The only importer of docker besides images.

Everything that the harness makes carries the label `drillbook` with the run's id, and `drillbook.directory` with the run
directory, so that another process finds it again.
"""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ReadTimeout

if TYPE_CHECKING:
    from docker.models.containers import Container
    from docker.models.networks import Network
    from docker.models.volumes import Volume

LABEL = "drillbook"
DIRECTORY_LABEL = "drillbook.directory"
REQUEST_TIMEOUT_S = 60


REFUSALS = (DockerException, OSError)  # what a call to the engine raises when it refuses, hangs or is gone


class EngineError(Exception):
    """The engine did not do what was asked: says what, why, and what to do next."""


def connect(*, timeout_s: int = REQUEST_TIMEOUT_S) -> docker.DockerClient:
    try:
        # The pool must hold one connection for each thread that starts a container.
        client = docker.from_env(timeout=timeout_s, max_pool_size=32)
        client.ping()
    except (DockerException, OSError) as error:
        if "permission denied" in str(error).lower():
            raise EngineError(
                "a Docker engine runs and this user may not use it: add it to the group docker and log in again, or run as root"
            ) from error
        raise EngineError(
            f"no Docker engine answers ({brief(error)}). Start it ('systemctl start docker', or 'make drill', which installs "
            "and starts one), or set DOCKER_HOST to one on this machine."
        ) from error
    return client


def root_directory(client: docker.DockerClient) -> Path:
    """Where the engine keeps volumes and containers, as it says itself: a path of its own host."""
    return Path(str(client.info().get("DockerRootDir") or "/var/lib/docker"))


def brief(error: BaseException) -> str:
    """What an engine's error says, in a line; of an engine that hangs, what to do."""
    if isinstance(error, ReadTimeout):
        return (
            f"the Docker engine did not answer within {REQUEST_TIMEOUT_S} s: if 'docker ps' or 'docker network ls' hang too, "
            "restart it (engines before 23 can lock up: see docs/howto.md)"
        )
    text = " ".join(str(error).split())
    return text[:240] or type(error).__name__


def labels(run_id: str, directory: str) -> dict[str, str]:
    return {LABEL: run_id, DIRECTORY_LABEL: directory}


def taken_networks(client: docker.DockerClient) -> list[IPv4Network]:
    """Subnets that Docker networks of anybody use already."""
    taken = []
    for network in client.networks.list():
        for pool in (network.attrs.get("IPAM") or {}).get("Config") or []:
            with contextlib.suppress(ValueError):
                taken.append(IPv4Network(pool.get("Subnet", "")))
    return taken


def containers_of(client: docker.DockerClient, run_id: str | None = None) -> list[Container]:
    """As the engine lists them, no one asked about itself: one that the engine hangs on holds up no other run.

    Their `name` is None, as it is not in the list under that key: take `name_of`.
    """
    wanted = f"{LABEL}={run_id}" if run_id else LABEL
    return list(client.containers.list(all=True, filters={"label": wanted}, sparse=True))


def name_of(container: Container) -> str:
    return str((container.attrs.get("Names") or [container.id])[0]).lstrip("/")


def is_running(client: docker.DockerClient, name: str) -> bool:
    """False too for a container that is not made yet, or removed already."""
    try:
        return bool(client.containers.get(name).status == "running")
    except NotFound:
        return False


def find(client: docker.DockerClient, name: str) -> Container | None:
    """The container of that name; None where there is none."""
    try:
        return client.containers.get(name)
    except NotFound:
        return None


def has_volume(client: docker.DockerClient, name: str) -> bool:
    try:
        client.volumes.get(name)
    except NotFound:
        return False
    return True


def drop_volume(client: docker.DockerClient, name: str) -> None:
    with contextlib.suppress(NotFound):
        client.volumes.get(name).remove(force=True)


@dataclass(frozen=True)
class Leftovers:
    """Names of what carries our label, and what the engine said when it would not remove it."""

    containers: tuple[str, ...]
    networks: tuple[str, ...]
    volumes: tuple[str, ...]
    refusals: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.containers or self.networks or self.volumes)

    def __str__(self) -> str:
        counts = f"{len(self.containers)} containers, {len(self.networks)} networks, {len(self.volumes)} volumes"
        return counts + (f" (the engine says: {'; '.join(self.refusals)})" if self.refusals else "")


def leftovers(client: docker.DockerClient, run_id: str | None = None) -> Leftovers:
    wanted = {"label": f"{LABEL}={run_id}" if run_id else LABEL}
    return Leftovers(
        tuple(sorted(name_of(c) for c in containers_of(client, run_id))),
        tuple(sorted(str(n.name) for n in client.networks.list(filters=wanted))),
        tuple(sorted(str(v.name) for v in client.volumes.list(filters=wanted))),
    )


def running(client: docker.DockerClient) -> set[str]:
    """The run ids of which a container runs, or is frozen."""
    return {str(c.attrs["Labels"].get(LABEL, "")) for c in client.containers.list(filters={"label": LABEL}, sparse=True)}


def runs(client: docker.DockerClient) -> dict[str, str]:
    """Run directory by run id, of everything that carries our label."""
    found: dict[str, str] = {}
    for thing in [
        *containers_of(client),
        *client.networks.list(filters={"label": LABEL}),
        *client.volumes.list(filters={"label": LABEL}),
    ]:
        own: dict[str, str] = thing.attrs.get("Labels") or {}
        found.setdefault(own.get(LABEL, ""), own.get(DIRECTORY_LABEL, ""))
    return found


def remove(client: docker.DockerClient, run_id: str) -> Leftovers:
    """Remove everything of one run; returns what was still there afterwards (nothing, unless the engine refused).

    Containers one after the other: see docs/decisions/0011-one-endpoint-at-a-time.md.
    """
    refusals = [remove_container(container) for container in containers_of(client, run_id)]
    with ThreadPoolExecutor(8) as pool:
        wanted = {"label": f"{LABEL}={run_id}"}
        refusals += pool.map(remove_network, client.networks.list(filters=wanted))
        refusals += pool.map(remove_volume, client.volumes.list(filters=wanted))
    left = leftovers(client, run_id)
    return replace(left, refusals=tuple(r for r in refusals if r)) if left else left


def remove_for_good(client: docker.DockerClient, run_id: str, *, within_s: float = 90, looks: int = 4) -> Leftovers:
    """As `remove`, until nothing is left after `looks` looks in a row, half a second apart.

    After a start that was cut short the engine may still be making what it was asked for: then one look is not enough. Raises
    APIError or OSError when the engine still refuses to talk at the end.
    """
    deadline, clear = time.monotonic() + within_s, 0
    while True:
        try:
            found = bool(leftovers(client, run_id))
            left = remove(client, run_id)
            clear = 0 if left else 1 if found else clear + 1
        except (APIError, OSError):
            clear = 0
            if time.monotonic() >= deadline:
                raise
        else:
            if clear >= looks or time.monotonic() >= deadline:
                return left
        time.sleep(0.5)


def remove_container(container: Container) -> str:
    """Removes it. Returns what the engine said against it; an engine that is slow goes on by itself: look again."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return ""
    except (APIError, OSError) as error:
        return f"{name_of(container)}: {brief(error)}"
    return ""


def remove_network(network: Network) -> str:
    """As `remove_container`. Whatever still hangs on our network is let go of by force first.

    Engines leave the endpoint of a container behind when it dies while it is removed, and refuse the network for good then;
    and somebody may have put a container of their own on it, which goes on without it.
    """
    try:
        network.remove()
    except NotFound:
        return ""
    except (APIError, OSError):
        try:
            network.reload()
            for endpoint in (network.attrs.get("Containers") or {}).values():
                with contextlib.suppress(NotFound):  # it went by itself meanwhile
                    network.disconnect(endpoint["Name"], force=True)
            network.remove()
        except NotFound:
            return ""
        except (APIError, OSError) as error:
            return f"{network.name}: {brief(error)}"
    return ""


def remove_volume(volume: Volume) -> str:
    try:
        volume.remove()
    except NotFound:
        return ""
    except (APIError, OSError) as error:
        return f"{volume.name}: {brief(error)}"
    return ""
