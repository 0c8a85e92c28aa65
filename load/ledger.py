"""What the probe and the customers share: how a payment is drawn, judged and written down, and when to stop.

docs/evidence.md describes the files. This room imports nothing of ours, so the columns stand here a second time; a
test holds them against the harness's.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import fcntl
import http.client
import io
import json
import os
import random
import select
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

PAYMENT_COLUMNS = (
    "key", "due_ns", "sent_ns", "done_ns", "status", "outcome", "debit", "credit", "amount_minor", "error",
)  # fmt: skip
READ_COLUMNS = ("key", "sent_ns", "done_ns", "status")
AMOUNT_MINOR_MAX = 1000
COULD_NOT_START = 3
SCRIBE_S = 0.02  # rows are safe in the pipe: many at a time cost one turn of a core instead of one each
START_PATIENCE_S = 10.0


class CouldNotStart(Exception):
    """The door cannot be reached or makes no sense; the process ends with exit code 3 and this one line."""


class Door(NamedTuple):
    host: str
    port: int

    @staticmethod
    def parse(url: str) -> Door:
        """From `http://host:port`. Raises CouldNotStart for anything else."""
        parts = urlsplit(url)
        try:
            port = parts.port or 80
        except ValueError as error:
            raise CouldNotStart(f"--door: {error}; seen {url!r}") from error
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise CouldNotStart(f"--door: expected http://host:port; seen {url!r}")
        return Door(parts.hostname, port)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def resolve(self, *, timeout_s: float) -> tuple[socket.AddressFamily, Any]:
        """The family and address at which the door answers; a name may have others where nobody listens.

        Raises CouldNotStart when none does.
        """
        try:
            with socket.create_connection((self.host, self.port), timeout=timeout_s) as connected:
                return connected.family, connected.getpeername()
        except OSError as error:
            raise CouldNotStart(f"expected {self.authority} to accept a connection; seen {error!r}") from error

    def accounts(self, *, timeout_s: float, patience_s: float = 0) -> list[str]:
        """The account ids to pay between, sorted so that a seed means the same payments on every run.

        A busy machine may close the door for a moment: asks again for `patience_s`. Raises CouldNotStart when GET /accounts
        does not answer 200 with at least two ids.
        """
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self._accounts(timeout_s=timeout_s)
            except CouldNotStart:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.1)

    def _accounts(self, *, timeout_s: float) -> list[str]:
        expected = f"expected GET http://{self.authority}/accounts to answer 200 with two account ids or more"
        # http.client on purpose: it knows nothing of the environment's proxies.
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request("GET", "/accounts")
            response = connection.getresponse()
            text = response.read()
            found = json.loads(text) if response.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CouldNotStart(f"{expected}; seen {error!r}. Is the topology up?") from error
        finally:
            connection.close()
        if response.status != 200:
            raise CouldNotStart(f"{expected}; seen status {response.status}. Is the topology ready?")
        accounts = found.get("accounts") if isinstance(found, dict) else found
        ids = {account for account in accounts if isinstance(account, str)} if isinstance(accounts, list) else set()
        if len(ids) < 2:
            raise CouldNotStart(f"{expected}; seen {text[:100]!r}")
        return sorted(ids)


class Transfer(NamedTuple):
    debit: str
    credit: str
    amount_minor: int

    @staticmethod
    def draw(choice: random.Random, accounts: Sequence[str]) -> Transfer:
        debit, credit = choice.sample(accounts, 2)
        return Transfer(debit, credit, choice.randint(1, AMOUNT_MINOR_MAX))

    def json_text(self) -> str:
        return json.dumps(self._asdict())


class Row(NamedTuple):
    """One payment, in the columns of docs/evidence.md. `status` is None when no answer came."""

    key: str
    due_ns: int
    sent_ns: int
    done_ns: int
    status: int | None
    transfer: Transfer
    error: str = ""

    def fields(self) -> list[object]:
        status = "" if self.status is None else self.status
        error = " ".join(self.error.split())  # one line a row, whatever the error says
        return [self.key, self.due_ns, self.sent_ns, self.done_ns, status, outcome(self.status), *self.transfer, error]


class Read(NamedTuple):
    """A payment that was read back, in the columns of docs/evidence.md. `status` is None when no answer came."""

    key: str
    sent_ns: int
    done_ns: int
    status: int | None

    def fields(self) -> list[object]:
        return [self.key, self.sent_ns, self.done_ns, "" if self.status is None else self.status]


def outcome(status: int | None) -> str:
    """What an HTTP status, or its absence, says about a payment (docs/evidence.md)."""
    if status in (200, 201):
        return "acknowledged"
    return "refused" if status in (409, 422, 503) else "unknown"


class Ledger:
    """Appends rows to a CSV file that others read while it grows: every write is whole lines.

    A row is with the kernel when `add` returns: whoever is killed after that, by SIGKILL too, has lost nothing of it.
    """

    def __init__(self, path: Path, columns: Sequence[str] = PAYMENT_COLUMNS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL: the ledger of another run is evidence, and never overwritten or added to.
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise CouldNotStart(f"expected to create {path}; seen {error}. Name a new directory with --out.") from error
        self.recorded = 0
        self._text = io.StringIO()
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._put(self._line(columns))

    def add(self, row: Row | Read) -> None:
        self._put(self._line(row.fields()))
        self.recorded += 1

    def copy(self, line: bytes) -> None:
        """A whole row, with its line end, that somebody else's ledger has."""
        self._put(line)
        self.recorded += 1

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)

    def _line(self, fields: Sequence[object]) -> bytes:
        self._writer.writerow(fields)
        line = self._text.getvalue().encode()
        self._text.seek(0)
        self._text.truncate()
        return line

    def _put(self, data: bytes) -> None:
        write_all(self._file, data)


class PipedLedger(Ledger):
    """A ledger whose writer never waits for a disk: `add` puts the row into a pipe, and a process of its own, the scribe,
    takes it from there to the file.

    A write to a file may wait for somebody else's fsync, one to a pipe with room does not; and what is in a pipe outlives
    whoever put it there. The scribe ends when the pipe does. One that is killed ends the recorder with an error.
    """

    PIPE_BYTES = 1 << 20  # at 100 rows a second, a disk that stalls for a minute and a half

    def __init__(self, path: Path) -> None:
        self._rest = b""  # of rows for which the pipe had no room
        super().__init__(path)
        out, into = os.pipe()
        with contextlib.suppress(OSError):  # beyond what a user may have: then it is 64 KiB, for six seconds
            fcntl.fcntl(into, fcntl.F_SETPIPE_SZ, self.PIPE_BYTES)
        self._scribe = os.fork()
        if self._scribe == 0:
            os.close(into)
            os._exit(_scribe(out, self._file))
        os.close(out)
        os.close(self._file)
        self._file = into
        os.set_blocking(into, False)

    def close(self) -> None:
        os.set_blocking(self._file, True)
        self._put(b"")
        os.close(self._file)
        _, status = os.waitpid(self._scribe, 0)
        if status != 0:
            raise OSError(f"the ledger's scribe ended with {os.waitstatus_to_exitcode(status)}: rows are missing")

    def _put(self, data: bytes) -> None:
        self._rest += data
        with contextlib.suppress(BlockingIOError):  # the pipe is full: with the next row again
            while self._rest:
                self._rest = self._rest[os.write(self._file, self._rest) :]


def _scribe(out: int, file: int) -> int:
    """From the pipe to the file until the pipe ends; returns the exit code. It outlives signals that stop the recorder."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.close(0)  # the recorder's stdin tells it of its parent's end
        while data := os.read(out, 65536):
            write_all(file, data)
            time.sleep(SCRIBE_S)
        os.fsync(file)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.write(2, f"the ledger's scribe: {error}\n".encode())
        return 1
    return 0


def write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]


def write_atomically(path: Path, what: dict[str, Any]) -> None:
    """Write JSON so that a reader, or a crash, sees the whole file or none."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(what, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Guardian:
    """Whoever started us. When it is gone we stop in order, so that nothing is left behind. What it says comes by stdin."""

    def __init__(self, *, parent_pid: int | None, stop_on_eof: bool) -> None:
        self._parent_pid = parent_pid
        # A direct parent is watched by getppid, which cannot be fooled by a zombie or by a pid used again.
        self._direct = parent_pid == os.getppid()
        self._stop_on_eof = stop_on_eof
        self._said = b""

    def said(self) -> list[str]:
        """The lines that have come since the last call; only who asks `gone` hears them."""
        *lines, self._said = self._said.split(b"\n")
        return [line.decode(errors="replace") for line in lines]

    def gone(self) -> bool:
        """True once the parent has died or stdin has ended. Cheap; never blocks."""
        return self._parent_gone() or (self._stop_on_eof and self._stdin_ended())

    def _parent_gone(self) -> bool:
        if self._parent_pid is None:
            return False
        if self._direct:
            return os.getppid() != self._parent_pid
        try:
            os.kill(self._parent_pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it is there, and somebody else's
        return False

    def _stdin_ended(self) -> bool:
        readable, _, _ = select.select([0], [], [], 0)
        if not readable:
            return False
        self._said += (data := os.read(0, 4096))
        return not data


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that the probe and the customers have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--door", required=True, help="http://host:port of the payment service")
    parser.add_argument("--out", required=True, type=Path, help="the run directory")
    parser.add_argument("--run-id", required=True, help="begins every key")
    parser.add_argument("--seed", required=True, type=int, help="of all random choices")
    parser.add_argument("--timeout-s", type=float, default=3.0, help="patience with one payment")
    parser.add_argument("--patience-s", type=float, default=START_PATIENCE_S, help="with the first answer of the door")
    parser.add_argument("--parent-pid", type=int, help="stop when this process is gone")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when stdin ends")
    return parser
