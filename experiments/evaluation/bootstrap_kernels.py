"""The compiled loops of the bootstrap: all measures, and standard errors, of resampled histories.

One file, because the cache of Numba does not notice edits in another one. The definitions are those
of `metrics.py`, which tests compare them with; standard errors are explained in `bootstrap.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]
Index = NDArray[np.int64]

# Columns of the values; the names are those of `metrics.METRICS`.
VALUES = (
    "total_return", "cagr", "mean_log_return", "sharpe", "sortino", "volatility",
    "downside_deviation", "max_drawdown", "calmar", "cvar", "hit_rate", "turnover", "cost",
    "active_share",
)  # fmt: skip
# The first of them have a standard error, on these scales. Deviations could, but the error of a
# variance is a matter of fourth moments, which fat tails leave unknown: a quotient by it explodes.
SCALES = ("log1p", "log1p", "identity", "identity", "identity")
# Differences have one, too. Equal growth is tested by its logarithm, which is a mean of returns.
PAIRED = ("mean_log_return", "sharpe")
TAIL = 0.05
RESOLUTION = 1e-12


@njit(cache=True, nogil=True)
def error_nb(influence: Float, decay: float) -> float:
    """Standard error of a mean: autocovariances at lag i are weighted by `decay ** i`.

    These are the weights that a stationary bootstrap with mean block `1 / (1 - decay)` gives them.
    """
    total, before = 0.0, 0.0
    for x in influence:
        total += x * (x + 2.0 * before)
        before = decay * (before + x)
    return np.sqrt(max(total, 0.0)) / len(influence)


@njit(cache=True, nogil=True)
def row_nb(
    index: Index,
    counts: Index,
    series: Float,
    order: Index,
    per_year: float,
    out: Float,
    drawn: Float,
    slopes: Float,
) -> None:
    """All measures of one series on the dates `index`.

    Args:
        index: `[n]` rows of the dates.
        counts: `[n]` how often each row is among them.
        series: `[6, n]` net return, log(1 + net), net less cash, turnover, cost, active share.
        order: `[n]` rows by rising net return.
        per_year: steps a year.
        out: `[14]` written, in the order of `VALUES`.
        drawn: `[3, n]` written: the first three series on the dates.
        slopes: `[6]` written: means of the last two, and what `influence_nb` multiplies by.
    """
    n = len(index)
    net, log, excess = series[0], series[1], series[2]
    sum_net, sum_log, sum_excess = 0.0, 0.0, 0.0
    sum_turnover, sum_cost, sum_active, hits = 0.0, 0.0, 0.0, 0
    for t in range(n):
        i = index[t]
        r, x, y = net[i], log[i], excess[i]
        drawn[0, t], drawn[1, t], drawn[2, t] = r, x, y
        sum_net += r
        sum_log += x
        sum_excess += y
        sum_turnover += series[3, i]
        sum_cost += series[4, i]
        sum_active += series[5, i]
        hits += r > 0.0
    wealth, peak, worst, floor = 1.0, 1.0, 0.0, 1.0
    mean_net, mean_log, mean_excess = sum_net / n, sum_log / n, sum_excess / n
    square_net, square_excess, square_below = 0.0, 0.0, 0.0
    for t in range(n):
        r, x = drawn[0, t], drawn[2, t]
        wealth *= max(1.0 + r, 0.0)
        if wealth > peak:
            peak = wealth
            floor = peak * (1.0 - worst)
        elif wealth < floor:
            worst = 1.0 - wealth / peak
            floor = wealth
        square_net += (r - mean_net) * (r - mean_net)
        square_excess += (x - mean_excess) * (x - mean_excess)
        below = min(x, 0.0)
        square_below += below * below
    nan, root = np.nan, np.sqrt(per_year)
    deviation = np.sqrt(square_net / (n - 1)) if n > 1 else nan
    spread = np.sqrt(square_excess / (n - 1)) if n > 1 else nan
    shortfall = np.sqrt(square_below / n)
    sharpe = mean_excess / spread if spread > RESOLUTION else nan
    sortino = mean_excess / shortfall if shortfall > RESOLUTION else nan
    finite = np.isfinite(peak)
    growth = wealth ** (per_year / n) - 1.0 if finite else nan
    out[0] = wealth - 1.0 if finite else nan
    out[1] = growth if np.isfinite(growth) else nan
    out[2] = mean_log * per_year
    out[3] = sharpe * root
    out[4] = sortino * root
    out[5] = deviation * root
    out[6] = shortfall * root
    out[7] = worst if finite else nan
    out[8] = out[1] / worst if finite and worst > RESOLUTION else nan
    # The worst returns first; the last of them enters with its fraction.
    left, loss, k = TAIL * n, 0.0, 0
    while left > 0.0 and k < n:
        taken = min(float(counts[order[k]]), left)
        loss += taken * net[order[k]]
        left -= taken
        k += 1
    out[9] = -loss / (TAIL * n)
    out[10] = hits / n
    out[11] = sum_turnover / n * per_year
    out[12] = sum_cost / n * per_year
    out[13] = sum_active / n
    slopes[0], slopes[1] = mean_log, mean_excess
    slopes[2] = 1.0 / spread if spread > RESOLUTION else 0.0
    slopes[3] = 1.0 / shortfall if shortfall > RESOLUTION else 0.0
    slopes[4], slopes[5] = sharpe, sortino


@njit(cache=True, nogil=True)
def influence_nb(
    drawn: Float, slopes: Float, growths: Float, per_year: float, share: float, total: Float
) -> None:
    """Adds `share` of the influence of each date on the measures that have a standard error.

    A measure of resampled dates is its value plus the mean of the influences, to first order.

    Args:
        drawn, slopes: what `row_nb` wrote.
        growths: `[14]` the values that it wrote.
        per_year: steps a year.
        share: of this series in its strategy.
        total: `[5, n]` added to, in the order of `VALUES`, on the scale that they are printed in.
    """
    n = drawn.shape[1]
    root = np.sqrt(per_year)
    mean_log, mean_excess = slopes[0], slopes[1]
    growth = share * per_year
    cagr = growth * (1.0 + growths[1])
    whole = share * n * (1.0 + growths[0])
    ratio = root * share
    for t in range(n):
        x = drawn[1, t] - mean_log
        total[0, t] += whole * x
        total[1, t] += cagr * x
        total[2, t] += growth * x
        e = drawn[2, t]
        below = min(e, 0.0) * slopes[3]
        z = (e - mean_excess) * slopes[2]
        total[3, t] += ratio * (z - 0.5 * slopes[4] * (z * z - 1.0))
        total[4, t] += ratio * ((e - mean_excess) * slopes[3] - 0.5 * slopes[5] * (below**2 - 1.0))


@njit(cache=True, nogil=True)
def trimmed_mean_nb(values: Float, n: int) -> float:
    """Mean of the first `n` values, which it sorts, less a quarter (rounded down) on each side."""
    for i in range(1, n):
        x, j = values[i], i
        while j > 0 and values[j - 1] > x:
            values[j] = values[j - 1]
            j -= 1
        values[j] = x
    cut = n // 4
    total = 0.0
    for i in range(cut, n - cut):
        total += values[i]
    return total / (n - 2 * cut)


@njit(cache=True, nogil=True)
def resample_nb(
    index: Index,
    seeds: Index,
    series: Float,
    order: Index,
    offsets: Index,
    pairs: Index,
    per_year: float,
    decay: float,
    values: Float,
    errors: Float,
    trimmed: Float,
    pair_errors: Float,
) -> None:
    """All measures and standard errors of K strategies (Q series) in R resampled histories.

    Args:
        index: `[R, n]` rows of the dates.
        seeds: `[R, Q]` which series of its strategy stands in for each, counted within it.
        series: `[Q, 6, n]` as in `row_nb`.
        order: `[Q, n]` rows by rising net return.
        offsets: `[K+1]` where the series of each strategy begin.
        pairs: `[P, 2]` strategies that are compared.
        per_year: steps a year.
        decay: weight of the next autocovariance in a standard error, see `error_nb`.
        values: `[R, K, 14]` written: means over the series of a strategy.
        errors: `[R, K, 5]` written: their standard errors on the scales `SCALES`.
        trimmed: `[R, K, 14]` written: interquartile means over the `seeds` drawn.
        pair_errors: `[R, P, 2]` written: standard errors of the differences in `PAIRED`.
    """
    n_draws, n = index.shape
    n_strategies, n_values, n_errors = values.shape[1], values.shape[2], errors.shape[2]
    counts = np.empty(n, dtype=np.int64)
    rows = np.empty((series.shape[0], n_values))
    drawn, slopes = np.empty((3, n)), np.empty(6)
    total = np.empty((n_strategies, n_errors, n))
    picked, gap = np.empty(series.shape[0]), np.empty(n)
    for r in range(n_draws):
        counts[:] = 0
        for i in index[r]:
            counts[i] += 1
        total[:] = 0.0
        for k in range(n_strategies):
            first, size = offsets[k], offsets[k + 1] - offsets[k]
            for q in range(first, first + size):
                row_nb(index[r], counts, series[q], order[q], per_year, rows[q], drawn, slopes)
                influence_nb(drawn, slopes, rows[q], per_year, 1.0 / size, total[k])
            for m in range(n_values):
                summed = 0.0
                for s in range(size):
                    summed += rows[first + s, m]
                    picked[s] = rows[first + seeds[r, first + s], m]
                values[r, k, m] = summed / size
                trimmed[r, k, m] = trimmed_mean_nb(picked, size)
            for m in range(n_errors):
                errors[r, k, m] = error_nb(total[k, m], decay)
            # From the scale that is printed to that of the logarithm.
            for m in (0, 1):
                scale = 1.0 + values[r, k, m]
                errors[r, k, m] = errors[r, k, m] / scale if scale > 0.0 else np.nan
        for p in range(len(pairs)):
            one, other = total[pairs[p, 0]], total[pairs[p, 1]]
            for c, m in enumerate((2, 3)):
                for t in range(n):
                    gap[t] = one[m, t] - other[m, t]
                pair_errors[r, p, c] = error_nb(gap, decay)
