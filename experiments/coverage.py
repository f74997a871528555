"""`python -m experiments.coverage`: how often the intervals hold the truth, and the tests err.

Draws histories of markets whose truth is known, puts each through the statistics of a run as they
are, and counts: intervals must hold the truth as often as their level says, and differences and
alphas that do not exist must be called significant in 5 % of cases. Exit status 0, or 2 for bad
input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from envs.errors import InputError
from experiments.cli import BAD_INPUT, complain
from experiments.evaluation.alpha import measure_alpha
from experiments.evaluation.bootstrap import (
    MOST_REPLICATIONS,
    block_length,
    check_replications,
    resample,
)
from experiments.evaluation.bootstrap_kernels import VALUES
from experiments.evaluation.estimates import difference, estimate
from experiments.evaluation.intervals import percentile_interval
from experiments.evaluation.metrics import BY_NAME, Steps
from experiments.evaluation.null_markets import HARDER, NULL_MARKETS, PER_YEAR, NullMarket
from experiments.pages import put_between

LEVEL = 0.95
STEPS = (500, 1000, 2000)
REPLICATIONS, N_BOOTSTRAP = 2000, 399
QUICK_REPLICATIONS, QUICK_BOOTSTRAP = 200, 199
FEWEST_STEPS = 50
# Histories of one task of a process.
SHARE = 20
# What is counted: the heads of the table. The first must be 95 %, the others 5 %.
COVERED = {
    "growth": "growth (log return, CAGR)",
    "sharpe": "Sharpe",
    "growth_percentile": "growth, percentile",
    "sharpe_percentile": "Sharpe, percentile",
}
REJECTED = {
    "growth_rejected": "equal growth",
    "sharpe_rejected": "equal Sharpe",
    "alpha_rejected": "no alpha",
}
MARKETS = (*NULL_MARKETS, HARDER)
MARK = "coverage"


@dataclass(frozen=True)
class Cell:
    """Counts for one kind of market and length.

    Attributes:
        market: its name.
        steps: length of each history.
        histories: how many were drawn.
        counts: name of `COVERED` or `REJECTED` -> in how many of them.
    """

    market: str
    steps: int
    histories: int
    counts: dict[str, int]

    def share(self, key: str) -> float:
        """Of the histories, in [0, 1]."""
        return self.counts[key] / self.histories


def count(
    market: NullMarket, truth: dict[str, float], steps: int, numbers: Sequence[int], seed: int,
    n_bootstrap: int,
) -> dict[str, int]:  # fmt: skip
    """Counts over the histories with these numbers; each depends on `seed` and its number alone."""
    counts = dict.fromkeys([*COVERED, *REJECTED], 0)
    for number in numbers:
        rng = np.random.default_rng([seed, steps, number])
        index, strategies = market.draw(rng, steps)
        nothing = np.zeros((1, steps))
        one, other = (
            Steps(net[None], nothing, nothing, nothing, nothing, PER_YEAR) for net in strategies
        )
        drawn = resample(
            [one, other],
            replications=n_bootstrap,
            mean_block=block_length(strategies, squares=False),
            seed=int(rng.integers(2**31)),
            pairs=[(0, 1)],
        )
        for short, measure in (("growth", "mean_log_return"), ("sharpe", "sharpe")):
            found = estimate(BY_NAME[measure], one, drawn, 0, LEVEL, False)
            simple = percentile_interval(drawn.values[0, VALUES.index(measure)], LEVEL)
            counts[short] += _holds((found.low, found.high), truth[measure])
            counts[f"{short}_percentile"] += _holds(simple, truth[measure])
            gap = difference(
                ("one", "other"), measure, (one, other), drawn, (0, 1, 0), LEVEL, False
            )
            counts[f"{short}_rejected"] += gap.p_value is not None and gap.p_value <= 1 - LEVEL
        alpha = measure_alpha(strategies[0], index[:, None], ("market",), PER_YEAR, "market")
        counts["alpha_rejected"] += alpha.p is not None and alpha.p <= 1 - LEVEL
    return counts


def _holds(interval: tuple[float | None, float | None] | None, truth: float) -> bool:
    low, high = interval or (None, None)
    return low is not None and high is not None and low <= truth <= high


def simulate(
    markets: Sequence[NullMarket] = MARKETS,
    *,
    steps: Sequence[int] = STEPS,
    replications: int = REPLICATIONS,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    processes: int = 1,
    advance: Callable[[int], None] | None = None,
) -> list[Cell]:
    """Counts for every market and length; the figures do not depend on `processes`.

    Args:
        markets: kinds of returns.
        steps: lengths of the histories.
        replications: histories of each market and length.
        n_bootstrap: resampled histories of each.
        seed: of the draws.
        processes: how many share the work.
        advance: called with the number of histories done since the last call.

    Raises:
        InputError: for numbers outside their ranges.
    """
    check_replications(n_bootstrap)
    if not 1 <= replications <= MOST_REPLICATIONS:
        raise InputError(f"replications must be at least 1, got {replications:,}; 2,000 is usual")
    if min(steps, default=0) < FEWEST_STEPS:
        raise InputError(f"steps must be at least {FEWEST_STEPS}, got {list(steps)}")
    if processes < 1 or seed < 0:
        raise InputError(f"processes >= 1 and seed >= 0 are needed, got {processes} and {seed}")
    tasks = {}
    totals = {(m.name, n): dict.fromkeys([*COVERED, *REJECTED], 0) for m in markets for n in steps}
    # A child that is spawned has no threads of its parent.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for market in markets:
            truth = market.truth()
            for n in steps:
                for first in range(0, replications, SHARE):
                    numbers = range(first, min(first + SHARE, replications))
                    task = pool.submit(count, market, truth, n, numbers, seed, n_bootstrap)
                    tasks[task] = (market.name, n), len(numbers)
        for task in as_completed(tasks):
            where, done = tasks[task]
            for key, found in task.result().items():
                totals[where][key] += found
            if advance is not None:
                advance(done)
    return [Cell(name, n, replications, found) for (name, n), found in totals.items()]


def markdown(cells: Sequence[Cell], source: str) -> str:
    """The table for a page, and where it comes from."""
    heads = [*COVERED.values(), *REJECTED.values()]
    lines = [
        f"| market | steps | {' | '.join(heads)} |",
        "|---|---:|" + "---:|" * len(heads),
    ]
    for cell in cells:
        shares = [f"{100 * cell.share(key):.1f} %" for key in (*COVERED, *REJECTED)]
        lines.append(f"| {cell.market} | {cell.steps:,} | {' | '.join(shares)} |")
    n = cells[0].histories
    errors = [100 * np.sqrt(p * (1 - p) / n) for p in (LEVEL, 1 - LEVEL)]
    lines += [
        "",
        f"Monte Carlo error (one standard error of a share of 95 % or 5 %): {errors[0]:.1f} "
        f"percentage points. {source}",
    ]
    return "\n".join(lines) + "\n"


def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.coverage",
        description="Counts how often intervals hold a known truth, and how often tests of nothing "
        "reject.",
    )
    parser.add_argument(
        "--replications", type=int, help=f"histories of each line; default {REPLICATIONS:,}"
    )
    parser.add_argument(
        "--n-bootstrap", type=int, help=f"resampled histories of each; default {N_BOOTSTRAP}"
    )
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one a core"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"a look: {QUICK_REPLICATIONS} histories, {QUICK_BOOTSTRAP} resampled",
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="PATH", help="write the table, between its marks if any"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, simulates, prints, returns the exit status."""
    from experiments import provenance
    from experiments.progress import Progress

    arguments = command_line().parse_args(argv)
    usual = (
        (QUICK_REPLICATIONS, QUICK_BOOTSTRAP) if arguments.quick else (REPLICATIONS, N_BOOTSTRAP)
    )
    replications = usual[0] if arguments.replications is None else arguments.replications
    n_bootstrap = usual[1] if arguments.n_bootstrap is None else arguments.n_bootstrap
    began = datetime.now(UTC)
    total = replications * len(MARKETS) * len(arguments.steps)
    try:
        with Progress(total, "coverage, histories", file=sys.stderr) as progress:
            cells = simulate(
                steps=arguments.steps,
                replications=replications,
                n_bootstrap=n_bootstrap,
                seed=arguments.seed,
                processes=arguments.processes,
                advance=progress.advance,
            )
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    machine, seconds = provenance.machine(), (datetime.now(UTC) - began).total_seconds()
    command = provenance.command_line(
        ["python", "-m", "experiments.coverage", *(argv or sys.argv[1:])]
    )
    source = (
        f"`{command}`, {began:%Y-%m-%d}: {replications:,} histories a line, {n_bootstrap} "
        f"resampled from each, seed {arguments.seed}, {seconds:,.0f} s on {machine['processor']}, "
        f"{machine['cpu_count']} cores."
    )
    table = markdown(cells, source)
    print(table, end="")
    if arguments.markdown is not None:
        put_between(arguments.markdown, MARK, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
