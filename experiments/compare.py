"""`python -m experiments.compare RUN_DIR ...`: one table and one page for several runs.

Exit status 0: the table was printed and `compare.html`, `compare.csv` and `compare_pairs.csv` were
written; 2: a folder cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from envs.errors import InputError
from experiments.cli import BAD_INPUT, INTERRUPTED, complain
from experiments.comparing.comparison import Comparison, compare_runs
from experiments.comparing.tables import (
    comparison_csv,
    comparison_table,
    pairs_csv,
    table_cells,
    verdicts_in_words,
)
from experiments.evaluation.estimates import COMPARED
from experiments.evaluation.metrics import BY_NAME


def command_line() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.compare",
        description="Puts finished runs side by side: one table, one page with figures, two CSVs.",
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="RUN_DIR",
        help="a finished run, or the folder of a multirun, which stands for all its jobs",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/compare"), metavar="DIR",
        help="where compare.html, compare.csv and compare_pairs.csv go (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--each", "--no-aggregate", action="store_true",
        help="a row for each run, also where runs differ in nothing but their seed",
    )  # fmt: skip
    parser.add_argument(
        "--by", choices=COMPARED, default="sharpe",
        help="measure of the ranks and of the comparisons in pairs (default: %(default)s)",
    )  # fmt: skip
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, writes and prints the comparison, returns the exit status."""
    arguments = command_line().parse_args(argv)
    try:
        comparison = compare_runs(
            arguments.folders, aggregate=not arguments.each, measure=arguments.by
        )
        page = write_comparison(comparison, arguments.out)
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    from rich.console import Console

    from experiments.comparing.origins import where
    from experiments.comparing.words import sentences

    console = Console()
    for sentence in (where(comparison.rows), *comparison.caveats):
        console.print(sentence, highlight=False, markup=False)
    console.print(comparison_table(comparison, console.width))
    if comparison.statistics is not None:
        print(f"rank: by {BY_NAME[comparison.statistics.measure].label}, 1 is the best")
    if counted := verdicts_in_words(comparison.rows):
        console.print(counted, highlight=False, markup=False)
    for sentence in sentences(comparison):
        console.print(sentence, highlight=False, markup=False)
    for note in comparison.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    print(f"page: {page}")
    return 0


def write_comparison(comparison: Comparison, out: Path) -> Path:
    """Writes `compare.html` and the two CSV files into `out`; returns the page's path.

    Raises:
        InputError: if the folder cannot be written.
    """
    from experiments.reports.comparison import comparison_page
    from experiments.run_folder import open_run_folder, write_text

    folder = open_run_folder(out, "--out")
    write_text(folder / "compare.csv", comparison_csv(comparison))
    write_text(folder / "compare_pairs.csv", pairs_csv(comparison))
    page = comparison_page(comparison, table_cells(comparison))
    write_text(folder / "compare.html", page)
    return folder / "compare.html"


if __name__ == "__main__":
    sys.exit(main())
