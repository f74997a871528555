"""What the calendar says about each date; the same for all assets.

Which weekdays and holidays an exchange keeps is published years ahead, so knowing the next holiday
is no leak. **Unscheduled** closures (September 2001, a hurricane, a state funeral) are not in the
published calendar, so they are not used at all: to these features such a day is a session.

The rule for dates that are no session of the exchange (crypto on a Sunday, invented dates): a date
is seen through its own day, and "sessions to X" counts the exchange's sessions after that day,
"sessions since X" those before it. Nothing depends on the panel's other dates. Outside 1900-2199
there are weekdays but no holidays. Intraday rows share the values of their day.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

Float = NDArray[np.float64]
Days = NDArray[np.datetime64]
Index = NDArray[np.int64]

# Distances in sessions are cut at this many and divided by it: 0 now, 1 that far away or farther.
HORIZON = 10
# Name and one line of each; the waves of a cycle come as sine and cosine.
SEASONAL = {
    "day_of_week_sin": "day of the week, sine of the turn",
    "day_of_week_cos": "day of the week, cosine of the turn",
    "week_of_year_sin": "week of the year, sine of the turn",
    "week_of_year_cos": "week of the year, cosine of the turn",
    "month_of_year_sin": "month of the year, sine of the turn",
    "month_of_year_cos": "month of the year, cosine of the turn",
    "quarter_of_year_sin": "quarter of the year, sine of the turn",
    "quarter_of_year_cos": "quarter of the year, cosine of the turn",
    "presidential_cycle_sin": "year of the US presidential term, sine of the turn",
    "presidential_cycle_cos": "year of the US presidential term, cosine of the turn",
    "january": "1 in January, else 0",
    "november_to_april": "1 from November to April, 0 from May to October",
    "santa_rally": "1 in the last five sessions of a year and the first two of the next, else 0",
    "day_of_month": "day of the month: 0 first, 1 last",
    "turn_of_month": "1 in the last and the first three sessions of a month, else 0",
    "sessions_to_month_end": "sessions left in the month, at most 10, over 10",
    "sessions_since_month_start": "sessions of the month gone by, at most 10, over 10",
    "sessions_to_quarter_end": "sessions left in the quarter, at most 10, over 10",
    "sessions_to_holiday": "sessions before the next holiday, at most 10, over 10",
    "sessions_since_holiday": "sessions since the last holiday, at most 10, over 10",
}

_FIRST_YEAR, _LAST_YEAR = "1900-01-01", "2199-12-31"
_ONE = np.timedelta64(1, "D")


@cache
def published_calendar(exchange: str) -> np.busdaycalendar:
    """Weekdays and scheduled holidays of an exchange, without its unscheduled closures.

    Args:
        exchange: a code of the exchange_calendars package, "XNYS" for New York.

    Raises:
        InputError: for an unknown code.
    """
    import exchange_calendars
    import pandas as pd

    try:
        # The sessions of this one year are not used: only the rules behind them are.
        calendar = exchange_calendars.get_calendar(exchange, start="2000-01-03", end="2000-12-29")
    except exchange_calendars.errors.InvalidCalendarName:
        raise InputError(
            f"unknown exchange calendar {exchange!r}; XNYS is New York, 24/7 has no holidays "
            "(exchange_calendars.get_calendar_names() lists all)"
        ) from None
    rules = calendar.regular_holidays
    holidays: Days = np.empty(0, dtype="datetime64[D]")
    if rules is not None:
        dates = rules.holidays(pd.Timestamp(_FIRST_YEAR), pd.Timestamp(_LAST_YEAR))
        holidays = np.unique(dates.to_numpy().astype("datetime64[D]"))
    return np.busdaycalendar(weekmask=calendar.weekmask, holidays=holidays)


def _day_of_week(day: Days) -> Index:
    # 1970-01-01 was a Thursday; Monday is 0.
    return (day.astype(np.int64) + 3) % 7


def _month_of_year(day: Days) -> Index:
    return day.astype("datetime64[M]").astype(np.int64) % 12


def _week_of_year(day: Days) -> Index:
    year = day.astype("datetime64[Y]").astype("datetime64[D]")
    return (day - year).astype(np.int64) // 7


def _quarter_of_year(day: Days) -> Index:
    return _month_of_year(day) // 3


def _presidential_cycle(day: Days) -> Index:
    # 0 is the year after an election, 3 that of the next, which is divisible by 4.
    return (day.astype("datetime64[Y]").astype(np.int64) + 1969) % 4


# What turns, and in how many steps.
_CYCLES: dict[str, tuple[Callable[[Days], Index], int]] = {
    "day_of_week": (_day_of_week, 7),
    "month_of_year": (_month_of_year, 12),
    "week_of_year": (_week_of_year, 53),
    "quarter_of_year": (_quarter_of_year, 4),
    "presidential_cycle": (_presidential_cycle, 4),
}


def _wave(family: str, day: Days) -> Float:
    """Sine or cosine of the turn; from a table, so no bit depends on the array's length."""
    cycle, _, name = family.rpartition("_")
    index, period = _CYCLES[cycle]
    function = math.sin if name == "sin" else math.cos
    table = np.array([function(2.0 * math.pi * k / period) for k in range(period)])
    return table[index(day)]


def _day_of_month(day: Days) -> Float:
    month = day.astype("datetime64[M]")
    first, last = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]") - _ONE
    return (day - first).astype(np.int64) / (last - first).astype(np.int64)


def _sessions(begin: Days, end: Days, calendar: np.busdaycalendar) -> Index:
    """Sessions in [begin, end)."""
    return np.busday_count(begin, end, busdaycal=calendar)


def _to_end(day: Days, calendar: np.busdaycalendar, months: int) -> Index:
    """Sessions after `day` in its block of `months` months (1: the month, 3: the quarter)."""
    block = day.astype("datetime64[M]").astype(np.int64) // months + 1
    after = (block * months).astype("datetime64[M]").astype("datetime64[D]")
    return _sessions(day + _ONE, after, calendar)


def _since_start(day: Days, calendar: np.busdaycalendar, block: str = "M") -> Index:
    """Sessions before `day` in its month ("M") or year ("Y")."""
    first = day.astype(f"datetime64[{block}]").astype("datetime64[D]")
    return _sessions(first, day, calendar)


def _turn_of_month(day: Days, calendar: np.busdaycalendar) -> Float:
    return ((_to_end(day, calendar, 1) == 0) | (_since_start(day, calendar) < 3)).astype(float)


def _santa_rally(day: Days, calendar: np.busdaycalendar) -> Float:
    """Hirsch (1972): the last five sessions of a year and the first two of the next."""
    last, first = _to_end(day, calendar, 12) < 5, _since_start(day, calendar, "Y") < 2
    return (last | first).astype(float)


def _holiday(day: Days, calendar: np.busdaycalendar, after: bool) -> Float:
    """Sessions between `day` and the next (or last) holiday, cut; the holiday itself is 0."""
    holidays = calendar.holidays
    if len(holidays) == 0:
        return np.ones(len(day))
    if after:
        index = np.searchsorted(holidays, day, side="left")
    else:
        index = np.searchsorted(holidays, day, side="right") - 1
    known = (index >= 0) & (index < len(holidays))
    holiday = holidays[np.clip(index, 0, len(holidays) - 1)]
    if after:
        count = _sessions(np.minimum(day + _ONE, holiday), holiday, calendar)
    else:
        count = _sessions(np.minimum(holiday + _ONE, day), day, calendar)
    return np.where(known, _near(count), 1.0)


def _near(count: Index) -> Float:
    return np.minimum(count, HORIZON) / HORIZON


def seasonal(family: str, dates: NDArray[np.datetime64], calendar: np.busdaycalendar) -> Float:
    """One seasonal feature by date.

    Args:
        family: its name, e.g. "sessions_to_holiday" (see docs/features.md).
        dates: `[T]` datetime64.
        calendar: of `published_calendar`.

    Returns:
        `[T]`, in [-1, 1] for sines and cosines, else in [0, 1].
    """
    day = dates.astype("datetime64[D]")
    if family == "turn_of_month":
        return _turn_of_month(day, calendar)
    if family == "sessions_to_month_end":
        return _near(_to_end(day, calendar, 1))
    if family == "sessions_since_month_start":
        return _near(_since_start(day, calendar))
    if family == "sessions_to_quarter_end":
        return _near(_to_end(day, calendar, 3))
    if family == "sessions_to_holiday":
        return _holiday(day, calendar, after=True)
    if family == "sessions_since_holiday":
        return _holiday(day, calendar, after=False)
    if family == "santa_rally":
        return _santa_rally(day, calendar)
    if family == "january":
        return (_month_of_year(day) == 0).astype(float)
    if family == "november_to_april":
        return ((_month_of_year(day) + 2) % 12 < 6).astype(float)
    if family == "day_of_month":
        return _day_of_month(day)
    return _wave(family, day)
