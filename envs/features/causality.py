"""`first_leak`: does a feature builder see the future? Two experiments whose answer is yes or no.

Everything after row t is changed, and the panel is cut off after row t. If a single bit of any
feature up to row t differs from the original, the builder knows something at t that it cannot know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from envs.data.market_data import MarketData
from envs.features.panel import FeaturePanel


def change_after(market: MarketData, row: int, seed: int = 0) -> MarketData:
    """The same panel up to `row`; after it prices, volumes, dates, halts, what delistings pay, cash
    and benchmark differ."""
    rng = np.random.default_rng(seed)
    later = slice(row + 1, None)
    n_later = market.n_rows - row - 1
    n_assets = market.n_assets
    changed: dict[str, np.ndarray] = {}
    # One factor for all prices of a cell: high stays above low.
    factor = np.exp(rng.normal(0.0, 0.5, (n_later, n_assets)))
    for field in ("open", "high", "low", "close", "volume"):
        value = getattr(market, field)
        if value is not None:
            changed[field] = value.copy()
            changed[field][later] *= factor if field != "volume" else factor**2
    tradable = market.tradable.copy()
    tradable[later] &= rng.random((n_later, n_assets)) > 0.2
    dates = market.dates.copy()
    dates[later] += np.cumsum(rng.integers(0, 5, n_later)) * np.timedelta64(1, "D")
    cash_rate = market.cash_rate.copy()
    cash_rate[later] += 0.01
    changed |= {"tradable": tradable, "dates": dates, "cash_rate": cash_rate}
    if market.benchmark is not None:
        benchmark = market.benchmark.copy()
        benchmark[later] *= 2.0
        changed["benchmark"] = benchmark
    if market.delisting_value is not None:
        paid = market.delisting_value.copy()
        paid[later] *= 0.5
        changed["delisting_value"] = paid
    return replace(market, **changed)  # type: ignore[arg-type]


def first_leak(
    build: Callable[[MarketData], FeaturePanel], market: MarketData, row: int, seed: int = 0
) -> str | None:
    """The first feature value up to `row` that depends on anything after it, or None.

    Args:
        build: any builder, e.g. `build_features`, alone or followed by a scaler.
        market: the panel; must have rows after `row`.
        row: the last row that may be known; at least the warm-up + 1.
        seed: of the changed future.

    Returns:
        A sentence that names feature, symbol, row and the experiment that gave it away.
    """
    known = build(market)
    futures = {
        "the future changes": change_after(market, row, seed),
        "the panel ends there": market.rows(0, row + 1),
    }
    for experiment, other in futures.items():
        again = build(other)
        if again.names != known.names or again.warmup != known.warmup:
            return f"names or warm-up differ when {experiment} after row {row}"
        before, after = known.values[: row + 1], again.values[: row + 1]
        differs = before.view(np.uint32) != after.view(np.uint32)
        if differs.any():
            t, a, f = np.argwhere(differs)[0]
            return (
                f"feature {known.names[f]!r} of {market.symbols[a]} in row {t} is "
                f"{before[t, a, f]} and becomes {after[t, a, f]} when {experiment} after row {row}"
            )
    return None
