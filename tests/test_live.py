"""The live view: what is told with and without a terminal, from several threads, and when it is interrupted."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from harness.live import LINES_MAX, LiveView, printable, sparkline
from judging.evidence import Event, EventLog


def event(kind: str, text: str, **data: object) -> Event:
    return Event(seq=0, t_ns=0, wall="2026-01-15T02:00:00Z", source="harness", kind=kind, text=text, data=data)


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def drill(view: LiveView) -> None:
    with view:
        view.phase("baseline", limit_s=5)
        view.numbers(100, 0, 4.2, 1200, "dc1-a")
        view.event(event("phase", "The fault.", name="fault"))
        view.injected(["CenterPowerLoss dc1"])
        view.event(event("injected", "CenterPowerLoss of dc1 is injected."))
        view.numbers(0, 100, None, None, None)
        view.event(event("primary", "dc2-a is the primary.", node="dc2-a"))
        view.message("Collecting logs.")
        view.finish("FAIL", "dc1 lost power at 02:00:25.", "runs/x/report.html", ["RTO 40 s is over the target of 30 s."])


def test_without_a_terminal_it_prints_plain_lines(stream: io.StringIO) -> None:
    drill(LiveView("center-loss", "The center is lost.", stream=stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "center-loss: The center is lost."
    assert any("injected" in line and "CenterPowerLoss of dc1 is injected." in line for line in lines)
    assert [line.split()[-1] for line in lines if " phase " in line] == ["s)", "fault"]
    assert lines[-4:] == [
        "FAIL  center-loss",
        "dc1 lost power at 02:00:25.",
        "  - RTO 40 s is over the target of 30 s.",
        "Report: runs/x/report.html",
    ]
    assert all(printable(line) == line.strip() for line in lines), "no control characters"


def test_numbers_and_trifles_are_not_lines(stream: io.StringIO) -> None:
    with LiveView("d", "c", stream=stream) as view:
        for _ in range(400):
            view.numbers(100, 0, 5, 0, "dc1-a")
            view.event(event("sampled", "A sample."))
    assert stream.getvalue().count("\n") == 1


def test_a_long_drill_stays_readable_and_keeps_what_matters(stream: io.StringIO) -> None:
    with LiveView("d", "c", stream=stream) as view:
        for n in range(300):
            view.event(event("leader_key", f"Change {n}."))
        view.event(event("healed", "All is healed."))
    lines = stream.getvalue().splitlines()
    assert len(lines) <= LINES_MAX + 3
    assert "All is healed." in lines[-1]


def test_hostile_text_cannot_move_the_cursor(stream: io.StringIO) -> None:
    with LiveView("d", "c", stream=stream) as view:
        view.event(event("error", "\x1b[2J\x1b[H gone\r\nPASS forged"))
    assert "\x1b" not in stream.getvalue()
    assert not any(line.startswith("PASS") for line in stream.getvalue().splitlines())


def test_ctrl_c_says_at_once_that_it_heals(stream: io.StringIO) -> None:
    with LiveView("d", "c", stream=stream) as view:
        with view._lock:  # the signal may come while the same thread holds the lock
            view.healing("starting dc1-a")
        assert "healing first (starting dc1-a)" in stream.getvalue()


def test_with_a_terminal_it_redraws_one_screen(stream: io.StringIO) -> None:
    view = LiveView("center-loss", "The center is lost.", interactive=True, stream=stream)
    with view:
        view.phase("fault", limit_s=120)
        view.injected(["CenterPowerLoss dc1"])
        view.numbers(97, 3, 12, 4096, "dc2-a")
        view.event(event("proof", "CenterPowerLoss is proved [bold]literally[/bold]."))
        view.healing()
        view._live.refresh()  # type: ignore[union-attr]
        view.finish("PASS", "dc1 lost power.", "report.html")
    shown = stream.getvalue()
    for part in ("center-loss", "of 120 s", "CenterPowerLoss dc1", "97/s", "4,096 B", "dc2-a", "[bold]literally[/bold]"):
        assert part in shown, part
    assert "healing" in shown
    assert shown.rstrip().endswith("Report: report.html")
    assert shown.endswith("\n")


def test_an_ascii_stream_does_not_fail() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    drill(LiveView("d", "钱", stream=stream))
    stream.flush()
    assert b"d: ?" in raw.getvalue()


@pytest.mark.parametrize("interactive", [True, False])
def test_it_may_be_called_from_many_threads(stream: io.StringIO, interactive: bool) -> None:
    failed: list[BaseException] = []

    def call(view: LiveView, number: int) -> None:
        try:
            for n in range(40):
                view.numbers(n, 0, n, n, "dc1-a")
                view.event(event("step", f"Step {number}.{n}."))
                view.phase(f"phase {number}.{n}")
        except BaseException as error:
            failed.append(error)

    with LiveView("d", "c", interactive=interactive, stream=stream) as view:
        threads = [threading.Thread(target=call, args=(view, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=20)
        view.finish("INVALID", "Nothing could be told.", None, ["no proof"])
    assert not failed
    assert not any(thread.is_alive() for thread in threads)


def test_the_terminal_is_given_back_when_the_drill_raises(stream: io.StringIO) -> None:
    with (
        pytest.raises(RuntimeError, match="broken"),
        LiveView("d", "c", interactive=True, stream=stream),
    ):
        raise RuntimeError("broken")
    assert "\x1b[?25h" in stream.getvalue(), "the cursor is shown again"


def test_sparkline() -> None:
    assert sparkline([0, 4, 8, None]) == "▁▄█ "
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def test_a_reader_that_went_away_stops_nothing(tmp_path: Path) -> None:
    """`drillbook run … | tee log` and Ctrl-C: tee dies with the group, and healing must go on."""

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, f"Broken pipe: {text!r} is lost")

    with LiveView("center-loss", "A claim.", interactive=False, stream=Gone()) as view:
        log = EventLog(tmp_path / "events.jsonl")
        log.listeners.append(view.event)
        log.write("healed", "dc1 is healed", id="f1", ok=True, error="")
        view.phase("heal")
        view.finish("PASS", "All is well.", None, [])
    assert "healed" in (tmp_path / "events.jsonl").read_text()
