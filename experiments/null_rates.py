"""`python -m experiments.null_rates`: how often the tests of many strategies see what is not there.

Draws histories in which all strategies have the same expected return, and counts: SPA and StepM
must find a better one in 5 % of them, the model confidence set must lose one in 5 %, and the
probability of backtest overfitting must be 50 % on average. Beside it the power: how often a
strategy is found that was made better. Exit status 0, or 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from envs.data.arguments import whole_number
from envs.errors import InputError
from experiments.cli import BAD_INPUT, complain
from experiments.evaluation.metrics import Float
from experiments.evaluation.multiple import across
from experiments.evaluation.null_markets import (
    MARKET,
    MEAN,
    NULL_MARKETS,
    OWN,
    PER_YEAR,
    NullMarket,
)

LEVEL = 0.95
HISTORIES, STRATEGIES, STEPS, N_BOOTSTRAP = 400, 10, 500, 199
# Of the planted strategy, in standard errors of its lead over the others.
LEAD = 4.0


@dataclass(frozen=True)
class Rates:
    """Shares of histories for one kind of market, in [0, 1].

    Attributes:
        spa, stepm: without skill: a better strategy is claimed.
        mcs: without skill: a strategy is put out of the 95 % set.
        pbo: without skill: mean probability of backtest overfitting, and its standard error.
        found: with a planted strategy: StepM names it and no other.
        kept: with a planted strategy: it is in the 95 % set.
        planted_pbo: with a planted strategy: mean.
    """

    market: str
    spa: float
    stepm: float
    mcs: float
    pbo: tuple[float, float]
    found: float
    kept: float
    planted_pbo: float


def simulate(
    markets: Sequence[NullMarket] = NULL_MARKETS,
    *,
    histories: int = HISTORIES,
    strategies: int = STRATEGIES,
    steps: int = STEPS,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> list[Rates]:
    """Rates for each kind of market; a history depends on `seed` and its number alone.

    Args:
        markets: kinds of returns.
        histories: drawn for each, once as they are and once with the planted strategy.
        strategies: how many, the benchmark strategy among them.
        steps: length of each history.
        n_bootstrap: resampled histories of each.
        seed: of the draws.
        advance: called with the number of histories done since the last call.

    Raises:
        InputError: for a number outside its range.
    """
    whole_number(histories, "histories", 2)
    whole_number(strategies, "strategies", 2)
    whole_number(steps, "steps", 80)
    whole_number(seed, "seed", 0)
    found = []
    for market in markets:
        rows = []
        for number in range(histories):
            rng = np.random.default_rng([seed, number])
            series = _draw(market, rng, strategies, steps)
            both = []
            for lead in (0.0, LEAD * OWN * np.sqrt(2 / steps)):
                series["s1"] = series["s1"] + lead
                both.append(
                    across(series, "s0", seed=number, replications=n_bootstrap, level=LEVEL)
                )
            rows.append(_counts(*both))
            if advance is not None:
                advance(1)
        counted = np.array(rows, dtype=np.float64)
        spa, stepm, mcs, pbo, right, kept, planted = counted.mean(axis=0).tolist()
        error = float(counted[:, 3].std(ddof=1) / np.sqrt(histories))
        found.append(Rates(market.name, spa, stepm, mcs, (pbo, error), right, kept, planted))
    return found


def _draw(market: NullMarket, rng: np.random.Generator, k: int, n: int) -> dict[str, Float]:
    common = MEAN + MARKET * market.series(rng, n)
    return {f"s{i}": common + OWN * market.series(rng, n) for i in range(k)}


def _counts(null: Mapping[str, Any], planted: Mapping[str, Any]) -> list[float]:
    return [
        null["spa"]["p_consistent"] <= 1 - LEVEL,
        bool(null["stepm"]["better"]),
        len(null["mcs"]["set_95"]) < len(null["mcs"]["p_values"]),
        null["pbo"]["pbo"],
        planted["stepm"]["better"] == ["s1"],
        "s1" in planted["mcs"]["set_95"],
        planted["pbo"]["pbo"],
    ]


def markdown(rates: Sequence[Rates], source: str) -> str:
    """The table for a page, and where it comes from."""
    heads = [
        "market", "SPA rejects", "StepM names one", "set loses one", "mean PBO",
        "planted: StepM names it alone", "planted: in the set", "planted: mean PBO",
    ]  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for r in rates:
        shares = [f"{100 * x:.1f} %" for x in (r.spa, r.stepm, r.mcs)]
        pbo = f"{100 * r.pbo[0]:.1f} ± {100 * r.pbo[1]:.1f} %"
        power = [f"{100 * x:.1f} %" for x in (r.found, r.kept, r.planted_pbo)]
        lines.append(f"| {' | '.join([r.market, *shares, pbo, *power])} |")
    return "\n".join([*lines, "", source]) + "\n"


def command_line() -> argparse.ArgumentParser:
    """What the program takes."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.null_rates",
        description="Counts how often the tests of many strategies err where none is better.",
    )
    add = parser.add_argument
    add("--histories", type=int, default=HISTORIES, help="of each line; default %(default)s")
    add("--strategies", type=int, default=STRATEGIES, help="default %(default)s")
    add("--steps", type=int, default=STEPS, help="of each history; default %(default)s")
    add("--n-bootstrap", type=int, default=N_BOOTSTRAP, help="default %(default)s")
    add("--seed", type=int, default=0)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Parses the arguments, simulates, prints, returns the exit status."""
    from experiments import provenance
    from experiments.progress import Progress

    chosen = command_line().parse_args(argv)
    began = datetime.now(UTC)
    total = max(chosen.histories, 1) * len(NULL_MARKETS)
    try:
        with Progress(total, "null rates, histories", file=sys.stderr) as progress:
            rates = simulate(
                histories=chosen.histories,
                strategies=chosen.strategies,
                steps=chosen.steps,
                n_bootstrap=chosen.n_bootstrap,
                seed=chosen.seed,
                advance=progress.advance,
            )
    except InputError as error:
        complain(str(error))
        return BAD_INPUT
    machine, n = provenance.machine(), chosen.histories
    words = ["python", "-m", "experiments.null_rates", *(sys.argv[1:] if argv is None else argv)]
    seconds = (datetime.now(UTC) - began).total_seconds()
    lead = LEAD * OWN * np.sqrt(2 / chosen.steps) * PER_YEAR
    source = (
        f"`{provenance.command_line(words)}`, {began:%Y-%m-%d}: {n} histories a line, "
        f"{chosen.strategies} strategies, {chosen.steps} steps, {chosen.n_bootstrap} resampled; "
        f"one standard error of a share of 5 % is {100 * np.sqrt(0.05 * 0.95 / n):.1f} percentage "
        f"points. The planted strategy earns {100 * lead:.0f} % a year more than the others. "
        f"{seconds:.0f} s on {machine['processor']}, {machine['cpu_count']} cores."
    )
    print(markdown(rates, source), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
