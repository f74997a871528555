"""Execution conventions: how the prices of a panel become the two legs of a step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.errors import InputError

Float = NDArray[np.float64]
EXECUTIONS = ("next_close", "next_open", "same_close")


@dataclass(frozen=True, eq=False)
class Legs:
    """Gross growth of each asset and of cash, by decision row t, for the step from t to t+1.

    Attributes:
        before: `[T-1, A+1]` from the decision to the execution, or None where nothing moves.
        after: `[T-1, A+1]` from the execution to the next decision, or None.
        equal_weight: `[T-1]` growth of the equal-weight mix of the assets, without costs.
        index: `[T-1]` growth of the panel's benchmark index, or of `equal_weight` without one.
        cash: `[T-1]` growth of cash.
    """

    before: Float | None
    after: Float | None
    equal_weight: Float
    index: Float
    cash: Float


def make_legs(market: MarketData, execution: str) -> Legs:
    """The legs of this market under an execution convention.

    `same_close` trades at the close that the decision has just seen (the convention of the
    literature, optimistic). `next_open` trades at the next open. `next_close` trades one whole
    period later (the honest default where there are no open prices). Cash earns its rate
    overnight: before the trade in `next_open`.

    Raises:
        InputError: for an unknown convention, for `next_open` without open prices, or where an
            asset is not tradable on some row (naming it).
    """
    if execution not in EXECUTIONS:
        raise InputError(f"unknown execution {execution!r}; known: {', '.join(EXECUTIONS)}")
    if execution == "next_open" and market.open is None:
        raise InputError(
            f"execution 'next_open' needs open prices and {market.name} has none; use 'next_close'"
        )
    if not market.tradable.all():
        raise InputError(_gaps(market))
    close = market.close
    asset = close[1:] / close[:-1]
    cash = 1.0 + market.cash_rate[1:]
    whole = np.column_stack([asset, cash])
    before: Float | None = None
    after: Float | None = None
    if execution == "same_close":
        after = whole
    elif execution == "next_close":
        before = whole
    else:
        assert market.open is not None
        before = np.column_stack([market.open[1:] / close[:-1], cash])
        after = np.column_stack([close[1:] / market.open[1:], np.ones_like(cash)])
    equal_weight = asset.mean(axis=1)
    index = equal_weight
    if market.benchmark is not None:
        index = market.benchmark[1:] / market.benchmark[:-1]
    return Legs(before, after, equal_weight, index, cash)


def _gaps(market: MarketData) -> str:
    """What is not tradable, and the ways out."""
    row, asset = np.argwhere(~market.tradable)[0]
    whole = np.asarray(market.tradable.all(axis=0))
    names = [s for s, good in zip(market.symbols, whole.tolist(), strict=True) if not good]
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    last = int(np.flatnonzero(~market.tradable.all(axis=1))[-1])
    ways = []
    if whole.any():
        ways.append(f"leave out the {len(names)} with gaps ({shown}) through data.symbols")
    if last + 2 < market.n_rows:
        day = np.datetime_as_string(market.dates[last + 1], unit="D")
        ways.append(f"begin with data.start={day}, from when on all trade")
    return (
        f"{market.name}: {market.symbols[asset]} is not tradable on "
        f"{np.datetime_as_string(market.dates[row], unit='D')}, and all must be throughout; "
        + (", or ".join(ways) or "choose symbols and dates without gaps (data.symbols, data.start)")
    )
