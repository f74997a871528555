"""Baselines that expect nothing of returns: equal weights, and weights by volatility."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.baselines.base import Baseline, Rebalanced, returns_looked_back
from envs.data.arguments import number
from envs.data.market_data import MarketData
from envs.errors import InputError

Float = NDArray[np.float64]


class EqualWeight(Baseline):
    """1/N in every asset that is tradable, restored at every step (DeMiguel, Garlappi and Uppal
    2009)."""

    name = "equal_weight"

    def __init__(self, market: MarketData) -> None:
        can = market.tradable
        self._weights = np.zeros((len(can), can.shape[1] + 1))
        self._weights[:, :-1] = can / np.maximum(can.sum(axis=1, keepdims=True), 1)

    def act(self, t: int, held: Float, memory: Any) -> tuple[Float, Any]:
        # Under `simplex` weights are the action.
        return self._weights[t].copy(), memory


class BuyAndHold(Rebalanced):
    """Equal weights bought once and left alone: the `market` of the literature."""

    name = "buy_and_hold"

    def __init__(self, market: MarketData) -> None:
        super().__init__(market, history=1, every=10**9)

    def target(self, closes: Float) -> Float:
        return np.full(closes.shape[1], 1.0 / closes.shape[1])


class InverseVolatility(Rebalanced):
    """Weights proportional to 1 / volatility of the last `window` returns."""

    name = "inverse_volatility"

    def __init__(self, market: MarketData, window: int = 63, every: int = 21) -> None:
        super().__init__(market, returns_looked_back(self.name, window), every)

    def target(self, closes: Float) -> Float:
        return inverse_volatility(closes)


def inverse_volatility(closes: Float) -> Float:
    """`[A]` shares of 1 in proportion to 1 / deviation (ddof 1) of the log returns of closes
    `[n+1, A]`. An asset that has not moved gets the share of the calmest one."""
    volatility = np.diff(np.log(closes), axis=0).std(axis=0, ddof=1)
    moved = volatility[volatility > 0]
    inverse = 1.0 / np.maximum(volatility, moved.min() if moved.size else 1.0)
    return inverse / inverse.sum()


class VolatilityTarget(Rebalanced):
    """Equal weights, scaled down so that the portfolio is as volatile as `volatility`, never up;
    the rest is cash (the volatility targeting of Harvey et al. 2018, without leverage).

    The volatility is the annualised deviation (ddof 1) of the last `window` simple returns of the
    equal-weight mix.
    """

    name = "volatility_target"

    def __init__(
        self, market: MarketData, volatility: float = 0.1, window: int = 63, every: int = 5
    ) -> None:
        if not number(volatility, f"{self.name}: volatility") > 0:
            raise InputError(f"{self.name}: volatility must be positive a year, got {volatility}")
        super().__init__(market, returns_looked_back(self.name, window), every)
        # Per step, as the returns are.
        self._wanted = volatility / np.sqrt(market.periods_per_year)

    def target(self, closes: Float) -> Float:
        mix = (closes[1:] / closes[:-1]).mean(axis=1)
        share = 1.0 / closes.shape[1]
        return np.full(closes.shape[1], share * self._wanted / max(mix.std(ddof=1), self._wanted))
