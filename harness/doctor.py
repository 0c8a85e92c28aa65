"""Whether this machine can run drills: each finding says what was looked for, what was seen, and what follows."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from harness import leftovers
from harness.environment import DISK_NEEDED_MIB, DYING_CGROUPS_MANY, MEMORY_NEEDED_MIB, dying_cgroups, memory_available_mib
from harness.leftovers import Ours
from runtime import engine, images

MARKS = {"ok": "ok      ", "degraded": "DEGRADED", "missing": "MISSING "}


@dataclass(frozen=True)
class Finding:
    """`state`: ok, degraded (drills run, and not as well as they could), or missing (no drill can start)."""

    subject: str
    state: str
    text: str

    @property
    def mark(self) -> str:
        return MARKS[self.state]


def examine() -> list[Finding]:
    found = [memory(), *cgroups(), disk()]
    try:
        client = engine.connect()
    except engine.EngineError as error:
        return [*found, Finding("Docker engine", "missing", str(error))]
    version = client.version()
    found.append(
        Finding("Docker engine", "ok", f"{version.get('Version')} on {version.get('KernelVersion', platform.release())}")
    )
    found.append(host_reaches_containers(version))
    found += image_findings(client)
    found.append(left_over(leftovers.all_of_ours(client)))
    return found


def left_over(found: Sequence[Ours]) -> Finding:
    """What nobody holds and nobody guards takes memory and cores away from what is measured."""
    text = "; ".join(leftovers.told(found)) or "nothing carries our label"
    return Finding("leftovers", "degraded" if any(one.state == "left" for one in found) else "ok", text)


def memory() -> Finding:
    seen = memory_available_mib()
    text = f"{seen} MiB available, {MEMORY_NEEDED_MIB} MiB needed"
    return Finding("memory", "missing" if seen is not None and seen < MEMORY_NEEDED_MIB else "ok", text)


def cgroups() -> list[Finding]:
    """What containers that are gone leave in the kernel; nothing where it can't be known."""
    dying = dying_cgroups()
    if dying is None:
        return []
    if dying <= DYING_CGROUPS_MANY:
        return [Finding("memory cgroups", "ok", f"{dying} of containers that are gone")]
    text = (
        f"{dying} of containers that are gone: they slow this kernel down; 'echo 3 > /proc/sys/vm/drop_caches' as root frees them"
    )
    return [Finding("memory cgroups", "degraded", text)]


def disk() -> Finding:
    seen = shutil.disk_usage(".").free // 2**20
    text = f"{seen} MiB free here, {DISK_NEEDED_MIB} MiB needed for images and a run"
    return Finding("disk", "ok" if seen >= DISK_NEEDED_MIB else "missing", text)


def host_reaches_containers(version: dict[str, object]) -> Finding:
    """The harness asks databases directly on their bridge networks: an engine in a virtual machine hides them."""
    if platform.system() != "Linux" or "Docker Desktop" in str(version.get("Platform", "")):
        text = "this engine runs in a virtual machine: its bridge networks can't be reached from here; use an engine on Linux"
        return Finding("container networks", "missing", text)
    return Finding("container networks", "ok", "bridge networks of this engine are on this host")


def image_findings(client: object) -> list[Finding]:
    wanted = images.names()
    if images.standing(client):  # type: ignore[arg-type]
        return [Finding("images", "ok", f"{wanted.node} and {wanted.link} are there")]
    node = images.present(client, wanted.node)  # type: ignore[arg-type]
    if node:
        return [Finding("images", "degraded", "no Toxiproxy image: links would have no base latency, and it can't be changed")]
    how = "mmdebstrap is there to build them" if shutil.which("mmdebstrap") else "no mmdebstrap to build them with"
    return [Finding("images", "ok", f"not there yet: the first drill pulls or builds them ({how}; about two minutes)")]
