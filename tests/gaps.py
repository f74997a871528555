"""Panels with gaps: assets that list later, halt or leave."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from envs.data.market_data import MarketData

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
