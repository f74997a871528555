"""Where the growth came from: the section of the report, its table and its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation.attribution import ROUNDING
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import set_margins
from experiments.reports.figures import Run
from experiments.reports.html import paragraph, section, swatch, table
from experiments.reports.style import figure_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 12


def attribution_section(run: Run, found: Mapping[str, Any]) -> str:
    """The section; empty where nothing was attributed."""
    known = attributed(run, found)
    if not known:
        return ""
    shown = [n for n in run.focus() if n in known]
    parts = [paragraph(sentence(run, found, name)) for name in shown]
    if shown:
        rows = len(bars(found, shown)[0])
        parts.append(
            figure_html(
                "sources",
                partial(draw_attribution, run, found, shown),
                (60 + (12 + 16 * len(shown)) * rows, 70 + (12 + 16 * len(shown)) * rows),
                "Growth a year by asset, cash and kind of cost of "
                f"{', '.join(label(n) for n in shown)}; the parts add up to the total.",
                "Growth in log points a year. Assets are ranked by the size of what they added or "
                "took; the smallest are drawn together.",
            )
        )
    reasons = [
        f"{label(n)}: {s['reason']}." for n, s in found["strategies"].items() if "reason" in s
    ]
    parts += [
        "<h3>From gross to net</h3>",
        table_html(run, found, known),
        paragraph(
            "Log points a year, so that they add up: each step's parts are linked by "
            "log(1 + r) / r (Carino 1999). The total is the logarithm of final wealth a year, mean "
            "over seeds. " + " ".join(reasons),
            "note",
        ),
    ]
    return section("attribution", "Where it came from", *parts)


def attributed(run: Run, found: Mapping[str, Any]) -> list[str]:
    """The strategies whose growth was split, in the order of the report."""
    each = found.get("strategies", {})
    return [n for n in run.roles if n in each and "reason" not in each[n]]


def sentence(run: Run, found: Mapping[str, Any], name: str) -> str:
    """The assets that added and took most, and what the costs took."""
    strategy = found["strategies"][name]
    order = np.argsort(strategy["assets"])
    symbols = found["symbols"]
    best, worst = int(order[-1]), int(order[0])
    costs = sum(strategy["costs"].values())
    words = (
        f"{label(name)} grew by {_points(strategy['total'])} log points a year: "
        f"{_points(sum(strategy['assets']))} from assets"
    )
    if abs(strategy["cash"]) > ROUNDING:
        words += f", {_points(strategy['cash'])} from cash"
    words += f", {_points(costs)} for costs."
    if len(symbols) > 1:
        words += f" Of the assets, {symbols[best]} added most ({_points(strategy['assets'][best])})"
        words += f" and {symbols[worst]} least ({_points(strategy['assets'][worst])})."
    return words


def bars(found: Mapping[str, Any], names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """`(labels, values [bars, strategies])`: largest assets, the rest, cash, costs, total."""
    each = [found["strategies"][n] for n in names]
    assets = np.array([s["assets"] for s in each]).T
    size = np.abs(assets).max(axis=1)
    rank = np.argsort(-size, kind="stable")
    most = len(rank) if len(rank) <= NAMED else NAMED - 1
    top = [int(i) for i in rank[:most]]
    labels, values = [found["symbols"][i] for i in top], [assets[i] for i in top]
    if len(rank) > most:
        labels.append(f"{len(rank) - most} others")
        values.append(assets[rank[most:]].sum(axis=0))

    def add(words: str, part: Any) -> None:
        made = np.array([part(s) for s in each])
        if np.abs(made).max() > ROUNDING:
            labels.append(words)
            values.append(made)

    add("cash", lambda s: s["cash"])
    for kind in dict.fromkeys(k for s in each for k in s["costs"]):
        add(kind, lambda s, kind=kind: s["costs"].get(kind, 0.0))
    add("other", lambda s: s["other"])
    return [*labels, "total, net"], np.array([*values, [s["total"] for s in each]])


def table_html(run: Run, found: Mapping[str, Any], names: Sequence[str]) -> str:
    """Strategies by assets, cash, kinds of cost and total."""
    each = {n: found["strategies"][n] for n in names}
    kinds = list(dict.fromkeys(k for s in each.values() for k in s["costs"] if s["costs"][k] != 0))
    other = any(abs(s["other"]) > ROUNDING for s in each.values())
    heads = ["Strategy", "Assets", "Cash", *(k.capitalize() for k in kinds)]
    heads += ["Margin calls", "Total, net"] if other else ["Total, net"]
    rows = []
    for name, s in each.items():
        values = [sum(s["assets"]), s["cash"], *(s["costs"].get(k, 0.0) for k in kinds)]
        values += [s["other"]] if other else []
        cells = [f"<td>{escape(_points(v))}</td>" for v in values]
        cells.append(f"<td><b>{escape(_points(s['total']))}</b></td>")
        rows.append((swatch(run, name) + escape(label(name)), cells))
    return table(heads, rows, "Growth by source")


def _points(value: float) -> str:
    """Log points with a sign: two decimals, one from 10 on."""
    points = value * 100.0
    text = f"{points:+.{1 if abs(points) >= 10 else 2}f}".replace("-", "−")
    return "0.00" if text in ("+0.00", "−0.00") else text


def draw_attribution(
    run: Run, found: Mapping[str, Any], names: Sequence[str], fig: Figure, narrow: bool
) -> None:
    """Bars of each part, one for each strategy; the total last, behind a line."""
    labels, values = bars(found, names)
    ax = fig.subplots()
    longest = max(len(text) for text in labels)
    left = min(16 + 7 * longest, 110 if narrow else 200)
    legend = 22 if len(names) > 1 else 0
    set_margins(fig, left=left, right=50, top=26, bottom=28 + legend)
    height = 0.72 / len(names)
    for k, name in enumerate(names):
        y = np.arange(len(labels)) + (k - (len(names) - 1) / 2) * height
        ax.barh(y, values[:, k] * 100, height * 0.9, linewidth=0, color=run.lines[name].colour,
                label=label(name))  # fmt: skip
        for at, value in zip(y, values[:, k], strict=True):
            ax.annotate(_points(value), (value * 100, at), xytext=(-4 if value < 0 else 4, 0),
                        textcoords="offset points", va="center", fontsize=9, color=style.MUTED,
                        ha="right" if value < 0 else "left")  # fmt: skip
    ax.axvline(0, color=style.INK, linewidth=0.8)
    ax.axhline(len(labels) - 1.5, color=style.MUTED, linewidth=0.8)
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    low, high = min(0.0, float(values.min()) * 100), max(0.0, float(values.max()) * 100)
    room = (0.26 if narrow else 0.1) * max(high - low, 1e-9)
    ax.set_xlim(low - (room if low < 0 else 0.0), high + room)
    ax.set_title("Growth by source, log points a year (%)")
    if len(names) > 1:
        fig.legend(loc="lower center", ncols=3, handlelength=1, handleheight=1)
