"""The load, from the harness's side: two processes, started and stopped in order, and read while they write."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from judging.errors import CouldNotTell
from judging.evidence import EventLog, Load, Plan
from judging.measure import BASELINE_SHARE_MIN
from judging.outage import SECOND_NS, SUSTAINED_NS, Service, failing_second
from judging.rate import mean_factor
from runtime.database import wait_for
from topologies.model import Moment

START_WITHIN_S = 30.0
WORKER_WITHIN_S = 20.0  # and for each of Locust's workers: their imports share the cores
TURN_WITHIN_S = 20.0  # a busy machine's workers look every 0.2 s, when they get to it
RATE_OVER_NS = 6 * SECOND_NS  # Locust's workers report every 3 s
ACKNOWLEDGED, REFUSED = "acknowledged", "refused"  # outcomes of a payment
RECENT_NS = 2 * SECOND_NS
WRITTEN_NS = 250_000_000  # an answer stands in the probe's file, and is read, so long after it came
WAITING_NS = 500_000_000  # answers take some milliseconds, and are known after 0.1 s: more is a stall in progress


class Process:
    """One load process: it says `ready` when it sends, stops in order on SIGTERM, and dies with us (its stdin ends).

    Locust's says from time to time how many acts its customers have done: `acts` holds (CLOCK_MONOTONIC ns, acts so far). And it
    answers when its customers' rate is changed: `turned` holds (times the rate, CLOCK_MONOTONIC ns).
    """

    def __init__(self, source: str, module: str, arguments: list[str], *, log: Path, within_s: float = START_WITHIN_S) -> None:
        self.source = source
        self.within_s = within_s
        self.acts: deque[tuple[int, int]] = deque(maxlen=600)
        self.turned: deque[tuple[float, int]] = deque()
        self.log = log.open("a", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, "--stop-on-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the harness: it stops the load in order
        )
        self.stderr: list[str] = []
        self.heard = threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        threading.Thread(target=self.drain, daemon=True).start()

    def listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                self.heard.set()
            elif line.startswith("acts "):
                _, at_ns, acts = line.split()
                self.acts.append((int(at_ns), int(acts)))
            elif line.startswith("times "):
                _, times, at_ns = line.split()
                self.turned.append((float(times), int(at_ns)))
        self.heard.set()

    def drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line.rstrip())
            self.log.write(f"{self.source}: {line}")
            self.log.flush()

    def wait_ready(self) -> None:
        if not self.heard.wait(self.within_s) or self.process.poll() is not None:
            why = self.stderr[-1] if self.stderr else f"it ended with {self.process.poll()}"
            raise CouldNotTell(f"the load ({self.source}) did not start: {why}")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self, *, within_s: float) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(within_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        if self.process.stdin is not None:
            self.process.stdin.close()


@dataclass(frozen=True)
class Numbers:
    """What the last second looked like."""

    acknowledged_per_s: float
    errors_per_s: float
    p99_ms: float | None


@dataclass
class Window:
    """One fault: the last moment before it, the first after it, when its heal began (None: not yet).

    `seen_back`: the drill has seen service restored, so it is to be in order when the heal begins.
    """

    before_ns: int
    after_ns: int
    end_ns: int | None = None
    seen_back: bool = False


class Customers:
    """Both load processes of one run, and what the probe has seen so far."""

    def __init__(self, plan: Plan, directory: Path, door: str, events: EventLog) -> None:
        self.load: Load = plan.load
        self.directory = directory
        self.events = events
        self.lock = threading.Lock()
        self.recent: deque[tuple[int, int, str]] = deque()  # (done_ns, due_ns, outcome), the last seconds
        self.amounts: deque[int] = deque()  # of the same payments, minor units
        self.due, self.done, self.acknowledged = array("q"), array("q"), array("b")  # the probe's payments so far
        self.baseline_ns: tuple[int, int] | None = None
        self.damaged: list[tuple[int, int | None]] = []  # from when until when the bank's tables were not to be trusted
        self.clock: Callable[[], int] = time.monotonic_ns
        common = ["--door", door, "--out", str(directory), "--run-id", plan.run_id, "--seed", str(plan.seed)]
        common += ["--timeout-s", str(self.load.probe_timeout_s)]
        log = directory / "harness.log"
        self.processes: list[Process] = []
        own = ["--customers", str(self.load.customers), "--rate", str(self.load.customer_rate_per_s)]
        own += ["--pay-share", str(self.load.pay_share)]
        if self.load.shape:
            own += ["--shape", ",".join(f"{at}:{times}" for at, times in self.load.shape)]
        if self.load.workers:
            own += ["--workers", str(self.load.workers)]
        self.wanted = [("locust", "load.customers", [*common, *own])]
        if self.load.probe_interval_ms > 0:
            own = ["--interval-ms", str(self.load.probe_interval_ms)]
            self.wanted.append(("probe", "load.probe", [*common, *own]))
        self.log = log
        self.stopping = threading.Event()
        self.tail = threading.Thread(target=self.follow, daemon=True)

    def start(self) -> None:
        # One after the other: Locust's imports take a core for seconds, in which the probe's first payments would queue.
        for source, module, arguments in self.wanted:
            more_s = WORKER_WITHIN_S * (self.load.workers or 0) if source == "locust" else 0
            process = Process(source, module, arguments, log=self.log, within_s=START_WITHIN_S + more_s)
            self.processes.append(process)
            process.wait_ready()
            self.events.write("load_started", f"{process.source} is paying", source="customers", origin=process.source)
        self.tail.start()

    def stop(self) -> None:
        """Stop in order: payments in flight are finished and written down first."""
        for process in self.processes:
            if process.process.poll() is None:
                process.process.terminate()
        for process in self.processes:
            process.stop(within_s=self.load.probe_timeout_s + 40)  # a disk that stalls keeps its last sync waiting
            self.events.write("load_stopped", f"{process.source} has stopped", source="customers", origin=process.source)
        self.stopping.set()

    def alive(self) -> str | None:
        """What is wrong with the load; None when it goes on."""
        for process in self.processes:
            if process.process.poll() is not None:
                why = process.stderr[-1] if process.stderr else "no reason given"
                return f"the load ({process.source}) ended with {process.process.returncode}: {why}"
        return None

    def told_acts(self) -> list[tuple[int, int]]:
        """(CLOCK_MONOTONIC ns, acts of all customers so far), as Locust says from time to time."""
        return [told for process in self.processes if process.source == "locust" for told in list(process.acts)]

    def rate(self) -> float | None:
        """Acts a second that the customers make, over the last seconds; None before Locust has told of enough of them."""
        told = self.told_acts()
        before = [one for one in told if one[0] <= told[-1][0] - RATE_OVER_NS]
        if not before:
            return None
        (from_ns, earlier), (to_ns, acts) = before[-1], told[-1]
        return (acts - earlier) / (to_ns - from_ns) * SECOND_NS

    def turn(self, times: float) -> Moment:
        """All customers pay at so many times their rate from now on. Returns when it was asked and when all of them knew.

        Raises CouldNotTell where they do not answer.
        """
        (locust,) = (process for process in self.processes if process.source == "locust")
        before_ns = time.monotonic_ns()
        try:
            locust.say(f"times {times:g}")
            answered = wait_for(
                lambda: next((at_ns for told, at_ns in reversed(locust.turned) if told == times and at_ns >= before_ns), None),
                within_s=TURN_WITHIN_S,
                what=f"the customers to pay at {times:g} times their rate",
                every_s=0.02,
            )
        except (OSError, TimeoutError) as error:
            raise CouldNotTell(f"the load (locust) did not change its rate: {error}") from error
        return Moment(before_ns, int(answered))

    def asked_times(self) -> float | None:
        """By how much the load's shape has multiplied the rate in the last `baseline_s`, on average; None before that."""
        told, span_ns = self.told_acts(), round(self.load.baseline_s * SECOND_NS)
        since_ns = self.clock() - told[0][0] if told else 0  # the shape began a moment earlier
        return mean_factor(self.load.shape, since_ns - span_ns, since_ns) if since_ns > span_ns > 0 else None

    # --- Following the probe ------------------------------------------------------------------------------------------
    def follow(self) -> None:
        path = self.directory / "probe.csv"
        while not path.exists() and not self.stopping.is_set():
            self.stopping.wait(0.05)
        if not path.exists():
            return
        with path.open(encoding="utf-8") as file:
            rest = ""
            while not self.stopping.is_set():
                rest += file.read()
                *lines, rest = rest.split("\n")
                self.take(lines)
                self.stopping.wait(0.05)

    def take(self, lines: list[str]) -> None:
        with self.lock:
            for line in lines:
                fields = line.split(",", 9)
                if len(fields) < 9 or not fields[3].isdigit():
                    continue
                done, due, outcome = int(fields[3]), int(fields[1]), fields[5]
                self.recent.append((done, due, outcome))
                self.amounts.append(int(fields[8]))
                self.due.append(due)
                self.done.append(done)
                self.acknowledged.append(outcome == ACKNOWLEDGED)
            horizon = time.monotonic_ns() - RECENT_NS
            while self.recent and self.recent[0][0] < horizon:
                self.recent.popleft()
                self.amounts.popleft()

    def numbers(self) -> Numbers:
        now = time.monotonic_ns()
        with self.lock:
            last = [(done - due, outcome == ACKNOWLEDGED) for done, due, outcome in self.recent if done > now - SECOND_NS]
        acked = sorted(latency for latency, acknowledged in last if acknowledged)
        p99 = acked[int(len(acked) * 0.99) - 1 if len(acked) > 1 else 0] / 1e6 if acked else None
        return Numbers(len(acked), len(last) - len(acked), p99)

    def refused(self) -> tuple[bool, str]:
        """Whether, over the last 2 s, customers were told no at once: each within the service level; and what is seen."""
        level_ns, expected = self.load.service_level_s * 1e9, RECENT_NS / (self.load.probe_interval_ms * 1e6)
        with self.lock:
            told = [outcome == REFUSED and done - due <= level_ns for done, due, outcome in self.recent]
        seen = f"{sum(told)} of {expected:.0f} payments due in the last {RECENT_NS / SECOND_NS:g} s refused within"
        return all(told) and len(told) >= BASELINE_SHARE_MIN * expected, f"{seen} {self.load.service_level_s:g} s"

    def told_apart(self, limit_minor: int) -> tuple[bool, str]:
        """Whether, over the last 2 s, payments up to a limit were acknowledged and the others refused, each within the level."""
        level_ns, expected = self.load.service_level_s * 1e9, RECENT_NS / (self.load.probe_interval_ms * 1e6)
        with self.lock:
            told = [(*one, amount <= limit_minor) for one, amount in zip(self.recent, self.amounts, strict=True)]
        small = [outcome == ACKNOWLEDGED and done - due <= level_ns for done, due, outcome, is_small in told if is_small]
        large = [outcome == REFUSED and done - due <= level_ns for done, due, outcome, is_small in told if not is_small]
        seen = f"of {expected:.0f} payments due in the last {RECENT_NS / SECOND_NS:g} s, within {self.load.service_level_s:g} s:"
        seen += f" {sum(small)} of {len(small)} up to {limit_minor} acknowledged, {sum(large)} of {len(large)} above it refused"
        return all(small) and all(large) and bool(small and large) and len(told) >= BASELINE_SHARE_MIN * expected, seen

    # --- Whether service is back, by the verdict's own rule -----------------------------------------------------------
    def service(self) -> Service | None:
        """The probe's payments as far as it is known whether they are in order; None before there is any.

        Known is a payment that was answered, and one that was due longer ago than the service level and has no answer yet:
        it will not be in order. What is known ends at the first payment that may still be.
        """
        with self.lock:
            due, done = np.array(self.due, dtype=np.int64), np.array(self.done, dtype=np.int64)
            acknowledged = np.array(self.acknowledged, dtype=np.bool_)
        if not len(due):
            return None
        interval_ns, level_ns = round(self.load.probe_interval_ms * 1e6), round(self.load.service_level_s * 1e9)
        now_ns = max(self.clock(), int(due.max()))
        unanswered = missing(due, interval_ns, now_ns)
        open_ns = unanswered[unanswered > now_ns - level_ns - WRITTEN_NS].min(initial=now_ns)
        due = np.concatenate((due, unanswered))
        known = due < open_ns
        due = due[known]
        done = np.concatenate((done, np.full(len(unanswered), now_ns)))[known]
        acknowledged = np.concatenate((acknowledged, np.zeros(len(unanswered), dtype=np.bool_)))[known]
        if not len(due):
            return None
        for from_ns, to_ns in self.damaged:
            acknowledged &= (done < from_ns) | (done >= (now_ns + 1 if to_ns is None else to_ns))
        service = Service(due, done, acknowledged, interval_ns=interval_ns, level_ns=level_ns)
        if self.baseline_ns is not None:
            service.take_baseline(*self.baseline_ns)
        return service

    def sound_again(self, before_ns: int, after_ns: int) -> None:
        """A restore that began at `before_ns` ended what was damaged until then."""
        self.damaged = [
            (from_ns, after_ns if to_ns is None and from_ns < before_ns else to_ns) for from_ns, to_ns in self.damaged
        ]

    def undisturbed(self, since_ns: int) -> tuple[tuple[int, int] | None, str]:
        """The last `baseline_s` of which all is known, from-to, ns, if they began after `since_ns` in order; and what is seen.

        Without a probe nothing is known but the time.
        """
        span_ns = round(self.load.baseline_s * SECOND_NS)
        if self.load.probe_interval_ms <= 0:
            return ((since_ns, since_ns + span_ns) if self.clock() >= since_ns + span_ns else None), "no probe"
        if (service := self.service()) is None:
            return None, "no payment yet"
        from_ns, to_ns = service.end_ns - span_ns, service.end_ns
        due = (service.due >= from_ns) & (service.due < to_ns)
        share = 1 - float(service.out_of_order[due].mean())
        seen = f"{share:.1%} of {SECOND_NS / service.interval_ns:.0f} probe payments a second acknowledged in time"
        if (worst := failing_second(service.due[due], ~service.acknowledged[due])) is not None:
            seen += f", {worst[1]} of {worst[2]} in one second not at all"  # before a fault, the judge takes that for its effect
        in_order = share >= BASELINE_SHARE_MIN and worst is None
        return ((from_ns, to_ns) if from_ns >= max(since_ns, int(service.due[0])) and in_order else None), seen

    def restored(self, window: Window) -> tuple[bool, str]:
        """Whether service is back from that fault, watched for 10 s at least; and what is seen."""
        service = self.service()
        if service is None:
            return False, "no payment yet"
        now_ns = service.end_ns
        last_ns = max(window.before_ns, now_ns - SUSTAINED_NS)
        count = int((service.ack_done >= last_ns).sum())
        pause_s = service.pauses_in(last_ns, now_ns).longest_ns / SECOND_NS
        span_s = (now_ns - last_ns) / SECOND_NS
        seen = f"{count} payments acknowledged in the last {span_s:.1f} s, longest pause {pause_s:.2f} s"
        if now_ns - window.before_ns < SUSTAINED_NS:
            return False, seen
        outage = service.outage(before_ns=window.before_ns, after_ns=window.after_ns, window_end_ns=now_ns)
        return outage.return_ns is not None, seen

    def quick_again(self, window: Window) -> tuple[bool, str]:
        """Whether the 99th percentile is within the service level again since that fault, for 10 s; and what is seen."""
        service = self.service()
        if service is None:
            return False, "no payment yet"
        last = service.out_of_order[service.due >= max(window.before_ns, service.end_ns - SUSTAINED_NS)]
        seen = f"{int(last.sum())} of the last {len(last)} payments out of order"
        return service.p99_back_ns(window.before_ns, service.end_ns) is not None, seen

    def kept_waiting(self, window: Window) -> tuple[bool, str]:
        """Whether customers have felt that fault: service is out of order, by the rule of its return; and what is seen."""
        service = self.service()
        if service is None:
            return False, "no payment yet"
        since_ns = max(window.before_ns, service.end_ns - RECENT_NS)
        last = service.out_of_order[service.due >= since_ns]
        seen = f"{int(last.sum())} of {len(last)} payments out of order in {(service.end_ns - since_ns) / SECOND_NS:.1f} s"
        enough = service.end_ns - since_ns >= RECENT_NS
        return enough and bool(last.mean() > 1 - BASELINE_SHARE_MIN), seen

    def relapsed(self, window: Window) -> bool:
        """Whether service was seen back from that fault and is out of order again: a heal now would cut its return off."""
        return window.seen_back and (self.unsettled([window]) or not self.restored(window)[0])

    def unsettled(self, windows: Iterable[Window]) -> bool:
        """Whether it can't be told yet if service stayed.

        It was not watched for long enough, or is not in order right now, or payments wait for their answer just now.
        """
        service = self.service()
        if service is None:
            return False
        outages = [
            service.outage(before_ns=w.before_ns, after_ns=w.after_ns, window_end_ns=w.end_ns or service.end_ns) for w in windows
        ]
        waiting = self.clock() - service.end_ns > WAITING_NS
        return waiting or not service.in_order_at_end or any(outage.unsettled_return_ns is not None for outage in outages)


def missing(due: npt.NDArray[np.int64], interval_ns: int, now_ns: int) -> npt.NDArray[np.int64]:
    """The due times of the probe's schedule, from its first known payment to `now_ns`, that are not among `due`."""
    first = int(due.min())
    places = np.rint((due - first) / interval_ns).astype(np.int64)
    there = np.zeros((now_ns - first) // interval_ns + 1, dtype=np.bool_)
    there[places[places < len(there)]] = True
    return np.asarray(first + np.flatnonzero(~there) * interval_ns, dtype=np.int64)
