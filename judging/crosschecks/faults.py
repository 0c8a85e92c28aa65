"""Each fault against its name, its victims' own words, and what customers saw before it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from judging.crosschecks.case import BUSY_NS, SECOND_NS, Case, Fault, first_few
from judging.outage import failing_second, forgiven
from judging.records import Check, Replaced

DEATHS = ("CenterPowerLoss", "RegionLoss", "NodeKilled", "SiteDestroyed")
FREEZES = "NodeFrozen"  # nothing of the victim runs, and nothing of it is dead
SILENCES = (*DEATHS, FREEZES)  # a victim writes no log
DESTROYS = ("SiteDestroyed",)  # of these, nothing of the victim is left
EMPTIES = "TableEmptied"
ENDS = "ProcessKilled"  # one process, which others start again
LOCKS = "TableLocked"
DEGRADES = "LinkDegraded"  # a link goes on carrying, and worse
EVERY = "*"
OF_LINKS = ("LinkBlackholed", "LinkRefused", DEGRADES)
WITH_IT = {"payments": {"entries"}}  # a table that refers to another one is emptied with it
EMPTIED = re.compile(r"^0 of [1-9]\d* rows of before transaction \d+$")
DEAD = re.compile(r"^exited, exit code 137, port \d+ closed$")
GONE = re.compile(r"^no container, no disk, port \d+ closed$")
STILL = "frozen, no answer"
DROPPED = re.compile(r"^(?:rule in place, )?(\d+) packets dropped$")
NUMBER = "([1-9][0-9]{0,17})"
REFUSED = re.compile(rf"{NUMBER} packets refused")
DELAYED = re.compile(rf"(.+) on {NUMBER} of {NUMBER} streams, round trip {NUMBER} ms")
KILLED = re.compile(rf"killed: ({NUMBER}(?:, {NUMBER})*)")
ENDED = re.compile(rf"gone; now (none|{NUMBER}(?:, {NUMBER})*)")
LOCKED = re.compile(rf"(locked by session {NUMBER}), {NUMBER} wait")
THINNED = re.compile(rf"(.+): {NUMBER} of {NUMBER} packets")
FLIPPED = re.compile(r"^bytes ([0-9a-f]+) \(were ([0-9a-f]+)\)$")
PACKETS_MIN = 100  # of which a share is told
LIKELY = 5.0  # standard deviations: one honest proof in two million is farther off
RESUMES_NS = 15 * SECOND_NS  # a container's first words, on a machine that starts five at once
ABSENT_NS = 8 * SECOND_NS  # Patroni restarts a copy by itself when it must follow another primary; that takes less
COMES_BACK_NS = 30 * SECOND_NS


def effect_follows_from_the_target(case: Case) -> Iterator[str]:
    """A fault's name and target say what must be down and cut: an effect that is narrower hides a victim."""
    links = _links(case)
    for fault in case.faults:
        if fault.name in OF_LINKS and (strange := sorted(_paths(case, fault.target) - links)):
            yield f"Fault {fault.id}: {fault.name} of {fault.target}; plan.json has no link {first_few(strange)}."
        wanted = _effect(case, fault)
        if wanted is None:
            # Else any name would spare a dead primary's disk from being opened, or stale reads from being told.
            rare = (fault.effect.destroyed, "destroys"), (fault.effect.damaged, "damages"), (fault.effect.impaired, "impairs")
            for seen_rare, word in rare:
                if seen_rare:
                    yield f"Fault {fault.id}: {fault.name} {word} nothing; its intent says {first_few(seen_rare)}."
            continue
        down, cut = wanted
        impaired = _paths(case, fault.target) if fault.name == DEGRADES else set[str]()
        destroyed = down if fault.name in DESTROYS else set[str]()
        damaged = {fault.target, *WITH_IT.get(fault.target, ())} if fault.name == EMPTIES else set[str]()
        for seen, expected, word in (
            (set(fault.effect.down), down, "down"),
            (set(fault.effect.cut), cut, "cut"),
            (set(fault.effect.destroyed), destroyed, "destroyed"),
            (set(fault.effect.damaged), damaged, "damaged"),
            (set(fault.effect.impaired), impaired, "impaired"),
        ):
            if seen != expected:
                yield (
                    f"Fault {fault.id}: {fault.name} of {fault.target}"
                    f" must have {word}: {', '.join(sorted(expected)) or 'nothing'},"
                    " by the"
                    f" topology of plan.json; its intent says {', '.join(sorted(seen)) or 'nothing'}."
                )


def _links(case: Case) -> set[str]:
    found = case.plan.topology.get("links", []) if case.plan is not None else []
    return {f"{link['source']}->{link['target']}" for link in found}


def _paths(case: Case, target: str) -> set[str]:
    """The directed paths that the target of a link's fault names, `*` being every center; what names no link stays as it is."""
    one, both, other = target.partition("<->")
    found: set[str] = set()
    for path in (f"{one}->{other}", f"{other}->{one}") if both else (target,):
        source, _, to = path.partition("->")
        fitting = {
            link for link in _links(case) if source in (link.partition("->")[0], EVERY) and to in (link.partition("->")[2], EVERY)
        }
        found |= fitting or {path}
    return found


def _effect(case: Case, fault: Fault) -> tuple[set[str], set[str]] | None:
    """What a fault of ours does, by the plan's topology; None for a fault of another name."""
    if fault.name in ("PlannedSwitchover", "BitsFlipped", "CustomersSurge", EMPTIES, DEGRADES, ENDS, LOCKS):
        return set(), set()
    if fault.name in ("NodeKilled", FREEZES):
        return {fault.target}, set()
    if fault.name in OF_LINKS:
        return set(), _paths(case, fault.target)
    if fault.name not in (*DEATHS, "CenterIsolated") or case.plan is None:
        return None
    centers = [c for c in case.plan.topology.get("centers", []) if fault.target in (c["name"], c["region"])]
    names = {c["name"] for c in centers}
    links = {
        f"{link['source']}->{link['target']}"
        for link in case.plan.topology.get("links", [])
        if {link["source"], link["target"]} & names
    }
    if fault.name not in DEATHS:
        names &= set(case.plan.topology.get("door", {}).get("centers", []))  # no packet goes where no customer goes
        return set(), links | {f"door->{name}" for name in names}
    return {node["name"] for c in centers for node in c["nodes"]}, links | {f"door->{name}" for name in names}


def proof_is_of_its_kind(case: Case) -> Iterator[str]:
    """A death is proved by its exit code, a frozen node by the kernel and its silence, a cut by its rule and packets.

    `ok` follows from what was expected and seen.
    """
    for fault in (f for f in case.faults if f.proof is not None):
        assert fault.proof is not None
        for check in fault.proof.checks:
            if (wrong := _unlike(case, fault, check)) is not None:
                yield f"Fault {fault.id}, proof of {check.subject}: {wrong}, seen {check.seen!r}; the check says ok."
        yield from _too_few(fault)
        asked = {check.subject for check in fault.proof.checks if check.side == "victim"}
        everywhere = [f"{table} on {node}" for table in fault.effect.damaged for node in case.databases]
        if unasked := [one for one in everywhere if one not in asked]:
            yield f"Fault {fault.id}: a statement is carried out by every copy; its proof leaves out {first_few(unasked)}."


def _unlike(case: Case, fault: Fault, check: Check) -> str | None:
    """What is wrong with a check that says ok."""
    seen = str(check.seen)
    if not check.ok:
        return None
    if check.side == "bystander":
        return None if check.seen == check.expected else f"expected {check.expected!r} of a bystander"
    if check.subject in fault.effect.destroyed:
        return None if GONE.match(seen) else "expected neither a container nor a disk of a destroyed node, and a closed port"
    if check.subject in fault.effect.down and fault.name in DEATHS:
        return None if DEAD.match(seen) else "expected exit code 137 of a killed node and a closed port"
    if check.subject in fault.effect.down and fault.name == FREEZES:
        return None if seen == STILL else "expected a frozen node that does not answer"
    if fault.name == DEGRADES:
        return _undegraded(case, fault, check)
    if check.subject in fault.effect.cut:
        dropped = (REFUSED if fault.name == "LinkRefused" else DROPPED).fullmatch(seen)
        # A dead center sends nothing: there the rule alone is the proof.
        enough = dropped is not None and (int(dropped[1]) > 0 or fault.name in DEATHS)
        return None if enough else "expected a rule that dropped packets on a cut path"
    if fault.name == ENDS:
        killed, left = KILLED.fullmatch(str(check.expected)), ENDED.fullmatch(seen)
        others = killed is not None and left is not None and not {*killed[1].split(", ")} & {*left[1].split(", ")}
        others &= check.subject == f"{fault.args.get('process')} on {fault.target}"
        return None if others else "expected none of the processes that were killed"
    if fault.name == LOCKS:
        locked = LOCKED.fullmatch(seen)
        there = check.subject in {f"{fault.target} on {node}" for node in case.databases}
        return None if there and locked is not None and locked[1] == check.expected else "expected a session that others wait for"
    if fault.name == EMPTIES:
        return None if EMPTIED.match(seen) and seen == check.expected else "expected no row of before the statement"
    if flipped := FLIPPED.match(str(check.expected)):
        complement = bytes(b ^ 0xFF for b in bytes.fromhex(flipped[2])).hex()
        fits = flipped[1] == complement and seen == f"bytes {complement}"
        return None if fits else f"expected the complement of {flipped[2]}"
    if check.subject.startswith("datagrams "):
        arrived = {"none arrives": "none arrived", "arrive": "arrived"}.get(str(check.expected))
        return None if seen == arrived else f"expected {check.expected!r}"
    if fault.name == "PlannedSwitchover":
        return None if check.seen == check.expected else f"expected {check.expected!r}"
    return None


def _undegraded(case: Case, fault: Fault, check: Check) -> str | None:
    """A delay is on every stream and is felt by a round trip; of the packets about the share that was said is gone."""
    expected, seen = str(check.expected), str(check.seen)
    if expected not in degradations(fault.args):
        return "expected one of the degradations of the fault's arguments"
    if expected.endswith("more"):
        delayed = DELAYED.fullmatch(seen)
        least_ms = fault.args["latency_ms"] - fault.args["jitter_ms"] + _round_trip_ms(case, check.subject)
        whole = delayed is not None and delayed[1] == expected and delayed[2] == delayed[3]
        felt = delayed is not None and int(delayed[4]) >= least_ms
        return None if whole and felt else f"expected it on every stream, and {least_ms} ms there and back"
    if expected.endswith("dropped"):
        thinned = THINNED.fullmatch(seen)
        gone, of = (int(thinned[2]), int(thinned[3])) if thinned is not None and thinned[1] == expected else (0, 0)
        share = fault.args["loss_percent"] / 100
        likely = abs(gone - of * share) <= LIKELY * math.sqrt(of * share * (1 - share)) + 1
        return None if 0 < gone < of and of >= PACKETS_MIN and likely else "expected about that share of the packets"
    return None if seen == expected else f"expected {expected!r}"


def degradations(args: Mapping[str, Any]) -> list[str]:
    """What is to be read back from each path, of a fault with these arguments; nothing where they are no whole numbers."""
    names = ("latency_ms", "jitter_ms", "loss_percent", "bandwidth_kbps")
    given = [one for one in map(args.get, names) if isinstance(one, int) and not isinstance(one, bool) and one >= 0]
    if len(given) < len(names):
        return []
    latency, jitter, loss, kbps = given
    if jitter > latency or loss >= 100:
        return []
    found = [f"{latency} ms ± {jitter} ms more"] if latency else []
    found += [f"{loss} % dropped"] if loss else []
    return [*found, *([f"{kbps} kbit/s"] if kbps else [])]


def _round_trip_ms(case: Case, path: str) -> int:
    """There and back by the plan, whoever degrades it."""
    links = case.plan.topology.get("links", []) if case.plan is not None else []
    ends = set(path.split("->"))
    return sum(round(link["latency_ms"]) for link in links if {link["source"], link["target"]} == ends)


def _too_few(fault: Fault) -> Iterator[str]:
    assert fault.proof is not None
    victims = [check for check in fault.proof.checks if check.side == "victim"]
    pairs = {frozenset(path.split("->")) for path in fault.effect.cut}
    checks = {
        "LinkBlackholed": len(fault.effect.cut) + 2 * len(pairs),
        "PlannedSwitchover": 2,
        "BitsFlipped": 1,
        ENDS: 1,
        LOCKS: 1,
    }
    wanted = checks.get(fault.name, 0)
    if fault.name == DEGRADES:
        told = [(check.subject, str(check.expected)) for check in victims]
        due = [(path, one) for path in fault.effect.impaired for one in degradations(fault.args)]
        if missing := [f"{one} on {path}" for path, one in due if (path, one) not in told] or ([] if due else ["all"]):
            yield f"Fault {fault.id}: of what degraded {fault.target}, its proof leaves out {first_few(missing)}."
    if wanted and len(victims) != wanted:
        yield f"Fault {fault.id}: the proof of {fault.name} has {wanted} checks of its victims; {len(victims)} are there."


def victims_fell_silent(case: Case) -> Iterator[str]:
    """A dead node answers no sample and writes no log until it is healed, or another machine stands in for it."""
    samples = case.records.samples
    for fault in (f for f in case.faults if f.proof is not None and f.proof.proved):
        healed_ns = fault.heal_ns if fault.heal_ns is not None else case.records.events[-1].t_ns
        from_ns = fault.after_ns + BUSY_NS
        for node in fault.effect.down:
            until_ns = min([healed_ns, *_stood_in_for(case, fault, node)])
            if samples is not None and node in case.databases:
                theirs = samples[samples["node"] == node]
                answered = theirs[(theirs["asked_ns"] > from_ns) & (theirs["t_ns"] < until_ns) & (theirs["ok"] == 1)]
                answered = answered[answered["asked_ns"] > from_ns + case.excused_ns(fault.after_ns, answered["asked_ns"])]
                if len(answered):
                    at = case.since_start(int(answered["t_ns"].iloc[0]))
                    yield (
                        f"Fault {fault.id} has {node} down by its proof; samples.csv has {len(answered)} answers of it, the"
                        f" first at {at}."
                    )
            if fault.name not in SILENCES:
                continue
            spoke = [t_ns for t_ns, _ in case.log(node) if from_ns < t_ns < until_ns]
            if spoke:
                yield (
                    f"Fault {fault.id} {'froze' if fault.name == FREEZES else 'killed'} {node} by its proof; logs/{node}.log"
                    f" goes on, {len(spoke)} lines from {case.since_start(spoke[0])}"
                    " on."
                )


def _stood_in_for(case: Case, fault: Fault, node: str) -> list[int]:
    """When a machine came that stands in for a node which that fault destroyed."""
    if node not in fault.effect.destroyed:
        return []
    return [
        event.t_ns for event, data in case.records.of("replaced", Replaced) if node in data.nodes and event.t_ns > fault.after_ns
    ]


def who_was_replaced_was_gone(case: Case) -> Iterator[str]:
    """A machine stands in only for one of which a proof has said before that nothing is left."""
    for event, data in case.records.of("replaced", Replaced):
        gone = {
            node
            for fault in case.faults
            if fault.proof is not None and fault.proof.proved and fault.proved_ns is not None and fault.proved_ns < event.t_ns
            for node in fault.effect.destroyed
        }
        if strange := [node for node in data.nodes if node not in gone]:
            yield (
                f"events.jsonl seq {event.seq} has new machines for {first_few(strange)}; no fault's proof says before it that"
                " nothing is left of the old ones."
            )


def logs_resume_with_the_heal(case: Case) -> Iterator[str]:
    """A dead database writes its log again once it is healed, and not long after."""
    ended = {str(event.data.get("id")): event.t_ns for event in case.told("healed") if event.data.get("ok")}
    for fault in (f for f in case.faults if f.name in DEATHS and f.id in ended):
        for node in (n for n in fault.effect.down if n in case.databases):
            again = [t_ns for t_ns, _ in case.log(node) if t_ns > fault.after_ns + BUSY_NS]
            until_ns = again[0] if again else case.records.events[-1].t_ns  # the run may end before it comes back
            if until_ns > ended[fault.id] + RESUMES_NS:
                seen = f"goes on at {case.since_start(again[0])}" if again else "never goes on"
                yield (
                    f"Fault {fault.id} was healed by {case.since_start(ended[fault.id])} (events.jsonl); logs/{node}.log {seen}."
                )


def nobody_else_was_down(case: Case) -> Iterator[str]:
    """A database that no fault took down, and no step worked on, answers: else somebody did something that no record tells."""
    samples = case.records.samples
    if samples is None or case.baseline is None or case.records.probe_count is None:
        return
    excused = list(_excused(case))
    for node in case.databases:
        theirs = samples[(samples["node"] == node) & (samples["t_ns"] > case.baseline.from_ns)].sort_values("t_ns")
        theirs = theirs[theirs["t_ns"] < case.records.probe_count.stopped_ns]
        since: int | None = None
        for t_ns, ok in zip(theirs["t_ns"].tolist(), theirs["ok"].tolist(), strict=True):
            if ok == 1 or any(start <= t_ns <= end for start, end, which in excused if node in which):
                since = None
                continue
            since = t_ns if since is None else since
            if t_ns - since > ABSENT_NS and t_ns - since > ABSENT_NS + int(case.excused_ns(since, t_ns)):
                yield (
                    f"samples.csv: {node} did not answer from {case.since_start(since)} on;"
                    " no fault, heal or step of events.jsonl"
                    " was at work on it."
                )
                break


def _excused(case: Case) -> Iterator[tuple[int, int, set[str]]]:
    """When which database may be down: its fault and the time to come back, every step, every change of primary."""
    everybody = set(case.databases)
    ended = {str(event.data.get("id")): event.t_ns for event in case.told("healed")}
    for fault in case.faults:
        end = ended.get(fault.id, fault.heal_ns if fault.heal_ns is not None else 1 << 62)
        yield fault.before_ns, end + COMES_BACK_NS, set(fault.effect.down)
        if not fault.effect.down:  # a cut, a switchover, a damage: whoever it touches may be started again
            yield fault.before_ns, end + COMES_BACK_NS, everybody
    for event in case.told("step"):
        yield int(event.data.get("before_ns", event.t_ns)), event.t_ns + COMES_BACK_NS, everybody
    for event in case.told("primary"):
        yield event.t_ns - COMES_BACK_NS, event.t_ns + COMES_BACK_NS, everybody if event.data.get("node") is None else set()


def fault_came_before_its_effect(case: Case) -> Iterator[str]:
    """`before_ns` is the last moment before: no victim was down already then."""
    samples = case.records.samples
    if samples is None:
        return
    for fault in case.faults:
        for node in (n for n in fault.effect.down if n in case.databases):
            theirs = samples[samples["node"] == node].sort_values("t_ns")
            times, answered = theirs["t_ns"].to_numpy(), (theirs["ok"] == 1).to_numpy()
            after = np.flatnonzero(times >= fault.after_ns)
            if not len(after) or answered[after[0]]:
                continue
            first = int(after[0])
            while first > 0 and not answered[first - 1]:
                first -= 1
            if times[first] < fault.before_ns:
                yield (
                    f"Fault {fault.id} is said to have come after {case.since_start(fault.before_ns)}; samples.csv has its"
                    f" victim {node} down"
                    f" from {case.since_start(int(times[first]))} on."
                )


def order_before_the_first_fault(case: Case) -> Iterator[str]:
    """From the baseline to the first fault the bank is in order: what goes wrong there belongs to a fault that came earlier."""
    probe = case.records.probe
    if probe is None or case.baseline is None or not case.faults:
        return
    from_ns, before_ns = case.baseline.from_ns, case.faults[0].before_ns
    level_ns = SECOND_NS if case.plan is None else round(case.plan.load.service_level_s * 1e9)
    ours = probe[(probe["due_ns"] >= from_ns) & (probe["due_ns"] < before_ns - SECOND_NS // 2)].sort_values("due_ns")
    due, done = ours["due_ns"].to_numpy(dtype=np.int64), ours["done_ns"].to_numpy(dtype=np.int64)
    failed = (ours["outcome"] != "acknowledged").to_numpy(dtype=bool)
    # Payments that were in flight when the fault came may fail: of a fast bank few, of a slow one those that were not late yet.
    failed = failed & ((done < before_ns) | (due < before_ns - level_ns))
    if failed.any():
        failed = failed & ~forgiven(due, done, case.host.excuses, level_ns)
    if seen := failing_second(due, failed):
        first, bad, among = seen
        yield (
            f"probe.csv: {bad} of {among} payments due from {case.since_start(first)} on failed, before fault"
            f" {case.faults[0].id} came"
            f" at {case.since_start(before_ns)} by events.jsonl."
        )
    told = probe["done_ns"][(probe["outcome"] == "acknowledged") & (probe["done_ns"] >= from_ns) & (probe["done_ns"] < before_ns)]
    early = np.append(told.sort_values().to_numpy(), before_ns)
    pauses = np.diff(early)
    # Twice what a busy machine may hold up: shorter ones may be the host's.
    if len(pauses) and pauses.max() > 2 * BUSY_NS:
        start = int(early[int(pauses.argmax())])
        yield (
            f"probe.csv: nothing was acknowledged for {pauses.max() / 1e9:.1f} s from {case.since_start(start)} on,"
            f" before fault {case.faults[0].id}"
            f" came at {case.since_start(before_ns)} by events.jsonl."
        )


def reach_shows_the_cut(case: Case) -> Iterator[str]:
    """Centers whose link the proof says is cut did not reach each other during the fault."""
    for event in case.told("reach"):
        if event.data.get("moment") != "during":
            continue
        cut = {
            path
            for f in case.faults
            if f.before_ns <= event.t_ns
            for path in f.effect.cut
            if f.heal_ns is None or event.t_ns < f.heal_ns
        }
        reached = [
            f"{c['source']}->{c['target']}"
            for c in event.data.get("cells", [])
            if c["ok"] and f"{c['source']}->{c['target']}" in cut
        ]
        if reached:
            yield f"events.jsonl seq {event.seq}: {first_few(reached)} carried during a fault whose proof says it was cut."


def cut_ended_replication(case: Case) -> Iterator[str]:
    """Across a cut no copy goes on streaming: its sender gives up within its time-out."""
    samples = case.records.samples
    if samples is None or case.plan is None:
        return
    settings = case.plan.topology.get("settings", {})
    patience_ns = round(float(settings.get("wal_sender_timeout_s", 60)) * 1e9) + 5 * BUSY_NS
    for fault in (f for f in case.faults if f.name in OF_LINKS and f.effect.cut):
        until_ns = fault.heal_ns if fault.heal_ns is not None else 1 << 62
        late = samples[
            (samples["asked_ns"] > fault.after_ns + patience_ns)
            & (samples["t_ns"] < until_ns)
            & samples["in_recovery"].eq(0).fillna(False)
        ]
        for node, replication in zip(late["node"].tolist(), late["replication"].tolist(), strict=True):
            home = case.databases.get(node)
            across = [
                s
                for s in case.streaming(replication)
                if {f"{home}->{case.databases.get(s)}", f"{case.databases.get(s)}->{home}"} & set(fault.effect.cut)
            ]
            if across:
                yield (
                    f"Fault {fault.id} cut {fault.target} by its proof; samples.csv has {first_few(across)} streaming from"
                    f" {node} {patience_ns / 1e9:.0f} s later."
                )
                break


def damage_is_where_the_fault_was(case: Case) -> Iterator[str]:
    """Flipped bits are found by a scrub of the node on whose disk they were flipped."""
    for fault in (f for f in case.faults if f.name == "BitsFlipped"):
        found = [str(e.data.get("node")) for e in case.told("damage") if e.t_ns >= fault.before_ns]
        found += [
            str(e.data.get("seen")).partition(":")[0]
            for e in case.told("until")
            if e.data.get("condition") == "corruption_detected"
        ]
        if fault.target not in found:
            yield (
                f"Fault {fault.id} flipped bits on {fault.target} by its proof;"
                f" no scrub found damage there (seen: {first_few(found) or 'nothing'})."
            )
