"""One file on a node's disk, held open: read and changed in place, behind the back of whoever else works with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

CHANGE = """
import os, sys
path, offset, count, new = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
file = os.open(path, os.O_RDWR if new else os.O_RDONLY)
print(os.pread(file, count, offset).hex())
if new:
    os.pwrite(file, new, offset)
"""


class OpenFile(Protocol):
    """Offsets in bytes. Reading and writing raise OSError, and `read` EOFError where the file is shorter."""

    def read(self, offset: int, count: int) -> bytes: ...

    def write(self, offset: int, new: bytes) -> None: ...

    def close(self) -> None: ...


class HeldFile:
    """Opened through the root directory of a process that sees it. For root on the engine's own host."""

    def __init__(self, pid: int, path: str) -> None:
        self.path = path
        self.fd: int | None = os.open(f"/proc/{pid}/root{path}", os.O_RDWR | os.O_CLOEXEC)

    @property
    def opened(self) -> int:
        if self.fd is None:
            raise OSError(f"{self.path} is closed")
        return self.fd

    def read(self, offset: int, count: int) -> bytes:
        found = os.pread(self.opened, count, offset)
        if len(found) != count:
            raise EOFError(f"{self.path} ends before byte {offset + count}")
        return found

    def write(self, offset: int, new: bytes) -> None:
        os.pwrite(self.opened, new, offset)

    def close(self) -> None:
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


class RemoteFile:
    """The same by a program in the container, through the engine. `run` takes a command and returns what it printed."""

    def __init__(self, path: str, run: Callable[[list[str]], str]) -> None:
        self.path = path
        self.run = run

    def read(self, offset: int, count: int) -> bytes:
        found = bytes.fromhex(self.run(["python3", "-c", CHANGE, self.path, str(offset), str(count), ""]).strip())
        if len(found) != count:
            raise EOFError(f"{self.path} ends before byte {offset + count}")
        return found

    def write(self, offset: int, new: bytes) -> None:
        self.run(["python3", "-c", CHANGE, self.path, str(offset), str(len(new)), new.hex()])

    def close(self) -> None:
        """Nothing is held."""
