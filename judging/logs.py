"""What the servers wrote themselves, as witnesses of when things happened: lines of logs/, placed on the host's clock.

The engine stamps each line when it reads it. A server's own stamp in the line, where it has one, is earlier: the moment lies
between the two. A line without one is placed within what the engine took, at that time, to read the lines that have one.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from judging.errors import EvidenceError
from judging.evidence import Evidence, Plan

ENGINE_DELAY_NS = 100_000_000  # what the engine is given to read a line where nothing shows what it took
DELAY_SPAN_NS = 2_000_000_000  # lines this near to another one tell of its delay
OWN_AGE_NS_MAX = 60_000_000_000  # a server's own stamp farther off than this is of another clock
_STAMP = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z ")
_OWN = re.compile(rb"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)[.,](\d{1,6})(?: (?:UTC|GMT)|Z)? ")

PATRONI = re.compile(rb" (?:INFO|WARNING|ERROR): ")
DATABASE = re.compile(rb" LOG:  ")
BALANCER = re.compile(rb"Server ([^/\s]+)/(\S+) is (UP|DOWN)\b")


@dataclass(frozen=True)
class Line:
    """A line of a server's log: written between `from_ns` and `t_ns`. `own`: by its own stamp, else by what others took."""

    from_ns: int
    t_ns: int
    text: str
    own: bool


@dataclass(frozen=True)
class _Stamped:
    """As in the file: nanoseconds since 1970, by the engine's stamp and by the server's own (None: it has none)."""

    engine_ns: int
    own_ns: int | None
    text: str


class ServerLogs:
    """The logs of a run, its times on the host's monotonic clock. What is not in the seal is not read."""

    def __init__(self, evidence: Evidence, plan: Plan) -> None:
        self.paths = evidence.logs()
        self.zero_ns = plan.clock.monotonic_ns - _wall_ns(plan.clock.wall)
        self.drift_ns = 0  # what wall and monotonic clock differ by between the plan's pair and the seal's
        try:
            manifest = evidence.manifest
        except EvidenceError:
            manifest = None
        if manifest is not None:
            self.paths = {name: path for name, path in self.paths.items() if f"logs/{path.name}" in manifest.files}
            self.drift_ns = abs(manifest.clock.monotonic_ns - _wall_ns(manifest.clock.wall) - self.zero_ns)

    def lines(self, name: str, pattern: re.Pattern[bytes]) -> list[Line]:
        """The lines of one log that match, in order; none where there is no such log."""
        return [self.placed(line) for line in self._read(name, pattern)]

    def placed(self, line: _Stamped) -> Line:
        t_ns = line.engine_ns + self.zero_ns
        from_ns = line.engine_ns - self.delay_ns(line.engine_ns) if line.own_ns is None else line.own_ns
        return Line(from_ns + self.zero_ns - self.drift_ns, t_ns, line.text, line.own_ns is not None)

    def delay_ns(self, engine_ns: int) -> int:
        """The longest that the engine took to read a database's line near that time."""
        near = [
            line.engine_ns - line.own_ns
            for name in self.paths
            for line in self._read(name, DATABASE)
            if line.own_ns is not None and abs(line.engine_ns - engine_ns) <= DELAY_SPAN_NS
        ]
        return max(near, default=ENGINE_DELAY_NS)

    def _read(self, name: str, pattern: re.Pattern[bytes]) -> Sequence[_Stamped]:
        path = self.paths.get(name)
        if path is None:
            return ()
        try:
            stat = path.stat()
            return _stamped(str(path), stat.st_mtime_ns, stat.st_size, pattern)
        except (OSError, ValueError):
            return ()


@lru_cache(maxsize=128)
def _stamped(path: str, _changed_ns: int, size: int, pattern: re.Pattern[bytes]) -> tuple[_Stamped, ...]:
    """The matching lines that have the engine's stamp. Searched without being split: the door's log has a line a payment."""
    if not size:
        return ()
    found: list[_Stamped] = []
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        for match in pattern.finditer(whole):
            start = whole.rfind(b"\n", 0, match.start()) + 1
            end = whole.find(b"\n", match.end())
            line = whole[start : end if end >= 0 else size]
            if stamp := _STAMP.match(line):
                engine_ns = _ns(stamp[1], stamp[2] or b"0")
                found.append(
                    _Stamped(engine_ns, _own_ns(line, stamp.end(), engine_ns), line[stamp.end() :].decode(errors="replace"))
                )
    return tuple(found)


def _own_ns(line: bytes, start: int, engine_ns: int) -> int | None:
    """The server's own stamp at the line's beginning; none when it can't be of the engine's clock."""
    own = _OWN.match(line, start)
    if own is None:
        return None
    own_ns = _ns(own[1] + b"T" + own[2], own[3])
    return own_ns if 0 <= engine_ns - own_ns <= OWN_AGE_NS_MAX else None


def _ns(seconds: bytes, fraction: bytes) -> int:
    return _whole_seconds(seconds.decode()) * 1_000_000_000 + int(fraction.ljust(9, b"0"))


@lru_cache(maxsize=4096)
def _whole_seconds(text: str) -> int:
    return int(datetime.fromisoformat(text + "+00:00").timestamp())


def _wall_ns(wall: str) -> int:
    moment = datetime.fromisoformat(wall)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000_000 + moment.microsecond * 1000
