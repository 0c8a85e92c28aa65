"""Images: pulled where a registry answers, else built from Debian packages, with the same names.

`ensure(progress)` returns the names to run. Names of our own images carry a hash of what they are built from, so that a
change of any file here builds anew and an unchanged tree builds nothing.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, BuildError, ImageNotFound
from urllib3.exceptions import HTTPError

HERE = Path(__file__).parent
BASE = "debian:trixie-slim"
TOXIPROXY_VERSION = "2.12.0"
TOXIPROXY = f"ghcr.io/shopify/toxiproxy:{TOXIPROXY_VERSION}"
PULL_TIMEOUT_S = 120
CA_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
IMAGE_LABEL = "drillbook.image"  # not the label of a run: containers inherit it, whoever starts them
Progress = Callable[[str], None]


class ImageError(Exception):
    """An image could neither be pulled nor built; says why and what to do."""


@dataclass(frozen=True)
class Images:
    """`link` equals `node` where Toxiproxy could not be had: then links have no base latency (`toxiproxy` False)."""

    node: str
    link: str
    toxiproxy: bool
    why_no_toxiproxy: str = ""


def content_tag(*names: str) -> str:
    """A short hash over the files that an image is built from."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0" + (HERE / name).read_bytes())
    return digest.hexdigest()[:12]


NODE_FILES = (
    "node.Dockerfile",
    "schema.sql",
    "admission.py",
    "bank.py",
    "edge.py",
    "edge_store.py",
    "baked.py",
    "server.py",
    "run-node",
    "patroni-node",
    "server-node",
    "repmgr-node",
    "repmgr-promote",
    "repmgr-follow",
    "watcher-node",
    "autofailover-node",
    "repository-node",
)


def names() -> Images:
    node = f"drillbook/node:{content_tag(*NODE_FILES)}"
    return Images(node=node, link=f"drillbook/link:{content_tag(*NODE_FILES, 'link.Dockerfile')}", toxiproxy=True)


def present(client: docker.DockerClient, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def standing(client: docker.DockerClient) -> Images | None:
    """The images if nothing needs to be pulled or built, else None."""
    wanted = names()
    return wanted if present(client, wanted.node) and present(client, wanted.link) else None


def ensure(client: docker.DockerClient, progress: Progress) -> Images:
    """Pull or build what is missing. Raises ImageError where the node image can't be had."""
    if found := standing(client):
        return found
    wanted = names()
    ensure_base(client, progress)
    if not present(client, wanted.node):
        progress("building the node image (PostgreSQL, Patroni, etcd, HAProxy, the bank)")
        build(client, wanted.node, dockerfile="node.Dockerfile", files=NODE_FILES)
    try:
        ensure_toxiproxy(client, progress)
    except ImageError as error:
        progress(f"no Toxiproxy: links will have no base latency ({error})")
        return Images(node=wanted.node, link=wanted.node, toxiproxy=False, why_no_toxiproxy=str(error))
    build(
        client,
        wanted.link,
        dockerfile="link.Dockerfile",
        files=("link.Dockerfile",),
        arguments={"NODE_IMAGE": wanted.node, "TOXIPROXY_IMAGE": TOXIPROXY},
    )
    return wanted


def pull(client: docker.DockerClient, name: str, progress: Progress) -> bool:
    """True when a registry answered with the image."""
    progress(f"pulling {name}")
    try:
        puller = docker.from_env(timeout=PULL_TIMEOUT_S)
        repository, _, tag = name.rpartition(":")
        puller.images.pull(repository, tag=tag)
    except (APIError, OSError, HTTPError) as error:
        progress(f"no registry answers for {name}: {first_line(str(error))}")
        return False
    return present(client, name)


def ensure_base(client: docker.DockerClient, progress: Progress) -> None:
    if present(client, BASE) or pull(client, BASE, progress):
        return
    tool = shutil.which("mmdebstrap")
    if tool is None:
        raise ImageError(
            f"{BASE} can't be pulled and mmdebstrap, which would build it from Debian packages, is not installed: "
            "run 'apt-get install mmdebstrap', or 'make drill', which does"
        )
    progress(f"building {BASE} from Debian packages")
    with tempfile.TemporaryDirectory(prefix="drillbook-") as scratch:
        tar = Path(scratch) / "base.tar"
        command = [tool, "--quiet", "--variant=minbase", "--include=ca-certificates", "trixie", str(tar)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        except subprocess.TimeoutExpired as error:
            raise ImageError(f"mmdebstrap did not build {BASE} within 600 s: is there a way to Debian's packages?") from error
        if done.returncode != 0:
            raise ImageError(f"mmdebstrap could not build {BASE}: {first_line(done.stderr)}")
        repository, tag = BASE.split(":")
        client.api.import_image_from_file(str(tar), repository=repository, tag=tag, changes=[f"LABEL {IMAGE_LABEL}=1"])


def ensure_toxiproxy(client: docker.DockerClient, progress: Progress) -> None:
    if present(client, TOXIPROXY) or pull(client, TOXIPROXY, progress):
        return
    progress("building Toxiproxy from its Go module")
    build(
        client,
        TOXIPROXY,
        dockerfile="toxiproxy.Dockerfile",
        files=("toxiproxy.Dockerfile",),
        extra={"ca-bundle.pem": ca_bundle()},
        arguments={"GOPROXY": go_setting("GOPROXY"), "GOSUMDB": go_setting("GOSUMDB"), "VERSION": TOXIPROXY_VERSION},
    )


def ca_bundle() -> bytes:
    """The host's certificate authorities: a network that inspects TLS has one of its own."""
    for candidate in (os.environ.get("SSL_CERT_FILE"), os.environ.get("REQUESTS_CA_BUNDLE"), *CA_BUNDLES):
        if candidate and Path(candidate).is_file():
            return Path(candidate).read_bytes()
    return b""


def go_setting(name: str) -> str:
    """The host's Go proxy setting: from the environment, else from its Go; empty means Go's own default."""
    if name in os.environ:
        return os.environ[name]
    if go := shutil.which("go"):
        done = subprocess.run([go, "env", name], capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip()
    return ""


def build(
    client: docker.DockerClient,
    name: str,
    *,
    dockerfile: str,
    files: tuple[str, ...],
    arguments: dict[str, str] | None = None,
    extra: dict[str, bytes] | None = None,
) -> None:
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for file in files:
            add(tar, file, (HERE / file).read_bytes())
        for file, content in (extra or {}).items():
            add(tar, file, content)
    context.seek(0)
    try:
        client.images.build(
            fileobj=context,
            custom_context=True,
            dockerfile=dockerfile,
            tag=name,
            rm=True,
            forcerm=True,
            buildargs=arguments or {},
            labels={IMAGE_LABEL: "1"},
        )
    except BuildError as error:
        log = [str(entry.get("stream", entry.get("error", ""))).strip() for entry in error.build_log]
        tail = " | ".join(line for line in log[-6:] if line)
        raise ImageError(f"building {name} failed: {tail or error}") from error
    except APIError as error:
        raise ImageError(f"building {name} failed: {first_line(str(error))}") from error


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o755
    tar.addfile(entry, io.BytesIO(content))


def first_line(text: str) -> str:
    return text.strip().splitlines()[0][:300] if text.strip() else "no reason given"
