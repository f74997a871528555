"""Published moods: VIX, financial conditions (NFCI), put/call ratio and the AAII survey.

Each is a `Releases`: figures by the day on which they came out. `published_sentiment` collects what
there is, and says of the rest why it is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.data.cash import ARCH_REMEDY
from envs.data.fetch import fetched_file
from envs.data.market_data import Float
from envs.data.packaged import package_file
from envs.data.table import Table, read_table
from envs.errors import InputError
from envs.features.moments import NEW_YORK, close_moments, has_times, known_days
from envs.features.published import Published
from envs.features.releases import Releases

Days = NDArray[np.datetime64]

_DAY = np.timedelta64(1, "D")
THURSDAY = 3
NFCI_VINTAGE = (
    "Financial conditions (NFCI) count from their usual day of publication on, but in one vintage: "
    "the index is estimated anew each week, and weeks before May 2011 were computed in hindsight."
)
# Largest and smallest figures that can be meant; beyond them is a slip or another unit.
MOST_VIX, MOST_PUT_CALL = 200.0, 20.0


def published_sentiment(
    vix: str | None = None,
    nfci: str | None = None,
    put_call: str | None = None,
    aaii: str | None = None,
) -> Published:
    """The published series of the group `sentiment`, as far as they are here.

    Args:
        vix: a file with the columns `date, published, vix`; None reads the index 2014-2018 that
            comes with the package arch.
        nfci: a file of FRED with the columns `observation_date, NFCI`; None reads the fetched one
            (`python -m envs.data fetch nfci`).
        put_call: a file with the columns `date, published, put_call`.
        aaii: a file with the columns `week_ending, published, bullish, bearish`.

    Raises:
        InputError: for whatever is wrong with a file that is named here: file, row and column.
    """
    none = "no file was given; set features.build.sentiment_series.{}=FILE.csv with the columns {}"
    found: dict[str, Releases] = {}
    missing: dict[str, str] = {
        "put_call": none.format("put_call", "date, published, put_call"),
        "aaii": none.format("aaii", "week_ending, published, bullish, bearish"),
    }
    readers: dict[str, tuple[str | None, Callable[[str], Releases], Callable[[], Releases] | None]]
    readers = {
        "vix": (vix, vix_file, packaged_vix),
        "nfci": (nfci, nfci_file, lambda: nfci_file(fetched_file("nfci", "NFCI.csv"))),
        "put_call": (put_call, put_call_file, None),
        "aaii": (aaii, aaii_file, None),
    }
    for name, (path, read, otherwise) in readers.items():
        try:
            if path is not None:
                found[name] = read(path)
            elif otherwise is not None:
                found[name] = otherwise()
        except InputError as error:
            if path is not None:
                raise
            missing[name] = str(error)
    absent = {name: why for name, why in missing.items() if name not in found}
    return Published(found, absent, (NFCI_VINTAGE,) if "nfci" in found else ())


# ------------------------------------------------------------------ VIX
def packaged_vix() -> Releases:
    """The closes of the VIX 2014-01-03..2019-01-03 from the package arch, as `vix_file`.

    Raises:
        InputError: if the file is not in the installed package.
    """
    import pandas as pd

    path = package_file("arch", "data", "vix", "vix.csv.gz", remedy=ARCH_REMEDY)
    table = pd.read_csv(path, parse_dates=["Date"], date_format="%m/%d/%Y", na_values=".")
    table = table.dropna()
    day: Days = table["Date"].to_numpy().astype("datetime64[D]")
    # The index closes at 16:15, after the stocks: a decision at their close knows the day before.
    return Releases(day, day + _DAY, table["vix"].to_numpy(np.float64))


def vix_file(path: str | Path) -> Releases:
    """Closes of a volatility index from a file with the columns `date, published, vix`.

    `published` is a day after `date` (the VIX closes at 16:15, a quarter of an hour after the
    stocks), or a time with its zone. In points: 20 is 20 % a year.
    """
    table, period, released = _dated(path, "date")
    value = _column(table, "vix", 0.0, MOST_VIX, "points, 20 for 20 % a year")
    return Releases(period, released, value)


# ------------------------------------------------------------------ financial conditions
def nfci_file(path: str | Path) -> Releases:
    """The National Financial Conditions Index of the Chicago Fed, in the file format of FRED.

    A week ends on a Friday and is published on the Wednesday after, 8:30 in New York; on Thursday
    where a federal holiday falls on Monday to Wednesday. 0 is the average since 1971, above is
    tighter. The file holds one vintage: the index is estimated anew each week and its past revised,
    and weeks before May 2011 were computed in hindsight.
    """
    table = read_table(Path(path))
    for column in ("observation_date", "NFCI"):
        _need(table, column)
    week = table.dates("observation_date").astype("datetime64[D]")
    friday = (week.astype(np.int64) + 3) % 7 == 4
    if not friday.all():
        row = int(np.argmin(friday))
        raise table.error(row, "observation_date", f"{week[row]} is no Friday, on which weeks end")
    _check_once(table, "observation_date", week)
    value = _column(table, "NFCI", -20.0, 20.0, "deviations from the average")
    order = np.argsort(week)
    week, value = week[order], value[order]
    return Releases(week, nfci_published(week), value)


def nfci_published(fridays: Days) -> Days:
    """`[n]` the day on which the figure of the week that ends on each Friday is published."""
    from pandas.tseries.holiday import USFederalHolidayCalendar

    first, last = fridays.min(), fridays.max() + np.timedelta64(7, "D")
    holidays = USFederalHolidayCalendar().holidays(str(first), str(last))
    closed = holidays.to_numpy().astype("datetime64[D]")
    weekdays = fridays[:, None] + np.arange(3, 6).astype("timedelta64[D]")
    late = np.isin(weekdays, closed).any(axis=1)
    return fridays + np.where(late, 6, 5).astype("timedelta64[D]")


# ------------------------------------------------------------------ put/call, AAII
def put_call_file(path: str | Path) -> Releases:
    """Ratios of puts to calls traded in a day, from a file with `date, published, put_call`.

    A day's ratio is counted after its close: `published` is a later day, or a time with its zone.
    """
    table, period, released = _dated(path, "date")
    value = _column(table, "put_call", 0.0, MOST_PUT_CALL, "puts over calls")
    return Releases(period, released, value)


def aaii_file(path: str | Path) -> Releases:
    """Bulls less bears of the AAII survey: a file with `week_ending, published, bullish, bearish`.

    The survey asks from Thursday to Wednesday and is published on the Thursday after. Many files
    carry one date only, and whether it is the survey's or the publication's is not written there:
    taken for the wrong one, the answers are known before they were given. So both are asked for,
    and files whose `published` is mostly no Thursday are refused. Shares of 1: 0.38 for 38 %.
    """
    table, week, released = _dated(path, "week_ending")
    published = table.dates("published").astype("datetime64[D]")
    thursdays = float(((published.astype(np.int64) + 3) % 7 == THURSDAY).mean())
    if thursdays <= 0.5:
        raise InputError(
            f"{table.path}, column 'published': {thursdays:.0%} of the days are Thursdays, but "
            "AAII publishes on Thursdays; these look like days of the survey: give the Thursday "
            "after each Wednesday on which a survey ends"
        )
    share = "a share between 0 and 1, 0.38 for 38 %"
    bulls = _column(table, "bullish", 0.0, 1.0, share)
    bears = _column(table, "bearish", 0.0, 1.0, share)
    above = bulls + bears > 1.0 + 1e-6
    if above.any():
        row = int(above.argmax())
        raise table.error(
            row, "bearish", f"bullish and bearish make {bulls[row] + bears[row]:g}, more than all"
        )
    return Releases(week, released, bulls - bears)


def _dated(path: str | Path, period_name: str) -> tuple[Table, Days, Days]:
    """The table, its periods and the days at whose close its rows are known; in order of both."""
    table = read_table(Path(path))
    for column in (period_name, "published"):
        _need(table, column)
    period = table.dates(period_name).astype("datetime64[D]")
    _check_once(table, period_name, period)
    stamps = table.dates("published")
    timed = has_times(table, "published")
    released = known_days(stamps, NEW_YORK) if timed else stamps.astype("datetime64[D]")
    early = stamps <= close_moments(period, NEW_YORK) if timed else released <= period
    if early.any():
        row = int(early.argmax())
        raise table.error(
            row,
            "published",
            f"{str(table.frame['published'].iloc[row]).strip()} is not after the close of "
            f"{period_name} {period[row]}, whose figure it is; give the later day on which it was "
            "published, or the time with its zone",
        )
    wrong = (np.diff(period) <= np.timedelta64(0, "D")) | (
        np.diff(released) < np.timedelta64(0, "D")
    )
    if wrong.any():
        row = int(wrong.argmax()) + 1
        raise table.error(
            row,
            period_name,
            f"{period[row]}, published {released[row]}, comes after {period[row - 1]}, published "
            f"{released[row - 1]}; sort the file by {period_name}, and correct a later week that "
            "was published earlier",
        )
    return table, period, released


def _need(table: Table, column: str) -> None:
    if column not in table.frame.columns:
        raise InputError(
            f"{table.path}: no column {column!r}; it has {', '.join(table.frame.columns[:20])}"
        )


def _check_once(table: Table, column: str, period: Days) -> None:
    _, first, count = np.unique(period, return_index=True, return_counts=True)
    if (count > 1).any():
        day = period[first[np.argmax(count > 1)]]
        row = int(np.flatnonzero(period == day)[1])
        raise table.error(row, column, f"{day} stands there twice; keep one row")


def _column(table: Table, column: str, low: float, high: float, unit: str) -> Float:
    _need(table, column)
    value = table.numbers(column)
    wrong = ~((value >= low) & (value <= high))
    if wrong.any():
        row = int(wrong.argmax())
        found = (
            "the figure is missing" if np.isnan(value[row]) else f"{value[row]:g} is out of range"
        )
        raise table.error(
            row, column, f"{found}; a number from {low:g} to {high:g} is needed ({unit})"
        )
    return value
