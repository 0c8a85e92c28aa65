"""Groups of runs held against the first of them: difference of medians, with an interval by bootstrap. Pure, and repeatable.

Says "no difference shown" whenever the interval holds 0, or the runs are too few. With several groups the confidence of each
interval is raised (Bonferroni), so that all of them together hold at 95 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.distribution import CONFIDENCE, MORE_IS_BETTER, Distribution, Row, Share
from judging.evidence import Model

SCHEMA = "drillbook.comparison/1"
RUNS_MIN = 5  # with fewer in a group, resampling shows the runs and not what they were drawn from
RESAMPLES = 9_999
SEED = 20_240_601
COMPARED = ("rto_s", "interruption_s", "unprotected_s", "availability")


class Effect(Model):
    """How much larger the median of `other` is than that of `base`; None: too few runs, or service never returned in some."""

    figure: str
    base: str
    other: str
    base_count: int
    other_count: int
    base_median: float | None
    other_median: float | None
    difference: float | None
    low: float | None
    high: float | None
    confidence: float
    shown: bool  # whether the interval leaves 0 out
    told: str


class LossEffect(Model):
    """Runs that lost payments in both groups, and Fisher's exact test of whether that is chance."""

    base: str
    other: str
    base_lost: Share
    other_lost: Share
    p_value: float
    shown: bool


class Comparison(Model):
    schema_name: str = SCHEMA
    drill: str
    groups: list[Distribution]
    effects: list[Effect]
    losses: list[LossEffect]
    interleaved: bool
    sentence: str


def compare(groups: Sequence[Distribution]) -> Comparison:
    """The first group is what the others are held against. Raises ValueError for fewer than two."""
    if len(groups) < 2:
        raise ValueError(f"expected two groups or more; seen {len(groups)}")
    base, others = groups[0], groups[1:]
    pairs = [(figure, other) for other in others for figure in COMPARED if _moved(base, figure) or _moved(other, figure)]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(others))
    effects = [effect(figure, base, other, confidence=confidence) for figure, other in pairs]
    losses = [found for other in others if (found := _losses(base, other, 1 - confidence)) is not None]
    return Comparison(
        drill=", ".join(dict.fromkeys(group.drill for group in groups)),
        groups=list(groups),
        effects=effects,
        losses=losses,
        interleaved=interleaved([group.runs for group in groups]),
        sentence=_sentence(base, others, effects, losses),
    )


def effect(figure: str, base: Distribution, other: Distribution, *, confidence: float = CONFIDENCE) -> Effect:
    """Of the runs that were told. Nothing is shown where a median is not to be had in one of the groups."""
    one, two = _values(base, figure), _values(other, figure)
    never = [group.label for group in (base, other) if any(s.figure == figure and s.never for s in group.summaries)]
    difference, low, high = None, None, None
    if never:
        told = f"service never returned in some runs of {' and '.join(never)}: medians are held beside each other, not subtracted"
    elif min(len(one), len(two)) < RUNS_MIN:
        told = f"too few runs ({len(one)} and {len(two)}; {RUNS_MIN} each are needed)"
    else:
        difference, low, high = bootstrap(one, two, confidence=confidence)
        told = ""
    shown = low is not None and high is not None and (low > 0 or high < 0)
    return Effect(
        figure=figure,
        base=base.label,
        other=other.label,
        base_count=len(one),
        other_count=len(two),
        base_median=_median(base, figure),
        other_median=_median(other, figure),
        difference=difference,
        low=low,
        high=high,
        confidence=confidence,
        shown=shown,
        told=told or ("" if shown else "no difference shown"),
    )


def bootstrap(one: Sequence[float], two: Sequence[float], *, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """median(two) − median(one), and the interval of it by resampling both (percentiles; always the same seed)."""
    import numpy as np
    from scipy import stats

    def statistic(a: Any, b: Any, axis: int = -1) -> Any:
        return np.median(b, axis=axis) - np.median(a, axis=axis)

    first, second = np.asarray(one, dtype=float), np.asarray(two, dtype=float)
    found = stats.bootstrap(
        (first, second),
        statistic,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return round(float(statistic(first, second)), 6), round(float(found.low), 6), round(float(found.high), 6)


def interleaved(groups: Sequence[Sequence[Row]]) -> bool:
    """Whether each group has a run between first and last of every other: else time alone may have made the difference."""
    stamps = [sorted(row.run_id.removeprefix(row.drill) for row in rows) for rows in groups if rows]
    return all(any(one[0] < stamp < one[-1] for stamp in other) for one in stamps for other in stamps if one is not other)


def _losses(base: Distribution, other: Distribution, error: float) -> LossEffect | None:
    import numpy as np
    from scipy.stats import fisher_exact

    if base.lost is None or other.lost is None:
        return None
    table = np.array([[share.count, share.of - share.count] for share in (base.lost, other.lost)])
    p_value = float(fisher_exact(table).pvalue)
    return LossEffect(
        base=base.label, other=other.label, base_lost=base.lost, other_lost=other.lost, p_value=p_value, shown=p_value < error
    )


def _values(group: Distribution, figure: str) -> list[float]:
    return [v for row in group.runs if row.verdict != "INVALID" and (v := row.values.get(figure)) is not None]


def _median(group: Distribution, figure: str) -> float | None:
    return next((s.median for s in group.summaries if s.figure == figure), None)


def _moved(group: Distribution, figure: str) -> bool:
    """Whether that figure was ever anything but 0."""
    return any(s.figure == figure and (s.never or s.best != 0 or s.worst != 0) for s in group.summaries)


# In words

NAMES = {"rto_s": "RTO", "interruption_s": "longest pause", "unprotected_s": "unprotected time", "availability": "availability"}


def _sentence(base: Distribution, others: Sequence[Distribution], effects: Sequence[Effect], losses: Sequence[LossEffect]) -> str:
    parts = []
    for other in others:
        mine = [effect for effect in effects if effect.other == other.label]
        shown = [_in_words(effect) for effect in mine if effect.shown]
        shown += [_loss_in_words(loss) for loss in losses if loss.other == other.label and loss.shown]
        open_ = [NAMES[effect.figure] for effect in mine if not effect.shown]
        if not shown:
            parts.append(f"{other.label} against {base.label}: no difference shown.")
            continue
        rest = f"; no difference shown in {' and '.join(open_)}" if open_ else ""
        parts.append(f"{other.label} against {base.label}: {', '.join(shown)}{rest}.")
    return " ".join(parts)


def _in_words(effect: Effect) -> str:
    assert effect.difference is not None
    assert effect.low is not None
    assert effect.high is not None
    way = ("higher" if effect.difference > 0 else "lower", "longer" if effect.difference > 0 else "shorter")
    if effect.figure in MORE_IS_BETTER:
        sizes = sorted((abs(effect.low) * 100, abs(effect.high) * 100))
        return f"{NAMES[effect.figure]} {abs(effect.difference):.2%} {way[0]} ({sizes[0]:.2f} to {sizes[1]:.2f} %)"
    sizes = sorted((abs(effect.low), abs(effect.high)))
    return f"{NAMES[effect.figure]} {abs(effect.difference):.2f} s {way[1]} ({sizes[0]:.2f} to {sizes[1]:.2f} s)"


def _loss_in_words(loss: LossEffect) -> str:
    one, two = loss.other_lost, loss.base_lost
    return f"{one.count} of {one.of} runs lost payments, {two.count} of {two.of} did with {loss.base}"
