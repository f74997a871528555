"""Axes that all figures share: margins, dates, seeds as thin lines, labels at line ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation.metrics import Float
from experiments.evaluation.table import label
from experiments.reports.style import Line, spread_labels

BINS = 300
NARROWER = 500  # pixels of a figure for a phone

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_seeds(
    ax: Axes, line: Line, paths: Sequence[tuple[Any, Float]], geometric: bool = False
) -> None:
    """One bold line, the mean over seeds, and a thin one for each seed if there are several."""
    look: dict[str, Any] = {"color": line.colour, "linestyle": line.dash, "zorder": line.order}
    # A narrow figure has a third of the pixels, and what lies behind a bold line needs less.
    bins = BINS if ax.figure.bbox.width > NARROWER else BINS // 2
    if len(paths) > 1:
        for dates, y in paths:
            ax.plot(*_thinned(dates, y, bins // 2), **look, linewidth=0.7, alpha=0.45)
    # Beyond the end of the shortest run (a ruin) a mean over seeds would change its members.
    rows = min(len(y) for _, y in paths)
    stack = np.stack([y[:rows] for _, y in paths])
    mean = np.exp(np.log(stack).mean(axis=0)) if geometric else stack.mean(axis=0)
    ax.plot(*_thinned(paths[0][0][:rows], mean, bins), **look, linewidth=line.width)


def _thinned(dates: Any, y: Float, bins: int) -> tuple[Any, Float]:
    """Lowest and highest point of each of a few hundred bins: what the eye sees, in fewer bytes."""
    rows = -(-len(y) // bins)
    if rows <= 2:
        return dates, y
    keep = {0, len(y) - 1}
    for start in range(0, len(y), rows):
        part = y[start : start + rows]
        if np.isfinite(part).all():
            keep |= {start + int(part.argmin()), start + int(part.argmax())}
        else:
            keep |= set(range(start, start + len(part)))
    index = np.array(sorted(keep))
    return dates[index], y[index]


def set_margins(
    fig: Figure,
    *,
    left: float,
    right: float,
    top: float,
    bottom: float,
    hspace: float = 0.2,
    wspace: float = 0.2,
) -> None:
    w, h = fig.get_size_inches() * 72
    fig.subplots_adjust(left / w, bottom / h, 1 - right / w, 1 - top / h, wspace, hspace)


def log_axis(ax: Axes, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    ax.set_yscale("log")
    low, high = low * 0.97, high * 1.03
    ax.set_ylim(low, high)
    if high / low < 4:
        ticks = [t for t in MaxNLocator(6).tick_values(low, high) if t > 0]
    else:
        span = np.log10(high) - np.log10(low)
        step = max(1, int(np.ceil(span / 8)))
        decades = range(
            int(np.floor(np.log10(low) / step)) * step, int(np.ceil(np.log10(high))) + 1, step
        )
        few, some, many = (1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)
        marks = many if high / low < 12 else some if high / low < 300 else few
        ticks = [m * 10.0**d for d in decades for m in marks]
    ax.yaxis.set_major_locator(FixedLocator(ticks))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}" if y < 1e5 else f"{y:.0e}"))


def date_axis(ax: Axes, dates: Any, narrow: bool) -> None:
    """Ticks at round months or years of `dates`; January carries the year."""
    for shared in ax.figure.axes:
        shared.margins(x=0.005)
    # Below the lowest number of the other axis, which the first date would touch.
    ax.tick_params(axis="x", pad=7)
    room = 4 if narrow else 9
    first, last = (d.astype("datetime64[M]").astype(int) for d in (dates[0], dates[-1]))
    if last - first < 3:
        days = np.arange(dates[0].astype("datetime64[D]"), dates[-1].astype("datetime64[D]") + 1)
        ticks = days[:: -(-len(days) // room)]
        ax.set_xticks(ticks, [f"{t.item().day} {t.item():%b}" for t in ticks])
        return
    step = next((m for m in (1, 2, 3, 6, 12, 24, 36, 60, 120) if (last - first) / m <= room), 240)
    months = np.arange(-(-(first + 1) // step) * step, last + 1, step)
    ticks = months.astype("datetime64[M]")
    texts = [
        f"{t.item():%Y}" if m % 12 == 0 else f"{t.item():%b %Y}" if i == 0 else f"{t.item():%b}"
        for i, (t, m) in enumerate(zip(ticks, months, strict=True))
    ]
    ax.set_xticks(ticks.astype("datetime64[D]"), texts)


def thousands(x: float, _: int) -> str:
    return f"{x / 1e6:g}M" if abs(x) >= 1e6 else f"{x / 1e3:g}k" if abs(x) >= 1e3 else f"{x:g}"


def end_labels(ax: Axes, lines: Mapping[str, Line], ends: Sequence[tuple[str, float, str]]) -> None:
    """Name and text at the right end of each line, moved apart where they would touch.

    `ends` holds the strategy, the height of its end in data units, and a text after its name.
    """
    # Limits are computed when they are asked for; the whole drawing is not needed.
    ax.get_ylim()
    box = ax.get_window_extent()
    wanted = [min(max(ax.transData.transform((0, y))[1], box.y0), box.y1) for _, y, _ in ends]
    # Many names need more than the height of a low panel: they may reach beside its neighbours.
    more = max(6.0, (14.0 * (len(ends) - 1) - box.height) / 2)
    top = ax.figure.bbox.height - 8
    low = max(8.0, min(box.y0 - more, top - 14.0 * (len(ends) - 1)))
    high = min(top, max(box.y1 + more, low + 14.0 * (len(ends) - 1)))
    placed = spread_labels(wanted, 15, low, high)
    for (name, _, text), at, want in zip(ends, placed, wanted, strict=True):
        line = lines[name]
        height = (at - box.y0) / box.height
        start = (want - box.y0) / box.height
        ax.plot([1.002, 1.018], [start, height], transform=ax.transAxes, color=line.colour,
                linewidth=0.8, clip_on=False)  # fmt: skip
        ax.text(1.022, height, f"{short_label(name)} {text}".rstrip(), transform=ax.transAxes,
                va="center", fontsize=11, color=_darker(line.colour),
                weight="bold" if line.order == 5 else "normal")  # fmt: skip


def _darker(colour: str) -> str:
    """The colour at a lightness that is readable as text on white."""
    from matplotlib.colors import to_hex, to_rgb

    rgb = np.array(to_rgb(colour))
    luminance = float(rgb @ [0.2126, 0.7152, 0.0722])
    scale = min(1.0, 0.38 / max(luminance, 1e-9))
    return to_hex((rgb[0] * scale, rgb[1] * scale, rgb[2] * scale))


def short_label(name: str) -> str:
    short = {
        "hierarchical_risk_parity": "Hier. risk parity",
        "inverse_volatility": "Inverse vol.",
        "minimum_variance": "Min. variance",
        "maximum_sharpe": "Max. Sharpe",
    }
    return short.get(name) or label(name)


def shared_legend(
    fig: Figure, lines: Mapping[str, Line], ends: Sequence[tuple[str, float, str]], columns: int
) -> None:
    """A legend below the figure, for widths that leave no room beside the lines."""
    from matplotlib.lines import Line2D

    handles = []
    for name, _, text in ends:
        line = lines[name]
        look: dict[str, Any] = {"color": line.colour, "linestyle": line.dash}
        words = f"{short_label(name)} {text}".rstrip()
        handles.append(Line2D([], [], **look, linewidth=line.width, label=words))
    fig.legend(handles=handles, loc="lower center", ncols=columns, handlelength=1.8)
