"""`python -m experiments.predictors`: the catalogue of predictors, and how much each one finds.

`list` shows name, number of parameters and source of each. `measure` trains every one on a market
with a planted signal, whose best possible forecast is known, and on one without, all with the same
small budget, and says how much of what can be known each of them knows. Exit status 0, or 2 for
bad input.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from envs.errors import InputError
from experiments.cli import BAD_INPUT, complain
from experiments.evaluation.planted import Planted, plant
from experiments.evaluation.planted_scores import (
    ASSETS,
    EPOCHS,
    LEAST_ROWS,
    ROWS,
    SEEDS,
    STRENGTH,
    WINDOW,
    Row,
    budget,
    measure_all,
    n_parameters,
    noise_level,
    pooled,
)
from experiments.pages import put_between

MARK = "predictors"
# The input that the numbers of parameters in the catalogue are for.
CATALOGUE_ROWS, CATALOGUE_ASSETS = 60, 20
CATALOGUE_GROUPS = {
    "technical": slice(0, 20),
    "sentiment": slice(20, 30),
    "seasonal": slice(30, 35),
    "macro": slice(35, 45),
}
N_FEATURES = 45

HEADS = ("predictor", "parameters", "direction", "return (R²)", "right on noise", "seconds")


def cells(row: Row, best: Planted, level: float) -> list[str]:
    """One line of the table, as text."""
    noise = pooled(row.noise)
    low, high = (100 * x for x in noise.interval(level))
    n = noise.parameters
    return [
        row.name,
        "trees" if n is None else f"{n:,}",
        _range([100 * s.direction_share(best) for s in row.signal]),
        _range([100 * s.r2_share(best) for s in row.signal]),
        f"{100 * noise.accuracy:.1f} % [{low:.1f}, {high:.1f}]",
        f"{pooled(row.signal).seconds:.1f}",
    ]


def _range(values: Sequence[float]) -> str:
    """Mean, and the lowest and highest seed."""
    low, high = min(values), max(values)
    return f"{np.mean(values):.1f} %" + (f" ({low:.1f} to {high:.1f})" if len(values) > 1 else "")


def markdown(table: Sequence[Sequence[str]], source: str) -> str:
    """The table for a page, and where it comes from."""
    lines = [f"| {' | '.join(HEADS)} |", "|---|" + "---:|" * (len(HEADS) - 1)]
    lines += [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([*lines, "", source]) + "\n"


# ---------------------------------------------------------------------- catalogue
def catalogue() -> list[tuple[str, int | None, str]]:
    """Name, parameters at the settings of the catalogue, and the first line of what it is."""
    from networks.predictors import PREDICTORS, InputShape

    shape = InputShape(CATALOGUE_ROWS, CATALOGUE_ASSETS, N_FEATURES, CATALOGUE_GROUPS)
    found = []
    for name, maker in PREDICTORS.items():
        words = (inspect.getdoc(maker) or "").partition("\n\n")[0]
        found.append((name, n_parameters(maker(shape)), " ".join(words.split())))
    return found


# ---------------------------------------------------------------------- command
def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.predictors",
        description="The catalogue of predictors, and how much of what can be known each finds.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="name, parameters and source of every predictor")
    measured = verbs.add_parser("measure", help="train all on planted signals and on noise")
    add = measured.add_argument
    add("predictors", nargs="*", metavar="NAME", help="default: all")
    add("--seeds", type=int, default=SEEDS, help="markets of each kind; default %(default)s")
    add("--rows", type=int, default=ROWS, help="of each market; default %(default)s")
    add("--epochs", type=int, default=EPOCHS, help="of networks; default %(default)s")
    add("--markdown", type=Path, metavar="PATH", help="write the table, between its marks if any")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, lists or measures, prints, returns the exit status."""
    chosen = command_line().parse_args(argv)
    if chosen.verb == "list":
        _print_catalogue()
        return 0
    import torch

    from experiments import provenance
    from experiments.progress import Progress
    from networks.predictors import PREDICTORS

    torch.set_num_threads(1)
    names = chosen.predictors or list(PREDICTORS)
    began = datetime.now(UTC)
    try:
        with Progress(
            2 * max(chosen.seeds, 1) * len(names), "predictors, trainings", file=sys.stderr
        ) as progress:
            rows = measure_all(
                names,
                seeds=chosen.seeds,
                rows=chosen.rows,
                epochs=chosen.epochs,
                advance=progress.advance,
            )
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    best, level = plant(n_rows=LEAST_ROWS, strength=STRENGTH), noise_level(len(rows))
    words = ["python", "-m", "experiments.predictors", *(sys.argv[1:] if argv is None else argv)]
    machine, git = provenance.machine(), provenance.git_state()
    commit = (git["commit"] or "unknown")[:10] + (" with local changes" if git["dirty"] else "")
    how = budget(chosen.epochs)
    source = (
        f"`{provenance.command_line(words)}`, {began:%Y-%m-%d}, commit {commit}: seeds 0 to "
        f"{chosen.seeds - 1}, mean (lowest to highest); {chosen.rows:,} rows of {ASSETS} assets, "
        f"windows of {WINDOW}; {how.epochs} epochs, learning rate {how.learning_rate:g}, batches "
        f"of {how.batch_size} rows. The best possible are {100 * best.best_accuracy:.1f} % right "
        f"and an R² of {100 * best.best_r2:.0f} %. Intervals on noise: Clopper-Pearson at "
        f"{100 * level:.1f} %, 95 % for all together. Seconds are of one process on "
        f"{machine['processor']}."
    )
    table = markdown([cells(row, best, level) for row in rows], source)
    print(table, end="")
    if chosen.markdown is not None:
        put_between(chosen.markdown, MARK, table)
    return 0


def _print_catalogue() -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(
        Column("predictor", no_wrap=True), Column("parameters", justify="right"), "what", box=None
    )
    for name, n, words in catalogue():
        table.add_row(name, "trees" if n is None else f"{n:,}", words)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"\nAt their defaults, for windows of {CATALOGUE_ROWS} rows of {CATALOGUE_ASSETS} assets "
        f"with {N_FEATURES} features each."
    )


if __name__ == "__main__":
    sys.exit(main())
