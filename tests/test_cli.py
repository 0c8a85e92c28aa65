"""The command line's own words: what is wrong, what there is, in one line, with the contract's exit codes."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from tests.laboratory import drillbook
from tests.synthetic import main as write_synthetic


def test_list_names_every_drill_with_its_claim(tmp_path: Path) -> None:
    listed = json.loads(drillbook("list", "--json", cwd=tmp_path).stdout)
    names = {"center-loss", "region-loss", "planned-switchover", "node-kill", "link-cut", "disk-corruption"}
    assert names <= {one["drill"] for one in listed}
    assert all(one["claim"].endswith(".") for one in listed)


def test_a_wrong_drill_name_says_what_there_is(tmp_path: Path) -> None:
    for wrong, hint in (
        ("center-los", "there are active-side-loss, asym"),
        ("center_loss", "did you mean center-loss?"),
    ):
        refused = drillbook("run", wrong, cwd=tmp_path)
        assert refused.returncode == 3
        assert hint in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_taken_port_says_so_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = drillbook("run", "center-loss", "--port", str(port), cwd=tmp_path)
    assert refused.returncode == 3
    assert f"port {port} on 127.0.0.1 is taken" in refused.stderr
    assert not (tmp_path / "runs").exists()


def test_a_missing_engine_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    refused = drillbook("run", "center-loss", cwd=tmp_path)
    assert refused.returncode == 3
    assert "no Docker engine answers" in refused.stderr
    assert "make drill" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_too_little_memory_says_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness import environment
    from judging.errors import CouldNotStart

    monkeypatch.setattr(environment, "memory_available_mib", lambda: 100)
    with pytest.raises(CouldNotStart, match="3000 MiB, 100 MiB are available"):
        environment.check_memory()


@pytest.mark.parametrize(("setting", "said"), [("red=1", "no setting 'red'"), ("ttl_s=5", "at least 20"), ("x", "NAME=VALUE")])
def test_a_wrong_setting_says_what_was_expected(tmp_path: Path, setting: str, said: str) -> None:
    refused = drillbook("plan", "center-loss", "--set", setting, cwd=tmp_path)
    assert refused.returncode == 3
    assert said in refused.stderr


def test_judged_again_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write_synthetic([str(tmp_path / "here")]) == 0
    assert drillbook("judge", "here", cwd=tmp_path).returncode == 0
    (tmp_path / "far").mkdir()
    shutil.copytree(tmp_path / "here", tmp_path / "far" / "copy")
    first = (tmp_path / "here" / "verdict.json").read_bytes()
    (tmp_path / "far" / "copy" / "verdict.json").unlink()
    assert drillbook("judge", "copy", cwd=tmp_path / "far").returncode == 0
    assert (tmp_path / "far" / "copy" / "verdict.json").read_bytes() == first


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    refused = drillbook("judge", ".", cwd=tmp_path)
    assert refused.returncode == 2
    assert "is not a run" in refused.stderr


def test_plan_says_what_a_drill_would_do() -> None:
    told = CliRunner().invoke(main, ["plan", "disk-corruption"])
    assert told.exit_code == 0, told.output
    body = json.loads(told.output)["body"]
    assert body[0] == {
        "kind": "fault",
        "name": "BitsFlipped",
        "target": "primary",
        "args": {"relation": "entries", "node": "primary", "page": 0},
    }
    assert [one["name"] for one in body if one["kind"] == "step"] == [
        "move the primary to a clean copy",
        "rebuild the damaged node",
    ]
