"""What a simulated market shows of its own state, as features."""

from __future__ import annotations

import numpy as np

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features.panel import FeaturePanel


def no_features(market: MarketData) -> FeaturePanel:
    """A panel without features: observations hold the weights, and the mask where some assets do
    not always trade. No row is lost to a warm-up."""
    return FeaturePanel(np.zeros((*market.close.shape, 0), np.float32), ())


def observed_features(market: MarketData) -> FeaturePanel:
    """`market.observed` as a panel; known at each row, without warm-up, in units near 1.

    A process may show nothing of itself: then there are no features, only the weights held.

    Raises:
        InputError: if the market shows nothing, since it is not a simulated one.
    """
    if market.observed is None and market.process is None:
        raise InputError(
            f"features=observed is for simulated markets (data=simulated/...), and {market.name} "
            "is not one; choose another option of features"
        )
    if market.observed is None:
        return no_features(market)
    names = market.observed_names
    groups = {"observed": slice(0, len(names))}
    return FeaturePanel(np.array(market.observed), names, groups)
