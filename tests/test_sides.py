"""Two centers with customers of their own: whose payment it is, what the door is given, and what each side saw."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.expected import Stands, derive
from harness.handover import recompute
from harness.verification import verify
from judging.judge import verdict_json
from judging.sentence import one_sentence
from reports.page import render
from runtime import nodes
from tests.synthetic import reseal, write_run
from tests.test_managers import addresses_of
from topologies.active_active_city import active_active_city
from topologies.hybrid_cloud import hybrid_cloud
from verifying import verifier

TOPOLOGY = active_active_city()


def stripped(lines: str) -> list[str]:
    return [line.strip() for line in lines.splitlines()]


@pytest.mark.parametrize(
    ("key", "odd"),
    [
        ("drill-20260115T020000Z-abcd-p-0000000", False),
        ("drill-20260115T020000Z-abcd-p-0000013", True),
        ("drill-20260115T020000Z-abcd-c-4-0000013", False),  # a customer stays where it belongs, whatever it pays
        ("drill-20260115T020000Z-abcd-c-15-0000002", True),
        ("drill-20260115T020000Z-abc1-ready-1", False),
        ("observer-c-7", False),
    ],
)
def test_whose_a_payment_is_stands_in_its_key(key: str, odd: bool) -> None:
    assert bool(re.search(nodes.ODD, key)) is odd


def test_each_side_has_customers_of_its_own_and_the_other_stands_in() -> None:
    addresses = addresses_of(TOPOLOGY)
    lines = stripped(nodes.door(addresses).environment["CONFIG"])
    assert "use_backend side-city-2 if odd" in lines
    assert "default_backend side-city-1" in lines
    at = {c: f"{addresses.seen_from(c, f'{c}-bank')}:8080" for c in ("city-1", "city-2", "remote")}
    for own, other in (("city-1", "city-2"), ("city-2", "city-1")):
        start = lines.index(f"backend side-{own}")
        assert lines[start + 2 : start + 5] == [
            f"server {own} {at[own]} track bank/{own}",
            f"server {other} {at[other]} track bank/{other} backup",
            f"server remote {at['remote']} track bank/remote backup",
        ]
    assert f"server remote {at['remote']} check disabled" in lines


def test_a_bank_reads_beside_it_only_where_it_has_customers_of_its_own() -> None:
    addresses = addresses_of(TOPOLOGY)
    bank = nodes.program(addresses, TOPOLOGY.node("city-2-bank"))
    assert bank.environment["NEAREST"] == f"city-2-haproxy:{nodes.NEAREST_PORT}"
    lines = stripped(nodes.program(addresses, TOPOLOGY.node("city-2-haproxy")).environment["CONFIG"])
    start = lines.index("listen nearest")
    assert [line for line in lines[start:] if line.startswith("server ")] == [
        "server city-2-a city-2-a:5432 check",
        "server city-2-b city-2-b:5432 check",
    ]
    other = hybrid_cloud()
    assert "NEAREST" not in nodes.program(addresses_of(other), other.node("private-bank")).environment


def test_sides_are_two_and_nobody_is_dealt_in_turns_as_well() -> None:
    door = TOPOLOGY.door
    with pytest.raises(
        ValueError, match="expected two open centers where each side has customers of its own, or no sides; seen 1"
    ):
        replace(TOPOLOGY, door=replace(door, centers=door.centers[:1]))
    with pytest.raises(ValueError, match="seen 2 open centers, and customers dealt in turns"):
        replace(TOPOLOGY, door=replace(door, spread=True))


def test_the_loss_of_a_side_moves_its_customers() -> None:
    stands = Stands.of(TOPOLOGY.to_json(), {"city": True, "last-resort": False})
    found = derive(stands, [node.name for node in TOPOLOGY.center("city-2").nodes], [])
    assert (found.kind, found.loss) == ("pause", "none")


def with_sides(directory: Path, *, spare: str = "") -> Path:
    """A run in which service was gone for 22 s, where the door has sides; `spare`: digits of the side for which all went well."""
    run = write_run(directory)
    plan = json.loads((run / "plan.json").read_text())
    plan["topology"]["door"] = {"centers": ["dc1", "dc2"], "closed": ["dc3"], "sides": True}
    (run / "plan.json").write_text(json.dumps(plan, indent=2) + "\n")
    with (run / "probe.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["key"][-1] in spare:
            done_ns = int(row["sent_ns"]) + 20_000_000
            row.update(status="201", outcome="acknowledged", done_ns=str(done_ns), error="")
    with (run / "probe.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    reseal(run)
    return run


def test_both_judges_tell_what_each_side_saw(tmp_path: Path) -> None:
    run = with_sides(tmp_path / "run", spare="02468")
    _, verdict, measurement = recompute(run)
    first, second = measurement.faults[0].sides
    assert (first.center, first.rto_s, first.availability) == ("dc1", 0.0, 1.0)
    assert second.center == "dc2"
    assert second.rto_s is not None
    assert 21.5 < second.rto_s < 22.5
    assert second.interruption_s is not None
    assert 21.5 < second.interruption_s < 22.5
    assert second.availability is not None
    assert 0.3 < second.availability < 0.5
    assert verdict.faults[0].sides == [first, second]
    found = verify(run)
    assert [name for name in found.compared if name.startswith("f1.dc")] == [
        f"f1.{center}.{name}" for center in ("dc1", "dc2") for name in ("availability", "interruption_s", "rto_s")
    ]
    assert [one for one in found.differences if one.what.startswith("f1.")] == []


def test_the_reader_is_told_by_side(tmp_path: Path) -> None:
    run = with_sides(tmp_path / "run", spare="13579")
    evidence, verdict, measurement = recompute(run)
    sentence = one_sentence(measurement, verdict)
    assert re.search(r"By side: dc1 2\d\.\d s, dc2 0 s\.", sentence)
    page = render(evidence, measurement, verdict)["report.html"]
    assert "Each side&#39;s customers, by the same rule" in page or "Each side's customers, by the same rule" in page


@pytest.mark.parametrize(
    "door", [{"sides": True}, {"sides": True, "centers": ["dc1"]}, {"sides": True, "centers": "ab"}, None, [1]]
)
def test_a_door_that_is_none_is_no_error_and_no_pass(door: object, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    plan = json.loads((run / "plan.json").read_text())
    plan["topology"]["door"] = door
    (run / "plan.json").write_text(json.dumps(plan))
    reseal(run)
    judged, second = recompute(run)[1], verifier.verify(run)
    assert judged.verdict == second["verdict"] == "INVALID"
    if isinstance(door, dict):
        assert any("two sides" in reason for reason in judged.reasons)
        assert any(doubt.startswith("sides:") for doubt in second["doubts"])


def test_a_run_without_sides_has_no_word_of_them(tmp_path: Path) -> None:
    _, verdict, _ = recompute(write_run(tmp_path / "run"))
    assert "sides" not in verdict_json(verdict)
