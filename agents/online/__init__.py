"""Online portfolio selection: strategies with published numbers, as policies.

`ONLINE` is their part of the catalogue of baselines: name -> constructor `(market, **settings)`.
"""

from __future__ import annotations

from collections.abc import Callable

from agents.online import strategies
from agents.online.policies import BestCRP, BestStock, Market
from agents.policy import Policy

ONLINE: dict[str, Callable[..., Policy]] = {
    "market": Market,
    "best_stock": BestStock,
    "ucrp": strategies.UniformCRP,
    "bcrp": BestCRP,
    "eg": strategies.ExponentiatedGradient,
    "ons": strategies.OnlineNewtonStep,
    "anticor": strategies.Anticor,
    "pamr": strategies.PassiveAggressive,
    "pamr_1": strategies.PassiveAggressive1,
    "pamr_2": strategies.PassiveAggressive2,
    "cwmr_stdev": strategies.ConfidenceWeighted,
    "cwmr_var": strategies.ConfidenceWeightedVariance,
    "olmar_1": strategies.MovingAverage1,
    "olmar_2": strategies.MovingAverage2,
    "rmr": strategies.RobustMedian,
    "up": strategies.UniversalPortfolio,
}
