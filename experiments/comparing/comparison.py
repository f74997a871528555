"""`compare_runs`: all that is known of several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.comparing.folders import expand
from experiments.comparing.notes import caveats, warnings
from experiments.comparing.rows import Row, once, read_rows, together
from experiments.comparing.statistics import FEWEST_STEPS, Statistics, across
from experiments.evaluation.intervals import holm

LEAST_REPLICATIONS, MOST_REPLICATIONS = 1000, 5000
HISTORIES_A_PAIR = 25


@dataclass(frozen=True)
class Comparison:
    """The rows and what is said of them together.

    Attributes:
        rows: one an agent of a run, or of several that differ in their seed alone.
        statistics: ranks and pairs; None where fewer than two rows can be compared.
        sweep: what choosing the best of all jobs is worth; empty with fewer than two jobs.
        notes: what a reader must know, in plain words.
        caveats: of the prices and the execution, in plain words.
    """

    rows: list[Row]
    statistics: Statistics | None = None
    sweep: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def compare_runs(
    folders: Sequence[Path], *, aggregate: bool = True, measure: str = "sharpe"
) -> Comparison:
    """Reads the runs and compares them.

    Args:
        folders: of finished runs, or of multiruns, which stand for their jobs.
        aggregate: runs that differ in nothing but their seed become one row.
        measure: by which rows are ranked and compared in pairs.

    Raises:
        InputError: naming a folder or file that cannot be used.
    """
    from experiments.comparing.sweep import sweep_tests

    runs, unfinished = expand(folders)
    jobs, repeated = once(read_rows(runs))
    rows = corrected(together(jobs) if aggregate else jobs)
    settings = rows[0].evidence.bootstrap
    pairs = len(rows) * (len(rows) - 1) // 2
    statistics = across(
        rows,
        measure,
        # The smallest p-value is 1 / (replications + 1), and Holm multiplies it by the pairs.
        replications=max(
            LEAST_REPLICATIONS,
            min(HISTORIES_A_PAIR * pairs, MOST_REPLICATIONS),
            *(r.evidence.bootstrap["replications"] for r in rows),
        ),
        level=settings["level"],
        seed=settings["seed"],
    )
    notes = unfinished + repeated + warnings(rows)
    if statistics is not None:
        notes += statistics.notes
        lowest = len(statistics.pairs) / (statistics.settings["replications"] + 1)
        if lowest >= 1 - settings["level"]:
            notes.append(
                f"of {len(statistics.pairs):,} pairs none can be told apart after correction: no "
                f"corrected p-value can be below {min(lowest, 1.0):.2g}; compare fewer rows"
            )
        windows = {(r.evidence.window["first"], r.evidence.window["last"]) for r in rows}
        if len(windows) > 1:
            notes.append(
                f"ranks and pairs are of the {common_span(statistics, rows)}; the table's measures "
                "are of each run's own window"
            )
    elif len(rows) > 1:
        notes.append(
            f"no ranks and no pairs: fewer than two rows have the measure on {FEWEST_STEPS} "
            "common dates"
        )
    return Comparison(rows, statistics, sweep_tests(jobs, rows), notes, caveats(rows))


def corrected(rows: Sequence[Row]) -> list[Row]:
    """The rows with the p-values of their growth less equal weight corrected for each other (Holm),
    in place of the other pairs of their runs, which are not shown; bounds are not counted."""
    whole = ((k, row.less_reference) for k, row in enumerate(rows) if not row.bound)
    known = [(k, d) for k, d in whole if d is not None]
    out = list(rows)
    for (k, d), p in zip(known, holm([d.p_value for _, d in known]), strict=True):
        out[k] = replace(rows[k], less_reference=replace(d, p_holm=p))
    return out


def common_span(statistics: Statistics, rows: Sequence[Row]) -> str:
    """The steps that all rows share; dates that are made up are not told."""
    text = f"{statistics.steps:,} steps that all rows share"
    if all(row.evidence.window["real_dates"] for row in rows):
        text += f", {statistics.first} to {statistics.last}"
    return text
