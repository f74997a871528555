"""`synthetic`: a correlated geometric random walk, for tests and for a first try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import (
    HELD,
    calendar_day,
    name_list,
    number,
    outside,
    rows_per_year,
    truth_value,
    whole_number,
)
from envs.data.cash import constant_cash_rate
from envs.data.market_data import Float, MarketData
from envs.errors import InputError

# Share of a day's variance that comes overnight, between the last close and the open.
OVERNIGHT_SHARE = 0.25
# 16 GB for one field; a slip of the keyboard asks for more.
MOST_CELLS = 2_000_000_000
# exp(709) is the largest float; the rest is room for highs, lows and products with them.
MOST_LOG_PRICE = 600.0
MADE_UP_DATES = (
    "The dates of simulated prices are made up: they number the rows, and nothing happened on them."
)


def synthetic(
    n_rows: int = 1000,
    n_assets: int = 4,
    seed: int = 0,
    ohlcv: bool = False,
    drift: float | Sequence[float] = 0.06,
    volatility: float | Sequence[float] = 0.2,
    correlation: float = 0.3,
    cash_rate: float = 0.02,
    start_price: float = 100.0,
    first_date: str = "2000-01-03",
    periods_per_year: float = 252.0,
    symbols: Sequence[str] | None = None,
) -> MarketData:
    """Prices that follow a correlated geometric Brownian motion, one row a weekday.

    Log returns are (drift - volatility^2 / 2) dt + volatility sqrt(dt) z with dt =
    1 / periods_per_year and equicorrelated standard normal z. Opens split each day's move into an
    overnight and an intraday part; high and low are drawn from the exact law of the extremes of
    the Brownian bridge from open to close. The closes are the same with and without `ohlcv`.

    Args:
        n_rows: T >= 2. n_assets: A >= 1. At most 2e9 cells.
        seed: >= 0; same seed, same panel, bit for bit.
        ohlcv: also make open, high, low and volume (shares).
        drift: growth of the expected price a year, one number or one for each asset.
        volatility: a year, >= 0, one number or one for each asset; 0 gives a smooth curve.
        correlation: between any two assets, in [0, 1].
        cash_rate: simple return of cash a year.
        start_price: close of row 0, of every asset.
        first_date: ISO date of row 0 (the next weekday, if it is not one); the last row must not
            come after 2261.
        periods_per_year: rows a year.
        symbols: names; default S00, S01, ...

    Raises:
        InputError: naming the argument that is out of its range.
    """
    n_rows, n_assets = whole_number(n_rows, "n_rows", 2), whole_number(n_assets, "n_assets", 1)
    if n_rows * n_assets > MOST_CELLS:
        raise InputError(
            f"synthetic: n_rows={n_rows} times n_assets={n_assets} are more than {MOST_CELLS:.0e} "
            "prices; ask for fewer"
        )
    seed, ohlcv = whole_number(seed, "seed", 0), truth_value(ohlcv, "ohlcv")
    dates = weekdays(first_date, n_rows)
    cash = constant_cash_rate(cash_rate, n_rows, periods_per_year)
    periods_per_year = rows_per_year(periods_per_year)
    if not 0.0 <= number(correlation, "correlation") <= 1.0:
        raise InputError(f"synthetic: correlation={correlation} must lie in [0, 1]")
    if not number(start_price, "start_price") > 0:
        raise InputError(f"synthetic: start_price={start_price} must be > 0")
    names = None if symbols is None else name_list(symbols)
    mu = _for_each_asset("drift", drift, n_assets)
    sigma = _for_each_asset("volatility", volatility, n_assets)
    if (sigma < 0).any():
        raise InputError(f"synthetic: volatility={volatility} must be >= 0")
    # Separate streams: asking for OHLCV must not change the closes.
    close_rng, bar_rng = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))

    dt = 1.0 / periods_per_year
    market = close_rng.standard_normal((n_rows - 1, 1))
    own = close_rng.standard_normal((n_rows - 1, n_assets))
    shock = np.sqrt(correlation) * market + np.sqrt(1.0 - correlation) * own
    with np.errstate(over="ignore", invalid="ignore"):
        log_return = (mu - 0.5 * sigma**2) * dt + sigma * np.sqrt(dt) * shock
        log_close = np.log(start_price) + np.vstack(
            [np.zeros((1, n_assets)), np.cumsum(log_return, axis=0)]
        )
    if not np.abs(log_close).max() <= MOST_LOG_PRICE:
        raise InputError(
            f"synthetic: with drift={drift}, volatility={volatility}, start_price={start_price} "
            "and this many rows the prices leave the range of numbers; choose smaller ones"
        )
    close = np.exp(log_close)
    bars = _bars(close, log_close, sigma * np.sqrt(dt), bar_rng) if ohlcv else {}
    return MarketData(
        dates=dates,
        symbols=names or tuple(f"S{i:02d}" for i in range(n_assets)),
        close=close,
        cash_rate=cash,
        periods_per_year=periods_per_year,
        name="synthetic",
        notes=(
            "Simulated prices (a geometric random walk): nothing here can be predicted.",
            MADE_UP_DATES,
        ),
        **bars,
    )


def weekdays(first_date: str, n_rows: int, source: str = "synthetic") -> NDArray[np.datetime64]:
    """`[n_rows]` weekdays from `first_date` on, or from the next one; errors name `source`."""
    start = calendar_day(first_date, "first_date")
    ends = np.busday_offset(start, [0, n_rows - 1], roll="forward")
    if outside(ends).any():
        raise InputError(
            f"{source}: {n_rows} weekdays from first_date={first_date} end on {ends[1]}, and "
            f"they must lie in {HELD}; choose another first_date or fewer rows"
        )
    return np.busday_offset(ends[0], np.arange(n_rows))


def _for_each_asset(name: str, value: float | Sequence[float], n_assets: int) -> Float:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if array.shape not in ((), (n_assets,)) or not np.isfinite(array).all():
        raise InputError(
            f"synthetic: {name}={value} must be one finite number or a list of {n_assets}"
        )
    return np.broadcast_to(array, (n_assets,))


def _bars(close: Float, log_close: Float, sigma: Float, rng: np.random.Generator) -> dict[str, Any]:
    """Open, high, low and volume around `close`; `sigma` `[A]` is the volatility of one row."""
    n_rows, n_assets = close.shape
    before = np.vstack([log_close[:1], log_close[:-1]])
    move = log_close - before
    # Brownian bridge at the time of the open, given where the day ends.
    spread = sigma * np.sqrt(OVERNIGHT_SHARE * (1.0 - OVERNIGHT_SHARE))
    log_open = before + OVERNIGHT_SHARE * move + spread * rng.standard_normal((n_rows, n_assets))
    intraday = log_close - log_open
    variance = sigma**2 * (1.0 - OVERNIGHT_SHARE)
    # Maximum of a Brownian bridge from 0 to x: (x + sqrt(x^2 - 2 s^2 ln U)) / 2.
    uniform = 1.0 - rng.random((2, n_rows, n_assets))
    reach = np.sqrt(intraday**2 - 2.0 * variance * np.log(uniform))
    open_ = np.exp(log_open)
    high = np.exp(log_open + 0.5 * (intraday + reach[0]))
    low = np.exp(log_open + 0.5 * (intraday - reach[1]))
    activity = 0.5 * np.abs(move) / np.where(sigma > 0, sigma, 1.0)
    volume = np.round(1e6 * np.exp(activity + 0.3 * rng.standard_normal((n_rows, n_assets))))
    return {
        "open": open_,
        "high": np.maximum(high, np.maximum(open_, close)),
        "low": np.minimum(low, np.minimum(open_, close)),
        "volume": volume,
    }
