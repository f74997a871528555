"""What a forecast is held against: returns from the price of the execution on, by decision row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from networks.forecast import BUY, HOLD, HORIZONS, SELL

Float = NDArray[np.float64]
UNKNOWN = -1
# Rows from the decision to the execution, as the market executes; `delay` adds to them.
LAGS = {"same_close": 0, "next_close": 1, "next_open": 1}
VOLATILITY_SPAN = 60
# Returns that a volatility needs before it is one.
LEAST_RETURNS = 20
# A price that hardly ever moves has no scale in which its returns could be told.
LEAST_VOLATILITY = 1e-8


class Targets(NamedTuple):
    """Targets by decision row t and asset; T rows, A assets, H = `len(HORIZONS)`.

    A target is unknown where it would need a price that is not there: beyond the data, or where the
    asset cannot be traded at the decision, at the execution or at the end of the horizon.

    Attributes:
        direction: `[T, A]` int64: `SELL`, `HOLD`, `BUY` or `UNKNOWN` (-1), over the first horizon.
        expected_return: `[T, A, H]` float32, return over sigma_t * sqrt(h); NaN where unknown.
        raw_return: `[T, A, H]` float64 simple returns; NaN where unknown.
        log_volatility: `[T, A]` float32, log of the root mean square of the returns of the rows
            after the execution (the longest horizon) over sigma_t; NaN where unknown.
        volatility: `[T, A]` float64 sigma_t a row, known at t; NaN before there is one.
        reach: rows after t that a target of row t may read.
    """

    direction: NDArray[np.int64]
    expected_return: NDArray[np.float32]
    raw_return: Float
    log_volatility: NDArray[np.float32]
    volatility: Float
    reach: int


def make_targets(
    close: Float,
    *,
    execution: str = "next_close",
    delay: int = 0,
    open: Float | None = None,
    tradable: NDArray[np.bool_] | None = None,
    threshold: float = 0.25,
) -> Targets:
    """The targets of every decision row.

    A decision of row t is executed at the close of row t + delay (`same_close`), of row
    t + 1 + delay (`next_close`), or at the open of that row (`next_open`). The return over h rows
    runs from this price to the same kind of price h rows later: what a portfolio that is traded
    then can earn. What the price did between the decision and the execution is in no target.

    The direction is `BUY` where the return over the first horizon is above `threshold * sigma_t`,
    `SELL` where it is below `-threshold * sigma_t`, and `HOLD` between, the bounds included.

    In a halt a price stands still, and the row at which trading resumes has the whole jump.
    An asset that is delisted within a horizon has an unknown target for it.

    Args:
        close: `[T, A]` adjusted prices > 0; NaN only where `tradable` is false.
        execution: as above. delay: further whole rows until the execution, >= 0.
        open: `[T, A]` on the same adjustment, for `next_open`.
        tradable: `[T, A]`; default: where `close` is finite.
        threshold: >= 0, in units of sigma_t. At 0 only a return of exactly 0 is `HOLD`.

    Raises:
        ValueError: for prices, an execution, a delay or a threshold that cannot be.
    """
    close = np.asarray(close, np.float64)
    if close.ndim != 2:
        raise ValueError(f"close must be [T, A], got shape {close.shape}")
    if execution not in LAGS:
        raise ValueError(f"unknown execution {execution!r}; known: {', '.join(LAGS)}")
    if isinstance(delay, bool) or not isinstance(delay, (int, np.integer)) or delay < 0:
        raise ValueError(f"delay must be 0 or more whole rows, got {delay!r}")
    if not (np.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"threshold must be 0 or more, in units of volatility, got {threshold}")
    if execution == "next_open" and open is None:
        raise ValueError("execution 'next_open' needs open prices; give open=, or use 'next_close'")
    can = np.isfinite(close) if tradable is None else np.array(tradable, bool)
    if can.shape != close.shape:
        raise ValueError(f"tradable must be {close.shape} as close, got {can.shape}")
    traded = close if execution != "next_open" else np.asarray(open, np.float64)
    if traded.shape != close.shape:
        raise ValueError(f"open must be {close.shape} as close, got {traded.shape}")
    for name, prices in (("close", close), ("open", traded)):
        wrong = can & ~(np.isfinite(prices) & (prices > 0))
        if wrong.any():
            row, asset = (int(k) for k in np.argwhere(wrong)[0])
            raise ValueError(
                f"{name} is {prices[row, asset]} at row {row}, asset {asset}, which is tradable; "
                "prices must be above 0: mark the cell as not tradable, or mend it"
            )
    volatility = ewma_volatility(close, can)
    lag, n_rows = LAGS[execution] + int(delay), len(close)
    prices = _standing(traded, can)
    raw = np.full((*close.shape, len(HORIZONS)), np.nan)
    for k, horizon in enumerate(HORIZONS):
        n = n_rows - lag - horizon
        if n > 0:
            entry, leave = slice(lag, lag + n), slice(lag + horizon, lag + horizon + n)
            whole = prices[leave] / prices[entry] - 1.0
            raw[:n, :, k] = np.where(can[:n] & can[entry] & can[leave], whole, np.nan)
    standard = raw / (volatility[..., None] * np.sqrt(HORIZONS))
    first = standard[..., 0]
    direction = np.full(close.shape, UNKNOWN)
    direction[np.isfinite(first)] = HOLD
    direction[first > threshold] = BUY
    direction[first < -threshold] = SELL
    return Targets(
        direction=direction,
        expected_return=standard.astype(np.float32),
        raw_return=raw,
        log_volatility=_log_volatility(prices, np.isfinite(standard[..., -1]), volatility, lag),
        volatility=volatility,
        reach=lag + max(HORIZONS),
    )


def ewma_volatility(
    close: Float, tradable: NDArray[np.bool_], span: float = VOLATILITY_SPAN
) -> Float:
    """`[T, A]` sigma_t: root of the exponentially weighted mean square of the returns up to row t.

    The weights decay by 1 - 2 / (span + 1) and are normalised, as those of pandas; the mean return
    of a row is taken as 0. Returns are simple ones between traded closes: rows of a halt count
    nothing. NaN before `LEAST_RETURNS` returns, and where prices hardly move.
    """
    keep = 1.0 - 2.0 / (span + 1.0)
    prices = _standing(close, tradable)
    square, weight = np.zeros(close.shape[1]), np.zeros(close.shape[1])
    count = np.zeros(close.shape[1], np.int64)
    sigma = np.full(close.shape, np.nan)
    for t in range(1, len(close)):
        change = prices[t] / prices[t - 1] - 1.0
        known = tradable[t] & np.isfinite(change)
        square = np.where(known, keep * square + np.where(known, change, 0.0) ** 2, square)
        weight = np.where(known, keep * weight + 1.0, weight)
        count += known
        ready = count >= LEAST_RETURNS
        sigma[t, ready] = np.sqrt(square[ready] / weight[ready])
    sigma[sigma < LEAST_VOLATILITY] = np.nan
    return sigma


def usable_rows(rows: tuple[int, int], reach: int, window: int = 1) -> NDArray[np.int64]:
    """The decision rows of a split that know nothing of what lies after it, and look at nothing
    before it.

    Args:
        rows: first row of the split and first row after it. reach: of the targets.
        window: rows in a window; with 1, windows may begin in rows before the split (those of the
            first split: nothing is learned there).

    Returns:
        `[n]` int64, rows t with t - window + 1 >= first and t + reach < the first row after.

    Raises:
        ValueError: if none is left.
    """
    first, stop = rows
    usable = np.arange(first + window - 1, stop - reach)
    if not len(usable):
        raise ValueError(
            f"no row is left between {first} and {stop}: a target reads {reach} rows ahead and a "
            f"window {window - 1} back; give the split more than {reach + window - 1} rows"
        )
    return usable


def check_apart(
    train: Sequence[int] | NDArray[np.int64],
    validation: Sequence[int] | NDArray[np.int64],
    reach: int,
    window: int,
) -> None:
    """Refuses training rows whose targets or windows overlap with those of validation rows.

    Raises:
        ValueError: naming the closest pair, and what it shares.
    """
    train, validation = np.sort(train), np.asarray(validation)
    place = np.searchsorted(train, validation)
    nearest = np.concatenate(
        [train[np.maximum(place - 1, 0)], train[np.minimum(place, len(train) - 1)]]
    )
    gap = np.abs(nearest - np.tile(validation, 2))
    closest = int(gap.argmin())
    rows = f"training row {nearest[closest]} and validation row {np.tile(validation, 2)[closest]}"
    if gap[closest] <= reach:
        raise ValueError(
            f"{rows} are {gap[closest]} apart, and a target reads {reach} rows ahead: training "
            "would see prices of the validation; purge them with networks.targets.usable_rows"
        )
    if gap[closest] < window:
        raise ValueError(
            f"{rows} are {gap[closest]} apart, less than a window of {window}: a window crosses "
            "the split; begin validation later with networks.targets.usable_rows(..., window=)"
        )


def _standing(prices: Float, tradable: NDArray[np.bool_]) -> Float:
    """Each price as it was last traded; NaN before the first trade. Row t reads rows 0..t only."""
    source = np.where(tradable, np.arange(len(prices))[:, None], -1)
    source = np.maximum.accumulate(source, axis=0)
    standing = np.take_along_axis(prices, np.maximum(source, 0), axis=0)
    return np.where(source >= 0, standing, np.nan)


def _log_volatility(
    prices: Float, known: NDArray[np.bool_], volatility: Float, lag: int
) -> NDArray[np.float32]:
    longest, n_rows = max(HORIZONS), len(prices)
    target = np.full(prices.shape, np.nan)
    n = n_rows - lag - longest
    if n > 0:
        square = np.zeros_like(prices)
        square[1:] = np.nan_to_num(prices[1:] / prices[:-1] - 1.0) ** 2
        later = np.lib.stride_tricks.sliding_window_view(square[lag + 1 :], longest, axis=0)[:n]
        realised = np.sqrt(later.mean(axis=-1))
        use = known[:n] & (realised > LEAST_VOLATILITY)
        target[:n][use] = np.log(realised[use] / volatility[:n][use])
    return target.astype(np.float32)
