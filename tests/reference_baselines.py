"""Slow twins of baselines: written from their papers in pandas and plain Python, day by day."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def inverse_volatility(closes, window):
    """Shares of 1 by 1 / deviation of the last `window` log returns."""
    logs = np.log(pd.DataFrame(closes)).diff().tail(window)
    inverse = 1 / logs.std()
    return (inverse / inverse.sum()).to_numpy()


def time_series_momentum(closes, lookback, window, short):
    shares = inverse_volatility(closes, window)
    weights = []
    for a, share in enumerate(shares):
        change = closes[-1, a] / closes[-1 - lookback, a] - 1
        sign = 1 if change > 0 else -1 if change < 0 else 0
        weights.append(share * (sign if short else max(sign, 0)))
    return np.array(weights)


def macd(closes, short):
    """Baz et al. 2015, on the 315 closes that are given."""
    prices = pd.DataFrame(closes)
    signals = []
    for fast, slow in ((8, 24), (16, 48), (32, 96)):
        x = prices.ewm(alpha=1 / fast).mean() - prices.ewm(alpha=1 / slow).mean()
        y = x / prices.rolling(63).std()
        z = (y / y.rolling(252).std()).iloc[-1]
        signals.append([u * math.exp(-u * u / 4) / 0.89 for u in z])
    signal = np.mean(signals, axis=0)
    return inverse_volatility(closes, 63) * (signal if short else np.maximum(signal, 0))


def volatility_target(closes, volatility, window, rows_per_year):
    mix = pd.DataFrame(closes).pct_change().mean(axis=1).tail(window)
    exposure = min(1.0, volatility / (mix.std() * math.sqrt(rows_per_year)))
    return np.full(closes.shape[1], exposure / closes.shape[1])
