"""After a drill, after Ctrl-C in mid-fault, after the harness was killed and after a failed start: nothing of ours remains,
and what others made is untouched."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.drill import load_drill
from harness.runner import Options, run_drill
from tests.laboratory import drillbook, labelled, started, wait_for_event
from topologies import engine, images, startup
from topologies.database import wait_for

pytestmark = pytest.mark.docker


@pytest.fixture
def stranger() -> Iterator[Any]:
    """A container, a network and a volume of somebody else, with names like ours and without our label."""
    client = engine.connect()
    network = client.networks.create("drillbook-stranger", internal=True)
    volume = client.volumes.create("drillbook-stranger")
    container = client.containers.create(images.names().node, ["shell", "sleep", "30"], name="drillbook-stranger")
    try:
        yield client
        assert client.containers.get("drillbook-stranger").id == container.id
        assert client.networks.get("drillbook-stranger").id == network.id
        assert client.volumes.get("drillbook-stranger").name == volume.name
    finally:
        container.remove(force=True)
        network.remove()
        volume.remove()


def host_rules() -> str:
    """Firewall rules and loop devices of the host, where its tools are there to tell."""
    tools = (["iptables-save"], ["nft", "list", "ruleset"], ["losetup", "-a"])
    here = [tool for tool in tools if shutil.which(tool[0])]
    return "\n".join(subprocess.run(tool, capture_output=True, text=True, check=False).stdout for tool in here)


def nothing_labelled() -> bool:
    left = labelled()
    assert not left, left
    return True


def assert_nothing_left() -> None:
    assert nothing_labelled()
    assert "drillbook" not in host_rules()


def test_after_ctrl_c_in_mid_fault(tmp_path: Path, stranger: Any) -> None:
    with started("run", "center-loss", cwd=tmp_path) as process:
        wait_for_event(tmp_path / "runs", "injected", process)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(90) == 130
    assert_nothing_left()
    told = (tmp_path / "output.log").read_text()
    assert "heal" in told.lower()
    assert (tmp_path / "runs" / "latest" / "verdict.json").read_text().count('"INVALID"') == 1


def test_after_the_harness_was_killed_in_mid_fault(tmp_path: Path, stranger: Any) -> None:
    with started("run", "center-loss", cwd=tmp_path) as process:
        wait_for_event(tmp_path / "runs", "injected", process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        wait_for(nothing_labelled, within_s=240, what="the watcher to remove everything")
    assert_nothing_left()
    # What was written until then still says that it proves nothing.
    judged = drillbook("judge", "runs/latest", cwd=tmp_path)
    assert judged.returncode == 2
    assert judged.stdout.startswith("INVALID")


def test_after_a_failed_start(tmp_path: Path, stranger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "READY_WITHIN_S", 0.2)
    result = run_drill(load_drill("center-loss"), Options(runs=tmp_path, interactive=False))
    assert result.exit_code == 3
    assert result.verdict.verdict == "INVALID"
    assert_nothing_left()
    assert not (result.directory / "standing.json").exists()


def test_a_network_that_somebody_joined_is_removed_and_they_go_on(stranger: Any) -> None:
    """An endpoint that hangs on our network, a stranger's or one that the engine forgot, doesn't keep it."""
    network = stranger.networks.create("drillbook-joined", internal=True, labels=engine.labels("joined", "/nowhere"))
    network.connect("drillbook-stranger")
    stranger.containers.get("drillbook-stranger").start()
    assert not engine.remove(stranger, "joined")
    assert_nothing_left()
