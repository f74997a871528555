"""Stationary bootstrap of dates: histories that the market could have drawn, for all strategies.

Returns of consecutive days are not independent, so blocks of dates with geometrically distributed
lengths are drawn with replacement (Politis and Romano 1994). Every strategy and every seed sees the
**same** dates in a replication: what moves all of them together cancels in a difference.

Intervals and p-values are **studentised** (Hall 1988; for Sharpe ratios Ledoit and Wolf 2008): in
each history the deviation of a measure from its value is divided by its standard error in that
history, and the quantile of these quotients stands where 1.96 would stand in a textbook. Both
standard errors weight the autocovariance at lag i by `(1 - 1 / mean_block) ** i`, as the bootstrap
itself does, so that what the weights leave out in the data they leave out in the histories as well.

What the intervals say: how different the figure could have been, had the market drawn its days from
the same distribution. They say nothing about a market that changes its nature. Measures that depend
on the order of the days (maximum drawdown, Calmar) are computed on the resampled path: blocks keep
short runs of losses together, but a decline longer than a few blocks is broken up, so their
intervals describe reshuffled histories, and the observed figure may lie near the edge or outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from experiments.evaluation import bootstrap_kernels as kernels
from experiments.evaluation.metrics import RESOLUTION, Float, Steps

# Elements of one array of drawn rows: it fits into caches, and progress is told after each.
CHUNK_ELEMENTS = 1 << 18
# Above this the draws of a dozen strategies no longer fit into memory, and no figure gets surer.
MOST_REPLICATIONS = 1_000_000
# Below this many steps the percentile method covers the truth less often than its level says.
FEW_STEPS = 200


def check_replications(replications: int) -> None:
    """Refuses a number of replications that is not whole, below 1 or beyond memory.

    Raises:
        InputError: naming the range.
    """
    number = isinstance(replications, (int, float)) and not isinstance(replications, bool)
    if (
        not number
        or not 1 <= replications <= MOST_REPLICATIONS
        or replications != int(replications)
    ):
        raise InputError(
            f"n_bootstrap must be >= 1, whole and at most {MOST_REPLICATIONS:,}, got "
            f"{replications}; 1,000 is usual"
        )


def check_intervals(replications: int, level: float) -> None:
    """As `check_replications`, and refuses a level that is none, or for which the replications are
    too few: on both sides of an interval there must be some.

    Raises:
        InputError: naming the range.
    """
    check_replications(replications)
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise InputError(f"level must lie in (0, 1), got {level}; 0.95 is usual")
    needed = ceil(2.0 / (1.0 - level) - 1e-9) - 1
    if replications < needed:
        raise InputError(
            f"n_bootstrap={replications} is too few for intervals at level={level:g}: at least "
            f"{needed:,}, and 1,000 is usual"
        )


def block_length(returns: Float, squares: bool = True) -> int:
    """Mean block length for `[K, n]` return series: one for all, because dates are drawn jointly.

    The optimal length (Politis and White 2004, corrected 2009) in the median over the series; with
    `squares` the longer of that of the returns and that of their squares, because volatility
    clusters for longer than returns do. (The longest of many series would be that of the one with
    the largest error.) Series without variation have no say. Between 1 and n / 3.
    """
    n = returns.shape[-1]
    longest = 1.0
    if n >= 20:
        from arch.bootstrap import optimal_block_length

        for kind in (returns, returns**2) if squares else (returns,):
            lengths = []
            for series in kind:
                scale = series.std()
                if scale > RESOLUTION:
                    optimum = optimal_block_length((series - series.mean()) / scale)
                    length = float(optimum["stationary"].iloc[0])
                    lengths.append(length if np.isfinite(length) else 1.0)
            longest = max(longest, float(np.median(lengths)) if lengths else 1.0)
    return int(np.clip(np.ceil(longest), 1, max(n // 3, 1)))


def index_chunks(
    n: int, mean_block: int, replications: int, seed: int, chunk: int
) -> Iterator[NDArray[np.int64]]:
    """Yields `[<= chunk, n]` row numbers of resampled dates; the draws do not depend on `chunk`."""
    from arch.bootstrap import StationaryBootstrap

    sampler = StationaryBootstrap(mean_block, np.zeros(n), seed=np.random.default_rng(seed))
    for start in range(0, replications, chunk):
        size = min(chunk, replications - start)
        yield np.stack([sampler.update_indices() for _ in range(size)])


@dataclass(frozen=True)
class Resampled:
    """Measures of K strategies in R resampled histories, and what studentises them.

    Attributes:
        values: `[K, M, R]`; measures in the order of `kernels.VALUES`, each the mean over the seeds
            of a strategy on the dates drawn.
        trimmed: `[K, M, R]`; the interquartile mean over seeds that are drawn anew as well, with
            replacement within the strategy.
        errors: `[K, E, R]`; standard errors of the first E measures, on the scale `kernels.SCALES`.
        pair_errors: `[P, C, R]`; of the differences of the pairs in the measures `kernels.PAIRED`.
        observed_errors, observed_pair_errors: `[K, E]`, `[P, C]` on the dates as they came.
    """

    values: Float
    trimmed: Float
    errors: Float
    pair_errors: Float
    observed_errors: Float
    observed_pair_errors: Float


def resample(
    strategies: Sequence[Steps],
    *,
    replications: int,
    mean_block: int,
    seed: int,
    pairs: Sequence[tuple[int, int]] = (),
    progress: Callable[[int], None] | None = None,
) -> Resampled:
    """Draws R histories and measures every strategy in each.

    Args:
        strategies: K `Steps` with arrays `[S_k, n]`; all share n, the dates and the steps a year.
        replications: R.
        mean_block: mean length of a block in rows.
        seed: equal seeds give equal bits.
        pairs: `(one, other)` positions of the strategies that are compared.
        progress: called with the number of replications done.

    Raises:
        InputError: if there are no or too many replications.
    """
    check_replications(replications)
    replications = int(replications)
    n = strategies[0].net_return.shape[-1]
    sizes = [len(s.net_return) for s in strategies]
    offsets = np.cumsum([0, *sizes])
    series = np.concatenate([_series(s) for s in strategies])
    order = np.argsort(series[:, 0], axis=-1, kind="stable")
    compared = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    shapes = {
        "values": (len(sizes), len(kernels.VALUES)),
        "errors": (len(sizes), len(kernels.SCALES)),
        "trimmed": (len(sizes), len(kernels.VALUES)),
        "pair_errors": (len(compared), len(kernels.PAIRED)),
    }
    per_year, decay = strategies[0].periods_per_year, 1.0 - 1.0 / mean_block

    def measure(index: NDArray[np.int64], drawn: NDArray[np.int64]) -> dict[str, Float]:
        out = {key: np.empty((len(index), *shape)) for key, shape in shapes.items()}
        kernels.resample_nb(
            index, drawn, series, order, offsets, compared, per_year, decay, *out.values()
        )
        return out

    same = np.concatenate([np.arange(size) for size in sizes])[None]
    observed = measure(np.arange(n)[None], same)
    # A stream of its own: how many seeds there are does not change which dates are drawn.
    luck = np.random.default_rng([seed, 1])
    found = {key: np.empty((*shape, replications)) for key, shape in shapes.items()}
    done = 0
    for index in index_chunks(n, mean_block, replications, seed, max(1, CHUNK_ELEMENTS // n)):
        drawn = luck.integers(0, np.repeat(sizes, sizes), (len(index), len(series)))
        for key, part in measure(index, drawn).items():
            found[key][..., done : done + len(index)] = np.moveaxis(part, 0, -1)
        done += len(index)
        if progress is not None:
            progress(done)
    return Resampled(
        **found,
        observed_errors=observed["errors"][0],
        observed_pair_errors=observed["pair_errors"][0],
    )


def _series(s: Steps) -> Float:
    """`[S, 6, n]` what the kernel reads of a strategy; the logarithm of ruin is NaN."""
    net = np.asarray(s.net_return, dtype=np.float64)
    log = np.log1p(np.where(net > -1.0, net, np.nan))
    rest = (net - s.cash_return, s.turnover, s.cost, s.active_share)
    return np.stack([net, log, *(np.broadcast_to(x, net.shape) for x in rest)], axis=1)
