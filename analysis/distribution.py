"""Many runs beside each other: every value, median and 95th percentile with what is known of them, and what a count proves.

Pure. Quantiles have distribution-free intervals from order statistics (David and Nagaraja, Order Statistics, 7.1), counts those
of Clopper and Pearson. INVALID runs are shown and counted, and enter no figure: what they say was not told. A run after whose
fault service never returned is worse than any value, and counts as that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from judging.evidence import Model

SCHEMA = "drillbook.distribution/1"
CONFIDENCE = 0.95
SEGMENTS = ("phases.detect_s", "phases.decide_s", "phases.promote_s", "phases.reroute_s", "phases.warm_up_s")
FIGURES = (
    "rto_s", *SEGMENTS, "rto_first_success_s", "interruption_s", "detect_s", "rpo_s", "lost_transactions", "unprotected_s",
    "availability", "first_payment_s",
)  # fmt: skip
MORE_IS_BETTER = frozenset({"availability"})
NEVER = frozenset({"rto_s", "rto_first_success_s"})  # without a value in a run that was told: service did not return


class Row(Model):
    """One run. `values`: by figure; None: could not be measured, or (see `NEVER`) never came."""

    run: str
    drill: str
    run_id: str
    verdict: str  # PASS | FAIL | INVALID
    reasons: list[str]
    faults: int
    seed: int
    values: dict[str, float | None]


class Summary(Model):
    """One figure over the runs that were told. None as a bound: the runs are too few to give one.

    `worst` and quantiles are None where service never returned in so many runs (`never` counts them) that they fall there.
    """

    figure: str
    count: int
    never: int
    unmeasured: int  # told runs in which this figure could not be measured
    best: float | None
    median: float | None
    median_low: float | None
    median_high: float | None
    p95: float | None  # 95 % of the runs are at least as good
    p95_low: float | None
    p95_high: float | None
    worst: float | None


class Share(Model):
    """How many of how many, and between which shares the truth lies at 95 % (Clopper-Pearson; one-sided at 0 and at all)."""

    count: int
    of: int
    low: float
    high: float


class Distribution(Model):
    schema_name: str = SCHEMA
    drill: str
    label: str
    runs: list[Row]
    verdicts: dict[str, int]
    passed: Share | None
    lost: Share | None  # runs that lost acknowledged payments, of those that could tell
    lost_payments: int | None
    summaries: list[Summary]
    proves: list[str]


def row_of(verdict: Mapping[str, Any], run: str) -> Row:
    """A run from its verdict.json. A figure that its version does not have is None."""
    measured = verdict["measured"]
    flat = {**measured, **{f"phases.{name}": value for name, value in (measured.get("phases") or {}).items()}}
    values = {name: flat.get(name) for name in FIGURES}
    return Row(
        run=run,
        drill=verdict["drill"],
        run_id=verdict["run_id"],
        verdict=verdict["verdict"],
        reasons=list(verdict["reasons"]),
        faults=len(verdict["faults"]),
        seed=verdict["seed"],
        values=values,
    )


def distribution(rows: Sequence[Row], *, label: str = "") -> Distribution:
    """Of runs of one drill. `label` says what is common to them, such as `synchronous=quorum`."""
    told = [row for row in rows if row.verdict != "INVALID"]
    known = [row for row in told if row.values.get("lost_transactions") is not None]
    losing = [row for row in known if row.values["lost_transactions"]]
    lost = share(len(losing), len(known)) if known else None
    payments = sum(int(row.values["lost_transactions"] or 0) for row in known) if known else None
    passed = share(sum(row.verdict == "PASS" for row in told), len(told)) if told else None
    return Distribution(
        drill=", ".join(dict.fromkeys(row.drill for row in rows)),
        label=label,
        runs=list(rows),
        verdicts={word: sum(row.verdict == word for row in rows) for word in ("PASS", "FAIL", "INVALID")},
        passed=passed,
        lost=lost,
        lost_payments=payments,
        summaries=[one for name in FIGURES if (one := summary(name, told)) is not None],
        proves=list(_proves(rows, known, lost, payments, passed)),
    )


# One figure


def summary(figure: str, told: Sequence[Row]) -> Summary | None:
    """None where no run has that figure."""
    found = [row.values.get(figure) for row in told]
    known = [value for value in found if value is not None]
    never = len(found) - len(known) if figure in NEVER else 0
    if not known and not never:
        return None
    sign = -1.0 if figure in MORE_IS_BETTER else 1.0
    ordered = sorted([sign * value for value in known] + [math.inf] * never)
    n = len(ordered)

    def at(rank: int | None) -> float | None:
        value = ordered[rank - 1] if rank is not None else math.inf
        return None if math.isinf(value) else sign * value + 0.0

    middle = ordered[n // 2] if n % 2 else (ordered[n // 2 - 1] + ordered[n // 2]) / 2
    median_low, median_high = ranks(n, 0.5)
    p95_low, p95_high = ranks(n, 0.95)
    return Summary(
        figure=figure,
        count=n,
        never=never,
        unmeasured=len(found) - n,
        best=at(1),
        median=None if math.isinf(middle) else round(sign * middle, 6) + 0.0,
        median_low=at(median_low),
        median_high=at(median_high),
        p95=at(math.ceil(round(0.95 * n, 9))),
        p95_low=at(p95_low),
        p95_high=at(p95_high),
        worst=at(n),
    )


def ranks(n: int, quantile: float, confidence: float = CONFIDENCE) -> tuple[int | None, int | None]:
    """The ranks (from 1) between whose values the quantile lies; None: no such rank. Each side errs in half of the rest at most.

    The number of values below the quantile is binomial, whatever the values are distributed like.
    """
    import numpy as np
    from scipy.stats import binom

    tail = (1 - confidence) / 2
    below = np.asarray(binom.cdf(np.arange(n), n, quantile)).tolist()  # below[k]: P(at most k values lie below the quantile)
    low = max((rank for rank in range(1, n + 1) if below[rank - 1] <= tail), default=None)
    high = min((rank for rank in range(1, n + 1) if below[rank - 1] >= 1 - tail), default=None)
    return low, high


# Counts


def share(count: int, of: int, confidence: float = CONFIDENCE) -> Share:
    """Clopper-Pearson. With none, or with all, only one side can be told, and has the whole of the error."""
    from scipy.stats import binomtest

    if not 0 <= count <= of or not of:
        raise ValueError(f"expected a count within 1 or more; seen {count} of {of}")
    alternative: Literal["less", "greater", "two-sided"]
    alternative = "less" if count == 0 else "greater" if count == of else "two-sided"
    interval = binomtest(count, of, alternative=alternative).proportion_ci(confidence, method="exact")
    return Share(count=count, of=of, low=float(interval.low), high=float(interval.high))


def in_so_many(portion: float, *, up: bool) -> str:
    """`3 in 100`: a share as a count that is never better than the share; of 1,000 or 10,000 where it is small."""
    of = next((of for of in (100, 1000, 10_000) if portion * of >= 1), 10_000)
    whole = math.ceil(round(portion * of, 6)) if up else math.floor(round(portion * of, 6))
    return f"{whole} in {of:,}"


def _proves(
    rows: Sequence[Row], known: Sequence[Row], lost: Share | None, payments: int | None, passed: Share | None
) -> Iterable[str]:
    """What the counts say, in sentences."""
    invalid = sum(row.verdict == "INVALID" for row in rows)
    faults = sum(row.faults for row in known)
    trials = "fault" if faults == len(known) else "run"  # a loss is counted by the run: several faults are one trial
    trials += "s" * (len(known) != 1)
    if lost is None or passed is None:
        yield f"No run of {len(rows)} could be told: this proves nothing."
    elif lost.count == 0:
        yield f"0 lost in {lost.of:,} {trials}: fewer than {in_so_many(lost.high, up=True)} at 95 %."
    else:
        yield (
            f"{lost.count:,} of {lost.of:,} {trials} lost {payments:,} acknowledged payments: "
            f"{in_so_many(lost.low, up=False)} to {in_so_many(lost.high, up=True)} at 95 %."
        )
    if passed is not None:
        least = "" if passed.count == 0 else f": at least {in_so_many(passed.low, up=False)} at 95 %"
        yield f"{passed.count:,} of {passed.of:,} runs that could be told passed{least}."
    if invalid and lost is not None:
        worst = share(lost.count + invalid, lost.of + invalid)
        yield (
            f"{invalid:,} of {len(rows):,} runs were INVALID and are in no figure; "
            f"had each of them lost payments, it would be up to {in_so_many(worst.high, up=True)}."
        )
