"""The families of the group `sentiment`: what the panel's own prices and published series say."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from envs.data.market_data import Float
from envs.errors import InputError
from envs.features import sentiment
from envs.features.family import Family, Plane
from envs.features.releases import Releases

if TYPE_CHECKING:
    from envs.features.inputs import Inputs

# A figure that is older than this many days is no longer the mood of the market: the series has
# ended. Holidays and late publications are well inside.
DAILY, WEEKLY = 10, 21


def changed(releases: Releases, transform: Callable[..., Float], *numbers: int) -> Releases | None:
    """The series of what `transform` makes of the figures; None where it makes nothing of them.

    Raises:
        InputError: for a series with revisions: what is made of several figures would mix them.
    """
    if (np.diff(releases.period) <= np.timedelta64(0, "D")).any():
        raise InputError(
            "a series of sentiment holds a period twice or out of order of publication; keep one "
            "figure for each period"
        )
    value = transform(releases.value, *numbers)
    known = np.isfinite(value)
    if not known.any():
        return None
    return Releases(releases.period[known], releases.released[known], value[known])


def moving_average(value: Float, n: int) -> Float:
    """`[R]` mean of the last n, NaN before there are n."""
    out = np.full(value.shape, np.nan)
    if len(value) >= n:
        out[n - 1 :] = np.lib.stride_tricks.sliding_window_view(value, n).mean(axis=1)
    return out


def _ratio(value: Float, n: int) -> Float:
    return value / moving_average(value, n) - 1.0


def _rank(value: Float, n: int) -> Float:
    out = np.full(value.shape, np.nan)
    sentiment.rank_nb(value, n, 0, out)
    return out


def _change(value: Float, n: int) -> Float:
    out = np.full(value.shape, np.nan)
    out[n:] = value[n:] - value[:-n]
    return out


def _published(name: str, most_days: int, transform: Callable[..., Float]) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, *numbers: int) -> None:
        releases = x.sentiment.get(name)
        series = None if releases is None else changed(releases, transform, *numbers)
        out[:] = np.nan if series is None else series.known_on(x.known_by, most_days)[:, None]

    return compute


def _volatility(x: Inputs) -> float:
    return float(np.sqrt(x.market.periods_per_year))


def _market_volatility(x: Inputs, n: int) -> Float:
    series = np.full(x.market.n_rows, np.nan)
    # The first return of the market is in the row after its first listing.
    first = int(x.start.min())
    sentiment.market_volatility_nb(x.market_return[first:], n, _volatility(x), series[first:])
    return series


def _volatility_plane(x: Inputs, out: Plane, n: int) -> None:
    out[:] = _market_volatility(x, n)[:, None]


def _volatility_rank(x: Inputs, out: Plane, n: int, m: int) -> None:
    rank = np.full(x.market.n_rows, np.nan)
    sentiment.rank_nb(_market_volatility(x, n), m, int(x.start.min()) + n, rank)
    out[:] = rank[:, None]


def _garch(x: Inputs, out: Plane) -> None:
    first = int(x.start.min()) + 1
    out[:] = sentiment.garch_volatility(x.market_return, first, x.market.periods_per_year)[:, None]


def _highs_lows(x: Inputs, out: Plane, n: int) -> None:
    sentiment.highs_lows_nb(x.close, x.tradable, x.start, n, out)


def _mcclellan(x: Inputs, out: Plane, fast: int, slow: int) -> None:
    first = int(x.start.min()) + 1
    sentiment.mcclellan_nb(x.close, x.tradable, x.start, first, fast, slow, out)


_CLOSE = ("close",)
# Rows before the GARCH forecast is trusted: a year, to tell one candidate from another.
GARCH_ROWS = 252


def _two(n: int) -> bool:
    return n >= 2


PANEL = {
    "market_volatility": Family(
        "sentiment", _CLOSE, ("n",), ("market_volatility_21",),
        "realised volatility of the panel's equal-weight market, a year",
        _volatility_plane, lambda n: n, _two, "n >= 2",
    ),
    "market_volatility_rank": Family(
        "sentiment", _CLOSE, ("n", "m"), ("market_volatility_rank_21_252",),
        "its percentile rank over the last m rows, 0 to 1",
        _volatility_rank, lambda n, m: n + m - 1, lambda n, m: n >= 2 and m >= 2, "n, m >= 2",
    ),
    "market_garch": Family(
        "sentiment", _CLOSE, (), ("market_garch",),
        "GARCH(1,1) volatility of the panel's market expected for the next row, a year",
        _garch, lambda: GARCH_ROWS,
    ),
    "market_highs_lows": Family(
        "sentiment", _CLOSE, ("n",), ("market_highs_lows_252",),
        "new highs minus new lows of n rows among the panel's assets, over assets",
        _highs_lows, lambda n: n,
    ),
    "market_mcclellan": Family(
        "sentiment", _CLOSE, ("fast", "slow"), ("market_mcclellan_19_39",),
        "McClellan oscillator of the panel's advances and declines, ratio-adjusted",
        _mcclellan, lambda fast, slow: slow,
        lambda fast, slow: 1 <= fast < slow, "1 <= fast < slow",
    ),
}  # fmt: skip


def _series(
    name: str, most_days: int, key: str, parameters: tuple[str, ...], example: str,
    description: str, transform: Callable[..., Float], least: int = 1,
) -> tuple[str, Family]:  # fmt: skip
    return key, Family(
        "sentiment", (), parameters, (example,), description,
        _published(name, most_days, transform), lambda *numbers: 0,
        allowed=lambda *numbers: all(n >= least for n in numbers), condition=f"n >= {least}",
        source="sentiment", series=(name,),
    )  # fmt: skip


_N = ("n",)
PUBLISHED = dict([
    _series("vix", DAILY, "vix", (), "vix",
            "VIX of the day before, a year (0.2: 20 points)", lambda v: v / 100.0),
    _series("vix", DAILY, "vix_ratio", _N, "vix_ratio_21",
            "VIX over its mean of n days, minus 1", _ratio, 2),
    _series("vix", DAILY, "vix_rank", _N, "vix_rank_252",
            "percentile rank of the VIX over n days, 0 to 1", _rank, 2),
    _series("nfci", WEEKLY, "nfci", (), "nfci",
            "Chicago Fed financial conditions, 0 average, above is tighter", lambda v: v),
    _series("nfci", WEEKLY, "nfci_change", _N, "nfci_change_13",
            "its change over n weeks", _change),
    _series("put_call", DAILY, "put_call", _N, "put_call_5",
            "mean put/call ratio of n days (your file)", moving_average),
    _series("put_call", DAILY, "put_call_rank", _N, "put_call_rank_252",
            "percentile rank of the put/call ratio over n days, 0 to 1 (your file)", _rank, 2),
    _series("aaii", WEEKLY, "aaii_spread", (), "aaii_spread",
            "AAII survey: bulls minus bears, -1 to 1 (your file)", lambda v: v),
    _series("aaii", WEEKLY, "aaii_spread_rank", _N, "aaii_spread_rank_52",
            "percentile rank of bulls minus bears over n weeks, 0 to 1 (your file)", _rank, 2),
])  # fmt: skip

SENTIMENT: dict[str, Family] = {**PANEL, **PUBLISHED}
