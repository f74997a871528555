"""The comparison as text: cells for a page, a table for the terminal, CSV for a program."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from experiments.comparing.comparison import Comparison
from experiments.comparing.rows import REFERENCE, Row, known_text
from experiments.evaluation.estimates import Estimate
from experiments.evaluation.metrics import BY_NAME
from experiments.evaluation.table import WIDE, WITH_INTERVAL, label

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = {"cagr": "CAGR %", "sharpe": "Sharpe", "max_drawdown": "Max DD %", "cost": "Cost %/y"}
MEASURES = ("cagr", "sharpe", "max_drawdown", "cost")
ENDS = ("", "_low", "_high")


def p_text(p: float | None) -> str:
    """A p-value in print: `0.032`, `< 0.001`; empty for None."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def table_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """`(heads, cells)` of the page's table as text; columns that say nothing are left out."""
    rows, statistics = comparison.rows, comparison.statistics
    several = any(_sharpe(row).iqm is not None for row in rows)
    known = any(row.known for row in rows)
    heads = ["Strategy", "What differs", "Seeds"]
    if statistics is not None:
        heads += [f"Mean rank by {BY_NAME[statistics.measure].label}", "First"]
    for measure in MEASURES:
        heads.append(BY_NAME[measure].label)
        if several and measure == "sharpe":
            heads.append("Sharpe, IQM over seeds")
    measured = any(row.less_reference is not None for row in rows)
    heads += ["CAGR less equal weight, points", "p, Holm", "Growth is"] if measured else []
    heads += ["Known answer"] if known else []
    heads.append("Run")
    cells = []
    for i, row in enumerate(rows):
        metrics = row.evidence.strategies[row.strategy].metrics
        trained = row.trajectories[0].seed is not None
        line = [label(row.strategy), row.special or "nothing", str(row.seeds) if trained else "—"]
        if statistics is not None:
            s = statistics.standings[i]
            line += (
                ["n/a", "n/a"]
                if s is None
                else [f"{s.mean:.1f} [{s.low:g}, {s.high:g}]", percent(s.first)]
            )
        for measure in MEASURES:
            e, metric = metrics[measure], BY_NAME[measure]
            with_interval = measure in WITH_INTERVAL
            interval = metric.interval(e.low, e.high) if with_interval else ""
            line.append(f"{metric.text(e.value)} {interval}".rstrip())
            if several and measure == "sharpe":
                interval = metric.interval(e.iqm_low, e.iqm_high)
                one = "one seed" if row.seeds == 1 else "n/a"
                line.append(one if e.iqm is None else f"{metric.text(e.iqm)} {interval}".rstrip())
        d = row.less_reference
        if d is None:
            line += ["—", "—", "—"] if measured else []
        else:
            interval = BY_NAME["cagr"].interval(d.low, d.high, sign=True)
            value = BY_NAME["cagr"].text(d.value, sign=True, suffix=False)
            line += [f"{value} {interval}".rstrip(), p_text(d.p_holm) or "n/a", row.verdict]
        line += [known_text(row) or "—"] if known else []
        cells.append([*line, row.run])
    return heads, cells


def verdicts_in_words(rows: Sequence[Row]) -> str:
    """What p and the verdict on growth mean; empty where no row is compared with equal weight."""
    found = (row.less_reference for row in rows if not row.bound)
    count = sum(d is not None and d.p_value is not None for d in found)
    if not count:
        return ""
    counted = "one comparison" if count == 1 else f"the {count} comparisons of this table (Holm)"
    return (
        f"p, of no difference in growth from equal weight, counts {counted}. Growth is unclear "
        "where the interval of that difference contains zero"
        + ("." if count == 1 else "; if alone: better or worse, but not when all are counted.")
    )


def _sharpe(row: Row) -> Estimate:
    return row.evidence.strategies[row.strategy].metrics["sharpe"]


def comparison_table(comparison: Comparison, width: int = WIDE) -> Table:
    """The table for the terminal: measures by row, and below it what the rows are."""
    from rich import box
    from rich.table import Table

    rows, statistics = comparison.rows, comparison.statistics
    legend = [f"{i} {r.run}: {r.special}" for i, r in enumerate(rows, 1) if r.config]
    measured = any(row.less_reference is not None for row in rows)
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        caption="\n".join(legend),
        caption_justify="left",
    )
    table.add_column("", no_wrap=True)
    columns = COLUMNS if width >= WIDE else {key: COLUMNS[key] for key in WITH_INTERVAL}
    for head in (*columns.values(), *(["less 1/N, pts"] if measured else [])):
        table.add_column(head, justify="right", no_wrap=True)
    if measured:
        table.add_column("growth", no_wrap=True)
    if statistics is not None:
        table.add_column("rank", justify="right", no_wrap=True)
    known = any(row.known for row in rows)
    if known:
        table.add_column("known", justify="right", no_wrap=True)
    for i, row in enumerate(rows, 1):
        seeds = f"\n{row.seeds} seeds" if row.seeds > 1 else ""
        cells = [f"{i} {label(row.strategy)}{seeds}"]
        metrics, growth = row.evidence.strategies[row.strategy].metrics, BY_NAME["cagr"]
        for key in columns:
            e, metric = metrics[key], BY_NAME[key]
            text = metric.interval(e.low, e.high) if key in WITH_INTERVAL else ""
            cells.append(f"{metric.text(e.value, suffix=False)}\n{text}".rstrip())
        d = row.less_reference
        if d is None:
            cells += ["—", ""] if measured else []
        else:
            text = growth.interval(d.low, d.high, sign=True)
            cells.append(f"{growth.text(d.value, sign=True, suffix=False)}\n{text}".rstrip())
            cells.append(row.verdict.replace(" if", "\nif"))
        if statistics is not None:
            s = statistics.standings[i - 1]
            cells.append("n/a" if s is None else f"{s.mean:.1f}\n[{s.low:g}, {s.high:g}]")
        if known:
            cells.append(known_text(row).replace(" [", "\n[") or "—")
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    return table


def comparison_csv(comparison: Comparison) -> str:
    """One line a row; numbers in full precision, fractions not percent, empty where undefined."""
    rows, statistics = comparison.rows, comparison.statistics
    heads = ["run", "strategy", "seeds", "first", "last", *rows[0].config]
    heads += [f"{m}{end}" for m in BY_NAME for end in (*ENDS, "_iqm", "_iqm_low", "_iqm_high")]
    heads += [f"cagr_less_{REFERENCE}{end}" for end in ENDS]
    heads += ["share_above_zero", "p_value", "p_holm_across_rows"]
    heads += ["rank_observed", "rank_mean", "rank_low", "rank_high", "share_first", "known_answer"]
    lines: list[Sequence[Any]] = [heads]
    for i, row in enumerate(rows):
        strategy, window = row.evidence.strategies[row.strategy], row.evidence.window
        days = [window["first"], window["last"]] if window["real_dates"] else [None, None]
        line = [row.run, row.strategy, row.seeds, *days]
        line += list(row.config.values())
        for measure in BY_NAME:
            e = strategy.metrics[measure]
            line += [e.value, e.low, e.high, e.iqm, e.iqm_low, e.iqm_high]
        d = row.less_reference
        line += (
            [None] * 6
            if d is None
            else [d.value, d.low, d.high, d.share_above_zero, d.p_value, d.p_holm]
        )
        s = None if statistics is None else statistics.standings[i]
        line += [None] * 5 if s is None else [s.observed, s.mean, s.low, s.high, s.first]
        line.append(sum(row.known) / len(row.known) if row.known else None)
        lines.append(line)
    return _csv(lines)


def pairs_csv(comparison: Comparison) -> str:
    """One line for each pair of rows: the difference, its p-value, and P(A > B)."""
    lines: list[Sequence[Any]] = [
        ["a", "run_a", "strategy_a", "b", "run_b", "strategy_b", "measure"]
        + [f"difference{end}" for end in ENDS]
        + ["p_value", "p_holm"]
        + [f"improvement{end}" for end in ENDS]
        + ["improvement_observed"]
    ]
    rows, statistics = comparison.rows, comparison.statistics
    if statistics is not None:
        for (a, b), pair in statistics.pairs.items():
            line: list[Any] = []
            for i in (a, b):
                line += [i + 1, rows[i].run, rows[i].strategy]
            line += [statistics.measure, pair.value, pair.low, pair.high, pair.p_value]
            line += [pair.p_holm, pair.improvement, pair.improvement_low, pair.improvement_high]
            lines.append([*line, pair.improvement_observed])
    return _csv(lines)


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for line in lines:
        writer.writerow(["" if x is None else repr(x) if isinstance(x, float) else x for x in line])
    return text.getvalue()
