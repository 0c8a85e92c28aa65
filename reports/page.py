"""What is handed over of a run: `report.html`, one page that opens from a file, and `junit.xml`.

Pure: the same run directory gives the same bytes. The caller writes the files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from judging.errors import EvidenceError
from judging.evidence import Evidence, Plan, sha256_of
from judging.judge import Verdict
from judging.measure import FaultMeasurement, Measurement
from judging.sentence import one_sentence, seconds, what_happened
from reports import rows
from reports.charts import NARROW, WIDE, border_notes, segment_spans, segments_chart, timeline_chart, uncertain_from
from reports.figures import Clockwork, Timeline, clockwork, timeline
from reports.guards import interval_chart
from reports.host import Host, signed, took
from reports.host import what_to_see as host_to_see
from reports.junit import junit_xml
from reports.logs import event_rows
from reports.predictions import predicted_rows
from reports.sources import Sources
from reports.topology import DURING_MAX, describe, moments, topology_chart, what_to_see
from reports.words import Words, words
from reports.year import year_rows

TEMPLATES = Path(__file__).parent / "templates"
STALLS_TOLD = 20
UNSIGNED = (  # what stays unseen when all is sealed anew (docs/evidence.md): version 1, version 2
    ("targets", "events", "records", "whole"),
    ("targets", "version", "records", "whole"),
)
PARTS = ("summary", "figures", "timeline", "segments", "topology", "ledger", "proof", "events", "settings", "files")


def render(evidence: Evidence, measurement: Measurement, verdict: Verdict, *, language: str = "en") -> dict[str, str]:
    """The files to hand over, by name. Renders what there is: a damaged run gets a report that names the damage."""
    text = words(language)
    sources = Sources(evidence)
    clock = clockwork(sources, measurement)
    figures = rows.figure_rows(sources, measurement, verdict, text)
    view: dict[str, Any] = {
        "t": text, "plan": sources.plan, "verdict": verdict, "m": measurement, "figures": figures,
        "sentence": one_sentence(measurement, verdict, text.sentence), "seconds": seconds, "parts": PARTS,
        "segments": _segments(measurement, text), "timeline": _timeline(sources, measurement, clock, text),
        "topology": _topology(sources, measurement, clock, text), "ledger": rows.ledger_rows(measurement, text),
        "lost_shown": rows.LOST_SHOWN, "happened": lambda fault: what_happened(fault, text.sentence),
        "proof": rows.proof_blocks(sources, measurement, clock), "reach": rows.reach_grids(sources, clock),
        "predicted": predicted_rows(sources.plan, measurement, text), "undecided": _undecided(figures, verdict, text),
        "anchors": _kept(anchors(evidence, verdict), text), "chained": sources.plan.evidence_version > 1,
        "unsigned": UNSIGNED[sources.plan.evidence_version > 1], "degraded": _degraded(sources.plan),
        "events": event_rows(sources, clock), "settings": _settings(sources), "manifest": sources.manifest,
        "year": year_rows(measurement), "sides": rows.side_rows(measurement, text),
        "broken": sources.broken_seals if sources.manifest else [], "during_max": DURING_MAX,
    }  # fmt: skip
    view["unreadable"] = sources.unreadable
    page = templates().get_template("report.html.j2").render(view)
    return {"report.html": page, "junit.xml": junit_xml(measurement, verdict, figures, text, anchors(evidence, verdict))}


def _kept(hashes: dict[str, str | None], text: Words) -> list[tuple[str, str, str]]:
    """Name, what it is a hash of, and the hash. A chain is not known of version 1: then there is no line for it."""
    return [
        (text(f"files.{name}"), text(f"files.{name}_of"), value or text("files.no_hash"))
        for name, value in hashes.items()
        if value or name != "chain_head"
    ]


def anchors(evidence: Evidence, verdict: Verdict) -> dict[str, str | None]:
    """Hashes of the plan, of the last event and of the seal, as the run's directory has them now; None: it has none."""
    try:
        head = evidence.manifest.chain_head if evidence.manifest is not None else None
    except EvidenceError:
        head = None  # the verdict says that the seal is broken
    return {
        "plan_sha256": sha256_of(evidence.path("plan.json")),
        "chain_head": head,
        "manifest_sha256": verdict.manifest_sha256,
    }


@cache
def templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _undecided(figures: list[rows.FigureRow], verdict: Verdict, text: Words) -> list[dict[str, Any]]:
    """The figures whose interval holds the target, each with its picture: the first screen says why nobody can tell."""
    found, told = [], " ".join(verdict.reasons)
    for row in (row for row in figures if row.undecided and row.guard):
        title = text("figures.undecided", name=text(f"short.{row.key}"))
        ends = {"low": row.guard.low_text, "high": row.guard.high_text} if row.guard else {}
        target = row.target.lstrip("≤≥ ")
        key = "figures.undecided_text" if all(ends.values()) else "figures.undecided_open"
        found.append(
            {
                "title": title,
                "text": text(key, measured=row.measured, target=target, **ends),
                "reasons": row.guard.reasons if row.guard and not any(r in told for r in row.guard.reasons) else (),
                "charts": [interval_chart(row, text, cut, label=title) for cut in (WIDE, NARROW)],
            }
        )
    return found


def _degraded(plan: Plan) -> list[str]:
    """What was missing: in the environment, and to the host's witness."""
    told = [*plan.environment.get("degraded", []), *(plan.witness or {}).get("degraded", [])]
    return list(dict.fromkeys(map(str, told)))


def _timeline(sources: Sources, measurement: Measurement, clock: Clockwork, text: Words) -> dict[str, Any]:
    data = timeline(sources, measurement, clock)
    title = _timeline_title(measurement, text)
    desc = _timeline_desc(data, text)
    cuts = [timeline_chart(data, text, cut, label=title, desc=desc) for cut in (WIDE, NARROW)]
    return {"title": title, "desc": desc, "charts": cuts, "watched": data.host is not None}


def _timeline_title(measurement: Measurement, text: Words) -> str:
    if not measurement.faults:
        return text("timeline.title_no_fault")
    disturbed = [f for f in measurement.faults if f.disturbed]
    if not disturbed:
        return text("timeline.title_undisturbed")
    if any(f.rto_s is None for f in disturbed):
        return text("timeline.title_no_return")
    longest = max(f.interruption_s for f in disturbed)
    key = "timeline.title_outage" if len(disturbed) == 1 else "timeline.title_outages"
    return text(key, duration=seconds(longest), count=len(disturbed))


def _timeline_desc(data: Timeline, text: Words) -> str:
    """The chart in words: the marks in order, then what the panels hold."""
    marks = [text("timeline.mark", word=text.or_plain(f"marks.{mark.name}"), at=seconds(mark.t_s)) for mark in data.marks]
    peak = data.latency["p99"].max() if data.latency["p99"].notna().any() else None
    parts = [text("timeline.desc_marks", marks="; ".join(marks))] if marks else []
    if data.baseline_per_s is not None:
        parts.append(text("timeline.desc_baseline", rate=f"{data.baseline_per_s:,.1f}"))
    if peak is not None:
        parts.append(text("timeline.desc_latency", p99=f"{peak:,.0f}"))
    if data.unprotected:
        lone = sum(span.end_s - span.start_s for span in data.unprotected)
        parts.append(text("timeline.desc_unprotected", duration=seconds(lone)))
    if data.unsampled:
        parts.append(text("timeline.desc_unsampled", count=len(data.unsampled)))
    if data.host is not None:
        parts += _host_desc(data.host, text)
    return " ".join(parts)


def _host_desc(host: Host, text: Words) -> list[str]:
    parts = [] if host.stalls else [host_to_see(host, text) + "."]
    if host.stalls:
        told = [
            text("host.desc_stall", kind=text(f"host.desc_{s.kind}"), at=signed(s.start_s), duration=took(s.length_s))
            for s in host.stalls[:STALLS_TOLD]
        ] + ["…"] * (len(host.stalls) > STALLS_TOLD)
        whole = sum(s.length_s for s in host.stalls)
        parts.append(text("host.desc_stalls", count=len(host.stalls), duration=seconds(whole), stalls="; ".join(told)))
    if host.silent:
        parts.append(text("host.desc_silent", duration=seconds(sum(end - start for start, end in host.silent))))
    return parts


def _segments(measurement: Measurement, text: Words) -> list[dict[str, Any]]:
    blocks = []
    for fault in measurement.faults:
        spans = segment_spans(fault)
        longest = max(spans, key=lambda s: s.end_s - s.start_s, default=None)
        charts: list[Any] = []
        title = text("segments.nothing_to_divide")
        unseen = {border.segment for border in fault.borders if "not seen" in border.source}
        if fault.rto_s and unseen >= {"detect", "decide", "promote"}:
            title = text("segments.undivided", whole=seconds(fault.rto_s))
        elif longest and fault.rto_s:
            title = text(
                "segments.title",
                part=seconds(longest.end_s - longest.start_s),
                whole=seconds(fault.rto_s),
                name=text.or_plain(f"segments.into_{longest.name}"),
            )
            desc = "; ".join(f"{text.or_plain(f'segments.{s.name}')} {seconds(s.end_s - s.start_s)}" for s in spans)
            charts = [segments_chart(fault, text, cut, label=title, desc=desc) for cut in (WIDE, NARROW)]
        lines = _segment_rows(fault, text)
        blocks.append({"fault": fault, "title": title, "charts": charts, "rows": lines})
    return blocks


def _segment_rows(fault: FaultMeasurement, text: Words) -> list[dict[str, Any]]:
    borders = {border.segment: border for border in fault.borders}
    found = []
    for span in segment_spans(fault):
        border = borders.get(span.name)
        source = border.source if border else ""
        low_s = uncertain_from(fault, span)
        found.append(
            {
                "name": text.or_plain(f"segments.{span.name}"),
                "from": seconds(span.start_s),
                "to": seconds(span.end_s),
                "uncertain": "" if low_s is None else text("segments.uncertain", width=seconds(span.end_s - low_s)),
                "length": "–" if "not seen" in source else seconds(span.end_s - span.start_s),
                "source": source,
                "notes": border_notes(fault, span.name),
            }
        )
    return found


def _topology(sources: Sources, measurement: Measurement, clock: Clockwork, text: Words) -> list[dict[str, Any]]:
    drawn = []
    plan = sources.plan.topology
    for number, moment in enumerate(moments(sources, measurement, clock)):
        title = what_to_see(plan, moment, text)
        chart = topology_chart(plan, moment, text, salt=str(number), label=f"{moment.name}: {', '.join(title)}")
        drawn.append({"moment": moment, "title": title, "chart": chart, "desc": describe(plan, moment, text)})
    return drawn


def _settings(sources: Sources) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Groups of settings: key of the catalogue, the file they come from, names and values."""
    plan = sources.plan
    groups = [
        ("topology", "plan.json", rows.setting_rows(plan.topology.get("settings", {}))),
        ("load", "plan.json", rows.setting_rows(plan.load.model_dump())),
        ("environment", "plan.json", rows.setting_rows(plan.environment, skip=("degraded",))),
        ("counts", "probe.json, ledger.json", rows.setting_rows(sources.counts)),
    ]
    return [group for group in groups if group[2]]
