"""The tables of the report as HTML; each scrolls inside its own box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from agents.rollout import Trajectory
from experiments.evaluation.evidence import Evidence, StrategyEvidence
from experiments.evaluation.metrics import BY_NAME, METRICS
from experiments.evaluation.table import COLUMNS, bounds, label
from experiments.reports.figures import Run, p_text, pairs
from experiments.reports.html import heat, percent, scroll_box, swatch

# Of these the table shows intervals; those of all measures are in metrics.json.
INTERVALS = ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown", "cvar")
HEADS = COLUMNS | {
    "volatility": "Vol. %", "calmar": "Calmar", "cvar": "CVaR %", "hit_rate": "Hit %",
    "turnover": "Turnover ×/y",
}  # fmt: skip
SHOWN = (
    "cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown", "cvar", "hit_rate",
    "turnover", "cost", "active_share",
)  # fmt: skip
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def metrics_html(run: Run) -> str:
    """Strategies by measures with intervals; a line for each seed of an agent below it."""
    evidence = run.evidence
    best = {key: _best(evidence, key) for key in SHOWN}
    head = "".join(
        f'<th scope="col" title="{escape(BY_NAME[k].meaning)}">{escape(HEADS[k])}</th>'
        for k in SHOWN
    )
    rows = []
    for name, strategy in evidence.strategies.items():
        cells = []
        for key in SHOWN:
            metric, e = BY_NAME[key], strategy.metrics[key]
            title = f' title="{escape(e.reason)}"' if e.reason else ""
            text = escape(metric.text(e.value, suffix=False))
            if e.value is None:
                text = '<span class="none">n/a</span>'
            elif name in best[key]:
                text = f"<b>{text}</b>"
            interval = metric.interval(e.low, e.high) if key in INTERVALS else ""
            small = f"<small>{escape(interval)}</small>" if interval else ""
            cells.append(f"<td{title}>{text}{small}</td>")
        note = _row_note(strategy)
        first = f'<th scope="row">{swatch(run, name)}{escape(label(name))}{note}</th>'
        rows.append(f'<tr class="{strategy.role}">{first}{"".join(cells)}</tr>')
        if len(strategy.seeds) > 1:
            rows += _seed_rows(evidence, name)
    table = f'<table><thead><tr><th scope="col">Strategy</th>{head}</tr></thead>'
    return scroll_box(f"{table}<tbody>{''.join(rows)}</tbody></table>", "Measures by strategy")


def _row_note(strategy: StrategyEvidence) -> str:
    seeds, ruined = strategy.seeds, strategy.ruined
    if any(ruined):
        return f"<small class='bad'>ruined: {sum(ruined)} of {len(ruined)}</small>"
    if strategy.hindsight:
        return "<small>chosen with hindsight</small>"
    if len(seeds) > 1:
        return f"<small>mean of {len(seeds)} seeds</small>"
    if strategy.role == "agent":
        return "<small>one seed: no interval over seeds</small>"
    return "<small>an index, no costs</small>" if strategy.role == "benchmark" else ""


def _seed_rows(evidence: Evidence, name: str) -> list[str]:
    strategy = evidence.strategies[name]
    rows = []
    for k, seed in enumerate(strategy.seeds):
        values = (BY_NAME[key].text(strategy.metrics[key].seeds[k], suffix=False) for key in SHOWN)
        text = f"seed {seed}" + (", ruined" if strategy.ruined[k] else "")
        rows.append(_row("seed", text, values))
    spreads = (strategy.metrics[key].spread for key in SHOWN)
    cells = (
        "n/a" if spread is None else BY_NAME[key].text(spread[2], suffix=False)
        for key, spread in zip(SHOWN, spreads, strict=True)
    )
    rows.append(_row("seed", "sd over seeds", cells))
    if any(strategy.metrics[key].iqm is not None for key in SHOWN):
        rows.append(_iqm_row(strategy))
    return rows


def _iqm_row(strategy: StrategyEvidence) -> str:
    """Interquartile mean over seeds: what half of the seeds, the middle one, achieved."""
    cells = []
    for key in SHOWN:
        metric, e = BY_NAME[key], strategy.metrics[key]
        interval = metric.interval(e.iqm_low, e.iqm_high) if key in INTERVALS else ""
        small = f"<small>{escape(interval)}</small>" if interval else ""
        cells.append(f"<td>{escape(metric.text(e.iqm, suffix=False))}{small}</td>")
    return f'<tr class="seed"><th scope="row">IQM over seeds</th>{"".join(cells)}</tr>'


def _row(kind: str, head: str, cells: Iterable[str]) -> str:
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(head)}</th>{body}</tr>'


def _best(evidence: Evidence, key: str) -> set[str]:
    """Strategies with the best printed figure; the index, which pays nothing, and what was chosen
    with hindsight do not compete."""
    better = BY_NAME[key].higher_is_better
    values = {
        name: s.metrics[key].value
        for name, s in evidence.strategies.items()
        if s.role != "benchmark" and not s.hindsight and s.metrics[key].value is not None
    }
    if better is None or len(values) < 2:
        return set()
    top = (max if better else min)(v for v in values.values() if v is not None)
    return {n for n, v in values.items() if BY_NAME[key].text(v) == BY_NAME[key].text(top)}


def differences_html(run: Run) -> str:
    """One less the other: growth, log growth and Sharpe, with the verdict on growth."""
    rows = []
    trained = bool(run.evidence.of_role("agent"))
    for _, members in pairs(run)[1]:
        rows += [_pair_row(run, one, other) for one, other in members]
    titles = (
        "Pair", "CAGR, points", "Log return, points", "Sharpe", "Ahead when resampled",
        *(["Seeds ahead"] if trained else []), "p", "Holm p", "Growth is",
    )  # fmt: skip
    head = "".join(f'<th scope="col">{t}</th>' for t in titles[:-1])
    head += f'<th scope="col" class="verdict">{titles[-1]}</th>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return scroll_box(table, "Differences")


def _pair_row(run: Run, one: str, other: str) -> str:
    evidence = run.evidence
    growth = evidence.difference(one, other, "cagr")
    if growth is None:
        return ""
    cells = []
    for measure in ("cagr", "mean_log_return", "sharpe"):
        d, metric = evidence.difference(one, other, measure), BY_NAME[measure]
        if d is None:
            continue
        interval = escape(metric.interval(d.low, d.high, sign=True))
        cells.append(
            f"<td>{escape(metric.text(d.value, sign=True, suffix=False))}"
            f"<small>{interval}</small></td>"
        )
    share, seeds = growth.share_above_zero, growth.seeds_above_zero
    count = len(evidence.strategies[one].seeds)
    cells.append(f"<td>{'n/a' if share is None else f'{share:.0%}'.replace('%', ' %')}</td>")
    ahead = "n/a" if seeds is None else f"{round(seeds * count)} of {count}"
    if evidence.of_role("agent"):
        cells.append(f"<td>{ahead}</td>")
    for p in (growth.p_value, growth.p_holm):
        cells.append(f"<td>{'n/a' if p is None else escape(p_text(p))}</td>")
    words = "a bound in hindsight" if bounds(evidence, growth) else growth.standing
    mark = f" {words}" if words in ("better", "worse") else ""
    cells.append(f'<td class="verdict{mark}">{escape(words)}</td>')
    head = f"{swatch(run, one)}{escape(label(one))} − {escape(label(other))}"
    return f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>'


def monthly_html(name: str, runs: Sequence[Trajectory]) -> str:
    """Returns by calendar month, mean over seeds, as a heat map."""
    months, returns = monthly_returns(runs)
    # Compounded seed by seed: months that are means over seeds do not compound to such a mean.
    years = dict(zip(*period_returns(runs, "Y"), strict=True))
    sizes = np.abs(returns[np.isfinite(returns)])
    limit = max(float(sizes.max(initial=0.0)), 0.01)
    table: dict[int, dict[int, float]] = {}
    for month, value in zip(months, returns, strict=True):
        year, number = divmod(int(month.astype(int)), 12)
        table.setdefault(1970 + year, {})[number] = float(value)
    rows = []
    for year, by_month in table.items():
        cells = [_month(by_month.get(m), limit) for m in range(12)]
        total = years[np.datetime64(str(year), "Y")]
        cells.append(f'<td class="total">{percent(float(total))}</td>')
        rows.append(f'<tr><th scope="row">{year}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{m}</th>' for m in [*MONTHS, "Year"])
    start = f'<table class="heat"><thead><tr><th scope="col">{escape(label(name))}, %</th>{head}'
    body = f"{start}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return scroll_box(body, f"Monthly returns of {label(name)}")


def _month(value: float | None, limit: float) -> str:
    return "<td></td>" if value is None else heat(value, limit)


def monthly_returns(runs: Sequence[Trajectory]) -> tuple[Any, Any]:
    """`(months [m] datetime64[M], returns [m])` compounded in each month, mean over seeds."""
    return period_returns(runs, "M")


def period_returns(runs: Sequence[Trajectory], unit: str) -> tuple[Any, Any]:
    """`(periods [m] datetime64, returns [m])` compounded in each, mean over seeds.

    A run that ended early (a ruin) counts with zero in the periods after it.

    Args:
        unit: "M" for calendar months, "Y" for years.
    """
    longest = max(runs, key=lambda t: len(t.dates))
    kind = f"datetime64[{unit}]"
    periods = np.unique(longest.dates.astype(kind))
    total = np.zeros(len(periods))
    for t in runs:
        place = np.searchsorted(periods, t.dates.astype(kind))
        growth = np.ones(len(periods))
        with np.errstate(over="ignore"):
            np.multiply.at(growth, place, np.maximum(1.0 + t.net_return, 0.0))
        total += growth - 1.0
    return periods, total / len(runs)


def facts_html(facts: Mapping[str, Any]) -> str:
    """A list of names and values; nested mappings and lists become text."""
    rows = "".join(
        f"<div><dt>{escape(label(str(key)))}</dt><dd>{_value(value)}</dd></div>"
        for key, value in facts.items()
    )
    return f'<dl class="facts">{rows}</dl>'


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(k))} {_value(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(v) for v in value)
    text = escape(str(value))
    code = isinstance(value, str) and (" -m " in value or (len(value) >= 32 and " " not in value))
    return f"<code>{text}</code>" if code else text


def glossary_html() -> str:
    """Every measure in one line."""
    rows = "".join(
        f"<div><dt>{escape(m.label)}</dt><dd>{escape(m.meaning)}</dd></div>"
        for m in METRICS
        if m.name in SHOWN
    )
    return f'<dl class="facts">{rows}</dl>'
