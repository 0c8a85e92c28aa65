"""The verdict as JUnit XML: one suite a run, one case for the verdict, for each target and for each invariant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from judging.judge import Verdict
from judging.measure import Measurement
from reports.rows import FigureRow
from reports.words import Words


@dataclass(frozen=True)
class Case:
    """`problem` is None, `failure` or `error` (could not be told)."""

    name: str
    problem: str | None
    message: str
    detail: str = ""
    time_s: float = 0.0


def junit_xml(
    measurement: Measurement,
    verdict: Verdict,
    figures: list[FigureRow],
    words: Words,
    anchors: Mapping[str, str | None] | None = None,
) -> str:
    """`anchors`: hashes that show any later change of the run to whoever keeps this file; one that is None is not known."""
    cases = [_verdict_case(verdict, words), *_target_cases(figures, words), *_invariant_cases(measurement, words)]
    suite = ElementTree.Element(
        "testsuite",
        name=f"drillbook.{verdict.drill}",
        tests=str(len(cases)),
        failures=str(sum(c.problem == "failure" for c in cases)),
        errors=str(sum(c.problem == "error" for c in cases)),
        skipped="0",
        time=f"{measurement.rto_s or 0:.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name in ("run_id", "topology", "seed", "environment_class", "drill_kind", "evidence_version"):
        ElementTree.SubElement(properties, "property", name=name, value=_clean(str(getattr(verdict, name))))
    for name, value in (anchors or {}).items():
        if value is not None:
            ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for case in cases:
        _add(suite, case, verdict)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(suite: ElementTree.Element, case: Case, verdict: Verdict) -> None:
    element = ElementTree.SubElement(
        suite, "testcase", classname=f"drillbook.{verdict.drill}", name=_clean(case.name), time=f"{case.time_s:.3f}"
    )
    if case.problem:
        problem = ElementTree.SubElement(element, case.problem, message=_clean(case.message), type=verdict.verdict)
        problem.text = _clean(case.detail or case.message)


def _verdict_case(verdict: Verdict, words: Words) -> Case:
    problem = {"PASS": None, "FAIL": "failure", "INVALID": "error"}[verdict.verdict]
    reasons = "\n".join(verdict.reasons)
    first = verdict.reasons[0] if verdict.reasons else verdict.verdict
    return Case(words("junit.verdict"), problem, f"{verdict.verdict}: {first}", reasons)


def _target_cases(figures: list[FigureRow], words: Words) -> Iterator[Case]:
    for row in figures:
        if row.state != "no_target":
            problem = {"met": None, "missed": "failure", "untold": "error"}[row.state]
            name = words("junit.target", name=words.or_plain(f"figures.{row.key}"), target=row.target)
            yield Case(name, problem, words("junit.measured", measured=row.measured, target=row.target))


def _invariant_cases(measurement: Measurement, words: Words) -> Iterator[Case]:
    for key in ("duplicated", "phantom"):
        count: int | None = getattr(measurement, key)
        problem = "error" if count is None else "failure" if count else None
        yield Case(words(f"junit.{key}"), problem, words("junit.count", count="?" if count is None else count))
    for copy in measurement.copies:
        for key in ("balances_match_entries", "double_entry", "sum_of_balances_kept", "keys_once"):
            held = bool(getattr(copy, key))
            name = words("junit.copy", node=copy.node, what=words(f"copies.{key}"))
            yield Case(name, None if held else "failure", name)
        if copy.expected:
            name = words("junit.copy", node=copy.node, what=words("copies.equal_to_authority"))
            yield Case(name, None if copy.equal_to_authority else "failure", name)


def _clean(text: str) -> str:
    """XML 1.0 allows no control characters but tab and new line, whatever a log line may hold."""
    return "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff"))
