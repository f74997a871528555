"""What costs, delay and size do to the result: the section of the report and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import label
from experiments.reports import style
from experiments.reports.axes import end_labels, set_margins, shared_legend, short_label
from experiments.reports.figures import Run
from experiments.reports.html import paragraph, section, swatch, table
from experiments.reports.style import figure_html
from experiments.reports.summary import REFERENCE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAGR = BY_NAME["cagr"]
CASH = "cash"
# Growth beyond this is drawn at the edge: a strategy of the literature may grow 1e6 % a year.
HIGHEST, LOWEST = 10.0, -0.999


def robustness_section(run: Run, found: Mapping[str, Any]) -> str:
    """The section; empty where nothing was replayed."""
    known = replayed(run, found)
    if not known:
        return ""
    last = found["factors"][-1]
    size = _sizes_in_words(found)
    costs = figure_html(
        "costs",
        partial(draw_costs, run, found),
        (400, 400 + 18 * len(known) // 2 + (300 if size else 0)),
        f"Growth a year of every strategy at 0 to {last:g} times the costs"
        + (", and where orders move prices." if size else ".")
        + f" {_costs_in_words(found, known)}",
        "The trades of the run, made again at other costs: 1 is as stated, 0 is free trading"
        + (f". {size}" if size else ". " + _no_impact(found))
        + (" Growth is the mean over seeds." if _seeds(run, known) else ""),
    )
    rows = len(known)
    late = any(mean(v) is not None for n in known for v in found["strategies"][n]["delays"])
    delays = (
        ""
        if not late
        else figure_html(
            "delays",
            partial(draw_delays, run, found),
            (60 + 52 * rows, 60 + 52 * rows),
            "Growth a year of every strategy with all trades 0 to 3 rows later.",
            "The darkest bar is the run; each lighter one makes every trade one row later. The "
            f"first {found.get('delays_after', 0)} steps, in which late trades would still be "
            "waiting in cash, are left out of all bars. What falls apart with a row of delay needs "
            "an execution that fast.",
        )
    )
    left_out = [
        f"{label(n)}: {s['reason']}." for n, s in found["strategies"].items() if "reason" in s
    ]
    return section(
        "robustness",
        "What costs and delay do to it",
        *(paragraph(words) for words in sentences(run, found)),
        costs,
        "<h3>Break-even costs</h3>",
        break_even_html(run, found),
        paragraph(
            "Multiple of the stated costs at which the two grow alike; interpolated by a monotone "
            f"cubic between the multiples replayed, up to {farthest(found):g}. “Always” and "
            "“never”: ahead, or behind, at all of them. The strategies are not asked again: one "
            "that knew of dearer trades might have traded less.",
            "note",
        ),
        delays,
        paragraph(" ".join(left_out), "note"),
    )


def replayed(run: Run, found: Mapping[str, Any]) -> list[str]:
    """The strategies with an answer, in the order of the report."""
    each = found.get("strategies", {})
    return [n for n in run.roles if n in each and "reason" not in each[n]]


def sentences(run: Run, found: Mapping[str, Any]) -> list[str]:
    """What the break-even costs of the strategies in focus mean, in plain words."""
    out = []
    for name in run.focus():
        if name not in replayed(run, found):
            continue
        strategy = found["strategies"][name]
        pair = next(
            (p for p in found["pairs"] if (p["strategy"], p["against"]) == (name, REFERENCE)),
            next((p for p in found["pairs"] if p["strategy"] == name), None),
        )
        words = f"{label(name)} is {against_in_words('cash', strategy[CASH])}"
        if pair is not None:
            words += f", and {against_in_words(label(pair['against']).lower(), pair)}"
        now, late = (mean(strategy["delays"][d]) for d in (0, 1))
        if now is not None and late is not None:
            words += (
                f". With every trade one row later it grows by {CAGR.text(late)} a year, in place "
                f"of {CAGR.text(now)} (both without the first {found.get('delays_after', 0)} steps)"
            )
        out.append(words + ".")
    return out


def against_in_words(other: str, answer: Mapping[str, Any]) -> str:
    """`ahead of equal weight up to 2.3 times the stated costs`."""
    state, multiple = answer["state"], answer["multiple"]
    if state == "crosses":
        if multiple >= 1:
            return f"ahead of {other} up to {multiple:.2g} times the stated costs"
        return f"behind {other}: it would be ahead only below {multiple:.2g} times the stated costs"
    if state == "gains with costs":
        return f"ahead of {other} only from {multiple:.2g} times the stated costs on"
    if state == "never behind":
        return f"ahead of {other} at all costs up to {answer['up_to']:g} times those stated"
    if state == "never ahead":
        return f"behind {other} even where trading is free"
    return f"of unknown standing against {other}"


def break_even_html(run: Run, found: Mapping[str, Any]) -> str:
    """Break-even multiples: who is compared across, with whom down (or the other way round)."""
    known = replayed(run, found)
    pairs = {(p["strategy"], p["against"]): p for p in found["pairs"]}
    pairs |= {(n, CASH): found["strategies"][n][CASH] for n in known}
    compared = list(dict.fromkeys(p["strategy"] for p in found["pairs"])) or known
    others = [CASH, *dict.fromkeys(p["against"] for p in found["pairs"])]

    def name_of(name: str) -> str:
        return "Cash" if name == CASH else swatch(run, name) + escape(label(name))

    def cell(one: str, other: str) -> str:
        return _multiple_cell(pairs.get((one, other)))

    if run.evidence.of_role("agent"):
        heads = ["Ahead of", *(name_of(n) for n in compared)]
        rows = [(name_of(o), [cell(n, o) for n in compared]) for o in others]
    else:
        heads = ["", *(f"Ahead of {escape(label(o).lower())}" for o in others)]
        rows = [(name_of(n), [cell(n, o) for o in others]) for n in known]
    return table(heads, rows, "Break-even costs", "narrowest")


def _multiple_cell(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return "<td></td>"
    state, multiple = answer["state"], answer["multiple"]
    if state == "crosses":
        return f"<td>up to {multiple:.2f}×</td>"
    if state == "gains with costs":
        return f"<td>from {multiple:.2f}× on</td>"
    words = {"never behind": "always", "never ahead": "never"}.get(state, "n/a")
    title = f' title="up to {answer["up_to"]:g} times the costs"' if "up_to" in answer else ""
    return f"<td{title}>{words}</td>"


def mean(seeds: Any) -> float | None:
    """Of the seeds, or None where one is not known."""
    return None if None in seeds else float(np.mean(seeds))


def farthest(found: Mapping[str, Any]) -> float:
    """The highest multiple that was replayed."""
    every = [*found["factors"], *found["far_factors"]]
    for strategy in found["strategies"].values():
        if "reason" not in strategy:
            values = [*strategy["factors"], *strategy["far_factors"]]
            return max(f for f, v in zip(every, values, strict=True) if None not in v)
    return every[-1]


def _seeds(run: Run, names: list[str]) -> bool:
    return any(len(run.trajectories[n]) > 1 for n in names)


def _costs_in_words(found: Mapping[str, Any], names: list[str]) -> str:
    parts = []
    for name in names:
        values = found["strategies"][name]["factors"]
        first, last = (mean(values[k]) for k in (0, -1))
        parts.append(f"{label(name)} from {CAGR.text(first)} to {CAGR.text(last)}")
    return "; ".join(parts) + "."


def _no_impact(found: Mapping[str, Any]) -> str:
    reason = found.get("impact", {}).get("reason")
    return f"Orders that move prices were not studied: {reason}." if reason else ""


def _sizes_in_words(found: Mapping[str, Any]) -> str:
    impact = found.get("impact", {})
    if not impact.get("sizes"):
        return ""
    law = (
        "an order of the share s of a row's volume costs the volatility of a row times the square "
        "root of s, on top of the stated costs, and no order exceeds the volume"
    )
    if impact["by"] == "capital":
        return (
            "Second panel: with price impact, by starting wealth in the currency of the prices; "
            f"{law}."
        )
    return (
        "Second panel: with price impact, by starting wealth as a share of the volume of a row of "
        f"each asset (the panel has no volume, so the share is assumed); {law}."
    )


# --------------------------------------------------------------------------- figures
def draw_costs(run: Run, found: Mapping[str, Any], fig: Figure, narrow: bool) -> None:
    """Growth a year by multiples of the costs; beside it, by the size of the portfolio."""
    known, impact = replayed(run, found), found.get("impact", {})
    several = bool(impact.get("sizes"))
    layout: Any = {"height_ratios": (1, 1)} if narrow else {"width_ratios": (3, 2), "sharey": True}
    axes: Any = (
        fig.subplots(2 if narrow else 1, 1 if narrow else 2, **layout)
        if several
        else fig.subplots()
    )
    axes = np.atleast_1d(axes)
    room = 40 + 16 * -(-len(known) // 2) if narrow else 44
    set_margins(
        fig, left=48, right=14 if narrow else 178, top=26, bottom=room, hspace=0.42, wspace=0.1
    )
    factors = found["factors"]
    lines = {n: run.lines[n] for n in known}
    for name, line in lines.items():
        seeds = found["strategies"][name]["factors"]
        y = [np.nan if mean(s) is None else mean(s) for s in seeds]
        look: dict[str, Any] = {"color": line.colour, "linestyle": line.dash, "zorder": line.order}
        axes[0].plot(factors, _shown(y), **look, linewidth=line.width)
        if len(seeds[0]) > 1 and all(None not in s for s in seeds):
            low, high = (_shown([f(s) for s in seeds]) for f in (min, max))
            axes[0].fill_between(factors, low, high, color=line.colour, alpha=0.12, linewidth=0)
        if several:
            one = mean(seeds[factors.index(1.0)])
            values = [one, *impact["strategies"][name]]
            axes[1].plot(range(len(values)), _shown(values), **look, linewidth=line.width)
    for ax in axes:
        low, high = ax.get_ylim()
        if low < 0 < high:
            ax.axhline(0, color=style.MUTED, linewidth=0.8)
    axes[0].axvline(1, color=style.INK, linewidth=0.8, linestyle=(0, (3, 3)))
    axes[0].set_title("CAGR by multiple of the costs, %")
    axes[0].set_xticks(factors, [f"{f:g}×" for f in factors])
    if several:
        axes[1].set_title("CAGR with price impact, %")
        texts = ["none", *(_size_text(s, impact["by"]) for s in impact["sizes"])]
        axes[1].set_xticks(range(len(texts)), texts)
        axes[1].margins(x=0.04)
    axes[0].margins(x=0.02)
    ends = []
    for name in known:
        value = mean(found["strategies"][name]["factors"][-1])
        if several:
            value = impact["strategies"][name][-1]
        ends.append((name, _shown([value])[0], ""))
    if narrow:
        shared_legend(fig, run.lines, ends, 2)
    else:
        end_labels(axes[-1], run.lines, ends)


def draw_delays(run: Run, found: Mapping[str, Any], fig: Figure, narrow: bool) -> None:
    """A group of bars for each strategy, one for each delay."""
    known, delays = replayed(run, found), found["delays"]
    ax = fig.subplots()
    set_margins(fig, left=118 if narrow else 190, right=44 if narrow else 60, top=26, bottom=28)
    height = 0.8 / len(delays)
    shown = {
        n: _shown(
            [np.nan if (m := mean(v)) is None else m for v in found["strategies"][n]["delays"]]
        )
        for n in known
    }
    for row, name in enumerate(known):
        for k in range(len(delays)):
            y = row + (k - (len(delays) - 1) / 2) * height
            # Not transparent: grid lines would shine through.
            value = shown[name][k]
            if not np.isfinite(value):
                continue
            ax.barh(y, value, height * 0.86, linewidth=0,
                    color=paler(run.lines[name].colour, (0.0, 0.35, 0.6, 0.78)[k]))  # fmt: skip
            ax.annotate(CAGR.text(mean(found["strategies"][name]["delays"][k]), suffix=False),
                        (value, y), xytext=(-4 if value < 0 else 4, 0),
                        textcoords="offset points", va="center", color=style.MUTED,
                        ha="right" if value < 0 else "left", fontsize=9)  # fmt: skip
    ax.axvline(0, color=style.INK, linewidth=0.8)
    ax.set_yticks(range(len(known)), [short_label(n) if narrow else label(n) for n in known])
    ax.set_ylim(len(known) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.2 if narrow else 0.12)
    ax.set_title("CAGR by delay of 0, 1, 2 and 3 rows, %")


def paler(colour: str, share: float) -> Any:
    """The colour mixed with this share of white."""
    from matplotlib.colors import to_rgb

    return tuple(c + (1 - c) * share for c in to_rgb(colour))


def _shown(values: Any) -> Any:
    return np.clip(np.array(values, dtype=float), LOWEST, HIGHEST) * 100


def _size_text(size: float, by: str) -> str:
    if by == "capital":
        return f"{size / 1e6:g}M" if size < 1e9 else f"{size / 1e9:g}B"
    return f"{size * 100:g} %"
