"""Baselines that solve a portfolio problem on a trailing window, by skfolio."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.baselines.base import Rebalanced, returns_looked_back
from envs.data.arguments import number
from envs.data.market_data import MarketData
from envs.errors import InputError

Float = NDArray[np.float64]
# Deviation of simple returns below which a price counts as standing still: skfolio refuses it.
STILL = 1e-7
# What skfolio says of a solution that is good enough here, and what it does about it.
EXPECTED = ("The covariance matrix is not positive definite", "Solution may be inaccurate")


class Optimised(Rebalanced):
    """A long-only, fully invested optimiser of skfolio, fitted on the last `window` simple returns
    with their sample moments.

    Args:
        optimiser: one of `OPTIMISERS`.

    Where the problem has no solution (no asset with a positive mean return for `maximum_sharpe`)
    the weights of minimum variance are taken. A price that has stood still is the least risk by
    itself, and no part of the other problems. A covariance without full rank (two equal assets,
    more assets than returns) is brought to the nearest one by clipping its eigenvalues; where the
    solver ends short of its tolerance of 1e-9, what it has is taken.
    """

    OPTIMISERS = (
        "minimum_variance",  # Markowitz 1952
        "maximum_sharpe",  # Sharpe 1966
        "risk_parity",  # equal contributions to the variance; Maillard, Roncalli, Teiletche 2010
        "hierarchical_risk_parity",  # Lopez de Prado 2016
        "maximum_diversification",  # Choueifaty and Coignard 2008
        "nested_clusters",  # minimum variance within and between clusters; Lopez de Prado 2019
    )
    LEAST_RISK: tuple[str, ...] = ("minimum_variance", "minimum_cvar")

    def __init__(
        self, market: MarketData, optimiser: str, window: int = 252, every: int = 21
    ) -> None:
        self.name = optimiser
        super().__init__(market, returns_looked_back(optimiser, window), every)

    def estimator(self) -> Any:
        """The optimiser, not fitted."""
        return _skfolio(self.name)

    def target(self, closes: Float) -> Float:
        returns = closes[1:] / closes[:-1] - 1.0
        moves = returns.std(axis=0) > STILL
        n_moving = int(moves.sum())
        still = self.name in self.LEAST_RISK and n_moving < len(moves)
        if n_moving < 2 or still:
            chosen = ~moves if still else moves
            chosen = chosen if chosen.any() else np.ones(len(moves), bool)
            return chosen / chosen.sum()
        estimator = self.estimator()
        if self.name == "maximum_sharpe" and returns[:, moves].mean(axis=0).max() <= 0:
            estimator = _skfolio("minimum_variance")
        weights = np.zeros(len(moves))
        try:
            with warnings.catch_warnings():
                for message in EXPECTED:
                    warnings.filterwarnings("ignore", message, UserWarning)
                weights[moves] = estimator.fit(returns[:, moves]).weights_
        except Exception as error:
            # Solvers fail in many ways on degenerate prices; a run must say which baseline and why.
            raise InputError(
                f"{self.name} finds no weights ({error}); use a longer window, or leave it out "
                f"with evaluation.baselines.{self.name}=null"
            ) from error
        # Solvers leave weights of -1e-12 and sums of 1 +- 1e-9; the market wants a portfolio.
        weights = np.maximum(weights, 0.0)
        return weights / weights.sum()


class MeanVariance(Optimised):
    """The highest mean return less `risk_aversion` / 2 times the variance (Markowitz 1952): the
    utility of the `mean_variance` reward."""

    def __init__(
        self,
        market: MarketData,
        risk_aversion: float = 5.0,
        window: int = 252,
        every: int = 21,
    ) -> None:
        if number(risk_aversion, "mean_variance: risk_aversion") <= 0:
            raise InputError(f"mean_variance: risk_aversion must be positive, got {risk_aversion}")
        super().__init__(market, "mean_variance", window, every)
        self.risk_aversion = risk_aversion

    def estimator(self) -> Any:
        from skfolio import RiskMeasure
        from skfolio.optimization import MeanRisk, ObjectiveFunction

        return MeanRisk(
            objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
            risk_measure=RiskMeasure.VARIANCE,
            risk_aversion=self.risk_aversion / 2.0,
        )


class MinimumCvar(Optimised):
    """The lowest mean loss of the worst 1 - `tail` of the returns (Rockafellar and Uryasev
    2000)."""

    def __init__(
        self, market: MarketData, tail: float = 0.95, window: int = 252, every: int = 21
    ) -> None:
        if not 0 < number(tail, "minimum_cvar: tail") < 1:
            raise InputError(f"minimum_cvar: tail must lie in (0, 1), got {tail}")
        super().__init__(market, "minimum_cvar", window, every)
        self.tail = tail

    def estimator(self) -> Any:
        from skfolio import RiskMeasure
        from skfolio.optimization import MeanRisk

        return MeanRisk(risk_measure=RiskMeasure.CVAR, cvar_beta=self.tail)


def _skfolio(optimiser: str) -> Any:
    from skfolio import RiskMeasure
    from skfolio.optimization import (
        HierarchicalRiskParity,
        MaximumDiversification,
        MeanRisk,
        NestedClustersOptimization,
        ObjectiveFunction,
        RiskBudgeting,
    )

    variance = RiskMeasure.VARIANCE
    if optimiser == "maximum_sharpe":
        return MeanRisk(objective_function=ObjectiveFunction.MAXIMIZE_RATIO, risk_measure=variance)
    if optimiser == "risk_parity":
        return RiskBudgeting(risk_measure=variance)
    if optimiser == "hierarchical_risk_parity":
        return HierarchicalRiskParity(risk_measure=variance)
    if optimiser == "maximum_diversification":
        return MaximumDiversification()
    if optimiser == "nested_clusters":
        # Within the sample, as in the paper: no cross-validation between the two steps.
        return NestedClustersOptimization(MeanRisk(), MeanRisk(), cv="ignore")
    return MeanRisk(objective_function=ObjectiveFunction.MINIMIZE_RISK, risk_measure=variance)
