"""Execution conventions: how the prices of a panel become the two legs of a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.kernel import LOWEST_GROWTH

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
EXECUTIONS = ("next_close", "next_open", "same_close")


@dataclass(frozen=True, eq=False)
class Legs:
    """Gross growth of each asset and of cash, by decision row t, for the step from t to t+1.

    Attributes:
        before: `[T-1, A+1]` from the decision to the execution, or None where nothing moves.
        after: `[T-1, A+1]` from the execution to the next decision, or None.
        equal_weight: `[T-1]` growth of the equal-weight mix of the listed assets, without costs.
        index: `[T-1]` growth of the panel's benchmark index, or of `equal_weight` without one.
        cash: `[T-1]` growth of cash.
        tradable: `[T-1, A]` whether the asset can be traded at the execution of decision t; None
            where all can at all times. Under `same_close` `[T, A]`: a forced sale at the end of the
            last step trades on the row after its decision.
        settles: `[T-1, A]` whether the asset is delisted in this step: at the end of its first leg
            that is not None (so before the trade, but under `same_close` after it) the holding,
            which the growth of that leg has brought to the settlement value, becomes cash without
            charge. None where `tradable` is.
        n_listed: `[T-1]` how many assets are listed at the execution of decision t, halted ones
            included; None where `tradable` is.
    """

    before: Float | None
    after: Float | None
    equal_weight: Float
    index: Float
    cash: Float
    tradable: Bool | None = None
    settles: Bool | None = None
    n_listed: NDArray[np.int64] | None = None


def make_legs(market: MarketData, execution: str) -> Legs:
    """The legs of this market under an execution convention.

    `same_close` trades at the close that the decision has just seen (the convention of the
    literature, optimistic). `next_open` trades at the next open. `next_close` trades one whole
    period later (the honest default where there are no open prices). Cash earns its rate
    overnight: before the trade in `next_open`.

    In a halt a price stands still, and the row at which trading resumes has the whole jump. On the
    row of a delisting an asset grows by `market.delisting_value`, the share of its last close that
    its holders are paid. Where an asset is not listed its growth is 1; nobody holds it.

    Raises:
        InputError: for an unknown convention, or for `next_open` without open prices.
    """
    if execution not in EXECUTIONS:
        raise InputError(f"unknown execution {execution!r}; known: {', '.join(EXECUTIONS)}")
    if execution == "next_open" and market.open is None:
        raise InputError(
            f"execution 'next_open' needs open prices and {market.name} has none; use 'next_close'"
        )
    opens, close = market.open, market.close
    listed = settles = None
    if market.delisting_value is not None:
        opens, close, listed = standing_prices(market)
        settles = np.isfinite(market.delisting_value[1:])

    def growth(start: Float, end: Float, settling: bool) -> Float:
        made = end / start
        if settles is not None:
            assert market.delisting_value is not None
            made[np.isnan(made)] = 1.0
            if settling:
                made[settles] = market.delisting_value[1:][settles]
        return made

    asset = growth(close[:-1], close[1:], True)
    cash = 1.0 + market.cash_rate[1:]
    whole = np.column_stack([asset, cash])
    before: Float | None = None
    after: Float | None = None
    if execution == "same_close":
        after = whole
    elif execution == "next_close":
        before = whole
    else:
        assert opens is not None
        before = np.column_stack([growth(close[:-1], opens[1:], True), cash])
        after = np.column_stack([growth(opens[1:], close[1:], False), np.ones_like(cash)])
    equal_weight = asset.mean(axis=1) if listed is None else _mean_of(asset, listed[:-1])
    index = equal_weight
    if market.benchmark is not None:
        index = market.benchmark[1:] / market.benchmark[:-1]
    if listed is None:
        return Legs(before, after, equal_weight, index, cash)
    # The rows at whose prices the decisions are executed.
    rows = slice(None, -1) if execution == "same_close" else slice(1, None)
    can = market.tradable if execution == "same_close" else market.tradable[1:]
    return Legs(
        before,
        after,
        equal_weight,
        index,
        cash,
        # Copied, since a read-only array would have the kernel compiled a second time.
        tradable=can.copy(),
        settles=settles,
        n_listed=listed[rows].sum(axis=1),
    )


def standing_prices(market: MarketData) -> tuple[Float | None, Float, Bool]:
    """`(open, close, listed)`, each `[T, A]`: prices that stand still where nothing trades, NaN
    before the listing; an asset is listed from its first tradable row until it settles. Row t reads
    rows 0..t only."""
    can = market.tradable
    if market.delisting_value is None:
        return market.open, market.close, can
    source = np.maximum.accumulate(np.where(can, np.arange(len(can))[:, None], -1), axis=0)
    known = source >= 0
    close = np.take_along_axis(market.close, np.maximum(source, 0), axis=0)
    close[~known] = np.nan
    opens = None if market.open is None else np.where(can, market.open, close)
    gone = np.logical_or.accumulate(np.isfinite(market.delisting_value), axis=0)
    return opens, close, known & ~gone


def _mean_of(growth: Float, listed: Bool) -> Float:
    """Mean over the listed assets of each row, 1 where there is none. All may settle at nothing at
    once; the mix is then cut where the portfolios are."""
    count = listed.sum(axis=1)
    total = np.where(listed, growth, 0.0).sum(axis=1)
    mean = np.divide(total, count, out=np.ones(len(growth)), where=count > 0)
    return np.maximum(mean, LOWEST_GROWTH)
