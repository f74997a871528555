"""Inputs of trend-following networks: returns and crossings of averages in units of volatility.

Kernels as in `envs.features.indicators`, and by its conventions.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from envs.features.family import Family, Plane
from envs.features.indicators import deviation_nb
from envs.features.inputs import Inputs

# Rows: the span of the volatility that returns are divided by (Lim, Zohren and Roberts 2019), and
# those of the deviations of prices and of ratios (Baz et al. 2015).
SPAN = 60
PRICES, RATIOS = 63, 252
# A deviation below this share of the price, or of 1, is that of the last digits alone.
NOISE = 1e-12


@njit(cache=True, nogil=True, error_model="numpy")
def normalised_return_nb(price, start, n, span, out):
    """Return over n rows over sigma * sqrt(n); 0 while the price has never moved.

    sigma^2 is the exponentially weighted mean of squared one-row returns since the listing, decay
    1 - 2 / (span + 1), today's included. It has no mean taken off: over a row the mean is nothing
    beside the deviation, and a price that rises evenly keeps a volatility.
    """
    n_rows, n_assets = price.shape
    decay = 1.0 - 2.0 / (span + 1.0)
    square, weight = np.zeros(n_assets), np.zeros(n_assets)
    for t in range(1, n_rows):
        for a in range(n_assets):
            age = t - start[a]
            if age < 1:
                continue
            move = price[t, a] / price[t - 1, a] - 1.0
            square[a] = decay * square[a] + move * move
            weight[a] = decay * weight[a] + 1.0
            if age < n:
                continue
            sigma = np.sqrt(square[a] / weight[a])
            moved = price[t, a] / price[t - n, a] - 1.0
            out[t, a] = moved / (sigma * np.sqrt(n)) if sigma > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def crossing_nb(price, start, short, long, deviation, noise, out):
    """Short minus long exponentially weighted mean, over the deviation of the price; 0 without one.

    The means of all prices since the listing, decay 1 - 1/short and 1 - 1/long. `deviation` is
    `[T, A]`; where it is NaN so is the answer.
    """
    n_rows, n_assets = price.shape
    means, weights = np.zeros((2, n_assets)), np.zeros((2, n_assets))
    for t in range(n_rows):
        for a in range(n_assets):
            if t < start[a]:
                continue
            for i in range(2):
                weights[i, a] = (1.0 - 1.0 / (short if i == 0 else long)) * weights[i, a] + 1.0
                means[i, a] += (price[t, a] - means[i, a]) / weights[i, a]
            crossing = means[0, a] - means[1, a]
            still = deviation[t, a] <= noise * price[t, a]
            out[t, a] = 0.0 if still else crossing / deviation[t, a]


@njit(cache=True, nogil=True, error_model="numpy")
def over_nb(x, deviation, noise, out):
    """x / deviation; 0 where the deviation is noise."""
    n_rows, n_assets = x.shape
    for t in range(n_rows):
        for a in range(n_assets):
            out[t, a] = 0.0 if deviation[t, a] <= noise else x[t, a] / deviation[t, a]


def _normalised_return(x: Inputs, out: Plane, n: int) -> None:
    normalised_return_nb(x.close, x.start, n, SPAN, out)


def _trend(x: Inputs, out: Plane, short: int, long: int) -> None:
    ratio, deviation = x.scratch(), x.scratch()
    deviation_nb(x.close, PRICES, 1.0, deviation)
    crossing_nb(x.close, x.start, short, long, deviation, NOISE, ratio)
    deviation_nb(ratio, RATIOS, 1.0, deviation)
    over_nb(ratio, deviation, NOISE, out)


TREND = {
    "normalised_return": Family(
        "price", ("close",), ("n",), tuple(f"normalised_return_{n}" for n in (1, 21, 63, 126, 252)),
        "return over n rows, over its ex-ante volatility sigma sqrt(n)",
        _normalised_return, lambda n: max(n, SPAN), listed=False,
    ),
    "trend": Family(
        "price", ("close",), ("short", "long"), ("trend_8_24", "trend_16_48", "trend_32_96"),
        "short minus long average, over deviations of price and of itself",
        _trend, lambda short, long: PRICES + RATIOS - 2,
        lambda short, long: 1 <= short < long, "1 <= short < long", listed=False,
    ),
}  # fmt: skip
