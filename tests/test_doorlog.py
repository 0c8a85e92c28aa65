"""The front door's own record: what HAProxy writes, and how it is read back."""

from __future__ import annotations

import json
import re
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from judging.doorlog import LOG, DoorLog, read_door
from judging.evidence import Clock, Evidence
from judging.measure import measure
from runtime import engine, images, nodes
from tests.synthetic import ZERO_NS, ZERO_WALL, reseal, write_run

AT = ZERO_WALL.timestamp() + 20.125
STAMP = "2026-01-15T02:00:20.125000000Z"


def door_line(key: str, *, status: int = 201, at: float = AT, took: int = 7, end: str = "--") -> str:
    return f"{STAMP} pay key={quote(key)} status={status} at={at:.3f} took={took} end={end}\n"


def read(directory: Path, text: str) -> DoorLog:
    write_run(directory)
    (directory / LOG).write_bytes(text.encode("utf-8", "surrogateescape"))
    found = read_door(Evidence(directory))
    assert found is not None
    return found


def test_a_line_becomes_a_row_on_the_plans_clock(tmp_path: Path) -> None:
    door = read(tmp_path, door_line("run-p-0000001") + door_line("run-c-1-0000002", status=-1, took=-1, end="CH"))
    assert door.frame.to_dict("list") == {
        "key": ["run-p-0000001", "run-c-1-0000002"],
        "status": [201, -1],
        "at_ns": [ZERO_NS + 20_125_000_000] * 2,
        "took_ms": [7, -1],
        "end": ["--", "CH"],
    }
    assert (door.bad_lines, door.keyless, door.cut) == (0, 0, 0)


def test_without_a_log_there_is_no_record(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / LOG).unlink(missing_ok=True)
    assert read_door(Evidence(tmp_path)) is None


@pytest.mark.parametrize("text", ["", f"{STAMP} Server bank/dc1 is DOWN, reason: Layer4 timeout.\n", "\n\n", "\x00\xff\n"])
def test_what_is_no_payment_is_passed_over(text: str, tmp_path: Path) -> None:
    door = read(tmp_path, text)
    assert (len(door.frame), door.bad_lines, door.keyless) == (0, 0, 0)
    assert list(door.frame.columns) == ["key", "status", "at_ns", "took_ms", "end"]


@pytest.mark.parametrize("key", ["a b c", "tab\there", 'quote"back\\', "日本", "100% status=201", "line\nfeed", "\x1b[31m"])
def test_a_strange_key_stays_one_row(key: str, tmp_path: Path) -> None:
    door = read(tmp_path, door_line(key) + door_line("next"))
    assert door.frame["key"].tolist() == [key, "next"]
    assert door.bad_lines == 0


def test_keys_that_do_not_fit_are_told(tmp_path: Path) -> None:
    lines = door_line("x" * 127) + door_line("x" * 128) + door_line("é" * 64) + door_line("é" * 63) + door_line("-")
    door = read(tmp_path, lines)
    assert (len(door.frame), door.cut, door.keyless) == (4, 2, 1)


@pytest.mark.parametrize(
    "damaged",
    [
        f"{STAMP} pay key=k status=201 at=1\n",  # cut
        f"{STAMP} pay key=k status=2x1 at={AT:.3f} took=1 end=--\n",
        f"{STAMP} pay key=k status=201 at=yesterday took=1 end=--\n",
        f"{STAMP} pay key=k status=201 at={AT:.3f} took=1 end=\n",
        f"{STAMP} pay key=two words status=201 at={AT:.3f} took=1 end=--\n",
        f"{STAMP} pay key=\udcff two words more than a line may have and more\n",
        f"{STAMP} pay kay=k status=201 at={AT:.3f} took=1 end=--\n",
        f"{STAMP} pay key=k status=201 at={AT:.3f} took=9999999999999999999999 end=--\n",
        f'{STAMP} pay key="k status=201 at={AT:.3f} took=1 end=--\n',
        f"{STAMP} pay key=\udcff status=201 at={AT:.3f} took=1 end=--\n",
    ],
)
def test_a_damaged_line_is_counted_and_harms_no_other(damaged: str, tmp_path: Path) -> None:
    door = read(tmp_path, door_line("before") + damaged + door_line("after"))
    assert door.frame["key"].tolist() == ["before", "after"]
    assert door.bad_lines == 1


def test_lines_between_blocks_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judging.doorlog.BLOCK_BYTES", 4096)
    door = read(tmp_path, "".join(door_line(f"k-{n}") for n in range(2000)))
    assert door.frame["key"].tolist() == [f"k-{n}" for n in range(2000)]


# --- HAProxy itself ---------------------------------------------------------------------------------------------------
REQUESTS = {
    "plain": b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: run-p-0000001\r\nContent-Length: 2\r\n\r\n{}",
    "spaces": b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: a b status=201\r\nContent-Length: 2\r\n\r\n{}",
    "control": b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: x\x01\x1b[31m\x7f\r\nContent-Length: 2\r\n\r\n{}",
    "unicode": b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: \xe6\x97\xa5\r\nContent-Length: 2\r\n\r\n{}",
    "long": b"POST /payments HTTP/1.1\r\nHost: a\r\nIdempotency-Key: " + b"y" * 200 + b"\r\nContent-Length: 2\r\n\r\n{}",
    "keyless": b"POST /payments HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    "look": b"GET /payments/k HTTP/1.1\r\nHost: a\r\n\r\n",
    "ready": b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n",
    "other": b"POST /accounts HTTP/1.1\r\nHost: a\r\nIdempotency-Key: not-a-payment\r\nContent-Length: 2\r\n\r\n{}",
    "garbage": b"pay key=forged status=201 at=1.000 took=1 end=--\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.docker
def test_the_door_logs_payments_and_nothing_else(tmp_path: Path) -> None:
    """The configuration of the real door, before a bank that always says 201."""
    client = engine.connect()
    image = images.ensure(client, print).node
    config = nodes.BALANCER_HEAD.format(check_timeout=800) + "  mode http\nfrontend door\n  bind *:8080\n"
    config += "\n".join(nodes.DOOR_LOG) + "\n  default_backend bank\nbackend bank\n  http-request return status 201\n"
    container = client.containers.run(
        image, ["haproxy"], environment={"CONFIG": config}, labels={"drillbook": "door-log-test"},
        ports={"8080/tcp": ("127.0.0.1", 0)}, detach=True,
    )  # fmt: skip
    try:
        before_ns = time.time_ns()
        container.reload()
        published = container.ports["8080/tcp"]
        assert published
        port = int(published[0]["HostPort"])
        for request in REQUESTS.values():
            say(port, request)
        (tmp_path / "run").mkdir()
        write_run(tmp_path / "run")
        log = container.logs(timestamps=True)
    finally:
        container.remove(force=True)
    (tmp_path / "run" / LOG).write_bytes(log)
    now = datetime.now(UTC)
    evidence = Evidence(tmp_path / "run")
    clock = Clock(monotonic_ns=round(now.timestamp() * 1e9), wall=now.isoformat())  # at_ns becomes epoch time
    evidence.__dict__["plan"] = evidence.plan.model_copy(update={"clock": clock})
    door = read_door(evidence)
    assert door is not None
    # Each of the door's threads writes by itself: lines may change places.
    assert set(door.frame["key"]) == {"run-p-0000001", "a b status=201", "x\x01\x1b[31m\x7f", "日", "y" * 128}
    assert len(door.frame) == 5
    assert (door.bad_lines, door.keyless, door.cut) == (0, 1, 1), log.decode()
    assert set(door.frame["status"]) == {201}
    assert door.frame["at_ns"].between(before_ns - 10_000_000, time.time_ns()).all()


def say(port: int, request: bytes) -> None:
    """One request on a connection of its own; a door that is not up yet is waited for."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(request)
                if request and not connection.recv(65536):
                    raise ConnectionError("closed without an answer")
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_payment_without_a_key_is_counted_and_contradicts_nothing(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    door, events = directory / "logs" / "door.log", directory / "events.jsonl"
    last = door.read_text(encoding="utf-8").splitlines()[-1]
    keyless = re.sub(r"key=\S+ status=\S+", "key=- status=422", last)
    door.write_text(door.read_text(encoding="utf-8") + keyless + "\n", encoding="utf-8")
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    for event in told:
        if event["kind"] == "door_log":
            event["data"]["payments"] += 1
    events.write_text("".join(json.dumps(event) + "\n" for event in told), encoding="utf-8")
    reseal(directory)
    assert measure(Evidence(directory)).doubts == []
