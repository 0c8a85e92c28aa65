"""What tests with real containers share: a short drill, running the command line as a user would, and looking for leftovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.drill import Drill, payments
from harness.run import Run
from harness.runner import INTERRUPTED_EXIT, Options, Result, run_drill
from judging.evidence import Load, Targets
from runtime import engine
from runtime.cluster import Cluster
from topologies.model import Topology
from topologies.two_region_three_center import two_region_three_center

TARGETS = Targets(rto_s=60, rpo_s=0, lost_transactions=0)


def perform(
    body: Callable[[Run], None],
    runs: Path,
    *,
    sabotage: Callable[[Cluster], None] | None = None,
    load: Load | None = None,
    targets: Targets = TARGETS,
    topology: Callable[..., Topology] = two_region_three_center,
) -> Result:
    """Run a drill that exists in this test only."""
    drill = Drill(
        name="test-drill",
        claim="A drill of the tests.",
        topology=topology,
        load=load or payments(baseline_s=3),
        targets=targets,
        body=body,
    )
    result = run_drill(drill, Options(runs=runs, interactive=False, sabotage=sabotage))
    if result.exit_code == INTERRUPTED_EXIT:
        pytest.exit("interrupted, and healed", returncode=INTERRUPTED_EXIT)
    return result


def command(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("drillbook")), *arguments]


def drillbook(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


LIGHT_DRILL = [sys.executable, str(Path(__file__).with_name("light.py"))]


@contextmanager
def started(program: list[str], *, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """A program as a process of its own group, ended with the test whatever happens."""
    log = (cwd / "output.log").open("w")
    process = subprocess.Popen(program, cwd=cwd, stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.wait(10)
        log.close()


def events(runs: Path) -> list[dict[str, Any]]:
    """What the newest run has written so far."""
    path = runs / "latest" / "events.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    return [json.loads(line) for line in lines]


def wait_for_event(runs: Path, kind: str, process: subprocess.Popen[str], *, within_s: float = 180) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        for event in events(runs):
            if event["kind"] == kind:
                return event
        assert process.poll() is None, f"the run ended with {process.returncode} before the event {kind!r}"
        time.sleep(0.05)
    raise AssertionError(f"no event {kind!r} within {within_s} s; seen {[e['kind'] for e in events(runs)]}")


def standing_below(directory: Path) -> dict[str, engine.Leftovers]:
    """What carries our label and was made by a run below that directory, by run id. Whatever else stands is somebody else's."""
    client = engine.connect()
    made = [run_id for run_id, place in engine.runs(client).items() if Path(place).is_relative_to(directory)]
    found = {run_id: engine.leftovers(client, run_id) for run_id in made}
    return {run_id: left for run_id, left in found.items() if left}  # it may have gone meanwhile
