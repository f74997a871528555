"""`simulated`: one path of a price process as a panel of prices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from envs.data.arguments import calendar_day, name_list, number, outside, whole_number
from envs.data.market_data import MarketData
from envs.data.synthetic import MADE_UP_DATES, weekdays
from envs.errors import InputError

if TYPE_CHECKING:  # the processes read panels themselves, and load Numba
    from envs.market.processes import Process

# Rows a year that are meant as the weekdays of a year, holidays or not.
WEEKDAYS_A_YEAR = (240.0, 262.0)
SECONDS_A_YEAR = 365.25 * 86400.0


def simulated(
    process: Process,
    n_rows: int = 2520,
    seed: int = 0,
    start_price: float = 100.0,
    first_date: str = "2000-01-03",
    symbols: Sequence[str] | None = None,
) -> MarketData:
    """One path of a process; an environment can draw fresh ones from its `process`.

    Args:
        process: any of `envs.market.processes`. Its `periods_per_year` dates the rows: weekdays
            from 240 to 262 a year, else evenly spaced ones.
        n_rows: T >= 2.
        seed: of the path, 0 .. 2^64 - 1; same seed, same panel, bit for bit.
        start_price: close of row 0, of every asset.
        first_date: ISO date of row 0 (the next weekday, if it must be one); the last row must not
            come after 2261.
        symbols: names; default those of a bootstrapped panel, else S00, S01, ...

    Returns:
        a panel of closes, with what the process lets an agent see in `observed`. Cash earns
        process.cash_rate / periods_per_year a row.

    Raises:
        InputError: naming the argument that is out of its range.
    """
    if not hasattr(process, "simulate"):
        raise InputError(
            f"simulated: process={process!r} is no price process; make one of "
            "envs.market.processes, such as GeometricBrownian()"
        )
    n_rows = whole_number(n_rows, "simulated: n_rows", 2)
    seed = whole_number(seed, "simulated: seed", 0)
    if seed >= 2**64:
        raise InputError(f"simulated: seed={seed} must be below 2^64")
    if not number(start_price, "simulated: start_price") > 0:
        raise InputError(f"simulated: start_price={start_price} must be > 0")
    kind = type(process).__name__
    dates = _dates(first_date, n_rows, process.periods_per_year)
    paths = process.simulate(np.array([seed], np.uint64), n_rows - 1)
    with np.errstate(over="ignore", under="ignore"):
        growth = np.vstack([np.ones((1, process.n_assets)), paths.growth[0]])
        close = start_price * np.cumprod(growth, axis=0)
    if not (np.isfinite(close) & (close > 0)).all():
        raise InputError(
            f"simulated: over {n_rows} rows the prices of {kind} leave the range of numbers; "
            "choose smaller drifts and volatilities, or fewer rows"
        )
    names = process.symbols if symbols is None else name_list(symbols)
    return MarketData(
        dates=dates,
        symbols=names,
        close=close,
        cash_rate=np.full(n_rows, process.cash_rate / process.periods_per_year),
        periods_per_year=process.periods_per_year,
        name=f"simulated {kind}",
        notes=(
            f"Simulated prices: one path of {kind}, seed {seed}. Another seed is another history.",
            MADE_UP_DATES,
        ),
        observed=paths.observed[0] if process.observed_names else None,
        observed_names=process.observed_names,
        process=process,
    )


def _dates(first_date: str, n_rows: int, periods_per_year: float) -> NDArray[np.datetime64]:
    low, high = WEEKDAYS_A_YEAR
    if low <= periods_per_year <= high:
        return weekdays(first_date, n_rows, "simulated")
    start = calendar_day(first_date, "first_date").astype("datetime64[s]")
    spacing = np.timedelta64(max(round(SECONDS_A_YEAR / periods_per_year), 1), "s")
    last = start + (n_rows - 1) * spacing
    if outside(np.array([start, last])).any():
        raise InputError(
            f"simulated: {n_rows} rows from first_date={first_date} end on {last}, which no panel "
            "can hold; choose another first_date or fewer rows"
        )
    return start + np.arange(n_rows) * spacing
