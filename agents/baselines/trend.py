"""Baselines that follow past returns, or go against them.

`Momentum` and `Reversal` compare assets with each other and are fully invested; the other two ask
of each asset alone whether it rises, and hold cash, or are `short`, where it does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from agents.baselines.base import Rebalanced, returns_looked_back
from agents.baselines.weights import inverse_volatility
from envs.data.arguments import number, whole_number
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.indicators import deviation_nb

Float = NDArray[np.float64]


class Momentum(Rebalanced):
    """Equal weights in the `share` of assets with the highest return from `lookback` to `skip` rows
    ago (Jegadeesh and Titman 1993: twelve months without the last)."""

    name = "momentum"

    def __init__(
        self,
        market: MarketData,
        lookback: int = 252,
        skip: int = 21,
        share: float = 0.3,
        every: int = 21,
    ) -> None:
        lookback = whole_number(lookback, "momentum: lookback", 1)
        if not 0 <= whole_number(skip, "momentum: skip", 0) < lookback:
            raise InputError(f"momentum needs 0 <= skip < lookback, got {skip} and {lookback}")
        self.share = share_of_assets(self.name, share)
        super().__init__(market, lookback + 1, every)
        self.skip = skip

    def target(self, closes: Float) -> Float:
        return best(closes[-1 - self.skip] / closes[0], self.share)


class Reversal(Rebalanced):
    """Equal weights in the `share` of assets with the lowest return of the last `lookback` rows
    (Jegadeesh 1990: those that lost in a month win in the next)."""

    name = "reversal"

    def __init__(
        self, market: MarketData, lookback: int = 21, share: float = 0.3, every: int = 21
    ) -> None:
        self.share = share_of_assets(self.name, share)
        super().__init__(market, whole_number(lookback, "reversal: lookback", 1) + 1, every)

    def target(self, closes: Float) -> Float:
        return best(closes[0] / closes[-1], self.share)


def share_of_assets(name: str, share: float) -> float:
    """A share in (0, 1]; `InputError` naming the baseline otherwise."""
    if not 0 < number(share, f"{name}: share") <= 1:
        raise InputError(f"{name}: share must lie in (0, 1], got {share}")
    return float(share)


def best(score: Float, share: float) -> Float:
    """`[A]` equal weights, summing to 1, in the `share` of assets with the highest scores: the
    first of equals, and one at least."""
    count = max(1, round(share * len(score)))
    weights = np.zeros(len(score))
    weights[np.argsort(-score, kind="stable")[:count]] = 1.0 / count
    return weights


class TimeSeriesMomentum(Rebalanced):
    """Long what has risen over `lookback` rows; cash, or `short`, for what has fallen (Moskowitz,
    Ooi and Pedersen 2012: twelve months, held for one).

    An asset's share is in proportion to 1 / volatility of its last `window` returns, as theirs is,
    and the shares of all assets sum to 1: no leverage. A price that is where it was is cash.
    """

    name = "time_series_momentum"

    def __init__(
        self,
        market: MarketData,
        lookback: int = 252,
        window: int = 63,
        every: int = 21,
        short: bool = False,
    ) -> None:
        lookback = whole_number(lookback, f"{self.name}: lookback", 1)
        rows = max(lookback + 1, returns_looked_back(self.name, window))
        super().__init__(market, rows, every, short)
        self.lookback, self.window = lookback, window

    def target(self, closes: Float) -> Float:
        signal = np.sign(closes[-1] - closes[-1 - self.lookback])
        return exposure(signal, self.short) * inverse_volatility(closes[-1 - self.window :])


class Macd(Rebalanced):
    """Trend by moving averages of three lengths (Baz et al. 2015).

    For the pairs (8, 24), (16, 48), (32, 96) of averages: the difference of the exponentially
    weighted means of the close (decay 1 - 1/n), over the deviation of the last 63 closes, over the
    deviation of the last 252 of these ratios; then the response z exp(-z^2 / 4) / 0.89, which
    trusts extremes less. The mean of the three, within +-0.97, is the signal of an asset. It scales
    the asset's share of the portfolio, which is in proportion to 1 / volatility of the last 63
    returns. What the signals leave, and what falls unless `short`, is cash.

    The means begin with the first of the 315 closes that a decision reads.
    """

    name = "macd"
    PAIRS = ((8, 24), (16, 48), (32, 96))
    PRICES, RATIOS = 63, 252

    def __init__(self, market: MarketData, every: int = 5, short: bool = False) -> None:
        super().__init__(market, self.PRICES + self.RATIOS, every, short)

    def target(self, closes: Float) -> Float:
        shares = inverse_volatility(closes[-1 - self.PRICES :])
        return exposure(macd_signal(closes), self.short) * shares


def exposure(signal: Float, short: bool) -> Float:
    """The signal, without what is negative where nothing may be shorted."""
    return signal if short else np.maximum(signal, 0.0)


def macd_signal(closes: Float) -> Float:
    """`[A]` the signal of `Macd` at the last of these closes `[n, A]`."""
    closes = closes / closes[-1]
    signal = np.zeros(closes.shape[1])
    for short, long in Macd.PAIRS:
        ratio = _mean(closes, short) - _mean(closes, long)
        ratio = _over(ratio, _deviation(closes, Macd.PRICES))
        tail = np.ascontiguousarray(ratio[-Macd.RATIOS :])
        z = _over(tail[-1], _deviation(tail, Macd.RATIOS)[-1])
        signal += z * np.exp(-(z**2) / 4.0) / 0.89
    return signal / len(Macd.PAIRS)


def _mean(closes: Float, n: int) -> Float:
    """`[T, A]` exponentially weighted mean of the closes up to each row, decay 1 - 1/n."""
    decay = 1.0 - 1.0 / n
    weights = np.cumsum(decay ** np.arange(len(closes)))
    return lfilter([1.0], [1.0, -decay], closes, axis=0) / weights[:, None]


def _deviation(x: Float, n: int) -> Float:
    """`[T, A]` deviation (ddof 1) of the last n rows; 0 before there are n."""
    out = np.zeros_like(x)
    deviation_nb(np.ascontiguousarray(x), n, 1.0, out)
    return out


def _over(x: Float, deviation: Float) -> Float:
    """x / deviation; 0 where nothing moves but the last digit."""
    return np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 1e-12)
