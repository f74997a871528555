"""The tables of the report as HTML; each scrolls inside its own box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from agents.rollout import Trajectory
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.metrics import BY_NAME, METRICS, total_return
from experiments.evaluation.table import COLUMNS, label
from experiments.reports.figures import Run

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


def scroll_box(table: str, name: str) -> str:
    """A region of its own for a wide table: it scrolls, by keyboard too, and the page does not."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(name)}">{table}</div>'
    )


def swatch(run: Run, name: str) -> str:
    """The strategy's line as it is drawn in the figures."""
    line = run.lines[name]
    kind = {"-": "solid", ":": "dotted"}.get(line.dash, "dashed")
    look = f"border-top:{max(2, round(line.width))}px {kind} {line.colour}"
    return f'<span class="swatch" style="{look}"></span>'


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
        note = _row_note(strategy.role, strategy.seeds, strategy.ruined)
        first = f'<th scope="row">{swatch(run, name)}{escape(label(name))}{note}</th>'
        rows.append(f'<tr class="{strategy.role}">{first}{"".join(cells)}</tr>')
        if len(strategy.seeds) > 1:
            rows += _seed_rows(evidence, name)
    table = f'<table><thead><tr><th scope="col">Strategy</th>{head}</tr></thead>'
    return scroll_box(f"{table}<tbody>{''.join(rows)}</tbody></table>", "Measures by strategy")


def _row_note(role: str, seeds: Sequence[int | None], ruined: Sequence[bool]) -> str:
    if any(ruined):
        return f"<small class='bad'>ruined: {sum(ruined)} of {len(ruined)}</small>"
    if len(seeds) > 1:
        return f"<small>mean of {len(seeds)} seeds</small>"
    if role == "agent":
        return "<small>no spread: one seed</small>"
    return "<small>an index, no costs</small>" if role == "benchmark" else ""


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
    return rows


def _row(kind: str, head: str, cells: Iterable[str]) -> str:
    body = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="{kind}"><th scope="row">{escape(head)}</th>{body}</tr>'


def _best(evidence: Evidence, key: str) -> set[str]:
    """Strategies with the best printed figure; the index, which pays nothing, does not compete."""
    better = BY_NAME[key].higher_is_better
    values = {
        name: s.metrics[key].value
        for name, s in evidence.strategies.items()
        if s.role != "benchmark" and s.metrics[key].value is not None
    }
    if better is None or len(values) < 2:
        return set()
    top = (max if better else min)(v for v in values.values() if v is not None)
    return {n for n, v in values.items() if BY_NAME[key].text(v) == BY_NAME[key].text(top)}


def differences_html(run: Run) -> str:
    """Agent less each baseline: growth, log growth and Sharpe, with the verdict on growth."""
    evidence = run.evidence
    rows = []
    for agent in evidence.of_role("agent"):
        for other in evidence.strategies:
            growth = evidence.difference(agent, other, "cagr")
            if growth is None:
                continue
            cells = []
            for measure in ("cagr", "mean_log_return", "sharpe"):
                d, metric = evidence.difference(agent, other, measure), BY_NAME[measure]
                if d is None:
                    continue
                interval = escape(metric.interval(d.low, d.high, sign=True))
                cells.append(
                    f"<td>{escape(metric.text(d.value, sign=True, suffix=False))}"
                    f"<small>{interval}</small></td>"
                )
            share, seeds = growth.share_above_zero, growth.seeds_above_zero
            count = len(evidence.strategies[agent].seeds)
            cells.append(
                f"<td>{'n/a' if share is None else f'{share:.0%}'.replace('%', ' %')}</td>"
            )
            ahead = "n/a" if seeds is None else f"{round(seeds * count)} of {count}"
            cells.append(f"<td>{ahead}</td>")
            mark = growth.verdict.split()[0]
            cells.append(f'<td class="verdict {mark}">{escape(growth.verdict)}</td>')
            head = f"{swatch(run, agent)}{escape(label(agent))} − {escape(label(other))}"
            rows.append(f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>')
    titles = (
        "Pair", "CAGR, points", "Log return, points", "Sharpe", "Ahead when resampled",
        "Seeds ahead", "Growth is",
    )  # fmt: skip
    head = "".join(f'<th scope="col">{t}</th>' for t in titles[:-1])
    head += f'<th scope="col" class="verdict">{titles[-1]}</th>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return scroll_box(table, "Agent less baseline")


def monthly_html(name: str, runs: Sequence[Trajectory]) -> str:
    """Returns by calendar month, mean over seeds, as a heat map."""
    months, returns = monthly_returns(runs)
    sizes = np.abs(returns[np.isfinite(returns)])
    limit = max(float(sizes.max(initial=0.0)), 0.01)
    table: dict[int, dict[int, float]] = {}
    for month, value in zip(months, returns, strict=True):
        year, number = divmod(int(month.astype(int)), 12)
        table.setdefault(1970 + year, {})[number] = float(value)
    rows = []
    for year, by_month in table.items():
        cells = [_heat(by_month.get(m), limit) for m in range(12)]
        total = float(total_return(list(by_month.values())))
        cells.append(f'<td class="total">{_percent(total)}</td>')
        rows.append(f'<tr><th scope="row">{year}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{m}</th>' for m in [*MONTHS, "Year"])
    start = f'<table class="heat"><thead><tr><th scope="col">{escape(label(name))}, %</th>{head}'
    body = f"{start}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return scroll_box(body, f"Monthly returns of {label(name)}")


def monthly_returns(runs: Sequence[Trajectory]) -> tuple[Any, Any]:
    """`(months [m] datetime64[M], returns [m])` compounded in each month, mean over seeds.

    A run that ended early (a ruin) counts with zero in the months after it.
    """
    longest = max(runs, key=lambda t: len(t.dates))
    months = np.unique(longest.dates.astype("datetime64[M]"))
    total = np.zeros(len(months))
    for t in runs:
        place = np.searchsorted(months, t.dates.astype("datetime64[M]"))
        growth = np.ones(len(months))
        with np.errstate(over="ignore"):
            np.multiply.at(growth, place, np.maximum(1.0 + t.net_return, 0.0))
        total += growth - 1.0
    return months, total / len(runs)


def _heat(value: float | None, limit: float) -> str:
    """Blue for a gain, orange for a loss: the pair that colour-blind eyes keep apart."""
    if value is None:
        return "<td></td>"
    strength = min(abs(value) / limit, 1.0) * 0.85
    red, green, blue = (43, 123, 186) if value >= 0 else (222, 119, 30)
    shade = (round(255 + (c - 255) * strength) for c in (red, green, blue))
    return f'<td style="background:rgb({",".join(map(str, shade))})">{_percent(value)}</td>'


def _percent(value: float) -> str:
    return BY_NAME["total_return"].text(value, suffix=False)


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
