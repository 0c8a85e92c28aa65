"""Each figure that can have a target, as an interval that holds the true value, with the reasons of its width (version 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from judging.evidence import Model
from judging.host import Host, words
from judging.outage import SECOND_NS, SUSTAINED_NS, Episode, Outage, Service

if TYPE_CHECKING:
    from judging.injections import Injection

REASON_NS_MIN = 1_000_000  # what widens an interval by less goes without saying


class Interval(Model):
    """[low, high] in the figure's unit; null: no bound is known. `reasons`: what makes it wide, the most important first."""

    low: float | None
    high: float | None
    reasons: list[str] = Field(default_factory=list)
    host_s: float = 0.0  # how much of the width only the host's stalls account for


def down(nanoseconds: int) -> float:
    """Seconds, to the millisecond, rounded down; never below 0."""
    return max(0, nanoseconds) // 1_000_000 / 1000


def up(nanoseconds: int) -> float:
    return -(-nanoseconds // 1_000_000) / 1000


def exact(value: float | None) -> Interval | None:
    return None if value is None else Interval(low=value, high=value)


def worst(intervals: Sequence[Interval | None]) -> Interval | None:
    """Of several faults: the largest low and the largest high, with the reasons of the one that can be largest."""
    known = [one for one in intervals if one is not None]
    if not known or len(known) < len(intervals):
        return None
    widest = max(known, key=lambda one: float("inf") if one.high is None else one.high)
    return Interval(
        low=max(one.low or 0.0 for one in known), high=widest.high, reasons=widest.reasons, host_s=widest.host_s
    )  # fmt: skip


def longest(outage: Outage) -> Episode:
    """The episode that is the figure: one without an end is longer than any."""
    return max(outage.episodes, key=lambda one: float("inf") if one.length_ns is None else one.length_ns)


def rto(service: Service, host: Host, one: Injection, outage: Outage, *, late_ns: int) -> Interval:
    """The RTO: less when the host's stalls are forgiven, and as exact as the injection and the probe's payments."""
    episode = longest(outage)
    end_ns = one.window_end_ns if episode.return_ns is None else episode.return_ns
    figure_ns = end_ns - episode.began_ns
    inside_ns = host.inside_ns(episode.began_ns, end_ns)
    lenient_ns = min(figure_ns, _forgiven_ns(service, host, one)) if host.stalls else figure_ns
    injection_ns = one.after_ns - one.before_ns
    answer_ns = service.interval_ns + service.baseline_answer_ns
    host_ns = figure_ns - lenient_ns + inside_ns
    reasons = [
        (host_ns, _stalls(host, one.before_ns, one.before_ns, max(end_ns, episode.began_ns) + 10 * SECOND_NS)),
        (injection_ns, f"the injection took {_took(injection_ns)}"),
        (answer_ns, f"a payment is due every {_took(service.interval_ns)} and may take {_took(service.baseline_answer_ns)}"),
        (late_ns, f"the probe sent payments up to {_took(late_ns)} late"),
    ]
    return Interval(
        low=down(min(figure_ns, lenient_ns) - injection_ns - answer_ns - inside_ns),
        high=None if episode.return_ns is None else up(figure_ns + service.interval_ns + late_ns),
        reasons=_told(reasons),
        host_s=up(host_ns),
    )


def p99_back(service: Service, host: Host, one: Injection, *, late_ns: int) -> tuple[int | None, Interval]:
    """When the 99th percentile was within the service level again, ns since the fault (None: never while it lasted); as exact as
    the RTO.
    """

    def seen(by: Service) -> int | None:
        back_ns = by.p99_back_ns(one.before_ns, one.window_end_ns)
        return None if back_ns is None else back_ns - one.before_ns

    figure_ns, watched_ns = seen(service), max(0, one.window_end_ns - SUSTAINED_NS - one.before_ns)
    least_ns = watched_ns if figure_ns is None else figure_ns
    if host.stalls and (lenient_ns := seen(service.forgiving(host.excuses))) is not None:
        least_ns = min(least_ns, lenient_ns)
    gone_ns = watched_ns if figure_ns is None else figure_ns
    inside_ns = host.inside_ns(one.before_ns, one.before_ns + gone_ns)
    injection_ns, answer_ns = one.after_ns - one.before_ns, service.interval_ns + service.baseline_answer_ns
    host_ns = gone_ns - least_ns + inside_ns
    reasons = [
        (host_ns, _stalls(host, one.before_ns, one.before_ns, one.before_ns + gone_ns + SUSTAINED_NS)),
        (injection_ns, f"the injection took {_took(injection_ns)}"),
        (answer_ns, f"a payment is due every {_took(service.interval_ns)} and may take {_took(service.baseline_answer_ns)}"),
        (late_ns, f"the probe sent payments up to {_took(late_ns)} late"),
    ]
    return figure_ns, Interval(
        low=down(least_ns - injection_ns - answer_ns - inside_ns),
        high=None if figure_ns is None else up(figure_ns + service.interval_ns + late_ns),
        reasons=_told(reasons),
        host_s=up(host_ns),
    )


def _forgiven_ns(service: Service, host: Host, one: Injection) -> int:
    """How long service was out of order without what the host's stalls may account for; as far as it was watched."""
    outage = service.forgiving(host.excuses).outage(
        before_ns=one.before_ns, after_ns=one.after_ns, window_end_ns=one.window_end_ns
    )
    lengths = [0]
    for number, episode in enumerate(outage.episodes):
        if number and _from_the_host(host, episode, service):
            continue
        lengths.append(one.window_end_ns - episode.began_ns if episode.length_ns is None else episode.length_ns)
    return max(lengths)


def _from_the_host(host: Host, episode: Episode, service: Service) -> bool:
    """Whether a relapse began in a stall of the host that was longer than a payment may take: then it may be the host's."""
    near = (s for s in host.stalls if s.from_ns <= episode.began_ns + service.level_ns)
    return any(s.to_ns - s.from_ns >= service.level_ns and s.to_ns >= episode.began_ns - service.level_ns for s in near)


def interruption(service: Service, host: Host, one: Injection, figure_ns: int) -> Interval:
    low_ns = service.forgiving(host.spans).interruption_ns(one.before_ns, one.felt_until_ns) if host.stalls else figure_ns
    stalls = _stalls(host, one.before_ns, one.before_ns, one.felt_until_ns)
    return Interval(
        low=down(low_ns), high=up(figure_ns), reasons=_told([(figure_ns - low_ns, stalls)]), host_s=up(figure_ns - low_ns)
    )


def detection(host: Host, one: Injection, t_ns: int, uncertain_ns: int) -> Interval:
    """When it was noticed: between the look before and the one that saw it, and later by the host's stalls alone."""
    host_ns = host.inside_ns(one.before_ns, t_ns)
    injection_ns = one.after_ns - one.before_ns
    reasons = [
        (host_ns, _stalls(host, one.before_ns, one.before_ns, t_ns)),
        (injection_ns, f"the injection took {_took(injection_ns)}"),
        (uncertain_ns, f"the look before was {_took(uncertain_ns)} earlier"),
    ]
    figure_ns = t_ns - one.before_ns
    return Interval(
        low=down(figure_ns - uncertain_ns - injection_ns - host_ns),
        high=up(figure_ns),
        reasons=_told(reasons),
        host_s=up(host_ns),
    )


def availability(service: Service, host: Host, before_ns: int, figure: float) -> Interval:
    lenient = service.forgiving(host.excuses).availability(before_ns) if host.stalls else None
    high = figure if lenient is None else max(figure, -int(-lenient * 1e6) / 1e6)
    reasons = [_stalls(host, before_ns, before_ns, service.end_ns)] if high > figure else []
    return Interval(low=figure, high=high, reasons=reasons, host_s=up(host.inside_ns(before_ns, service.end_ns)))


def unprotected(unprotected_s: float, unknown_s: float) -> Interval:
    reasons = [f"no sample tells of {unknown_s:g} s"] if unknown_s else []
    return Interval(low=unprotected_s, high=round(unprotected_s + unknown_s, 3), reasons=reasons)


def _stalls(host: Host, before_ns: int, from_ns: int, to_ns: int) -> str:
    stall = host.longest(from_ns, to_ns)
    return "" if stall is None else words(stall, before_ns)


def _told(reasons: Sequence[tuple[int, str]]) -> list[str]:
    """The reasons that matter, the widest first."""
    return [text for width, text in sorted(reasons, key=lambda r: -r[0]) if width >= REASON_NS_MIN and text]


def _took(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e9:.1f} s" if nanoseconds >= 1_000_000_000 else f"{nanoseconds / 1e6:.0f} ms"
