"""Earnings season from real dates: when each company reported, and when it may report next.

**What is known when.** The days are those of the companies' 8-K filings (item 2.02). Many come
after the close, so a report counts as known from the day after. When a company will report next
is public only once it has said so, some weeks ahead, and no file holds that day; so the coming date
is never read. It is expected 52 weeks after last year's, which is a whole number of weeks and keeps
the weekday. Both are free of hindsight: nothing at t reads a report of t or later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from envs.errors import InputError
from envs.features.family import Family, Plane
from envs.features.releases import Float

if TYPE_CHECKING:
    from envs.features.inputs import Inputs

Days = NDArray[np.datetime64]

# Sessions of a quarter: the distance to a report is cut there and divided by it.
QUARTER = 63
# After so many days without a report the company is no longer in the file.
SILENCE = 200
_DAY = np.timedelta64(1, "D")
_YEAR = np.timedelta64(364, "D")


@dataclass(frozen=True, eq=False)
class EarningsDates:
    """Days of reports by symbol.

    Attributes:
        reports: symbol -> `[n]` days; sorted and without repeats once made.
        missing: `reports` -> why there are none, in one sentence.
        notes: limits of the dates in plain words.

    Raises:
        InputError: for a day that is missing.
    """

    reports: Mapping[str, Days] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sorted_days = {}
        for symbol, days in self.reports.items():
            days = np.unique(np.array(days, "datetime64[D]"))
            if np.isnat(days).any():
                raise InputError(f"earnings dates: {symbol} has a report without a day")
            sorted_days[symbol] = days
        object.__setattr__(self, "reports", sorted_days)

    def changed_after(self, day: np.datetime64, rng: np.random.Generator) -> EarningsDates:
        """The same reports as far as they are known on `day`, the others on later days."""
        changed = {}
        for symbol, days in self.reports.items():
            # The report of `day` itself is known the day after.
            later = days >= day.astype("datetime64[D]")
            shift = rng.integers(1, 40, len(days)) * _DAY
            changed[symbol] = np.where(later, days + shift, days)
        return EarningsDates(changed, self.missing, self.notes)


@cache
def published_earnings() -> EarningsDates:
    """The reports of 505 US companies from 2003 to 2025, if `earnings` was fetched.

    Few companies begin before 2004, and those are today's members of the indices.
    """
    import sqlite3

    from envs.data.fetch import fetched_file

    try:
        path = fetched_file("earnings", "earnings.db")
    except InputError as error:
        return EarningsDates({}, {"reports": str(error)})
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT Ticker, Earnings_Date FROM earnings").fetchall()
    finally:
        connection.close()
    reports: dict[str, list[str]] = {}
    for symbol, day in rows:
        reports.setdefault(symbol, []).append(day)
    return EarningsDates({symbol: np.array(days) for symbol, days in reports.items()})


def since_report(days: Days, reports: Days, calendar: np.busdaycalendar) -> Float:
    """`[T]` sessions after the last report up to each day, that day included.

    NaN before the first report and `SILENCE` days after the last one.
    """
    place = np.searchsorted(reports, days, side="left") - 1
    if len(reports) == 0:
        return np.full(len(days), np.nan)
    last = reports[np.maximum(place, 0)]
    known = (place >= 0) & (days - last <= SILENCE * _DAY)
    begin = np.minimum(last, days) + _DAY
    count = np.busday_count(begin, days + _DAY, busdaycal=calendar)
    return np.where(known, count, np.nan)


def to_expected_report(days: Days, reports: Days, calendar: np.busdaycalendar) -> Float:
    """`[T]` sessions strictly between each day and the next report as last year's dates have it.

    The next expected report is the first one 52 weeks after a known report that is not over. NaN
    where there was no report in the last 52 weeks, and where `since_report` is NaN.
    """
    if len(reports) == 0:
        return np.full(len(days), np.nan)
    place = np.searchsorted(reports, days - _YEAR, side="left")
    model = reports[np.minimum(place, len(reports) - 1)]
    known = (place < len(reports)) & (model < days)
    expected = np.where(known, model + _YEAR, days)
    count = np.busday_count(np.minimum(days + _DAY, expected), expected, busdaycal=calendar)
    return np.where(known & ~np.isnan(since_report(days, reports, calendar)), count, np.nan)


def by_asset(x: Inputs, distance: Callable[..., Float]) -> Float:
    """`[T, A]` one of the two distances for every asset of the panel."""
    out = x.scratch()
    for a, symbol in enumerate(x.market.symbols):
        if symbol in x.earnings.reports:
            out[:, a] = distance(x.days, x.earnings.reports[symbol], x.calendar)
    return out


def _distance(distance: Callable[..., Float]) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane) -> None:
        out[:] = np.minimum(by_asset(x, distance), QUARTER) / QUARTER

    return compute


def _share(distance: Callable[..., Float]) -> Callable[..., None]:
    """Of the tradable assets whose reports are known, the share with a report within n sessions."""

    def compute(x: Inputs, out: Plane, n: int) -> None:
        sessions = by_asset(x, distance)
        known = np.isfinite(sessions) & x.tradable
        # After n sessions a report counts no more; n - 1 lie strictly between now and the nth.
        near = known & (sessions <= (n if distance is since_report else n - 1))
        count = known.sum(axis=1)
        share = near.sum(axis=1) / np.maximum(count, 1)
        out[:] = np.where(count > 0, share, np.nan)[:, None]

    return compute


def _family(
    parameters: tuple[str, ...], example: str, description: str, compute: Callable[..., None]
) -> Family:
    return Family(
        "seasonal", (), parameters, (example,), description, compute, lambda *numbers: 0,
        source="earnings", series=("reports",),
    )  # fmt: skip


EARNINGS: dict[str, Family] = {
    "sessions_since_report": _family(
        (), "sessions_since_report", "sessions since the last earnings report, at most 63, over 63",
        _distance(since_report),
    ),
    "sessions_to_report": _family(
        (), "sessions_to_report",
        "sessions before the next report as of last year's dates, at most 63, over 63",
        _distance(to_expected_report),
    ),
    "reported_share": _family(
        ("n",), "reported_share_10", "share of the assets that reported in the last n sessions",
        _share(since_report),
    ),
    "expected_share": _family(
        ("n",), "expected_share_10",
        "share of the assets expected to report in the next n sessions, as of last year's dates",
        _share(to_expected_report),
    ),
}  # fmt: skip
