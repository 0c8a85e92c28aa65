"""Customers in several Locust workers: their ledgers come home whole, and nothing is lost when one dies. Real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.instrument import Standin
from load.shape import Shape, factor, shape_of
from tests.test_load import PATIENCE_S, Load, Row, arrivals, eventually, own_last_acknowledged


@pytest.fixture
def standin() -> Iterator[Standin]:
    running = Standin()
    yield running
    running.end()


def parts(out: Path) -> list[Row]:
    """The payments in the workers' own files."""
    load = Load.__new__(Load)
    load.out = out
    return [row for path in sorted(out.glob("workers/*/ledger.csv")) for row in load.rows(str(path.relative_to(out)))]


def workers_of(load: Load) -> dict[int, int]:
    """Process by worker number."""
    found = {}
    for child in subprocess.run(["pgrep", "-P", str(load.process.pid)], capture_output=True, text=True).stdout.split():
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        if b"load.workers" in words:
            found[int(words[words.index(b"--worker") + 1])] = int(child)
    return found


def test_four_ledgers_come_home_whole_through_failures(standin: Standin, tmp_path: Path) -> None:
    """One row and one count each, whatever customers wait for at the stop; each worker has its own customers."""
    load = Load("customers", standin.door, tmp_path, "--workers", "4", "--rate", "120", "--timeout-s", "0.5").ready()
    for mode, seconds in (("refuse", 0.3), ("reset", 0.3), ("stall", 0.8)):
        time.sleep(0.3)
        standin.outage(mode, seconds)
    time.sleep(0.3)
    standin.tell("outage hang 3")
    standin.hear("began")
    time.sleep(0.2)
    load.stop()
    standin.hear("ended")
    rows, counts = load.rows("ledger.csv"), load.ledger_count()
    assert counts.completed
    assert counts.recorded == counts.locust_requests == len(rows) == len({row["key"] for row in rows})
    reads = load.rows("reads.csv")
    assert counts.reads == len(reads) > 0
    own_last_acknowledged(rows, reads)
    assert rows == sorted(rows, key=lambda row: int(row["done_ns"]))
    own = Counter(int(row["key"].split("-")[2]) % 4 for row in rows)
    assert counts.workers is not None
    assert {one.worker: one.recorded for one in counts.workers} == {one.worker: one.locust_requests for one in counts.workers}
    assert {one.worker: one.recorded for one in counts.workers} == own
    assert {row["key"].split("-")[2] for row in rows} == {str(n) for n in range(8)}
    assert counts.started_ns <= min(int(row["sent_ns"]) for row in rows)
    assert counts.stopped_ns >= max(int(row["done_ns"]) for row in rows)
    seen = arrivals(standin)
    assert set(seen.values()) == {1}
    assert set(seen) <= {row["key"] for row in rows}
    assert not (tmp_path / "workers").exists()


def test_a_worker_that_is_killed_ends_the_master_and_loses_no_row(standin: Standin, tmp_path: Path) -> None:
    load = Load("customers", standin.door, tmp_path, "--workers", "2", "--rate", "200", "--pay-share", "1").ready()
    eventually(lambda: len(parts(tmp_path)) > 40)
    os.kill(workers_of(load)[1], signal.SIGKILL)
    _, said = load.process.communicate(timeout=PATIENCE_S)
    assert load.process.returncode == 1
    assert f"worker 1 ended with -9; what it wrote down is in {tmp_path / 'workers' / '1'}" in said
    assert not load.ledger_count().completed
    seen, rows = arrivals(standin), {row["key"] for row in parts(tmp_path)}
    # The customers of a killed process may each have sent a payment whose answer it never read.
    assert len(set(seen) - rows) <= 4
    assert all(int(key.split("-")[2]) % 2 == 1 for key in set(seen) - rows)


def test_workers_end_in_order_when_their_master_is_killed(standin: Standin, tmp_path: Path) -> None:
    load = Load("customers", standin.door, tmp_path, "--workers", "2", "--rate", "200", "--pay-share", "1").ready()
    eventually(lambda: len(parts(tmp_path)) > 40)
    workers = workers_of(load)
    load.process.kill()
    load.process.communicate(timeout=PATIENCE_S)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers.values()))
    assert set(arrivals(standin)) <= {row["key"] for row in parts(tmp_path)}


def test_customers_that_cant_be_dealt_evenly_are_refused(standin: Standin, tmp_path: Path) -> None:
    load = Load("customers", standin.door, tmp_path, "--workers", "3")
    _, said = load.process.communicate(timeout=PATIENCE_S)
    assert load.process.returncode == 3
    assert "expected customers that can be dealt evenly among the workers; seen 8 customers and 3 workers" in said
    assert not (tmp_path / "ledger.csv").exists()


@pytest.mark.parametrize(
    ("shape", "at_s", "times"),
    [
        ((), 5.0, 1.0),
        (((0, 1), (10, 3)), 0.0, 1.0),
        (((0, 1), (10, 3)), 5.0, 2.0),
        (((0, 1), (10, 3)), 99.0, 3.0),
        (((4, 2), (10, 3)), 1.0, 2.0),
        (((0, 1), (10, 1), (10, 4), (20, 4), (20, 1)), 9.99, 1.0),
        (((0, 1), (10, 1), (10, 4), (20, 4), (20, 1)), 10.0, 4.0),
        (((0, 1), (10, 1), (10, 4), (20, 4), (20, 1)), 20.0, 1.0),
    ],
)
def test_a_shape_is_straight_lines_between_its_points(shape: Shape, at_s: float, times: float) -> None:
    assert factor(shape, at_s) == pytest.approx(times)
    assert shape_of(",".join(f"{at}:{factor}" for at, factor in shape)) == shape


def test_customers_follow_the_shape(standin: Standin, tmp_path: Path) -> None:
    """Four times the rate after two seconds, by the ledger; and what the process says of its acts is what it did."""
    options = ("--rate", "40", "--pay-share", "1", "--shape", "0:1,2:1,2:4")
    load = Load("customers", standin.door, tmp_path, *options).ready()
    eventually(lambda: len(load.rows("ledger.csv")) > 350)
    load.stop()
    rows, began_ns = load.rows("ledger.csv"), load.ledger_count().started_ns
    sent_s = sorted((int(row["sent_ns"]) - began_ns) / 1e9 for row in rows)
    before = sum(1 <= at < 2 for at in sent_s)
    after = sum(2.5 <= at < sent_s[-1] for at in sent_s) / (sent_s[-1] - 2.5)
    assert 2.5 < after / before < 5
    assert len(rows) == load.ledger_count().recorded


def test_it_says_how_many_acts_there_were(standin: Standin, tmp_path: Path) -> None:
    load = Load("customers", standin.door, tmp_path, "--rate", "100").ready()
    assert load.process.stdout is not None
    lines = [load.process.stdout.readline() for _ in range(3)]
    load.stop()
    told = [re.fullmatch(r"acts (\d+) (\d+)\n", line) for line in lines]
    assert all(told), lines
    counts = [int(one[2]) for one in told if one]
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert load.ledger_count().recorded + load.ledger_count().looks >= counts[-1]


@pytest.mark.parametrize("more", [(), ("--workers", "2")])
def test_customers_change_their_rate_when_told(more: tuple[str, ...], standin: Standin, tmp_path: Path) -> None:
    """Four times, though each waits for seconds between two acts: who waits then does not wait to the end. And back again."""
    options = ("--customers", "60", "--rate", "20", "--pay-share", "1", "--stop-on-eof", *more)
    load = Load("customers", standin.door, tmp_path, *options).ready()
    assert load.process.stdin is not None
    assert load.process.stdout is not None
    time.sleep(5)  # all have come: they do over one period
    told: list[int] = []
    for times in ("4", "1"):
        load.process.stdin.write(f"times {times}\n")
        load.process.stdin.flush()
        while not (found := re.fullmatch(rf"times {times} (\d+)\n", load.process.stdout.readline())):
            pass
        told.append(int(found[1]))
        time.sleep(3)
    load.stop()
    sent = [int(row["sent_ns"]) for row in load.rows("ledger.csv")]
    before = sum(told[0] - 2_000_000_000 <= at < told[0] for at in sent) / 2
    during = sum(told[0] <= at < told[1] for at in sent) / (told[1] - told[0]) * 1e9
    after = sum(told[1] <= at < told[1] + 3_000_000_000 for at in sent) / 3
    assert 12 < before < 28
    assert 60 < during < 100
    assert 12 < after < 28
