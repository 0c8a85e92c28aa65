"""Each system of tests/liars lies for real, on Docker, and none gets PASS. `make nightly` runs them all."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import pytest

from faults.node_killed import NodeKilled
from harness.conditions import service_restored
from harness.run import Run
from judging.evidence import Targets
from tests import liars
from tests.laboratory import perform


def found() -> dict[str, ModuleType]:
    modules = [importlib.import_module(f"tests.liars.{info.name}") for info in pkgutil.iter_modules(liars.__path__)]
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "VERDICT")}


LIARS = found()


def kill_a_bystander(run: Run) -> None:
    """A fault that customers do not notice."""
    with run.fault(NodeKilled("dc2-haproxy")):
        run.until(service_restored, within_s=60)


@pytest.mark.parametrize("name", LIARS)
def test_every_liar_says_what_lies_and_how_it_is_caught(name: str) -> None:
    text = LIARS[name].__doc__ or ""
    assert "Caught by" in text
    assert LIARS[name].VERDICT in ("FAIL", "INVALID")
    assert hasattr(LIARS[name], "sabotage") or hasattr(LIARS[name], "body")


@pytest.mark.docker
@pytest.mark.nightly
@pytest.mark.parametrize("name", LIARS)
def test_no_liar_passes(name: str, tmp_path: Path) -> None:
    liar = LIARS[name]
    where = {"topology": liar.topology, "targets": Targets(lost_transactions=0)} if hasattr(liar, "topology") else {}
    result = perform(getattr(liar, "body", kill_a_bystander), tmp_path, sabotage=getattr(liar, "sabotage", None), **where)
    told = "\n".join(result.verdict.reasons)
    assert result.verdict.verdict == liar.VERDICT, told
    assert re.search(liar.CAUGHT_BY, told, flags=re.MULTILINE), told
