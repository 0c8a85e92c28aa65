"""Matplotlib's drawing as inline SVG: deterministic, themed by CSS variables, with a text alternative."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import matplotlib
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.transforms import Affine2D

# Sentinels: drawn in these colors, then replaced by CSS variables, so that one drawing serves light, dark and print.
INK, MUTED, LINE, PAPER, WASH = "#010101", "#020202", "#030303", "#040404", "#050505"
ACCENT, SOFT, BAD, BAD_WASH, GOOD = "#060606", "#070707", "#080808", "#090909", "#0a0a0a"
VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper", WASH: "wash", ACCENT: "accent", SOFT: "accent-soft",
    BAD: "fail", BAD_WASH: "fail-wash", GOOD: "pass",
}  # fmt: skip
FONT = 12.0

_NUMBERS = re.compile(r'\b(?:d|x|y|x1|y1|x2|y2|width|height|transform|points)="[^"]*"')
_LONG = re.compile(r"(-?\d+\.\d)\d+")


@dataclass(frozen=True)
class Hit:
    """A transparent column that tells its values on hover; left, top, width, height in px."""

    x: float
    y: float
    width: float
    height: float
    text: str


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Drawing settings for one chart. `name` salts the ids, so that two charts of a page never share one."""
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",  # real text: searchable, in the page's own font
        "svg.hashsalt": f"drillbook-{name}",
        "text.parse_math": False,  # a dollar sign in a name is a dollar sign
        "font.size": FONT, "font.family": ["DejaVu Sans"],  # wider than the page's fonts: widths err on the safe side
        "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.linewidth": 1.0,
        "axes.spines.top": False, "axes.spines.right": False, "axes.facecolor": "none", "figure.facecolor": "none",
        "xtick.color": LINE, "ytick.color": LINE, "xtick.labelcolor": MUTED, "ytick.labelcolor": MUTED,
        "xtick.labelsize": FONT - 1, "ytick.labelsize": FONT - 1, "ytick.major.size": 0, "xtick.major.size": 4,
        "ytick.minor.size": 0, "grid.color": LINE, "grid.linewidth": 0.6, "legend.frameon": False,
        "legend.fontsize": FONT - 1, "hatch.linewidth": 1.0,
        "lines.color": INK, "patch.facecolor": WASH, "patch.edgecolor": LINE, "path.simplify": True,
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # glyphs that this machine's fonts lack: the reader's browser has them
        yield


class Canvas:
    """A figure drawn on in CSS pixels from the top left, without axes: those cost 30 ms each."""

    def __init__(self, width: float, height: float, *, figure: Figure | None = None) -> None:
        self.width, self.height = width, height
        self.figure = figure or Figure(figsize=(width / 72, height / 72), dpi=72)
        self._place = Affine2D().scale(1 / width, -1 / height).translate(0, 1) + self.figure.transFigure

    def box(self, left: float, top: float, width: float, height: float) -> tuple[float, float, float, float]:
        """The place of axes on this canvas, as matplotlib wants it."""
        return (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)

    def line(self, xs: list[float], ys: list[float], **style: Any) -> None:
        self._add(Line2D(xs, ys, **{"solid_capstyle": "butt", **style}))

    def rectangle(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        self._add(Rectangle((x, y), width, height, **{"linewidth": 0, **style}))

    def rounded(self, x: float, y: float, width: float, height: float, **style: Any) -> None:
        self._add(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=4", **style))

    def text(self, x: float, y: float, text: str, **style: Any) -> None:
        self.figure.text(x, y, text, transform=self._place, **{"va": "center", **style})

    def _add(self, artist: Artist) -> None:
        artist.set_transform(self._place)
        self.figure.add_artist(artist)


def inline(figure: Figure, *, label: str, desc: str, css: str = "", hits: tuple[Hit, ...] = ()) -> Markup:
    """The figure as an <svg> element without outside references, document type or metadata."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    body = out.getvalue()
    view = re.search(r'viewBox="([^"]+)"', body)
    body = body[body.index(">", body.index("<svg")) + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r" ?font-family: [^;\"]*;?", "", body).replace("xlink:href", "href")
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    for color, variable in VARIABLES.items():
        body = body.replace(color, f"var(--{variable})")
    body = _NUMBERS.sub(lambda m: _LONG.sub(r"\1", m[0]), body)
    body = re.sub(r"\s*\n\s*", " ", re.sub(r"<g>\s*</g>", "", body))
    width = view[1].split()[2] if view else "100"
    opening = (
        f'<svg class="chart {css}" role="img" aria-label={quoteattr(label)} viewBox="{view[1] if view else ""}" '
        f'style="max-width:{width}px">'
    )
    return Markup(f"{opening}<desc>{escape(desc)}</desc>{body}{_columns(hits)}</svg>")


def _columns(hits: tuple[Hit, ...]) -> str:
    return "".join(
        f'<rect class="hit" x="{h.x:.1f}" y="{h.y:.1f}" width="{h.width:.1f}" height="{h.height:.1f}">'
        f"<title>{escape(h.text)}</title></rect>"
        for h in hits
    )
