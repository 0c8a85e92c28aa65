"""How long does judging take, and how much memory, for 10^5, 10^6 and 10^7 payments?

    python -m benchmarks.scale [--payments 1e5,1e6,1e7] [--level 6] [--out DIR]

Makes a run directory of each size, half of its payments the probe's and half of Locust's, with five equal copies, a door's
log, a witness and the databases' own logs, so that nothing is left out that records are held against; and judges it in a
fresh process: seconds and peak memory, as the kernel counts them. Exit 1 when a figure is not the one that is known, or the
verdict is not PASS: then some check ended early, and its time is not in the figure.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from benchmarks.instrument import ROOT
from judging.evidence import (
    COPY_COLUMNS,
    EVIDENCE_VERSION,
    PAYMENT_COLUMNS,
    SAMPLE_COLUMNS,
    WITNESS_COLUMNS,
    Clock,
    Event,
    LedgerCount,
    Load,
    Plan,
    PlannedFault,
    ProbeCount,
    Targets,
    WitnessCount,
    csv_text,
    seal,
    sha256_of,
    sha256_of_bytes,
    write_atomically,
)

Numbers = npt.NDArray[np.int64]
SECOND_NS = 1_000_000_000
ZERO_NS = 7_200 * SECOND_NS
ZERO_WALL = datetime(2026, 1, 15, 2, tzinfo=UTC)
PLANNED_S = -10.0  # when the plan was written
INTERVAL_NS = 2_000_000
SEED = 1
CORES = 2
CUSTOMERS = 8
ACCOUNTS = 1000
OPENING_MINOR = 1_000_000_000
DRAWN_MAX = 100_000  # payments of each generator that the seed gives; judging derives no more of them
OUTAGE_S = (10.0, 15.0)  # from the start of the probe; refused in it
DOWN_S = (10.1, 31.0)  # the node that was killed
NODES = {"dc1-a": "dc1", "dc1-b": "dc1", "dc2-a": "dc2", "dc2-b": "dc2", "dc3-a": "dc3"}
CHUNK = 500_000
JUDGE = """
import json, resource, sys, time
began = time.monotonic()
from pathlib import Path
from judging.evidence import Evidence
from judging.judge import judge
from judging.measure import measure
evidence = Evidence(Path(sys.argv[1]))
imported = time.monotonic()
found = measure(evidence)
verdict = judge(found, evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)
print(json.dumps({
    "seconds": time.monotonic() - began, "import_s": imported - began,
    "verdict": verdict.verdict, "reasons": verdict.reasons,
    "acknowledged": found.acknowledged, "lost": found.lost_transactions,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "cpu_s": time.process_time(),
}))
"""


class Story:
    """The payments of both ledgers: row `n` of each is a formula, so that any part can be written by itself."""

    def __init__(self, payments: int) -> None:
        self.each = payments // 2

    def keys(self, source: str, n: Numbers) -> pa.Array:
        if source == "probe":
            prefix, number = pa.scalar("scale-p-"), n
        else:
            prefix, number = pa.array([f"scale-c-{c}-" for c in range(CUSTOMERS)]).take(pa.array(n % CUSTOMERS)), n // CUSTOMERS
        digits = pc.utf8_lpad(pa.array(number).cast(pa.string()), 7, "0")
        return pc.binary_join_element_wise(prefix, digits, "")

    def transfer(self, source: str, n: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Debit, credit and amount: the first of each generator as the seed gives them, the others a formula."""
        debit = (n * 7 + (source == "probe")) % ACCOUNTS
        credit, amount = (debit + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS, 1 + n % 999
        customers = 1 if source == "probe" else CUSTOMERS
        for customer in range(customers):
            at = np.flatnonzero((n % customers == customer) & (n // customers < DRAWN_MAX))
            if len(at):
                drawn = self.drawn(source, customer)[0][n[at] // customers]
                debit[at], credit[at], amount[at] = drawn.T
        return debit, credit, amount

    def drawn(self, source: str, customer: int) -> tuple[Numbers, int]:
        """The first payments of a generator by the seed, and the looks between them."""
        most = self.each if source == "probe" else len(range(customer, self.each, CUSTOMERS))
        return draw(source, customer, min(most, DRAWN_MAX))

    def sent_ns(self, n: Numbers) -> Numbers:
        return ZERO_NS + n * INTERVAL_NS

    def done_ns(self, n: Numbers) -> Numbers:
        return self.sent_ns(n) + 3_000_000 + n * 7919 % 2_000_000

    def acknowledged(self, n: Numbers) -> npt.NDArray[np.bool_]:
        at_s = n * INTERVAL_NS / SECOND_NS
        return (at_s < OUTAGE_S[0]) | (at_s >= OUTAGE_S[1])

    def ledger(self, source: str, n: Numbers) -> pa.Table:
        sent, done = self.sent_ns(n), self.done_ns(n)
        ok = self.acknowledged(n)
        debit, credit, amount = self.transfer(source, n)
        columns = [
            self.keys(source, n), sent, sent, done, np.where(ok, 201, 503), pc.if_else(pa.array(ok), "acknowledged", "refused"),
            account(debit), account(credit), amount, pa.array([""] * len(n)),
        ]  # fmt: skip
        return pa.table([pa.array(column) for column in columns], names=list(PAYMENT_COLUMNS))

    def door(self, n: Numbers) -> pa.Table:
        """The door's lines of these rows of both ledgers, in turn."""
        sources = ("probe", "locust")
        keys = pa.concat_arrays([self.keys(source, n) for source in sources])
        keys = keys.take(pa.array(np.arange(2 * len(n)).reshape(2, -1).T.ravel()))
        rows = np.repeat(n, 2)
        sent, done = self.sent_ns(rows), self.done_ns(rows)
        at_s, at_ms = np.divmod((sent - ZERO_NS) // 1_000_000 + round(ZERO_WALL.timestamp()) * 1000, 1000)
        at = pc.binary_join_element_wise(
            "at=", pa.array(at_s).cast(pa.string()), ".", pc.utf8_lpad(pa.array(at_ms).cast(pa.string()), 3, "0"), ""
        )
        words = [
            wall_texts(done, "%Y-%m-%dT%H:%M:%S000Z"), pa.array(["pay"]).take(pa.array(np.zeros(len(rows), np.int64))),
            pc.binary_join_element_wise("key=", keys, ""),
            pc.if_else(pa.array(self.acknowledged(rows)), "status=201", "status=503"), at,
            pc.binary_join_element_wise("took=", pa.array((done - sent) // 1_000_000).cast(pa.string()), ""),
            pa.array(["end=--"]).take(pa.array(np.zeros(len(rows), np.int64))),
        ]  # fmt: skip
        return pa.table(words, names=[str(place) for place in range(len(words))])

    def standing(self) -> Iterator[tuple[str, Numbers]]:
        """Rows that stand in the bank, in the byte order of their keys, in parts: customers, then the probe."""
        for customer in range(CUSTOMERS):
            rows = np.arange(customer, self.each, CUSTOMERS)
            yield from (("locust", part[self.acknowledged(part)]) for part in split(rows))
        yield from (("probe", part[self.acknowledged(part)]) for part in split(np.arange(self.each)))


@cache
def draw(source: str, customer: int, payments: int) -> tuple[Numbers, int]:
    """As docs/evidence.md says that payments are drawn; an account is its place among the sorted ones."""
    choice = random.Random(f"{SEED}-probe" if source == "probe" else f"{SEED}-customer-{customer}")
    accounts, looks = range(ACCOUNTS), 0
    rows: list[tuple[int, ...]] = []
    if source != "probe":
        choice.uniform(0, 1)
    while len(rows) < payments:
        if source != "probe" and choice.random() >= Load().pay_share:
            choice.choice(accounts)
            looks += 1
            continue
        rows.append((*choice.sample(accounts, 2), choice.randint(1, 1000)))
    return np.array(rows, np.int64).reshape(-1, 3), looks


def wall_of(t_ns: int) -> str:
    at = ZERO_WALL + timedelta(microseconds=(t_ns - ZERO_NS) // 1000)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def wall_texts(t_ns: Numbers, form: str) -> pa.Array:
    """Wall times to the microsecond."""
    since_us = (t_ns - ZERO_NS) // 1000 + round(ZERO_WALL.timestamp()) * 1_000_000
    return pc.strftime(pa.array(since_us, pa.timestamp("us")), form)


def ns(at_s: float) -> int:
    """A time in seconds from the start of the probe, on the run's clock."""
    return ZERO_NS + round(at_s * SECOND_NS)


def split(rows: Numbers) -> Iterator[Numbers]:
    for at in range(0, len(rows), CHUNK):
        yield rows[at : at + CHUNK]


def account(number: Numbers) -> pa.Array:
    return pa.array([f"acc-{n:04d}" for n in range(ACCOUNTS)]).take(pa.array(number))


OPTIONS = pacsv.WriteOptions(include_header=False, quoting_style="none")


def write_ledger(path: Path, story: Story, source: str) -> None:
    with path.open("wb") as file:
        file.write((",".join(PAYMENT_COLUMNS) + "\n").encode())
        for rows in split(np.arange(story.each)):
            pacsv.write_csv(story.ledger(source, rows), file, OPTIONS)


def write_copy(directory: Path, story: Story, *, level: int) -> None:
    """The tables of one copy; the others are links to it, as equal copies are."""
    first = next(iter(NODES))
    directory.mkdir()
    moved = np.zeros(ACCOUNTS, np.int64)
    files = {table: open_gz(directory / f"{first}.{table}.csv.gz", table, level=level) for table in COPY_COLUMNS}
    for source, rows in story.standing():
        debit, credit, amount = story.transfer(source, rows)
        np.add.at(moved, debit, -amount)
        np.add.at(moved, credit, amount)
        keys = story.keys(source, rows)
        committed = wall_texts(story.sent_ns(rows) + 1_000_000, "%Y-%m-%d %H:%M:%S+00")
        names = list(COPY_COLUMNS["payments"])
        payments = pa.table([keys, account(debit), account(credit), pa.array(amount), committed], names=names)
        pacsv.write_csv(payments, files["payments"], OPTIONS)
        pacsv.write_csv(entries(keys, debit, credit, amount), files["entries"], OPTIONS)
    numbers = np.arange(ACCOUNTS)
    opening = np.full(ACCOUNTS, OPENING_MINOR)
    table = pa.table([account(numbers), pa.array(opening), pa.array(opening + moved)], names=list(COPY_COLUMNS["accounts"]))
    pacsv.write_csv(table, files["accounts"], OPTIONS)
    for name, file in files.items():
        file.close()
        for node in list(NODES)[1:]:
            (directory / f"{node}.{name}.csv.gz").hardlink_to(directory / f"{first}.{name}.csv.gz")


def open_gz(path: Path, table: str, *, level: int) -> gzip.GzipFile:
    file = gzip.GzipFile(filename="", mode="wb", fileobj=path.open("wb"), mtime=0, compresslevel=level)
    file.write((",".join(COPY_COLUMNS[table]) + "\n").encode())
    return file


def entries(keys: pa.Array, debit: Numbers, credit: Numbers, amount: Numbers) -> pa.Table:
    """Two rows a payment, by key and then account."""
    both = np.stack([debit, credit], axis=1)
    order = np.argsort(both, axis=1, kind="stable")
    rows = np.repeat(np.arange(len(debit)), 2)
    accounts = np.take_along_axis(both, order, axis=1).ravel()
    amounts = np.take_along_axis(np.stack([-amount, amount], axis=1), order, axis=1).ravel()
    return pa.table([keys.take(pa.array(rows)), account(accounts), pa.array(amounts)], names=list(COPY_COLUMNS["entries"]))


def write_run(directory: Path, payments: int, *, level: int = 6) -> None:
    """A sealed run of that size: one fault, 5 s of refusals, service back, nothing lost. From 40,000 payments on it is whole."""
    story = Story(payments)
    (directory / "logs").mkdir(parents=True)
    plan = a_plan()
    write_atomically(directory / "plan.json", plan.model_dump_json(indent=2) + "\n")
    for source, name in (("probe", "probe.csv"), ("locust", "ledger.csv")):
        write_ledger(directory / name, story, source)
    write_copy(directory / "copies", story, level=level)
    end_ns = ZERO_NS + story.each * INTERVAL_NS
    ends: dict[str, Any] = {"started_ns": ZERO_NS, "stopped_ns": end_ns, "completed": True}
    probe = ProbeCount(scheduled=story.each, recorded=story.each, interval_ms=INTERVAL_NS / 1e6, late_ms_max=0, **ends)
    looks = sum(story.drawn("locust", customer)[1] for customer in range(CUSTOMERS))
    ledger = LedgerCount(recorded=story.each, locust_requests=story.each, looks=looks, **ends)
    write_atomically(directory / "probe.json", probe.model_dump_json() + "\n")
    write_atomically(directory / "ledger.json", ledger.model_dump_json() + "\n")
    end_s = (end_ns - ZERO_NS) / SECOND_NS
    write_samples(directory, end_s)
    write_events(directory, story, end_s)
    write_logs(directory, story, end_s)
    write_witness(directory, end_s)
    manifest = seal(directory, run_id=plan.run_id)
    at_ns = ns(end_s + 12)
    clock = Clock(monotonic_ns=at_ns, wall=wall_of(at_ns))
    manifest = manifest.model_copy(update={"sealed_at": clock.wall, "clock": clock})
    write_atomically(directory / "manifest.json", manifest.model_dump_json(indent=2) + "\n")


def a_plan() -> Plan:
    centers = [
        {
            "name": center,
            "region": "A",
            "nodes": [{"name": n, "kind": "postgres", "group": "a"} for n, c in NODES.items() if c == center],
        }
        for center in dict.fromkeys(NODES.values())
    ]
    return Plan(
        evidence_version=EVIDENCE_VERSION,
        drill="scale",
        claim="A run of any size is judged.",
        run_id="scale",
        seed=SEED,
        topology={
            "name": "made-up",
            "centers": centers,
            "groups": [{"name": "a", "upstream": None}],
            "links": [],
            "settings": {},
        },
        targets=Targets(rto_s=30, rpo_s=0, lost_transactions=0),
        load=Load(probe_interval_ms=INTERVAL_NS / 1e6, customers=CUSTOMERS, baseline_s=8),
        environment_class="lab-containers",
        drill_kind="test",
        environment={"degraded": []},
        body=[PlannedFault(kind="fault", name="NodeKilled", target="dc3-a", args={})],
        witness={"degraded": []},
        clock=Clock(monotonic_ns=ns(PLANNED_S), wall=wall_of(ns(PLANNED_S))),
    )


def write_samples(directory: Path, end_s: float) -> None:
    """Each node twice a second: a long run has many, and they must not be what takes the time."""
    names = 'ANY 2 ("dc1-b","dc2-a","dc2-b","dc3-a")'
    rows: list[tuple[object, ...]] = []
    for half in range(-4, round(2 * end_s) + 8):
        at_s = half / 2
        up = [node for node in NODES if node != "dc3-a" or not DOWN_S[0] - 0.1 <= at_s < DOWN_S[1]]
        asked, answered, lsn = ns(at_s), ns(at_s) + 1_000_000, 1_000_000 + 100 * (half + 8)
        copies = [
            {"name": node, "state": "streaming", "sync_state": "quorum", "flush_lsn": lsn} for node in up if node != "dc1-a"
        ]
        rows.append((asked, answered, "dc1-a", 1, 0, 1, lsn, "", names, json.dumps(copies), ""))
        for node in list(NODES)[1:]:
            said = (1, 1, 1, lsn, lsn, "", "", "") if node in up else (0, "", "", "", "", "", "", "connection refused")
            rows.append((asked, answered, node, *said))
    write_atomically(directory / "samples.csv", csv_text(SAMPLE_COLUMNS, rows))


def write_logs(directory: Path, story: Story, end_s: float) -> None:
    """What databases and the front door wrote down themselves."""
    for node in NODES:
        beats = [at_s for at_s in range(-8, round(end_s) + 8, 5) if node != "dc3-a" or not DOWN_S[0] - 0.1 <= at_s < DOWN_S[1]]
        lines = [f"{wall_of(ns(at_s))[:-1]}000Z INFO: no action. I am ({node})\n" for at_s in beats]
        write_atomically(directory / "logs" / f"{node}.log", "".join(lines))
    with (directory / "logs" / "door.log").open("wb") as file:
        for rows in split(np.arange(story.each)):
            pacsv.write_csv(story.door(rows), file, pacsv.WriteOptions(include_header=False, quoting_style="none", delimiter=" "))


def write_witness(directory: Path, end_s: float) -> None:
    """A host that was at rest, in spans as long as the witness's."""
    tenths = range(-50, round(10 * end_s) + 20)
    rows: list[tuple[object, ...]] = []
    pressure = json.dumps({"cpu_some_us": 20_000, "io_some_us": 9_000, "io_full_us": 2_000, "memory_some_us": 0})
    capacity = CORES * SECOND_NS // 2
    used = {"busy_ns": capacity // 3, "idle_ns": capacity - capacity // 3, "steal_ns": 0, "ours_ns": capacity // 4}
    for tenth in tenths:
        start, end = ns(tenth / 10), ns((tenth + 1) / 10)
        wake = json.dumps({"at_ns": start + 50_000_000})
        rows += [(start, end, "wake", core, 180_000, wake) for core in range(CORES)]
        if tenth % 2 == 0:
            rows.append((start, start + 3_000_000, "sync", "", 3_000_000, "{}"))
        if tenth % 5 == 0:
            rows.append((start, ns((tenth + 5) / 10), "pressure", "", "", pressure))
            rows.append((start, ns((tenth + 5) / 10), "cpu", "", "", json.dumps(used)))
    write_atomically(directory / "witness.csv", csv_text(WITNESS_COLUMNS, rows))
    count = WitnessCount(started_ns=ns(-5), stopped_ns=ns(end_s + 2), rows=len(rows), completed=True, cores=CORES, degraded=[])
    write_atomically(directory / "witness.json", count.model_dump_json(indent=2) + "\n")


def write_events(directory: Path, story: Story, end_s: float) -> None:
    lines: list[str] = []
    fault_ns = ns(OUTAGE_S[0])
    about = {"id": "f1", "name": "NodeKilled", "target": "dc3-a"}

    def tell(kind: str, at_s: float, **data: Any) -> None:
        prev = sha256_of_bytes(lines[-1].encode()) if lines else sha256_of(directory / "plan.json")
        event = Event(
            seq=len(lines), t_ns=ns(at_s), wall=wall_of(ns(at_s)), source="harness", kind=kind, text=kind, data=data, prev=prev
        )
        lines.append(event.model_dump_json())

    tell("plan_registered", PLANNED_S + 0.1, sha256=sha256_of(directory / "plan.json"))
    tell("phase", -8, name="start")
    tell("primary", -1, node="dc1-a", roles={})
    tell("ready", -0.9, first_payment_s=7.0, full_redundancy_s=8.0)
    tell("phase", -0.8, name="steady")
    for origin in ("probe", "locust"):
        tell("load_started", 0.1, origin=origin)
    tell("phase", 1, name="baseline")
    tell("baseline", 9, from_ns=ns(1), to_ns=ns(9))
    tell("phase", 9.1, name="fault")
    tell("intent", 9.9, **about, args={}, effect={"down": ["dc3-a"], "cut": []}, undo="start it")
    tell("injected", 10.1, id="f1", before_ns=fault_ns, after_ns=fault_ns + 1000)
    tell("proof", 10.2, id="f1", proved=True, checks=[check(node) for node in NODES])
    tell("phase", 29.9, name="heal")
    tell("heal_started", 30, id="f1")
    tell("healed", DOWN_S[1], id="f1", ok=True, error="")
    tell("phase", end_s, name="drain")
    for origin in ("probe", "locust"):
        tell("load_stopped", end_s + 0.5, origin=origin)
    tell("phase", end_s + 0.9, name="readback")
    tell("authority", end_s + 1, node="dc1-a")
    nothing = {"count": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    tell("exempt_keys", end_s + 1, observers=nothing, ready=nothing)
    tell("expected_copies", end_s + 1, nodes=list(NODES))
    tell("door_log", end_s + 8, payments=2 * story.each, dropped=0)
    tell("phase", end_s + 9, name="seal")
    write_atomically(directory / "events.jsonl", "\n".join(lines) + "\n")


def check(node: str) -> dict[str, Any]:
    """What was read back from a node when the fault was there."""
    if node == "dc3-a":
        seen = {"expected": "killed (exit code 137), port closed", "seen": "exited, exit code 137, port 5432 closed"}
        return {"subject": node, "side": "victim", **seen, "ok": True}
    return {"subject": node, "side": "bystander", "expected": "answers", "seen": "answers", "ok": True}


def judge_fresh(directory: Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", JUDGE, str(directory)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"expected the judge to end with 0; seen {done.returncode}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Time and peak memory of judging, by the number of payments.")
    parser.add_argument("--payments", default="1e5,1e6,1e7")
    parser.add_argument("--level", type=int, default=6, help="of gzip")
    parser.add_argument("--out", type=Path, help="keep the run directories here")
    options = parser.parse_args(argv)
    print("  payments  files MB  judging s  CPU s  peak MiB  verdict", flush=True)
    wrong = False
    with tempfile.TemporaryDirectory() as temporary:
        for size in (int(float(text)) for text in options.payments.split(",")):
            directory = (options.out or Path(temporary)) / f"scale-{size}"
            if not directory.exists():
                write_run(directory, size, level=options.level)
            size_mb = sum(p.stat().st_size for p in directory.rglob("*") if p.is_file()) / 1e6
            told = judge_fresh(directory)
            figures = f"{told['seconds']:9.2f} {told['cpu_s']:6.1f} {told['peak_mb']:9.0f}"
            print(f"{size:10} {size_mb:9.0f} {figures}  {told['verdict']}", flush=True)
            if told["verdict"] != "PASS":
                print("\n".join(f"    {reason}" for reason in told["reasons"]), flush=True)
            expected = 2 * int(Story(size).acknowledged(np.arange(size // 2)).sum())
            wrong |= (told["acknowledged"], told["lost"], told["verdict"]) != (expected, 0, "PASS")
            if options.out is None:
                shutil.rmtree(directory)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
