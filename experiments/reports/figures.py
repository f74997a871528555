"""The figures of the report, each a function that fills a matplotlib `Figure`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.rollout import Trajectory
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.metrics import Float, drawdown
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import (
    date_axis,
    end_labels,
    log_axis,
    plot_seeds,
    set_margins,
    shared_legend,
    short_label,
)  # fmt: skip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROLLING = 252
TURNOVER_ROWS = 21
NAMED_ASSETS = 8
# Wealth of a ruined run is drawn down to FLOOR, for a logarithm has no zero; what grows beyond
# CEILING, on broken prices say, is drawn there.
FLOOR, CEILING = 1e-3, 1e30


@dataclass(frozen=True)
class Run:
    """What the figures are drawn from."""

    evidence: Evidence
    trajectories: Mapping[str, Sequence[Trajectory]]

    @property
    def roles(self) -> dict[str, str]:
        return {name: s.role for name, s in self.evidence.strategies.items()}

    @property
    def lines(self) -> dict[str, style.Line]:
        return style.lines(self.roles)

    @property
    def dates(self) -> Any:
        """Those of the longest run."""
        runs = (t for name in self.roles for t in self.trajectories[name])
        return max(runs, key=lambda t: len(t.dates)).dates

    def focus(self) -> list[str]:
        """The strategies shown in detail: the agents, or else the baseline that grew fastest,
        those chosen with hindsight aside."""
        agents = self.evidence.of_role("agent")
        if agents:
            return agents
        names = [
            n
            for n in self.evidence.of_role("baseline")
            if n != "equal_weight" and not self.evidence.strategies[n].hindsight
        ]
        names = names or list(self.evidence.strategies)

        def growth(name: str) -> float:
            value = self.evidence.strategies[name].metrics["cagr"].value
            return -np.inf if value is None else value

        return [max(names, key=growth)]


def wealth(run: Run, fig: Figure, narrow: bool) -> None:
    """Wealth on a logarithmic axis, and the drawdown of a few strategies below it."""
    top, below = fig.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    set_margins(fig, left=44, right=14 if narrow else 178, top=26, bottom=legend_room(run, narrow))
    ends: list[tuple[str, float, str]] = []
    lows, highs = [1.0], [1.0]
    for name, line in run.lines.items():
        runs = run.trajectories[name]
        paths = [(with_start(t), drawn_wealth(t)) for t in runs]
        lows += [float(w.min()) for (_, w), t in zip(paths, runs, strict=True) if not t.ruined]
        highs += [float(w.max()) for _, w in paths]
        plot_seeds(top, line, paths, geometric=True)
        last = float(np.exp(np.mean([np.log(value[-1]) for _, value in paths])))
        ruined = any(t.ruined for t in runs)
        ends.append((name, last, "(ruined)" if ruined else wealth_text(last)))
        if name in with_drawdown(run):
            plot_seeds(below, line, [(t.dates, -drawdown(t.net_return) * 100) for t in runs])
    log_axis(top, min(lows), max(highs))
    top.set_title("Wealth, start = 1 (log scale)")
    below.set_title("Drawdown, %")
    below.set_ylim(top=0)
    date_axis(below, run.dates, narrow)
    if narrow:
        shared_legend(fig, run.lines, ends, 2)
    else:
        end_labels(top, run.lines, ends)


def with_drawdown(run: Run) -> list[str]:
    """The strategies whose drawdown is drawn: those in focus, and equal weight."""
    return list(dict.fromkeys([*run.focus(), *(n for n in run.roles if n == "equal_weight")]))


def drawn_wealth(t: Trajectory) -> Float:
    """Wealth within [FLOOR, CEILING], which an axis can show; beyond any number is high."""
    return np.clip(np.nan_to_num(t.value, nan=CEILING), FLOOR, CEILING)


def clipped(run: Run) -> bool:
    """Whether the wealth of some strategy that is not ruined leaves the axis."""
    runs = (t for name in run.roles for t in run.trajectories[name] if not t.ruined)
    return any(bool((drawn_wealth(t) != t.value).any()) for t in runs)


def wealth_text(value: float) -> str:
    """Wealth in print: `1.87`, `3.2e+07`, `over 1e+12`."""
    # A mean through logarithms may round to just below the ceiling.
    if not value < CEILING * (1 - 1e-9):
        return f"over {CEILING:.0e}"
    return f"{value:.2f}" if value < 1e6 else f"{value:.1e}"


def rolling_sharpe(run: Run, fig: Figure, narrow: bool) -> None:
    """Sharpe ratio of the last `rolling_rows(run)` steps."""
    rows = rolling_rows(run)
    ax = fig.subplots()
    set_margins(fig, left=44, right=14 if narrow else 178, top=26, bottom=legend_room(run, narrow))
    ax.axhline(0, color=style.MUTED, linewidth=0.8)
    ends: list[tuple[str, float, str]] = []
    for name, line in run.lines.items():
        paths = []
        for t in run.trajectories[name]:
            ratio = _rolling_ratio(t.net_return - t.cash_return, rows) * np.sqrt(t.periods_per_year)
            if len(ratio):
                paths.append((t.dates[rows - 1 :], ratio))
        if paths:
            plot_seeds(ax, line, paths)
            finite = [r[-1] for _, r in paths if np.isfinite(r[-1])]
            ends.append((name, float(np.mean(finite)) if finite else 0.0, ""))
    ax.set_title(f"Sharpe ratio of the last {rows} steps")
    date_axis(ax, run.dates[rows - 1 :], narrow)
    if narrow:
        shared_legend(fig, run.lines, ends, 2)
    else:
        end_labels(ax, run.lines, ends)


def rolling_rows(run: Run) -> int:
    """Rows of the rolling window: a year, or half of a short test window; 0 if under 20 rows."""
    steps = int(run.evidence.window["steps"])
    rows = ROLLING if steps > 1.5 * ROLLING else steps // 2
    return rows if rows >= 20 else 0


def pairs(run: Run) -> tuple[list[str], list[tuple[str, list[tuple[str, str]]]]]:
    """Who is compared, and `row label -> (one, other)` pairs: rows are the baselines, or in a run
    without agents those that are compared with the first."""
    evidence = run.evidence
    compared = evidence.compared
    if evidence.of_role("agent"):
        others = list(dict.fromkeys(d.baseline for d in evidence.differences))
        return compared, [(other, [(a, other) for a in compared]) for other in others]
    first = evidence.differences[0].baseline if evidence.differences else ""
    return compared, [(name, [(name, first)]) for name in compared]


def differences(run: Run, fig: Figure, narrow: bool) -> None:
    """Forest plot: one less the other with its interval, growth and Sharpe ratio, and Holm's p."""
    from matplotlib.ticker import MaxNLocator

    evidence = run.evidence
    _, rows = pairs(run)
    agents = bool(evidence.of_role("agent"))
    axes: Any = fig.subplots(2 if narrow else 1, 1 if narrow else 2, sharey=not narrow)
    set_margins(
        fig, left=118 if narrow else 176, right=58, top=26, bottom=48, hspace=0.32,
        wspace=0.32,
    )  # fmt: skip
    titles = ("CAGR, points" if narrow else "Growth (CAGR), percentage points", "Sharpe ratio")
    for ax, measure, title, scale in zip(axes, ("cagr", "sharpe"), titles, (100, 1), strict=True):
        ax.axvline(0, color=style.INK, linewidth=1)
        for row, (_, members) in enumerate(rows):
            step = 0.72 / len(members)
            for k, (one, other) in enumerate(members):
                d = evidence.difference(one, other, measure)
                if d is None or d.value is None:
                    continue
                colour = run.lines[one].colour
                y = row + (k - (len(members) - 1) / 2) * step
                if d.low is not None and d.high is not None:
                    ax.plot([d.low * scale, d.high * scale], [y, y], color=colour, linewidth=2)
                sure = d.verdict in ("better", "worse")
                ax.plot(d.value * scale, y, "o", color=colour, markersize=7, markeredgewidth=1.8,
                        markerfacecolor=colour if sure else "white")  # fmt: skip
                if d.p_holm is not None:
                    ax.text(1.015, y, p_text(d.p_holm), transform=ax.get_yaxis_transform(),
                            va="center", fontsize=10, color=style.MUTED,
                            weight="bold" if d.p_holm < 0.05 else "normal")  # fmt: skip
        if any(d.p_holm is not None for d in evidence.differences if d.measure == measure):
            ax.text(1.015, 1.0, "Holm p", transform=ax.transAxes, va="bottom", fontsize=10,
                    color=style.MUTED)  # fmt: skip
        ax.set_title(title)
        names = [short_label(n) if narrow else label(n) for n, _ in rows]
        ax.set_yticks(range(len(rows)), names)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.xaxis.set_major_locator(MaxNLocator(4 if narrow else 6))
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.08)
    first = rows[0][1][0][1] if rows else ""
    words = (
        "← baseline ahead\u2003\u2003agent ahead →"
        if agents
        else f"← {label(first).lower()} ahead\u2003\u2003it is behind →"
    )
    fig.text(0.5, 8 / (fig.get_figheight() * 72), words, ha="center", color=style.MUTED)


def p_text(p: float) -> str:
    """A p-value as short as it may be: `<0.001`, `0.012`, `0.34`."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def weights(run: Run, fig: Figure, narrow: bool) -> None:
    """Weights over time as stacked areas: largest assets by name, the rest together, and cash."""
    names = run.focus()
    axes = np.atleast_1d(fig.subplots(len(names), 1, sharex=True))
    largest = _largest_assets([run.trajectories[n][0] for n in names])
    set_margins(
        fig,
        left=44,
        right=14 if narrow else 150,
        top=26,
        bottom=40 + 16 * -(-(len(largest) + 2) // 3) if narrow else 28,
        hspace=0.25,
    )
    for ax, name in zip(axes, names, strict=True):
        t = run.trajectories[name][0]
        seed = "" if t.seed is None else f", seed {t.seed}"
        ax.set_title(f"{label(name)}{seed}: weights, %")
        rows = max(1, int(np.ceil(len(t.dates) / (100 if narrow else 200))))
        held = _binned(t.weights, rows) * 100
        dates = t.decision_dates[::rows][: len(held)]
        bands = [(t.symbols[i], held[:, i], style.ASSETS[k % 8]) for k, i in enumerate(largest)]
        rest = [i for i in range(len(t.symbols)) if i not in largest]
        if rest:
            bands.append((f"{len(rest)} others", held[:, rest].sum(axis=1), style.OTHER))
        bands.append(("cash", held[:, -1], style.CASH))
        up, down = np.zeros(len(held)), np.zeros(len(held))
        for text, band, colour in bands:
            plus, minus = np.maximum(band, 0), np.minimum(band, 0)
            ax.fill_between(
                dates, up, up + plus, color=colour, linewidth=0, step="post", label=text
            )
            if minus.any():
                ax.fill_between(dates, down, down + minus, color=colour, linewidth=0, step="post")
            up, down = up + plus, down + minus
        ax.set_ylim(min(0.0, float(down.min())), max(100.0, float(up.max())))
        ax.margins(x=0)
        ax.grid(visible=False)
        handles, texts = ax.get_legend_handles_labels()
        if not narrow:
            ax.legend(handles[::-1], texts[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5),
                      handlelength=1, handleheight=1)  # fmt: skip
    if narrow:
        fig.legend(handles, texts, loc="lower center", ncols=3, handlelength=1, handleheight=1)
    date_axis(axes[-1], run.dates, narrow)


def trading(run: Run, fig: Figure, narrow: bool) -> None:
    """Active share, turnover and cumulative cost."""
    axes = fig.subplots(3, 1, sharex=True)
    bottom = legend_room(run, narrow)
    set_margins(fig, left=44, right=14 if narrow else 178, top=26, bottom=bottom, hspace=0.32)
    ends: list[tuple[str, float, str]] = []
    for name, line in run.lines.items():
        if run.roles[name] == "benchmark":
            continue
        for ax, value in zip(axes, (_active, _turnover, _paid), strict=True):
            plot_seeds(ax, line, [(t.dates, value(t)) for t in run.trajectories[name]])
        paid = float(np.mean([_paid(t)[-1] for t in run.trajectories[name]]))
        ends.append((name, paid, f"{paid:.2f} %"))
    axes[0].set_title("Active share against 1/N, %")
    axes[1].set_title(f"Turnover a step, % of value (mean of {TURNOVER_ROWS} steps)")
    axes[2].set_title("Costs so far: sum of the steps' % of value")
    # The first purchase is not what a strategy trades from day to day: it leaves the panel.
    later = [_turnover(t)[TURNOVER_ROWS:] for n, r in run.roles.items() if r != "benchmark"
             for t in run.trajectories[n]]  # fmt: skip
    top = max((float(x.max()) for x in later if len(x)), default=0.0)
    for ax in axes:
        ax.set_ylim(bottom=0)
    if top > 0:
        axes[1].set_ylim(0, 1.15 * top)
    date_axis(axes[-1], run.dates, narrow)
    if narrow:
        shared_legend(fig, run.lines, ends, 2)
    else:
        end_labels(axes[2], run.lines, ends)


def legend_room(run: Run, narrow: bool) -> float:
    """Height below the lowest axes: for the dates, and on a phone for a legend of two columns."""
    return 34 + 16 * -(-len(run.roles) // 2) if narrow else 28


# --------------------------------------------------------------------------- series
def with_start(t: Trajectory) -> Any:
    return np.r_[t.decision_dates[:1], t.dates]


def _active(t: Trajectory) -> Float:
    return _trailing_mean(t.active_share, TURNOVER_ROWS) * 100


def _turnover(t: Trajectory) -> Float:
    return _trailing_mean(t.turnover, TURNOVER_ROWS) * 100


def _paid(t: Trajectory) -> Float:
    return np.cumsum(np.broadcast_to(t.total_cost, t.turnover.shape)) * 100


def _trailing_mean(x: Float, rows: int) -> Float:
    """Mean of the last `rows` values; of all so far at the start."""
    total = np.r_[0.0, np.cumsum(x)]
    end = np.arange(1, len(x) + 1)
    start = np.maximum(end - rows, 0)
    return (total[end] - total[start]) / (end - start)


def _rolling_ratio(excess: Float, rows: int) -> Float:
    if len(excess) < rows:
        return np.empty(0)
    view = np.lib.stride_tricks.sliding_window_view(excess, rows)
    deviation = view.std(axis=1, ddof=1)
    fine = deviation > 1e-12
    return np.where(fine, view.mean(axis=1) / np.where(fine, deviation, 1.0), np.nan)


def _binned(x: Float, rows: int) -> Float:
    """Means of consecutive groups of `rows` rows; the last group may be shorter."""
    starts = np.arange(0, len(x), rows)
    return np.add.reduceat(x, starts, axis=0) / np.diff(np.r_[starts, len(x)])[:, None]


def _largest_assets(runs: Sequence[Trajectory]) -> list[int]:
    mean = np.mean([np.abs(t.weights[:, :-1]).mean(axis=0) for t in runs], axis=0)
    named = len(mean) if len(mean) <= NAMED_ASSETS else NAMED_ASSETS - 1
    return sorted(np.argsort(-mean, kind="stable")[:named].tolist())
