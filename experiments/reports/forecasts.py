"""How good the forecasts were: the section of the report for agents that forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.evaluation.predictive import Measure
from experiments.evaluation.table import label
from experiments.predictions import in_words, interval, named, number, verdict
from experiments.reports import style
from experiments.reports.axes import set_margins
from experiments.reports.figures import Run
from experiments.reports.html import bullets, paragraph, section, swatch, table
from experiments.reports.style import figure_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def forecasts_section(run: Run, judged: Mapping[str, Any]) -> str:
    """The section; empty where nothing was forecast.

    Args:
        judged: what `predictions.json` holds.
    """
    agents: Mapping[str, Any] = judged.get("agents") or {}
    if not agents:
        return ""
    parts = [bullets(in_words(judged))]
    for name, one in agents.items():
        parts += [f"<h3>{swatch(run, name)}{escape(label(name))}</h3>", _said(one)]
        parts.append(_table(name, one["measures"]))
    level = f"{judged['level'] * 100:g} %"
    parts += [
        paragraph(
            f"Intervals at {level} are percentiles of {judged['replications']:,} histories of "
            "resampled days, in blocks: forecasts of one day share the market, and returns over "
            "several rows overlap. No skill: for accuracy and for the right sign always the answer "
            "that was more frequent in these very days; for precision the share of the class, for "
            "recall the share of the forecasts that name it; for errors and R² the forecast zero; "
            "for the calibration error what chance makes of perfectly calibrated forecasts. Better "
            "and worse: the interval of the difference from no skill leaves out zero. Of twenty "
            "such intervals one does so by luck. Below hindsight: right less often than the answer "
            "that was more frequent, which nobody could know before. Off: the interval leaves out "
            "the share that was stated.",
            "note",
        ),
        paragraph(
            "Errors are in units of the volatility of an asset at the decision. A return begins at "
            "the price of the execution: what a price did between the decision and its execution "
            "is in no label.",
            "note",
        ),
    ]
    if any(one["reliability"] for one in agents.values()):
        parts.append(
            figure_html(
                "reliability",
                partial(draw_reliability, run, agents),
                (380, 360),
                "Stated confidence of the forecasts and how often they were right.",
                "Each dot is a tenth of the scale of confidence; the larger it is, the more "
                "forecasts it holds. On the line a forecast is right as often as it says.",
            )
        )
    return section("forecasts", "How good the forecasts were", *parts)


def _said(one: Mapping[str, Any]) -> str:
    """What was forecast, and how often each direction came."""
    seeds = len(one["seeds"])
    classes = ", ".join(
        f"{name} {c['came'] * 100:.1f} % (forecast {c['forecast'] * 100:.1f} %)"
        for name, c in one["classes"].items()
    )
    assets = f"{one['assets']} assets" if one["assets"] > 1 else "one asset"
    return paragraph(
        f"{one['days']:,} decision days from {one['first']} to {one['last']}, {assets}"
        f"{f', {seeds} seeds' if seeds > 1 else ''}. What came: {classes}."
    )


def _table(name: str, measures: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    several = any(len(fields["seeds"]) > 1 for fields in measures)
    for fields in measures:
        m = Measure(**{**fields, "seeds": tuple(fields["seeds"])})
        seeds = [x for x in m.seeds if x is not None]
        spread = " to ".join(number(m.name, f(seeds)) for f in (min, max) if seeds)
        mean = number(m.name, m.value)
        if m.t is not None:
            mean += f" (t {m.t:.1f})"
        texts = (
            mean,
            interval(m.name, m.low, m.high),
            number(m.name, m.base),
            interval(m.name, m.gain_low, m.gain_high) if m.gain is not None else "",
            verdict(m),
            *([spread] if several else []),
        )
        rows.append(
            (escape(named(m.name, m.horizon)), [f"<td>{escape(t) or '&nbsp;'}</td>" for t in texts])
        )
    heads = ["", "Value", "Interval", "No skill", "Gain over no skill", ""]
    heads += ["Seeds"] if several else []
    return table(heads, rows, f"Measures of the forecasts of {label(name)}")


def draw_reliability(run: Run, agents: Mapping[str, Any], fig: Figure, narrow: bool) -> None:
    """How often forecasts were right, by what they said of themselves."""
    ax = fig.subplots()
    set_margins(fig, left=52, right=14, top=14, bottom=48)
    ax.plot([0, 1], [0, 1], color=style.MUTED, linewidth=1.0)
    for name, one in agents.items():
        bins = one["reliability"]
        if not bins:
            continue
        count = np.array([b["count"] for b in bins])
        ax.scatter(
            [b["stated"] for b in bins], [b["right"] for b in bins],
            s=12 + 160 * count / count.sum(), color=run.lines[name].colour, alpha=0.8,
            label=label(name), zorder=3,
        )  # fmt: skip
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("stated confidence")
    ax.set_ylabel("share that was right")
    ax.legend(loc="upper left")
