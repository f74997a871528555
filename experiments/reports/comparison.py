"""The page of `experiments.compare`: sentences, a table, figures, and pairs of rows."""

from __future__ import annotations

from functools import partial
from html import escape
from importlib.resources import files
from typing import Any

from experiments.comparing.comparison import Comparison, common_span
from experiments.comparing.notes import comparable
from experiments.comparing.origins import HEADS, origin_cells, where
from experiments.comparing.tables import p_text, verdicts_in_words
from experiments.comparing.words import sweep_sentences, who_leads
from experiments.evaluation.metrics import BY_NAME
from experiments.reports.comparison_figures import (
    intervals,
    line,
    row_names,
    shared_reference,
    shown,
    standings,
    wealth,
)
from experiments.reports.parallel import axes_of, parallel
from experiments.reports.report import page_html
from experiments.reports.style import figure_html
from experiments.reports.tables import scroll_box

MOST_PAIRED = 40
CSS = """td.differs, th.differs, .words { text-align: left; white-space: normal; }
td.differs, th.differs { min-width: 130px; }
.words { min-width: 64px; max-width: 150px; overflow-wrap: anywhere; }
table.settings { min-width: 0; }
table.settings th, table.settings td { min-width: 72px; max-width: 240px; white-space: normal;
  text-align: left; overflow-wrap: anywhere; }
table.settings th:first-child { min-width: 150px; }
"""


def comparison_page(comparison: Comparison, table: tuple[list[str], list[list[str]]]) -> str:
    """The whole page as HTML; equal input gives equal bytes."""
    heads, cells = table
    kinds = {1: " class=differs", len(heads) - 1: " class=words"}
    head = "".join(
        f'<th scope="col"{kinds.get(i, "")}>{escape(h)}</th>' for i, h in enumerate(heads)
    )
    body = "".join(
        f'<tr><th scope="row">{_swatch(i)}{i + 1} {escape(line[0])}</th>'
        + f'<td class="differs">{escape(line[1])}</td>'
        + "".join(f"<td>{_cell(c)}</td>" for c in line[2:-1])
        + f'<td class="words">{escape(line[-1])}</td></tr>'
        for i, line in enumerate(cells)
    )
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in comparison.notes)
    said = comparison.caveats + who_leads(comparison)
    lead = "".join(f"<p>{_text(s)}</p>" for s in said)
    count = len(comparison.rows)
    parts = [
        f'<header><p class="where">{_text(where(comparison.rows))}</p>'
        f'<h1>{count} results side by side</h1><div class="lead">{lead}</div></header>',
        f'{scroll_box(grid, "Results by run")}<p class="note">{_small_print(comparison)}</p>',
        f'<ul class="note">{notes}</ul>',
        _intervals(comparison),
        _standings(comparison),
        _pairs(comparison),
        _sweep(comparison),
        _parallel(comparison),
        _wealth(comparison),
        _configs(comparison),
        _origins(comparison),
    ]
    css = files("experiments.reports").joinpath("report.css").read_text(encoding="utf-8")
    return page_html("Comparison", css + CSS, "\n".join(part for part in parts if part))


def _small_print(comparison: Comparison) -> str:
    b = comparison.rows[0].evidence.bootstrap
    text = (
        f"[low, high]: {b['level'] * 100:g} % intervals. Those of the mean are studentised, over "
        "resampled dates alone; those of the interquartile mean (IQM) are percentiles over dates "
        "and seeds. The two are made differently, so either can be the narrower one. "
        + verdicts_in_words(comparison.rows)
    )
    s = comparison.statistics
    if s is not None:
        text += (
            f" Ranks, by {BY_NAME[s.measure].label}, and pairs: dates resampled in blocks of "
            f"{s.settings['mean_block']} on average, {s.settings['replications']:,} times, the "
            "same for all rows, and seeds drawn anew within each row, on the "
            f"{common_span(s, comparison.rows)}."
        )
    return escape(text).replace(" %", "&nbsp;%")


def _intervals(comparison: Comparison) -> str:
    rows, count = comparison.rows, len(comparison.rows)
    return figure_html(
        "intervals",
        partial(intervals, rows),
        (64 + 30 * count, shown(rows) * (56 + 26 * count)),
        "Growth, Sharpe ratio and growth less equal weight of every row, with intervals; the "
        "table holds the numbers.",
        "Dot: the figure on the days as they came. Bar: its bootstrap interval. Hollow: a "
        "difference that is not to be told from zero, all rows counted.",
    )


def _standings(comparison: Comparison) -> str:
    statistics, count = comparison.statistics, len(comparison.rows)
    if statistics is None:
        return ""
    figure = figure_html(
        "standings",
        partial(standings, comparison),
        (64 + 30 * count, 2 * (56 + 26 * count)),
        "Mean rank of every row with its interval, and its distance from the best row.",
        "Rank: mean over resampled dates and seeds, with its interval. Distance: from the row that "
        "was best on the days as they came; hollow: not to be told from it, after correction for "
        "all pairs.",
    )
    return f"<h2>Who is ahead, and how surely</h2>{figure}"


def _pairs(comparison: Comparison) -> str:
    """P(row beats column) as a heat table, with the difference and its p-value in the title."""
    s, rows = comparison.statistics, comparison.rows
    if s is None:
        return ""
    ranked = [i for i, standing in enumerate(s.standings) if standing is not None]
    ranked.sort(key=lambda i: s.standings[i].mean)  # type: ignore[union-attr]
    more = ranked[MOST_PAIRED:]
    ranked, names = ranked[:MOST_PAIRED], row_names(rows, 44)
    head = "".join(f'<th scope="col">{_swatch(j)}{j + 1}</th>' for j in ranked)
    body = ""
    for i in ranked:
        cells = "".join(_chance(comparison, i, j) for j in ranked)
        body += f'<tr><th scope="row">{_swatch(i)}{escape(names[i])}</th>{cells}</tr>'
    grid = (
        '<table class="heat"><thead><tr><th scope="col">beats …, %</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    left_out = f" The last {len(more)} by rank are in compare_pairs.csv alone." if more else ""
    text = (
        f"Probability that a random seed of the row has the higher {BY_NAME[s.measure].label} than "
        "a random seed of the column in the same resampled history (probability of improvement, "
        "Agarwal et al. 2021); ties count half. Small: its interval over seeds, where a row has "
        f"several. Bold with an asterisk: the difference is not zero, after Holm.{left_out}"
    )
    if BY_NAME[s.measure].higher_is_better is False:
        text = text.replace("the higher", "the lower")
    note = f'<p class="note">{escape(text)}</p>'
    return f"<h3>Each against each</h3>{scroll_box(grid, 'Probability of improvement')}{note}"


def _chance(comparison: Comparison, i: int, j: int) -> str:
    s = comparison.statistics
    if s is None or i == j or (value := s.improvement(i, j)) is None:
        return "<td></td>"
    flip = (i, j) not in s.pairs
    pair = s.pairs[j, i] if flip else s.pairs[i, j]
    low, high = pair.improvement_low, pair.improvement_high
    if flip and low is not None and high is not None:
        low, high = 1 - high, 1 - low
    metric = BY_NAME[s.measure]
    sign = -1 if flip else 1
    gap = metric.text(sign * pair.value, sign=True)
    edges = metric.interval(*sorted((sign * pair.low, sign * pair.high)), sign=True)
    title = f"difference {gap} {edges}, p {p_text(pair.p_value)}, Holm {p_text(pair.p_holm)}"
    text = f"{100 * value:.0f}"
    if pair.p_holm < 1 - s.settings["level"]:
        text = f"<b>{text}*</b>"
    if low is not None and high is not None:
        text += f"<small>[{100 * low:.0f}, {100 * high:.0f}]</small>"
    strength = abs(value - 0.5) * 2 * 0.7
    shade = (43, 123, 186) if value >= 0.5 else (222, 119, 30)
    rgb = ",".join(str(round(255 + (c - 255) * strength)) for c in shade)
    return f'<td title="{escape(title)}" style="background:rgb({rgb})">{text}</td>'


def _sweep(comparison: Comparison) -> str:
    said = sweep_sentences(comparison.sweep)
    if not said:
        return ""
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in said)
    candidates = comparison.sweep["candidates"]
    return f"<h2>What choosing the best of {candidates} candidates is worth</h2><ul>{items}</ul>"


def _parallel(comparison: Comparison) -> str:
    measure = "sharpe" if comparison.statistics is None else comparison.statistics.measure
    axes, kept, left_out = axes_of(comparison.rows, measure)
    # Of rows that answer different questions none is the best.
    if len(axes) < 2 or len(kept) < 3 or not comparable(comparison.rows):
        return ""
    names = ", ".join(one.name for one in axes[:-1])
    also = f" Not shown, for want of room: {', '.join(left_out)}." if left_out else ""
    figure = figure_html(
        "settings",
        partial(parallel, comparison.rows, measure),
        (360, 60 + 92 * len(axes)),
        f"Parallel coordinates: {names} of every row, and its {axes[-1].name}.",
        f"One line a row, from its settings to its {escape(axes[-1].name)}: the darker the better, "
        "the best in orange. Settings that change together are shown by one of them."
        f"{escape(also)}",
    )
    return f"<h2>Settings and result</h2>{figure}"


def _wealth(comparison: Comparison) -> str:
    black = " Black: equal weight." if shared_reference(comparison.rows) is not None else ""
    return "<h2>Wealth</h2>" + figure_html(
        "wealth",
        partial(wealth, comparison.rows),
        (440, 380),
        "Wealth of every row over its test window, on a logarithmic axis.",
        "Thin lines are the seeds, bold lines their geometric mean; colours as in the table."
        f"{black}",
    )


def _configs(comparison: Comparison) -> str:
    """Every key of the config that differs, one column a row of the table above."""
    rows = comparison.rows
    if not rows[0].config:
        return ""
    head = "".join(f'<th scope="col">{_swatch(i)}{i + 1}</th>' for i, r in enumerate(rows))
    body = "".join(
        f'<tr><th scope="row">{escape(key)}</th>'
        + "".join(f"<td>{_value(r.config[key])}</td>" for r in rows)
        + "</tr>"
        for key in rows[0].config
    )
    start = '<table class="settings"><thead><tr><th scope="col">Key</th>'
    grid = f"{start}{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>What differs in the configs</h2>{scroll_box(grid, 'Configs')}"


def _origins(comparison: Comparison) -> str:
    """Data, window, costs, command and commit of every row; rows that share all in one line."""
    head = "".join(f'<th scope="col" class="differs">{name}</th>' for name in HEADS)
    body = "".join(
        f'<tr><th scope="row" class="words">{escape(line[0])}</th>'
        + "".join(f'<td class="differs">{escape(text)}</td>' for text in line[1:])
        + "</tr>"
        for line in origin_cells(comparison.rows)
    )
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<h2>Where the rows come from</h2>{scroll_box(grid, 'Origins')}"


def _swatch(index: int) -> str:
    kind = {"-": "solid", ":": "dotted"}.get(line(index).dash, "dashed")
    return f'<span class="swatch" style="border-top:3px {kind} {line(index).colour}"></span>'


def _cell(text: str) -> str:
    value, bracket, interval = text.partition(" [")
    return escape(value) + (f"<small>[{escape(interval)}</small>" if bracket else "")


def _text(text: str) -> str:
    """Escaped, with numbers kept beside their percent signs."""
    return escape(text).replace(" %", "&nbsp;%")


def _value(value: Any) -> str:
    return "—" if value is None else escape(str(value))
