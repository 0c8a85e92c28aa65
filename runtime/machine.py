"""One running container's first process, held by root on the engine's own host: its death, its network, its processes.

What is asked of it needs no engine and starts no program. Whoever is not root, or not on the engine's host, gets none
(`Machine.of` returns None) and goes through the engine.
"""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import select
import socket
import struct
import threading
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCGIFCONF = 0x8912
CGROUPS = Path("/sys/fs/cgroup")
LIBC = ctypes.CDLL(None, use_errno=True)


class Machine:
    """Holds the process and its network namespace open until it is garbage: a process id that is used anew can't be mistaken."""

    def __init__(self, pid: int, pidfd: int, network_fd: int, cgroups: dict[str, str]) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.network_fd = network_fd
        self.cgroups = cgroups  # path by controller; "" is the unified tree
        self.killed = False  # by us: it can't run any more, though the kernel may not have buried it yet

    @staticmethod
    def of(pid: int, container_id: str) -> Machine | None:
        """The machine of a container's first process; None when it may not be held, or isn't surely that container's."""
        if os.geteuid() != 0 or pid <= 0:
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        try:
            # Asked after the process is held: from here on the number can't mean another one.
            lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
            cgroups = {name: path for _, name, path in (line.split(":", 2) for line in lines) if container_id in path}
            network_fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(pidfd)
            return None
        machine = Machine(pid, pidfd, network_fd, cgroups)
        return machine if cgroups and machine.alive() else None

    def __del__(self) -> None:
        os.close(self.pidfd)
        os.close(self.network_fd)

    def alive(self) -> bool:
        """False once the first process, and every other of the container with it, is dead."""
        waiting = select.poll()
        waiting.register(self.pidfd, select.POLLIN)
        return not waiting.poll(0)

    # --- Its network --------------------------------------------------------------------------------------------------
    def socket(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """A socket of ours that belongs to the machine's network, as if one of its programs had opened it.

        A thread enters the namespace, opens it and ends: no other thread ever is anywhere else than before. Raises OSError.
        """
        opened: list[socket.socket] = []
        failed: list[int] = []

        def enter() -> None:
            if LIBC.setns(self.network_fd, CLONE_NEWNET) != 0:
                failed.append(ctypes.get_errno())
                return
            try:
                opened.append(socket.socket(family, kind, protocol))
            except OSError as error:
                failed.append(error.errno or 0)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise OSError(failed[0], f"no socket in the network of process {self.pid}: {os.strerror(failed[0])}")
        return opened[0]

    def interface(self, address: str) -> str:
        """The name of the interface that has that address. Raises OSError."""
        room = array.array("B", bytes(40 * 256))
        with self.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            start, _ = room.buffer_info()
            said = fcntl.ioctl(asking, SIOCGIFCONF, struct.pack("@iP", len(room), start))
        (used,) = struct.unpack_from("@i", said)
        wanted = socket.inet_aton(address)
        for at in range(0, used, 40):
            entry = room[at : at + 40].tobytes()
            if entry[20:24] == wanted:
                return entry[:16].split(b"\0", 1)[0].decode()
        raise OSError(f"no interface with {address} in the network of process {self.pid}")

    # --- Its processes ------------------------------------------------------------------------------------------------
    def cgroup(self, *controllers: str) -> Path | None:
        """The directory of the container's control group under the first of `controllers` that is there."""
        for name in controllers:
            if name in self.cgroups:
                for tree in (name.removeprefix("name="), "unified", "."):
                    path = CGROUPS / tree / self.cgroups[name].lstrip("/")
                    if (path / "cgroup.procs").is_file():
                        return path
        return None

    def processes(self) -> list[int]:
        """A pidfd for every process of the container but the first, as far as they are known. The caller closes them."""
        found: list[int] = []
        group = self.cgroup("pids", "memory", "freezer", "name=systemd", "")
        try:
            pids = [int(pid) for pid in (group / "cgroup.procs").read_text().split()] if group else []
        except OSError:
            return found
        for pid in pids:
            if pid == self.pid:
                continue
            try:
                held = os.pidfd_open(pid)
            except OSError:
                continue  # gone meanwhile
            if self.owns(pid):
                found.append(held)
            else:
                os.close(held)
        return found

    def threads(self) -> Path | None:
        """The file that lists every thread of the container; None where there is none."""
        group = self.cgroup("pids", "memory", "freezer", "name=systemd", "")
        names = ("tasks", "cgroup.threads")
        return None if group is None else next((group / name for name in names if (group / name).is_file()), None)

    def owns(self, pid: int) -> bool:
        try:
            text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8")
        except OSError:
            return False
        return any(line.split(":", 2)[2] in self.cgroups.values() for line in text.splitlines())

    def frozen(self) -> bool:
        """Whether the kernel lets none of its processes run; False where no control group says so."""
        for controllers, name, word in ((("freezer",), "freezer.state", "FROZEN"), (("",), "cgroup.events", "frozen 1")):
            group = self.cgroup(*controllers)
            try:
                if group is not None and (group / name).is_file():
                    return word in (group / name).read_text().splitlines()
            except OSError:  # it died meanwhile
                return False
        return False

    def thaw_fd(self) -> tuple[int, str] | None:
        """A descriptor (the caller closes it) and what to write to it so that a frozen container runs on; None: there is none."""
        for controllers, name, word in ((("freezer",), "freezer.state", "THAWED"), (("",), "cgroup.freeze", "0")):
            group = self.cgroup(*controllers)
            if group is not None and (group / name).is_file():
                return os.open(group / name, os.O_WRONLY | os.O_CLOEXEC), word
        return None
