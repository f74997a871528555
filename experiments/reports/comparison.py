"""The page of `experiments.compare`: a table, intervals by run, and wealth."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reports import style
from experiments.reports.axes import date_axis, log_axis, plot_seeds, set_margins
from experiments.reports.figures import drawn_wealth
from experiments.reports.report import page_html
from experiments.reports.tables import scroll_box

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.compare import Row

PALETTE = (*style.AGENTS.values(), *style.MORE_AGENTS)
DASHES = ("-", "--", ":")


def comparison_page(
    rows: Sequence[Row], table: tuple[list[str], list[list[str]]], warnings: Sequence[str]
) -> str:
    """The whole page as HTML; equal input gives equal bytes."""
    heads, cells = table
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    body = "".join(
        f'<tr><th scope="row">{_swatch(i)}{i + 1} {escape(line[0])}</th>'
        + "".join(f"<td>{_cell(c)}</td>" for c in line[1:])
        + "</tr>"
        for i, line in enumerate(cells)
    )
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    notes = "".join(f"<li>{escape(w)}</li>" for w in warnings)
    count = len(rows)
    figures = [
        style.figure_html(
            "intervals",
            partial(intervals, rows),
            (64 + 30 * count, 3 * (56 + 26 * count)),
            "Growth, Sharpe ratio and growth less equal weight of every row, with intervals; the "
            "table holds the numbers.",
            "Dot: the figure on the days as they came. Bar: its bootstrap interval.",
        ),
        style.figure_html(
            "wealth",
            partial(wealth, rows),
            (440, 380),
            "Wealth of every row over its test window, on a logarithmic axis.",
            "Thin lines are the seeds, bold lines their geometric mean; colours as in the table.",
        ),
    ]
    parts = [
        f"<header><h1>{count} results side by side</h1></header>",
        f'{scroll_box(grid, "Results by run")}<ul class="note">{notes}</ul>',
        *figures,
        _configs(rows),
    ]
    css = files("experiments.reports").joinpath("report.css").read_text(encoding="utf-8")
    return page_html("Comparison", css, "\n".join(parts))


def _configs(rows: Sequence[Row]) -> str:
    """Every key of the config that differs, one column a row of the table above."""
    if not rows[0].config:
        return ""
    head = "".join(f'<th scope="col">{_swatch(i)}{i + 1}</th>' for i, r in enumerate(rows))
    body = "".join(
        f'<tr><th scope="row">{escape(key)}</th>'
        + "".join(f"<td>{_value(r.config[key])}</td>" for r in rows)
        + "</tr>"
        for key in rows[0].config
    )
    start = '<table><thead><tr><th scope="col">Key</th>'
    grid = f"{start}{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>What differs in the configs</h2>{scroll_box(grid, 'Configs')}"


def intervals(rows: Sequence[Row], fig: Figure, narrow: bool) -> None:
    """Growth, Sharpe ratio and growth less equal weight: a dot and a bar for each row."""
    axes: Any = fig.subplots(3 if narrow else 1, 1 if narrow else 3, sharey=not narrow)
    set_margins(
        fig,
        left=138 if narrow else 280,
        right=14,
        top=26,
        bottom=26,
        wspace=0.08,
        # On a phone the panels stand one above the other, with room for ticks and a title.
        hspace=56 / (26 * max(len(rows), 1)),
    )
    titles = ("CAGR, %", "Sharpe ratio", "CAGR less equal weight, points")
    for k, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        scale = 1.0 if k == 1 else 100.0
        for y, row in enumerate(rows):
            metrics = row.evidence.strategies[row.strategy].metrics
            e = row.less_reference if k == 2 else metrics[("cagr", "sharpe")[k]]
            if e is None or e.value is None:
                continue
            colour = line(y).colour
            if e.low is not None and e.high is not None:
                ax.plot([e.low * scale, e.high * scale], [y, y], color=colour, linewidth=2)
            ax.plot(e.value * scale, y, "o", color=colour, markersize=7)
        if k == 2:
            ax.axvline(0, color=style.INK, linewidth=1)
        ax.set_title(title)
        size = 21 if narrow else 42
        ax.set_yticks(
            range(len(rows)), [_cut(f"{i} {row.title}", size) for i, row in enumerate(rows, 1)]
        )
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.locator_params(axis="x", nbins=5)
        ax.grid(axis="y", visible=False)


def wealth(rows: Sequence[Row], fig: Figure, narrow: bool) -> None:
    """Wealth of every row."""
    ax = fig.subplots()
    set_margins(fig, left=44, right=14, top=26, bottom=28)
    low, high = 1.0, 1.0
    dates = np.sort(np.concatenate([t.dates[[0, -1]] for row in rows for t in row.trajectories]))
    for y, row in enumerate(rows):
        paths = [(np.r_[t.decision_dates[:1], t.dates], drawn_wealth(t)) for t in row.trajectories]
        plot_seeds(ax, line(y), paths, geometric=True)
        whole = (w for (_, w), t in zip(paths, row.trajectories, strict=True) if not t.ruined)
        low = min([low, *(float(w.min()) for w in whole)])
        high = max([high, *(float(w.max()) for _, w in paths)])
    log_axis(ax, low, high)
    ax.set_title("Wealth, start = 1 (log scale)")
    date_axis(ax, dates, narrow)


def line(index: int) -> style.Line:
    """The look of the row at this place: colours first, then dashes."""
    dash = DASHES[index // len(PALETTE) % len(DASHES)]
    return style.Line(PALETTE[index % len(PALETTE)], 1.8, dash, 5)


def _swatch(index: int) -> str:
    kind = {"-": "solid", ":": "dotted"}.get(line(index).dash, "dashed")
    return f'<span class="swatch" style="border-top:3px {kind} {line(index).colour}"></span>'


def _cell(text: str) -> str:
    value, bracket, interval = text.partition(" [")
    return escape(value) + (f"<small>[{escape(interval)}</small>" if bracket else "")


def _value(value: Any) -> str:
    return "—" if value is None else escape(str(value))


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"
