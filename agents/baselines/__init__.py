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

from agents.baselines.base import Baseline, Rebalanced
from agents.baselines.optimised import MeanVariance, MinimumCvar, Optimised
from agents.baselines.trend import Macd, Momentum, Reversal, TimeSeriesMomentum
from agents.baselines.weights import BuyAndHold, EqualWeight, InverseVolatility, VolatilityTarget
from agents.policy import Policy
from envs.data.market_data import MarketData
from envs.errors import InputError

__all__ = [
    "BASELINES",
    "Baseline",
    "InverseVolatility",
    "Optimised",
    "Rebalanced",
    "catalogue",
    "make_baseline",
]

BASELINES: dict[str, Callable[..., Policy]] = {
    "equal_weight": EqualWeight,
    "buy_and_hold": BuyAndHold,
    "inverse_volatility": InverseVolatility,
    "volatility_target": VolatilityTarget,
    "momentum": Momentum,
    "reversal": Reversal,
    "time_series_momentum": TimeSeriesMomentum,
    "macd": Macd,
    "mean_variance": MeanVariance,
    "minimum_cvar": MinimumCvar,
    **{name: partial(Optimised, optimiser=name) for name in Optimised.OPTIMISERS},
}


def catalogue() -> dict[str, Callable[..., Policy]]:
    """Name -> factory `(market, **settings)` of all baselines, online strategies included."""
    # Their kernels are loaded by whoever asks for a name, not by who derives from `Baseline`.
    from agents.online import ONLINE

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
