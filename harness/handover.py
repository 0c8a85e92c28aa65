"""What comes after the seal: judge and render, from the files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from judging.evidence import Evidence, csv_text, sha256_of, write_atomically
from judging.judge import Verdict, judge, verdict_json
from judging.measure import Measurement, measure
from judging.sentence import one_sentence

if TYPE_CHECKING:
    from analysis.comparison import Comparison
    from analysis.coverage import Coverage
    from analysis.distribution import Distribution
    from analysis.league import League


def recompute(directory: Path) -> tuple[Evidence, Verdict, Measurement]:
    """Measure and judge a run directory; writes nothing. Raises EvidenceError where there is no run."""
    evidence = Evidence(directory)
    measurement = measure(evidence)
    manifest = directory / "manifest.json"
    verdict = judge(
        measurement,
        evidence.plan.targets,
        plan=evidence.plan,
        manifest_sha256=sha256_of(manifest) if manifest.is_file() else None,
    )
    return evidence, verdict, measurement


def judge_run(directory: Path) -> tuple[Verdict, Measurement]:
    """Measure and judge a run directory, and write verdict.json and losses.csv. Raises EvidenceError where there is no run."""
    (directory / "verdict.json").unlink(missing_ok=True)  # should this fail, an older word must not stand for it
    _, verdict, measurement = recompute(directory)
    write_atomically(directory / "verdict.json", verdict_json(verdict))
    write_atomically(directory / "losses.csv", csv_text(["key"], [[key] for key in measurement.lost_keys]))
    return verdict, measurement


def report_run(directory: Path) -> Path:
    """Render the report of a run directory; returns the page's path."""
    from reports.page import render

    evidence = Evidence(directory)
    verdict, measurement = judge_run(directory)
    for name, text in render(evidence, measurement, verdict).items():
        write_atomically(directory / name, text)
    return directory / "report.html"


def sentence_of(measurement: Measurement, verdict: Verdict) -> str:
    return one_sentence(measurement, verdict)


def league_page(found: League) -> str:
    """The page of managers side by side."""
    from reports import league

    return league.league_page(found)


def coverage_page(found: Coverage) -> str:
    """The page of what is covered."""
    from reports import coverage

    return coverage.coverage_page(found)


def distribution_page(groups: Sequence[Distribution], comparison: Comparison | None = None) -> str:
    """The page of many runs, or of a comparison of groups."""
    from reports import distribution

    return distribution.distribution_page(groups, comparison)
