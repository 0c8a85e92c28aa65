"""The load: real probe and customer processes against the stand-in's process. No test asserts a wall-clock figure."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.instrument import ROOT, Standin, Truth
from benchmarks.stops import stops
from judging.evidence import PAYMENT_COLUMNS, READ_COLUMNS, LedgerCount, ProbeCount
from load import ledger

INTERVAL_NS = 10_000_000
PATIENCE_S = 20.0
Row = dict[str, str]


@pytest.fixture
def standin() -> Iterator[Standin]:
    running = Standin()
    yield running
    running.end()


class Load:
    """A probe or customers process."""

    def __init__(self, kind: str, door: str, out: Path, *more: str, seed: int = 1, run_id: str = "run") -> None:
        self.out = out
        common = ["--door", door, "--out", str(out), "--run-id", run_id, "--seed", str(seed)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"load.{kind}", *common, "--parent-pid", str(os.getpid()), *more],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self) -> Load:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", f"expected 'ready', seen {line!r}"
        return self

    def stop(self, number: int = signal.SIGTERM) -> str:
        """Ends it in order; returns what it said on stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0, said
        return said

    def rows(self, name: str) -> list[Row]:
        with (self.out / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def probe_rows(self) -> list[Row]:
        return sorted(self.rows("probe.csv"), key=lambda row: row["key"])

    def probe_count(self) -> ProbeCount:
        return ProbeCount.model_validate_json((self.out / "probe.json").read_text(encoding="utf-8"))

    def ledger_count(self) -> LedgerCount:
        return LedgerCount.model_validate_json((self.out / "ledger.json").read_text(encoding="utf-8"))


def probe_through(standin: Standin, out: Path, *outages: tuple[str, float], timeout_s: float = 3.0) -> tuple[Load, list[Truth]]:
    """The probe's whole run through outages, one after the other, stopped in order at the end."""
    probe = Load("probe", standin.door, out, "--timeout-s", str(timeout_s)).ready()
    truths = []
    for mode, seconds in outages:
        time.sleep(0.3)
        truths.append(standin.outage(mode, seconds))
    time.sleep(0.3)
    probe.stop()
    return probe, truths


def within(rows: list[Row], truth: Truth, *, by: str = "sent_ns") -> list[Row]:
    return [row for row in rows if truth.began_ns < int(row[by]) < truth.ended_ns]


def arrivals(standin: Standin) -> dict[str, int]:
    standin.tell("received")
    keys: dict[str, int] = standin.hear("received")["keys"]
    return keys


def eventually(seen: Any) -> Any:
    """Ask until the answer is truthy; a test that waits in vain fails here."""
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := seen()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return answer


def test_the_columns_are_those_of_the_harness() -> None:
    assert ledger.PAYMENT_COLUMNS == PAYMENT_COLUMNS


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((status, "acknowledged") for status in (200, 201)),
        *((status, "refused") for status in (409, 422, 503)),
        *((status, "unknown") for status in (202, 302, 404, 500, 502, 504, None)),
    ],
)
def test_outcome_of_a_status(status: int | None, outcome: str) -> None:
    assert ledger.outcome(status) == outcome


def test_an_error_stays_on_one_line(tmp_path: Path) -> None:
    book = ledger.Ledger(tmp_path / "ledger.csv")
    book.add(ledger.Row("k", 1, 2, 3, None, ledger.Transfer("a", "b", 5), 'no,\n "answer"'))
    book.close()
    lines = (tmp_path / "ledger.csv").read_text(encoding="utf-8").splitlines()
    assert lines[1] == 'k,1,2,3,,unknown,a,b,5,"no, ""answer"""'
    assert book.recorded == 1


@pytest.fixture(scope="module")
def hung(tmp_path_factory: pytest.TempPathFactory) -> tuple[Load, Truth, dict[str, int]]:
    """A probe with a patience of 1 s, through a hang of 2 s."""
    standin = Standin()
    probe, (truth,) = probe_through(standin, tmp_path_factory.mktemp("hung"), ("hang", 2.0), timeout_s=1.0)
    seen = arrivals(standin)
    standin.end()
    return probe, truth, seen


def test_every_scheduled_payment_is_recorded(hung: tuple[Load, Truth, dict[str, int]]) -> None:
    probe, _, _ = hung
    rows, counts = probe.probe_rows(), probe.probe_count()
    assert counts.completed
    assert counts.scheduled == counts.recorded == len(rows)
    assert [row["key"] for row in rows] == [f"run-p-{n:07d}" for n in range(len(rows))]
    assert counts.late_ms_max == max(int(row["sent_ns"]) - int(row["due_ns"]) for row in rows) / 1e6
    assert counts.started_ns == int(rows[0]["due_ns"])


def test_a_hang_does_not_slow_the_schedule(hung: tuple[Load, Truth, dict[str, int]]) -> None:
    """The open loop: payments fall due every 10 ms, to the nanosecond, and each is sent, through a hang of 2 s too."""
    probe, truth, seen = hung
    rows = probe.probe_rows()
    due = [int(row["due_ns"]) for row in rows]
    assert {later - earlier for earlier, later in pairwise(due)} == {INTERVAL_NS}
    assert len(within(rows, truth, by="due_ns")) >= (truth.ended_ns - truth.began_ns) // INTERVAL_NS
    assert set(seen) == {row["key"] for row in rows}


def test_who_waits_too_long_is_given_up_as_unknown(hung: tuple[Load, Truth, dict[str, int]]) -> None:
    probe, truth, _ = hung
    rows = probe.probe_rows()
    given_up = [row for row in rows if row["error"] == "no answer within 1 s"]
    assert given_up
    assert all(row["status"] == "" and row["outcome"] == "unknown" for row in given_up)
    assert all(int(row["done_ns"]) - int(row["sent_ns"]) >= 1_000_000_000 for row in given_up)
    answered = [row for row in within(rows, truth) if row["outcome"] == "acknowledged"]
    assert all(int(row["done_ns"]) > truth.ended_ns for row in answered)  # one may have been on its way at the end


def test_late_answers_are_recorded_late(standin: Standin, tmp_path: Path) -> None:
    probe, (truth,) = probe_through(standin, tmp_path, ("stall", 1.0))
    rows = probe.probe_rows()
    stalled = within(rows, truth)
    assert {row["outcome"] for row in rows} == {"acknowledged"}
    assert stalled
    assert all(int(row["done_ns"]) > truth.ended_ns for row in stalled)


def test_each_status_is_classified(standin: Standin, tmp_path: Path) -> None:
    statuses = (200, 404, 409, 422, 500, 503)
    probe, truths = probe_through(standin, tmp_path, *((f"status-{status}", 0.2) for status in statuses))
    rows = probe.probe_rows()
    for status, truth in zip(statuses, truths, strict=True):
        answered = Counter((row["status"], row["outcome"]) for row in within(rows, truth))
        assert answered.most_common(1)[0][0] == (str(status), ledger.outcome(status))
    assert all(row["outcome"] == ledger.outcome(int(row["status"])) for row in rows)


def test_the_outage_measured_covers_the_true_one(standin: Standin, tmp_path: Path) -> None:
    """Nothing is acknowledged in an outage, everything sent after it is, and the first was due within an interval."""
    probe, truths = probe_through(standin, tmp_path, ("refuse", 0.3), ("reset", 0.3), ("hang", 1.0), ("down", 0.3))
    rows, counts = probe.probe_rows(), probe.probe_count()
    tolerance_ns = INTERVAL_NS + int(counts.late_ms_max * 1e6) + 1
    for truth in truths:
        acknowledged = [row for row in within(rows, truth) if row["outcome"] == "acknowledged"]
        assert all(int(row["done_ns"]) > truth.ended_ns for row in acknowledged), truth.mode
        if truth.mode != "down":  # its end is noted just before the socket listens again
            after = [row for row in rows if truth.ended_ns < int(row["sent_ns"]) < truth.ended_ns + 200_000_000]
            assert {row["outcome"] for row in after} == {"acknowledged"}, truth.mode
            assert int(after[0]["sent_ns"]) - truth.ended_ns <= tolerance_ns, truth.mode
    assert set(arrivals(standin).values()) == {1}, "a payment was sent again"


def test_rows_can_be_read_while_it_runs(standin: Standin, tmp_path: Path) -> None:
    probe = Load("probe", standin.door, tmp_path).ready()
    eventually(lambda: len((tmp_path / "probe.csv").read_bytes().splitlines()) > 20)
    assert not (tmp_path / "probe.json").exists()
    probe.stop(signal.SIGINT)
    assert probe.probe_count().completed


def test_the_seed_decides_who_pays_whom(standin: Standin, tmp_path: Path) -> None:
    paid = []
    probes = [Load("probe", standin.door, tmp_path / str(n), seed=seed) for n, seed in enumerate((1, 1, 2))]
    for probe in probes:
        probe.ready()
        eventually(lambda probe=probe: len(probe.rows("probe.csv")) > 20)
        probe.stop()
        paid.append([(row["debit"], row["credit"], row["amount_minor"]) for row in probe.probe_rows()][:20])
    assert paid[0] == paid[1] != paid[2]


@pytest.mark.parametrize(("kind", "count"), [("probe", "probe.json"), ("customers", "ledger.json")])
def test_it_ends_in_order_when_its_parent_dies(kind: str, count: str, standin: Standin, tmp_path: Path) -> None:
    parent = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, '-m', *sys.argv[1:], '--parent-pid', "
        "str(os.getpid())]); sys.stdin.read()"
    )
    common = ["--door", standin.door, "--out", str(tmp_path), "--run-id", "run", "--seed", "1"]
    with subprocess.Popen(
        [sys.executable, "-c", parent, f"load.{kind}", *common],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    eventually((tmp_path / count).exists)
    assert json.loads((tmp_path / count).read_text(encoding="utf-8"))["completed"] is True


@pytest.mark.parametrize("kind", ["probe", "customers"])
def test_it_ends_in_order_when_stdin_ends(kind: str, standin: Standin, tmp_path: Path) -> None:
    load = Load(kind, standin.door, tmp_path, "--stop-on-eof").ready()
    load.process.communicate(timeout=PATIENCE_S)
    assert load.process.returncode == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "nonsense", "http://:80", "http://h:x", "http://h/path"])
def test_a_door_is_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ledger.CouldNotStart, match=r"expected|--door"):
        ledger.Door.parse(url)


def test_a_name_is_resolved_to_where_the_door_listens(standin: Standin) -> None:
    port = ledger.Door.parse(standin.door).port
    assert ledger.Door("localhost", port).resolve(timeout_s=3)[1] == ("127.0.0.1", port)


@pytest.mark.parametrize("kind", ["probe", "customers"])
def test_without_a_door_it_does_not_start(kind: str, tmp_path: Path) -> None:
    load = Load(kind, "http://127.0.0.1:1", tmp_path)
    said, complained = load.process.communicate(timeout=PATIENCE_S)
    assert (load.process.returncode, said) == (3, "")
    assert len(complained.splitlines()) == 1
    assert "expected" in complained
    assert "seen" in complained


def test_evidence_of_another_run_is_not_overwritten(standin: Standin, tmp_path: Path) -> None:
    (tmp_path / "probe.csv").write_text("evidence\n", encoding="utf-8")
    load = Load("probe", standin.door, tmp_path)
    load.process.communicate(timeout=PATIENCE_S)
    assert load.process.returncode == 3
    assert (tmp_path / "probe.csv").read_text(encoding="utf-8") == "evidence\n"


def test_locust_and_the_ledger_count_the_same_through_failures(standin: Standin, tmp_path: Path) -> None:
    """Refused, reset, given up, no socket, and stopped in the middle of a hang: one row and one count each."""
    customers = Load("customers", standin.door, tmp_path, "--rate", "80", "--timeout-s", "0.5").ready()
    for mode, seconds in (("refuse", 0.4), ("reset", 0.4), ("stall", 0.9), ("down", 0.4)):
        time.sleep(0.3)
        standin.outage(mode, seconds)
    time.sleep(0.3)
    standin.tell("outage hang 3")
    standin.hear("began")
    time.sleep(0.2)
    customers.stop()
    standin.hear("ended")
    rows, counts = customers.rows("ledger.csv"), customers.ledger_count()
    assert counts.completed
    assert counts.recorded == counts.locust_requests == len(rows) == len({row["key"] for row in rows})
    reads = customers.rows("reads.csv")
    assert counts.reads == len(reads) > 0
    assert counts.looks > counts.reads
    own_last_acknowledged(rows, reads)
    assert {row["outcome"] for row in rows} == {"acknowledged", "refused", "unknown"}
    # Who gave up waiting says so: what the door passes on to it after that is no contradiction.
    assert any(row["error"].startswith("timed out: ") for row in rows)
    assert all(row["error"].startswith(("timed out", "ended before")) for row in rows if "timed out" in row["error"])
    seen = arrivals(standin)
    assert set(seen.values()) == {1}, "a payment was sent again"
    assert set(seen) <= {row["key"] for row in rows}
    assert all(row["key"] in seen for row in rows if row["status"])


def own_last_acknowledged(rows: list[Row], reads: list[Row]) -> None:
    """Each read is of what its customer had been told last, and that customer does nothing else meanwhile."""
    for read in reads:
        customer = read["key"].rpartition("-")[0]
        theirs = [row for row in rows if row["key"].rpartition("-")[0] == customer]
        before = [row for row in theirs if int(row["done_ns"]) <= int(read["sent_ns"])]
        told = [row for row in before if row["outcome"] == "acknowledged"]
        assert read["key"] == max(told, key=lambda row: int(row["done_ns"]))["key"]
        assert len(before) == sum(int(row["sent_ns"]) <= int(read["done_ns"]) for row in theirs)


def test_what_is_read_back_is_the_seeds_and_draws_nothing(standin: Standin, tmp_path: Path) -> None:
    """Every second look, from the second on; the payments are drawn as if there were no reads."""
    customers = Load("customers", standin.door, tmp_path, "--rate", "200", "--customers", "1", "--pay-share", "0.5").ready()
    eventually(lambda: len(customers.rows("ledger.csv")) > 60)
    customers.stop()
    rows, reads = customers.rows("ledger.csv"), customers.rows("reads.csv")
    accounts = ledger.Door.parse(standin.door).accounts(timeout_s=3, patience_s=10)
    choice, looks, expected = random.Random("1-customer-0"), 0, []
    choice.uniform(0, 1)
    for number, row in enumerate(rows):
        while choice.random() >= 0.5:
            choice.choice(accounts)
            if looks % 2 and number:
                expected.append(rows[number - 1]["key"])
            looks += 1
        debit, credit = choice.sample(accounts, 2)
        assert (row["debit"], row["credit"], int(row["amount_minor"])) == (debit, credit, choice.randint(1, 1000))
    assert [read["key"] for read in reads][: len(expected)] == expected
    assert {read["status"] for read in reads} == {"200"}


def test_customers_do_the_same_for_the_same_seed(standin: Standin, tmp_path: Path) -> None:
    paid = []
    few = ("--rate", "200", "--customers", "2")
    started = [Load("customers", standin.door, tmp_path / str(n), *few, seed=seed) for n, seed in enumerate((1, 1, 2))]
    for customers in started:
        customers.ready()
        eventually(lambda customers=customers: len(customers.rows("ledger.csv")) > 40)
        customers.stop()
        rows = customers.rows("ledger.csv")
        paid.append({row["key"]: row["debit"] for row in rows if row["key"] <= "run-c-0-0000009"})
    assert paid[0] == paid[1] != paid[2]
    assert len(paid[0]) == 10


def test_no_customers_at_rate_0(standin: Standin, tmp_path: Path) -> None:
    customers = Load("customers", standin.door, tmp_path, "--rate", "0").ready()
    customers.stop()
    counts = customers.ledger_count()
    assert (counts.recorded, counts.locust_requests, counts.looks, counts.completed) == (0, 0, 0, True)
    assert (tmp_path / "ledger.csv").read_text(encoding="utf-8") == ",".join(PAYMENT_COLUMNS) + "\n"
    assert (tmp_path / "reads.csv").read_text(encoding="utf-8") == ",".join(READ_COLUMNS) + "\n"


@pytest.mark.parametrize(("mode", "count"), [("slow-4", 40), ("hang", 2), ("drip", 2)])
def test_at_a_stop_three_records_agree(mode: str, count: int, tmp_path: Path) -> None:
    """The door's arrivals, the ledger and Locust's count, whenever customers are stopped and whatever they wait for."""
    seen = stops(tmp_path, mode=mode, count=count)
    assert [stop.number for stop in seen] == list(range(count))
    assert not [stop for stop in seen if not stop.agrees]
    assert all(stop.completed for stop in seen)
    outcomes = {name for stop in seen for name in stop.outcomes}
    assert outcomes == ({"acknowledged"} if mode == "slow-4" else {"unknown"})
    assert any(stop.arrived for stop in seen)


@pytest.mark.parametrize(("kind", "name"), [("probe", "probe.csv"), ("customers", "ledger.csv")])
def test_a_recorder_that_is_killed_loses_no_acknowledged_row(kind: str, name: str, standin: Standin, tmp_path: Path) -> None:
    """SIGKILL at any moment: whatever answer the process had read before it did something else stands in its file."""
    choice = random.Random(5)
    options = {"probe": ("--interval-ms", "1"), "customers": ("--rate", "400", "--pay-share", "1")}[kind]
    for number in range(4):
        load = Load(kind, standin.door, tmp_path / str(number), *options, run_id=f"kill-{number}").ready()
        time.sleep(choice.uniform(0.2, 0.5))
        load.process.kill()
        load.process.communicate(timeout=PATIENCE_S)  # its scribe holds the same pipes, and has ended when they do
        standin.tell("received")
        read = {key for key in standin.hear("received")["read"] if key.startswith(f"kill-{number}-")}
        assert len(read) > 20
        text = (tmp_path / str(number) / name).read_text(encoding="utf-8")
        assert text.endswith("\n"), "the last row is cut"
        acknowledged = {row["key"] for row in load.rows(name) if row["outcome"] == "acknowledged"}
        assert read <= acknowledged


def test_a_scribe_that_is_killed_ends_the_probe(standin: Standin, tmp_path: Path) -> None:
    """A probe that goes on without a record would be believed."""
    probe = Load("probe", standin.door, tmp_path).ready()
    children = Path(f"/proc/{probe.process.pid}/task/{probe.process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[0]), signal.SIGKILL)
    probe.process.communicate(timeout=PATIENCE_S)
    assert probe.process.returncode != 0
    assert not probe.probe_count().completed


def test_a_disk_that_stalls_delays_no_payment(standin: Standin, tmp_path: Path) -> None:
    """The scribe is stopped, as by a disk that takes no write: payments go out all the same, and all are written in the end."""
    probe = Load("probe", standin.door, tmp_path).ready()
    children = Path(f"/proc/{probe.process.pid}/task/{probe.process.pid}/children").read_text(encoding="ascii").split()
    os.kill(int(children[0]), signal.SIGSTOP)
    before = len(arrivals(standin))
    eventually(lambda: len(arrivals(standin)) > before + 100)
    written = len(probe.probe_rows())
    os.kill(int(children[0]), signal.SIGCONT)
    probe.stop()
    rows, counts = probe.probe_rows(), probe.probe_count()
    assert len(rows) == counts.recorded == counts.scheduled > written + 100
    assert counts.completed


def test_rows_for_which_the_pipe_has_no_room_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger.PipedLedger, "PIPE_BYTES", 4096)
    book = ledger.PipedLedger(tmp_path / "probe.csv")
    os.kill(book._scribe, signal.SIGSTOP)
    for number in range(1000):
        book.add(ledger.Row(f"k-{number}", 1, 2, 3, 201, ledger.Transfer("a", "b", 5)))
    os.kill(book._scribe, signal.SIGCONT)
    book.close()
    with (tmp_path / "probe.csv").open(encoding="utf-8", newline="") as file:
        assert [row["key"] for row in csv.DictReader(file)] == [f"k-{number}" for number in range(1000)]
