"""When a row is known, and which row is the first that may know a publication.

A row of a daily panel is known at the close of its session, so that a text of 16:00:01 New York
time belongs to the next session. Moments are UTC, datetime64[ns] without a zone.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs.data.market_data import MarketData
from envs.data.table import MISSING, YEAR_FIRST, Table
from envs.features.seasonal import published_calendar

if TYPE_CHECKING:
    import pandas as pd

Moments = NDArray[np.datetime64]
Days = NDArray[np.datetime64]

# Where the published series of the groups macro and sentiment come out.
NEW_YORK = "XNYS"
_DAY = np.timedelta64(1, "D")


def close_moments(days: Days, exchange: str) -> Moments:
    """`[n]` when the exchange closes on each day, with its early closes.

    A day that is no session (a coin on a Sunday) has the usual hour of closing.

    Args:
        days: `[n]` datetime64[D], in any order.
        exchange: a code of the exchange_calendars package, "XNYS" for New York.

    Raises:
        InputError: for an unknown exchange.
    """
    import pandas as pd

    if not len(days):
        return np.empty(0, "datetime64[ns]")
    calendar = _exchange(exchange, str(days.min() - 31), str(days.max() + 31))
    wanted = pd.DatetimeIndex(days)
    closes = calendar.closes.reindex(wanted)
    for i in np.flatnonzero(closes.isna().to_numpy()).tolist():
        closes.iloc[i] = _usual_close(calendar, wanted[i])
    return closes.dt.tz_convert(None).to_numpy().astype("datetime64[ns]")


def _usual_close(calendar: Any, day: pd.Timestamp) -> pd.Timestamp:
    import pandas as pd

    hours = [hour for since, hour in calendar.close_times if since is None or since <= day]
    local = pd.Timestamp.combine((day + pd.Timedelta(days=calendar.close_offset)).date(), hours[-1])
    moment: pd.Timestamp = local.tz_localize(
        calendar.tz, nonexistent="shift_forward", ambiguous=True
    )
    return moment.tz_convert("UTC")


@lru_cache(maxsize=8)
def _exchange(name: str, first: str, last: str) -> Any:
    import exchange_calendars

    published_calendar(name)  # says what is wrong with the name
    return exchange_calendars.get_calendar(name, start=first, end=last)


def row_moments(market: MarketData, exchange: str) -> Moments:
    """`[T]` when each row is known: the close of its session, or its own time within a day."""
    if market.periods_per_year > 366.0:
        return market.dates
    return close_moments(market.dates.astype("datetime64[D]"), exchange)


def known_days(moments: Moments, exchange: str) -> Days:
    """`[n]` the first day at whose close a publication of this moment is known."""
    import pandas as pd

    calendar = _exchange(exchange, "2000-01-03", "2000-12-29")
    local = pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(calendar.tz).tz_localize(None)
    days = local.to_numpy().astype("datetime64[D]")
    return np.where(moments > close_moments(days, exchange), days + _DAY, days)


def has_times(table: Table, column: str) -> bool:
    """Whether a column of dates holds times of the day.

    Raises:
        InputError: for a time without a zone, naming its row.
    """
    import pandas as pd

    cells = table.frame[column]
    if isinstance(cells.dtype, pd.DatetimeTZDtype):
        return True
    if cells.dtype.kind == "M":
        stamps = cells.to_numpy()
        timed = stamps != stamps.astype("datetime64[D]")
        zoneless = timed & ~np.isnat(stamps)
    else:
        text = [str(cell).strip() for cell in cells]
        matches = [YEAR_FIRST.fullmatch(cell) for cell in text]
        timed = np.array([m is not None and m[2] is not None for m in matches])
        zoneless = timed & np.array([m is not None and m["zone"] is None for m in matches])
    if zoneless.any():
        row = int(zoneless.argmax())
        raise table.error(
            row,
            column,
            f"{str(cells.iloc[row]).strip()} has no time zone; write it, such as "
            "2020-04-03 16:05-04:00 or 2020-04-03T20:05Z",
        )
    missing = np.array([str(cell).strip() in (*MISSING, "NaT") for cell in cells])
    mixed = ~timed & ~missing
    if timed.any() and mixed.any():
        row = int(mixed.argmax())
        raise table.error(
            row,
            column,
            f"{str(cells.iloc[row]).strip()!r} is a day, but other rows have times; write all with "
            "a time or all without",
        )
    return bool(timed.any())
