"""When the result came: calendar years and regimes of the market, as a section of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import label
from experiments.reports.figures import Run
from experiments.reports.html import heat, paragraph, section, swatch, table

HEADS = {
    "up": "Rising months", "down": "Falling months", "calm": "Calm", "usual": "Usual",
    "wild": "Wild",
}  # fmt: skip
SHARPE = BY_NAME["sharpe"]
NO_CALENDAR = (
    "The dates of these prices are made up, so that there is no result by calendar year or month."
)
# Beyond this growth a colour says nothing more.
DARKEST = 1.0


def regimes_section(run: Run, found: Mapping[str, Any], months: Sequence[str] = ()) -> str:
    """The section: years, regimes, then tables of months that were made elsewhere; regimes alone
    where the dates are made up."""
    names = [n for n in run.roles if n in found.get("strategies", {})]
    dated = found.get("real_dates", True)
    parts = [] if dated else [paragraph(NO_CALENDAR)]
    if names:
        few = found["fewest_steps"]
        unknown = (
            f" Of the steps, {found['unknown']:,} have too little history before them."
            if found["unknown"]
            else ""
        )
        known_afterwards = (
            "Rising and falling: calendar months by what the mix did in them, which is known "
            "afterwards only. "
        )
        if dated:
            parts += [
                "<h3>By calendar year</h3>",
                years_html(run, found, names),
                paragraph(
                    "Total return in percent, mean over seeds; a star marks a year that the window "
                    "holds only a part of.",
                    "note",
                ),
            ]
        parts += [
            "<h3>By state of the market</h3>",
            regimes_html(run, found, names),
            paragraph(
                "CAGR in percent over the steps of each kind, and below it the Sharpe ratio. The "
                "market is the equal-weight mix without costs. "
                f"{known_afterwards if dated else ''}Calm, usual and wild: "
                "thirds of its volatility over the last 63 rows, against all such "
                f"volatilities before, known at the decision. With fewer than {few} steps nothing "
                f"is measured.{unknown}",
                "note",
            ),
        ]
    return section("when", "When it came", *parts, *(months if dated else ()))


def years_html(run: Run, found: Mapping[str, Any], names: Sequence[str]) -> str:
    """Strategies by calendar years."""
    years = found["years"]
    heads = ["Total return, %", *(f"{y['year']}{'*' if y['partial'] else ''}" for y in years)]
    rows = []
    limit = _limit([v for n in names for v in found["strategies"][n]["years"]])
    for name in names:
        cells = [heat(v, limit) for v in found["strategies"][name]["years"]]
        rows.append((swatch(run, name) + escape(label(name)), cells))
    return table(heads, rows, "Returns by calendar year", "heat fit")


def regimes_html(run: Run, found: Mapping[str, Any], names: Sequence[str]) -> str:
    """Strategies by regimes: growth, and the Sharpe ratio below it."""
    heads = ["CAGR, %"]
    kinds = {key: words for key, words in HEADS.items() if key in found["regimes"]}
    for key, words in kinds.items():
        regime = found["regimes"][key]
        title = escape(found["definitions"][key])
        heads.append(
            f'<span title="{title}">{words}</span><small>{regime["steps"]:,} steps</small>'
        )
    each = {n: found["strategies"][n]["regimes"] for n in names}
    limit = _limit([r[key]["cagr"] for r in each.values() for key in kinds])
    rows = []
    for name, regimes in each.items():
        cells = []
        for key in kinds:
            ratio = regimes[key]["sharpe"]
            small = "" if ratio is None else f"Sharpe {SHARPE.text(ratio)}"
            cells.append(heat(regimes[key]["cagr"], limit, small))
        rows.append((swatch(run, name) + escape(label(name)), cells))
    return table(heads, rows, "Growth by state of the market", "heat fit")


def _limit(values: Sequence[float | None]) -> float:
    sizes = [abs(v) for v in values if v is not None]
    return float(np.clip(max(sizes, default=0.0), 0.01, DARKEST))
