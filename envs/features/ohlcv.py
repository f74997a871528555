"""Indicators of open, high, low and volume; conventions as in `envs.features.indicators`."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def atr_nb(high, low, close, start, n, out):
    """Wilder's average true range over the close; seeded with the mean of the first n."""
    n_rows, n_assets = close.shape
    average = np.zeros(n_assets)
    for t in range(1, n_rows):
        for a in range(n_assets):
            age = t - start[a]
            if age < 1:
                continue
            before = close[t - 1, a]
            true_range = max(high[t, a], before) - min(low[t, a], before)
            if age <= n:
                average[a] += true_range / n
            else:
                average[a] += (true_range - average[a]) / n
            out[t, a] = average[a] / close[t, a]


@njit(cache=True, nogil=True, error_model="numpy")
def stochastic_nb(high, low, close, n, out):
    """Where the close lies in the range of the last n rows, 0 to 100; 50 if that is empty."""
    n_rows, n_assets = close.shape
    top, bottom = np.empty(n_assets), np.empty(n_assets)
    for t in range(n - 1, n_rows):
        top[:] = -np.inf
        bottom[:] = np.inf
        for k in range(n):
            for a in range(n_assets):
                top[a] = max(top[a], high[t - k, a])
                bottom[a] = min(bottom[a], low[t - k, a])
        for a in range(n_assets):
            width = top[a] - bottom[a]
            position = 50.0
            if width > 0.0:
                # A panel may hold a close one rounding above its high.
                position = 100.0 * (close[t, a] - bottom[a]) / width
                position = min(max(position, 0.0), 100.0)
            out[t, a] = position


@njit(cache=True, nogil=True, error_model="numpy")
def ratio_nb(numerator, denominator, out):
    """`numerator / denominator - 1` in the same row."""
    n_rows, n_assets = numerator.shape
    for t in range(n_rows):
        for a in range(n_assets):
            out[t, a] = numerator[t, a] / denominator[t, a] - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def high_low_range_nb(high, low, close, out):
    """`(high - low) / close`."""
    n_rows, n_assets = close.shape
    for t in range(n_rows):
        for a in range(n_assets):
            out[t, a] = (high[t, a] - low[t, a]) / close[t, a]


@njit(cache=True, nogil=True, error_model="numpy")
def square_range_nb(high, low, out):
    """`ln(high / low)^2`."""
    n_rows, n_assets = high.shape
    for t in range(n_rows):
        for a in range(n_assets):
            out[t, a] = np.log(high[t, a] / low[t, a]) ** 2


@njit(cache=True, nogil=True, error_model="numpy")
def range_volatility_nb(square, n, factor, out):
    """Root of the mean of n squared log ranges over 4 ln 2, times `factor`."""
    n_rows, n_assets = square.shape
    total = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        total[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                total[a] += square[t - k, a]
        for a in range(n_assets):
            out[t, a] = factor * np.sqrt(total[a] / n / (4.0 * np.log(2.0)))


@njit(cache=True, nogil=True, error_model="numpy")
def overnight_gap_nb(open_, close, out):
    """`open[t] / close[t-1] - 1`."""
    n_rows, n_assets = close.shape
    for t in range(1, n_rows):
        for a in range(n_assets):
            out[t, a] = open_[t, a] / close[t - 1, a] - 1.0


@njit(cache=True, nogil=True, error_model="numpy")
def obv_nb(close, volume, n, out):
    """Change of on-balance volume over n rows per unit of volume traded in them, in [-1, 1].

    The cumulative sum itself has no scale and never forgets; its change over n rows has both
    virtues. Zero volume gives 0.
    """
    n_rows, n_assets = close.shape
    signed, total = np.empty(n_assets), np.empty(n_assets)
    for t in range(n, n_rows):
        signed[:] = 0.0
        total[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                now, before = close[t - k, a], close[t - k - 1, a]
                traded = volume[t - k, a]
                total[a] += traded
                signed[a] += traded * ((now > before) - (now < before))
        for a in range(n_assets):
            out[t, a] = signed[a] / total[a] if total[a] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def volume_ratio_nb(volume, n, out):
    """Volume over its mean of the last n rows, minus 1; 0 if nothing traded in them."""
    n_rows, n_assets = volume.shape
    total = np.empty(n_assets)
    for t in range(n - 1, n_rows):
        total[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                total[a] += volume[t - k, a]
        for a in range(n_assets):
            out[t, a] = n * volume[t, a] / total[a] - 1.0 if total[a] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def volume_trend_nb(volume, short, long, out):
    """Mean volume of `short` rows over that of `long` rows, minus 1; 0 if nothing traded."""
    n_rows, n_assets = volume.shape
    total, recent = np.empty(n_assets), np.empty(n_assets)
    for t in range(long - 1, n_rows):
        total[:] = 0.0
        for k in range(short):
            for a in range(n_assets):
                total[a] += volume[t - k, a]
        recent[:] = total
        for k in range(short, long):
            for a in range(n_assets):
                total[a] += volume[t - k, a]
        for a in range(n_assets):
            ratio = recent[a] * long / (total[a] * short)
            out[t, a] = ratio - 1.0 if total[a] > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def volume_roc_nb(volume, n, out):
    """`volume[t] / volume[t-n] - 1`; 0 where nothing traded n rows ago."""
    n_rows, n_assets = volume.shape
    for t in range(n, n_rows):
        for a in range(n_assets):
            base = volume[t - n, a]
            out[t, a] = volume[t, a] / base - 1.0 if base > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def vwap_ratio_nb(high, low, close, volume, n, out):
    """Close over the volume-weighted average of (high + low + close) / 3, minus 1.

    0 if nothing traded in the n rows.
    """
    n_rows, n_assets = close.shape
    shift, total = np.empty(n_assets), np.empty(n_assets)
    for t in range(n - 1, n_rows):
        shift[:] = 0.0
        total[:] = 0.0
        for k in range(n):
            for a in range(n_assets):
                typical = (high[t - k, a] + low[t - k, a] + close[t - k, a]) / 3.0
                shift[a] += volume[t - k, a] * (typical - close[t, a])
                total[a] += volume[t - k, a]
        for a in range(n_assets):
            if total[a] > 0.0:
                mean = shift[a] / total[a]
                out[t, a] = -mean / (close[t, a] + mean)
            else:
                out[t, a] = 0.0
