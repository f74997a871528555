"""Panels with gaps: assets that list later, halt or leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.baselines import make_baseline
from agents.rollout import rollout
from envs.data.market_data import MarketData
from envs.data.synthetic import synthetic
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv

NO = np.nan
EXECUTIONS = ("same_close", "next_close", "next_open")
BASELINES = {
    "equal_weight": {},
    "buy_and_hold": {},
    "inverse_volatility": {"window": 10, "every": 5},
    "momentum": {"lookback": 10, "skip": 2, "every": 5},
    "minimum_variance": {"window": 20, "every": 5},
    "maximum_sharpe": {"window": 20, "every": 5},
    "risk_parity": {"window": 20, "every": 5},
    "hierarchical_risk_parity": {"window": 20, "every": 5},
    "reversal": {"lookback": 10, "every": 5},
    "mean_variance": {"window": 20, "every": 5},
    "minimum_cvar": {"window": 20, "every": 5},
    "maximum_diversification": {"window": 20, "every": 5},
    "nested_clusters": {"window": 20, "every": 5},
}
FIELDS = ("open", "high", "low", "close", "volume")


def with_listing(market: MarketData, asset: int, row: int) -> MarketData:
    """The asset lists at `row`: nothing is known of it before."""
    cut = {}
    for field in FIELDS:
        value = getattr(market, field)
        if value is not None:
            value = value.copy()
            value[:row, asset] = np.nan
            cut[field] = value
    return replace(market, tradable=None, **cut)


def with_halts(
    market: MarketData, rows: slice, asset: int | slice, garbage: float = np.nan
) -> MarketData:
    """The asset cannot be traded in these rows, where the source wrote `garbage`."""
    tradable = market.tradable.copy()
    tradable[rows, asset] = False
    cut = {}
    for field in FIELDS:
        value = getattr(market, field)
        if value is not None:
            value = value.copy()
            value[rows, asset] = garbage
            cut[field] = value
    return replace(market, tradable=tradable, **cut)


def days(n):
    return np.datetime64("2020-01-01", "D") + np.arange(n)


def small(**changes):
    """H halts in row 2 and comes back twice as high, L lists in row 2, D leaves after row 2."""
    halts, late, dies = [10, 20, NO, 40, 40, 40], [NO, NO, 5, 10, 10, 20], [10, 10, 20, NO, NO, NO]
    close = np.array([halts, late, dies], float).T
    arguments = {"delisting_value": 0.3, "name": "small"} | changes
    return MarketData(days(6), ("H", "L", "D"), close, **arguments)


def gappy(n_rows=90, n_assets=5, seed=0, **changes):
    """Asset 1 lists in row 30, asset 2 halts in rows 50-52 and 60, asset 3 leaves after row 66."""
    market = with_listing(synthetic(n_rows=n_rows, n_assets=n_assets, seed=seed, ohlcv=True), 1, 30)
    market = with_halts(market, slice(50, 53), 2, garbage=np.nan)
    market = with_halts(market, slice(60, 61), 2, garbage=7.0)
    market = with_halts(market, slice(67, None), 3)
    return replace(market, **({"delisting_value": 0.4} | changes))


def env_of(market, features=None, cost=0.0, **keywords):
    return PortfolioEnv(market, features, cost=ProportionalCost(cost * 1e4, 0.0), **keywords)


def play(name, market, cost=0.0, execution="same_close", **keywords):
    policy = make_baseline(name, market, **BASELINES[name])
    keywords = {"observation": policy.observation, "action": policy.action, **keywords}
    return rollout(policy, env_of(market, cost=cost, execution=execution, **keywords))
