"""How wrong is the instrument? The real probe and the real measurement, against outages whose length is known.

    python -m benchmarks.instrument [--outages 0.3,1,3,10,30] [--modes refuse,reset,hang,stall,down] [--rounds N]

A stand-in for the bank (tests/standin.py) takes itself out of service and notes on the same clock when that began and
ended. The probe that drills use watches it; the rest is written as a run directory (docs/evidence.md) and handed to
`judging.measure.measure`. One run a mode, one fault an outage. Exit 1 when a measured RTO is further from the truth than
`--limit-ms`, or when the truth lies outside the resolution that the measurement states for itself.

`late` is the latest that the probe sent a payment near the borders of the outage. `host pause` is how much longer than
asked a bare 10 ms sleep took there: what the machine itself adds, with no instrument running.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from judging.evidence import (
    EVIDENCE_VERSION,
    Clock,
    EventLog,
    Evidence,
    Load,
    Plan,
    Targets,
    seal,
    sha256_of,
    write_atomically,
)
from judging.measure import measure

BASELINE_S = 5.0
SUSTAINED_S = 11.0  # 10 s of service are asked for after an outage, and a margin
LIMIT_MS = 20.0
NEAR_NS = 300_000_000  # a pause of the host this close to a border of the outage can move the figure
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Truth:
    mode: str
    began_ns: int
    ended_ns: int

    @property
    def rto_s(self) -> float:
        return (self.ended_ns - self.began_ns) / 1e9


@dataclass(frozen=True)
class Result:
    truth: Truth
    rto_s: float | None
    resolution_s: float | None
    late_ms: float
    host_pause_ms: float

    @property
    def error_ms(self) -> float:
        return float("inf") if self.rto_s is None else (self.rto_s - self.truth.rto_s) * 1e3

    @property
    def explained(self) -> bool:
        """Whether the truth lies within the resolution that the measurement states for itself."""
        return self.resolution_s is not None and abs(self.error_ms) <= self.resolution_s * 1e3


class Standin:
    """The stand-in's process and its two pipes."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.standin"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.door = str(self.hear("listening")["door"])
        # Its clock is the truth, so it must not wait for a processor while others work.
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(self.process.pid, os.SCHED_RR, os.sched_param(1))

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")

    def hear(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        if said["event"] != event:
            raise RuntimeError(f"expected the stand-in to say {event!r}; seen {said}")
        return said

    def outage(self, mode: str, seconds: float) -> Truth:
        self.tell(f"outage {mode} {seconds}")
        began = self.hear("began")
        return Truth(mode, began["t_ns"], self.hear("ended")["t_ns"])

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)


class HostPauses(threading.Thread):
    """A bare sleeper: how long the machine lets a process wait that asks for nothing but to be woken."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[int, float]] = []  # when, and ms over what was asked; only what is worth telling
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            before_ns = time.monotonic_ns()
            time.sleep(0.01)
            now_ns = time.monotonic_ns()
            self.seen.append((now_ns, (now_ns - before_ns) / 1e6 - 10))

    def near(self, truth: Truth) -> float:
        """The longest, ms, near the borders of an outage."""
        return max((over for at, over in self.seen if _near(truth, at)), default=0.0)


def _near(truth: Truth, at_ns: int) -> bool:
    return min(abs(at_ns - truth.began_ns), abs(at_ns - truth.ended_ns)) < NEAR_NS


@contextlib.contextmanager
def load(directory: Path, door: str, *, interval_ms: float, customers_per_s: float) -> Iterator[None]:
    """The probe, and Locust beside it when asked for; both have stopped in order when this returns."""
    common = ["--door", door, "--out", str(directory), "--run-id", directory.name, "--seed", "1"]
    watch = ["--parent-pid", str(os.getpid())]
    commands = [[sys.executable, "-m", "load.probe", "--interval-ms", str(interval_ms), *common, *watch]]
    if customers_per_s:
        commands.append([sys.executable, "-m", "load.customers", "--rate", str(customers_per_s), *common, *watch])
    running = [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.PIPE, text=True) for c in commands]
    try:
        for process in running:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError(f"expected {process.args!r} to become ready; it ended with {process.wait()}")
        yield
    finally:
        for process in running:
            process.terminate()
        codes = [process.wait(timeout=30) for process in running]
    if any(codes):
        raise RuntimeError(f"expected the load to end with 0; seen {codes}")


def write_plan(directory: Path, *, interval_ms: float) -> None:
    plan = Plan(
        evidence_version=EVIDENCE_VERSION,
        drill="instrument",
        claim="The instrument tells how long service was gone.",
        run_id=directory.name,
        seed=1,
        topology={"name": "stand-in", "centers": [], "links": [], "settings": {}},
        targets=Targets(),
        load=Load(probe_interval_ms=interval_ms, baseline_s=BASELINE_S),
        environment_class="lab-containers",
        drill_kind="test",
        environment={"python": platform.python_version(), "kernel": platform.release(), "degraded": []},
        clock=Clock.now(),
    )
    write_atomically(directory / "plan.json", plan.model_dump_json(indent=2) + "\n")


def tell_fault(events: EventLog, fault_id: str, truth: Truth) -> None:
    """What the runner would write of an injection that is known to the nanosecond."""
    name = f"Outage-{truth.mode}"
    about: dict[str, Any] = {"id": fault_id, "name": name, "target": "stand-in"}
    events.write(
        "intent",
        "The stand-in goes out of service.",
        t_ns=truth.began_ns,
        **about,
        args={},
        effect={"down": [], "cut": []},
        undo="it comes back by itself",
    )
    events.write("injected", "It is out of service.", id=fault_id, before_ns=truth.began_ns, after_ns=truth.began_ns)


def watch(directory: Path, mode: str, outages_s: Sequence[float], options: argparse.Namespace) -> list[Result]:
    """One run: every outage in one mode, one after the other. Returns what was true and what was measured."""
    directory.mkdir(parents=True)
    write_plan(directory, interval_ms=options.interval_ms)
    events = EventLog(directory / "events.jsonl")
    events.write("plan_registered", "The plan.", sha256=sha256_of(directory / "plan.json"))
    standin, pauses, truths = Standin(), HostPauses(), []
    pauses.start()
    try:
        with load(directory, standin.door, interval_ms=options.interval_ms, customers_per_s=options.customers_rate):
            time.sleep(0.5)
            from_ns = time.monotonic_ns()
            time.sleep(BASELINE_S)
            events.write("baseline", "Undisturbed.", from_ns=from_ns, to_ns=time.monotonic_ns())
            for number, seconds in enumerate(outages_s, 1):
                truths.append(standin.outage(mode, seconds))
                tell_fault(events, f"f{number}", truths[-1])
                # Not a whole number of intervals, so that outages begin at any point of the probe's schedule.
                time.sleep(SUSTAINED_S + number * 0.0037)
                events.write("heal_started", "The fault's window ends.", id=f"f{number}")
                time.sleep(0.2)  # the next outage's pause must not begin in this window
    finally:
        pauses.ended.set()
        standin.end()
        events.close()
    seal(directory, run_id=directory.name)
    return compare(directory, truths, pauses)


def compare(directory: Path, truths: Sequence[Truth], pauses: HostPauses) -> list[Result]:
    faults = {fault.id: fault for fault in measure(Evidence(directory)).faults}
    with (directory / "probe.csv").open(encoding="utf-8", newline="") as file:
        late = [(int(row["due_ns"]), (int(row["sent_ns"]) - int(row["due_ns"])) / 1e6) for row in csv.DictReader(file)]
    results = []
    for number, truth in enumerate(truths, 1):
        fault = faults.get(f"f{number}")
        late_ms = max((ms for due_ns, ms in late if _near(truth, due_ns)), default=0.0)
        rto_s, resolution_s = (fault.rto_s, fault.rto_resolution_s) if fault else (None, None)
        results.append(Result(truth, rto_s, resolution_s, late_ms, pauses.near(truth)))
    return results


HEAD = "mode     true RTO s  measured s   error ms  resolution ms    late ms  host pause ms"


def line(result: Result) -> str:
    measured = "         –" if result.rto_s is None else f"{result.rto_s:10.4f}"
    resolution = "–" if result.resolution_s is None else f"{result.resolution_s * 1e3:.1f}"
    figures = f"{result.truth.rto_s:10.4f}  {measured} {result.error_ms:10.2f}  {resolution:>13}"
    return f"{result.truth.mode:8} {figures} {result.late_ms:10.2f} {result.host_pause_ms:14.2f}"


def steal_s() -> float:
    """CPU seconds that the hypervisor gave to others since the machine started (0 where the kernel doesn't say)."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/stat").read_text(encoding="utf-8").split()[8]) / os.sysconf("SC_CLK_TCK")
    return 0.0


def report(results: Sequence[Result], *, limit_ms: float, stolen_s: float, took_s: float) -> int:
    worst = max(results, key=lambda result: abs(result.error_ms))
    errors = sorted(abs(result.error_ms) for result in results)
    share = stolen_s / took_s / (os.cpu_count() or 1)
    print(f"\n{len(results)} outages; |error| median {errors[len(errors) // 2]:.2f} ms, worst {errors[-1]:.2f} ms")
    print(f"worst: {worst.truth.mode} of {worst.truth.rto_s:.3f} s; the host was without its processors {share:.1%} of the time")
    unexplained = [result for result in results if not result.explained]
    for result in unexplained:
        print(f"outside its own resolution: {result.truth.mode} of {result.truth.rto_s:.3f} s")
    beyond = errors[-1] > limit_ms
    print(f"limit {limit_ms:g} ms: {'missed' if beyond else 'kept'}")
    return 1 if beyond or unexplained else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How far a measured RTO is from the truth.")
    parser.add_argument("--outages", default="0.3,1,3,10,30", help="seconds, with commas")
    parser.add_argument("--modes", default="refuse,reset,hang,stall,down")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--interval-ms", type=float, default=10.0, help="of the probe")
    parser.add_argument("--customers-rate", type=float, default=0.0, help="Locust beside it, requests a second")
    parser.add_argument("--limit-ms", type=float, default=LIMIT_MS)
    parser.add_argument("--out", type=Path, help="keep the run directories here")
    options = parser.parse_args(argv)
    outages_s = [float(text) for text in options.outages.split(",")]
    modes = options.modes.split(",")
    each_s = BASELINE_S + sum(outages_s) + len(outages_s) * SUSTAINED_S
    took = timedelta(seconds=round(each_s * len(modes) * options.rounds))
    print(f"{len(outages_s) * len(modes) * options.rounds} outages, about {took}\n\n{HEAD}", flush=True)
    results: list[Result] = []
    stolen_s, started = steal_s(), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        base = (options.out or Path(temporary)) / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for number in range(1, options.rounds + 1):
            for mode in modes:
                seen = watch(base / f"{mode}-{number}", mode, outages_s, options)
                print("\n".join(map(line, seen)), flush=True)
                results += seen
    return report(results, limit_ms=options.limit_ms, stolen_s=steal_s() - stolen_s, took_s=time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
