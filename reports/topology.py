"""The topology drawn: regions, centers, nodes, links; who was primary, what was dead, what was cut at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from judging.measure import Measurement
from judging.sentence import seconds
from reports.figures import Clockwork
from reports.primaries import answering
from reports.sources import Sources
from reports.svg import ACCENT, BAD, INK, LINE, MUTED, PAPER, WASH, Canvas, drawing, inline
from reports.words import Words

WIDTH = 300.0
NODE_ROW, CENTER_HEAD, CENTER_GAP, REGION_HEAD = 17.0, 24.0, 26.0, 22.0
BOX_LEFT, BOX_WIDTH = 26.0, 168.0
LETTER_WIDTH = 6.4  # of the words at a link
DURING_MAX = 4  # of a drill with many faults, the first ones


@dataclass(frozen=True)
class Moment:
    """What stood how: `name` is before, during or after."""

    name: str
    fault: str
    t_s: float
    roles: dict[str, str] = field(default_factory=dict)
    down: frozenset[str] = frozenset()
    cut: frozenset[str] = frozenset()
    impaired: frozenset[str] = frozenset()

    @property
    def primaries(self) -> list[str]:
        return sorted(node for node, role in self.roles.items() if role == "primary")


def moments(sources: Sources, measurement: Measurement, clock: Clockwork) -> list[Moment]:
    """Before the first fault, during each (as it stood when its healing began, or new machines came), and at the end."""
    if not measurement.faults:
        last = sources.events[-1].t_ns if sources.events else clock.origin_ns
        return [_moment(sources, clock, "before", "", last)]
    found = [_moment(sources, clock, "before", "", measurement.faults[0].before_ns)]
    for f in measurement.faults[:DURING_MAX]:
        came = [e.t_ns - 1 for e in sources.events if e.kind == "replaced" and f.before_ns < e.t_ns < f.window_end_ns]
        found.append(_moment(sources, clock, "during", f.id, min([f.window_end_ns, *came])))
    last = max([e.t_ns for e in sources.events], default=measurement.faults[-1].window_end_ns)
    return [*found, _moment(sources, clock, "after", "", last + 1)]


def _moment(sources: Sources, clock: Clockwork, name: str, fault: str, t_ns: int) -> Moment:
    roles: dict[str, str] = {}
    active: dict[str, dict[str, Any]] = {}
    effects: dict[str, dict[str, Any]] = {}
    for event in sources.events:
        if event.t_ns > t_ns:
            break
        identity = str(event.data.get("id", ""))
        if event.kind == "primary" and isinstance(event.data.get("roles"), dict):
            roles = {str(k): str(v) for k, v in event.data["roles"].items()}
        elif event.kind == "intent":
            effects[identity] = event.data.get("effect") or {}
        elif event.kind == "injected":
            active[identity] = effects.get(identity, {})
        elif event.kind == "healed" and event.data.get("ok", True):
            active.pop(identity, None)
    down = {str(node) for effect in active.values() for node in effect.get("down", [])}
    cut = {str(link) for effect in active.values() for link in effect.get("cut", [])}
    impaired = {str(link) for effect in active.values() for link in effect.get("impaired", [])}
    roles = _only_who_answers(sources, roles, t_ns)
    roles |= {node: "down" for node in down if node in roles}
    if name == "after" and not active:  # the last word on roles may have been written before the heal
        roles = {node: "standby" if role == "down" and _answers(sources, node) else role for node, role in roles.items()}
    return Moment(name, fault, clock.s(t_ns), roles, frozenset(down), frozenset(cut), frozenset(impaired - cut))


def _only_who_answers(sources: Sources, roles: dict[str, str], t_ns: int) -> dict[str, str]:
    """Of several primaries, those that did not say so just then were told by an answer that came too late."""
    named = {node for node, role in roles.items() if role == "primary"}
    said = answering(sources.samples, t_ns) & named if len(named) > 1 else set()
    return {node: "unknown" if said and node in named - said else role for node, role in roles.items()}


def _answers(sources: Sources, node: str) -> bool:
    """Whether the last sample of the node was answered."""
    own = sources.samples[sources.samples["node"] == node] if len(sources.samples) else sources.samples
    return bool(len(own)) and int(own.sort_values("t_ns")["ok"].iloc[-1]) == 1


def what_to_see(topology: dict[str, Any], moment: Moment, words: Words) -> list[str]:
    """The parts of one drawing's title: who is primary, what is dead or cut."""
    centers = {str(c.get("name")): {str(n.get("name")) for n in c.get("nodes", [])} for c in topology.get("centers", [])}
    primary = " + ".join(moment.primaries) or words("topology.no_primary")
    parts = [words("topology.primary_is", node=primary) if moment.primaries else primary]
    whole = [name for name, nodes in centers.items() if nodes and nodes <= moment.down]
    single = sorted(moment.down - {node for name in whole for node in centers[name]})
    if whole or single:
        parts.append(words("topology.are_down", names=", ".join([*whole, *single])))
    if moment.cut:
        parts.append(words("topology.cut_count", count=len(moment.cut)))
    if moment.impaired:
        parts.append(words("topology.impaired_count", count=len(moment.impaired)))
    return parts


def topology_chart(topology: dict[str, Any], moment: Moment, words: Words, *, salt: str, label: str) -> Markup:
    regions = _regions(topology)
    height = 8 + sum(REGION_HEAD + 6 + sum(_height(c) + CENTER_GAP for c in centers) for _, centers in regions)
    with drawing(f"topology-{salt}"):
        canvas = Canvas(_width(regions, topology.get("links", []), moment, words), height)
        middle = _draw_regions(canvas, regions, moment, words)
        _draw_links(canvas, topology.get("links", []), middle, moment, words)
        return inline(canvas.figure, label=label, desc=describe(topology, moment, words), css="topology")


def _width(
    regions: Sequence[tuple[str, list[dict[str, Any]]]], links: Sequence[dict[str, Any]], moment: Moment, words: Words
) -> float:
    """Wide enough for what stands at the outermost link: a latency, a bandwidth, or what became of it."""
    order = {str(center.get("name")): number for number, center in enumerate(c for _, centers in regions for c in centers)}
    pairs = _pairs(links, dict.fromkeys(order, 0.0), "latency_ms")
    far = max((abs(order[a] - order[b]) for a, b in pairs), default=1)
    text = 62.0 if any(link.get("bandwidth_kbps") is not None for link in links) else 46.0
    became = [(abs(order[a] - order[b]), _became(a, b, moment, words)) for a, b in pairs]
    room = max([(far - 1) * 44 + text, *((span - 1) * 44 + 8 + LETTER_WIDTH * len(told) for span, told in became if told)])
    return max(WIDTH, BOX_LEFT + BOX_WIDTH + 16 + room)


def _became(a: str, b: str, moment: Moment, words: Words) -> str:
    """What a fault has made of a pair of links, for the drawing; empty where they carry as ever."""
    both = f"{a}->{b}", f"{b}->{a}"
    if lost := [arrow for arrow in both if arrow in moment.cut]:
        return f"✕ {words('topology.cut_both') if len(lost) == 2 else words('topology.cut_one', link=lost[0])}"
    if worse := [arrow for arrow in both if arrow in moment.impaired]:
        return f"≈ {words('topology.impaired_both') if len(worse) == 2 else words('topology.impaired_one', link=worse[0])}"
    return ""


def _regions(topology: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for center in topology.get("centers", []):
        found.setdefault(str(center.get("region", "")), []).append(center)
    return list(found.items())


def _shown(center: dict[str, Any]) -> list[dict[str, Any]]:
    """Databases one a row; the rest of a center shares rows by its kind."""
    return [node for node in center.get("nodes", []) if node.get("kind") == "postgres"]


def _others(center: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in center.get("nodes", []) if node.get("kind") != "postgres"]


def _height(center: dict[str, Any]) -> float:
    return CENTER_HEAD + NODE_ROW * (len(_shown(center)) + len(_others(center))) + 8


def _draw_regions(
    canvas: Canvas, regions: Sequence[tuple[str, list[dict[str, Any]]]], moment: Moment, words: Words
) -> dict[str, float]:
    """Draws the boxes from the top down; returns the middle height of each center for its links."""
    middle, y = {}, 4.0
    for name, centers in regions:
        bottom = y + REGION_HEAD + sum(_height(c) + CENTER_GAP for c in centers) - CENTER_GAP + 8
        canvas.line([8, 8], [y + 4, bottom - 2], color=LINE, linewidth=3, solid_capstyle="butt")
        canvas.text(18, y + 10, words("topology.region", name=name), color=MUTED, size=11)
        y += REGION_HEAD
        for center in centers:
            middle[str(center.get("name", ""))] = y + _height(center) / 2
            _draw_center(canvas, center, y, moment, words)
            y += _height(center) + CENTER_GAP
        y += 6
    return middle


def _draw_center(canvas: Canvas, center: dict[str, Any], top: float, moment: Moment, words: Words) -> None:
    nodes = [*_shown(center), *_others(center)]
    dead = bool(nodes) and all(str(node.get("name")) in moment.down for node in nodes)
    canvas.rounded(
        BOX_LEFT, top, BOX_WIDTH, _height(center), facecolor=PAPER if dead else WASH, edgecolor=BAD if dead else LINE,
        linewidth=1.2, linestyle=(0, (4, 2)) if dead else "solid",
    )  # fmt: skip
    canvas.text(BOX_LEFT + 10, top + 13, str(center.get("name", "")), weight="bold", size=12.5)
    if dead:
        canvas.text(BOX_LEFT + BOX_WIDTH - 8, top + 13, words("topology.down"), ha="right", color=BAD, size=11)
    for i, node in enumerate(nodes):
        _draw_node(canvas, node, top + CENTER_HEAD + NODE_ROW * (i + 0.5), moment, words)


def _draw_node(canvas: Canvas, node: dict[str, Any], y: float, moment: Moment, words: Words) -> None:
    """A shape and a word: filled square = primary, ring = standby, cross = down, dot = not a database."""
    name, kind = str(node.get("name", "")), str(node.get("kind", ""))
    role = "down" if name in moment.down else moment.roles.get(name, "unknown" if kind == "postgres" else "other")
    marker, face, edge = {
        "primary": ("s", ACCENT, ACCENT), "standby": ("o", PAPER, INK), "down": ("x", BAD, BAD),
        "unknown": ("o", PAPER, LINE), "other": (".", MUTED, MUTED),
    }.get(role, ("o", PAPER, LINE))  # fmt: skip
    canvas.line([BOX_LEFT + 15], [y], marker=marker, markersize=8 if role != "other" else 5,
               markerfacecolor=face, markeredgecolor=edge, markeredgewidth=1.5 if role != "other" else 0)  # fmt: skip
    color = BAD if role == "down" else INK if kind == "postgres" else MUTED
    strong = "bold" if role == "primary" else "normal"
    canvas.text(BOX_LEFT + 27, y, name, size=11.5, color=color, weight=strong)
    word = words(f"topology.{role}") if kind == "postgres" or role == "down" else ""
    canvas.text(BOX_LEFT + BOX_WIDTH - 8, y, word, ha="right", size=11, color=color, weight=strong)


def _draw_links(canvas: Canvas, links: Sequence[dict[str, Any]], middle: dict[str, float], moment: Moment, words: Words) -> None:
    """Each pair of centers once, as a bracket at the right: the farther apart, the farther out."""
    pairs, narrow = _pairs(links, middle, "latency_ms"), _pairs(links, middle, "bandwidth_kbps")
    order = list(middle)
    for column, (a, b) in enumerate(sorted(pairs, key=lambda p: (abs(order.index(p[0]) - order.index(p[1])), p))):
        span = abs(order.index(a) - order.index(b))
        x = BOX_LEFT + BOX_WIDTH + 16 + (span - 1) * 44
        shift = 7 * (column % 3 - 1) if span == 1 else 0
        top, bottom = sorted((middle[a] + (6 if span == 1 else -6), middle[b] + (-6 if span == 1 else 6)))
        became = _became(a, b, moment, words)
        color = BAD if became else MUTED
        dashes = {"": "solid", "✕": (0, (3, 3)), "≈": (0, (6, 2))}[became[:1]]
        canvas.line([BOX_LEFT + BOX_WIDTH + 1, x, x, BOX_LEFT + BOX_WIDTH + 1], [top, top, bottom, bottom],
                   color=color, linewidth=1.2, linestyle=dashes)  # fmt: skip
        told = [words("topology.latency", ms=pairs[(a, b)])]
        told += [words("topology.bandwidth", kbps=narrow[(a, b)])] if (a, b) in narrow else []
        for row, text in enumerate(told):
            canvas.text(x + 4, (top + bottom) / 2 + shift + 14 * row, text, size=10.5, color=MUTED,
                       bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1})  # fmt: skip
        if became:
            canvas.text(x + 4, (top + bottom) / 2 + shift + 14 * len(told), became, size=10.5, color=BAD)


def _pairs(links: Sequence[dict[str, Any]], middle: dict[str, float], field: str) -> dict[tuple[str, str], str]:
    """One-way latency or bandwidth of each pair that has one, `1` when it is the same both ways, else `1 / 2`."""
    order = list(middle)
    both: dict[tuple[str, str], list[str]] = {}
    for link in links:
        ends = (str(link.get("source")), str(link.get("target")))
        if all(end in middle for end in ends) and link.get(field) is not None:
            a, b = sorted(ends, key=order.index)
            both.setdefault((a, b), []).append(f"{link[field]:g}")
    return {pair: " / ".join(dict.fromkeys(values)) for pair, values in both.items()}


def describe(topology: dict[str, Any], moment: Moment, words: Words) -> str:
    """The drawing in words, for who cannot see it: every center with its nodes and their roles, then the cuts."""
    parts = [words("topology.at", at=seconds(moment.t_s))]
    for center in topology.get("centers", []):
        nodes = []
        for node in center.get("nodes", []):
            name = str(node.get("name", ""))
            role = "down" if name in moment.down else moment.roles.get(name)
            nodes.append(f"{name} {words.or_plain(f'topology.{role}')}" if role else name)
        parts.append(f"{center.get('name', '')}: {', '.join(nodes)}.")
    parts += [f"✕ {link}." for link in sorted(moment.cut)] + [f"≈ {link}." for link in sorted(moment.impaired)]
    return " ".join(parts)
