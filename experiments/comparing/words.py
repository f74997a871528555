"""The comparison in sentences: who is ahead, and what choosing the best of all is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from experiments.comparing.comparison import Comparison
from experiments.comparing.rows import REFERENCE
from experiments.comparing.tables import p_text, percent
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import label
from experiments.reports.luck import search_in_words

# Candidates whose returns correlate by this are one strategy with small deviations.
ALIKE = 0.99
FEW = 10


def sentences(comparison: Comparison) -> list[str]:
    """Plain sentences, the most important ones first; none for a single row."""
    return who_leads(comparison) + sweep_sentences(comparison.sweep)


def who_leads(comparison: Comparison) -> list[str]:
    """Which row is ahead, and how surely."""
    statistics, rows = comparison.statistics, comparison.rows
    if statistics is None or (best := statistics.best) is None:
        return []
    standing = statistics.standings[best]
    if standing is None:
        return []
    measure = BY_NAME[statistics.measure].label
    alone = len({row.strategy for row in rows}) == len(rows)
    name = label(rows[best].strategy) if alone else rows[best].title
    found = [
        f"Highest by {measure}: {best + 1} {name}. It is first in "
        f"{percent(standing.first)} of the resampled histories, with a mean rank of "
        f"{standing.mean:.1f} [{standing.low:g}, {standing.high:g}] of "
        f"{sum(s is not None for s in statistics.standings)}."
    ]
    if len({row.fingerprint for row in rows}) > 1:
        found.append("The rows are of different data, so luck of the data is in their order.")
    level = statistics.settings["level"]
    with_best = [p for pair, p in statistics.pairs.items() if best in pair]
    sure = sum(p.p_holm < 1 - level for p in with_best)
    if len(with_best) == 1:
        can = "can" if sure else "cannot"
        return [*found, f"It {can} be told apart from the other one at {percent(1 - level)}."]
    found.append(
        f"After correction for {len(statistics.pairs)} pairs (Holm) it can be told apart from "
        f"{sure or 'none'} of the {len(with_best)} others at {percent(1 - level)}."
    )
    return found


def sweep_sentences(sweep: dict[str, Any]) -> list[str]:
    """What the tests of all candidates say, each with its meaning."""
    if not sweep:
        return []
    if "reason" in sweep:
        return [f"No tests of the {sweep['candidates']} candidates together: {sweep['reason']}."]
    return [
        text
        for text in (_pbo(sweep), _deflated(sweep), _spa(sweep), _stepm(sweep), _mcs(sweep))
        if text
    ]


def _pbo(sweep: dict[str, Any]) -> str:
    found = sweep["pbo"]
    if "pbo" not in found:
        return f"No probability of backtest overfitting: {found['reason']}."
    words = (
        f"Probability of backtest overfitting: {percent(found['pbo'])}. In so many of "
        f"{found['n_combinations']:,} splits of the dates, the candidate that was best on one "
        f"half was below the median of the {found['n_strategies']} candidates on the other; "
        "50 % is what drawing lots gives."
    )
    if found.get("alike", 0.0) >= ALIKE:
        words += (
            f" The candidates hardly differ (any two have returns with a correlation of "
            f"{math.floor(found['alike'] * 1000) / 1000:.3f} or more), so their "
            "ranks, and with them this figure, say little."
        )
    elif found["n_strategies"] < FEW:
        words += f" With only {found['n_strategies']} candidates it is a rough figure."
    return words


def _deflated(sweep: dict[str, Any]) -> str:
    skill, trials = sweep.get("skill"), sweep.get("trials")
    if skill is None or trials is None:
        return ""
    if skill.dsr is None:
        return f"No deflated Sharpe ratio: {skill.reason}."
    return (
        f"The best candidate, {sweep['best']}, has a Sharpe ratio of {sweep['sharpe']:.2f}. "
        f"There are {trials.count} trials ({trials.source}). "
        + search_in_words(skill, trials, sweep["periods_per_year"])
    )


def _spa(sweep: dict[str, Any]) -> str:
    found = sweep["spa"]
    if "p_consistent" not in found:
        return f"No test against equal weight: {found['reason']}."
    p = found["p_consistent"]
    verdict = (
        "some candidate grows faster" if p < 0.05 else "no candidate can be said to grow faster"
    )
    return (
        f"Against equal weight, all candidates at once (SPA, Hansen): p = {p_text(p)}, so "
        f"{verdict} than its equal weight does."
    )


def _stepm(sweep: dict[str, Any]) -> str:
    found = sweep["stepm"]
    if "better" not in found:
        return ""
    better = ", ".join(found["better"]) or "none"
    return f"Better than equal weight at {percent(found['level'])} (StepM): {better}."


def _mcs(sweep: dict[str, Any]) -> str:
    found = sweep["mcs"]
    if "p_values" not in found:
        return f"No model confidence set: {found['reason']}."
    inside, count = found["set_95"], len(found["p_values"])
    if len(inside) == count:
        return (
            f"By growth, all {count} with equal weight are in the model confidence set at 95 %: "
            "not one can be told from the fastest growing by these data."
        )
    outside = [name for name in found["p_values"] if name not in inside]
    words = (
        f"By growth, the best is at 95 % among {len(inside)} of {count} (model confidence set): "
        f"{_listed(inside)}. Told apart from the fastest growing, by however little: "
        f"{_listed(outside)}."
    )
    if sweep["best"] in outside:
        words += (
            f" {sweep['best']} has the highest Sharpe ratio all the same: that is growth for the "
            "risk taken, another measure."
        )
    return words


def _listed(names: Sequence[str]) -> str:
    """Names of candidates; of many how many there are."""
    told = [label(name).lower() if name == REFERENCE else name for name in names]
    return ", ".join(told) if len(told) <= 7 else f"{len(told)} candidates"
