"""The desk of a careful forger: opens a run, edits it, makes all counts agree again, chains its events and seals it anew.

Each file in tests/forgeries is one lie that is told with it. What a forger can't do is know what every other record says.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from judging.evidence import COPY_COLUMNS, Clock, seal, sha256_of, sha256_of_bytes, write_atomically
from tests.synthetic import FaultStory, Outage, Scenario

Row = dict[str, str]
SECOND_NS = 1_000_000_000
DEAD = {"expected": "killed (exit code 137), port closed", "seen": "exited, exit code 137, port 5432 closed", "ok": True}
# A bank that takes a second too long: the run that most lies are told to save
TIMES = {
    "probe.csv": ("due_ns", "sent_ns", "done_ns"),
    "ledger.csv": ("due_ns", "sent_ns", "done_ns"),
    "samples.csv": ("asked_ns", "t_ns"),
}
SLOW = Scenario(
    faults=(FaultStory(outages=(Outage(0.15, 31.0),), promoted_s=27.0, heal_s=47.0),),
    ends_s=85,
    until=(("service_restored", 120, True, 41.5), ("replicas_caught_up", 180, True, 6.4)),
)


class Unfit(Exception):
    """This run does not have what the lie needs (no autopsy, nothing lost …)."""


class Forger:
    """A run on the desk. Tables are read when asked for and written when the forger leaves."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.plan: dict[str, Any] = json.loads((directory / "plan.json").read_text())
        self.events: list[dict[str, Any]] = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
        manifest = json.loads((directory / "manifest.json").read_text())
        self.clock: dict[str, Any] = manifest["clock"]
        self.sealed_at: str = manifest["sealed_at"]
        self._tables: dict[str, list[Row]] = {}
        self._columns: dict[str, list[str]] = {}
        self._logs: dict[str, list[str]] = {}
        self.chain = True
        self.count = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.finish()

    # Reading

    def table(self, name: str) -> list[Row]:
        """The rows of a CSV file, compressed or not; changes are written at the end."""
        if name not in self._tables:
            path = self.directory / name
            if not path.is_file():
                raise Unfit(f"{name} is not there")
            text = gzip.decompress(path.read_bytes()).decode() if name.endswith(".gz") else path.read_text()
            reader = csv.DictReader(io.StringIO(text))
            self._tables[name] = list(reader)
            self._columns[name] = list(reader.fieldnames or [])
        return self._tables[name]

    def replace(self, name: str, rows: Iterable[Row]) -> None:
        self.table(name)[:] = list(rows)

    @property
    def probe(self) -> list[Row]:
        return self.table("probe.csv")

    @property
    def ledger(self) -> list[Row]:
        return self.table("ledger.csv")

    @property
    def samples(self) -> list[Row]:
        return self.table("samples.csv")

    def payments(self) -> list[Row]:
        return [*self.probe, *self.ledger]

    def log(self, name: str) -> list[str]:
        if name not in self._logs:
            self._logs[name] = (self.directory / "logs" / f"{name}.log").read_text().splitlines()
        return self._logs[name]

    def copies(self) -> list[str]:
        return sorted(p.name.removesuffix(".payments.csv.gz") for p in (self.directory / "copies").glob("*.payments.csv.gz"))

    def kind(self, *kinds: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] in kinds]

    def one(self, kind: str) -> dict[str, Any]:
        found = self.kind(kind)
        if not found:
            raise Unfit(f"no event {kind}")
        return found[0]

    @property
    def before_ns(self) -> int:
        return int(self.one("injected")["data"]["before_ns"])

    @property
    def down(self) -> list[str]:
        return list(self.one("intent")["data"]["effect"]["down"])

    @property
    def authority(self) -> str:
        return str(self.one("authority")["data"]["node"])

    def lost(self) -> list[Row]:
        """The payments that were acknowledged and do not stand in the bank."""
        stands = {row["key"] for row in self.table(f"copies/{self.authority}.payments.csv.gz")}
        found = [row for row in self.payments() if row["outcome"] == "acknowledged" and row["key"] not in stands]
        if not found:
            raise Unfit("nothing is lost")
        return found

    def dead(self) -> str:
        """The node whose disk was read."""
        found = [p.name.removesuffix(".payments.csv.gz") for p in (self.directory / "autopsy").glob("*.payments.csv.gz")]
        if not found:
            raise Unfit("no autopsy")
        return found[0]

    def wall(self, t_ns: int) -> str:
        """The wall time of a monotonic one, as the plan's pair gives it."""
        pair = self.plan["clock"]
        at = datetime.fromisoformat(pair["wall"]) + timedelta(microseconds=(t_ns - pair["monotonic_ns"]) // 1000)
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    # Editing

    def drop_events(self, which: Callable[[dict[str, Any]], bool]) -> None:
        kept = [event for event in self.events if not which(event)]
        if len(kept) == len(self.events):
            raise Unfit("there is no such event")
        self.events = kept

    def move(self, event: dict[str, Any], t_ns: int) -> None:
        event["t_ns"], event["wall"] = t_ns, self.wall(t_ns)

    def book(self, rows: Iterable[Row], committed_at: Callable[[Row], str]) -> None:
        """Write payments into every copy: the payment, both entries, both balances."""
        rows = list(rows)
        for node in self.copies():
            payments, entries = self.table(f"copies/{node}.payments.csv.gz"), self.table(f"copies/{node}.entries.csv.gz")
            balances = {row["id"]: row for row in self.table(f"copies/{node}.accounts.csv.gz")}
            for row in rows:
                payments.append({c: row.get(c, "") for c in COPY_COLUMNS["payments"]} | {"committed_at": committed_at(row)})
                for account, sign in ((row["debit"], -1), (row["credit"], 1)):
                    amount = sign * int(row["amount_minor"])
                    entries.append({"key": row["key"], "account": account, "amount_minor": str(amount)})
                    balances[account]["balance_minor"] = str(int(balances[account]["balance_minor"]) + amount)
            payments.sort(key=lambda r: r["key"].encode())
            entries.sort(key=lambda r: (r["key"].encode(), r["account"].encode()))

    def unbook(self, keys: set[str]) -> None:
        """Remove payments from every copy, with their entries and what they moved."""
        for node in self.copies():
            balances = {row["id"]: row for row in self.table(f"copies/{node}.accounts.csv.gz")}
            entries = self.table(f"copies/{node}.entries.csv.gz")
            for row in entries:
                if row["key"] in keys:
                    account = balances[row["account"]]
                    account["balance_minor"] = str(int(account["balance_minor"]) - int(row["amount_minor"]))
            self.replace(f"copies/{node}.entries.csv.gz", [row for row in entries if row["key"] not in keys])
            payments = self.table(f"copies/{node}.payments.csv.gz")
            self.replace(f"copies/{node}.payments.csv.gz", [row for row in payments if row["key"] not in keys])

    def rename(self, names: dict[str, str]) -> None:
        """Give payments other keys, wherever they stand: ledgers, copies, dead disks, the door."""
        tables = ["probe.csv", "ledger.csv", *(f"copies/{n}.{t}.csv.gz" for n in self.copies() for t in ("payments", "entries"))]
        tables += [f"autopsy/{p.name}" for p in (self.directory / "autopsy").glob("*.gz")]
        for name in tables:
            for row in self.table(name):
                row["key"] = names.get(row["key"], row["key"])
        for node in self.copies():
            self.table(f"copies/{node}.payments.csv.gz").sort(key=lambda r: r["key"].encode())
            self.table(f"copies/{node}.entries.csv.gz").sort(key=lambda r: (r["key"].encode(), r["account"].encode()))
        lines = self.log("door")
        for n, line in enumerate(lines):
            key = line.partition("pay key=")[2].partition(" ")[0]
            lines[n] = line.replace(f"pay key={key} ", f"pay key={names.get(key, key)} ") if key else line

    def door_says(self, keys: set[str], status: int, end: str) -> None:
        """Let the door's log tell another answer."""
        lines = self.log("door")
        for n, line in enumerate(lines):
            if line.partition("pay key=")[2].partition(" ")[0] in keys:
                before, _, after = line.partition(" status=")
                lines[n] = f"{before} status={status} {after.partition(' ')[2].rpartition(' end=')[0]} end={end}"

    def cut_out(self, from_ns: int, length_ns: int) -> set[str]:
        """Take a span out of every record of the harness and of the load; returns the keys that went with it."""
        gone = {row["key"] for row in self.payments() if from_ns <= int(row["due_ns"]) < from_ns + length_ns}
        for name, columns in TIMES.items():
            rows = [row for row in self.table(name) if not from_ns <= int(row[columns[0]]) < from_ns + length_ns]
            for row in rows:
                for column in columns:
                    if int(row[column]) >= from_ns + length_ns:
                        row[column] = str(int(row[column]) - length_ns)
            self.replace(name, rows)
        for name in ("probe.json", "ledger.json"):
            self.edit_json(name, lambda data: data.update(stopped_ns=data["stopped_ns"] - length_ns))
        for event in self.events:
            if int(event["t_ns"]) >= from_ns + length_ns:
                event["t_ns"] -= length_ns
            for name in ("before_ns", "after_ns"):
                if event["data"].get(name, 0) >= from_ns + length_ns:
                    event["data"][name] -= length_ns
        return gone

    def door_forgets(self, keys: set[str]) -> None:
        self._logs["door"] = [line for line in self.log("door") if line.partition("pay key=")[2].partition(" ")[0] not in keys]

    def answer(self, rows: Iterable[Row], status: str, error: str = "", took_s: float | None = None) -> None:
        """Give payments another outcome in their ledger."""
        for row in rows:
            row["status"], row["error"] = status, error
            row["outcome"] = {"201": "acknowledged", "503": "refused"}.get(status, "unknown")
            if took_s is not None:
                row["done_ns"] = str(int(row["sent_ns"]) + round(took_s * SECOND_NS))

    # Leaving no trace

    def finish(self) -> None:
        if self.count:
            self._count()
        for name, rows in self._tables.items():
            self._write(name, rows)
        for name, lines in self._logs.items():
            (self.directory / "logs" / f"{name}.log").write_text("\n".join(lines) + "\n")
        write_atomically(self.directory / "plan.json", json.dumps(self.plan, indent=2) + "\n")
        self.events.sort(key=lambda event: int(event["t_ns"])) if self._moved() else None
        for event in self.kind("plan_registered"):
            event["data"]["sha256"] = sha256_of(self.directory / "plan.json")
        head, lines = sha256_of(self.directory / "plan.json"), []
        for n, event in enumerate(self.events):
            lines.append(
                json.dumps({**event, "seq": n} | ({"prev": head} if self.chain and "prev" in event else {}), ensure_ascii=False)
            )
            head = sha256_of_bytes(lines[-1].encode())
        (self.directory / "events.jsonl").write_text("\n".join(lines) + "\n")
        self.seal()

    def _moved(self) -> bool:
        """Whether events were moved in time: a log is written in order."""
        return any(int(a["t_ns"]) > int(b["t_ns"]) + SECOND_NS for a, b in zip(self.events, self.events[1:], strict=False))

    def seal(self) -> None:
        """Seal anew, at the time at which it was sealed."""
        manifest = seal(self.directory, run_id=self.plan["run_id"], version=self.plan["evidence_version"])
        manifest = manifest.model_copy(update={"sealed_at": self.sealed_at, "clock": Clock(**self.clock)})
        write_atomically(self.directory / "manifest.json", manifest.model_dump_json(indent=2) + "\n")

    def _write(self, name: str, rows: list[Row]) -> None:
        out = io.StringIO()
        writer = csv.DictWriter(out, self._columns[name], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path = self.directory / name
        path.write_bytes(gzip.compress(out.getvalue().encode(), mtime=0)) if name.endswith(".gz") else path.write_text(
            out.getvalue()
        )

    def _count(self) -> None:
        """Every count that stands beside a table follows it."""
        self._set("probe.json", "probe.csv", scheduled=len, recorded=len)
        self._set("ledger.json", "ledger.csv", recorded=len, locust_requests=len)
        self._set("ledger.json", "reads.csv", reads=len)
        self._set("witness.json", "witness.csv", rows=len)
        for event in self.kind("autopsy"):
            name = f"autopsy/{event['data']['node']}.payments.csv.gz"
            if name in self._tables:
                event["data"]["payments"] = len(self._tables[name])
        for event in self.kind("edge_store"):
            if (name := f"edges/{event['data']['node']}.csv.gz") in self._tables:
                event["data"]["payments"] = len(self._tables[name])
        for event in self.kind("door_log"):
            event["data"]["payments"] = sum("pay key=" in line for line in self.log("door"))

    def _set(self, name: str, table: str, **fields: Callable[[list[Row]], int]) -> None:
        if table in self._tables:
            self.edit_json(name, lambda data: data.update({k: f(self._tables[table]) for k, f in fields.items()}))

    def edit_json(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        data = json.loads((self.directory / name).read_text())
        change(data)
        (self.directory / name).write_text(json.dumps(data, indent=2) + "\n")


def copy_of(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to))
