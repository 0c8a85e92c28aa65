"""Several runs beside each other, in the terminal and as files: all of them, not the best. Needs the run directories alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from analysis.comparison import NAMES, Comparison, Effect
from analysis.distribution import MORE_IS_BETTER, NEVER, SEGMENTS, Distribution, Row, Summary, distribution, row_of
from analysis.explain import Explanation
from analysis.history import DrillHistory
from judging.errors import BadInput, EvidenceError
from judging.evidence import sha256_of, write_atomically
from judging.predicted import bounds

RUN_COLUMNS = ("rto_s", "interruption_s", "lost_transactions", "unprotected_s", "availability")
GROUP_SUFFIX = ".distribution.json"


# --- Which runs -------------------------------------------------------------------------------------------------------
def runs_of(path: Path) -> list[Path]:
    """The run directories that a path names: a run, a `*.distribution.json`, or a directory of runs. Raises BadInput."""
    if (path / "plan.json").is_file():
        return [path]
    if path.is_file() and path.name.endswith(GROUP_SUFFIX):
        found = [path.parent / row["run"] for row in json.loads(path.read_text(encoding="utf-8"))["runs"]]
        return [one for one in found if (one / "plan.json").is_file()]
    if path.is_dir():
        below = sorted(p for p in path.iterdir() if p.is_dir() and not p.is_symlink() and (p / "plan.json").is_file())
        if below:
            return below
    raise BadInput(f"{path}: expected a run, a directory of runs or a *{GROUP_SUFFIX}; seen none of them")


def row(directory: Path) -> Row:
    """A run's line. Its verdict.json is taken when it belongs to the seal that is there now; else the run is judged again."""
    path, seal = directory / "verdict.json", directory / "manifest.json"
    if not seal.is_file():
        return unsealed(directory)
    try:
        verdict = json.loads(path.read_text(encoding="utf-8"))
        fresh = verdict["manifest_sha256"] == sha256_of(seal)
    except (OSError, ValueError, KeyError):
        fresh = False
    if not fresh:
        from harness.handover import judge_run

        try:
            verdict = judge_run(directory)[0].model_dump(mode="json", by_alias=True)
        except EvidenceError as error:
            return unsealed(directory, reason=str(error))
    return row_of(verdict, directory.resolve().name)


def unsealed(directory: Path, *, reason: str = "It was never sealed: it runs now, or its harness died.") -> Row:
    """A run that can't be judged is a run all the same: INVALID, and counted."""
    try:
        plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        plan = {}
    name = directory.resolve().name
    drill, seed = str(plan.get("drill", directory.resolve().parent.name)), plan.get("seed")
    return Row(
        run=name,
        drill=drill,
        run_id=str(plan.get("run_id", f"{drill}-{name}")),
        verdict="INVALID",
        reasons=[reason],
        faults=0,
        seed=seed if isinstance(seed, int) else 0,
        values={},
    )


def settings_of_run(directory: Path) -> dict[str, object]:
    """The topology's settings by the plan; empty where it can't be read."""
    try:
        settings = json.loads((directory / "plan.json").read_text(encoding="utf-8"))["topology"]["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return settings if isinstance(settings, dict) else {}


def labelled(groups: Sequence[tuple[str, list[Path]]]) -> list[Distribution]:
    """Each group under its name, and with the settings in which it differs from the others."""
    settings = [[settings_of_run(run) for run in runs] for _, runs in groups]
    everything = [one for group in settings for one in group]
    names = sorted({n for one in everything for n in one if any(other.get(n) != one[n] for other in everything)})
    found = []
    for (name, runs), own in zip(groups, settings, strict=True):
        told = [f"{n}={own[0][n]}" for n in names if all(one.get(n) == own[0].get(n) for one in own) and n in own[0]]
        found.append(distribution([row(run) for run in runs], label=", ".join(told) or name))
    if len({group.label for group in found}) < len(found):
        found = [g.model_copy(update={"label": name}) for g, (name, _) in zip(found, groups, strict=True)]
    return found


# --- Files ------------------------------------------------------------------------------------------------------------
def write_distribution(directories: Sequence[Path]) -> tuple[Distribution, Path]:
    """`<first run>.distribution.json` and `.html` beside the runs of one drill; returns the page's path too."""
    from harness.handover import distribution_page

    found = distribution([row(directory) for directory in directories])
    first = directories[0].resolve()
    write_atomically(first.with_name(first.name + GROUP_SUFFIX), found.model_dump_json(indent=2, by_alias=True) + "\n")
    page = first.with_name(f"{first.name}.distribution.html")
    write_atomically(page, distribution_page([found]))
    return found, page


def write_comparison(found: Comparison, directory: Path, stamp: str) -> Path:
    """`<stamp>.comparison.json` and `.html` in a directory; returns the page's path."""
    from harness.handover import distribution_page

    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / f"{stamp}.comparison.json", found.model_dump_json(indent=2, by_alias=True) + "\n")
    page = directory / f"{stamp}.comparison.html"
    write_atomically(page, distribution_page(found.groups, found))
    return page


def all_runs(runs: Path) -> list[Path]:
    """Every run directory below `runs/<drill>/`, whatever became of it."""
    return sorted(p.parent for p in runs.glob("*/*/plan.json") if not p.parent.is_symlink())


# --- In the terminal --------------------------------------------------------------------------------------------------
def told(found: Distribution) -> str:
    """Every run, then every figure over the runs that were told, then what that proves."""
    return "\n".join([*_run_lines(found), "", *_figure_lines(found), "", *found.proves])


def _run_lines(found: Distribution) -> Iterator[str]:
    yield f"{'drill':<20} {'run':<24} {'verdict':<8}" + "".join(f" {name:>18}" for name in RUN_COLUMNS)
    for one in found.runs:
        yield f"{one.drill:<20} {one.run:<24} {one.verdict:<8}" + "".join(f" {_run_value(one, name):>18}" for name in RUN_COLUMNS)
        if one.verdict != "PASS":
            yield f"{'':<20} {one.reasons[0][:110]}"


def _run_value(one: Row, name: str) -> str:
    value = one.values.get(name)
    never = value is None and name in NEVER and one.verdict == "FAIL"
    return "never" if never else plain(value)


def _figure_lines(found: Distribution) -> Iterator[str]:
    yield f"{'figure':<22} {'n':>4} {'best':>9} {'median':>9} {'95 % interval':>19} {'p95':>9} {'95 % interval':>19} {'worst':>9}"
    for one in found.summaries:
        name = one.figure.removeprefix("phases.")
        indent = "  " if one.figure in SEGMENTS else ""
        yield (
            f"{indent + name:<22} {one.count:>4} {plain(one.best):>9} {_bound(one, one.median):>9} "
            f"{between(one, one.median_low, one.median_high):>19} {_bound(one, one.p95):>9} "
            f"{between(one, one.p95_low, one.p95_high):>19} {_bound(one, one.worst):>9}"
        )


def _bound(one: Summary, value: float | None) -> str:
    return "never" if value is None and one.never else plain(value)


def between(one: Summary, low: float | None, high: float | None) -> str:
    """`21.8 … 22.4`; `?`: the runs are too few to bound that side."""
    sides = (high, low) if one.figure in MORE_IS_BETTER else (low, high)
    return " … ".join("?" if side is None else plain(side) for side in sides)


def plain(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def compared(found: Comparison) -> str:
    """One table, and one sentence."""
    lines = [f"{'figure':<18} {'group':<28} {'n':>4} {'median':>10} {'p95':>10}   difference of medians"]
    figures = list(dict.fromkeys(effect.figure for effect in found.effects)) or ["rto_s"]
    for figure in figures:
        for group in found.groups:
            own = next((s for s in group.summaries if s.figure == figure), None)
            effect = next((e for e in found.effects if e.figure == figure and e.other == group.label), None)
            lines.append(
                f"{NAMES.get(figure, figure):<18} {group.label:<28} {own.count if own else 0:>4} "
                f"{_bound(own, own.median) if own else '—':>10} {_bound(own, own.p95) if own else '—':>10}   {_effect(effect)}"
            )
    for group in found.groups:
        lines += [f"{group.label}: {sentence}" for sentence in group.proves]
    if not found.interleaved:
        lines.append("The groups were not run in turns: what changed on the machine meanwhile may have made the difference.")
    return "\n".join([*lines, found.sentence])


def _effect(effect: Effect | None) -> str:
    if effect is None:
        return ""
    if effect.difference is None:
        return effect.told
    text = f"{effect.difference:+.3f} ({effect.low:+.3f} … {effect.high:+.3f} at {effect.confidence:.1%})"
    return text if effect.shown else f"{text}: no difference shown"


MARKS = {"PASS": "✓", "FAIL": "✕", "INVALID": "△"}


def past(found: Sequence[DrillHistory]) -> str:
    """For each drill: how its runs ended, one mark a run, the RTO as a line of bars above the same marks, and trends."""
    return "\n\n".join("\n".join(_past_lines(one)) for one in found) or "no runs here"


def _past_lines(one: DrillHistory) -> Iterator[str]:
    from harness.live import sparkline

    counts = ", ".join(f"{count} {word}" for word, count in one.verdicts.items() if count)
    yield f"{one.drill}: {len(one.runs)} runs, {one.runs[0].run} to {one.runs[-1].run}: {counts}"
    values = [run.values.get("rto_s") for run in one.runs]
    known = [value for value in values if value is not None]
    if known:
        yield f"  RTO      {sparkline(values)}  {min(known):.1f} to {max(known):.1f} s"
    yield f"  verdict  {''.join(MARKS.get(run.verdict, '?') for run in one.runs)}"
    for trend in one.trends:
        if trend.count and trend.word != "none shown":
            by = f"Kendall's tau {trend.tau}, p {trend.p_value}"
            yield f"  {NAMES[trend.figure]} is {trend.word} over {trend.count} runs ({by})"
    for run in one.runs:
        if run.verdict != "PASS":
            yield f"  {MARKS.get(run.verdict, '?')} {run.run}  {run.reasons[0][:110]}"


def explained(found: Explanation) -> str:
    return "\n".join(_explained(found))


def _explained(found: Explanation) -> Iterator[str]:
    yield found.verdict
    for one in found.because:
        yield f"- {one.reason}"
        for line in one.lines:
            place = (
                line.file
                + (f":{line.line}" if line.line is not None else "")
                + (f" (seq {line.seq})" if line.seq is not None else "")
            )
            yield f"    {place}  {line.text}"
    yield "What would have changed it:"
    yield from (f"- {text}" for text in found.changed_by or ["No target was set and nothing was in doubt."])
    if found.predicted:
        yield "Predicted from the settings, and measured:"
    for prediction in found.predicted:
        seen = "not measured" if prediction.measured is None else f"{prediction.measured:.3f} s"
        held = {True: "within", False: "OUTSIDE", None: "not told"}[prediction.within]
        yield f"- {prediction.fault or 'run'} {prediction.figure}: {bounds(prediction)}; {seen}: {held} ({prediction.why})"
        for term in prediction.terms:
            yield f"    {term.name} {term.low_s:.1f} to {term.high_s:.1f} s: {term.why}"
