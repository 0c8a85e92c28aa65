"""After a drill, after Ctrl-C in mid-fault, after the harness was killed and after a failed start: nothing of ours remains,
and what others made is untouched. "Ours" is what the test's own runs made: other topologies may stand on the same engine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.drill import load_drill
from harness.runner import Options, run_drill
from runtime import engine, images, startup
from runtime.database import wait_for
from tests.laboratory import LIGHT_DRILL, command, drillbook, standing_below, started, wait_for_event

pytestmark = pytest.mark.docker


@pytest.fixture
def stranger() -> Iterator[Any]:
    """A container, a network and a volume of somebody else, with names like ours and without our label."""
    client = engine.connect()
    name = f"drillbook-stranger-{secrets.token_hex(3)}"  # a killed test leaves its own behind
    network = client.networks.create(name, internal=True)
    volume = client.volumes.create(name)
    container = client.containers.create(images.names().node, ["shell", "sleep", "30"], name=name)
    try:
        yield container
        assert client.containers.get(name).id == container.id
        assert client.networks.get(name).id == network.id
        assert client.volumes.get(name).name == volume.name
    finally:
        container.remove(force=True)
        network.remove()
        volume.remove()


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Path]:
    """The directory of the test's own runs. At the end nothing below it stands, and the host has no rule that was not there."""
    before = host_rules()
    yield tmp_path
    # A test that failed had its harness killed: the watcher is given its time, so that the next test stands alone.
    wait_for(lambda: nothing_stands(tmp_path), within_s=120, what="nothing of this test's to stand")
    assert not host_rules() - before


def host_rules() -> set[str]:
    """Firewall rules and loop devices of the host that name us, where its tools are there to tell."""
    tools = (["iptables-save"], ["nft", "list", "ruleset"], ["losetup", "-a"])
    here = [tool for tool in tools if shutil.which(tool[0])]
    told = "\n".join(subprocess.run(tool, capture_output=True, text=True, check=False).stdout for tool in here)
    return {line for line in told.splitlines() if "drillbook" in line}


def nothing_stands(directory: Path) -> bool:
    left = standing_below(directory)
    assert not left, {run_id: str(things) for run_id, things in left.items()}
    return True


def test_after_ctrl_c_in_mid_fault(ours: Path, stranger: Any) -> None:
    with started(LIGHT_DRILL, cwd=ours) as process:
        wait_for_event(ours / "runs", "injected", process)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(90) == 130
    assert nothing_stands(ours)
    told = (ours / "output.log").read_text()
    assert "heal" in told.lower()
    assert (ours / "runs" / "latest" / "verdict.json").read_text().count('"INVALID"') == 1


def test_after_the_harness_was_killed_in_mid_fault(ours: Path, stranger: Any) -> None:
    with started(LIGHT_DRILL, cwd=ours) as process:
        wait_for_event(ours / "runs", "injected", process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        wait_for(lambda: nothing_stands(ours), within_s=240, what="the watcher to remove everything")
    # What was written until then still says that it proves nothing.
    judged = drillbook("judge", "runs/latest", cwd=ours)
    assert judged.returncode == 2
    assert judged.stdout.startswith("INVALID")


def test_after_a_failed_start(ours: Path, stranger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "READY_WITHIN_S", 0.2)
    monkeypatch.setattr(startup, "pay", lambda *_: False)  # a slow machine has its store and leader by then: no payment comes
    result = run_drill(load_drill("center-loss"), Options(runs=ours, interactive=False))
    assert result.exit_code == 3
    assert result.verdict.verdict == "INVALID"
    assert nothing_stands(ours)
    assert not (result.directory / "standing.json").exists()


def test_a_network_that_somebody_joined_is_removed_and_they_go_on(ours: Path, stranger: Any) -> None:
    """An endpoint that hangs on our network, a stranger's or one that the engine forgot, doesn't keep it."""
    client, run_id = engine.connect(), f"joined-{secrets.token_hex(3)}"
    network = client.networks.create(f"drillbook-{run_id}", internal=True, labels=engine.labels(run_id, str(ours)))
    network.connect(stranger.name)
    stranger.start()
    assert list(standing_below(ours)) == [run_id]
    assert not engine.remove(client, run_id)


def test_what_a_run_leaves_when_its_watcher_dies_too_is_told_and_removed_by_name(ours: Path) -> None:
    """As after a machine that went down: nobody removes it, so it is told, and one command removes it and nothing else."""
    with started(command("run", "center-loss"), cwd=ours) as process:
        wait_for_event(ours / "runs", "steady", process)
        (run_id,) = standing_below(ours)
        for pid in guards_of(run_id):  # first: it would remove everything
            os.kill(pid, signal.SIGKILL)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    wait_for(lambda: not guards_of(run_id), within_s=10, what="the watcher to be gone")
    (state,) = [one["state"] for one in json.loads(drillbook("status", "--json", cwd=ours).stdout) if one["run_id"] == run_id]
    assert state == "left"
    (finding,) = [f for f in json.loads(drillbook("doctor", "--json", cwd=ours).stdout) if f["subject"] == "leftovers"]
    assert finding["state"] == "degraded"
    assert run_id in finding["text"]
    client, other = engine.connect(), f"held-{secrets.token_hex(3)}"
    client.networks.create(f"drillbook-{other}", internal=True, labels=engine.labels(other, str(ours)))
    try:
        down = drillbook("down", run_id, cwd=ours)
        assert down.returncode == 0, down.stderr
        assert list(standing_below(ours)) == [other]
    finally:
        engine.remove(client, other)


def guards_of(run_id: str) -> list[int]:
    """The processes that guard a run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"harness.watcher" in words and run_id.encode() in words:
                found.append(int(process.name))
    return found
