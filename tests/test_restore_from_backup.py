"""A wrong statement and the way back: what the fault says of itself, and what both judges make of a bank that went back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.agreement import compare
from faults import build
from faults.table_emptied import TableEmptied
from harness.customers import Window
from harness.handover import recompute
from judging.evidence import Evidence
from judging.sentence import one_sentence
from reports.page import render
from runtime.going_back import DROPPED, no_way_back
from tests.forger import SECOND_NS, Forger
from tests.synthetic import SCENARIOS, write_run
from tests.test_customers import Replay
from tests.test_forgeries import light
from topologies.model import Effect
from topologies.single_center import single_center
from topologies.two_region_three_center import two_region_three_center
from verifying import verifier

WENT_BACK = light(SCENARIOS["restore-from-backup"])


# --- The fault --------------------------------------------------------------------------------------------------------
def test_it_damages_the_table_and_who_refers_to_it_and_stops_nobody() -> None:
    assert TableEmptied("payments").effect(single_center()) == Effect(damaged=("payments", "entries"))
    assert TableEmptied("entries").effect(single_center()).to_json() == {"down": [], "cut": [], "damaged": ["entries"]}
    assert "damaged" not in Effect(down=("site-a",)).to_json()  # what other faults write stays as it was
    again = build("TableEmptied", TableEmptied("payments").arguments)
    assert again.effect(single_center()) == TableEmptied("payments").effect(single_center())
    assert "right before payments was emptied" in again.undo()


def test_only_what_can_be_undone_is_done() -> None:
    assert no_way_back(single_center()) is None
    with pytest.raises(ValueError, match="expected one group of databases; seen region-a, region-b"):
        TableEmptied("payments").effect(two_region_three_center())
    with pytest.raises(ValueError, match="expected one of payments, entries"):
        TableEmptied("accounts").effect(single_center())


def test_the_statement_is_told_by_the_record_of_its_commit() -> None:
    line = (
        "rmgr: Transaction len (rec/tot):    178/   178, tx:        801, lsn: 0/0404A1F8, prev 0/0404A1B8, desc: COMMIT"
        " 2026-01-15 02:00:25.061000 UTC; rels: base/16388/16401 base/16388/16410; inval msgs: catcache 55 relcache 16401"
    )
    found = DROPPED.search(line)
    assert found is not None
    assert found.groups() == ("801", "0/0404A1F8", "2026-01-15 02:00:25.061000 UTC", "base/16388/16401 base/16388/16410")
    assert DROPPED.search(line.partition("; rels")[0]) is None


def test_the_targets_follow_from_what_people_take() -> None:
    from drills.restore_from_backup import TARGETS
    from harness.takeover import DECISION_AFTER_S

    assert TARGETS.rpo_s is not None
    assert DECISION_AFTER_S < TARGETS.rpo_s < DECISION_AFTER_S + 5
    assert TARGETS.lost_transactions is None


# --- While it runs ----------------------------------------------------------------------------------------------------
def test_a_bank_that_acknowledges_on_damaged_tables_is_not_back_until_it_was_restored(tmp_path: Path) -> None:
    replay = Replay(WENT_BACK, tmp_path)
    window, customers = Window(replay.before_ns, replay.after_ns), replay.customers
    replay.tell_until(replay.before_ns + int(10.6e9))
    assert customers.restored(window)[0]  # by what customers were told
    customers.damaged.append((replay.before_ns, None))
    assert not customers.restored(window)[0]
    customers.sound_again(replay.before_ns + 12 * SECOND_NS, replay.before_ns + int(18.5e9))
    replay.tell_until(replay.before_ns + 30 * SECOND_NS)
    assert not customers.restored(window)[0]  # not for ten seconds yet
    replay.tell_until(replay.before_ns + 33 * SECOND_NS)
    assert customers.restored(window)[0]


# --- The verdict ------------------------------------------------------------------------------------------------------
def judged(directory: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both verdicts, which agree."""
    ours, theirs, differ = compare(directory)
    assert differ == []
    return ours, theirs


def test_what_was_acknowledged_out_of_damaged_tables_is_lost_and_is_no_service(tmp_path: Path) -> None:
    ours, _ = judged(write_run(tmp_path / "run", WENT_BACK))
    assert ours["verdict"] == "PASS"
    damage, measured = ours["faults"][0]["damage"], ours["measured"]
    assert damage["tables"] == ["payments", "entries"]
    assert damage["lasted_s"] == 18.5
    assert damage["acknowledged"] == measured["lost_transactions"] > 0
    assert 10 < measured["rpo_s"] < 11  # from the statement to the closed door
    assert measured["rto_s"] > 21  # from the statement on: until then nothing that was told was kept
    assert measured["interruption_s"] > 21
    assert measured["wal_bytes_lost"] is None


def test_the_sentence_and_the_page_tell_what_the_way_back_cost(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", WENT_BACK)
    _, verdict, measured = recompute(directory)
    sentence = one_sentence(measured, verdict)
    damage = measured.faults[0].damage
    assert damage is not None
    assert sentence.startswith("A wrong statement emptied payments at 02:00:25. Service was back after 22.0 s")
    assert f"What was acknowledged for 18.5 s stood on damaged tables: {damage.acknowledged} payments." in sentence
    assert f"{measured.lost_transactions} of {measured.acknowledged:,} acknowledged payments were lost" in sentence
    page = render(Evidence(directory), measured, verdict)["report.html"]
    assert "Tables that could not be trusted: payments, entries, until they were restored (18.5 s)." in page


def test_other_faults_say_nothing_of_damage(tmp_path: Path) -> None:
    ours, _ = judged(write_run(tmp_path / "run", light(SCENARIOS["center-loss"])))
    assert "damage" not in ours["faults"][0]


def read_in_vain(run: Forger, from_ns: int, to_ns: int, most: int) -> int:
    """Lets customers miss payments that stand, in reads of that time; returns how many."""
    stands = {row["key"] for row in run.table(f"copies/{run.authority}.payments.csv.gz")}
    reads = [row for row in run.table("reads.csv") if from_ns < int(row["sent_ns"]) and int(row["done_ns"]) < to_ns]
    chosen = [row for row in reads if row["key"] in stands and row["status"] != "404"][:most]
    for row in chosen:
        row["status"] = "404"
    return len(chosen)


def test_a_payment_that_is_missed_while_its_table_is_empty_is_told_and_is_no_breach(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", replace(WENT_BACK, seed=6))  # one customer looks back in time
    with Forger(directory) as run:
        restored, before_ns = run.one("restored")["data"], run.before_ns
        stands = {row["key"] for row in run.table(f"copies/{run.authority}.payments.csv.gz")}
        missed = [row for row in run.table("reads.csv") if row["status"] == "404" and row["key"] in stands]
        assert all(before_ns < int(row["done_ns"]) < restored["after_ns"] for row in missed)
    ours, _ = judged(directory)
    assert ours["verdict"] == "PASS"
    assert ours["faults"][0]["damage"]["not_found"] == len(missed) > 0


def test_a_payment_that_is_missed_before_or_after_that_is_a_stale_read(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", WENT_BACK)
    with Forger(directory) as run:
        restored = run.one("restored")["data"]
        assert read_in_vain(run, 0, run.before_ns, 1) == 1
        assert read_in_vain(run, restored["after_ns"], 1 << 62, 1) == 1
    ours, theirs = judged(directory)
    assert (ours["verdict"], theirs["verdict"]) == ("FAIL", "FAIL")
    assert any(reason.startswith("2 stale reads") for reason in ours["reasons"])
    assert theirs["breaches"] == ["2 stale reads"]


def test_a_restore_that_goes_too_far_back_is_a_breach(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", WENT_BACK)
    with Forger(directory) as run:
        paid = [row for row in run.probe if run.before_ns - 2 * SECOND_NS < int(row["done_ns"]) < run.before_ns]
        run.unbook({row["key"] for row in paid})
    ours, theirs = judged(directory)
    assert (ours["verdict"], theirs["verdict"]) == ("FAIL", "FAIL")
    words = f"{len(paid)} lost payments had been acknowledged before fault f1 damaged the tables"
    assert any(reason.startswith(words) for reason in ours["reasons"])


def no_record(run: Forger) -> None:
    """What a restore without its record leaves: the server's own log."""
    at = run.before_ns + 14 * SECOND_NS
    lines = run.log("dc2-a")
    lines.append(f"{run.wall(at)[:-1]}000Z LOG:  starting point-in-time recovery to 2026-01-15 02:00:20+00")
    lines.sort()


def went_back_unseen(run: Forger) -> None:
    for row in run.samples:
        if row["node"] == run.authority and row["in_recovery"] == "0":
            row["flush_lsn"] = str(int(row["flush_lsn"]) - (1 << 20))


@pytest.mark.parametrize("hidden", [no_record, went_back_unseen])
@pytest.mark.parametrize("story", ["center-loss", "region-loss"])
def test_a_restore_without_its_record_is_invalid(story: str, hidden: Callable[[Forger], None], tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", light(SCENARIOS[story]))
    with Forger(directory) as run:
        hidden(run)
    ours, theirs = judged(directory)
    assert (ours["verdict"], theirs["verdict"]) == ("INVALID", "INVALID")
    assert any("no restored" in reason for reason in ours["reasons"])
    assert any(doubt.startswith("restores_are_told") for doubt in theirs["doubts"])


def other(**changed: Any) -> Callable[[Forger], None]:
    return lambda run: run.one("restored")["data"].update(changed)


def earlier(run: Forger) -> None:
    """Before its own log says that it began to write again."""
    run.one("restored")["data"]["after_ns"] -= 2 * SECOND_NS


def untold(run: Forger) -> None:
    run.drop_events(lambda event: event["kind"] == "restored")


@pytest.mark.parametrize("lie", [untold, earlier, other(xid=802), other(timeline=3), other(timeline=1), other(node="dc1-b")])
def test_a_restore_that_is_told_otherwise_is_invalid(lie: Callable[[Forger], None], tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", WENT_BACK)
    with Forger(directory) as run:
        lie(run)
    assert verifier.verify(directory)["verdict"] == "INVALID"
    assert judged(directory)[0]["verdict"] == "INVALID"


def test_who_never_restored_never_served_again(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run", WENT_BACK)
    with Forger(directory) as run:
        untold(run)
    ours, _ = judged(directory)
    assert ours["faults"][0]["damage"]["lasted_s"] is None
    assert ours["faults"][0]["rto_s"] is None
