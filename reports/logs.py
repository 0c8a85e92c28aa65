"""Notable lines of the servers' logs, placed on the host's clock, beside the harness's own events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from judging.evidence import Clock
from reports.figures import Clockwork
from reports.sources import Sources

ROWS_MAX = 400  # a page that a person reads; the files hold the rest
LINE_MAX = 240
BYTES_MAX = 32 << 20  # of one log

NOTABLE = {
    "patroni": r"promoted self to leader|acquired session lock|Lock owner|demot",
    "postgres": r"database system is ready|checksum|page verification failed|selected new timeline"
    r"|terminating walreceiver|received promote request",
    "etcd": r"elected leader|lost leader",
    "haproxy": r"is DOWN|is UP",
}
_NOTABLE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in NOTABLE.items()))
_STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)\s?")


@dataclass(frozen=True)
class Row:
    """One line of the table of events. `wall` is a label; `times` counts equal lines in a row."""

    t_s: float
    wall: str
    source: str
    place: str  # the container or file
    kind: str
    text: str
    times: int = 1


@dataclass(frozen=True)
class Rows:
    rows: list[Row]
    left_out: int


def event_rows(sources: Sources, clock: Clockwork) -> Rows:
    """All events and notable log lines by time, at most ROWS_MAX; those farthest from a fault or a heal go first."""
    own = [
        Row(clock.s(e.t_ns), e.wall, e.source, "events.jsonl", e.kind, _short(e.text))
        for e in sources.events
    ]  # fmt: skip
    lines = [row for name, path in sources.logs.items() for row in _log_rows(name, path, sources.plan.clock, clock)]
    rows = own + lines
    anchors = [clock.s(e.t_ns) for e in sources.of_kind("injected", "heal_started", "healed", "primary")] or [0.0]
    rows.sort(key=lambda row: (row.place != "events.jsonl", min(abs(row.t_s - a) for a in anchors), row.t_s, row.place))
    kept = sorted(rows[:ROWS_MAX], key=lambda row: (row.t_s, row.place, row.text))
    return Rows(kept, len(rows) - len(kept))


def _log_rows(name: str, path: Path, pair: Clock, clock: Clockwork) -> list[Row]:
    """The notable lines of one log; a line that says the same as the one before it only adds to its count."""
    try:
        zero_ns = pair.monotonic_ns - _wall_ns(pair.wall)
        found = list(_notable(path))
    except (OSError, ValueError):
        sources_note = Row(0.0, "", "log", name, "unreadable", path.name)
        return [sources_note]
    rows: list[Row] = []
    for wall_ns, wall, source, text in found:
        last = rows[-1] if rows else None
        if last and last.text == text and last.source == source:
            rows[-1] = Row(last.t_s, last.wall, source, name, "log", text, last.times + 1)
        else:
            rows.append(Row(clock.s(wall_ns + zero_ns), wall, source, name, "log", text))
    return rows


def _notable(path: Path) -> Iterator[tuple[int, str, str, str]]:
    read = 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            read += len(line)
            if read > BYTES_MAX:
                return
            match = _NOTABLE.search(line)
            stamp = _STAMP.match(line) if match else None
            if match and stamp:
                text = _message(line[stamp.end() :])
                yield _wall_ns(stamp[0].strip()), stamp[0].strip(), str(match.lastgroup), text


def _wall_ns(stamp: str) -> int:
    """Nanoseconds since 1970. `fromisoformat` alone would cut nanoseconds to microseconds."""
    match = _STAMP.fullmatch(stamp)
    if not match:
        raise ValueError(f"expected an RFC 3339 time, seen {stamp!r}")
    whole = datetime.fromisoformat(match[1] + match[3].replace("Z", "+00:00"))
    return int(whole.timestamp()) * 1_000_000_000 + int((match[2] or "0").ljust(9, "0"))


def _message(text: str) -> str:
    """The line without the server's own time stamp, which would make equal lines look different."""
    text = re.sub(r"^\[?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:UTC|GMT|Z))?\]?:?\s*", "", text.strip())
    text = re.sub(r'^\{.*?"msg":"([^"]*)".*\}$', r"\1", text)  # etcd's JSON
    return _short(re.sub(r"^\[\d+\]:?\s*", "", text))  # a process id


def _short(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= LINE_MAX else clean[: LINE_MAX - 1] + "…"
