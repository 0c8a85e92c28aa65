"""Customers in several processes: Locust's own distributed mode, a master and its workers, whose ledgers come home whole.

Customer `n` lives in worker `n` modulo the number of workers, so what each does depends on the seed alone, as with one process.
A worker writes to files of its own, `workers/<number>/` of the run directory, so a worker that is killed loses no row. At the
stop, over the connection that Locust has anyway:

1. the master says `close`: no customer begins anything new, all finish, and each worker answers `closed`;
2. the master stops the test, as Locust does, and waits until Locust's own count has come in from everybody;
3. it says `home`: each worker sends its files in parts, then their sizes, rows and hashes;
4. the master merges them, by the time at which each row ended, into ledger.csv and reads.csv, and says `kept`; only then does
   a worker remove its own.

A worker that ends before its ledger is home ends the master with an error; its rows stand where it wrote them.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import heapq
import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import gevent  # locust patches when it is imported, before anything below opens a socket
from gevent.event import Event
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from load.customers import (
    LOOKS,
    PAYMENTS,
    READS,
    Customer,
    Office,
    close,
    hire,
    open_office,
    options_of_customers,
    tell_turned,
    wait_for_the_end,
)  # fmt: skip
from load.ledger import READ_COLUMNS, CouldNotStart, Door, Guardian, Ledger, write_atomically

HOST = "127.0.0.1"
FILES = {"ledger.csv": 3, "reads.csv": 2}  # and the place of the column by which its rows are ordered: when each ended
PART_BYTES = 1 << 18
START_WITHIN_S = 120.0  # importing Locust takes a core for seconds, and a busy machine has none to spare
COUNTED_WITHIN_S = 15.0  # Locust's workers report every 3 s
HOME_WITHIN_S = 60.0
LOOK_S = 0.02
LOST = 1  # exit code: a worker ended before its ledger was home


class WorkerLost(Exception):
    """A worker has ended, or does not answer: what it wrote down is not all at home."""


def hear(listener: Callable[[str, Any], None], *, msg: Message, **_: object) -> None:
    """Locust gives a message to its listener by name, with its environment."""
    listener(msg.node_id, msg.data)


# --- The master --------------------------------------------------------------------------------------------------------
@dataclass
class Worker:
    """What the master knows of one of its workers."""

    number: int
    process: subprocess.Popen[bytes]
    directory: Path
    client: str | None = None  # Locust's name for it, once it has said which it is
    closed: bool = False
    times: float = 1.0  # of the rate, as it has answered
    files: dict[str, Path] = field(default_factory=dict)  # of what has come home so far
    told: dict[str, Any] | None = None  # its own counts and hashes, when all was sent
    payments: int = 0  # Locust's count


def lead(options: argparse.Namespace, guardian: Guardian, stopping: Event) -> int:
    """Start the workers, let their customers act until stopped, and bring their ledgers home. Returns the exit code."""
    if not options.customers or options.customers % options.workers:
        seen = f"{options.customers} customers and {options.workers} workers"
        raise CouldNotStart(f"--workers: expected customers that can be dealt evenly among the workers; seen {seen}")
    ledger, reads = Ledger(options.out / "ledger.csv"), Ledger(options.out / "reads.csv", READ_COLUMNS)
    environment = Environment(user_classes=[type("HiredCustomer", (Customer,), {"abstract": False})])
    runner = environment.create_master_runner(HOST, 0)
    house = House(runner, options)
    completed = False
    try:
        house.start()
        print("ready", flush=True)
        wait_for_the_end(runner, guardian, stopping, turn=house.turn, look=house.look)
        house.close()
        house.bring_home()
        completed = True
    except WorkerLost as lost:
        print(f"customers: {lost}", file=sys.stderr)
        return LOST
    finally:
        stopped_ns = time.monotonic_ns()
        if completed:
            house.merge({"ledger.csv": ledger, "reads.csv": reads})
        ledger.close()
        reads.close()
        write_atomically(options.out / "ledger.json", {**house.counts(ledger, stopped_ns), "completed": completed})
        house.end(kept=completed)
    return 0


class House:
    """The master and its workers."""

    def __init__(self, runner: MasterRunner, options: argparse.Namespace) -> None:
        self.runner, self.options = runner, options
        self.parts = options.out / "workers"
        self.workers: list[Worker] = []
        self.started_ns = time.monotonic_ns()  # when the customers were told to begin
        for kind, listener in (
            ("here", self.here), ("turned", self.turned), ("closed", self.closed), ("part", self.part), ("sent", self.sent),
        ):  # fmt: skip
            runner.register_message(kind, functools.partial(hear, listener))
        runner.environment.events.worker_report.add_listener(self.counted)  # type: ignore[no-untyped-call]

    # What workers say
    def here(self, client: str, data: dict[str, Any]) -> None:
        self.workers[data["worker"]].client = client

    def turned(self, client: str, data: dict[str, Any]) -> None:
        self.of(client).times = data["times"]

    def closed(self, client: str, _: object) -> None:
        self.of(client).closed = True

    def part(self, client: str, data: dict[str, Any]) -> None:
        worker = self.of(client)
        path = worker.files.setdefault(data["name"], self.parts / f"{worker.number}-{data['name']}")
        with path.open("ab") as file:
            file.write(data["bytes"])

    def sent(self, client: str, data: dict[str, Any]) -> None:
        self.of(client).told = data

    def counted(self, client_id: str, data: dict[str, Any]) -> None:
        """Locust's report of one worker; its master adds these up by itself, and does not keep whose they were."""
        for worker in self.workers:
            if worker.client == client_id:
                worker.payments += sum(s["num_requests"] for s in data["stats"] if (s["method"], s["name"]) == ("POST", PAYMENTS))

    def of(self, client: str) -> Worker:
        return next(worker for worker in self.workers if worker.client == client)

    # In the order of what is done
    def start(self) -> None:
        o = self.options
        shape = ",".join(f"{at:g}:{times:g}" for at, times in o.shape)
        told = {
            "--door": o.door, "--run-id": o.run_id, "--seed": o.seed, "--timeout-s": o.timeout_s, "--patience-s": o.patience_s,
            "--customers": o.customers, "--rate": o.rate, "--pay-share": o.pay_share, "--shape": shape, "--workers": o.workers,
            "--master-port": self.runner.server.port,
        }  # fmt: skip
        common = [text for name, value in told.items() for text in (name, str(value))]
        for number in range(o.workers):
            directory = self.parts / str(number)
            directory.mkdir(parents=True)
            own = ["--worker", str(number), "--out", str(directory), "--stop-on-eof"]
            process = subprocess.Popen(
                [sys.executable, "-m", "load.workers", *common, *own],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            self.workers.append(Worker(number, process, directory))
        self.wait(lambda: all(worker.client for worker in self.workers), START_WITHIN_S, "to come")
        self.started_ns = time.monotonic_ns()
        self.runner.start(o.customers, spawn_rate=o.customers)
        self.wait(lambda: self.runner.user_count == o.customers, START_WITHIN_S, f"to have {o.customers} customers together")

    def turn(self, times: float) -> None:
        """All customers at so many times their rate; told when every worker has answered."""
        self.runner.send_message("turn", {"times": times})
        self.wait(lambda: all(worker.times == times for worker in self.workers), COUNTED_WITHIN_S, "to change their rate")
        tell_turned(times)

    def look(self) -> None:
        for worker in self.workers:
            if (code := worker.process.poll()) is not None:
                raise WorkerLost(f"worker {worker.number} ended with {code}; what it wrote down is in {worker.directory}")

    def wait(self, reached: Callable[[], bool], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not reached():
            self.look()
            if time.monotonic() > deadline:
                raise WorkerLost(f"waited {within_s:g} s for {len(self.workers)} workers {what}, in vain")
            gevent.sleep(LOOK_S)

    def close(self) -> None:
        self.runner.send_message("close", {})
        patience_s = 2 * self.options.timeout_s + 1  # as long as a customer may take to finish
        self.wait(lambda: all(worker.closed for worker in self.workers), patience_s + START_WITHIN_S, "to close")
        self.runner.stop()

    def bring_home(self) -> None:
        self.runner.send_message("home", {})
        self.wait(lambda: all(worker.told is not None for worker in self.workers), HOME_WITHIN_S, "to send their ledgers")
        for worker in self.workers:
            assert worker.told is not None
            for name, told in worker.told["files"].items():
                data = worker.files[name].read_bytes()
                if (len(data), hashlib.sha256(data).hexdigest()) != (told["bytes"], told["sha256"]):
                    raise WorkerLost(f"{name} of worker {worker.number} came home otherwise than it was sent")
        deadline = time.monotonic() + COUNTED_WITHIN_S
        while not self.all_counted() and time.monotonic() < deadline:
            gevent.sleep(LOOK_S)  # one that stays behind is told: both counts stand in ledger.json

    def all_counted(self) -> bool:
        """Whether every worker has reported as many payments, and all of them as many reads, as they have rows of."""
        told = [(worker, worker.told) for worker in self.workers if worker.told is not None]
        reads = self.runner.stats.get(READS, "GET").num_requests
        paid = all(worker.payments >= sent["recorded"] for worker, sent in told)
        return paid and reads >= sum(sent["reads"] for _, sent in told)

    def merge(self, into: dict[str, Ledger]) -> None:
        for name, ledger in into.items():
            files = [lines_of(worker.files[name], FILES[name]) for worker in self.workers]
            for _, line in heapq.merge(*files):
                ledger.copy(line)

    def counts(self, ledger: Ledger, stopped_ns: int) -> dict[str, Any]:
        stats = self.runner.stats
        reads = stats.get(READS, "GET").num_requests
        return {
            "recorded": ledger.recorded,
            "locust_requests": stats.get(PAYMENTS, "POST").num_requests,
            "looks": stats.get(LOOKS, "GET").num_requests + reads,
            "reads": reads,
            "started_ns": self.started_ns,
            "stopped_ns": stopped_ns,
            "workers": [
                {
                    "worker": worker.number,
                    "recorded": worker.told["recorded"],
                    "reads": worker.told["reads"],
                    "locust_requests": worker.payments,
                }
                for worker in self.workers
                if worker.told is not None
            ],
        }

    def end(self, *, kept: bool) -> None:
        """All workers end; where their ledgers are kept, what they wrote themselves goes."""
        if kept:
            self.runner.send_message("kept", {})
        self.runner.quit()
        for worker in self.workers:
            assert worker.process.stdin is not None
            with contextlib.suppress(OSError):
                worker.process.stdin.close()
            try:
                worker.process.wait(START_WITHIN_S)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
        if kept:
            shutil.rmtree(self.parts)


def lines_of(path: Path, place: int) -> Iterator[tuple[int, bytes]]:
    """(When it ended, the row) for each row of a file, without its header."""
    with path.open("rb") as file:
        next(file, None)
        for line in file:
            yield int(line.split(b",", place + 1)[place]), line


# --- A worker ----------------------------------------------------------------------------------------------------------
def work(options: argparse.Namespace, guardian: Guardian) -> int:
    """The customers of one worker, until the master says what to do with their ledger."""
    door = Door.parse(options.door)
    accounts = door.accounts(timeout_s=options.timeout_s, patience_s=options.patience_s)
    office = open_office(options, accounts, options.out)
    office.numbers = count(options.worker, options.workers)
    hired = hire(office, door, rate_per_s=options.rate / options.customers, timeout_s=options.timeout_s)
    environment = Environment(user_classes=[hired])

    def begin(**_: object) -> None:
        office.began_ns = time.monotonic_ns()

    environment.events.test_start.add_listener(begin)  # type: ignore[no-untyped-call]
    runner = environment.create_worker_runner(HOST, options.master_port)

    def tell(event: Event, **_: object) -> None:
        event.set()

    told = {kind: Event() for kind in ("close", "home", "kept")}
    for kind, event in told.items():
        runner.register_message(kind, functools.partial(tell, event))

    def turn(_: str, data: dict[str, Any]) -> None:
        office.turn(data["times"])
        runner.send_message("turned", {"times": data["times"]})

    runner.register_message("turn", functools.partial(hear, turn))
    runner.send_message("here", {"worker": options.worker})
    gc.freeze()
    finish_s = 2 * options.timeout_s + 1

    def until(event: Event) -> bool:
        """True when the master said so, False when it is gone or has told us to quit."""
        while not event.wait(LOOK_S):
            if guardian.gone() or not len(runner.greenlet):
                return bool(event.is_set())
        return True

    try:
        if not until(told["close"]):
            close(office, finish_s=finish_s)  # the master is gone: what we have stays here
            return LOST
        close(office, finish_s=finish_s)
        runner.send_message("closed", {})
        if not until(told["home"]):
            return LOST
    finally:
        office.ledger.close()
        office.reads.close()
    send_home(runner, office, options.out)
    if not until(told["kept"]):
        return LOST
    return 0


def send_home(runner: WorkerRunner, office: Office, out: Path) -> None:
    files = {}
    for name in FILES:
        data = (out / name).read_bytes()
        for place in range(0, len(data), PART_BYTES):
            runner.send_message("part", {"name": name, "bytes": data[place : place + PART_BYTES]})
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    runner.send_message("sent", {"files": files, "recorded": office.ledger.recorded, "reads": office.reads.recorded})


def main(argv: Sequence[str] | None = None) -> int:
    parser = options_of_customers()
    parser.add_argument("--worker", type=int, required=True, help="which of the workers this one is, from 0")
    parser.add_argument("--master-port", type=int, required=True)
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format=f"worker {options.worker}: %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the master says when to stop; its end says so, too
    guardian = Guardian(parent_pid=options.parent_pid, stop_on_eof=options.stop_on_eof)
    try:
        return work(options, guardian)
    except CouldNotStart as error:
        print(f"worker {options.worker}: {error}", file=sys.stderr)
        return LOST


if __name__ == "__main__":
    sys.exit(main())
