"""`write_report`: one self-contained `report.html` for a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from agents.rollout import Trajectory
from experiments.evaluation.evidence import Evidence
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import label, undefined_notes
from experiments.reports import figures, tables
from experiments.reports.figures import Run
from experiments.reports.style import figure_html
from experiments.reports.summary import headline, versus

Curves = Mapping[str, Mapping[str, Sequence[float]]]


def write_report(
    path: Path | str,
    *,
    title: str,
    evidence: Evidence,
    trajectories: Mapping[str, Sequence[Trajectory]],
    provenance: Mapping[str, Any],
    config_yaml: str,
    learning_curves: Curves | None = None,
    splits: Mapping[str, Sequence[Any]] | None = None,
    notes: Sequence[str] = (),
    first: Sequence[str] = (),
    analysis: Mapping[str, Any] | None = None,
) -> Path:
    """Writes the report: no script, no link to elsewhere; equal input gives equal bytes.

    Args:
        path: of the HTML file.
        title: of the page.
        evidence: from `evaluate`.
        trajectories: what the evidence was made from.
        provenance: name -> text, number, list or mapping, printed in this order: the command, the
            commit, the data and its fingerprint, costs and execution in words, seeds, versions.
        config_yaml: the resolved config.
        learning_curves: "AGENT/SEED" -> measure -> values by update; "steps" holds the environment
            steps, None and NaN stand for "not measured at this update".
        splits: window -> dates `(first decision, last return)`, or these and the steps.
        notes: limits of the data in plain words.
        first: sentences that stand before all others.
        analysis: what `analysis.json` holds (`experiments.results.analyse`).

    Returns:
        The path written.
    """
    run = Run(evidence, trajectories)
    sections = [
        _header(run, title, provenance, first),
        _performance(run),
        _figures(run),
        _months(run),
        _learning(run, learning_curves or {}, config_yaml),
        _what_was_run(provenance, splits or {}),
        _limits(evidence, notes),
        _section("config", "Resolved config", _details("config.yaml", config_yaml)),
    ]
    css = files("experiments.reports").joinpath("report.css").read_text(encoding="utf-8")
    page = page_html(title, css, "\n".join(s for s in sections if s))
    Path(path).write_text(page, encoding="utf-8")
    return Path(path)


def page_html(title: str, css: str, body: str) -> str:
    """A complete page; the policy forbids whatever is not in the file."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(key: str, title: str, *parts: str) -> str:
    return f'<section id="{key}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def _details(title: str, text: str) -> str:
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"


def _text(text: str) -> str:
    """Escaped, with numbers kept beside their percent signs."""
    return escape(text).replace(" %", "&nbsp;%")


def _header(run: Run, title: str, provenance: Mapping[str, Any], first: Sequence[str]) -> str:
    w = run.evidence.window
    where = (
        f"Test window: returns of {w['first']} to {w['last']}, {w['steps']:,} steps, first decided "
        f"on {w['first_decision']}, after costs"
    )
    if provenance.get("data"):
        where = f"{escape(str(provenance['data']))} · {where}"
    sentences = "".join(f"<p>{_text(s)}</p>" for s in [*first, *headline(run.evidence)])
    cards = "".join(_card(run, name) for name in run.focus())
    return (
        f'<header><p class="where">{where}</p><h1>{escape(title)}</h1>'
        f'<div class="lead">{sentences}</div><div class="cards">{cards}</div></header>'
    )


def _card(run: Run, name: str) -> str:
    strategy = run.evidence.strategies[name]
    items = []
    for key in ("cagr", "sharpe", "max_drawdown"):
        metric, e = BY_NAME[key], strategy.metrics[key]
        interval = escape(metric.interval(e.low, e.high)) or "&nbsp;"
        items.append((metric.label, escape(metric.text(e.value)), interval))
    d = versus(run.evidence, name)
    if d is not None:
        metric = BY_NAME["cagr"]
        value = escape(metric.text(d.value, sign=True, suffix=False)) + " pts"
        interval = escape(metric.interval(d.low, d.high, sign=True)) or "&nbsp;"
        items.append((f"CAGR less {label(d.baseline).lower()}", value, interval))
    body = "".join(
        f"<div><span>{escape(a)}</span><strong>{b}</strong><small>{c}</small></div>"
        for a, b, c in items
    )
    colour = run.lines[name].colour
    return (
        f'<div class="card" style="border-left-color:{colour}"><h3>{escape(label(name))}</h3>'
        f'<div class="numbers">{body}</div></div>'
    )


def _performance(run: Run) -> str:
    evidence, b = run.evidence, run.evidence.bootstrap
    level = f"{b['level'] * 100:g} %"
    parts = [
        tables.metrics_html(run),
        f'<p class="note">Small print: {level} intervals from a stationary bootstrap of dates '
        f"({b['replications']:,} resampled histories, blocks of {b['mean_block']} steps on "
        "average, the same dates for every strategy and seed). They hold what the luck of the days "
        "could have changed; the rows of the seeds show what the luck of training did. Bold is the "
        "best figure of a column. Maximum drawdown and Calmar depend on the order of the days, "
        "which resampling changes: their intervals describe reshuffled histories.</p>",
    ]
    if evidence.differences:
        others = len(evidence.of_role("baseline"))
        heights = (70 + 30 * others + 24, 2 * (52 + 26 * others) + 60)
        pairs = len({(d.agent, d.baseline) for d in evidence.differences})
        one_in = f"{1 / (1 - b['level']):.0f}"
        parts += [
            "<h3>Agent less baseline</h3>",
            figure_html(
                "differences",
                partial(figures.differences, run),
                heights,
                "Difference of each agent from each baseline in growth and Sharpe ratio, with "
                "intervals; the table that follows holds the numbers.",
                "Dot: the difference on the days as they came. Bar: its interval. Hollow dot: the "
                "interval contains zero.",
            ),
            tables.differences_html(run),
            f'<p class="note">Of intervals at {level}, about one in {one_in} misses the truth by '
            f"chance alone: among {pairs} pairs, one without zero proves little.</p>",
        ]
    notes = evidence.notes + undefined_notes(evidence)
    if notes:
        items = "".join(f"<li>{escape(n)}</li>" for n in notes)
        parts.append(f'<ul class="note">{items}</ul>')
    return _section("performance", "What it earned, and how sure that is", *parts)


def _figures(run: Run) -> str:
    names = ", ".join(label(n) for n in run.focus())
    fell = " and ".join(label(n) for n in figures.with_drawdown(run))
    rows = figures.rolling_rows(run)
    several = any(len(run.trajectories[n]) > 1 for n in run.roles)
    thin = " Thin lines are the seeds, the bold line is their mean." if several else ""
    ruin = any(any(s.ruined) for s in run.evidence.strategies.values())
    end = " A mean over seeds ends where a ruined run ends." if ruin else ""
    bench = (
        " The dotted benchmark is an index without costs."
        if run.evidence.of_role("benchmark")
        else ""
    )
    geometric = thin.replace("mean", "geometric mean")
    edge = ""
    if figures.clipped(run):
        edge = (
            f" Wealth below {figures.FLOOR:g} or above {figures.CEILING:.0e} is drawn at the edge: "
            "look for broken prices."
        )
    parts = [
        figure_html(
            "wealth",
            partial(figures.wealth, run),
            (560, 590),
            f"Wealth of every strategy on a logarithmic axis, and drawdown. {_wealth_text(run)}",
            f"Beside the names: final wealth.{geometric}{end}{bench}{edge} Drawdown is shown for "
            f"{fell}.",
        )
    ]
    if rows:
        parts.append(
            figure_html(
                "rolling-sharpe",
                partial(figures.rolling_sharpe, run),
                (340, 400),
                f"Sharpe ratio of the last {rows} steps of every strategy over time.",
                f"In excess of cash, annualised.{thin} Neighbouring points share most of their "
                "days.",
            )
        )
    else:
        parts.append('<p class="note">The test window is too short for a rolling Sharpe ratio.</p>')
    count = len(run.focus())
    seeds = "first seed of each" if several else "as executed"
    parts.append(
        figure_html(
            "weights",
            partial(figures.weights, run),
            (30 + 270 * count, 130 + 210 * count),
            f"Portfolio weights over time of {names}, as stacked areas.",
            f"Weights just after each trade, {seeds}; means of a few steps where the window is "
            "long. The assets with the largest weights are named, the others drawn together.",
        )
    )
    parts.append(
        figure_html(
            "trading",
            partial(figures.trading, run),
            (600, 690),
            "Active share, turnover and cumulative costs of every strategy over time.",
            "Turnover counts buys and sells, so that replacing everything is 200 %; the first "
            f"purchase runs off the panel. An active share of 0 is 1/N.{thin}",
        )
    )
    return _section("paths", "How it got there", *parts)


def _wealth_text(run: Run) -> str:
    texts = []
    for name in run.evidence.strategies:
        values = [figures.wealth_text(float(t.value[-1])) for t in run.trajectories[name]]
        texts.append(f"{label(name)} ends at {', '.join(values)}")
    return "; ".join(texts) + "."


def _months(run: Run) -> str:
    parts = [tables.monthly_html(name, run.trajectories[name]) for name in run.focus()]
    text = (
        "Compounded in each calendar month, mean over seeds; the first and the last month may be "
        "partial. Blue is a gain, orange a loss."
    )
    return _section("months", "Monthly returns", *parts, f'<p class="note">{text}</p>')


def _learning(run: Run, curves: Curves, config_yaml: str) -> str:
    panels = figures.learning_panels(curves)
    if not panels:
        return ""
    figure = figure_html(
        "learning",
        partial(figures.learning, curves, run),
        (50 + 210 * len(panels), 60 + 190 * len(panels)),
        f"Learning curves by environment steps: {', '.join(p.replace('_', ' ') for p in panels)}.",
        f"One line a seed. {_reward_text(config_yaml)}",
    )
    items = "".join(f"<li>{escape(text)}</li>" for text in _chosen(curves))
    chosen = (
        "<p>Each seed is tested with the policy that scored best on validation; the test window "
        f"had no say.</p><ul>{items}</ul>"
        if items
        else ""
    )
    return _section("training", "How it learned", chosen, figure)


def _chosen(curves: Curves) -> list[str]:
    """At which step the policy of each seed was chosen, of how many it was trained for."""
    found = []
    for key, curve in curves.items():
        agent, _, seed = key.partition("/")
        step = figures.chosen_step(curve)
        if step is not None:
            name = f"{label(agent)}, seed {seed}" if seed else label(agent)
            found.append(f"{name}: chosen at step {step:,} of {curve['steps'][-1]:,}")
    return found


def _reward_text(config_yaml: str) -> str:
    """The unit of the curves, and what their sign means."""
    reward = (yaml.safe_load(config_yaml) or {}).get("reward") or {}
    text = "Both curves are the reward per step, as scaled by <code>reward.scale</code>"
    if "scale" in reward:
        text += f" ({reward['scale']:g})"
    terms = reward.get("terms") or {}
    if terms.get("excess_log_return") and reward.get("benchmark") == "equal_weight":
        text += (
            ". It is in excess of equal weight without costs, so that equal weight itself, which "
            "pays for its trades, is below zero"
        )
    return f"{text}."


def _what_was_run(provenance: Mapping[str, Any], splits: Mapping[str, Sequence[Any]]) -> str:
    facts: dict[str, Any] = {}
    for window, span in splits.items():
        steps = f", {span[2]:,} steps" if len(span) > 2 else ""
        facts[f"{window} window"] = f"first decision {span[0]}, last return {span[1]}{steps}"
    facts |= dict(provenance)
    return _section("run", "What was run", tables.facts_html(facts))


def _limits(evidence: Evidence, notes: Sequence[str]) -> str:
    own = (
        f"One test window of {evidence.window['steps']:,} steps is one draw of history: the "
        "intervals assume that days to come are like these.",
        "The portfolio is assumed too small to move prices, and every order to be filled at the "
        "stated execution price.",
    )
    items = "".join(f"<li>{escape(n)}</li>" for n in [*notes, *own])
    meanings = (
        f"<details><summary>What the measures mean</summary>{tables.glossary_html()}</details>"
    )
    return _section("limits", "Limits", f"<ul>{items}</ul>", meanings)
