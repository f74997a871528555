"""`write_report`: one self-contained `report.html` for a run."""

from __future__ import annotations

import re
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
from experiments.evaluation.table import blocks_in_words, label, span, undefined_notes
from experiments.reports import figures, paths, tables
from experiments.reports.attribution import attribution_section
from experiments.reports.figures import Run
from experiments.reports.forecasts import forecasts_section
from experiments.reports.html import bullets, details, paragraph, section
from experiments.reports.luck import luck_section
from experiments.reports.regimes import regimes_section
from experiments.reports.robustness import robustness_section
from experiments.reports.style import figure_html
from experiments.reports.summary import done, headline, leaders, sureness, versus
from experiments.reports.training import Curves, kept, training_section, untrained


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
    forecasts: Mapping[str, Any] | None = None,
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
        forecasts: what `predictions.json` holds (`experiments.predictions.judge`).

    Returns:
        The path written.
    """
    run = Run(evidence, trajectories)
    found, windows = analysis or {}, splits or {}
    settings = yaml.safe_load(config_yaml) or {}
    parts = [
        _performance(run),
        luck_section(run, notes),
        forecasts_section(run, forecasts or {}),
        _figures(run),
        robustness_section(run, found.get("robustness", {})),
        attribution_section(run, found.get("attribution", {})),
        regimes_section(run, found.get("regimes", {}), _months(run)),
        training_section(run, learning_curves or {}, settings),
        _what_was_run(provenance, windows),
        _limits(evidence, trajectories, notes, found),
        section("config", "Resolved config", details("config.yaml", config_yaml)),
    ]
    parts = [part for part in parts if part]
    learned = untrained(kept(learning_curves or {}, settings))
    sections = [
        _header(run, title, provenance, windows, first, learned),
        _contents(parts),
        *parts,
    ]
    css = files("experiments.reports").joinpath("report.css").read_text(encoding="utf-8")
    page = page_html(title, css, "\n".join(sections))
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


def _contents(parts: Sequence[str]) -> str:
    """Links to the sections, by their headings."""
    found = (re.match(r'<section id="([^"]+)"><h2>(.*?)</h2>', part) for part in parts)
    links = "".join(f'<a href="#{m[1]}">{m[2]}</a>' for m in found if m)
    return f'<nav aria-label="Sections">{links}</nav>'


def _header(
    run: Run,
    title: str,
    provenance: Mapping[str, Any],
    splits: Mapping[str, Sequence[Any]],
    first: Sequence[str],
    learned: Sequence[str],
) -> str:
    w = run.evidence.window
    where = (
        f"Test window: {span(w)}"
        + (f", first decided on {w['first_decision']}" if w["real_dates"] else "")
        + ", after costs"
    )
    if provenance.get("data"):
        where = f"{escape(str(provenance['data']))} · {where}"
    evidence = run.evidence
    said = [
        *first,
        done(evidence, splits, provenance),
        *evidence.caveats,
        *(headline(evidence) if evidence.of_role("agent") else [leaders(evidence)]),
        *learned,
        *sureness(evidence),
    ]
    sentences = "".join(paragraph(words) for words in said)
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
    usual, risk = blocks_in_words(b["mean_block"]), blocks_in_words(b["mean_block_risk"])
    if risk != usual:
        risk = f"; for volatility, drawdown, Calmar and CVaR, which cluster: {risk}"
    else:
        risk = ""
    iqm = ""
    if any(m.iqm is not None for s in evidence.strategies.values() for m in s.metrics.values()):
        iqm = (
            " IQM is the mean of the middle half of the seeds; its interval is that of the central "
            f"{level} of histories in which the seeds are drawn anew as well as the dates: it is "
            "not to be compared with the studentised one of the row above."
        )
    parts = [
        tables.metrics_html(run),
        f'<p class="note">Small print: {level} intervals from a stationary bootstrap of dates '
        f"({b['replications']:,} resampled histories, the same dates for every strategy and "
        f"seed; {usual}{risk}). Those of growth, Sharpe and Sortino ratio are studentised, the "
        "others are percentiles of the histories. They hold what the luck of the days "
        "could have changed; the rows of the seeds show what the luck of training did. Bold is the "
        "best figure of a column. Maximum drawdown and Calmar depend on the order of the days, "
        f"which resampling changes: their intervals describe reshuffled histories.{iqm}</p>",
    ]
    if evidence.differences:
        _, rows = figures.pairs(run)
        lines = sum(max(30, 20 * len(members) + 8) for _, members in rows)
        pairs = sum(len(members) for _, members in rows)
        one_in = f"{1 / (1 - b['level']):.0f}"
        agents = bool(evidence.of_role("agent"))
        first = label(evidence.differences[0].baseline).lower()
        what = "each agent from each baseline" if agents else f"each strategy from {first}"
        parts += [
            f"<h3>{'Agent less baseline' if agents else f'Strategy less {escape(first)}'}</h3>",
            figure_html(
                "differences",
                partial(figures.differences, run),
                (94 + lines, 150 + 2 * lines),
                f"Difference of {what} in growth and Sharpe ratio, with intervals; the table that "
                "follows holds the numbers.",
                "Dot: the difference on the days as they came. Bar: its interval. Hollow dot: the "
                "interval contains zero. Holm p: the probability of a difference like it where "
                "there is none, corrected for the number of pairs; bold below 0.05.",
            ),
            tables.differences_html(run),
            f'<p class="note">Of intervals at {level}, about one in {one_in} misses the truth by '
            f"chance alone: among {pairs} pairs, one without zero proves little. That is what the "
            "p of Holm (1979) corrects for: it is the one to believe.</p>",
        ]
    notes = evidence.notes + undefined_notes(evidence)
    if notes:
        items = "".join(f"<li>{escape(n)}</li>" for n in notes)
        parts.append(f'<ul class="note">{items}</ul>')
    return section("performance", "What it earned, and how sure that is", *parts)


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
    rows_only = ""
    if not run.evidence.window["real_dates"]:
        rows_only = " The dates of the axis are made up: they number the rows."
    parts = [
        figure_html(
            "wealth",
            partial(figures.wealth, run),
            (560, 590),
            f"Wealth of every strategy on a logarithmic axis, and drawdown. {_wealth_text(run)}",
            f"Beside the names: final wealth{', geometric mean over seeds' if several else ''}."
            f"{geometric}{end}{bench}{edge} Drawdown is shown for "
            f"{fell}.{rows_only}",
        )
    ]
    fans = paths.fanned(run)
    if fans:
        count = max(len(run.trajectories[n]) for n in fans)
        quartiles = " the dark band the middle half of them," if count >= paths.QUARTILES else ""
        panels = paths.fan_panels(run)
        height, beside = 54 + 200 * len(panels), ""
        if any(relative for _, relative in panels):
            beside = (
                " Black: equal weight. Over the wealth of equal weight a steady slope is a steady "
                "lead or lag; a jump is a single event."
            )
        parts.append(
            figure_html(
                "fan",
                partial(paths.draw_fan, run),
                (height, height),
                f"Wealth of {', '.join(label(n) for n in fans)} over seeds: median and range.",
                "The line, and its number, is the median over seeds (in the figure of wealth "
                f"above it is the geometric mean),{quartiles} the light band all of them: what "
                f"the luck of training changes.{beside}",
            )
        )
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
    parts.append(_exposure(run, thin))
    parts.append(
        figure_html(
            "trading",
            partial(figures.trading, run),
            (600, 690),
            "Active share, turnover and cumulative costs of every strategy over time.",
            "Turnover counts buys and sells, so that replacing everything is 200 %; the first "
            "purchase runs off the panel. An active share of 0 is 1/N. Costs are added up over the "
            "steps, each in percent of the value at its step: where trades go on for long, the sum "
            f"may pass 100 %.{thin}",
        )
    )
    return section("paths", "How it got there", *parts)


def _exposure(run: Run, thin: str) -> str:
    """Gross, net and cash over time; a sentence where everything is invested all the time."""
    if paths.always_invested(run):
        return paragraph(
            "All strategies are fully invested all the time, and none is short.", "note"
        )
    panels = len(paths.exposures(run))
    return figure_html(
        "exposure",
        partial(paths.draw_exposure, run),
        (
            max(60 + 190 * panels, 30 + 15 * len(run.roles)),
            110 + 170 * panels + 8 * len(run.roles),
        ),
        "What every strategy has invested over time: gross, net and cash.",
        "Just after each trade."
        + (" Gross: sum of the sizes of all positions; net: longs less shorts." * (panels > 1))
        + thin,
    )


def _wealth_text(run: Run) -> str:
    texts = []
    for name in run.evidence.strategies:
        values = [figures.wealth_text(float(t.value[-1])) for t in run.trajectories[name]]
        texts.append(f"{label(name)} ends at {', '.join(values)}")
    return "; ".join(texts) + "."


def _months(run: Run) -> list[str]:
    words = (
        "Compounded in each calendar month, mean over seeds; the first and the last month may be "
        "partial. Blue is a gain, orange a loss."
    )
    shown = [tables.monthly_html(name, run.trajectories[name]) for name in run.focus()]
    return ["<h3>Monthly returns</h3>", *shown, paragraph(words, "note")]


def _what_was_run(provenance: Mapping[str, Any], splits: Mapping[str, Sequence[Any]]) -> str:
    facts: dict[str, Any] = {}
    for window, days in splits.items():
        steps = f", {days[2]:,} steps" if len(days) > 2 else ""
        facts[f"{window} window"] = f"first decision {days[0]}, last return {days[1]}{steps}"
    windows = paths.windows_of(splits)
    figure = ""
    if windows:
        figure = figure_html(
            "windows",
            partial(paths.draw_windows, splits),
            (84 + 34 * len(windows), 84 + 34 * len(windows)),
            "; ".join(f"{key}: {span[0]} to {span[1]}" for key, span in splits.items()) + ".",
            _windows_in_words(windows),
        )
    if len(windows) > 1:
        more = (
            f"<details><summary>Dates of all windows</summary>{tables.facts_html(facts)}</details>"
        )
        return section("run", "What was run", figure, tables.facts_html(provenance), more)
    return section("run", "What was run", figure, tables.facts_html(facts | dict(provenance)))


def _windows_in_words(windows: Sequence[Mapping[str, Any]]) -> str:
    """What the timeline shows, for those who trained and for those who did not."""
    if not any(len(window) > 1 for window in windows):
        return "What was tested on. Nothing was trained or chosen on other rows."
    words = (
        "What was trained on, chosen on and tested on. Between these some rows are left out, so "
        "that nothing of one is seen in the next."
    )
    if len(windows) > 1:
        words += (
            " Each window has agents of its own: those of a later one may learn from rows on which "
            "those of an earlier one were tested."
        )
    return words


def _limits(
    evidence: Evidence,
    trajectories: Mapping[str, Sequence[Trajectory]],
    notes: Sequence[str],
    analysis: Mapping[str, Any],
) -> str:
    sizes = analysis.get("robustness", {}).get("impact", {}).get("sizes")
    trials = evidence.trials.count
    hindsight = [label(n) for n, s in evidence.strategies.items() if s.hindsight]
    charged = any("impact" in t.costs for runs in trajectories.values() for t in runs)
    filled = (
        "Orders move prices by the stated law and by no other"
        if charged
        else "The portfolio is assumed too small to move prices"
    )
    more = "; what larger ones would have earned is estimated under “What costs and delay do”"
    own = [
        f"One test window of {evidence.window['steps']:,} steps is one draw of history: the "
        "intervals assume that days to come are like these.",
        f"{filled}, and every order to be filled at the stated execution price"
        f"{more if sizes else ''}.",
    ]
    if trials <= 1:
        own.append(
            f"One trial is counted ({evidence.trials.source}). Whatever else "
            "was tried is not in these numbers: the more there was, the less a good result means."
        )
    if hindsight:
        own.append(
            f"{', '.join(hindsight)}: chosen with the test window in view, a bound and not a "
            "strategy that could have been followed."
        )
    meanings = (
        f"<details><summary>What the measures mean</summary>{tables.glossary_html()}</details>"
    )
    return section("limits", "Limits", bullets([*notes, *own]), meanings)
