"""Evidence read with patience: a report must be had of a damaged run too, and must say what could not be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from judging.evidence import COPY_COLUMNS, PAYMENT_COLUMNS, SAMPLE_COLUMNS, Event, Evidence, Manifest, Plan

T = TypeVar("T")


class Sources:
    """The files of a run as the report needs them; what is missing comes back empty and is named in `unreadable`."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self.unreadable: list[str] = []

    @property
    def plan(self) -> Plan:
        return self._evidence.plan

    @cached_property
    def events(self) -> list[Event]:
        try:
            return self._evidence.events
        except Exception:  # a torn last line is what a crash leaves: keep the lines that are whole
            return self._whole_lines()

    def _whole_lines(self) -> list[Event]:
        path = self._evidence.path("events.jsonl")
        if not path.is_file():
            self.unreadable.append("events.jsonl")
            return []
        events, torn = [], 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                events.append(Event.model_validate_json(line))
            except ValueError:
                torn += 1
        self.unreadable.append(f"events.jsonl ({torn})")
        return events

    def of_kind(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]

    @cached_property
    def probe(self) -> pd.DataFrame:
        return self._either("probe.csv", lambda: self._evidence.probe, _empty(PAYMENT_COLUMNS))

    @cached_property
    def ledger(self) -> pd.DataFrame:
        return self._either("ledger.csv", lambda: self._evidence.ledger, _empty(PAYMENT_COLUMNS))

    @cached_property
    def samples(self) -> pd.DataFrame:
        return self._either("samples.csv", lambda: self._evidence.samples, _empty(SAMPLE_COLUMNS))

    @cached_property
    def witness(self) -> pd.DataFrame | None:
        """None where no host witness ran, as in every run of version 1."""
        if not self._evidence.path("witness.csv").is_file():
            return None
        return self._either("witness.csv", lambda: self._evidence.witness, None)

    @cached_property
    def cores(self) -> int:
        """How many cores the witness watched; 1 when it does not say."""
        count = self._either("witness.json", lambda: self._evidence.witness_count, None)
        return count.cores if count else 1

    @cached_property
    def manifest(self) -> Manifest | None:
        return self._either("manifest.json", lambda: self._evidence.manifest, None)

    @cached_property
    def broken_seals(self) -> list[str]:
        return self._either("manifest.json", self._evidence.broken_seals, [])

    @cached_property
    def logs(self) -> dict[str, Path]:
        return self._either("logs/", self._evidence.logs, {})

    def copy_rows(self, node: str) -> dict[str, int]:
        """How many rows each table of a copy holds; a table that cannot be read is left out."""
        counts = {}
        for table, columns in COPY_COLUMNS.items():
            name = f"copies/{node}.{table}.csv.gz"
            frame = self._either(name, lambda table=table: self._evidence.copy(node, table), _empty(columns))  # type: ignore[misc]
            counts[table] = len(frame)
        return counts

    @cached_property
    def counts(self) -> dict[str, Any]:
        """probe.json and ledger.json as they stand, for the reader."""
        found: dict[str, Any] = {}
        for name in ("probe.json", "ledger.json"):
            path = self._evidence.path(name)
            if path.is_file():
                found[name] = self._either(name, lambda path=path: json.loads(path.read_text("utf-8")), {})  # type: ignore[misc]
        return found

    def _either(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except Exception:  # whatever is wrong with a file, the rest of the report must still be had
            if name not in self.unreadable:
                self.unreadable.append(name)
            return otherwise


def _empty(columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame({column: pd.Series(dtype="object") for column in columns})
