"""The load, from the harness's side: two processes, started and stopped in order, and read while they write."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from harness.errors import CouldNotTell
from harness.evidence import EventLog, Load, Plan

WINDOW_S = 10.0  # of sustained service
RATE_SHARE = 0.95
PAUSE_S_MAX = 1.0
START_WITHIN_S = 30.0


class Process:
    """One load process: it says `ready` when it sends, stops in order on SIGTERM, and dies with us (its stdin ends)."""

    def __init__(self, source: str, module: str, arguments: list[str], *, log: Path) -> None:
        self.source = source
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
        self.heard.set()

    def drain(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.stderr.append(line.rstrip())
            self.log.write(f"{self.source}: {line}")
            self.log.flush()

    def wait_ready(self) -> None:
        if not self.heard.wait(START_WITHIN_S) or self.process.poll() is not None:
            why = self.stderr[-1] if self.stderr else f"it ended with {self.process.poll()}"
            raise CouldNotTell(f"the load ({self.source}) did not start: {why}")

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


class Customers:
    """Both load processes of one run, and what the probe has seen so far."""

    def __init__(self, plan: Plan, directory: Path, door: str, events: EventLog) -> None:
        self.load: Load = plan.load
        self.directory = directory
        self.events = events
        self.lock = threading.Lock()
        self.recent: deque[tuple[int, int, str]] = deque()  # (done_ns, due_ns, outcome), the last 15 s
        self.acks: deque[int] = deque()  # done_ns of acknowledgements, the last 15 s
        self.baseline_rate_per_s: float | None = None
        common = ["--door", door, "--out", str(directory), "--run-id", plan.run_id, "--seed", str(plan.seed)]
        common += ["--timeout-s", str(self.load.probe_timeout_s)]
        log = directory / "harness.log"
        self.processes: list[Process] = []
        own = ["--customers", str(self.load.customers), "--rate", str(self.load.customer_rate_per_s)]
        own += ["--pay-share", str(self.load.pay_share)]
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
            process = Process(source, module, arguments, log=self.log)
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
            process.stop(within_s=self.load.probe_timeout_s + 10)
            self.events.write("load_stopped", f"{process.source} has stopped", source="customers", origin=process.source)
        self.stopping.set()

    def alive(self) -> str | None:
        """What is wrong with the load; None when it goes on."""
        for process in self.processes:
            if process.process.poll() is not None:
                why = process.stderr[-1] if process.stderr else "no reason given"
                return f"the load ({process.source}) ended with {process.process.returncode}: {why}"
        return None

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
                fields = line.split(",", 6)
                if len(fields) < 6 or not fields[3].isdigit():
                    continue
                done, due, outcome = int(fields[3]), int(fields[1]), fields[5]
                self.recent.append((done, due, outcome))
                if outcome == "acknowledged":
                    self.acks.append(done)
            horizon = time.monotonic_ns() - int((WINDOW_S + 5 + self.load.baseline_s) * 1e9)
            while self.recent and self.recent[0][0] < horizon:
                self.recent.popleft()
            while self.acks and self.acks[0] < horizon:
                self.acks.popleft()

    def numbers(self) -> Numbers:
        now = time.monotonic_ns()
        with self.lock:
            last = [(done - due, outcome) for done, due, outcome in self.recent if done > now - 10**9]
        acked = sorted(latency for latency, outcome in last if outcome == "acknowledged")
        p99 = acked[int(len(acked) * 0.99) - 1 if len(acked) > 1 else 0] / 1e6 if acked else None
        return Numbers(len(acked), len(last) - len(acked), p99)

    def acknowledged_since(self, from_ns: int) -> int:
        with self.lock:
            return sum(1 for done in self.acks if done >= from_ns)

    def sustained(self, after_ns: int) -> tuple[bool, str]:
        """Whether the last 10 s, all after `after_ns`, were sustained service as docs/evidence.md defines it."""
        now = time.monotonic_ns()
        start = max(after_ns, now - int(WINDOW_S * 1e9))
        with self.lock:
            acks = sorted(done for done in self.acks if done >= start)
        if now - after_ns < WINDOW_S * 1e9 or len(acks) < 2:
            return False, f"{len(acks)} payments acknowledged in the last {(now - start) / 1e9:.1f} s"
        rate = len(acks) / WINDOW_S
        pause = max(later - earlier for earlier, later in zip([start, *acks], [*acks, now], strict=True)) / 1e9
        seen = f"{rate:.0f} payments/s, longest pause {pause:.2f} s"
        enough = rate >= RATE_SHARE * (self.baseline_rate_per_s or float("inf"))
        return enough and pause <= PAUSE_S_MAX, seen
