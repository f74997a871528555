"""Costs in the form that the kernel reads, and what they are made from: schedules, volatility."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.data.store import cache_folder, load_extra, load_panel
from envs.errors import InputError
from envs.market import kernel
from envs.market.legs import standing_prices

Float = NDArray[np.float64]
Numbers = float | Sequence[float]
# A volatility is estimated from at least as many returns.
FEWEST_RETURNS = 5


@dataclass(frozen=True, eq=False)
class CostArrays:
    """Costs in the form of the kernel, by decision row: `[T-1, A]`, or `[1, A]` where constant.

    Under `same_close` `[T, A]`: a forced sale trades a row later than the decision of its step.

    Attributes:
        commission, half_spread: fractions of the traded notional, each side.
        impact: coefficients; NaN where an asset has too few returns for a volatility.
        impact_square: cost is impact * order^2; otherwise impact * sqrt(wealth) * order^1.5.
        capacity: largest order in units of the capital; inf: none.
        stretch: times `capacity` is the largest order of a forced sale, the whole volume.
        lots: value of a lot in units of the capital; 0: any fraction.
        borrow: `[A]` fee per period on the value of a short.
        financing: what negative cash pays per period on top of the cash rate.
        margin: gross leverage beyond which a close forces sales; inf: none.
        model: `kernel.EXACT`, or an approximation of the literature.
        kinds: the names of the costs that can be other than zero.
    """

    commission: Float
    half_spread: Float
    impact: Float
    impact_square: bool
    capacity: Float
    stretch: float
    lots: Float
    borrow: Float
    financing: float
    margin: float
    model: int
    kinds: tuple[str, ...] = ("commission", "spread")

    @property
    def can_force(self) -> bool:
        """Whether a margin can force sales."""
        return math.isfinite(self.margin)

    @property
    def constant(self) -> bool:
        """Whether no array depends on time."""
        by_row = (self.commission, self.half_spread, self.impact, self.capacity, self.lots)
        return all(len(rows) == 1 for rows in by_row)

    @property
    def only_proportional(self) -> bool:
        """Whether there is nothing but constant rates."""
        return (
            self.constant
            and self.kinds == ("commission", "spread")
            and self.model == kernel.EXACT
            and not self.lots.any()
            and bool(np.isinf(self.capacity).all())
            and not self.can_force
        )


def execution_rows(market: MarketData, execution: str) -> slice:
    """The rows at which the decisions 0..T-2 are executed, and under `same_close` the last row too:
    at its close the last step may force a sale."""
    return slice(None) if execution == "same_close" else slice(1, None)


def volatility(market: MarketData, window: int) -> Float:
    """`[T, A]` root mean square of the simple returns of the last `window` rows up to each row.

    A return counts where the asset trades at its end, one over a halt whole. With fewer than
    `FEWEST_RETURNS` of them it is the median of the assets that have as many, and NaN where none
    has.
    """
    _, close, _ = standing_prices(market)
    square = np.full(close.shape, np.nan)
    square[1:] = (close[1:] / close[:-1] - 1.0) ** 2
    known = np.isfinite(square) & market.tradable
    square[~known] = 0.0
    total, count = np.zeros(close.shape), np.zeros(close.shape)
    # Lag by lag: a cumulated sum would carry the rounding of all rows before the window.
    for lag in range(min(window, len(close))):
        total[lag:] += square[: len(close) - lag]
        count[lag:] += known[: len(close) - lag]
    made = np.full(close.shape, np.nan)
    enough = count >= FEWEST_RETURNS
    made[enough] = np.sqrt(total[enough] / count[enough])
    some = enough.any(axis=1)
    middle = np.full(len(close), np.nan)
    middle[some] = np.nanmedian(made[some], axis=1)
    return np.where(enough, made, middle[:, None])


def schedule(market: MarketData, key: str, name: str) -> Float:
    """`[T, A]` array `name` of the store that the market came from, for its rows and symbols.

    Raises:
        InputError: if there is none, or if it is negative or missing somewhere.
    """
    path = cache_folder() / f"{market.name}.h5"
    if not path.is_file():
        raise InputError(
            f"{key}={name!r} is a schedule, and {market.name} has none; give numbers in basis "
            "points (data=futures has the schedule one_way_cost)"
        )
    values, panel = load_extra(path, market.name, name), load_panel(path, market.name)
    rows = np.searchsorted(panel.dates, market.dates)
    missing = [s for s in market.symbols if s not in panel.symbols]
    wrong = values.shape != panel.close.shape or values.dtype.kind != "f"
    if (
        wrong
        or missing
        or (rows == panel.n_rows).any()
        or (panel.dates[rows] != market.dates).any()
    ):
        raise InputError(f"{key}={name!r} is not a schedule for the days and symbols of this panel")
    columns = np.array([panel.symbols.index(s) for s in market.symbols])
    rate = values[np.ix_(rows, columns)]
    if not (np.isfinite(rate) & (rate >= 0)).all():
        raise InputError(f"{key}={name!r} is missing or negative on some of these days")
    return rate


def refuse_all(rate: Float, gross_limit: float, what: str = "commission plus half spread") -> None:
    """Raises for rates that times gross leverage take all of the value."""
    worst = float(rate.max()) * gross_limit
    if worst >= 1.0:
        raise InputError(
            f"{what}, times gross leverage, is {worst:.0%} of the traded "
            "value: a trade would cost all there is; cost.commission_bps and "
            "cost.half_spread_bps are in basis points (10 is 0.1 %)"
        )


def per_asset(key: str, value: Numbers | str, n_assets: int) -> Float:
    """`[A]` from one number or one for each asset, finite and not negative."""
    try:
        rate = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{key} must be one number or {n_assets} of them, got {value}") from None
    if rate.ndim == 0:
        rate = np.full(n_assets, float(rate))
    if rate.shape != (n_assets,):
        raise InputError(f"{key} must be one number or {n_assets} of them, got {rate.size}")
    if not (np.isfinite(rate).all() and (rate >= 0).all()):
        raise InputError(f"{key} must be finite and not negative, got {value}")
    return rate
