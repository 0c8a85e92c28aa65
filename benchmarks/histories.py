"""Small whole runs with known truth, generated fast: what both verifiers must agree on.

`history(seed, directory)` writes one run of version 2 and says what is true of it by the way in which it was made. Two centers,
three databases, a probe every 40 ms, a killed primary; outages, partial outages, slowness, losses, host stalls and relapses are
drawn from the seed, and some runs are forged or damaged afterwards. It shares no code with the judge, the verifier or the other
synthetic runs.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

S = 1_000_000_000
MS = 1_000_000
ZERO = 5_000 * S  # the host's clock when the plan is registered
WALL = datetime(2026, 3, 1, 9, 0, 0, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTERVAL = 40 * MS
TIMEOUT = S
NODES = {"dc1-a": "postgres", "dc1-bank": "bank", "dc2-a": "postgres", "dc2-b": "postgres", "dc2-bank": "bank"}
DATABASES = ("dc1-a", "dc2-a", "dc2-b")
ACCOUNTS = [f"A{number:02d}" for number in range(20)]
STARTED, BASELINE, FAULT = ZERO + 4 * S, (ZERO + 5 * S, ZERO + 8 * S), ZERO + 8 * S + 100 * MS

Row = list[Any]


@dataclass
class Truth:
    """What is true of a history: how it was made, and the verdicts that it may get."""

    kind: str
    allowed: frozenset[str]


Events = list[tuple[int, str, dict[str, Any]]]


@dataclass
class Desk:
    """What a forger has before him: the files as text, and the events, before they are chained and sealed."""

    files: dict[str, str]
    told: Events


@dataclass
class Story:
    """What happened, and every record of it, before it is written."""

    seed: int
    random: Random
    run_id: str = ""
    stopped: int = 0
    fault_ends: int = 0
    promoted: int = 0
    heal: int = 0
    healed: int = 0
    lost: int = 0
    troubles: list[tuple[int, int, str, float]] = field(default_factory=list)
    stalls: list[tuple[int, int]] = field(default_factory=list)
    targets: dict[str, float | None] = field(default_factory=dict)
    probe: list[Row] = field(default_factory=list)
    ledger: list[Row] = field(default_factory=list)
    door: list[tuple[int, str]] = field(default_factory=list)
    committed: list[tuple[int, str, str, str, int]] = field(default_factory=list)  # when, key, debit, credit, amount
    gone: set[str] = field(default_factory=set)  # keys that only the dead disk holds
    looks: int = 0


def wall(t: int, digits: int = 6) -> str:
    seconds, rest = divmod(t - ZERO, S)
    return (WALL + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09d}"[: digits + 1] + "Z"


def epoch_ms(t: int) -> int:
    return int((WALL - EPOCH).total_seconds()) * 1000 + (t - ZERO) // MS


# ---- What happened ---------------------------------------------------------------------------------------------------------


def story(seed: int) -> Story:
    random = Random(seed)
    one = Story(seed, random, f"history-{seed}")
    hard = random.choice((0.3, 1.0, 3.0, 8.0)) * random.uniform(0.5, 1.5)
    one.fault_ends = FAULT + random.randint(20, 300) * MS
    one.promoted = FAULT + round(max(hard, 0.35) * S)
    after = one.promoted + random.randint(0, 800) * MS
    one.troubles.append((FAULT, after, random.choice(("refused", "mixed")), 1.0))
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        begins = after + round(random.uniform(0, 20) * S)
        kind = random.choice(("refused", "hang", "slow", "mixed"))
        one.troubles.append(
            (begins, begins + round(random.uniform(0.05, 4) * S), kind, random.choice((0.03, 0.06, 0.1, 0.5, 1.0)))
        )
    if random.random() < 0.3:
        begins = FAULT + round(random.uniform(-2, 20) * S)
        one.stalls.append((begins, begins + random.randint(120, 1500) * MS))
        if random.random() < 0.7:  # the bank waited for the host
            one.troubles.append((begins, one.stalls[0][1], "stalled", 1.0))
    one.heal = max(after, max(end for _, end, _, _ in one.troubles)) + round(random.uniform(-3, 11) * S)
    one.heal = max(one.heal, after + S, FAULT + 4 * S)
    one.healed = one.heal + 2 * S
    one.stopped = max(one.heal + round(random.uniform(2, 6) * S), FAULT + 14 * S)
    one.lost = random.choice((0, 0, 0, 1, 3, 9))
    pay(one)
    choose_lost(one)
    return one


def state(one: Story, t: int) -> tuple[str, int]:
    """What a payment sent now meets: ok, refused, hang, slow; and when its trouble ends."""
    for start, end, kind, share in one.troubles:
        if start <= t < end and one.random.random() < share:
            if kind == "mixed":
                kind = one.random.choice(("refused", "hang"))
            return kind, end
    return "ok", 0


def answer(one: Story, key: str, sent: int, debit: str, credit: str, amount: int, customer: bool) -> tuple[int, int | None, str]:
    """One payment: when it ended, its status, its error; what the bank and the door wrote of it stays in the story."""
    random = one.random
    what, end = state(one, sent)
    takes = random.randint(2_000_000, 5_000_000)
    if what == "slow":
        takes = random.randint(700, 990 if not customer else 900) * MS
    elif what == "stalled":
        takes = min(end - sent + takes, 990 * MS)
    if what != "refused" and sent <= FAULT <= sent + takes:
        what = "hang"  # the fault came while it was on its way
    status: int | None = 201
    error, ending = "", "--"
    if what == "refused":
        status = 503
    elif what == "hang":
        takes, status, ending = TIMEOUT, None, "CH"
        error = "timed out" if customer else "no answer within 1 s"
    done = sent + takes
    late = random.random() < 0.3 and (sent >= one.promoted or sent + MS <= FAULT)
    if status == 201 or (status is None and late):
        one.committed.append((done - MS if status == 201 else sent + MS // 2, key, debit, credit, amount))
    shown = -1 if status is None else status
    at = epoch_ms(sent)
    line = f"pay key={key} status={shown} at={at // 1000}.{at % 1000:03d} took={takes // MS} end={ending}"
    one.door.append((done, f"{wall(done + 1000, 9)} {line}"))
    return done, status, error


def outcome(status: int | None) -> str:
    return "acknowledged" if status == 201 else "refused" if status == 503 else "unknown"


def pay(one: Story) -> None:
    draws = Random(f"{one.seed}-probe")
    for number in range(-(-(one.stopped - STARTED) // INTERVAL)):
        due = STARTED + number * INTERVAL
        debit, credit = draws.sample(ACCOUNTS, 2)
        amount = draws.randint(1, 1000)
        key = f"{one.run_id}-p-{number:07d}"
        sent = due + one.random.randint(50_000, 900_000)
        done, status, error = answer(one, key, sent, debit, credit, amount, False)
        one.probe.append([key, due, sent, done, "" if status is None else status, outcome(status), debit, credit, amount, error])
    for customer in range(2):
        draws, number = Random(f"{one.seed}-customer-{customer}"), 0
        now = STARTED + round(draws.uniform(0, 0.3) * S)
        while now < one.stopped:
            if draws.random() >= 0.8:
                draws.choice(ACCOUNTS)
                one.looks += 1
                now += 350 * MS
                continue
            debit, credit = draws.sample(ACCOUNTS, 2)
            amount = draws.randint(1, 1000)
            key = f"{one.run_id}-c-{customer}-{number:07d}"
            done, status, error = answer(one, key, now, debit, credit, amount, True)
            row = [key, now, now, done, "" if status is None else status, outcome(status), debit, credit, amount, error]
            one.ledger.append(row)
            number, now = number + 1, done + 350 * MS
    for rows in (one.probe, one.ledger):
        rows.sort(key=lambda row: row[3])
    one.door.sort()


def choose_lost(one: Story) -> None:
    """The primary's last commits before the fault are lost with it, where the story says so."""
    one.committed.sort()
    dying = [key for at, key, *_ in one.committed if at < FAULT]
    acknowledged = {row[0] for row in one.probe + one.ledger if row[5] == "acknowledged"}
    number = 0
    for key in reversed(dying):
        if number == one.lost:
            break
        one.gone.add(key)
        number += key in acknowledged


# ---- The files -------------------------------------------------------------------------------------------------------------


def table(columns: str, rows: list[Row]) -> str:
    return columns + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def plan_of(one: Story) -> dict[str, Any]:
    names = ("rto_s", "rpo_s", "lost_transactions", "interruption_s", "detect_s", "unprotected_s", "availability")
    centers = [
        {
            "name": name,
            "region": "A",
            "nodes": [{"name": node, "kind": kind, "group": "a"} for node, kind in NODES.items() if node[:3] == name],
        }
        for name in ("dc1", "dc2")
    ]
    groups = [{"name": "a", "upstream": None}]
    links = [{"source": a, "target": b, "latency_ms": 1.0, "bandwidth_kbps": None} for a, b in (("dc1", "dc2"), ("dc2", "dc1"))]
    return {
        "evidence_version": 2,
        "drill": "history",
        "claim": "The primary is killed: another takes over.",
        "run_id": one.run_id,
        "seed": one.seed,
        "topology": {"name": "two", "centers": centers, "groups": groups, "links": links, "service": "", "settings": {}},
        "targets": {**{name: one.targets.get(name) for name in names}, "basis": {}},
        "load": {
            "probe_interval_ms": 40.0,
            "probe_timeout_s": 1.0,
            "customers": 2,
            "customer_rate_per_s": 5.0,
            "pay_share": 0.8,
            "baseline_s": 3.0,
            "service_level_s": 0.5,
        },
        "environment_class": "lab-containers",
        "drill_kind": "test",
        "environment": {
            "host": "h", "kernel": "6", "cores": 1, "memory_mb": 1, "docker": "28", "python": "3.11", "programs": {},
            "degraded": [],
        },
        "clock": {"monotonic_ns": ZERO, "wall": wall(ZERO)},
        "body": [
            {"kind": "fault", "name": "NodeKilled", "target": "primary", "args": {"node": "primary"}},
            {"kind": "until", "condition": "service_restored", "within_s": 60.0},
        ],
        "witness": {"cores": 1, "degraded": []},
    }  # fmt: skip


def lsn(commits: list[int], t: int) -> int:
    return 10_000 + 100 * bisect_right(commits, t)


def samples_of(one: Story) -> tuple[list[tuple[int, str, str]], str]:
    """What each database was sampled as (time, node, role), and the file."""
    standing = sorted(at for at, key, *_ in one.committed if key not in one.gone)
    all_of = sorted(at for at, *_ in one.committed)
    received = lsn(standing, FAULT)
    rows: list[str] = []
    seen: list[tuple[int, str, str]] = []
    t = STARTED - 2 * S
    while t < one.stopped + S:
        for place, node in enumerate(DATABASES):
            asked = t + place * 3 * MS
            now = asked + 2 * MS
            writer = "dc1-a" if now < FAULT else "dc2-a" if now >= one.promoted else None
            if node == "dc1-a" and FAULT <= now < one.healed:
                seen.append((now, node, "down"))
                rows.append(f"{asked},{now},{node},0,,,,,,[],connection refused")
                continue
            timeline = 1 if now < one.promoted else 2
            flush = (
                lsn(all_of, now)
                if now < FAULT and node == "dc1-a"
                else min(lsn(standing, now), received if now < one.promoted else 1 << 60)
            )
            if node == writer:
                peers = [other for other in DATABASES if other != node and (other != "dc1-a" or now >= one.healed)]
                replication = json.dumps(
                    [
                        {
                            "name": other,
                            "state": "streaming",
                            "sync_state": "sync" if other in ("dc2-a", "dc2-b") else "async",
                            "flush_lsn": flush,
                        }
                        for other in peers
                    ]
                )
                names = '1 (""dc2-a"")' if node == "dc1-a" else '1 (""dc2-b"")'
                if node == "dc1-a":
                    replication = replication.replace(
                        '"dc2-b", "state": "streaming", "sync_state": "sync"',
                        '"dc2-b", "state": "streaming", "sync_state": "async"',
                    )
                rows.append(f'{asked},{now},{node},1,0,{timeline},{flush},,"{names}",{quoted(replication)},')
            else:
                rows.append(f"{asked},{now},{node},1,1,{timeline},{flush},{flush},,[],")
            seen.append((now, node, "primary" if node == writer else "standby"))
        t += 250 * MS
    columns = "asked_ns,t_ns,node,ok,in_recovery,timeline,flush_lsn,replay_lsn,sync_names,replication,error"
    return seen, columns + "\n" + "".join(row + "\n" for row in rows)


def witness_of(one: Story) -> tuple[int, str]:
    start, end, rows = ZERO + S, one.stopped + S, []
    t = start
    while t < end:
        over = [(a, b) for a, b in one.stalls if t <= a < t + 500 * MS]
        late = over[0][1] - over[0][0] if over else MS
        stop = max(t + 500 * MS, over[0][1] + MS if over else 0)
        begin = over[0][0] if over else t
        rows.append(f"{begin},{begin + late},sync,,{late},{{}}")
        rows.append(f'{t},{stop},wake,0,100000,"{{""at_ns"": {t + 50 * MS}}}"')
        some = (stop - t) // 2000 if over else 10
        rows.append(
            f'{t},{stop},pressure,,,"{{""cpu_some_us"": 10, ""io_some_us"": {some}, ""io_full_us"": 0, ""memory_some_us"": 0}}"'
        )
        busy = (stop - t) // 3
        data = {
            "busy_ns": busy,
            "idle_ns": stop - t - busy,
            "steal_ns": 0,
            "ours_ns": busy // 2,
            "dirty_kb": 1,
            "writeback_kb": 0,
        }
        rows.append(f"{t},{stop},cpu,,,{quoted(json.dumps(data))}")
        t = stop
    return len(rows), "from_ns,to_ns,kind,core,late_ns,data\n" + "".join(row + "\n" for row in rows)


def events_of(
    one: Story, seen: list[tuple[int, str, str]], keys: list[str], dead: int, end_lsn: int
) -> list[tuple[int, str, dict[str, Any]]]:
    ready = [key for key in keys if key.startswith(f"{one.run_id}-ready-")]
    exempt = {
        "observers": {"count": 0, "sha256": hashlib.sha256(b"").hexdigest()},
        "ready": {"count": len(ready), "sha256": hashlib.sha256("\n".join(ready).encode()).hexdigest()},
    }
    killed = [{"subject": "dc1-a", "side": "victim", "expected": "killed (exit code 137), port closed",
               "seen": "exited, exit code 137, port 5432 closed", "ok": True}]  # fmt: skip
    others = [
        {"subject": node, "side": "bystander", "expected": "answers", "seen": "answers", "ok": True}
        for node in NODES
        if node != "dc1-a"
    ]
    waited = round((one.heal - 700 * MS - one.fault_ends) / S, 3)
    told: list[tuple[int, str, dict[str, Any]]] = [
        (ZERO + 10 * MS, "phase", {"name": "start"}),
        (ZERO + 3 * S, "ready", {"first_payment_s": 2.0, "full_redundancy_s": 2.9}),
        (ZERO + 3 * S + MS, "phase", {"name": "steady"}),
        (STARTED + 20 * MS, "load_started", {"origin": "probe"}),
        (STARTED + 30 * MS, "load_started", {"origin": "locust"}),
        (BASELINE[0], "phase", {"name": "baseline"}),
        (BASELINE[1], "baseline", {"from_ns": BASELINE[0], "to_ns": BASELINE[1]}),
        (BASELINE[1] + 10 * MS, "phase", {"name": "fault"}),
        (FAULT - 50 * MS, "intent", {"id": "f1", "name": "NodeKilled", "target": "dc1-a", "args": {"node": "dc1-a"},
                                     "effect": {"down": ["dc1-a"], "cut": []}, "undo": "start dc1-a again"}),
        (one.fault_ends, "injected", {"id": "f1", "before_ns": FAULT, "after_ns": one.fault_ends}),
        (one.fault_ends + 100 * MS, "proof", {"id": "f1", "proved": True, "checks": killed + others}),
        (one.heal - 700 * MS, "until", {"condition": "service_restored", "within_s": 60.0, "reached": True,
                                        "waited_s": max(0.0, waited), "seen": "as awaited"}),
        (one.heal - 600 * MS, "autopsy", {"node": "dc1-a", "payments": dead, "end_lsn": end_lsn}),
        (one.heal - MS, "phase", {"name": "heal"}),
        (one.heal, "heal_started", {"id": "f1"}),
        (one.healed, "healed", {"id": "f1", "ok": True, "error": ""}),
        (one.stopped + 2, "phase", {"name": "drain"}),
        (one.stopped + 1100 * MS, "load_stopped", {"origin": "locust"}),
        (one.stopped + 1200 * MS, "load_stopped", {"origin": "probe"}),
        (one.stopped + 2000 * MS, "phase", {"name": "readback"}),
        (one.stopped + 2001 * MS, "authority", {"node": "dc2-a"}),
        (one.stopped + 2002 * MS, "expected_copies", {"nodes": list(DATABASES)}),
        (one.stopped + 2003 * MS, "exempt_keys", exempt),
        (one.stopped + 2004 * MS, "door_log", {"payments": len(one.door), "dropped": 0}),
        (one.stopped + 2005 * MS, "phase", {"name": "seal"}),
    ]  # fmt: skip
    roles = dict.fromkeys(DATABASES, "down")
    primary: Any = ()
    for t, node, role in seen:
        roles[node] = role
        now = next((name for name, what in roles.items() if what == "primary"), None)
        if now != primary and len({name for _, name, _ in seen[: seen.index((t, node, role)) + 1]}) == 3:
            told.append((t, "primary", {"node": now, "roles": dict(roles)}))
            primary = now
    gone = min(one.promoted - 100 * MS, max(FAULT + 200 * MS, one.promoted - 900 * MS))
    told += [
        (ZERO + S, "leader_key", {"store": "a", "leader": "dc1-a", "seen_before_ns": ZERO + S - MS, "revision": 1}),
        (gone, "leader_key", {"store": "a", "leader": None, "seen_before_ns": gone - 50 * MS, "revision": 2}),
        (
            one.promoted - 60 * MS,
            "leader_key",
            {"store": "a", "leader": "dc2-a", "seen_before_ns": one.promoted - 90 * MS, "revision": 3},
        ),
    ]
    return sorted(told, key=lambda event: event[0])


def logs_of(one: Story) -> dict[str, str]:
    standing = [at for at, key, *_ in one.committed if key not in one.gone and at < FAULT]
    logs = {}
    for node in NODES:
        lines = [(ZERO + 500 * MS, "starting")]
        t = ZERO + S
        while t < one.stopped + 2 * S:
            if node != "dc1-a" or not FAULT - 20 * MS <= t < one.healed:
                lines.append((t, "INFO: no action"))
            t += 2 * S
        if node == "dc1-a":
            lines.append((one.healed - S, "starting again"))
        if node == "dc2-a":
            last = wall(max(standing)).replace("T", " ").replace("Z", "+00")
            lines += [
                (one.promoted - 50 * MS, "INFO: promoted self to leader by acquiring session lock"),
                (one.promoted - 45 * MS, "LOG:  received promote request"),
                (one.promoted - 40 * MS, f"LOG:  last completed transaction was at log time {last}"),
                (one.promoted - 30 * MS, "LOG:  selected new timeline ID: 2"),
                (one.promoted - 10 * MS, "LOG:  database system is ready to accept connections"),
            ]
        logs[node] = "".join(f"{wall(t, 9)} {text}\n" for t, text in sorted(lines))
    return logs


def files_of(one: Story) -> dict[str, str]:
    """Every file but the events and the seal, by path; tables as text."""
    ready = [(STARTED - S + number * MS, f"{one.run_id}-ready-{number}", "A00", "A01", 5) for number in range(2)]
    standing = sorted((row for row in [*ready, *one.committed] if row[1] not in one.gone), key=lambda row: row[1])
    dead = sorted((row for row in [*ready, *one.committed] if row[0] < FAULT), key=lambda row: row[1])

    def payments(rows: list[tuple[int, str, str, str, int]]) -> str:
        return table("key,debit,credit,amount_minor,committed_at", [[k, d, c, a, wall(at)] for at, k, d, c, a in rows])

    entries: list[tuple[str, str, int]] = sorted(
        (k, account, sign * a) for _, k, d, c, a in standing for account, sign in ((d, -1), (c, 1))
    )
    balances = dict.fromkeys(ACCOUNTS, 1_000_000)
    for _, account, amount in entries:
        balances[account] += amount
    tables = {
        "payments": payments(standing),
        "entries": table("key,account,amount_minor", [list(row) for row in entries]),
        "accounts": table("id,opening_minor,balance_minor", [[name, 1_000_000, balance] for name, balance in balances.items()]),
    }
    files = {f"copies/{node}.{name}.csv.gz": text for node in DATABASES for name, text in tables.items()}
    files["autopsy/dc1-a.payments.csv.gz"] = payments(dead)
    columns = "key,due_ns,sent_ns,done_ns,status,outcome,debit,credit,amount_minor,error"
    files |= {"probe.csv": table(columns, one.probe), "ledger.csv": table(columns, one.ledger)}
    files |= {f"logs/{node}.log": text for node, text in logs_of(one).items()}
    files["logs/door.log"] = "".join(line + "\n" for _, line in one.door)
    rows, files["witness.csv"] = witness_of(one)
    late = max(row[2] - row[1] for row in one.probe) / MS
    times = {"started_ns": STARTED, "stopped_ns": one.stopped, "completed": True}
    counts: dict[str, dict[str, Any]] = {
        "probe.json": {
            "scheduled": len(one.probe),
            "recorded": len(one.probe),
            "interval_ms": 40.0,
            "late_ms_max": late,
            **times,
        },
        "ledger.json": {"recorded": len(one.ledger), "locust_requests": len(one.ledger), "looks": one.looks, **times},
        "witness.json": {
            **times,
            "started_ns": ZERO + S,
            "stopped_ns": one.stopped + S,
            "rows": rows,
            "cores": 1,
            "degraded": [],
        },
    }
    return files | {name: json.dumps(count) + "\n" for name, count in counts.items()}


def write(one: Story, directory: Path, forge: Callable[[Desk], None]) -> None:
    """Write, chain and seal a story, after a forger had his way with files and events."""
    files = files_of(one)
    seen, files["samples.csv"] = samples_of(one)
    keys = [line.partition(",")[0] for line in files["copies/dc2-a.payments.csv.gz"].splitlines()[1:]]
    dead = files["autopsy/dc1-a.payments.csv.gz"].count("\n") - 1
    told = events_of(one, seen, keys, dead, lsn(sorted(at for at, *_ in one.committed), FAULT))
    forge(Desk(files, told))
    files["plan.json"] = json.dumps(plan_of(one)) + "\n"
    prev = hashlib.sha256(files["plan.json"].encode()).hexdigest()
    lines = []
    for seq, (t, kind, data) in enumerate([(ZERO + MS, "plan_registered", {"sha256": prev}), *told]):
        event = {
            "seq": seq,
            "t_ns": t,
            "wall": wall(t),
            "source": "harness",
            "kind": kind,
            "text": kind,
            "data": data,
            "prev": prev,
        }
        lines.append(json.dumps(event))
        prev = hashlib.sha256(lines[-1].encode()).hexdigest()
    files["events.jsonl"] = "".join(line + "\n" for line in lines)
    sealed, packed = {}, dict[str, bytes]()
    for name, text in files.items():
        if text not in packed or not name.endswith(".gz"):
            packed[text] = gzip.compress(text.encode(), 1, mtime=0) if name.endswith(".gz") else text.encode()
        content = packed[text]
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        sealed[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    end = one.stopped + 4 * S
    manifest = {"evidence_version": 2, "run_id": one.run_id, "sealed_at": wall(end),
                "clock": {"monotonic_ns": end, "wall": wall(end)}, "files": sealed, "chain_head": prev}  # fmt: skip
    (directory / "manifest.json").write_text(json.dumps(manifest) + "\n")


# ---- Lies and damage -------------------------------------------------------------------------------------------------------


def relabelled(desk: Desk) -> None:
    """An acknowledged payment is told as unknown."""
    lines = desk.files["probe.csv"].split("\n")
    at = next(i for i, line in enumerate(lines) if ",201,acknowledged," in line and i > 60)
    lines[at] = lines[at].replace(",201,acknowledged,", ",,unknown,").rstrip(",") + ",connection reset"
    desk.files["probe.csv"] = "\n".join(lines)


def row_taken_out(desk: Desk) -> None:
    lines = desk.files["probe.csv"].split("\n")
    del lines[100]
    desk.files["probe.csv"] = "\n".join(lines)


def cut_off(desk: Desk) -> None:
    name = ("probe.csv", "ledger.csv", "samples.csv", "witness.csv", "logs/door.log")[len(desk.files["probe.csv"]) % 5]
    desk.files[name] = desk.files[name][: len(desk.files[name]) // 2] + "x"


def copy_taken_out(desk: Desk) -> None:
    del desk.files["copies/dc2-b.entries.csv.gz"]


def event_taken_out(desk: Desk) -> None:
    kinds = ("proof", "injected", "authority", "baseline", "until", "exempt_keys", "door_log")
    kind = kinds[len(desk.files["probe.csv"]) % 7]
    desk.told[:] = [event for event in desk.told if event[1] != kind]


def not_proved(desk: Desk) -> None:
    for _, kind, data in desk.told:
        if kind == "proof":
            data["proved"] = False


def everywhere(desk: Desk, table_name: str, change: Callable[[str], str]) -> None:
    for node in DATABASES:
        desk.files[f"copies/{node}.{table_name}.csv.gz"] = change(desk.files[f"copies/{node}.{table_name}.csv.gz"])


def phantom(desk: Desk) -> None:
    everywhere(desk, "payments", lambda text: text + f"zz-phantom,A00,A01,7,{wall(STARTED + 3 * S)}\n")
    everywhere(desk, "entries", lambda text: text + "zz-phantom,A00,-7\nzz-phantom,A01,7\n")


def balance_changed(desk: Desk) -> None:
    everywhere(desk, "accounts", lambda text: text.rstrip("\n") + "1\n")


def copies_differ(desk: Desk) -> None:
    name = "copies/dc1-a.payments.csv.gz"
    desk.files[name] = "\n".join(desk.files[name].split("\n")[:-2]) + "\n"


def acknowledged_taken_out(desk: Desk) -> None:
    """A confirmed payment is taken from every copy."""
    key = next(line.split(",")[0] for line in reversed(desk.files["probe.csv"].split("\n")) if ",acknowledged," in line)
    for name in ("payments", "entries"):
        everywhere(
            desk, name, lambda text: "".join(f"{line}\n" for line in text.split("\n")[:-1] if not line.startswith(f"{key},"))
        )


def nothing(desk: Desk) -> None:
    pass


LIES = (
    relabelled, row_taken_out, cut_off, copy_taken_out, event_taken_out, not_proved, phantom, balance_changed, copies_differ,
    acknowledged_taken_out,
)  # fmt: skip


def history(seed: int, directory: Path) -> Truth:
    """Write the history of a seed; what is true of it follows from how it was made."""
    one = story(seed)
    random = Random(f"{seed}-truth")
    hard = (one.promoted - FAULT) / S
    allowed = {"PASS", "FAIL", "INVALID"}
    kind = random.choice(("open", "generous", "strict", "lost", "lie", "damage"))
    if kind == "open":
        one.targets = {
            "rto_s": random.choice((None, round(hard * random.uniform(0.8, 1.3), 1) or 0.1)),
            "rpo_s": random.choice((None, 0.5, 0.1)),
            "interruption_s": random.choice((None, round(hard * random.uniform(0.8, 1.3), 1) or 0.1)),
            "detect_s": random.choice((None, 1.0, 5.0)),
            "unprotected_s": random.choice((None, 0.0, 20.0)),
            "availability": random.choice((None, 0.6, 0.9)),
        }
    elif kind == "generous":
        one.targets = {"rto_s": 300.0, "interruption_s": 300.0, "availability": 0.0, "lost_transactions": 1000, "rpo_s": 300.0}
        ends = max(end for _, end, _, _ in one.troubles) + 2 * S
        if ends < one.stopped - 5 * S:  # else the last 5 s may be out of order, which is a breach
            allowed = {"PASS", "INVALID"}
    elif kind == "strict" and hard > 0.7:
        one.targets = {"rto_s": 0.01, "interruption_s": 0.01}
        allowed = {"FAIL", "INVALID"}
    elif kind == "lost":
        one.targets = {"lost_transactions": 0}
        lost = one.gone & {row[0] for row in one.probe + one.ledger if row[5] == "acknowledged"}
        early = any(trouble[0] < FAULT for trouble in one.troubles)  # then order before the fault may be in doubt
        allowed = allowed if not lost else {"FAIL", "INVALID"} if early else {"FAIL"}
    forge = nothing
    if kind == "lie":
        forge = random.choice(LIES)
        kind, allowed = f"lie: {forge.__name__}", {"FAIL", "INVALID"}
        one.targets = {"lost_transactions": 0}
    write(one, directory, forge)
    if kind == "damage":
        names = sorted(
            str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file() and path.name != "plan.json"
        )
        name = random.choice(names)
        data = bytearray((directory / name).read_bytes())
        how = random.choice(("gone", "cut", "bit"))
        if how == "gone":
            (directory / name).unlink()
        else:
            at = random.randrange(len(data))
            data[at] ^= 1 << random.randrange(8)
            (directory / name).write_bytes(data if how == "bit" else data[:at])
        kind, allowed = f"damage: {how} {name}", {"INVALID"}
    return Truth(kind, frozenset(allowed))


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not arguments[0].isdecimal():
        print("usage: python -m benchmarks.histories SEED DIR", file=sys.stderr)
        return 2
    print(history(int(arguments[0]), Path(arguments[1])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
