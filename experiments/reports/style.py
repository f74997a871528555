"""One colour for each strategy in every figure, and figures as SVG or PNG inside the page."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which eyes of every kind tell apart; agents get its strong members.
AGENTS = {"ppo": "#0072B2", "ddpg": "#D55E00"}
MORE_AGENTS = ("#CC79A7", "#009E73", "#E69F00", "#56B4E9")
INK, MUTED, GRID = "#1c2430", "#66707d", "#e3e7ec"
# Baselines are muted, and told apart by dashes as well as by tint.
BASELINES: dict[str, tuple[str, str]] = {
    "equal_weight": ("#222222", "-"),
    "buy_and_hold": ("#8a8f98", "-"),
    "inverse_volatility": ("#7fae9f", "-"),
    "momentum": ("#c2a05a", "-"),
    "minimum_variance": ("#9b93c4", "-"),
    "maximum_sharpe": ("#c791a9", "-"),
    "risk_parity": ("#7fae9f", "--"),
    "hierarchical_risk_parity": ("#9b93c4", "--"),
    "benchmark": ("#222222", ":"),
}
TINTS = ("#5b8db8", "#c2834a", "#6da174", "#b0698f", "#8f8a3c", "#7a78b8", "#4fa3a5", "#b5655c")
DASHES = ("-", "--", "-.")
ASSETS = (
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8c6bb1", "#b8a100",
)  # fmt: skip
OTHER, CASH = "#aab2bd", "#edf0f3"

WIDE, NARROW = 960, 356  # figure widths in CSS pixels: a desktop column and a phone
HEAVY = 300_000  # bytes of SVG above which a PNG is lighter on the reader


@dataclass(frozen=True)
class Line:
    """How a strategy is drawn."""

    colour: str
    width: float
    dash: str
    order: int


def lines(roles: dict[str, str]) -> dict[str, Line]:
    """Strategy -> line, from strategy -> role; agents are bold and on top."""
    spare = [c for c in MORE_AGENTS if c not in AGENTS.values()]
    unknown = 0
    out: dict[str, Line] = {}
    for name, role in roles.items():
        if role == "agent":
            colour = AGENTS.get(name) or spare[len(out) % len(spare)]
            out[name] = Line(colour, 2.2, "-", 5)
        else:
            if name in BASELINES:
                colour, dash = BASELINES[name]
            else:
                # Neighbours differ in tint; when the tints are used up, the dash changes.
                count = len(TINTS)
                colour, dash = TINTS[unknown % count], DASHES[unknown // count % len(DASHES)]
                unknown += 1
            strong = name in ("equal_weight", "benchmark")
            out[name] = Line(colour, 1.5 if strong else 1.1, dash, 4 if strong else 3)
    return out


Draw = Callable[["Figure", bool], None]


def figure_html(key: str, draw: Draw, heights: tuple[int, int], alt: str, caption: str) -> str:
    """A `<figure>` with a wide and a narrow rendering, of which the page's width shows one.

    Args:
        key: unique in the page; also the salt of the SVG's ids: equal input gives equal bytes.
        draw: fills a figure; its second argument says whether it is the narrow one.
        heights: in pixels, wide and narrow.
        alt: what the figure shows, for those who do not see it.
        caption: HTML below it.
    """
    for notes in _noting:
        notes[key] = Noted(draw, heights[0])
    parts = []
    for kind, width, height in (("wide", WIDE, heights[0]), ("narrow", NARROW, heights[1])):
        picture = _render(f"{key}-{kind}", draw, width, height, kind == "narrow", alt)
        parts.append(f'<div class="{kind}">{picture}</div>')
    return f'<figure id="{key}">{"".join(parts)}<figcaption>{caption}</figcaption></figure>'


@dataclass(frozen=True)
class Noted:
    """A figure of a page: how it is drawn, and its height where the page is wide."""

    draw: Draw
    height: int


_noting: list[dict[str, Noted]] = []


@contextmanager
def noted_figures() -> Iterator[dict[str, Noted]]:
    """Notes every figure that `figure_html` makes meanwhile, by key: trackers show the same."""
    notes: dict[str, Noted] = {}
    _noting.append(notes)
    try:
        yield notes
    finally:
        _noting.remove(notes)


def write_png(path: Path, draw: Draw, height: int) -> Path:
    """Writes the wide rendering of a figure, for what cannot show the page."""
    with _drawn(path.stem, draw, WIDE, height, narrow=False) as figure:
        figure.savefig(path, format="png", dpi=144, metadata={"Software": None})
    return path


@contextmanager
def _drawn(key: str, draw: Draw, width: int, height: int, narrow: bool) -> Iterator[Figure]:
    """A finished figure, under the settings with which it has to be saved."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": key,
        "font.family": "DejaVu Sans",
        "font.size": 11 if narrow else 12,
        "text.color": INK,
        "axes.edgecolor": "#b5bcc6",
        "axes.labelcolor": MUTED,
        "axes.titlesize": 11 if narrow else 12,
        "axes.titlelocation": "left",
        "axes.titlecolor": INK,
        "axes.titlepad": 7,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.major.size": 0,
        "ytick.major.size": 0,
        "legend.frameon": False,
        "legend.fontsize": 10 if narrow else 11,
        "lines.solid_capstyle": "round",
        "path.simplify": True,
        "path.simplify_threshold": 0.35,
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(settings):
        # 72 dots an inch make a point of the SVG one pixel of the page.
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasAgg(figure)
        draw(figure, narrow)
        yield figure


def _render(key: str, draw: Draw, width: int, height: int, narrow: bool, alt: str) -> str:
    with _drawn(key, draw, width, height, narrow) as figure:
        svg = _svg(figure, key, alt)
        if len(svg.encode()) <= HEAVY:
            return svg
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{data}">'


def _svg(figure: Figure, key: str, alt: str) -> str:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Several figures share one page: their ids must not meet.
    text = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', text)
    text = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{key}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]+"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]+"', r"\1", text, count=1)
    text = re.sub(r"\n\s*", "\n", text)
    # A tenth of a pixel is enough for coordinates; numbers in print, between tags, stay whole.
    text = re.sub(r"<[^>]*>", _shorter, text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)


def _shorter(tag: re.Match[str]) -> str:
    return re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", tag[0])


def spread_labels(positions: Iterable[float], gap: float, low: float, high: float) -> list[float]:
    """Moves label positions apart to at least `gap`, as little as needed, within [low, high]."""
    wanted = list(positions)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    if not order:
        return []
    gap = min(gap, (high - low) / max(len(order) - 1, 1))
    # Blocks of touching labels, each centred on the mean of what its members wanted.
    blocks: list[list[int]] = []
    centre: list[float] = []

    def place(block: list[int]) -> float:
        half = gap * (len(block) - 1) / 2
        mean = sum(wanted[i] for i in block) / len(block)
        return min(max(mean, low + half), high - half)

    for i in order:
        blocks.append([i])
        centre.append(place([i]))
        while len(blocks) > 1 and (
            centre[-1] - gap * (len(blocks[-1]) - 1) / 2
            < centre[-2] + gap * (len(blocks[-2]) - 1) / 2 + gap * (1 - 1e-9)
        ):
            last = blocks.pop()
            centre.pop()
            blocks[-1] += last
            centre[-1] = place(blocks[-1])
    out = [0.0] * len(wanted)
    for block, middle in zip(blocks, centre, strict=True):
        for rank, i in enumerate(block):
            out[i] = middle + gap * (rank - (len(block) - 1) / 2)
    return out
