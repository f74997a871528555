"""Features of one asset among the others: rank, correlation to the market, breadth.

Only assets that trade on the row and have the history take part; the others' cells are never read.
The market is the equal-weight mix of the panel's own assets, so the asset itself is in it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from envs.features.indicators import NOISE


@njit(cache=True, nogil=True, error_model="numpy")
def market_return_nb(price, tradable, start, out):
    """`out[t]`: mean simple return over row t of the assets that trade and were listed."""
    n_rows, n_assets = price.shape
    out[0] = 0.0
    for t in range(1, n_rows):
        total, count = 0.0, 0
        for a in range(n_assets):
            if tradable[t, a] and start[a] < t:
                total += price[t, a] / price[t - 1, a] - 1.0
                count += 1
        out[t] = total / count if count > 0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def return_rank_nb(price, tradable, start, n, out):
    """Rank of the n-row return among the assets: 0 the worst, 1 the best, ties share, alone 0.5."""
    n_rows, n_assets = price.shape
    value = np.empty(n_assets)
    for t in range(n, n_rows):
        count = 0
        for a in range(n_assets):
            # Assets without a return sort to the end.
            value[a] = np.inf
            if tradable[t, a] and start[a] + n <= t:
                value[a] = price[t, a] / price[t - n, a]
                count += 1
        order = np.argsort(value)
        low = 0
        while low < count:
            high = low
            while high + 1 < count and value[order[high + 1]] == value[order[low]]:
                high += 1
            rank = 0.5 * (low + high) / (count - 1) if count > 1 else 0.5
            for position in range(low, high + 1):
                out[t, order[position]] = rank
            low = high + 1


@njit(cache=True, nogil=True, error_model="numpy")
def market_link_nb(price, market, n, beta, out):
    """Correlation (or beta) of the last n returns to the market's; 0 if either stands still.

    Two passes. `beta` is covariance over the market's variance.
    """
    n_rows, n_assets = price.shape
    mean, square, product = np.empty(n_assets), np.empty(n_assets), np.empty(n_assets)
    for t in range(n, n_rows):
        market_mean = 0.0
        for k in range(n):
            market_mean += market[t - k]
        market_mean /= n
        market_square = 0.0
        for k in range(n):
            market_square += (market[t - k] - market_mean) ** 2
        mean[:] = 0.0
        square[:] = 0.0
        product[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                mean[a] += price[t - k, a] / price[t - k - 1, a] - 1.0
        for a in range(n_assets):
            mean[a] /= n
        for k in range(n):
            other = market[t - k] - market_mean
            for a in range(n_assets):
                own = price[t - k, a] / price[t - k - 1, a] - 1.0 - mean[a]
                square[a] += own * own
                product[a] += own * other
        floor = n * NOISE * NOISE
        for a in range(n_assets):
            value = 0.0
            if market_square > floor and square[a] > floor:
                if beta:
                    value = product[a] / market_square
                else:
                    value = product[a] / np.sqrt(square[a] * market_square)
                    value = min(max(value, -1.0), 1.0)
            out[t, a] = value


@njit(cache=True, nogil=True, error_model="numpy")
def breadth_nb(price, tradable, start, n, out):
    """Share of the trading assets whose price is above its n-row average, in [0, 1].

    The same number for all assets of a row; 0.5 on a row where no asset has n rows.
    """
    n_rows, n_assets = price.shape
    shift = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        shift[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                shift[a] += price[t, a] - price[t - k, a]
        above, count = 0, 0
        for a in range(n_assets):
            if tradable[t, a] and start[a] + n - 1 <= t:
                count += 1
                above += shift[a] > 0.0
        out[t, :] = above / count if count > 0 else 0.5


@njit(cache=True, nogil=True, error_model="numpy")
def advance_decline_nb(price, tradable, start, n, out):
    """Mean over n rows of (advances - declines) / trading assets, in [-1, 1]; same for all."""
    n_rows, n_assets = price.shape
    daily = np.zeros(n_rows)
    for t in range(1, n_rows):
        net, count = 0, 0
        for a in range(n_assets):
            if tradable[t, a] and start[a] < t:
                count += 1
                net += price[t, a] > price[t - 1, a]
                net -= price[t, a] < price[t - 1, a]
        if count > 0:
            daily[t] = net / count
    for t in range(n, n_rows):
        total = 0.0
        for k in range(n):
            total += daily[t - k]
        out[t, :] = total / n
