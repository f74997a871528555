"""Parallel coordinates: what a sweep varied, one axis a setting, and what came out on the last.

Every row is a line from setting to setting to its result. Numbers are placed by size, on a
logarithmic axis where they span a factor of ten; other values stand at equal distances in order of
appearance. Rows with the same value are drawn beside each other, so that none hides another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.comparing.configs import independent, short_keys, value_text
from experiments.evaluation.metrics import BY_NAME, Float
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import set_margins
from experiments.reports.comparison_figures import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.comparing.rows import Row

MOST_AXES = 7
MOST_TICKS = 6
LOG_FROM = 10.0
# Rows at the same place are spread over this share of the axis at most.
SPREAD = 0.05
# Pixels of a character of a tick and of a name, and what the ticks of the first axis may take.
TICK, NAME = 6.2, 7.6
MOST_LEFT = 200
LARGEST = 1e100
WORST, BEST = "#c9d1da", style.AGENTS["ppo"]


@dataclass(frozen=True)
class Axis:
    """One axis: where every row stands on it, in [0, 1], and its ticks."""

    name: str
    places: Float
    ticks: list[tuple[float, str]]


def axes_of(rows: Sequence[Row], measure: str) -> tuple[list[Axis], list[int], list[str]]:
    """The axes of the settings that differ and, last, of the result.

    Returns:
        `(axes, kept, left out)`: `kept` are the rows that have a result and are no bounds;
        settings beyond MOST_AXES are left out and named. No axes where fewer than two rows are
        kept, or nothing differs.
    """
    metric = BY_NAME[measure]
    values = [row.evidence.strategies[row.strategy].metrics[measure].value for row in rows]
    kept = [i for i, row in enumerate(rows) if values[i] is not None and not row.bound]
    configs = [
        ({"strategy": label(rows[i].strategy)} if _several(rows) else {}) | rows[i].config
        for i in kept
    ]
    if len(kept) < 2 or not (keys := independent(configs)):
        return [], kept, []
    shown, left_out = keys[: MOST_AXES - 1], keys[MOST_AXES - 1 :]
    axes = [
        axis(name, [config.get(key) for config in configs], key)
        for name, key in zip(short_keys(shown), shown, strict=True)
    ]
    scale = 100.0 if metric.unit == "percent" else 1.0
    results = [scale * float(v) for i in kept if (v := values[i]) is not None]
    unit = ", %" if metric.unit == "percent" else ""
    return [*axes, _numbers(f"{metric.label}{unit}", results, ticks=5)], kept, left_out


def _several(rows: Sequence[Row]) -> bool:
    return len({row.strategy for row in rows}) > 1


def axis(name: str, values: Sequence[Any], key: str = "") -> Axis:
    """The axis of a setting: by size where all values are numbers, else by order of appearance."""
    if all(type(v) in (int, float) and abs(v) < LARGEST for v in values):
        return _numbers(name, [float(v) for v in values])
    texts = [value_text(key, v) for v in values]
    kinds = list(dict.fromkeys(texts))
    step = 1.0 / max(len(kinds) - 1, 1)
    places = [kinds.index(t) * step if len(kinds) > 1 else 0.5 for t in texts]
    return Axis(name, np.array(places), [(i * step, t) for i, t in enumerate(kinds)])


def _numbers(name: str, values: Sequence[float], ticks: int = 0) -> Axis:
    """Ticks at the values themselves where they are few, or about so many round ones."""
    x = np.array(values)
    low, high = float(x.min()), float(x.max())
    if not high > low:
        return Axis(name, np.full(len(x), 0.5), [(0.5, f"{low:g}")])
    by_size = low > 0 and high / low >= LOG_FROM and not ticks
    distinct = np.unique(x)
    if ticks or len(distinct) > MOST_TICKS:
        from matplotlib.ticker import LogLocator, MaxNLocator

        marks = LogLocator(numticks=5) if by_size else MaxNLocator(ticks or 5)
        distinct = np.array([t for t in marks.tick_values(low, high) if low <= t <= high])

    def place(v: Any) -> Float:
        return np.asarray(
            np.log(v / low) / np.log(high / low) if by_size else (v - low) / (high - low)
        )

    found: list[tuple[float, str]] = []
    for value, at in zip(distinct, place(distinct), strict=True):
        if not found or at - found[-1][0] > 0.055:
            found.append((float(at), f"{value:.6g}"))
    return Axis(name, place(x), found)


def beside(places: Float, order: Sequence[int]) -> Float:
    """Places with rows that share one moved apart a little, in this order."""
    out = places.astype(np.float64).copy()
    for value in np.unique(places):
        there = [i for i in order if places[i] == value]
        if len(there) > 1:
            room = min(SPREAD, 0.012 * (len(there) - 1))
            out[there] += np.linspace(-room, room, len(there))
    return out


def parallel(rows: Sequence[Row], measure: str, fig: Figure, narrow: bool) -> None:
    """One line a row, darker the better; the best is bold. On a phone the axes lie flat."""
    from matplotlib.colors import to_hex, to_rgb

    axes, _, _ = axes_of(rows, measure)
    ax = fig.subplots()
    ax.set_axis_off()
    last = axes[-1].places
    better = last if BY_NAME[measure].higher_is_better is not False else 1 - last
    order = list(np.argsort(better, kind="stable"))
    spread = [*(beside(a.places, order) for a in axes[:-1]), last]
    count = len(axes)
    if narrow:
        set_margins(fig, left=26, right=26, top=10, bottom=14)
        room = style.NARROW - 52.0
    else:
        longest = max(len(text) for _, text in axes[0].ticks)
        left = min(max(70.0, TICK * longest + 24), MOST_LEFT)
        set_margins(fig, left=left, right=80, top=34, bottom=20)
        room = (style.WIDE - left - 80) / (count - 1)
    for k, one in enumerate(axes):
        at = float(k)
        ends = ([0, 1], [at, at]) if narrow else ([at, at], [0, 1])
        ax.plot(*ends, color=style.MUTED, linewidth=1, zorder=1)
        bold = "bold" if k == count - 1 else "normal"
        back = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        if narrow:
            ax.text(0, at - 0.16, one.name, va="bottom", weight=bold, bbox=back, zorder=8)
        else:
            name = cut(one.name, int(room / NAME))
            ax.text(at, 1.07, name, va="bottom", ha="center", weight=bold)
        for place, text in one.ticks:
            look: dict[str, Any] = {"color": style.MUTED, "fontsize": 10, "zorder": 8}
            if narrow:
                text = cut(text, int(room / len(one.ticks) / TICK))
                side = "left" if place < 0.05 else "right" if place > 0.95 else "center"
                ax.text(place, at + 0.09, text, va="top", ha=side, bbox=back, **look)
            else:
                # The first axis has free room on its left.
                text = cut(text, int(((MOST_LEFT if k == 0 else room) - 24) / TICK))
                gap, side = (-8 / room, "right") if k == 0 else (8 / room, "left")
                ax.text(at + gap, place, text, va="center", ha=side, bbox=back, **look)
    worst, best = np.array(to_rgb(WORST)), np.array(to_rgb(BEST))
    for rank, i in enumerate(order):
        colour = to_hex(worst + (best - worst) * float(better[i]))
        path = [float(s[i]) for s in spread]
        steps = list(range(count))
        top = rank == len(order) - 1
        look = {"color": style.AGENTS["ddpg"] if top else colour, "zorder": 2 + rank / len(order)}
        xy = (path, steps) if narrow else (steps, path)
        ax.plot(*xy, linewidth=2.6 if top else 1.5, solid_joinstyle="round", **look)
    if narrow:
        ax.set_xlim(-SPREAD - 0.01, 1.01 + SPREAD)
        ax.set_ylim(count - 1 + 0.35, -0.4)
    else:
        ax.set_xlim(-0.02, count - 1 + 0.02)
        ax.set_ylim(-SPREAD - 0.01, 1.01 + SPREAD)
