"""The families that read news; `news` as a name of features stands for all of their examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from envs.data.market_data import Float
from envs.features.family import Family, Plane
from envs.features.news.daily import COUNT, DISPERSION, MEAN, decayed_nb, over_rows_nb

if TYPE_CHECKING:
    from envs.features.inputs import Inputs


def _fill(x: Inputs, out: Plane, values: Float, of_market: bool) -> None:
    """From `[T, A + 1]`: the asset's own column, or the market's in all; NaN where nothing is."""
    n_assets = out.shape[1]
    out[:] = values[:, n_assets:] if of_market else values[:, :n_assets]
    out[~x.news_rows.known] = np.nan


def _over_rows(what: int, of_market: bool) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, n: int) -> None:
        rows = x.news_rows
        values = np.full(rows.count.shape, np.nan)
        over_rows_nb(rows.count, rows.total, rows.square, n, what, values)
        _fill(x, out, values, of_market)

    return compute


def _decayed(of_market: bool) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, half_life: int) -> None:
        rows = x.news_rows
        values = np.full(rows.count.shape, np.nan)
        decayed_nb(rows.count, rows.total, float(half_life), values)
        _fill(x, out, values, of_market)

    return compute


def _families(prefix: str, about: str, of_market: bool) -> dict[str, Family]:
    table: dict[str, tuple[str, int, str, Callable[..., None], Callable[..., int]]] = {
        "mean": ("n", 1, "mean score of the texts {} of n rows, -1 to 1",
                 _over_rows(MEAN, of_market), lambda n: n - 1),
        "count": ("n", 1, "ln(1 + number of texts {} of n rows)",
                  _over_rows(COUNT, of_market), lambda n: n - 1),
        "dispersion": ("n", 5, "deviation of the scores of the texts {} of n rows",
                       _over_rows(DISPERSION, of_market), lambda n: n - 1),
        "decayed": ("half_life", 5, "mean score of texts {}, weights halved each half_life rows",
                    _decayed(of_market), lambda half_life: 0),
    }  # fmt: skip
    return {
        f"{prefix}_{key}": Family(
            "sentiment", (), (number,), (f"{prefix}_{key}_{example}",), description.format(about),
            compute, warmup, source="news", series=("news",), listed=False,
        )
        for key, (number, example, description, compute, warmup) in table.items()
    }  # fmt: skip


NEWS: dict[str, Family] = {
    **_families("news", "about the asset", of_market=False),
    **_families("market_news", "about the market", of_market=True),
}
NEWS_NAMES = tuple(name for family in NEWS.values() for name in family.examples)
