"""What one sees in the terminal while a drill runs.

With a terminal: one screen, redrawn in place. Without one (CI, a file): one line for each noteworthy event, without
control characters. Every method may be called from any thread, `healing` also from a signal handler.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

from judging.evidence import Event

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

LINES_MAX = 44  # of routine events without a terminal; what matters most is told beyond it, too
EVENTS_SHOWN = 8
HISTORY = 32  # samples of a sparkline: 8 s at four a second
REDRAWS_PER_S = 4

NOTEWORTHY = {
    "plan_registered", "ready", "baseline", "injected", "proof", "primary", "leader_key", "step", "damage", "until",
    "heal_started", "healed", "load_started", "load_stopped", "authority", "autopsy", "interrupted", "error",
}  # fmt: skip
ALWAYS = {"injected", "proof", "until", "heal_started", "healed", "interrupted", "error"}
SHAPES = {"PASS": "✓", "FAIL": "✕", "INVALID": "△"}
STYLES = {"PASS": "bold green", "FAIL": "bold red", "INVALID": "bold magenta"}
BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=+*%#"


@dataclass
class _Number:
    """A figure that moves: its newest value and the ones before it."""

    name: str
    unit: str
    value: float | None = None
    history: deque[float | None] = field(default_factory=lambda: deque(maxlen=HISTORY))

    def take(self, value: float | None) -> None:
        self.value = value
        self.history.append(value)

    def told(self) -> str:
        return "–" if self.value is None else f"{self.value:,.0f}{self.unit}"


def sparkline(values: Sequence[float | None], bars: str = BARS) -> str:
    """Values as bars of eight heights, scaled from 0 to the largest; a value that is not known is a blank."""
    top = max((v for v in values if v is not None), default=0.0)
    if top <= 0:
        return "".join(" " if v is None else bars[0] for v in values)
    return "".join(" " if v is None else bars[min(7, int(max(v, 0) / top * 7.999))] for v in values)


def printable(text: str) -> str:
    """One line without control characters, whatever a server wrote."""
    return "".join(c if c.isprintable() else " " for c in text).strip()


class LiveView:
    """The live view of one drill. Use as a context manager: leaving it gives the terminal back.

    `interactive` None: redraw in place when `stream` (default: standard output) is a terminal.
    """

    def __init__(self, drill: str, claim: str, interactive: bool | None = None, stream: TextIO | None = None) -> None:
        self.drill, self.claim = drill, claim
        self._stream = stream or sys.stdout
        self.interactive = _can_redraw(self._stream) if interactive is None else interactive
        self._lock = threading.RLock()  # re-entrant: a signal handler interrupts the thread that may hold it
        self._started = time.monotonic()
        self._phase, self._phase_started, self._limit_s = "", self._started, None
        self._primary: str | None = None
        self._injected: list[str] = []
        self._healing: str | None = None
        self._events: deque[tuple[float, str, str]] = deque(maxlen=EVENTS_SHOWN)
        self._lines, self._last_line, self._muted = 0, "", False
        self._rate, self._errors = _Number("acknowledged", "/s"), _Number("errors", "/s")
        self._p99, self._lag = _Number("p99", " ms"), _Number("lag", " B")
        self._live: Live | None = None

    _limit_s: float | None

    def __enter__(self) -> LiveView:
        if self.interactive:
            self._begin_screen()
        else:
            self._write(f"{self.drill}: {self.claim}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_screen()

    # what the runner tells

    def phase(self, name: str, limit_s: float | None = None) -> None:
        """A phase of the drill begins; `limit_s` is how long it may take."""
        with self._lock:
            if name == self._phase:
                self._limit_s = limit_s if limit_s is not None else self._limit_s
                return
            self._phase, self._phase_started, self._limit_s = name, time.monotonic(), limit_s
            if not self.interactive:
                limit = "" if limit_s is None else f" (at most {limit_s:g} s)"
                self._line("phase", f"{name}{limit}", always=True)

    def event(self, event: Event) -> None:
        """Something was written to events.jsonl."""
        with self._lock:
            if event.kind == "phase":
                self.phase(str(event.data.get("name", "")))
                return
            if event.kind == "primary":
                node = event.data.get("node")
                self._primary = node if isinstance(node, str) else None
            self._tell(event.kind, event.text, noteworthy=event.kind in NOTEWORTHY, always=event.kind in ALWAYS)

    def message(self, text: str) -> None:
        """A word to the reader that is no event."""
        with self._lock:
            self._tell("note", text, noteworthy=True, always=True)

    def anchors(self, hashes: dict[str, str]) -> None:
        """What shows any later change of the run to whoever keeps this output: hashes (SHA-256, hex) by what they are of."""
        with self._lock:
            live = self._live
        for name, value in hashes.items():
            if live is None:
                self._write(f"{name:<10} {value}")
            else:  # above what is redrawn, where it stays
                live.console.print(f"{name:<10} {value}", soft_wrap=True)

    def numbers(
        self,
        acknowledged_per_s: float | None = None,
        errors_per_s: float | None = None,
        p99_ms: float | None = None,
        lag_bytes: float | None = None,
        primary: str | None = None,
    ) -> None:
        """The newest figures; None: not known at the moment. Without a terminal they are not printed."""
        with self._lock:
            self._rate.take(acknowledged_per_s)
            self._errors.take(errors_per_s)
            self._p99.take(p99_ms)
            self._lag.take(lag_bytes)
            self._primary = primary

    def injected(self, names: list[str]) -> None:
        """The faults that are in force right now; an empty list when all is healed."""
        with self._lock:
            self._injected = [printable(name) for name in names]

    def healing(self, what: str = "") -> None:
        """Says at once that it heals, and what is being done. Ctrl-C ends here first."""
        with self._lock:
            self._healing = printable(what) or "undoing every injected fault"
            text = f"Interrupted: healing first ({self._healing}). Please wait."
            self._events.append((time.monotonic() - self._started, "healing", text))
            if self._live is None:
                self._line("healing", text, always=True)
        # The screen shows it with its next redraw, within 250 ms: to redraw here would wait for the thread that draws,
        # which may itself wait for our lock, held by the code that the signal interrupted.

    def finish(
        self,
        verdict_word: str,
        sentence: str,
        report_path: Path | str | None = None,
        reasons: Sequence[str] = (),
    ) -> None:
        """The verdict, the one sentence, the reasons, and where the report is; the last thing that is shown."""
        self._end_screen()
        shape = SHAPES.get(verdict_word, "")
        with self._lock:
            if self.interactive:
                self._finish_in_color(f"{shape} {verdict_word}".strip(), STYLES.get(verdict_word, "bold"), sentence)
            else:
                self._write(f"{verdict_word}  {self.drill}")
                self._write(printable(sentence))
            if verdict_word != "PASS":
                for reason in reasons:
                    self._write(f"  - {printable(reason)}")
            if report_path is not None:
                self._write(f"Report: {report_path}")

    # lines

    def _tell(self, kind: str, text: str, *, noteworthy: bool, always: bool) -> None:
        clean = printable(text)
        if noteworthy:
            self._events.append((time.monotonic() - self._started, kind, clean))
        if noteworthy and self._live is None:
            self._line(kind, clean, always=always)

    def _line(self, kind: str, text: str, *, always: bool) -> None:
        """One line, unless it repeats the last one, or is routine and there were many."""
        if f"{kind} {text}" == self._last_line:
            return
        self._last_line = f"{kind} {text}"
        if self._lines >= LINES_MAX and not always:
            if not self._muted:
                self._muted = True
                self._write("          Routine events from here on are in events.jsonl only.")
            return
        self._lines += 1
        self._write(f"{time.monotonic() - self._started:7.1f} s  {kind:<15} {text}")

    def _write(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = text.encode(encoding, "replace").decode(encoding) + "\n"
        try:
            self._stream.write(line)
            self._stream.flush()
        except RuntimeError:  # a signal came in the middle of a write: the buffer is busy, the descriptor is not
            os.write(self._stream.fileno(), line.encode(encoding, "replace"))
        except (OSError, ValueError):
            pass  # nobody reads any more; what is being done goes on

    # the screen

    def _begin_screen(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console: Console = Console(file=self._stream, force_terminal=True, highlight=False)
        self._live = Live(
            console=self._console, get_renderable=self._screen, refresh_per_second=REDRAWS_PER_S, vertical_overflow="crop"
        )
        self._live.start(refresh=True)

    def _end_screen(self) -> None:
        with self._lock:
            live, self._live = self._live, None
        if live is not None:  # outside our lock: stopping waits for the thread that redraws, and that takes it
            live.stop()

    def _screen(self) -> RenderableType:
        from rich.console import Group

        with self._lock:
            parts = [self._header(), self._status(), self._figures(), self._recent()]
        return Group(*parts)

    def _header(self) -> Text:
        from rich.text import Text

        return Text.assemble(("drillbook ", "dim"), (self.drill, "bold"), ("\n" + printable(self.claim), "dim"), "\n")

    def _status(self) -> Text:
        from rich.text import Text

        elapsed = time.monotonic() - self._phase_started
        limit = "" if self._limit_s is None else f" of {self._limit_s:g} s"
        late = self._limit_s is not None and elapsed > self._limit_s
        text = Text.assemble(
            ("phase     ", "dim"), (f"{self._phase or 'starting':<12}", "bold"),
            (f"{elapsed:6.1f} s{limit}", "bold" if late else ""), (f"   run {time.monotonic() - self._started:.0f} s", "dim"),
            ("\nprimary   ", "dim"), (self._primary or "none seen", "bold" if self._primary else "dim"),
            ("\ninjected  ", "dim"),
            (", ".join(self._injected) or "nothing", "bold red" if self._injected else "dim"),
        )  # fmt: skip
        if self._healing:
            text.append(f"\nhealing   {self._healing}", "bold yellow")
        return text.append("\n")

    def _figures(self) -> RenderableType:
        from rich.table import Table

        bars = BARS if (getattr(self._stream, "encoding", None) or "utf-8").lower().startswith("utf") else ASCII_BARS
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", width=12)
        table.add_column(justify="right", width=12)
        table.add_column(style="dim", no_wrap=True, overflow="crop")
        for number in (self._rate, self._errors, self._p99, self._lag):
            bad = number is self._errors and bool(number.value)
            line = sparkline(list(number.history), bars)
            table.add_row(number.name, number.told(), line, style="red" if bad else "")
        return table

    def _recent(self) -> Text:
        from rich.text import Text

        text = Text("\n", no_wrap=True, overflow="ellipsis")
        for at_s, kind, what in self._events:
            text.append(f"{at_s:7.1f} s  ", "dim").append(f"{kind:<13} ", "dim")
            text.append(what + "\n", "bold yellow" if kind == "healing" else "")
        return text

    def _finish_in_color(self, word: str, style: str, sentence: str) -> None:
        from rich.console import Console
        from rich.text import Text

        console = Console(file=self._stream, force_terminal=True, highlight=False)
        console.print(Text.assemble((word, style), "\n", printable(sentence)), soft_wrap=True)


def _can_redraw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
