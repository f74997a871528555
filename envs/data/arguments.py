"""Checks of the arguments of a source and of a panel: days, numbers and names of symbols."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError

# The whole years that 64-bit nanoseconds since 1970 can hold; beyond them numpy wraps silently.
FIRST_DAY, LAST_DAY = np.datetime64("1678-01-01", "D"), np.datetime64("2261-12-31", "D")
HELD = f"{FIRST_DAY}..{LAST_DAY}, the days that a panel can hold"
# Less than a row a century is a slip of the keyboard, and powers of its inverse overflow.
LEAST_PERIODS = 0.01
ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def calendar_day(value: object, key: str = "") -> np.datetime64:
    """The day written as YYYY-MM-DD (or a `datetime.date`), as datetime64[D].

    Raises:
        InputError: naming `key`, for anything else, such as 2010 or 20100101.
    """
    text = str(value)
    try:
        # numpy alone reads 20000101 as a year and 2010 as its first day.
        if ISO_DAY.fullmatch(text):
            return np.datetime64(text, "D")
    except ValueError:
        pass
    shown = f"{key}={text}" if key else repr(text)
    raise InputError(f"{shown} is not a date; write it as YYYY-MM-DD, such as 2010-01-31")


def open_bound(value: object) -> np.datetime64:
    """`calendar_day` as datetime64[ns]; days that no panel holds become the nearest that one can.

    Far days such as 9999-12-31 are a usual way to say "no bound".
    """
    day = min(max(calendar_day(value), FIRST_DAY), LAST_DAY)
    return day.astype("datetime64[ns]")


def outside(dates: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """`[T]` where a date of any unit cannot be held in nanoseconds; NaT is not outside."""
    unit = np.datetime_data(dates.dtype)[0]
    if unit in ("ps", "fs", "as", "generic"):  # 106 days around 1970 at most, or NaT alone
        return np.zeros(dates.shape, dtype=bool)
    after = (LAST_DAY + 1).astype("datetime64[s]").astype(dates.dtype)
    return np.asarray((dates < FIRST_DAY.astype(dates.dtype)) | (dates >= after))


def panel_dates(value: Any, name: str) -> NDArray[np.datetime64]:
    """A new `[T]` array of datetime64[ns] from dates of any unit, date objects or ISO text.

    Raises:
        InputError: naming the row, for numbers, text that is no date, and dates that nanoseconds
            cannot hold.
    """
    remedy = "give dates such as numpy.array(['2020-01-02', ...], dtype='datetime64[D]')"
    try:
        dates = np.asarray(value)
        if dates.dtype.kind == "O":
            dates = dates.astype("datetime64[us]")
        elif dates.dtype.kind in "US":
            dates = dates.astype("datetime64")
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: dates cannot be read ({error}); {remedy}") from None
    if dates.dtype.kind != "M":
        raise InputError(f"{name}: dates are of the type {dates.dtype}, no dates; {remedy}")
    if dates.ndim != 1:
        raise InputError(f"{name}: dates must be [T], got shape {dates.shape}")
    wrong = outside(dates)
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{name}: the date {dates[row]} in row {row} lies outside {HELD}; correct it or leave "
            "the row out"
        )
    return dates.astype("datetime64[ns]", copy=True)


def name_list(value: Any, key: str = "symbols") -> tuple[str, ...]:
    """Names as a tuple; one text is one name.

    Raises:
        InputError: if there is none, or if `value` is no list.
    """
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable) or isinstance(value, dict):
        raise InputError(f"{key}={value!r} is not a list of names; write it as [AAPL,MSFT]")
    names = tuple(str(name) for name in value)
    if not names:
        raise InputError(f"{key}=[] is empty; name at least one, or write null to have all")
    return names


def number(value: Any, key: str) -> float:
    """A finite float.

    Raises:
        InputError: naming `key`; truth values and text are no numbers.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.number)):
        raise InputError(f"{key}={value!r} must be a number")
    if not np.isfinite(value):
        raise InputError(f"{key}={value} must be a finite number")
    return float(value)


def whole_number(value: Any, key: str, least: int) -> int:
    """An integer >= `least`; `InputError` naming `key` otherwise."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise InputError(f"{key}={value!r} must be a whole number >= {least}")
    if value < least:
        raise InputError(f"{key}={value} must be >= {least}")
    return int(value)


def truth_value(value: Any, key: str) -> bool:
    """True or false; `InputError` naming `key` otherwise (the text "false" would count as true)."""
    if not isinstance(value, (bool, np.bool_)):
        raise InputError(f"{key}={value!r} must be true or false")
    return bool(value)


def rows_per_year(value: Any) -> float:
    """`periods_per_year`; `InputError` if it is no finite number >= 0.01."""
    rows = number(value, "periods_per_year")
    if rows < LEAST_PERIODS:
        raise InputError(
            f"periods_per_year={value} must be >= {LEAST_PERIODS}: 252 for daily rows, 12 for "
            "monthly"
        )
    return rows
