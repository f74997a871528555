"""The figures of a comparison: intervals, standings, wealth; one dot and bar, or line, a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.comparing.configs import MOST_SHOWN, value_text
from experiments.comparing.rows import REFERENCE
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import date_axis, log_axis, plot_seeds, set_margins
from experiments.reports.figures import drawn_wealth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agents.rollout import Trajectory
    from experiments.comparing.comparison import Comparison
    from experiments.comparing.rows import Row

PALETTE = (*style.AGENTS.values(), *style.MORE_AGENTS)
DASHES = ("-", "--", ":")
EQUAL = style.Line("#222222", 1.3, "-", 4)


def line(index: int) -> style.Line:
    """The look of the row at this place: colours first, then dashes."""
    dash = DASHES[index // len(PALETTE) % len(DASHES)]
    return style.Line(PALETTE[index % len(PALETTE)], 1.8, dash, 5)


def intervals(rows: Sequence[Row], fig: Figure, narrow: bool) -> None:
    """Growth, Sharpe ratio and growth less equal weight: a dot and a bar for each row."""
    titles = ["CAGR, %", "Sharpe ratio", "CAGR less equal weight, points"][: shown(rows)]
    axes = panels(fig, len(titles), len(rows), narrow)
    for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        scale = 1.0 if k == 1 else 100.0
        for y, row in enumerate(rows):
            metrics = row.evidence.strategies[row.strategy].metrics
            d, e = row.less_reference, metrics[("cagr", "sharpe")[k % 2]]
            found: Any = d if k == 2 else e
            if found is None or found.value is None:
                continue
            low, high = (None if x is None else x * scale for x in (found.low, found.high))
            sure = k < 2 or row.verdict in ("better", "worse")
            dot_and_bar(ax, y, found.value * scale, low, high, sure)
        if k == 2:
            ax.axvline(0, color=style.INK, linewidth=1)
        ax.set_title(title)
    name_rows(axes, rows, narrow)


def shown(rows: Sequence[Row]) -> int:
    """Panels of `intervals`: without equal weight there is no difference from it."""
    return 3 if any(row.less_reference is not None for row in rows) else 2


def standings(comparison: Comparison, fig: Figure, narrow: bool) -> None:
    """Mean rank of every row with its interval, and the measure less that of the best row."""
    statistics, rows = comparison.statistics, comparison.rows
    if statistics is None or statistics.best is None:
        return
    best, metric = statistics.best, BY_NAME[statistics.measure]
    scale = 100.0 if metric.unit == "percent" else 1.0
    axes = panels(fig, 2, len(rows), narrow)
    for y, standing in enumerate(statistics.standings):
        if standing is not None:
            dot_and_bar(axes[0], y, standing.mean, standing.low, standing.high)
        pair = statistics.pairs.get((y, best)) or statistics.pairs.get((best, y))
        if pair is not None:
            sign = scale if (y, best) in statistics.pairs else -scale
            low, high = sorted((pair.low * sign, pair.high * sign))
            sure = pair.p_holm < 1 - statistics.settings["level"]
            dot_and_bar(axes[1], y, pair.value * sign, low, high, sure)
    axes[0].set_title("Rank, 1 is the best")
    axes[0].set_xlim(0.7, max(len(rows), 2) + 0.3)
    unit = ", points" if metric.unit == "percent" else ""
    axes[1].set_title(f"{metric.label} less that of row {best + 1}{unit}")
    axes[1].axvline(0, color=style.INK, linewidth=1)
    name_rows(axes, rows, narrow)
    axes[0].locator_params(axis="x", integer=True)


def shared_reference(rows: Sequence[Row]) -> Trajectory | None:
    """The equal weight that all rows have in common; None where they have not, or it is a row."""
    first = rows[0].reference
    if first is None or any(row.strategy == REFERENCE for row in rows):
        return None
    for row in rows:
        other = row.reference
        if other is None or not (
            np.array_equal(first.dates, other.dates)
            and np.array_equal(first.net_return, other.net_return)
        ):
            return None
    return first


def wealth(rows: Sequence[Row], fig: Figure, narrow: bool) -> None:
    """Wealth of every row, and of the equal weight that they share; by step where dates are made
    up."""
    ax = fig.subplots()
    set_margins(fig, left=44, right=14, top=26, bottom=28)
    low, high = 1.0, 1.0
    dated = all(row.evidence.window["real_dates"] for row in rows)
    reference = shared_reference(rows)
    drawn = [(line(y), row.trajectories) for y, row in enumerate(rows)]
    if reference is not None:
        drawn.append((EQUAL, [reference]))
    for look, runs in drawn:
        times = [np.r_[t.decision_dates[:1], t.dates] for t in runs]
        paths = [
            (days if dated else np.arange(len(days)), drawn_wealth(t))
            for days, t in zip(times, runs, strict=True)
        ]
        plot_seeds(ax, look, paths, geometric=True)
        whole = (w for (_, w), t in zip(paths, runs, strict=True) if not t.ruined)
        low = min([low, *(float(w.min()) for w in whole)])
        high = max([high, *(float(w.max()) for _, w in paths)])
    log_axis(ax, low, high)
    start = "start = 1 (log scale)" + ("" if dated else ", by step")
    ax.set_title(f"Wealth, {start}")
    if dated:
        ends = [t.dates[[0, -1]] for row in rows for t in row.trajectories]
        date_axis(ax, np.sort(np.concatenate(ends)), narrow)
    else:
        ax.margins(x=0.005)


def panels(fig: Figure, count: int, n_rows: int, narrow: bool) -> Any:
    """Panels side by side that share their rows; on a phone one above the other."""
    axes: Any = fig.subplots(count if narrow else 1, 1 if narrow else count, sharey=not narrow)
    set_margins(
        fig,
        left=138 if narrow else 290,
        right=14,
        top=26,
        bottom=26,
        wspace=0.08,
        # On a phone there is room for ticks and a title between them.
        hspace=56 / (26 * max(n_rows, 1)),
    )
    return np.atleast_1d(axes)


def dot_and_bar(
    ax: Axes, y: int, value: float, low: float | None, high: float | None, sure: bool = True
) -> None:
    """A figure with its interval; hollow where it is not sure."""
    colour = line(y).colour
    if low is not None and high is not None:
        ax.plot([low, high], [y, y], color=colour, linewidth=2)
    face = colour if sure else "white"
    ax.plot(value, y, "o", color=colour, markersize=7, markeredgewidth=1.8, markerfacecolor=face)


def name_rows(axes: Sequence[Axes], rows: Sequence[Row], narrow: bool) -> None:
    """Names at the left edge, the same ones for every panel."""
    names = row_names(rows, 21 if narrow else 44)
    for ax in axes:
        ax.set_yticks(range(len(rows)), names)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=5)
        ax.grid(axis="y", visible=False)


def row_names(rows: Sequence[Row], size: int) -> list[str]:
    """Number and name of every row in at most so many characters.

    The fullest kind of name that fits all rows: strategy and settings, settings, their values, the
    folder.
    """
    kinds = [[row.title for row in rows]]
    if 0 < len(rows[0].config) <= MOST_SHOWN:
        one = len({row.strategy for row in rows}) == 1
        full = [f"{label(row.strategy)}: {row.special}" for row in rows]
        values = [", ".join(value_text(k, v) for k, v in row.config.items()) for row in rows]
        brief = [f"{label(row.strategy)}: {v}" for row, v in zip(rows, values, strict=True)]
        kinds = [full, [row.special for row in rows], values] if one else [full, brief]
    if len({row.runs for row in rows}) == 1:
        kinds = [[label(row.strategy) for row in rows]]
    kinds.append([f"{label(row.strategy)}: {row.run}" for row in rows])
    numbered = [[f"{i} · {name}" for i, name in enumerate(kind, 1)] for kind in kinds]
    fits = [kind for kind in numbered if max(map(len, kind)) <= size]
    return (fits or [[cut(name, size) for name in numbered[0]]])[0]


def cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"
