"""What the kernels read: prices without holes, and what several features share."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.data.market_data import Float, MarketData
from envs.features import cross, indicators
from envs.features.earnings import EarningsDates, published_earnings
from envs.features.macro_series import published_macro
from envs.features.moments import NEW_YORK, close_moments, row_moments
from envs.features.news.daily import NewsRows, news_rows
from envs.features.news.scored import News
from envs.features.published import Published
from envs.features.seasonal import published_calendar
from envs.features.surveys import published_sentiment


@njit(cache=True, nogil=True)
def stand_still_nb(value, close, tradable, still, out):
    """Copies `value`; in a halt the last close (0 where not `still`); NaN before listing."""
    n_rows, n_assets = value.shape
    last = np.full(n_assets, np.nan)
    for t in range(n_rows):
        for a in range(n_assets):
            if tradable[t, a]:
                last[a] = close[t, a]
                out[t, a] = value[t, a]
            elif still or np.isnan(last[a]):
                out[t, a] = last[a]
            else:
                out[t, a] = 0.0


class Inputs:
    """The panel as the kernels see it.

    A halted asset's price stands still and nothing trades: its open, high, low and close are its
    last tradable close, its volume 0. So a halt costs no feature its history, and whatever a source
    wrote in a cell that cannot be traded is never read. Panels without such cells are not copied.

    Attributes:
        start: `[A]` the row where each asset lists (its first tradable row); T if it never does.
        macro, sentiment, earnings: what is published outside the panel; the packaged series where
            None was given.
    """

    def __init__(
        self,
        market: MarketData,
        calendar: str,
        macro: Published | None = None,
        sentiment: Published | None = None,
        earnings: EarningsDates | None = None,
        news: News | None = None,
    ) -> None:
        self.market = market
        self._macro = macro
        self._sentiment = sentiment
        self._earnings = earnings
        self.news = News.none() if news is None else news
        self._known: dict[str, tuple[int, NDArray[np.float32]]] = {}
        self.calendar_name = calendar
        self.tradable = market.tradable
        listed = self.tradable.any(axis=0)
        first = np.argmax(self.tradable, axis=0)
        self.start: NDArray[np.int64] = np.where(listed, first, market.n_rows).astype(np.int64)
        self._complete = bool(self.tradable.all())

    @cached_property
    def days(self) -> NDArray[np.datetime64]:
        """`[T]` the day of each row."""
        days: NDArray[np.datetime64] = self.market.dates.astype("datetime64[D]")
        return days

    @cached_property
    def known_by(self) -> NDArray[np.datetime64]:
        """`[T]` the last day whose publications are known at each row: its own, known at the close
        of New York; the day before where the exchange closes earlier on that day (Tokyo, London),
        and for panels with several rows a day."""
        if self.market.periods_per_year > 366.0:
            return self.days - 1
        if self.calendar_name == NEW_YORK:
            return self.days
        earlier = row_moments(self.market, self.calendar_name) < close_moments(self.days, NEW_YORK)
        return np.where(earlier, self.days - 1, self.days)

    def _without_holes(self, field: str) -> Float:
        value: Float = getattr(self.market, field)
        if self._complete:
            return value
        out = np.empty_like(value)
        stand_still_nb(value, self.market.close, self.tradable, field != "volume", out)
        # Read-only like the panel's own arrays: one compiled kernel serves both.
        out.setflags(write=False)
        return out

    @cached_property
    def open(self) -> Float:
        return self._without_holes("open")

    @cached_property
    def high(self) -> Float:
        return self._without_holes("high")

    @cached_property
    def low(self) -> Float:
        return self._without_holes("low")

    @cached_property
    def close(self) -> Float:
        return self._without_holes("close")

    @cached_property
    def volume(self) -> Float:
        return self._without_holes("volume")

    @cached_property
    def log_return(self) -> Float:
        """`[T, A]` over one row; NaN in row 0."""
        out = np.full(self.close.shape, np.nan)
        indicators.log_return_nb(self.close, 1, out)
        return out

    @cached_property
    def market_return(self) -> Float:
        """`[T]` of the equal-weight mix of the assets that trade."""
        out = np.empty(self.market.n_rows)
        cross.market_return_nb(self.close, self.tradable, self.start, out)
        return out

    @cached_property
    def macro(self) -> Published:
        return published_macro() if self._macro is None else self._macro

    @cached_property
    def sentiment(self) -> Published:
        return published_sentiment() if self._sentiment is None else self._sentiment

    @cached_property
    def earnings(self) -> EarningsDates:
        return published_earnings() if self._earnings is None else self._earnings

    @cached_property
    def news_rows(self) -> NewsRows:
        """The news by row and asset."""
        return news_rows(self.news, self.market, self.calendar_name)

    @cached_property
    def calendar(self) -> np.busdaycalendar:
        return published_calendar(self.calendar_name)

    def count_known(self, group: str, plane: NDArray[np.float32]) -> None:
        """Takes note of where a published feature of the group is known."""
        count, known = self._known.get(group, (0, np.zeros(plane.shape, np.float32)))
        known += np.isfinite(plane)
        self._known[group] = count + 1, known

    def share_known(self, group: str) -> NDArray[np.float32]:
        """`[T, A]` share of the published features counted so far that is known."""
        count, known = self._known[group]
        return known / np.float32(count)

    def scratch(self) -> Float:
        """A fresh `[T, A]` array of NaN."""
        return np.full(self.close.shape, np.nan)
