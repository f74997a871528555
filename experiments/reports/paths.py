"""Figures of how it got there: wealth over seeds, what was invested, and the windows of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.rollout import Trajectory
from experiments.evaluation.metrics import Float
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import (
    date_axis,
    end_labels,
    log_axis,
    plot_seeds,
    set_margins,
    shared_legend,
)
from experiments.reports.figures import Run, drawn_wealth, legend_room, wealth_text, with_start

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Fewer seeds than this have no quartiles worth a band.
QUARTILES = 4
WINDOW_COLOURS = {"train": "#c9d3de", "validation": "#e6c77a", "test": "#0072B2"}
# Weights add up to 1 with rounding.
ROUNDING = 1e-9


def fanned(run: Run) -> list[str]:
    """The strategies with several seeds, none of them ruined: a fan needs common dates."""
    return [
        n
        for n in run.roles
        if len(run.trajectories[n]) > 1 and len({len(t.dates) for t in run.trajectories[n]}) == 1
    ]


def fan_panels(run: Run) -> list[tuple[str, bool]]:
    """`(strategy, relative)`: wealth, and where equal weight was run, wealth over that of it."""
    relative = [False, True] if _equal_weight(run) is not None else [False]
    return [(name, ratio) for name in fanned(run) for ratio in relative]


def draw_fan(run: Run, fig: Figure, narrow: bool) -> None:
    """For each strategy with several seeds: median, quartiles and range of wealth over seeds."""
    panels, reference = fan_panels(run), _equal_weight(run)
    axes = np.atleast_1d(fig.subplots(len(panels), 1, sharex=True))
    top, hspace = (40, 0.4) if narrow else (26, 0.3)  # on a phone a title takes two lines
    set_margins(fig, left=48, right=14 if narrow else 178, top=top, bottom=28, hspace=hspace)
    for ax, (name, relative) in zip(axes, panels, strict=True):
        runs, line = run.trajectories[name], run.lines[name]
        stack = np.stack([drawn_wealth(t) for t in runs])
        dates = with_start(runs[0])
        other = None if reference is None else drawn_wealth(reference)
        if relative and other is not None:
            stack, other = stack / other, np.ones_like(other)
        shown = [stack.min(axis=0), stack.max(axis=0), np.median(stack, axis=0)]
        keep = extremes([*shown, *([] if other is None else [other])], 55 if narrow else 110)
        dates, stack = dates[keep], stack[:, keep]
        other = None if other is None else other[keep]
        band: dict[str, Any] = {"color": line.colour, "linewidth": 0, "zorder": 3}
        ax.fill_between(dates, stack.min(axis=0), stack.max(axis=0), alpha=0.18, **band)
        if len(runs) >= QUARTILES:
            low, high = np.quantile(stack, [0.25, 0.75], axis=0)
            ax.fill_between(dates, low, high, alpha=0.32, **band)
        median = np.median(stack, axis=0)
        ax.plot(dates, median, color=line.colour, linewidth=2, zorder=4)
        ends = [(name, float(median[-1]), end_text(float(median[-1]), relative))]
        every = [stack]
        if other is not None:
            drawn = run.lines["equal_weight"]
            ax.plot(dates, other, color=drawn.colour, linewidth=drawn.width, zorder=2)
            ends.append(("equal_weight", float(other[-1]), end_text(float(other[-1]), relative)))
            every.append(other)
        what = "wealth over that of equal weight" if relative else "wealth (log scale)"
        title = f"{label(name)}, median and range of {len(runs)} seeds:"
        # No room for labels beside the lines: the title says where the median ends.
        ax.set_title(f"{title}\n{what}: ends at {ends[0][2]}" if narrow else f"{title} {what}")
        if not relative:
            low, high = (f(float(f(x)) for x in map(np.ravel, every)) for f in (min, max))
            log_axis(ax, low, high)
        if not narrow:
            end_labels(ax, run.lines, ends)
    date_axis(axes[-1], run.dates, narrow)


def _equal_weight(run: Run) -> Trajectory | None:
    """That of equal weight, if it is there on the dates of the fans."""
    names = fanned(run)
    if "equal_weight" not in run.roles or not names:
        return None
    found = run.trajectories["equal_weight"][0]
    length = len(run.trajectories[names[0]][0].dates)
    same = all(len(run.trajectories[n][0].dates) == length for n in names)
    return found if same and len(found.dates) == length else None


def end_text(value: float, relative: bool) -> str:
    """Wealth in print; a multiple of that of another with the digits that tell it from 1."""
    return f"{value:.3f}" if relative and value < 10 else wealth_text(value)


def extremes(series: Sequence[Float], bins: int) -> Any:
    """Places of the first and last point, and of the lowest and highest of each series in each
    bin: no peak or trough is lost between the points that are drawn."""
    n = len(series[0])
    keep = {0, n - 1}
    rows = max(1, -(-n // bins))
    for start in range(0, n, rows):
        for y in series:
            part = y[start : start + rows]
            keep |= {start + int(part.argmin()), start + int(part.argmax())}
    return np.array(sorted(keep))


def exposures(run: Run) -> dict[str, Any]:
    """Titles of the panels that have something to say -> series of a trajectory in percent."""
    names = [n for n in run.roles if _holds(run.trajectories[n][0])]
    every = [run.trajectories[n][0].weights for n in names]
    shorts = any(w.min() < -ROUNDING for w in every)
    if not shorts:
        return {"Invested, % of value (the rest is cash)": lambda t: 100 * t.weights[:, :-1].sum(1)}
    return {
        "Gross exposure, % of value": lambda t: 100 * np.abs(t.weights[:, :-1]).sum(axis=1),
        "Net exposure, % of value": lambda t: 100 * t.weights[:, :-1].sum(axis=1),
        "Cash, % of value": lambda t: 100 * t.weights[:, -1],
    }


def always_invested(run: Run) -> bool:
    """Whether no strategy ever holds more than a hundredth of a percent of cash, or a short."""
    every = (t.weights for n in run.roles for t in run.trajectories[n] if _holds(t))
    return all(w.min() >= -ROUNDING and w[:, -1].max() <= 1e-4 for w in every)


def draw_exposure(run: Run, fig: Figure, narrow: bool) -> None:
    """What is invested over time; with shorts gross, net and cash."""
    panels = exposures(run)
    axes = np.atleast_1d(fig.subplots(len(panels), 1, sharex=True))
    bottom = legend_room(run, narrow)
    set_margins(fig, left=44, right=14 if narrow else 178, top=26, bottom=bottom, hspace=0.32)
    ends: list[tuple[str, float, str]] = []
    for ax, (title, series) in zip(axes, panels.items(), strict=True):
        ends = []
        for name, line in run.lines.items():
            runs = run.trajectories[name]
            if not _holds(runs[0]):
                continue
            plot_seeds(ax, line, [(t.decision_dates, series(t)) for t in runs])
            ends.append((name, float(np.mean([series(t)[-1] for t in runs])), ""))
        ax.set_title(title)
        low, high = ax.get_ylim()
        if high - low < 5:  # always all but invested: a cent of cash is no movement
            ax.set_ylim(low - 5, high + 1)
    date_axis(axes[-1], run.dates, narrow)
    if narrow:
        shared_legend(fig, run.lines, ends, 2)
    else:
        end_labels(axes[-1], run.lines, ends)


def _holds(t: Trajectory) -> bool:
    """Whether weights are known: those of an index are zeros, or one of a single symbol."""
    return t.name != "benchmark" and bool(abs(t.weights[0].sum() - 1.0) < 1e-6)


def windows_of(splits: Mapping[str, Sequence[Any]]) -> list[dict[str, tuple[Any, Any]]]:
    """`train 2 -> (first decision, last return)` as a list of windows, each by its part."""
    found: dict[str, dict[str, tuple[Any, Any]]] = {}
    for key, span in splits.items():
        part, _, number = key.partition(" ")
        try:
            days = tuple(np.datetime64(str(d).replace(" ", "T"), "D") for d in span[:2])
        except ValueError:
            return []
        found.setdefault(number, {})[part] = (days[0], days[1])
    return list(found.values())


def draw_windows(splits: Mapping[str, Sequence[Any]], fig: Figure, narrow: bool) -> None:
    """A row for each window: what was trained on, chosen on and tested on."""
    from matplotlib.patches import Patch

    windows = windows_of(splits)
    ax = fig.subplots()
    set_margins(fig, left=78 if narrow else 90, right=14, top=10, bottom=56)
    for row, window in enumerate(windows):
        for part, (first, last) in window.items():
            start, length = first.astype(object), (last - first).astype(object)
            ax.barh(row, length, 0.62, left=start, linewidth=0,
                    color=WINDOW_COLOURS.get(part, style.OTHER))  # fmt: skip
    several = len(windows) > 1
    ax.set_yticks(range(len(windows)), [f"window {k + 1}" if several else "this run"
                                        for k in range(len(windows))])  # fmt: skip
    ax.set_ylim(len(windows) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    days = [d for w in windows for span in w.values() for d in span]
    date_axis(ax, np.array([min(days), max(days)], dtype="datetime64[ns]"), narrow)
    parts = list(dict.fromkeys(p for w in windows for p in w))
    handles = [Patch(color=WINDOW_COLOURS.get(p, style.OTHER), label=p) for p in parts]
    fig.legend(handles=handles, loc="lower center", ncols=len(parts), handlelength=1)
