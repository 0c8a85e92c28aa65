"""A plugin of pytest for `python -m benchmarks.mutation`: the same tests, without doing again what no mutant can change.

A made-up run is written once and copied, and records are held against each other once: neither calls what is mutated. Every
test is asked of each mutant, the quickest first, until `DRILLBOOK_MUTATION_BUDGET_S` seconds of CPU are used up: what is not
noticed by then counts as not noticed. Hypothesis tries few examples, and the same ones every time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import tests.synthetic
from judging import measure
from judging.crosschecks import contradictions
from judging.records import Records
from tests.synthetic import Scenario

KEPT = Path(os.environ.get("DRILLBOOK_MUTATION_KEPT", tempfile.gettempdir()))
BUDGET_S = float(os.environ.get("DRILLBOOK_MUTATION_BUDGET_S", "inf"))

settings.register_profile("mutation", max_examples=10, derandomize=True, database=None, deadline=None)
settings.load_profile("mutation")

_write_run = tests.synthetic.write_run
_always = Scenario.__dataclass_fields__["sampled"].default
_begun_s = 0.0


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def write_run(directory: Path, scenario: Scenario | None = None) -> Path:
    story = scenario or Scenario()
    if story.sampled is not _always:
        return _write_run(directory, story)
    fields = {name: getattr(story, name) for name in Scenario.__dataclass_fields__ if name != "sampled"}
    kept = KEPT / "runs" / _digest(repr(fields).encode())
    if not (kept / "manifest.json").is_file():
        shutil.rmtree(kept, ignore_errors=True)
        _write_run(kept, story)
    return Path(shutil.copytree(kept, directory, dirs_exist_ok=True))


def hold_against_each_other(records: Records) -> None:
    files = sorted(path for path in records.evidence.directory.rglob("*") if path.is_file())
    names = [str(path.relative_to(records.evidence.directory)).encode() for path in files]
    kept = KEPT / "contradictions" / _digest(*names, *(path.read_bytes() for path in files))
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([found.words for found in contradictions(records)]), encoding="utf-8")
    for words in json.loads(kept.read_text(encoding="utf-8")):
        records.doubt(words)


tests.synthetic.write_run = write_run
measure.__dict__["hold_against_each_other"] = hold_against_each_other


def pytest_sessionstart() -> None:
    global _begun_s
    _begun_s = time.process_time()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: Any) -> bool | None:
    """True: the test is passed over. Not while mutmut finds out which tests reach what."""
    asked = os.environ.get("MUTANT_UNDER_TEST") != "stats"
    return True if asked and time.process_time() - _begun_s > BUDGET_S else None
