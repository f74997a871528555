"""Mood of the market, read from the panel's own prices: volatility, GARCH, highs, McClellan.

"The market" is the equal-weight mix of the panel's assets that trade (`cross.market_return_nb`), so
these are proxies: of an index such as the VIX, or of the breadth of a whole exchange. Conventions
as in `envs.features.indicators`; series of the market are `[T]` float64, the same for all assets.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Float = NDArray[np.float64]

# GARCH(1,1) candidates: weight of the last squared return, and how much of a shock is left a row
# later (alpha + beta). Estimates on daily returns of stocks lie inside, far from the edges.
ALPHAS = (0.02, 0.04, 0.06, 0.08, 0.10, 0.13, 0.16, 0.20)
PERSISTENCES = (0.90, 0.94, 0.96, 0.97, 0.98, 0.985, 0.99, 0.995)
# Rows before a candidate's forecasts count: its first variance is that of very few rows.
UNCOUNTED = 21
# Variances under this (0.0000001 % a row) are rounding noise.
LEAST_VARIANCE = 1e-18


@njit(cache=True, nogil=True, error_model="numpy")
def market_volatility_nb(market, n, scale, out):
    """Deviation (ddof 1) of the last n returns of the market, times `scale`; from row n on."""
    for t in range(n, market.size):
        mean = 0.0
        for k in range(n):
            mean += market[t - k]
        mean /= n
        square = 0.0
        for k in range(n):
            square += (market[t - k] - mean) ** 2
        out[t] = scale * np.sqrt(square / (n - 1))


@njit(cache=True, nogil=True, error_model="numpy")
def rank_nb(value, n, first, out):
    """Where a value stands among the last n, itself included: 0 lowest, 1 highest, ties share.

    From row `first + n - 1` on, `first` being the first row with a value. Needs n >= 2.
    """
    for t in range(first + n - 1, value.size):
        below, equal = 0, 0
        for k in range(n):
            below += value[t - k] < value[t]
            equal += value[t - k] == value[t]
        out[t] = (below + 0.5 * (equal - 1)) / (n - 1)


@njit(cache=True, nogil=True, error_model="numpy")
def garch_nb(market, first, alpha, beta, scale, out):
    """Volatility of the next row by GARCH(1,1), times `scale`; `out[t]` reads returns up to t.

    `h[t+1] = (1 - alpha - beta) v[t] + alpha r[t]^2 + beta h[t]`, v the mean squared return so far
    (variance targeting, Engle & Mezrich 1996). Every candidate `(alpha[g], beta[g])` runs along;
    each row takes the one whose one-row forecasts have had the largest Gaussian likelihood so far,
    so that the parameters are refitted at every row on its past alone (Bollerslev 1986).
    """
    n_candidates = alpha.size
    variance, score = np.zeros(n_candidates), np.zeros(n_candidates)
    total, count = 0.0, 0
    for t in range(first, market.size):
        square = market[t] * market[t]
        if count >= UNCOUNTED:
            for g in range(n_candidates):
                expected = max(variance[g], LEAST_VARIANCE)
                score[g] -= np.log(expected) + square / expected
        total += square
        count += 1
        target = total / count
        best = 0
        for g in range(n_candidates):
            before = variance[g] if count > 1 else target
            own = 1.0 - alpha[g] - beta[g]
            variance[g] = own * target + alpha[g] * square + beta[g] * before
            if score[g] > score[best]:
                best = g
        out[t] = scale * np.sqrt(variance[best])


def garch_volatility(market: Float, first: int, periods_per_year: float) -> Float:
    """`[T]` volatility a year expected for the next row; NaN before row `first`.

    Args:
        market: `[T]` returns.
        first: the first row that holds a return.
    """
    alpha, persistence = (grid.ravel() for grid in np.meshgrid(ALPHAS, PERSISTENCES))
    out = np.full(market.shape, np.nan)
    scale = float(np.sqrt(periods_per_year))
    garch_nb(market, first, alpha, persistence - alpha, scale, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def highs_lows_nb(price, tradable, start, n, out):
    """(New highs - new lows) / trading assets with n rows before, in [-1, 1]; the same for all.

    A new high lies above all of the n closes before it. 0 where no asset has them.
    """
    n_rows, n_assets = price.shape
    top, bottom = np.empty(n_assets), np.empty(n_assets)
    for t in range(n, n_rows):
        top[:] = -np.inf
        bottom[:] = np.inf
        for k in range(1, n + 1):
            for a in range(n_assets):
                top[a] = max(top[a], price[t - k, a])
                bottom[a] = min(bottom[a], price[t - k, a])
        net, count = 0, 0
        for a in range(n_assets):
            if tradable[t, a] and start[a] + n <= t:
                count += 1
                net += price[t, a] > top[a]
                net -= price[t, a] < bottom[a]
        out[t, :] = net / count if count > 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def mcclellan_nb(price, tradable, start, first, fast, slow, out):
    """EMA_fast - EMA_slow of (advances - declines) / (advances + declines); the same for all.

    Weights 2 / (n + 1), each seeded with the mean of its first n values (0 where nothing moved),
    the first of them in row `first`.
    """
    n_rows, n_assets = price.shape
    quick, calm = 0.0, 0.0
    for t in range(first, n_rows):
        up, down = 0, 0
        for a in range(n_assets):
            if tradable[t, a] and start[a] < t:
                up += price[t, a] > price[t - 1, a]
                down += price[t, a] < price[t - 1, a]
        ratio = (up - down) / (up + down) if up + down > 0 else 0.0
        age = t - first + 1
        quick += ratio / fast if age <= fast else (ratio - quick) * 2.0 / (fast + 1.0)
        calm += ratio / slow if age <= slow else (ratio - calm) * 2.0 / (slow + 1.0)
        out[t, :] = quick - calm
