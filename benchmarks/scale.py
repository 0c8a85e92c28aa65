"""How long does judging take, and how much memory, for 10^5, 10^6 and 10^7 payments?

    python -m benchmarks.scale [--payments 1e5,1e6,1e7] [--level 6] [--out DIR]

Makes a run directory of each size, half of its payments the probe's and half of Locust's, with five equal copies, and judges
it in a fresh process: seconds and peak memory, as the kernel counts them. Exit 1 when a figure is not the one that is known.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
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
    Clock,
    EventLog,
    LedgerCount,
    Load,
    Plan,
    PlannedFault,
    ProbeCount,
    Targets,
    csv_text,
    seal,
    sha256_of,
    write_atomically,
)

Numbers = npt.NDArray[np.int64]
SECOND_NS = 1_000_000_000
ZERO_NS = 7_200 * SECOND_NS
INTERVAL_NS = 10_000_000
CUSTOMERS = 8
ACCOUNTS = 1000
OPENING_MINOR = 1_000_000_000
OUTAGE_S = (10.0, 15.0)  # from the start of the probe; refused in it
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
        debit = (n * 7 + (source == "probe")) % ACCOUNTS
        return debit, (debit + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS, 1 + n % 999

    def sent_ns(self, n: Numbers) -> Numbers:
        return ZERO_NS + n * INTERVAL_NS

    def acknowledged(self, n: Numbers) -> npt.NDArray[np.bool_]:
        at_s = n * INTERVAL_NS / SECOND_NS
        return (at_s < OUTAGE_S[0]) | (at_s >= OUTAGE_S[1])

    def ledger(self, source: str, n: Numbers) -> pa.Table:
        sent, done = self.sent_ns(n), self.sent_ns(n) + 3_000_000 + n * 7919 % 2_000_000
        ok = self.acknowledged(n)
        debit, credit, amount = self.transfer(source, n)
        columns = [
            self.keys(source, n), sent, sent, done, np.where(ok, 201, 503), pc.if_else(pa.array(ok), "acknowledged", "refused"),
            account(debit), account(credit), amount, pa.array([""] * len(n)),
        ]  # fmt: skip
        return pa.table([pa.array(column) for column in columns], names=list(PAYMENT_COLUMNS))

    def standing(self) -> Iterator[tuple[str, Numbers]]:
        """Rows that stand in the bank, in the byte order of their keys, in parts: customers, then the probe."""
        for customer in range(CUSTOMERS):
            rows = np.arange(customer, self.each, CUSTOMERS)
            yield from (("locust", part[self.acknowledged(part)]) for part in split(rows))
        yield from (("probe", part[self.acknowledged(part)]) for part in split(np.arange(self.each)))


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
        committed = pa.array(["2026-01-15 02:00:20.123456+00"]).take(pa.array(np.zeros(len(rows), np.int64)))
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
    """A sealed run of that size: one fault, 5 s of refusals, service back, nothing lost."""
    story = Story(payments)
    directory.mkdir(parents=True)
    plan = a_plan()
    write_atomically(directory / "plan.json", plan.model_dump_json(indent=2) + "\n")
    for source, name in (("probe", "probe.csv"), ("locust", "ledger.csv")):
        write_ledger(directory / name, story, source)
    write_copy(directory / "copies", story, level=level)
    end_ns = ZERO_NS + story.each * INTERVAL_NS
    ends: dict[str, Any] = {"started_ns": ZERO_NS, "stopped_ns": end_ns, "completed": True}
    probe = ProbeCount(scheduled=story.each, recorded=story.each, interval_ms=INTERVAL_NS / 1e6, late_ms_max=0.1, **ends)
    ledger = LedgerCount(recorded=story.each, locust_requests=story.each, looks=0, **ends)
    write_atomically(directory / "probe.json", probe.model_dump_json() + "\n")
    write_atomically(directory / "ledger.json", ledger.model_dump_json() + "\n")
    write_samples(directory, end_ns)
    write_events(directory, end_ns)
    seal(directory, run_id=plan.run_id)


def a_plan() -> Plan:
    centers = [
        {"name": center, "region": "A", "nodes": [{"name": n, "kind": "postgres"} for n, c in NODES.items() if c == center]}
        for center in dict.fromkeys(NODES.values())
    ]
    return Plan(
        evidence_version=EVIDENCE_VERSION,
        drill="scale",
        claim="A run of any size is judged.",
        run_id="scale",
        seed=1,
        topology={"name": "made-up", "centers": centers, "links": [], "settings": {}},
        targets=Targets(rto_s=30, rpo_s=0, lost_transactions=0),
        load=Load(),
        environment_class="lab-containers",
        drill_kind="test",
        environment={"degraded": []},
        body=[PlannedFault(kind="fault", name="NodeKilled", target="dc3-a", args={})],
        clock=Clock(monotonic_ns=ZERO_NS, wall="2026-01-15T02:00:00.000000Z"),
    )


def write_samples(directory: Path, end_ns: int) -> None:
    """One a second of the primary: a long run has many, and they must not be what takes the time."""
    times = range(ZERO_NS - SECOND_NS, end_ns + 2 * SECOND_NS, SECOND_NS)
    names = '2 ("dc1-b","dc2-a")'
    rows = [(t - 1000, t, "dc1-a", 1, 0, 1, 1000 + n, "", names, "[]", "") for n, t in enumerate(times)]
    write_atomically(directory / "samples.csv", csv_text(SAMPLE_COLUMNS, rows))


def write_events(directory: Path, end_ns: int) -> None:
    events = EventLog(directory / "events.jsonl")
    fault_ns = ZERO_NS + int(OUTAGE_S[0] * SECOND_NS)
    about = {"id": "f1", "name": "NodeKilled", "target": "dc3-a"}

    def tell(kind: str, at_s: float, **data: Any) -> None:
        events.write(kind, kind, t_ns=ZERO_NS + int(at_s * SECOND_NS), **data)

    tell("plan_registered", -2, sha256=sha256_of(directory / "plan.json"))
    tell("primary", -1, node="dc1-a", roles={})
    tell("baseline", 9, from_ns=ZERO_NS + SECOND_NS, to_ns=ZERO_NS + 9 * SECOND_NS)
    tell("intent", 9.9, **about, args={}, effect={"down": ["dc3-a"], "cut": []}, undo="start it")
    tell("injected", 10.1, id="f1", before_ns=fault_ns, after_ns=fault_ns + 1000)
    checks = [
        {"subject": n, "side": "victim" if n == "dc3-a" else "bystander", "expected": "", "seen": "", "ok": True} for n in NODES
    ]
    tell("proof", 10.2, id="f1", proved=True, checks=checks)
    tell("heal_started", 30, id="f1")
    tell("healed", 31, id="f1", ok=True, error="")
    end_s = (end_ns - ZERO_NS) / SECOND_NS
    tell("authority", end_s + 1, node="dc1-a")
    nothing = {"count": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    tell("exempt_keys", end_s + 1, observers=nothing, ready=nothing)
    tell("expected_copies", end_s + 1, nodes=list(NODES))
    events.close()


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
            wrong |= (told["acknowledged"], told["lost"]) != (expected, 0)
            if options.out is None:
                shutil.rmtree(directory)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
