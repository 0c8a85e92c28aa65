"""The host witness: records what the machine itself does while a drill runs. `python -m harness.witness --out RUN`.

Appends to witness.csv and writes witness.json as docs/evidence.md describes them. Prints `ready` when it sees; SIGTERM or the
end of its stdin stop it in order. It stands outside all containers: what it sees is the host's doing, not the bank's.

One small process for each thing that it watches, forked from a process that has imported next to nothing: threads of one
interpreter would wait for each other's lock, and that would be measured. All write whole lines into one pipe, and the parent
alone writes the file: a disk that stalls must not delay a wake. Standard library only; the harness starts it with `Witness`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import mmap
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from judging.evidence import EventLog

COLUMNS = "from_ns,to_ns,kind,core,late_ns,data"
WAKE_EVERY_S = 0.01  # each wake costs 50 to 70 µs of its core: at 5 ms two cores would cost 2.8 % of one
WAKE_SPAN_NS = 100_000_000
WAKE_TOLD_NS = 20_000_000  # a wake as late as this gets a row of its own: the longest of a span would hide a second one
SYNC_EVERY_S = 0.25
SYNC_BYTES = 4096
SPAN_S = 0.5  # of pressure and cpu
COLLECT_EVERY_S = 0.25
STOP_WITHIN_S = 5.0  # a sync that hangs in a stall is waited for: it is what has to be told
READY_WITHIN_S = 10.0
CORES_MAX = 16  # each costs 0.6 % of one core: of more, some are watched for all
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
CGROUPS = Path("/sys/fs/cgroup")
PRESSURE = {"cpu": ("some",), "io": ("some", "full"), "memory": ("some",)}
ENGINE = {
    "dockerd",
    "containerd",
    "containerd-shim",
    "runc",
    "docker-proxy",
    "docker-init",
}  # as the kernel cuts them: 15 letters
CONTAINER_ID = re.compile(r"[0-9a-f]{64}")

Emit = Callable[[int, int, str, int | None, int | None, dict[str, int]], None]  # from, to, kind, core, late, data: a row


class Going:
    """Whether to go on. A signal only says so: a sync that hangs is still told when it ends."""

    def __init__(self) -> None:
        self.on = True
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def stop(self, *_: object) -> None:
        self.on = False


Watch = Callable[[Emit, Going], None]


# --- What can be seen here -----------------------------------------------------------------------------------------------
def describe(databases_on: Path, directory: Path) -> dict[str, Any]:
    """The `witness` of a plan: what can be seen on this host, and in `degraded`, in words, what cannot.

    `databases_on` is where the engine keeps the databases' disks; `directory`, the run's, is watched where that can't be
    written to.
    """
    sync_path, degraded = sync_directory(databases_on, directory)
    near = sync_path == databases_on or same_file_system(databases_on, directory)
    cores, all_cores = cores_to_watch(), os.cpu_count() or 1
    if len(cores) < all_cores:
        degraded.append(f"{len(cores)} of {all_cores} cores are watched")
    if not may_be_realtime():
        degraded.append("no real-time priority: what the drill's own processes do to the cores shows in the wakes, too")
    for resource in PRESSURE:
        if pressure_total_us(resource, "some") is None:
            degraded.append(f"the kernel tells no pressure of {resource}")
    if not usage_files():
        degraded.append("CPU time of containers can't be read: ours_ns is not known")
    return {
        "sync": "databases' file system" if near else "run directory's file system",
        "cores": len(cores),
        "wake_every_ms": WAKE_EVERY_S * 1000,
        "sync_every_ms": SYNC_EVERY_S * 1000,
        "priority": "real-time" if may_be_realtime() else "ordinary",
        "degraded": degraded,
    }


def sync_directory(databases_on: Path, directory: Path) -> tuple[Path, list[str]]:
    """Where to write and sync, and what is lost when it is not where the databases' disks are."""
    try:
        with open_nameless(databases_on):
            return databases_on, []
    except OSError as error:
        why = error.strerror or type(error).__name__
    same = same_file_system(databases_on, directory)
    told = (
        ""
        if same
        else f"; syncs are of the run directory's file system, which is {'not' if same is False else 'perhaps not'} the same"
    )
    return directory, [f"the databases' disks are not writable for this user ({why}){told}"] if told else []


def same_file_system(one: Path, other: Path) -> bool | None:
    there = next(path for path in (other.absolute(), *other.absolute().parents) if path.exists())  # what is not made yet
    try:
        return one.stat().st_dev == there.stat().st_dev
    except OSError:
        return None


def cores_to_watch() -> list[int]:
    """The cores that this process may run on, at most CORES_MAX of them, evenly spread."""
    cores = sorted(os.sched_getaffinity(0))
    return cores if len(cores) <= CORES_MAX else [cores[i * len(cores) // CORES_MAX] for i in range(CORES_MAX)]


def may_be_realtime() -> bool:
    """Tried in a thread that ends at once: to the kernel each thread is a process, and the asker must not become one."""
    found: list[bool] = []
    one = threading.Thread(target=lambda: found.append(become_realtime()))
    one.start()
    one.join()
    return found[0]


def become_realtime() -> bool:
    """Ahead of whatever else wants the core: a late wake is then the host's, and not the load that the drill itself makes."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError:
        return False
    return True


# --- The watchers: each a process of its own -----------------------------------------------------------------------------
def watch_core(core: int, emit: Emit, going: Going) -> None:
    """How late a sleeper on that core wakes. A row for each span of 100 ms, and for each wake late by 20 ms or more."""
    os.sched_setaffinity(0, {core})
    from_ns = time.monotonic_ns()
    latest_ns, at_ns = -1, from_ns
    while going.on:
        due_ns = time.monotonic_ns() + int(WAKE_EVERY_S * 1e9)
        time.sleep(WAKE_EVERY_S)
        now_ns = time.monotonic_ns()
        if now_ns - due_ns > latest_ns:
            latest_ns, at_ns = now_ns - due_ns, due_ns
        if now_ns - from_ns >= WAKE_SPAN_NS or latest_ns >= WAKE_TOLD_NS:
            emit(from_ns, now_ns, "wake", core, max(0, latest_ns), {"at_ns": at_ns})
            from_ns, latest_ns = now_ns, -1


def watch_disk(path: Path, emit: Emit, going: Going) -> None:
    """How long a small write and its fdatasync take: over bytes that are there already, as a database writes its log."""
    block = mmap.mmap(-1, SYNC_BYTES)
    block.write(os.urandom(SYNC_BYTES))
    with open_nameless(path) as file:
        os.pwrite(file, block, 0)
        os.fsync(file)
        next_ns = time.monotonic_ns()
        while going.on:
            from_ns = time.monotonic_ns()
            os.pwrite(file, block, 0)
            os.fdatasync(file)
            to_ns = time.monotonic_ns()
            emit(from_ns, to_ns, "sync", None, to_ns - from_ns, {})
            next_ns = max(next_ns + int(SYNC_EVERY_S * 1e9), to_ns)
            time.sleep(max(0.0, (next_ns - time.monotonic_ns()) / 1e9))


@contextlib.contextmanager
def open_nameless(path: Path) -> Iterator[int]:
    """A file on that file system that no crash can leave behind."""
    name = path / f".drillbook-witness-{os.getpid()}"
    file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        name.unlink()
        yield file
    finally:
        os.close(file)


def watch_host(harness: int, emit: Emit, going: Going) -> None:
    """Pressure, and who used the CPUs, every 500 ms."""
    usage = Usage(harness)
    throttle = throttle_file()
    before_ns, pressure, cpu = time.monotonic_ns(), pressures(), cpu_times(usage, throttle)
    while going.on:
        time.sleep(SPAN_S)
        now_ns, pressure_now, cpu_now = time.monotonic_ns(), pressures(), cpu_times(usage, throttle)
        grown = {k: v - pressure[k] for k, v in pressure_now.items() if k in pressure}
        emit(before_ns, now_ns, "pressure", None, None, grown)
        used = {k: max(0, v - cpu[k]) for k, v in cpu_now.items() if k in cpu}
        emit(before_ns, now_ns, "cpu", None, None, used | memory())
        before_ns, pressure, cpu = now_ns, pressure_now, cpu_now


def pressures() -> dict[str, int]:
    """Totals since the host started, µs."""
    found = {}
    for resource, kinds in PRESSURE.items():
        for kind in kinds:
            total = pressure_total_us(resource, kind)
            if total is not None:
                found[f"{resource}_{kind}_us"] = total
    return found


def pressure_total_us(resource: str, kind: str) -> int | None:
    for line in text_of(Path("/proc/pressure") / resource).splitlines():
        if line.startswith(kind):
            return int(line.rpartition("total=")[2])
    return None


def cpu_times(usage: Usage, throttle: Path | None) -> dict[str, int]:
    """Totals over all cores, ns; `busy_ns` holds interrupts too, which no process is charged for: `irq_ns` of it."""
    ticks = [int(t) for t in text_of(Path("/proc/stat")).partition("\n")[0].split()[1:]]
    user, nice, system, idle, iowait, irq, softirq, steal = (*ticks, *[0] * 8)[:8]
    found = {
        "busy_ns": (user + nice + system + irq + softirq) * TICK_NS,
        "idle_ns": (idle + iowait) * TICK_NS,
        "steal_ns": steal * TICK_NS,
        "irq_ns": (irq + softirq) * TICK_NS,
    }
    if (ours := usage.total_ns()) is not None:
        found["ours_ns"] = ours
    if throttle is not None:
        found["throttled_ns"] = throttled_ns(throttle)
    return found


def memory() -> dict[str, int]:
    """Pages that wait to be written, kB: now, not since."""
    found = dict(re.findall(r"^(Dirty|Writeback): +(\d+)", text_of(Path("/proc/meminfo")), flags=re.MULTILINE))
    return {f"{name.lower()}_kb": int(value) for name, value in found.items()}


def throttle_file() -> Path | None:
    """cpu.stat of the cgroup that we run in, where it has a quota; None elsewhere."""
    for line in text_of(Path("/proc/self/cgroup")).splitlines():
        _, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(",") or not controllers:
            for base in (CGROUPS / controllers, CGROUPS / "cpu", CGROUPS):
                file = base / path.lstrip("/") / "cpu.stat"
                if "throttled" in text_of(file):
                    return file
    return None


def throttled_ns(file: Path) -> int:
    stat = dict(line.split(" ", 1) for line in text_of(file).splitlines())
    return int(stat["throttled_usec"]) * 1000 if "throttled_usec" in stat else int(stat.get("throttled_time", 0))


# --- Whose CPU time it was -----------------------------------------------------------------------------------------------
def usage_files() -> dict[Path, str]:
    """Where the engine keeps its containers' cgroups, and the name of the file that counts their CPU time (v1, then v2).

    Empty where the engine is not on this host.
    """
    found: dict[Path, str] = {}
    if not Path(engine_socket()).exists():
        return found
    for base, file in ((CGROUPS / "cpuacct", "cpuacct.usage"), (CGROUPS / "cpu,cpuacct", "cpuacct.usage"), (CGROUPS, "cpu.stat")):
        for parent in (base / "docker", base / "system.slice"):
            if (parent / file).is_file():
                found[parent] = file
        if found:
            break  # both versions may be mounted: each container must count once
    return found


def cgroup_ns(file: Path) -> int:
    """CPU time in a cgroup's file, ns. 0 when it is gone."""
    text = text_of(file)
    if file.name == "cpuacct.usage":
        return int(text or 0)
    found = re.search(r"usage_usec (\d+)", text)
    return int(found[1]) * 1000 if found else 0


class Usage:
    """CPU time used so far by the drill: its containers, the harness with its children, and the engine."""

    def __init__(self, harness: int) -> None:
        self.harness = harness
        self.groups = usage_files()
        self.ours: dict[str, bool] = {}  # by container
        self.counted: dict[Path, int] = {}  # what each of our containers has used, kept when it is gone
        self.processes: dict[int, str] = {harness: "tree"}
        self.last_ns: dict[int, int] = {}  # of each of our processes

    def total_ns(self) -> int | None:
        """None where containers can't be told."""
        if not self.groups:
            return None
        for parent, file in self.groups.items():
            for name in names_in(parent):
                container = CONTAINER_ID.search(name)
                if container and self.is_ours(container[0]):
                    group = parent / name / file
                    self.counted[group] = max(self.counted.get(group, 0), cgroup_ns(group))
        return sum(self.counted.values()) + self.processes_ns()

    def is_ours(self, container: str) -> bool:
        """Asked of the engine once for each container. One that it can't tell about now is asked for again."""
        if container not in self.ours:
            label = label_of(container)
            if label is None:
                return False
            self.ours[container] = bool(label)  # of whichever run: cycles share the containers of the first
        return self.ours[container]

    def processes_ns(self) -> int:
        """Of the harness's tree, with its ended children, and of the engine, without: containers are a shim's children."""
        present = {int(name) for name in names_in(Path("/proc")) if name.isdigit()}
        for pid in sorted(present - self.processes.keys()):
            self.processes[pid] = self.place(pid)
        for pid in self.processes.keys() - present:
            # What an ended child used is in its parent's count from now on; an engine's process takes its own with it.
            if self.processes.pop(pid) == "tree":
                self.last_ns.pop(pid, None)
        for pid, place in self.processes.items():
            if place and (stat := stat_of(pid)):
                own = (int(stat[11]) + int(stat[12])) * TICK_NS
                self.last_ns[pid] = own + (int(stat[13]) + int(stat[14])) * TICK_NS if place == "tree" else own
        return sum(self.last_ns.values())

    def place(self, pid: int) -> str:
        """`tree`: a descendant of the harness; `engine`; or nothing of ours."""
        stat = stat_of(pid)
        if stat and self.processes.get(int(stat[1])) == "tree":
            return "tree"
        return "engine" if text_of(Path(f"/proc/{pid}/comm")).strip() in ENGINE else ""


def stat_of(pid: int) -> list[str]:
    """/proc/PID/stat from the state on: the name before it may hold anything. Empty when the process is gone."""
    return text_of(Path(f"/proc/{pid}/stat")).rpartition(") ")[2].split()


def engine_socket() -> str:
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")


def label_of(container: str) -> str | None:
    """The run that a container carries the label of, `` when of none; None when the engine does not tell."""
    import http.client
    import socket

    class Engine(http.client.HTTPConnection):
        def connect(self) -> None:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(2)
            self.sock.connect(engine_socket())

    engine = Engine("localhost")
    try:
        engine.request("GET", f"/containers/{container}/json")
        answer = engine.getresponse()
        text = answer.read()
        return str((json.loads(text)["Config"]["Labels"] or {}).get("drillbook", "")) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None
    finally:
        engine.close()


def names_in(directory: Path) -> list[str]:
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []


def text_of(path: Path) -> str:
    """What stands in a small file of the kernel's; empty when it is gone or not for us."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(file, 65536).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(file)


# --- The process ---------------------------------------------------------------------------------------------------------
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Records what the host itself does while a drill runs.")
    parser.add_argument("--out", required=True, type=Path, help="the run directory")
    parser.add_argument("--sync-path", required=True, type=Path, help="where the databases' disks are")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when stdin ends")
    options = parser.parse_args(argv)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        record = Record(options.out / "witness.csv")
    except OSError as error:
        print(f"witness: expected to create {options.out / 'witness.csv'}; seen {error.strerror}", file=sys.stderr)
        return 3
    seen = describe(options.sync_path, options.out)
    cores, (path, _) = cores_to_watch(), sync_directory(options.sync_path, options.out)
    harness = os.getppid()
    watchers: dict[str, Watch] = {f"core {core}": partial(watch_core, core) for core in cores}
    watchers["disk"] = partial(watch_disk, path)
    watchers["host"] = partial(watch_host, harness)
    started_ns = time.monotonic_ns()
    pids = {spawn(watch, record.pipe): name for name, watch in watchers.items()}
    os.close(record.pipe[1])
    going = Going()  # after the forks: each watcher has its own
    print("ready", flush=True)
    dead = collect(record, pids, going, stop_on_eof=options.stop_on_eof)
    dead += end(record, pids)
    record.close()
    told = {"started_ns": started_ns, "stopped_ns": time.monotonic_ns(), "rows": record.rows, "completed": not dead}
    write_atomically(options.out / "witness.json", {**told, "cores": len(cores), "degraded": [*seen["degraded"], *dead]})
    return 0


class Record:
    """witness.csv, and the pipe through which rows come: a line at a time, since a write of that size is never divided."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self.pipe = os.pipe()
        os.set_blocking(self.pipe[0], False)
        self.rows = 0
        self.ended = False  # every watcher has closed its end
        self.write(f"{COLUMNS}\n".encode())

    def take(self) -> None:
        """Append what has come. The pipe holds minutes of it, should this file's disk be the one that stalls."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.pipe[0], 65536):
                while not data.endswith(b"\n"):  # the read ended within a line: its rest is there already
                    data += os.read(self.pipe[0], 4096)
                self.rows += data.count(b"\n")
                self.write(data)
            self.ended = True

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.file, data) :]

    def close(self) -> None:
        os.fsync(self.file)
        os.close(self.file)


def spawn(watch: Watch, pipe: tuple[int, int]) -> int:
    """Fork a watcher. It ends with whoever reads its rows: the pipe is broken then."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.close(pipe[0])
        become_realtime()

        def emit(from_ns: int, to_ns: int, kind: str, core: int | None, late_ns: int | None, data: dict[str, int]) -> None:
            text = json.dumps(data).replace('"', '""')
            fields = (from_ns, to_ns, kind, "" if core is None else core, "" if late_ns is None else late_ns, f'"{text}"')
            os.write(pipe[1], (",".join(map(str, fields)) + "\n").encode())

        watch(emit, Going())
        code = 0
    except BrokenPipeError:
        pass  # the parent was killed
    except Exception as error:
        print(f"witness: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def collect(record: Record, pids: dict[int, str], going: Going, *, stop_on_eof: bool) -> list[str]:
    """Append rows until we are to stop. Returns, in words, which watchers ended by themselves."""
    dead: list[str] = []
    while going.on and not (stop_on_eof and select.select([0], [], [], 0)[0] and not os.read(0, 4096)):
        time.sleep(COLLECT_EVERY_S)
        record.take()
        dead += [f"the watcher of {name} ended early" for name in reaped(pids)]
    return dead


def reaped(pids: dict[int, str]) -> list[str]:
    """The names of watchers that have ended since the last look."""
    return [pids.pop(pid) for pid in list(pids) if os.waitpid(pid, os.WNOHANG)[0]]


def end(record: Record, pids: dict[int, str]) -> list[str]:
    """Let every watcher tell its last row. One that hangs is left behind: nobody can end a sync in the kernel."""
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_WITHIN_S
    while pids and time.monotonic() < deadline:
        time.sleep(0.02)
        record.take()
        reaped(pids)
    record.take()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return [f"the watcher of {name} did not end within {STOP_WITHIN_S:g} s" for name in pids.values()]


def write_atomically(path: Path, what: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(what, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


# --- From the harness's side ---------------------------------------------------------------------------------------------
class Witness:
    """The process, as the harness holds it. One that dies is written down; the drill goes on, and its verdict tells."""

    def __init__(self, directory: Path, databases_on: Path, events: EventLog) -> None:
        self.events = events
        self.stopping = False
        self.heard = threading.Event()
        arguments = ["--out", str(directory), "--sync-path", str(databases_on), "--stop-on-eof"]
        with (directory / "harness.log").open("a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "harness.witness", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C is for the harness
            )
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        self.heard.wait(READY_WITHIN_S)
        events.write("witness_started", "the host witness watches", source="host")

    def listen(self) -> None:
        """Its stdout says that it watches, and ends with it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == "ready":
                self.heard.set()
        self.heard.set()
        code = self.process.wait()
        if not self.stopping or code:
            self.events.write(
                "witness_lost", f"the host witness ended with {code}: nobody watches the host", source="host", code=code
            )

    def stop(self) -> None:
        """In order: every watcher tells its last row. Safe to call again."""
        if self.stopping:
            return
        self.stopping = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_WITHIN_S + 5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.listener.join(5)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.events.write("witness_stopped", "the host witness has stopped", source="host")


if __name__ == "__main__":
    sys.exit(main())
