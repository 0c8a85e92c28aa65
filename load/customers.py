"""The customers: Locust users that pay and look at balances at a stated rate. They give load, and their own ledger.

`python -m load.customers --door http://127.0.0.1:8080 --out RUN --run-id ID --seed 1 --customers 8 --rate 40`

Every payment is written to ledger.csv at the call site, by our own code: Locust's statistics are no ledger, and a
listener that raises is only logged. Locust's own count of POST /payments stands beside it in ledger.json; the two
must agree. Prints `ready` when all customers are there; stops, and ends with exit codes, as the probe does.
"""

from __future__ import annotations

# gevent must patch before anything imports sockets, and locust patches when it is imported.
from gevent import monkey

monkey.patch_all()

import gc  # noqa: E402
import logging  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Sequence  # noqa: E402
from dataclasses import dataclass, field  # noqa: E402
from itertools import count  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402
from locust import FastHttpUser, User, constant_throughput, task  # noqa: E402
from locust.env import Environment  # noqa: E402

from load.ledger import (  # noqa: E402
    COULD_NOT_START,
    CouldNotStart,
    Door,
    Guardian,
    Ledger,
    Row,
    Transfer,
    arguments,
    write_atomically,
)

HOUSEKEEPING_S = 0.2
PAYMENTS = "/payments"
LOOKS = "/accounts/{id}"


@dataclass
class Office:
    """What all customers of this process share."""

    ledger: Ledger
    accounts: Sequence[str]
    run_id: str
    seed: int
    pay_share: float
    spread_s: float  # customers arrive over one period, not all at once
    numbers: count[int] = field(default_factory=count)


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
        self.payments = count()
        # Of its own, so that what one customer does depends on the seed and not on who was answered first.
        self.choice = random.Random(f"{self.office.seed}-customer-{self.number}")

    def on_start(self) -> None:
        gevent.sleep(self.choice.uniform(0, self.office.spread_s))

    @task
    def act(self) -> None:
        if self.choice.random() < self.office.pay_share:
            self.pay()
        else:
            self.client.get(f"/accounts/{self.choice.choice(self.office.accounts)}", name=LOOKS)

    def pay(self) -> None:
        """One payment, one row, whatever happens in between."""
        key = f"{self.office.run_id}-c-{self.number}-{next(self.payments):07d}"
        transfer = Transfer.draw(self.choice, self.office.accounts)
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        status, error = None, "ended before an answer came"
        sent_ns = time.monotonic_ns()
        try:
            answer = self.client.post(PAYMENTS, data=transfer.json_text(), headers=headers)
            status = answer.status_code or None  # Locust says 0 where no answer came
            error = "" if status else str(getattr(answer, "error", ""))
        finally:
            done_ns = time.monotonic_ns()
            self.office.ledger.add(Row(key, sent_ns, sent_ns, done_ns, status, transfer, error))
            self.office.ledger.flush()


def hire(office: Office, door: Door, *, rate_per_s: float, timeout_s: float) -> type[Customer]:
    """The class that Locust spawns; Locust takes settings from class attributes."""
    settings = {
        "abstract": False,
        "office": office,
        "host": f"http://{door.authority}",
        "wait_time": constant_throughput(rate_per_s),
        "connection_timeout": timeout_s,
        "network_timeout": timeout_s,
    }
    return type("HiredCustomer", (Customer,), settings)


def serve(environment: Environment, guardian: Guardian, stopping: Event, *, customers: int) -> None:
    """Let the customers act until stopped, and let each finish what it is doing."""
    runner = environment.create_local_runner()
    if customers:
        runner.start(customers, spawn_rate=customers, wait=False)
        if runner.spawning_greenlet is not None:
            runner.spawning_greenlet.join()
    print("ready", flush=True)
    while not stopping.wait(HOUSEKEEPING_S) and not guardian.gone():
        pass
    runner.quit()


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments("Locust customers that pay and look at balances.")
    parser.add_argument("--customers", type=int, default=8)
    parser.add_argument("--rate", type=float, default=40.0, help="payments and looks a second, all customers together")
    parser.add_argument("--pay-share", type=float, default=0.8, help="share of payments; the rest are looks")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="customers: %(message)s")
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopping.set)
    guardian = Guardian(parent_pid=options.parent_pid, stop_on_eof=options.stop_on_eof)
    try:
        door = Door.parse(options.door)
        accounts = door.accounts(timeout_s=options.timeout_s, patience_s=options.patience_s)
        ledger = Ledger(options.out / "ledger.csv")
    except CouldNotStart as error:
        print(f"customers: {error}", file=sys.stderr)
        return COULD_NOT_START
    customers = options.customers if options.rate > 0 else 0
    per_customer_s = customers / options.rate if customers else 0.0
    office = Office(ledger, accounts, options.run_id, options.seed, options.pay_share, per_customer_s)
    hired: list[type[User]] = (
        [hire(office, door, rate_per_s=1 / per_customer_s, timeout_s=options.timeout_s)] if customers else []
    )
    # Connecting and waiting may each take the time-out; whoever then still isn't done is cut off and recorded so.
    environment = Environment(user_classes=hired, stop_timeout=2 * options.timeout_s + 1)
    gc.freeze()
    started_ns = time.monotonic_ns()
    completed = False
    try:
        serve(environment, guardian, stopping, customers=customers)
        completed = True
    finally:
        stopped_ns = time.monotonic_ns()
        ledger.close()
        counts = {
            "recorded": ledger.recorded,
            "locust_requests": environment.stats.get(PAYMENTS, "POST").num_requests,
            "looks": environment.stats.get(LOOKS, "GET").num_requests,
            "started_ns": started_ns,
            "stopped_ns": stopped_ns,
            "completed": completed,
        }
        write_atomically(options.out / "ledger.json", counts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
