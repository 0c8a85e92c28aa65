"""What of ours stands on the engine, and whose it is: of a drill that runs, held by hand, or left by a run that is over.

A run that is over leaves something only where its watcher died with it: the machine went down, or somebody killed both. What is
left is never removed unasked, since nobody here can know that nobody wants it; it is told in one line, with what removes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runtime import engine

PROCESSES = Path("/proc")
State = Literal["running", "held", "left"]


@dataclass(frozen=True)
class Ours:
    """Everything that one run has on the engine. `running`: a process guards it, so a drill runs or is being cleaned up after."""

    run_id: str
    directory: Path
    things: engine.Leftovers
    state: State


def all_of_ours(client: Any) -> list[Ours]:
    """By run id. Asks the engine, the run directories and the processes of this host."""
    guards, alive = guarded(), engine.running(client)
    found = []
    for run_id, place in sorted(engine.runs(client).items()):
        directory = Path(place)
        state = state_of(directory, guarded=run_id in guards, alive=run_id in alive)
        found.append(Ours(run_id, directory, engine.leftovers(client, run_id), state))
    return [one for one in found if one.things]


def state_of(directory: Path, *, guarded: bool, alive: bool) -> State:
    """Held is what `up` or `run --keep` left standing on purpose. A machine that went down leaves no container alive."""
    if guarded:
        return "running"
    died = (directory / "plan.json").exists() and not (directory / "manifest.json").exists()  # a drill, before its seal
    return "held" if alive and not died and (directory / "standing.json").exists() else "left"


def guarded() -> set[str]:
    """The run ids that a watcher process of this host guards."""
    found = set()
    for process in PROCESSES.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if "harness.watcher" in words[:-1]:
            found.add(words[words.index("harness.watcher") + 1])
    return found


def told(found: Sequence[Ours]) -> list[str]:
    """A line for what is left, and one for what stands on purpose; none where there is nothing to say."""
    lines = []
    if left := [one for one in found if one.state == "left"]:
        removes = f"'drillbook down {left[0].run_id}' removes it" if len(left) == 1 else "'drillbook down RUN' removes one"
        lines.append(f"left by runs that are over, and not in the way of another: {listed(left)}; {removes}")
    if others := [one for one in found if one.state != "left"]:
        lines.append(f"{listed(others)}: not left over; shares this machine with what is measured")
    return lines


def listed(found: Iterable[Ours]) -> str:
    words = {"running": ", a drill's", "held": ", held by hand", "left": ""}
    return ", ".join(f"{one.run_id} ({one.things}{words[one.state]})" for one in found)
