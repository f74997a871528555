"""Baselines: plain policies that every learned agent has to beat.

They read `indexed` observations and look only at closes up to the row that the observation names.

Where assets list, halt and delist, all choose among those that are tradable at the close of the
decision; those that need past prices, among those of them that were listed on the first row of what
they look back on (in a halt a price stands still). What they hold of a halted asset stays as it is,
and the weights that they name share out the rest. What a delisting pays stays in cash until the
next rebalance, with `buy_and_hold` for ever.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.policy import Policy
from envs.actions import Trade
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.legs import standing_prices

Float = NDArray[np.float64]


class EqualWeight:
    """1/N in every asset that is tradable, restored at every step (DeMiguel, Garlappi and Uppal
    2009)."""

    name = "equal_weight"
    observation = "indexed"
    action = "simplex"

    def __init__(self, market: MarketData) -> None:
        can = market.tradable
        self._weights = np.zeros((len(can), can.shape[1] + 1))
        self._weights[:, :-1] = can / np.maximum(can.sum(axis=1, keepdims=True), 1)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        # Under `simplex` weights are the action.
        return self._weights[observation["t"][0]].copy(), state


class Rebalanced:
    """Base of the policies that name new weights every `every` steps and let them drift between.

    `history` is the number of closes that `target` needs, counted back from the decision.
    """

    name: str
    observation = "indexed"
    action = "trade"

    def __init__(self, market: MarketData, history: int, every: int) -> None:
        if every < 1:
            raise InputError(f"{self.name}: every must be at least 1 step, got {every}")
        self.market = market
        self.history = history
        self.every = every
        _, self._closes, _ = standing_prices(market)
        self._orders = Trade(market.n_assets)
        self._hold = np.zeros(market.n_assets)

    def target(self, closes: Float) -> Float:
        """Weights `[A]` that sum to 1, from closes `[history, A]`, oldest first, of A assets that
        have all of them."""
        raise NotImplementedError

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = True,
    ) -> tuple[np.ndarray, Any]:
        """`state` counts the steps since the episode began, or since there was no asset to choose:
        then nothing is done, and the next step is tried.
        """
        step = 0 if state is None or (episode_start is not None and episode_start[0]) else state
        if step % self.every:
            return self._hold, step + 1
        t = int(observation["t"][0])
        first = t + 1 - self.history
        if first < 0:
            raise InputError(
                f"{self.name} needs {self.history} rows of prices before its first decision and "
                f"has {t + 1}; use more data, shorten its history, or leave it out with "
                f"evaluation.baselines.{self.name}=null"
            )
        closes, can = self._closes[first : t + 1], self.market.tradable[t]
        usable = can & ~np.isnan(closes[0])
        if not usable.any():
            return self._hold, 0
        held = np.asarray(observation["weights"], np.float64)
        weights = np.append(np.where(can, 0.0, held[:-1]), 0.0)
        free = 1.0 - weights.sum()
        if usable.all():
            weights[:-1] = self.target(closes)
        else:
            weights[:-1][usable] = self.target(closes[:, usable]) * free
        return self._orders.inverse(weights, held), step + 1


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
        super().__init__(market, _rows(self.name, window), every)

    def target(self, closes: Float) -> Float:
        volatility = np.diff(np.log(closes), axis=0).std(axis=0, ddof=1)
        # An asset that has not moved has no volatility to invert: it gets that of the calmest one.
        moved = volatility[volatility > 0]
        inverse = 1.0 / np.maximum(volatility, moved.min() if moved.size else 1.0)
        return inverse / inverse.sum()


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
        if not 0 <= skip < lookback or not 0 < share <= 1:
            raise InputError("momentum needs 0 <= skip < lookback and share in (0, 1]")
        super().__init__(market, lookback + 1, every)
        self.skip, self.share = skip, share

    def target(self, closes: Float) -> Float:
        past = closes[-1 - self.skip] / closes[0]
        count = max(1, round(self.share * len(past)))
        weights = np.zeros(len(past))
        weights[np.argsort(-past, kind="stable")[:count]] = 1.0 / count
        return weights


class Optimised(Rebalanced):
    """A long-only, fully invested optimiser of skfolio, fitted on the last `window` simple returns.

    Args:
        optimiser: `minimum_variance`, `maximum_sharpe` (sample mean and covariance), `risk_parity`
            (equal contributions to variance) or `hierarchical_risk_parity` (Lopez de Prado 2016).

    Where the problem has no solution (no asset with a positive mean return for `maximum_sharpe`)
    the weights of minimum variance are taken.
    """

    OPTIMISERS = ("minimum_variance", "maximum_sharpe", "risk_parity", "hierarchical_risk_parity")

    def __init__(
        self, market: MarketData, optimiser: str, window: int = 252, every: int = 21
    ) -> None:
        if optimiser not in self.OPTIMISERS:
            raise InputError(f"unknown optimiser {optimiser!r}; known: {self.OPTIMISERS}")
        self.name = optimiser
        super().__init__(market, _rows(optimiser, window), every)

    def target(self, closes: Float) -> Float:
        returns = closes[1:] / closes[:-1] - 1.0
        name = self.name
        # A price that has stood still has no correlation to speak of: it is the minimum of variance
        # by itself, and no part of the other problems.
        moves = returns.std(axis=0) > 1e-12
        n_moving = int(moves.sum())
        if n_moving < 2 or (name == "minimum_variance" and n_moving < len(moves)):
            chosen = ~moves if name == "minimum_variance" and n_moving < len(moves) else moves
            chosen = chosen if chosen.any() else np.ones(len(moves), bool)
            return chosen / chosen.sum()
        if name == "maximum_sharpe" and returns[:, moves].mean(axis=0).max() <= 0:
            name = "minimum_variance"
        weights = np.zeros(len(moves))
        try:
            weights[moves] = _skfolio(name).fit(returns[:, moves]).weights_
        except Exception as error:
            # Solvers fail in many ways on degenerate prices; a run must say which baseline and why.
            raise InputError(
                f"{self.name} finds no weights ({error}); use a longer window, or leave it out "
                f"with evaluation.baselines.{self.name}=null"
            ) from error
        # Solvers leave weights of -1e-12 and sums of 1 +- 1e-9; the market wants a portfolio.
        weights = np.maximum(weights, 0.0)
        return weights / weights.sum()


def _skfolio(optimiser: str) -> Any:
    from skfolio import RiskMeasure
    from skfolio.optimization import (
        HierarchicalRiskParity,
        MeanRisk,
        ObjectiveFunction,
        RiskBudgeting,
    )

    if optimiser == "minimum_variance":
        return MeanRisk(
            objective_function=ObjectiveFunction.MINIMIZE_RISK, risk_measure=RiskMeasure.VARIANCE
        )
    if optimiser == "maximum_sharpe":
        return MeanRisk(
            objective_function=ObjectiveFunction.MAXIMIZE_RATIO, risk_measure=RiskMeasure.VARIANCE
        )
    if optimiser == "risk_parity":
        return RiskBudgeting(risk_measure=RiskMeasure.VARIANCE)
    return HierarchicalRiskParity(risk_measure=RiskMeasure.VARIANCE)


def _rows(name: str, window: int) -> int:
    if window < 2:
        raise InputError(f"{name}: window must be at least 2 returns, got {window}")
    return window + 1


BASELINES: dict[str, Callable[..., Policy]] = {
    "equal_weight": EqualWeight,
    "buy_and_hold": BuyAndHold,
    "inverse_volatility": InverseVolatility,
    "momentum": Momentum,
    **{name: partial(Optimised, optimiser=name) for name in Optimised.OPTIMISERS},
}


def catalogue() -> dict[str, Callable[..., Policy]]:
    """Name -> factory `(market, **settings)` of all baselines, online strategies included."""
    try:
        from agents.online import ONLINE
    except ImportError:
        return BASELINES
    return {**BASELINES, **ONLINE}


def make_baseline(name: str, market: MarketData, **settings: Any) -> Policy:
    """The baseline of this name on this market; `settings` go to its constructor.

    Raises:
        InputError: for an unknown name, with the nearest ones and the list; for an unknown setting.
    """
    known = catalogue()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
        meant = f"; did you mean {' or '.join(near)}?" if near else "."
        raise InputError(f"unknown baseline {name!r}{meant} Known: {', '.join(known)}")
    try:
        return known[name](market, **settings)
    except TypeError as error:
        raise InputError(f"evaluation.baselines.{name}: {error}") from None
