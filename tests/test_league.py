"""Managers side by side: what a cell says, which runs are in it, and what the page and the terminal show of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from analysis.league import broke, manager_of_plan
from analysis.league import league as put_together
from drills.center_loss import test_center_loss as center_loss
from harness import league
from harness.cli import main
from harness.runner import Options
from judging.errors import BadInput
from reports.league import league_page
from runtime.manager import managers
from tests.synthetic import SCENARIOS, write_run
from tests.test_forgeries import light
from tests.test_many import many, run

DRILL = center_loss.drill
SCENARIO = light(SCENARIOS["center-loss"])


def cells(**rows: Any) -> Any:
    table = {("center-loss", name.replace("_", "-")): of for name, of in rows.items()}
    settings = {"manager": "patroni", "synchronous": "strict", "synchronous_node_count": 2}
    return put_together(table, topology="two-region-three-center", settings=settings, managers=[name for _, name in table])


def test_a_cell_counts_every_run_and_says_what_broke() -> None:
    rows = [*many(6), run(6, None, verdict="FAIL"), run(7, None, verdict="INVALID")]
    found = cells(patroni=rows, by_hand=many(2), repmgr=[])
    assert found.settings == {"synchronous": "strict", "synchronous_node_count": 2}
    cell, thin = found.cell("center-loss", "patroni"), found.cell("center-loss", "by-hand")
    assert cell is not None
    assert thin is not None
    assert (cell.thin, thin.thin) == (False, True)
    assert cell.runs.verdicts == {"PASS": 6, "FAIL": 1, "INVALID": 1}
    assert [one.split(":")[0] for one in cell.broke] == ["1 FAIL", "1 INVALID"]
    assert found.cell("center-loss", "repmgr") is None


def test_reasons_that_differ_in_a_figure_are_one() -> None:
    rows = [run(n, 31.0 + n, verdict="FAIL").model_copy(update={"reasons": [f"RTO {31 + n}.0 s misses"]}) for n in range(3)]
    assert broke(rows) == ["3 FAIL: RTO 31.0 s misses"]


def test_the_terminal_and_the_page_show_each_cell_and_the_empty_one() -> None:
    found = cells(patroni=[*many(6), run(6, None, verdict="FAIL")], repmgr=[])
    lines = league.told(found).splitlines()
    assert lines[0].startswith("center-loss")
    assert lines[1].split()[:4] == ["patroni", "6", "1", "0"]
    assert lines[1].split()[-2:] != ["few", "runs"]
    assert any(line.split() == ["repmgr", "not", "drilled"] for line in lines)
    page = league_page(found)
    assert "not drilled" in page
    assert page.count("report.html") == 7
    assert "synchronous=strict" in page


def test_the_table_takes_all_runs_of_the_same_settings_and_no_other(tmp_path: Path) -> None:
    """Runs by another load, other settings or another manager are in no cell, or in their own."""
    runs = tmp_path / "runs"
    for number, change in enumerate(({}, {"ttl_s": 40}, {"manager": "by-hand"}, "load")):
        directory = write_run(runs / "center-loss" / f"2026011{number}T020000Z", replace(SCENARIO))
        plan = json.loads((directory / "plan.json").read_text())
        topology = DRILL.topology(**(change if isinstance(change, dict) else {}))
        plan |= {"topology": topology.to_json(), "load": DRILL.load.model_dump(mode="json")}
        if change == "load":
            plan["load"]["customers"] = 80
        (directory / "plan.json").write_text(json.dumps(plan))
        (directory / "verdict.json").unlink(missing_ok=True)
    for number, damaged in enumerate(("{", "[]", '{"drill": "center-loss", "topology": {"groups": [{"manager": "patroni"}]}}')):
        (runs / "center-loss" / f"damaged-{number}").mkdir()
        (runs / "center-loss" / f"damaged-{number}" / "plan.json").write_text(damaged)
    found = league.table([DRILL], Options(runs=runs), ["patroni", "by-hand", "repmgr"], runs)
    assert {cell.manager: [row.run for row in cell.runs.runs] for cell in found.cells} == {
        "patroni": ["20260110T020000Z"], "by-hand": ["20260112T020000Z"],
    }  # fmt: skip
    page = league.write_league(found, runs, "now")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert json.loads(page.with_suffix(".json").read_text())["drills"] == ["center-loss"]


def test_who_decides_stands_in_the_plan() -> None:
    plan = {"topology": DRILL.topology(manager="by-hand").to_json()}
    assert manager_of_plan(plan) == "by-hand"
    assert manager_of_plan({}) is None


def test_all_managers_or_some_that_there_are() -> None:
    assert league.chosen("all") == sorted(managers())
    assert league.chosen("patroni,by-hand") == ["patroni", "by-hand"]
    with pytest.raises(BadInput, match=r"expected all, or some of by-hand, .*; seen 'pacemaker'"):
        league.chosen("patroni,pacemaker")
    with pytest.raises(BadInput, match="expected each once"):
        league.chosen("patroni,patroni")


def test_bad_words_are_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def said(*words: str) -> str:
        found = CliRunner().invoke(main, ["compare", *words])
        return f"{found.output}{found.exception}"

    plain = "synchronous: expected one of strict, quorum, off where people decide; seen 'plain'"
    assert plain in said("node-kill", "--managers", "patroni,by-hand", "--set", "synchronous=plain")
    assert "leave --set manager=… out" in said("node-kill", "--managers", "all", "--set", "manager=patroni")
    assert "which is for --managers alone" in said("node-kill", "--set", "synchronous=strict,off", "--faults", "0")


def test_a_table_without_runs_is_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(main, ["compare", "node-kill", "--managers", "all", "--faults", "0", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["cells"] == []
