"""The customers: Locust users that pay and look at balances at a stated rate. They give load, and their own ledger.

Every second look is at the customer's own payment that was acknowledged last: a bank that reads from a copy that lags does not
find it.

`python -m load.customers --door http://127.0.0.1:8080 --out RUN --run-id ID --seed 1 --customers 8 --rate 40`

Every payment is written to ledger.csv, and every such look to reads.csv, at the call site and by our own code: Locust's
statistics are no ledger, and a listener that raises is only logged. Locust's own counts of POST /payments and of these reads
stand beside them in ledger.json; they must agree. Prints `ready` when all customers are there, and every second `acts` with a
monotonic time, ns, and how many acts Locust has counted; stops, and ends with exit codes, as the probe does.

A line `times 4` on stdin multiplies the rate by four from then on, at once for those who wait as well; `times 4 <ns>` is printed
when all customers know, with a monotonic time after that.

With `--workers 4` it is Locust's master, and the customers live in four worker processes: see `load/workers.py`.

Stopping has an order: no customer begins anything new, all finish what they do, and only then is Locust told to quit.
Locust alone ends whoever it believes to be waiting, and one that woke a moment before had just sent a payment, which
then stood in the ledger and not in Locust's count.
"""

from __future__ import annotations

# gevent must patch before anything imports sockets, and locust patches when it is imported.
from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import gc  # noqa: E402
import logging  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from itertools import count  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from locust import FastHttpUser, User, task  # noqa: E402
from locust.env import Environment  # noqa: E402
from locust.runners import Runner  # noqa: E402

from load.ledger import (  # noqa: E402
    COULD_NOT_START,
    READ_COLUMNS,
    CouldNotStart,
    Door,
    Guardian,
    Ledger,
    Read,
    Row,
    Transfer,
    arguments,
    outcome,
    write_atomically,
)
from load.shape import Shape, factor, shape_of  # noqa: E402

HOUSEKEEPING_S = 0.2
TELL_S = 1.0
IDLE_LOOK_S = 0.002
PAYMENTS = "/payments"
LOOKS = "/accounts/{id}"
READS = "/payments/{key}"


@dataclass
class Office:
    """What all customers of this process share."""

    ledger: Ledger
    reads: Ledger
    accounts: Sequence[str]
    run_id: str
    seed: int
    pay_share: float
    spread_s: float  # customers arrive over one period, not all at once
    shape: Shape = ()
    numbers: count[int] = field(default_factory=count)
    began_ns: int = 0  # when the customers began, and the shape with them
    times: float = 1.0  # the rate, as whoever started us says
    turned: Event = field(default_factory=Event)  # set when `times` changes, and then another one
    closing: bool = False  # nobody begins anything new
    busy: int = 0  # customers who are doing something right now

    def turn(self, times: float) -> None:
        """From now on all pay at so many times their rate; who waits for the next act waits so much less."""
        self.times, self.turned, turned = times, Event(), self.turned
        turned.set()

    def rate_times(self) -> float:
        return self.times * factor(self.shape, (time.monotonic_ns() - self.began_ns) / 1e9)


class Customer(FastHttpUser):
    """Pays or looks at a balance, one thing at a time. Set `office`, `host`, `wait_time` and time-outs before use."""

    abstract = True
    office: Office
    # One try and one only: a payment that was sent again by a library would be counted once and happen twice.
    max_retries = 0
    max_redirects = 0
    concurrency = 1

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = next(self.office.numbers)
        self.payments, self.looks = count(), count()
        self.acknowledged: str | None = None  # the key of the own payment that was acknowledged last
        self.acted_s = 0.0  # when the newest act began
        # Of its own, so that what one customer does depends on the seed and not on who was answered first.
        self.choice = random.Random(f"{self.office.seed}-customer-{self.number}")

    def on_start(self) -> None:
        gevent.sleep(self.choice.uniform(0, self.office.spread_s))

    @task
    def act(self) -> None:
        # Greenlets don't switch between the question and the count: who isn't counted when the office closes sends nothing.
        self.acted_s = time.monotonic()
        if self.office.closing:
            return
        self.office.busy += 1
        try:
            self.pay_or_look()
        finally:
            self.office.busy -= 1

    def pay_or_look(self) -> None:
        if self.choice.random() < self.office.pay_share:
            self.pay()
        else:
            self.look()

    def look(self) -> None:
        """At a balance, or every second time at the own payment that was acknowledged last. What is drawn is the same."""
        account = self.choice.choice(self.office.accounts)
        if next(self.looks) % 2 == 0 or self.acknowledged is None:
            self.client.get(f"/accounts/{account}", name=LOOKS)
        else:
            self.read_back(self.acknowledged)

    def read_back(self, key: str) -> None:
        """One read, one row and one count of Locust's, as with a payment."""
        status = None
        sent_ns = time.monotonic_ns()
        try:
            status = self.client.get(f"{PAYMENTS}/{key}", name=READS).status_code or None
        except BaseException as ended:
            self.count_unanswered(ended, sent_ns, "GET", READS)
            raise
        finally:
            self.office.reads.add(Read(key, sent_ns, time.monotonic_ns(), status))

    def pay(self) -> None:
        """One payment, one row and one count of Locust's, whatever happens in between.

        The row is with the kernel before this customer does anything else: a SIGKILL after that loses nothing of it.
        """
        key = f"{self.office.run_id}-c-{self.number}-{next(self.payments):07d}"
        transfer = Transfer.draw(self.choice, self.office.accounts)
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        status, error = None, "ended before an answer came"
        sent_ns = time.monotonic_ns()
        try:
            answer = self.client.post(PAYMENTS, data=transfer.json_text(), headers=headers)
            status = answer.status_code or None  # Locust says 0 where no answer came
            error = "" if status else why(getattr(answer, "error", ""))
        except BaseException as ended:  # GreenletExit above all: Locust counts what came back to it, and this did not
            self.count_unanswered(ended, sent_ns, "POST", PAYMENTS)
            raise
        finally:
            done_ns = time.monotonic_ns()
            self.office.ledger.add(Row(key, sent_ns, sent_ns, done_ns, status, transfer, error))
            if outcome(status) == "acknowledged":
                self.acknowledged = key

    def count_unanswered(self, ended: BaseException, sent_ns: int, method: str, name: str) -> None:
        """Tell Locust of a request that was sent and whose answer nobody waits for any more."""
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=(time.monotonic_ns() - sent_ns) / 1e6,
            response_length=0,
            exception=ended,
            context={},
        )


def why(error: object) -> str:
    """What a customer says who got no answer: one that gave up waiting says `timed out`, as docs/evidence.md has it.

    Of the library, a time-out says `URL …: 0, original=timed out`.
    """
    return f"timed out: {error}" if isinstance(getattr(error, "original", error), TimeoutError | gevent.Timeout) else str(error)


def hire(office: Office, door: Door, *, rate_per_s: float, timeout_s: float) -> type[Customer]:
    """The class that Locust spawns; Locust takes settings from class attributes."""
    settings = {
        "abstract": False,
        "office": office,
        "host": f"http://{door.authority}",
        "wait_time": paced(office, rate_per_s),
        "connection_timeout": timeout_s,
        "network_timeout": timeout_s,
    }
    return type("HiredCustomer", (Customer,), settings)


def paced(office: Office, rate_per_s: float) -> Callable[[Customer], float]:
    """Locust's wait of a customer: its acts begin at the rate that is asked for now, or one right after the other where they take
    longer. Waits by itself, so that a change of the rate is felt at once; what is left for Locust is nothing.
    """

    def wait_s(customer: Customer) -> float:
        left_s = customer.acted_s + 1 / (rate_per_s * office.rate_times()) - time.monotonic()
        while left_s > 0:
            times, turned, since_s = office.times, office.turned, time.monotonic()
            if not turned.wait(left_s):
                break
            left_s = (left_s - (time.monotonic() - since_s)) * times / office.times
        return 0.0

    return wait_s


def attend(
    office: Office,
    door: Door,
    guardian: Guardian,
    stopping: Event,
    *,
    out: Path,
    customers: int,
    rate_per_s: float,
    timeout_s: float,
) -> None:
    """Customers come, act until stopped and leave; what they wrote is closed and counted in ledger.json, whatever happened."""
    hired: list[type[User]] = []
    if customers:
        hired = [hire(office, door, rate_per_s=rate_per_s / customers, timeout_s=timeout_s)]
    environment = Environment(user_classes=hired)  # no stop_timeout: who is to finish has finished before Locust quits
    started_ns = time.monotonic_ns()
    completed = False
    try:
        # Connecting and waiting may each take the time-out.
        serve(environment, office, guardian, stopping, customers=customers, finish_s=2 * timeout_s + 1)
        completed = True
    finally:
        stopped_ns = time.monotonic_ns()
        office.ledger.close()
        office.reads.close()
        reads = environment.stats.get(READS, "GET").num_requests
        counts = {
            "recorded": office.ledger.recorded,
            "locust_requests": environment.stats.get(PAYMENTS, "POST").num_requests,
            "looks": environment.stats.get(LOOKS, "GET").num_requests + reads,
            "reads": reads,
            "started_ns": started_ns,
            "stopped_ns": stopped_ns,
            "completed": completed,
        }
        write_atomically(out / "ledger.json", counts)


def serve(
    environment: Environment, office: Office, guardian: Guardian, stopping: Event, *, customers: int, finish_s: float
) -> None:
    """Let the customers act until stopped, then let each finish what it is doing, for at most `finish_s` seconds."""
    runner = environment.create_local_runner()
    office.began_ns = time.monotonic_ns()
    if customers:
        runner.start(customers, spawn_rate=customers, wait=False)
        if runner.spawning_greenlet is not None:
            runner.spawning_greenlet.join()
    print("ready", flush=True)

    def turn(times: float) -> None:
        office.turn(times)
        tell_turned(times)

    wait_for_the_end(runner, guardian, stopping, turn=turn)
    close(office, finish_s=finish_s)
    runner.quit()


def wait_for_the_end(
    runner: Runner,
    guardian: Guardian,
    stopping: Event,
    *,
    turn: Callable[[float], None],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Return when told to stop, or when whoever started us is gone. Says every second how many acts there were."""
    told_s = 0.0
    while not stopping.wait(HOUSEKEEPING_S) and not guardian.gone():
        look()
        for line in guardian.said():
            if line.startswith("times "):
                turn(float(line.removeprefix("times ")))
        if time.monotonic() - told_s >= TELL_S:
            told_s = time.monotonic()
            print(f"acts {time.monotonic_ns()} {runner.stats.total.num_requests}", flush=True)


def tell_turned(times: float) -> None:
    print(f"times {times:g} {time.monotonic_ns()}", flush=True)


def close(office: Office, *, finish_s: float) -> None:
    """Nobody begins anything new; returns when nobody is busy any more, or after `finish_s` seconds.

    Whoever is busy even then is cut off when Locust quits, and recorded so on both sides.
    """
    office.closing = True
    deadline = time.monotonic() + finish_s
    while office.busy and time.monotonic() < deadline:
        gevent.sleep(IDLE_LOOK_S)
    if office.busy:
        logging.warning("cut off %d customers who had not finished within %g s", office.busy, finish_s)


def options_of_customers() -> argparse.ArgumentParser:
    parser = arguments("Locust customers that pay and look at balances.")
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=40.0, help="payments and looks a second, all customers together")
    parser.add_argument("--pay-share", type=float, default=0.8, help="share of payments; the rest are looks")
    parser.add_argument("--shape", type=shape_of, default=(), help="times the rate, by seconds: 0:1,20:1,25:4")
    parser.add_argument("--workers", type=int, default=0, help="Locust workers, each a process; 0: no others than this one")
    return parser


def open_office(options: argparse.Namespace, accounts: Sequence[str], out: Path) -> Office:
    ledger, reads = Ledger(out / "ledger.csv"), Ledger(out / "reads.csv", READ_COLUMNS)
    spread_s = options.customers / options.rate if options.customers and options.rate > 0 else 0.0
    return Office(ledger, reads, accounts, options.run_id, options.seed, options.pay_share, spread_s, options.shape)


def main(argv: Sequence[str] | None = None) -> int:
    options = options_of_customers().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="customers: %(message)s")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopping.set)
    guardian = Guardian(parent_pid=options.parent_pid, stop_on_eof=options.stop_on_eof)
    try:
        door = Door.parse(options.door)
        accounts = door.accounts(timeout_s=options.timeout_s, patience_s=options.patience_s)
        if options.workers:
            from load.workers import lead

            return lead(options, guardian, stopping)
        office = open_office(options, accounts, options.out)
    except CouldNotStart as error:
        print(f"customers: {error}", file=sys.stderr)
        return COULD_NOT_START
    gc.freeze()
    attend(
        office,
        door,
        guardian,
        stopping,
        out=options.out,
        customers=options.customers if options.rate > 0 else 0,
        rate_per_s=options.rate,
        timeout_s=options.timeout_s,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
