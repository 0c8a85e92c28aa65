"""What stands beside a run: whose it is, what is said of it, and that `down` removes what a dead run left."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from harness import doctor, environment, hold, leftovers
from harness.cli import main
from harness.leftovers import Ours, State, guarded, state_of, told
from judging.errors import BadInput
from runtime import engine
from runtime.database import wait_for

THINGS = engine.Leftovers(("c1", "c2"), ("n1",), ())


def ours(run_id: str, state: State, directory: Path = Path("/nowhere")) -> Ours:
    return Ours(run_id, directory, THINGS, state)


@pytest.mark.parametrize(
    ("guarded", "alive", "files", "state"),
    [
        (True, False, (), "running"),  # it starts, or is being removed
        (False, True, ("standing.json",), "held"),  # `up`
        (False, True, ("standing.json", "plan.json", "manifest.json"), "held"),  # `run --keep`
        (False, True, ("standing.json", "plan.json"), "left"),  # the harness and its watcher were killed
        (False, False, ("standing.json",), "left"),  # the machine went down
        (False, True, (), "left"),  # killed while it started, or its directory is gone
    ],
)
def test_whose_it_is(tmp_path: Path, guarded: bool, alive: bool, files: tuple[str, ...], state: State) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert state_of(tmp_path, guarded=guarded, alive=alive) == state


def test_a_watcher_guards_its_run_as_long_as_it_lives() -> None:
    with subprocess.Popen([sys.executable, "-m", "harness.watcher", "some-run"], stdin=subprocess.PIPE, text=True) as watcher:
        try:
            wait_for(lambda: "some-run" in guarded(), within_s=10, what="its command line to be told")  # empty in mid-exec
        finally:
            assert watcher.stdin is not None
            watcher.stdin.write("release\n")
            watcher.stdin.close()
            watcher.wait(30)
    assert "some-run" not in guarded()


def test_a_line_says_what_is_left_and_what_removes_it() -> None:
    assert told([]) == []
    (line,) = told([ours("dead-1", "left")])
    assert "dead-1 (2 containers, 1 networks, 0 volumes)" in line
    assert "'drillbook down dead-1' removes it" in line
    several, others = told([ours("dead-1", "left"), ours("dead-2", "left"), ours("mine", "held"), ours("his", "running")])
    assert "dead-1 (2" in several
    assert "dead-2 (2" in several
    assert "'drillbook down RUN'" in several
    assert "mine (2 containers, 1 networks, 0 volumes, held by hand)" in others
    assert "down" not in others, "what somebody holds is not to be removed"


def test_doctor_complains_of_what_a_dead_run_left_alone() -> None:
    assert doctor.left_over([]).text == "nothing carries our label"
    assert doctor.left_over([ours("mine", "held"), ours("his", "running")]).state == "ok"
    assert doctor.left_over([ours("mine", "held"), ours("dead", "left")]).state == "degraded"


def test_status_with_nothing_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "connected", lambda: None)
    monkeypatch.setattr(leftovers, "all_of_ours", lambda _: [])
    assert CliRunner().invoke(main, ["status"]).output == "nothing stands\n"


def test_status_says_whose_each_is_and_what_removes_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    described: dict[str, Any] = {"topology": "t", "door": "d", "primary": None, "faults": [], "directory": "x", "down": []}
    monkeypatch.setattr(hold, "connected", lambda: None)
    monkeypatch.setattr(leftovers, "all_of_ours", lambda _: [ours("dead", "left"), ours("mine", "held")])
    monkeypatch.setattr(hold, "status_of", lambda run_id: {"run_id": run_id, **described})
    dead, mine = CliRunner().invoke(main, ["status"]).output.splitlines()
    assert "'drillbook down dead' removes it" in dead
    assert "left" not in mine
    found = json.loads(CliRunner().invoke(main, ["status", "--json"]).output)
    assert [one["state"] for one in found] == ["left", "held"]


def test_which_topology_when_several_stand_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hold, "all_standing", lambda: {"one": Path("/a"), "other": Path("/b")})
    with pytest.raises(BadInput, match="several stand: one, other; name one"):
        hold.chosen(None)
    assert hold.chosen("other") == ("other", Path("/b"))
    monkeypatch.setattr(hold, "all_standing", dict)
    with pytest.raises(BadInput, match="nothing stands: start one"):
        hold.chosen(None)


def test_down_needs_no_record_of_what_it_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that died while it started wrote no standing.json."""
    removed: list[str] = []

    def remove(_: Any, run_id: str, **__: Any) -> engine.Leftovers:
        removed.append(run_id)
        return engine.Leftovers((), (), ())

    monkeypatch.setattr(hold, "connected", SimpleNamespace)
    monkeypatch.setattr(hold, "all_standing", lambda: {"dead": tmp_path, "mine": tmp_path})
    monkeypatch.setattr(engine, "remove_for_good", remove)
    hold.take_down("dead", say=lambda _: None)
    assert removed == ["dead"]


class Listed:
    """A container as the engine lists it; whoever asks about it itself, or removes it beside another, is caught."""

    removing = 0

    def __init__(self, name: str, stands: list[Listed]):
        self.attrs, self.id, self.stands = {"Names": [f"/{name}"], "Labels": {engine.LABEL: "mine"}}, name, stands

    def remove(self, **_: Any) -> None:
        Listed.removing += 1
        assert Listed.removing == 1, "two containers are removed at once"
        time.sleep(0.01)  # long enough for another thread to come in
        self.stands.remove(self)
        Listed.removing -= 1


def test_containers_are_removed_one_at_a_time_and_none_is_asked_about_itself() -> None:
    """Engines before 23 lock up when two leave a network at once, and then hang on whoever asks about one of them."""
    stands: list[Listed] = []
    stands += [Listed(f"drillbook-1-{name}", stands) for name in ("a", "b", "c", "d")]

    def listed(*, sparse: bool = False, **_: Any) -> list[Listed]:
        assert sparse, "each container is asked about itself: one that the engine hangs on would hold up every run"
        return list(stands)

    nothing = SimpleNamespace(list=lambda **_: [])
    client: Any = SimpleNamespace(containers=SimpleNamespace(list=listed), networks=nothing, volumes=nothing)
    assert engine.leftovers(client).containers == ("drillbook-1-a", "drillbook-1-b", "drillbook-1-c", "drillbook-1-d")
    assert engine.runs(client) == {"mine": ""}
    assert not engine.remove(client, "mine")
    assert not stands


def test_an_engine_that_hangs_is_told_with_what_to_do() -> None:
    told_of_it = engine.brief(requests.ReadTimeout("UnixHTTPConnectionPool(host='localhost', port=None): Read timed out."))
    assert "did not answer within 60 s" in told_of_it
    assert "restart it" in told_of_it


def test_doctor_complains_of_memory_cgroups_that_containers_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory" / "one").mkdir(parents=True)
    (tmp_path / "cgroups").write_text("#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t2\t1\nmemory\t4\t1827\t1\n")
    assert environment.dying_cgroups(tmp_path / "cgroups", tmp_path) == 1825
    assert environment.dying_cgroups(tmp_path / "nowhere", tmp_path / "nowhere") is None
    (tmp_path / "cgroup.stat").write_text("nr_descendants 3\nnr_dying_descendants 12\n")
    assert environment.dying_cgroups(tmp_path / "cgroups", tmp_path) == 12
    for seen, states in ((1825, ["degraded"]), (12, ["ok"]), (None, [])):
        monkeypatch.setattr(doctor, "dying_cgroups", lambda seen=seen: seen)
        assert [finding.state for finding in doctor.cgroups()] == states
