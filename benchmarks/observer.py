"""An observer that shares no code with the harness: `python -m benchmarks.observer`.

Starts `drillbook run center-loss --keep`, finds the door by `drillbook status --json`, and pays through it from threads of its
own, a payment due every 25 ms, by the standard library's HTTP client. Afterwards it asks the door for each payment that it was
told is committed, and holds its own longest pause and its own losses against verdict.json. Ends with 0 when they agree.
"""

from __future__ import annotations

import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EVERY_S = 0.025
TIMEOUT_S = 3.0
DRILLBOOK = str(Path(sys.executable).with_name("drillbook"))
# Both instruments see the same pause from their own last and first payment: they may differ by one interval and one answer each.
AGREE_WITHIN_S = 0.5


class Observer:
    def __init__(self, door: str) -> None:
        parts = urlsplit(door)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.acknowledged: list[tuple[float, str]] = []
        self.other = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.last: list[threading.Thread] = []

    def call(self, method: str, path: str, body: Any = None, key: str = "") -> int:
        connection = http.client.HTTPConnection(*self.address, timeout=TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/json", **({"Idempotency-Key": key} if key else {})}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def pay(self, key: str) -> None:
        status = self.call("POST", "/payments", {"debit": "acc-0500", "credit": "acc-0501", "amount_minor": 1}, key)
        with self.lock:
            if status in (200, 201):
                self.acknowledged.append((time.monotonic(), key))
            else:
                self.other += 1

    def run(self) -> None:
        due, number = time.monotonic(), 0
        while not self.stopping.is_set():
            thread = threading.Thread(target=self.pay, args=(f"observer-{number:06d}",), daemon=True)
            thread.start()
            self.last = [*self.last[-400:], thread]
            number += 1
            due += EVERY_S
            self.stopping.wait(max(0.0, due - time.monotonic()))
        for thread in self.last:
            thread.join(TIMEOUT_S + 1)

    def longest_pause_s(self) -> float:
        times = sorted(t for t, _ in self.acknowledged)
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=float("inf"))

    def lost(self) -> list[str]:
        """Told committed, and the door says 404 now. Raises when the door says neither 200 nor 404."""
        gone = []
        for _, key in self.acknowledged:
            status = self.call("GET", f"/payments/{key}")
            if status not in (200, 404):
                raise RuntimeError(f"GET /payments/{key}: expected 200 or 404; seen {status}")
            if status == 404:
                gone.append(key)
        return gone


def find_door(drill: subprocess.Popen[bytes]) -> tuple[str, str, str]:
    """(run id, door, run directory) once customers pay: the observer must not count the start as an outage."""
    while drill.poll() is None:
        listed = json.loads(subprocess.run([DRILLBOOK, "status", "--json"], capture_output=True, check=True).stdout)
        for one in listed:
            events = Path(one.get("directory", "")) / "events.jsonl"
            if events.is_file() and '"kind":"load_started"' in events.read_text():
                return one["run_id"], one["door"], one["directory"]
        time.sleep(0.2)
    raise RuntimeError("the drill ended before its customers paid")


def main() -> int:
    drill = subprocess.Popen([DRILLBOOK, "run", "center-loss", "--keep"], stdout=subprocess.DEVNULL)
    run_id, door, directory = find_door(drill)
    observer = Observer(door)
    paying = threading.Thread(target=observer.run)
    paying.start()
    code = drill.wait()
    observer.stopping.set()
    paying.join()
    try:
        lost = observer.lost()
    finally:
        subprocess.run([DRILLBOOK, "down", run_id], check=True)
    verdict = json.loads((Path(directory) / "verdict.json").read_text())
    measured = verdict["measured"]
    pause = observer.longest_pause_s()
    difference = abs(pause - measured["interruption_s"])
    print(f"drill: {verdict['verdict']} (exit code {code}), run {run_id}")
    print(f"observer: {len(observer.acknowledged)} acknowledged, {observer.other} not; pause {pause:.3f} s; {len(lost)} lost")
    print(f"verdict:  interruption_s {measured['interruption_s']}, lost_transactions {measured['lost_transactions']}")
    agree = difference <= AGREE_WITHIN_S and len(lost) == measured["lost_transactions"] == 0
    print(f"pauses differ by {difference * 1000:.0f} ms: {'they agree' if agree else 'THEY DISAGREE'}")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
