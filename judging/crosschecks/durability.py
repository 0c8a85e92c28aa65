"""What the databases say of their own commits. A kill loses no page cache: it can't show what a power loss would."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from judging.crosschecks.case import BUSY_NS, SECOND_NS, Case, first_few
from judging.records import Durability, Primary

ON_DISK = ("fsync", "full_page_writes")
COMMIT, ALONE = "synchronous_commit", ("off", "local")  # nobody waits for a copy
NOTHING = "what a kill shows of it says nothing of a power loss"
CHANGED = re.compile(r'parameter "(\w+)" changed to "(\w+)"')  # PostgreSQL, when it reads its configuration again
TOLD_NS_MAX = 30 * SECOND_NS  # asked every second; a busy machine may keep a database from answering for as long as this


def durability_was_told(case: Case) -> Iterator[str]:
    """Each database has said with which settings it runs before anything broke, and what its log says of a change it said too."""
    if not case.records.promised("durability"):
        return
    told = case.records.of("durability", Durability)
    if case.baseline is not None:
        early = {data.node for event, data in told if event.t_ns <= case.baseline.to_ns}
        if silent := sorted(set(case.databases) - early):
            yield f"plan.json promises what makes commits durable; {first_few(silent)} did not tell it until the baseline ended."
    for node in case.databases:
        said = [(event.t_ns, data.settings) for event, data in told if data.node == node]
        for at, words in case.log(node):
            if not (change := CHANGED.search(words)) or not said or at < said[0][0] or change[1] not in said[0][1]:
                continue
            until = at + TOLD_NS_MAX
            if not any(at - BUSY_NS <= t_ns <= until and settings.get(change[1]) == change[2] for t_ns, settings in said) and (
                _answered(case, node, at, until)
            ):
                yield (
                    f"logs/{node}.log changes {change[1]} to {change[2]} at {case.since_start(at)}; no durability event of {node}"
                    " says so."
                )


def _answered(case: Case, node: str, from_ns: int, until_ns: int) -> bool:
    """Whether a node that goes on answering would have told of a change at `from_ns`."""
    samples = case.records.samples
    if samples is None:
        return False
    late = (samples["t_ns"] > from_ns + 2 * BUSY_NS) & (samples["t_ns"] < until_ns)
    return bool(((samples["node"] == node) & (samples["ok"] == 1) & late).any())


def power_loss_was_provided_for(case: Case) -> Iterator[str]:
    """Every database syncs what it commits, and the primary waits for its copies where the plan promises one elsewhere."""
    if not case.records.promised("durability"):
        return
    told = case.records.of("durability", Durability)
    spared: dict[str, list[str]] = {}
    for event, data in told:
        if off := [f"{name}=off" for name in ON_DISK if data.settings.get(name) == "off"]:
            spared.setdefault(f"{' and '.join(off)} from {case.since_start(event.t_ns)} on", []).append(data.node)
    for words, nodes in spared.items():
        yield f"{first_few(nodes, 9)} ran with {words}: {NOTHING}."
    settings = case.plan_as_written.get("topology", {}).get("settings", {})
    if (mode := settings.get("synchronous", "off")) == "off":
        return
    for node in (node for node in case.databases if node not in _standby_side(case)):
        alone = _alone(case, node, [(event.t_ns, data) for event, data in told if data.node == node])
        if alone is not None:
            yield (
                f"{node}, the primary from {case.since_start(alone[0])} on, ran with synchronous_commit={alone[1]}, and"
                f" synchronous={mode} of plan.json promises a copy elsewhere: {NOTHING}."
            )


def _standby_side(case: Case) -> set[str]:
    """The databases of groups that have an upstream: who takes over there serves without a copy, as planned."""
    topology = case.plan_as_written["topology"]
    groups = {group["name"] for group in topology["groups"] if group["upstream"] is not None}
    return {str(node["name"]) for center in topology["centers"] for node in center["nodes"] if node["group"] in groups}


def _alone(case: Case, node: str, said: list[tuple[int, Durability]]) -> tuple[int, str] | None:
    """Since when a node was the primary while commits waited for nobody else, and by whose setting; None: it never was."""
    ends = [t_ns for t_ns, _ in said[1:]] + [1 << 62]
    for (from_ns, data), to_ns in zip(said, ends, strict=False):
        weak = [f"{one.value} for {one.place}" for one in data.overrides if one.name == COMMIT and one.value in ALONE]
        if (value := data.settings.get(COMMIT)) in ALONE:
            weak.insert(0, str(value))
        if weak and (since_ns := _primary_in(case, node, from_ns, to_ns)) is not None:
            return since_ns, weak[0]
    return None


def _primary_in(case: Case, node: str, from_ns: int, to_ns: int) -> int | None:
    """From when on the events have that node as the primary, within a span; None: never."""
    named = [(event.t_ns, data.node) for event, data in case.records.of("primary", Primary)]
    times = [t_ns for t_ns, _ in named]
    for place in range(max(0, bisect_right(times, from_ns) - 1), bisect_right(times, to_ns - 1)):
        if named[place][1] == node:
            return max(from_ns, times[place])
    return None
