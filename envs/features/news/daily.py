"""From scored texts to rows: a text belongs to the first row whose close comes after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from envs.data.market_data import Float, MarketData
from envs.errors import InputError
from envs.features.moments import row_moments
from envs.features.news.scored import News

MEAN, COUNT, DISPERSION = 0, 1, 2
# Without any text for so long the news have ended, or not begun: nothing is known of the mood.
SILENCE = np.timedelta64(30, "D")
# Of what came before the panel, the first row knows a day.
BEFORE = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class NewsRows:
    """What was published between one row and the next; the last column is the market.

    Attributes:
        count, total, square: `[T, A + 1]` number of texts, sum of their scores and of the squares.
        known: `[T]` whether any text came out in the 30 days before the row.
    """

    count: Float
    total: Float
    square: Float
    known: NDArray[np.bool_]


def news_rows(news: News, market: MarketData, exchange: str) -> NewsRows:
    """The texts by row and asset.

    A text that is published at the second of the close is known at it; one second later it belongs
    to the next row. Texts about symbols that the panel does not have are left out.

    Raises:
        InputError: if all texts are about symbols, and none of these is in the panel.
    """
    column = {symbol: a for a, symbol in enumerate(market.symbols)} | {"": market.n_assets}
    names = set(news.symbol.tolist())
    if names and not names & set(column):
        written, here = ", ".join(sorted(names)[:5]), ", ".join(market.symbols[:5])
        raise InputError(
            f"no text of the news is about a symbol of {market.name}: they write {written}, the "
            f"panel has {here}; use its symbols, or leave the symbol empty for the market"
        )
    moments = row_moments(market, exchange)
    shape = (market.n_rows, market.n_assets + 1)
    count, total, square = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    row = np.searchsorted(moments, news.published, side="left")
    inside = (row < market.n_rows) & (news.published > moments[0] - BEFORE)
    asset = np.array([column.get(symbol, -1) for symbol in news.symbol.tolist()], dtype=np.int64)
    # In order of publication, so that a sum does not depend on what came out later.
    for where in np.flatnonzero(inside & (asset >= 0)).tolist():
        cell = row[where], asset[where]
        count[cell] += 1.0
        total[cell] += news.score[where]
        square[cell] += news.score[where] ** 2
    place = np.searchsorted(news.published, moments, side="right") - 1
    known = place >= 0
    if len(news.published):
        known &= moments - news.published[np.maximum(place, 0)] <= SILENCE
    return NewsRows(count, total, square, known)


@njit(cache=True, nogil=True, error_model="numpy")
def over_rows_nb(count, total, square, n, what, out):
    """Mean, ln(1 + number) or deviation (ddof 0) of the scores of the texts of n rows.

    0 without texts; the deviation also for a single one.
    """
    n_rows, n_assets = count.shape
    for t in range(n - 1, n_rows):
        for a in range(n_assets):
            c, s, q = 0.0, 0.0, 0.0
            for k in range(n):
                c += count[t - k, a]
                s += total[t - k, a]
                q += square[t - k, a]
            value = 0.0
            if what == COUNT:
                value = np.log(1.0 + c)
            elif what == MEAN and c > 0.0:
                value = s / c
            elif what == DISPERSION and c > 1.0:
                value = np.sqrt(max(q / c - (s / c) ** 2, 0.0))
            out[t, a] = value


@njit(cache=True, nogil=True, error_model="numpy")
def decayed_nb(count, total, half_life, out):
    """Mean of all scores so far and of one neutral text, weights halved each `half_life` rows.

    The neutral text does not age, so that old news fade to 0.
    """
    n_rows, n_assets = count.shape
    left = 0.5 ** (1.0 / half_life)
    weight, mood = np.zeros(n_assets), np.zeros(n_assets)
    for t in range(n_rows):
        for a in range(n_assets):
            weight[a] = weight[a] * left + count[t, a]
            mood[a] = mood[a] * left + total[t, a]
            out[t, a] = mood[a] / (weight[a] + 1.0)
