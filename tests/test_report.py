"""The report: all ten parts, nothing from outside, nothing unescaped, and something to hand over of every run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from judging.evidence import Evidence, Targets, csv_text, sha256_of
from judging.judge import Verdict, judge
from judging.measure import Measurement, Phases, measure
from judging.sentence import ENGLISH, one_sentence, seconds
from reports import predictions, rows, topology
from reports.charts import NARROW, WIDE, border_notes, place_marks, segment_spans, uncertain_from
from reports.figures import Timeline, clockwork, timeline
from reports.host import what_to_see
from reports.logs import ROWS_MAX, event_rows
from reports.page import PARTS, TEMPLATES, UNSIGNED, render
from reports.primaries import answering, reigning
from reports.sources import Sources
from reports.topology import moments
from reports.words import words
from reports.year import year_rows
from tests.synthetic import SCENARIOS, FaultStory, Scenario, Stall, ns, reseal, write_run
from topologies.two_region_three_center import two_region_three_center

ROOM = TEMPLATES.parent


@dataclass
class Interval:
    low: float | None
    high: float | None
    reasons: list[str]


VOID = {"meta", "input", "br", "rect", "path", "circle", "use"}


def judged(directory: Path) -> tuple[Evidence, Measurement, Verdict]:
    evidence = Evidence(directory)
    measurement = measure(evidence)
    return evidence, measurement, judge(measurement, evidence.plan.targets, plan=evidence.plan, manifest_sha256=None)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("center-loss"))


@pytest.fixture(scope="module")
def files(run: Path) -> dict[str, str]:
    return render(*judged(run))


@pytest.fixture(scope="module")
def page(files: dict[str, str]) -> str:
    return files["report.html"]


class Outline(HTMLParser):
    """Tags that are open at the end, every attribute, and the visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.wrong: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def test_every_part_is_there_in_its_order(page: str) -> None:
    places = [page.index(f'id="{part}"') for part in PARTS]
    assert places == sorted(places)
    assert len(PARTS) == 10


def test_the_first_screen_says_it_all(page: str) -> None:
    head = page[: page.index('id="figures"')]
    assert "dc1 lost power at 02:00:25." in head
    assert "Service was back after 22.0 s (target 30 s)." in head
    assert re.search(r"0 of [\d,]+ acknowledged payments were lost \(target 0\)\.", head)
    assert "PASS" in head
    assert "not a takeover of real business" in head


def test_the_tags_are_well_formed(page: str) -> None:
    outline = Outline(page)
    assert not outline.open
    assert not outline.wrong
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_nothing_comes_from_outside(page: str) -> None:
    assert len(page.encode()) < 1_000_000
    assert not re.search(r"https?://(?!127\.0\.0\.1)", page)
    assert "@import" not in page
    assert "@font-face" not in page
    for tag, name, value in Outline(page).attributes:
        if name in ("src", "href", "action", "data", "poster"):
            assert value.startswith("#"), f"<{tag} {name}={value!r}>"
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= set(re.findall(r"url\((#[^)]*)\)", page))


def test_charts_have_text_alternatives_and_no_fixed_colors(page: str) -> None:
    charts = re.findall(r'<svg class="chart.*?</svg>', page, re.DOTALL)
    assert len(charts) >= 7
    for chart in charts:
        assert 'role="img"' in chart
        assert re.search(r'aria-label="[^"]{8,}"', chart)
        assert re.search(r"<desc>.{20,}</desc>", chart)
        assert not re.search(r"#[0-9a-f]{6}\b", chart), "every color is a variable: light, dark and print differ"
    assert "Payments stopped for 21.9 s" in page


def test_every_figure_says_where_it_comes_from(page: str) -> None:
    for part in PARTS[1:]:
        section = page[page.index(f'<section id="{part}"') :].split("</section>")[0]
        assert re.search(r"from [a-z]+\.(csv|json)|from (events|copies)|From events", section), part


def test_the_same_run_gives_the_same_bytes(run: Path, files: dict[str, str]) -> None:
    assert render(*judged(run)) == files


def test_the_last_part_lets_one_recompute(run: Path, page: str) -> None:
    last = page[page.index('id="files"') :]
    manifest = Evidence(run).manifest
    assert manifest is not None
    for name, sealed in manifest.files.items():
        assert name in last
        assert sealed.sha256 in last
    assert "drillbook judge" in last


def test_sums_add_up_in_the_ledger(page: str) -> None:
    ledger = page[page.index('id="ledger"') : page.index('id="proof"')]
    assert "probe" in ledger
    assert "locust" in ledger
    assert "✕" not in ledger


def test_events_come_from_all_sources(page: str) -> None:
    events = page[page.index('id="events"') : page.index('id="settings"')]
    for source in ("harness", "cluster store", "Patroni", "PostgreSQL", "HAProxy"):
        assert source in events, source
    assert "promoted self to leader" in events
    row = next(r for r in events.split("<tr>") if "promoted self to leader" in r)
    assert ">11.100<" in row, "a log line lies on the host's clock"


def test_marks_do_not_overlap(run: Path) -> None:
    evidence, measurement, _ = judged(run)
    sources = Sources(evidence)
    data = timeline(sources, measurement, clockwork(sources, measurement))
    assert [m.name for m in data.marks] == [
        "fault", "detected", "promoted", "first_payment", "sustained", "healed", "redundant"
    ]  # fmt: skip
    for cut in (WIDE, NARROW):
        labels = place_marks(data, words(), cut)
        rows: dict[int, list[tuple[float, float]]] = {}
        for label in labels:
            width = len(label.text) * 6.0
            rows.setdefault(label.row, []).append((label.x - width, label.x) if label.flipped else (label.x, label.x + width))
        for spans in rows.values():
            spans.sort()
            assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_the_shaded_time_is_the_measured_time(run: Path) -> None:
    evidence, measurement, _ = judged(run)
    sources = Sources(evidence)
    data = timeline(sources, measurement, clockwork(sources, measurement))
    assert measurement.unprotected_s is not None
    assert sum(s.end_s - s.start_s for s in data.unprotected) == pytest.approx(measurement.unprotected_s, abs=0.5)
    assert [(s.start_s, s.end_s) for s in data.outages] == [(0.0, measurement.rto_s)]


def test_gaps_are_gaps(tmp_path: Path) -> None:
    write_run(tmp_path, Scenario(sampled=lambda second: not 30 < second < 36))
    path = tmp_path / "probe.csv"
    lines = path.read_text().splitlines(keepends=True)
    for name, keep in (("probe.csv", lines), ("ledger.csv", (tmp_path / "ledger.csv").read_text().splitlines(True))):
        hole = [r for r in keep[1:] if not 60e9 < int(r.split(",")[1]) - 7_200_000_000_000 < 63e9]
        (tmp_path / name).write_text(keep[0] + "".join(hole))
    evidence, measurement, _ = judged(tmp_path)
    sources = Sources(evidence)
    data = timeline(sources, measurement, clockwork(sources, measurement))
    assert data.rates.loc[36:37, "acknowledged"].isna().all(), "what was not recorded is not zero"
    assert data.rates.loc[5:15, "acknowledged"].eq(0).all(), "an outage is zero, not a gap"
    assert len(data.unsampled) == 1


# two that say they are the primary


def two_primaries(directory: Path, *, from_s: float, asked_s: float, streams: bool) -> tuple[Sources, Measurement]:
    """dc1-a was only frozen: from `from_s` after the fault on it calls itself the primary again, for 13 s, on the old
    timeline. The answer to a question of `asked_s` comes among them. `streams`: it remembers all of its standbys.
    """
    write_run(directory)
    path = directory / "samples.csv"
    head, *rows = path.read_text().splitlines()
    old = next(r for r in rows if r.split(",")[2] == "dc1-a" and r.split(",")[4] == "0")
    standing = json.dumps([
        {"name": n, "state": "streaming", "sync_state": "quorum", "flush_lsn": 1} for n in ("dc1-b", "dc2-a", "dc3-a")
        if streams
    ])  # fmt: skip
    memory = old.split(",", 7)[:7]
    zero = 7_200_000_000_000 + 25_050_000_000
    said = []
    for tick in range(65):
        at = zero + round((from_s + tick / 5) * 1e9) + 10_000_000
        asked = zero + round(asked_s * 1e9) if tick == 30 else at - 2_000_000
        said.append([asked, at, *memory[2:7], "", '2 ("dc1-b","dc2-a")', standing, ""])
    kept = [r for r in rows if r.split(",")[2] != "dc1-a" or int(r.split(",")[1]) < zero + round(from_s * 1e9)]
    path.write_text(head + "\n" + "\n".join(kept) + "\n" + csv_text((), said).lstrip("\n"))
    evidence, measurement, _ = judged(directory)
    return Sources(evidence), measurement


@pytest.mark.parametrize("asked_s", [24.0, 0.26])
def test_of_two_primaries_the_one_of_the_newest_timeline_counts(asked_s: float, tmp_path: Path) -> None:
    sources, measurement = two_primaries(tmp_path, from_s=18.0, asked_s=asked_s, streams=True)
    data = timeline(sources, measurement, clockwork(sources, measurement))
    assert [span.name for span in data.copies["dc1"] if span.end_s > 18 and span.start_s < 31] == []
    assert [span.name for span in data.copies["dc2"] if span.end_s > 18.5] == ["primary"]
    assert max(frame["bytes"].max() for frame in data.lag.values()) < 10_000, "behind the new primary alone"


def test_redundant_again_is_what_the_newest_primary_says(tmp_path: Path) -> None:
    """From 41.5 s on, when all copies are back, the old one says for 13 s that it has no standby."""
    sources, measurement = two_primaries(tmp_path, from_s=41.5, asked_s=44.0, streams=False)
    marks = {mark.name: mark.t_s for mark in timeline(sources, measurement, clockwork(sources, measurement)).marks}
    assert marks["redundant"] == pytest.approx(41.2, abs=0.2)


def test_a_late_answer_speaks_for_neither_moment(tmp_path: Path) -> None:
    """The new primary is frozen too, its answer arrives 5 s late: nobody is known to be the primary meanwhile."""
    write_run(tmp_path)
    samples = Evidence(tmp_path).samples
    late = samples.assign(asked_ns=samples["asked_ns"] - 5_000_000_000)
    assert reigning(samples)
    assert not reigning(late)
    assert not answering(late, int(samples["t_ns"].median()))


def test_a_frozen_primary_that_no_longer_answers_is_not_drawn_as_one(tmp_path: Path) -> None:
    sources, measurement = two_primaries(tmp_path, from_s=18.0, asked_s=24.0, streams=True)
    clock = clockwork(sources, measurement)
    events = [
        e.model_copy(update={"data": {**e.data, "roles": {**e.data["roles"], "dc1-a": "primary"}}})
        if e.kind == "primary" and e.data["node"] == "dc2-a" else e.model_copy(update={"data": {**e.data, "effect": {}}})
        if e.kind == "intent" else e
        for e in sources.events
    ]  # fmt: skip
    sources.__dict__["events"] = events
    during = moments(sources, measurement, clock)[1]
    assert during.primaries == ["dc2-a"]
    assert during.roles["dc1-a"] == "unknown"


# the host's witness


def watched(directory: Path, *stalls: Stall) -> Timeline:
    write_run(directory, Scenario(stalls=stalls))
    return drawn(directory)


def drawn(directory: Path) -> Timeline:
    evidence, measurement, _ = judged(directory)
    sources = Sources(evidence)
    return timeline(sources, measurement, clockwork(sources, measurement))


def test_without_a_witness_there_is_no_word_of_the_host(tmp_path: Path) -> None:
    write_run(tmp_path, Scenario(version=1))
    page = render(*judged(tmp_path))["report.html"]
    assert "host" not in page[page.index('id="timeline"') : page.index('id="segments"')]


def test_a_quiet_host_is_said_to_be_quiet(run: Path, page: str) -> None:
    data = drawn(run)
    assert data.host is not None
    assert data.host.stalls == []
    assert data.host.silent == []
    assert data.host.delays["sync"].median() == pytest.approx(3)
    assert data.host.delays.notna().all(axis=None), "between two looks the last one holds"
    assert data.host.shares["foreign"].max() < 10
    assert "The host was quiet</text>" in page
    assert "events.jsonl, witness.csv" in page


def test_stalls_stand_where_and_as_long_as_they_were(tmp_path: Path) -> None:
    """Seconds from the fault, which lies 25.05 s after the start of the run."""
    data = watched(tmp_path, Stall(54.65, 55.71), Stall(40.0, 40.4, "wake"), Stall(62.0, 62.4, "cpu"))
    assert data.host is not None
    told = [(stall.kind, round(stall.start_s, 2), round(stall.length_s, 2)) for stall in data.host.stalls]
    assert told == [("core", 14.95, 0.4), ("disk", 29.6, 1.06), ("cores", 36.95, 0.5)]
    assert data.host.delays["sync"].loc[29.75:30.25].min() == pytest.approx(1060), "the line stays up while the write waits"
    assert data.host.shares["foreign"].loc[36.95:37.4].max() == pytest.approx(50)
    assert what_to_see(data.host, words()) == "The host's disk stalled for 1.1 s at +29.6 s, and 2 more"


def test_one_stall_of_the_disk_is_the_title(tmp_path: Path) -> None:
    write_run(tmp_path, Scenario(stalls=(Stall(54.65, 55.71),)))
    assert "The host's disk stalled for 1.1 s at +29.6 s</text>" in render(*judged(tmp_path))["report.html"]


def test_where_the_witness_was_silent_nobody_calls_the_host_quiet(tmp_path: Path) -> None:
    write_run(tmp_path)
    path = tmp_path / "witness.csv"
    head, *lines = path.read_text().splitlines(keepends=True)
    path.write_text(head + "".join(line for line in lines if not ns(50) <= int(line.split(",")[0]) < ns(58)))
    data = drawn(tmp_path)
    assert data.host is not None
    assert [round(end - start) for start, end in data.host.silent] == [8]
    assert what_to_see(data.host, words()) == "The host was quiet while it was watched"
    assert data.host.delays.loc[26:32].isna().all(axis=None)


def test_a_damaged_witness_is_named(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "witness.csv").write_text("from_ns,to_ns\nx,y\n")
    page = render(*judged(tmp_path))["report.html"]
    assert re.search(r"Could not be read in full[^<]*witness.csv", page[: page.index('id="figures"')])
    assert not Outline(page).wrong


# intervals against targets


def row_of(interval: Interval | None, **target: float) -> rows.FigureRow:
    """The row of the figure in `target`, measured as 22.004 s or 56.256 %."""
    (key, wanted), *_ = target.items()
    value, at_least = (0.56256, True) if key == "availability" else (22.004, False)
    show = rows._percent if at_least else seconds
    figure = rows._Figure(key, value, wanted, show, "", "", at_least, interval)
    return rows._figure_row(figure, {}, words())


def between(low: float | None, high: float | None) -> Interval:
    return Interval(low=low, high=high, reasons=["the host's disk stalled for 1.1 s at +21.2 s"])


@pytest.mark.parametrize(
    ("interval", "target", "state"),
    [
        (between(21.0, 22.1), {"rto_s": 22.1}, "met"),
        (between(21.0, 22.1), {"rto_s": 22.0}, "untold"),
        (between(21.0, 22.1), {"rto_s": 21.0}, "untold"),
        (between(21.0, 22.1), {"rto_s": 20.9}, "missed"),
        (between(21.0, None), {"rto_s": 30.0}, "untold"),
        (between(21.0, None), {"rto_s": 20.0}, "missed"),
        (between(0.56, 0.57), {"availability": 0.56}, "met"),
        (between(0.56, 0.57), {"availability": 0.565}, "untold"),
        (between(0.56, 0.57), {"availability": 0.58}, "missed"),
        (None, {"rto_s": 22.0}, "missed"),
        (None, {"rto_s": 22.01}, "met"),
    ],
)
def test_a_target_is_met_by_the_whole_interval(interval: Interval | None, target: dict[str, float], state: str) -> None:
    row = row_of(interval, **target)
    assert row.state == state
    assert row.undecided == (state == "untold")


def test_an_interval_is_told_with_the_digits_that_tell_it_from_the_target() -> None:
    assert row_of(between(21.0, 22.1), rto_s=30).guard == rows.Guard(
        21.0, 22.1, "21.0 s", "22.1 s", "21.0 – 22.1 s", ("the host's disk stalled for 1.1 s at +21.2 s",)
    )
    tight = row_of(between(29.96, 30.04), rto_s=30).guard
    assert tight is not None
    assert tight.between == "29.96 – 30.04 s"
    assert (open_end := row_of(between(21.0, None), rto_s=30).guard) is not None
    assert open_end.between == "21.0 s or more"
    assert (exact := row_of(between(22.004, 22.004), rto_s=30).guard) is not None
    assert exact.between == "exact"


@pytest.mark.parametrize("interval", [between(21.0, 22.1), between(10.0, 95.0), between(21.0, None), None])
@pytest.mark.parametrize("target", [5.0, 22.0, 30.0])
def test_the_bar_holds_all_that_it_shows(interval: Interval | None, target: float) -> None:
    bar = row_of(interval, rto_s=target).bar
    assert bar is not None
    assert 0 <= bar.low <= bar.value <= bar.high <= 1
    assert 0 < bar.target <= 0.8
    assert (bar.value > bar.target) == (target < 22.004)
    assert row_of(interval, rto_s=0.0).bar is None, "of nothing there is no share"


def undecided_page(run: Path, reasons: list[str]) -> str:
    evidence, measurement, verdict = judged(run)
    interval = Interval(low=21.0, high=30.4, reasons=["the host's disk stalled for 1.1 s at +29.6 s"])
    measured = verdict.measured.model_copy(update={"intervals": {"rto_s": interval}})
    verdict = verdict.model_copy(update={"verdict": "INVALID", "reasons": reasons, "measured": measured})
    return render(evidence, measurement, verdict)["report.html"]


def test_invalid_by_interval_is_explained_on_the_first_screen(run: Path) -> None:
    page = undecided_page(run, ["RTO lies on both sides of its target."])
    head = Outline(page[: page.index('id="figures"')]).text
    assert "Recovery time: the target lies inside what the run can tell" in head
    assert "the true value lies between 21.0 s and 30.4 s. The target of 30 s lies in between" in head
    assert "What makes it so wide: the host's disk stalled for 1.1 s at +29.6 s." in head
    assert "△ not told" in page
    told = undecided_page(run, ["RTO: the host's disk stalled for 1.1 s at +29.6 s; run it on a quiet host."])
    assert "What makes it so wide" not in told[: told.index('id="figures"')], "said once"


def test_a_border_is_told_with_its_uncertainty_and_whoever_says_otherwise(run: Path) -> None:
    _, measurement, _ = judged(run)
    fault = measurement.faults[0]
    detect = fault.borders[0]
    silent = fault.model_copy(update={"borders": [detect.model_copy(update={"from_ns": None}), *fault.borders[1:]]})
    assert uncertain_from(silent, segment_spans(silent)[0]) is None, "version 1 does not say"
    known = detect.model_copy(update={"from_ns": detect.t_ns - 170_000_000, "notes": ("etcd's log says 10.1 s",)})
    told = fault.model_copy(update={"borders": [known, *fault.borders[1:]]})
    assert uncertain_from(told, segment_spans(told)[0]) == pytest.approx(10.13)
    assert border_notes(told, "detect") == ["etcd's log says 10.1 s"]
    evidence, _, verdict = judged(run)
    page = render(evidence, measurement.model_copy(update={"faults": [told]}), verdict)["report.html"]
    assert "to within 0.17 s" in page
    assert "Differs: etcd&#39;s log says 10.1 s" in page


# predicted and measured


@dataclass
class Term:
    name: str
    low_s: float
    high_s: float
    why: str


@dataclass
class Prediction:
    fault: str | None
    figure: str
    low: float
    high: float | None
    terms: list[Term]
    why: str
    measured: float | None
    within: bool | None


def predicted_part(run: Path, monkeypatch: pytest.MonkeyPatch, *found: Prediction) -> str:
    monkeypatch.setattr(predictions, "_predictions", lambda *_: list(found))
    page = render(*judged(run))["report.html"]
    return page[page.index('id="figures"') : page.index('id="timeline"')]


def test_bounds_stand_beside_the_figures_with_their_derivation(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Term("lease", 19.0, 20.5, "ttl 20 s from its last renewal")
    rto = Prediction("f1", "rto_s", 21.0, 28.9, [lease], "the primary's center died", 22.004, within=True)
    open_end = Prediction(None, "unprotected_s", 8.1, None, [], "no setting bounds it", 28.0, within=True)
    part = Outline(predicted_part(run, monkeypatch, rto, open_end)).text
    assert "As the settings let expect" in part
    assert "21.0 – 28.9 s" in part
    assert "lease 19.0 – 20.5 s: ttl 20 s from its last renewal" in part
    assert "8.10 s or more" in part


def test_what_lies_outside_its_bounds_is_a_finding(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rto = Prediction("f1", "rto_s", 2.0, 4.0, [], "the primary's center died", 22.004, within=False)
    part = predicted_part(run, monkeypatch, rto)
    assert "A finding: not what the settings let expect" in part
    assert "✕ outside" in part


def test_without_a_prediction_nothing_is_said_of_one(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "settings let expect" not in predicted_part(run, monkeypatch)


# what a stranger can hold against it


def test_the_hashes_to_keep_and_what_a_signature_would_add(run: Path) -> None:
    evidence, measurement, verdict = judged(run)
    seal = sha256_of(run / "manifest.json")
    page = render(evidence, measurement, verdict.model_copy(update={"manifest_sha256": seal}))["report.html"]
    last = page[page.index('id="files"') :]
    chain = hashlib.sha256((run / "events.jsonl").read_bytes().splitlines()[-1]).hexdigest()
    for value in (sha256_of(run / "plan.json"), seal, *([chain] if evidence.plan.evidence_version > 1 else [])):
        assert value in last
    assert "What a signature would add" in last
    assert "a run made up as a whole" in last


def test_the_list_without_a_signature_is_the_page_of_evidence() -> None:
    """Each family of docs/evidence.md stands in the report too, in its own words."""
    evidence = (ROOM.parent / "docs" / "evidence.md").read_text(encoding="utf-8")
    families = evidence[evidence.index("only a signature made at the time") :].split("\n\n")[1]
    assert len(re.findall(r"^- ", families, re.MULTILINE)) == len(UNSIGNED[1])
    assert words()("unsigned.targets") in families
    assert words()("unsigned.whole") in families


# what others wrote into a run


HOSTILE = '<script>alert("x")</script> ${y} {{ 7*7 }} & \' " $x^2$ ]]> \x07'


def test_hostile_text_is_escaped(tmp_path: Path) -> None:
    fault = replace(FaultStory(), target='<img src=x onerror="a()">')
    write_run(tmp_path, Scenario(claim=HOSTILE, faults=(fault,), ends_s=65))
    log = tmp_path / "logs" / "dc2-a.log"
    log.write_text(log.read_text() + f"2026-01-15T02:00:50.000000000Z INFO: promoted self to leader {HOSTILE}\n")
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["topology"]["centers"][0]["nodes"][0]["name"] = "<svg/onload=a()>"
    plan["topology"]["settings"]["<b>"] = HOSTILE
    plan["environment"]["degraded"] = [HOSTILE]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    reseal(tmp_path)
    evidence, measurement, verdict = judged(tmp_path)
    verdict = verdict.model_copy(update={"reasons": [HOSTILE, *verdict.reasons], "verdict": "INVALID"})
    files = render(evidence, measurement, verdict)
    page = files["report.html"]
    assert page.count("<script>") == 1
    for raw in ("<img", "<b>", "<svg/onload"):
        assert raw not in page
    assert "{{ 7*7 }}" in page
    assert page.count("&lt;script&gt;") >= 4
    assert not Outline(page).wrong
    ElementTree.fromstring(files["junit.xml"])


def test_a_flood_of_log_lines_is_capped_and_told(tmp_path: Path) -> None:
    write_run(tmp_path, Scenario(ends_s=65))
    flood = "".join(f"2026-01-15T02:00:{n % 60:02d}.{n:09d}Z INFO: Lock owner: dc1-{n}; I am dc2-a\n" for n in range(3000))
    same = "2026-01-15T02:00:20.000000000Z INFO: Lock owner: dc1-a; I am dc1-b\n" * 50
    (tmp_path / "logs" / "flood.log").write_text(flood)
    (tmp_path / "logs" / "same.log").write_text(same)
    evidence, measurement, verdict = judged(tmp_path)
    sources = Sources(evidence)
    told = event_rows(sources, clockwork(sources, measurement))
    assert len(told.rows) == ROWS_MAX
    assert told.left_out > 2000
    own = [row for row in told.rows if row.place == "events.jsonl"]
    assert len(own) == len(evidence.events), "the harness's own events stay"
    assert f"{told.left_out:,} more are left out" in render(evidence, measurement, verdict)["report.html"]
    (tmp_path / "logs" / "flood.log").unlink()
    rows = [row for row in event_rows(Sources(evidence), clockwork(sources, measurement)).rows if row.place == "same"]
    assert [row.times for row in rows] == [50]


# runs that went wrong


@pytest.mark.parametrize("name", ["no-return", "no-proof", "region-loss", "planned-switchover", "undisturbed", "missing-copy"])
def test_every_kind_of_run_renders(name: str, tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS[name])
    evidence, measurement, verdict = judged(tmp_path)
    files = render(evidence, measurement, verdict)
    outline = Outline(files["report.html"])
    assert not outline.wrong
    assert one_sentence(measurement, verdict) in outline.text
    for reason in verdict.reasons:
        assert reason in outline.text
    assert verdict.verdict in outline.text
    assert "None" not in outline.text
    assert "nan" not in re.findall(r"[a-z]+", outline.text)
    ElementTree.fromstring(files["junit.xml"])


def blank_measurement() -> Measurement:
    """Nothing could be measured."""
    counts = {"acknowledged": 0, "refused": 0, "unknown": 0, "unknown_committed": 0, "phases": Phases()}
    lists = ("faults", "sources", "lost_keys", "copies", "conditions", "doubts", "breaches", "undecided")
    nothing = dict.fromkeys(Measurement.model_fields)
    return Measurement.model_validate({**nothing, **{name: [] for name in lists}, **counts})


@pytest.mark.parametrize("keep", [("plan.json",), ("plan.json", "events.jsonl"), ("plan.json", "events.jsonl", "probe.csv")])
def test_a_run_with_little_left_still_renders(keep: tuple[str, ...], run: Path, tmp_path: Path) -> None:
    for name in keep:
        (tmp_path / name).write_bytes((run / name).read_bytes())
    _, _, verdict = judged(run)
    verdict = verdict.model_copy(update={"verdict": "INVALID", "reasons": ["It broke."], "fault": None, "faults": []})
    page = render(Evidence(tmp_path), blank_measurement(), verdict)["report.html"]
    assert "It broke." in page
    assert "The run was never sealed" in page
    assert "samples.csv" in page[: page.index('id="figures"')], "what could not be read stands on the first screen"
    assert not Outline(page).wrong


def test_a_run_that_was_never_read_back_renders(run: Path, tmp_path: Path) -> None:
    """Interrupted in mid-fault: both ledgers are there, and no copy to look their payments up in."""
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "copies")
    evidence, measurement, verdict = judged(tmp_path / "run")
    assert verdict.verdict == "INVALID"
    assert measurement.lost_transactions is None
    assert not Outline(render(evidence, measurement, verdict)["report.html"]).wrong


def test_damaged_files_still_render(tmp_path: Path) -> None:
    write_run(tmp_path, Scenario(ends_s=60))
    _, measurement, verdict = judged(tmp_path)
    events = tmp_path / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-70] + b'\xff{"seq"')
    (tmp_path / "samples.csv").write_text("asked_ns,t_ns\n1,x\n")
    (tmp_path / "probe.json").write_text("{")
    (tmp_path / "logs" / "dc1-a.log").write_bytes(b"\xff\xfe\x00 not a time is DOWN\n2026-99-99T00:00:00Z is DOWN\n")
    page = render(Evidence(tmp_path), measurement, verdict)["report.html"]
    assert "events.jsonl was changed after it was sealed" in page
    assert "The seal is broken" in page
    assert not Outline(page).wrong


# the sentence


def test_seconds_keep_the_digits_that_matter() -> None:
    assert [seconds(v) for v in (0, 0.0204, 0.345, 1.51, 21.94, 1234.5, -3)] == [
        "0 s", "0.020 s", "0.34 s", "1.51 s", "21.9 s", "1,234.5 s", "−3.00 s"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("CenterPowerLoss", "dc1", "dc1 lost power at 02:00:25."),
        ("center_power_loss", "dc1", "dc1 lost power at 02:00:25."),
        ("RegionLoss", "A", "Region A was lost at 02:00:25."),
        ("LinkBlackholed", "dc1->dc2", "The link dc1->dc2 swallowed everything at 02:00:25."),
        ("BitsFlipped", "entries", "Bits flipped under entries at 02:00:25."),
        ("PlannedSwitchover", "dc2-a", "dc1-a handed over to dc2-a as planned at 02:00:25."),
        ("SomethingNew", "dc2-a", "Something new struck dc2-a at 02:00:25."),
    ],
)
def test_the_sentence_reads_right_for_each_fault(run: Path, name: str, target: str, told: str) -> None:
    _, measurement, verdict = judged(run)
    fault = measurement.faults[0].model_copy(update={"name": name, "target": target})
    assert one_sentence(measurement.model_copy(update={"faults": [fault]}), verdict).startswith(told)


def test_the_sentence_never_claims_what_was_not_told(run: Path) -> None:
    _, measurement, verdict = judged(run)
    fault = measurement.faults[0].model_copy(update={"rto_s": None, "proved": False})
    lost = {"faults": [fault], "rto_s": None, "lost_transactions": None}
    sentence = one_sentence(
        measurement.model_copy(update=lost), verdict.model_copy(update={"verdict": "INVALID", "targets": Targets()})
    )
    assert "(not proved)" in sentence
    assert "Service was not back after 37.0 s." in sentence
    assert "could not be told" in sentence
    assert sentence.endswith("The run proves nothing either way.")
    nothing = one_sentence(blank_measurement(), verdict.model_copy(update={"verdict": "INVALID"}))
    assert nothing == "No injected fault is on record. The run proves nothing either way."


# JUnit


def test_junit_has_the_verdict_each_target_and_each_invariant(tmp_path: Path) -> None:
    write_run(tmp_path, SCENARIOS["lost-payments"])
    evidence, measurement, verdict = judged(tmp_path)
    suite = ElementTree.fromstring(render(evidence, measurement, verdict)["junit.xml"]).find("testsuite")
    assert suite is not None
    cases = {case.get("name", ""): case for case in suite.findall("testcase")}
    failed = cases["verdict"].find("failure")
    assert failed is not None
    assert verdict.reasons[0] in (failed.text or "")
    assert sum(name.startswith("target: ") for name in cases) == 3
    assert any(name.startswith("invariant on dc2-a") for name in cases)
    assert suite.get("failures") == str(sum(case.find("failure") is not None for case in cases.values()))


def test_junit_calls_invalid_an_error(run: Path) -> None:
    evidence, measurement, verdict = judged(run)
    invalid = verdict.model_copy(update={"verdict": "INVALID", "reasons": ["no proof"]})
    root = ElementTree.fromstring(render(evidence, measurement, invalid)["junit.xml"])
    assert root.find(".//testcase[@name='verdict']/error") is not None
    assert root.find(".//testcase[@name='verdict']/failure") is None


def test_what_a_year_allows_is_plain_arithmetic(page: str) -> None:
    allowed = {row.promise: (row.allowed, row.in_words, row.fit) for row in year_rows(cast(Any, SimpleNamespace(rto_s=22.0)))}
    assert allowed == {
        "99.9": ("31,536.0 s", "8.8 h", "1,433"),
        "99.99": ("3,153.6 s", "52.6 min", "143"),
        "99.999": ("315.4 s", "5.3 min", "14"),
    }
    assert "Outages of 22.0 s fit 143 times into a year of 99.99 %" in page
    assert year_rows(cast(Any, SimpleNamespace(rto_s=None))) == []
    assert year_rows(cast(Any, SimpleNamespace(rto_s=0.0))) == []


# the catalogue

# Sections whose keys come from the evidence or from a list in code
FROM_DATA = ("parts.", "verdict.", "figures.", "marks.", "phases.", "segments.", "topology.", "copies.", "events.",
             "ledger.", "settings.", "host.", "short.", "unsigned.", "files.", "proof.", "junit.", "timeline.copy_",
             "timeline.title_", "sentence.")  # fmt: skip


def sources_of_words() -> str:
    paths = [*TEMPLATES.glob("*.j2"), *ROOM.glob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(paths))


def test_every_key_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r"""\b(?:t|text|words|or_plain)\(\s*['"]([a-z_]+\.[A-Za-z_0-9]+)['"]""", sources_of_words()))
    assert len(asked) > 100
    assert asked <= set(words().texts)


def test_every_key_of_the_catalogue_is_used() -> None:
    code = sources_of_words()
    unused = []
    for key in words().texts:
        tail = key.rpartition(".")[2]
        dynamic = key.startswith(FROM_DATA) and re.search(rf"\b{re.escape(tail)}\b", _code_and_data(code))
        if f"'{key}'" not in code and f'"{key}"' not in code and not dynamic:
            unused.append(key)
    assert not unused


def _code_and_data(code: str) -> str:
    """Besides the room itself: names that evidence brings (phases, segments, roles, verdicts, sources)."""
    evidence = (ROOM.parent / "docs" / "evidence.md").read_text(encoding="utf-8")
    return (
        code + evidence + " PASS FAIL INVALID copy_primary copy_sync copy_async into_detect into_decide into_promote"
        " into_reroute into_warm_up title_disk title_slow title_core title_cores desc_disk desc_slow desc_core desc_cores"
        " plan_sha256_of chain_head_of manifest_sha256_of"
        " patroni postgres etcd haproxy other"
    )


def test_templates_hold_no_words_of_their_own() -> None:
    for path in TEMPLATES.glob("*.j2"):
        text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"<pre.*?</pre>|<style.*?</style>|<script.*?</script>|<[^>]*>", "", text, flags=re.DOTALL)
        assert not re.findall(r"[A-Za-z]{2,}", text), path.name


def test_the_sentence_can_be_put_in_other_words(run: Path) -> None:
    _, measurement, verdict = judged(run)
    assert one_sentence(measurement, verdict, {**ENGLISH, "fault.centerpowerloss": "{target} 断电"}).startswith("dc1 断电")
    assert set(words().sentence) >= set(ENGLISH)


@pytest.mark.parametrize(
    ("cut", "impaired", "told"),
    [
        ((), (), ""),
        (("dc1->dc3", "dc3->dc1"), (), "✕ cut"),
        (("dc1->dc3",), ("dc3->dc1",), "✕ dc1->dc3 cut"),  # the graver one
        ((), ("dc1->dc3", "dc3->dc1"), "≈ degraded"),
        ((), ("dc3->dc1",), "≈ dc3->dc1 degraded"),
    ],
)
def test_a_drawing_is_as_wide_as_what_became_of_a_link(cut: tuple[str, ...], impaired: tuple[str, ...], told: str) -> None:
    plan = two_region_three_center().to_json()
    moment = topology.Moment("during", "f1", 1.0, cut=frozenset(cut), impaired=frozenset(impaired))
    assert topology._became("dc1", "dc3", moment, words()) == told
    chart = topology.topology_chart(plan, moment, words(), salt="1", label="a drawing")
    width = float(re.search(r'viewBox="0 0 ([0-9.]+) ', chart)[1])  # type: ignore[index]
    assert (width > topology.WIDTH) == (len(told) > 6)
    assert all(f"≈ {link}." in topology.describe(plan, moment, words()) for link in impaired)
