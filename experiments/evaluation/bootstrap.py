"""Stationary bootstrap of dates: confidence intervals of every measure, paired across strategies.

Returns of consecutive days are not independent, so blocks of dates with geometrically distributed
lengths are drawn with replacement (Politis and Romano 1994). Every strategy and every seed sees the
**same** dates in a replication: what moves all of them together cancels in a difference.

What the intervals say: how different the figure could have been, had the market drawn its days from
the same distribution. They say nothing about a market that changes its nature. Measures that depend
on the order of the days (maximum drawdown, Calmar) are computed on the resampled path: blocks keep
short runs of losses together, but a decline longer than a few blocks is broken up, so their
intervals describe reshuffled histories, and the observed figure may lie near the edge or outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from experiments.evaluation.metrics import RESOLUTION, Float, Metric, Steps

# Elements of one gathered array: small enough for caches, large enough that Python does not count.
CHUNK_ELEMENTS = 1 << 19
# Above this the draws of a dozen strategies no longer fit into memory, and no figure gets surer.
MOST_REPLICATIONS = 1_000_000
# Below this many steps the percentile method covers the truth less often than its level says.
FEW_STEPS = 200


def check_replications(replications: int) -> None:
    """Refuses a number of replications that is not whole, below 1 or beyond memory.

    Raises:
        InputError: naming the range.
    """
    if not 1 <= replications <= MOST_REPLICATIONS or replications != int(replications):
        raise InputError(
            f"n_bootstrap must be >= 1, whole and at most {MOST_REPLICATIONS:,}, got "
            f"{replications:,}; 1,000 is usual"
        )


def block_length(returns: Float) -> int:
    """Mean block length for `[K, n]` return series: one for all, because dates are drawn jointly.

    The largest of the optimal lengths (Politis and White 2004, corrected 2009) of the series and of
    their squares: volatility clusters for longer than returns do, and risk measures feel it. Series
    without variation have no say. Between 1 and n / 3.
    """
    n = returns.shape[-1]
    longest = 1.0
    if n >= 20:
        from arch.bootstrap import optimal_block_length

        for series in np.concatenate([returns, returns**2]):
            scale = series.std()
            if scale > RESOLUTION:
                optimum = optimal_block_length((series - series.mean()) / scale)
                length = float(optimum["stationary"].iloc[0])
                longest = max(longest, length if np.isfinite(length) else 1.0)
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


def bootstrap_measures(
    strategies: Sequence[Steps],
    measures: Sequence[Metric],
    *,
    replications: int,
    mean_block: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> Float:
    """`[K, M, R]` measures of K strategies in R resampled histories, each the mean over its seeds.

    Args:
        strategies: K `Steps` with arrays `[S_k, n]`; all share n and the dates.
        measures: M rows of the catalogue.
        replications: R.
        mean_block: mean length of a block in rows.
        seed: equal seeds give equal bits.
        progress: called with the number of replications done.

    Raises:
        InputError: if there are no or too many replications.
    """
    check_replications(replications)
    replications = int(replications)
    n = strategies[0].net_return.shape[-1]
    rows = max(s.net_return.shape[0] for s in strategies)
    chunk = max(1, CHUNK_ELEMENTS // (rows * n))
    out = np.empty((len(strategies), len(measures), replications))
    done = 0
    for index in index_chunks(n, mean_block, replications, seed, chunk):
        for k, strategy in enumerate(strategies):
            drawn = strategy.at(index)
            for j, measure in enumerate(measures):
                out[k, j, done : done + len(index)] = measure.compute(drawn).mean(axis=0)
        done += len(index)
        if progress is not None:
            progress(done)
    return out


def percentile_interval(draws: Float, level: float) -> tuple[float, float] | None:
    """The central `level` of the draws; None where some draw is undefined."""
    if not np.isfinite(draws).all():
        return None
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
