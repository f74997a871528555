"""The table of feature families: one entry each, from the name to the kernel.

A group with a module of its own keeps its families there (`SENTIMENT: dict[str, Family]`), and is
added to `_NAMED` below.

Features of what is published outside the panel (figures, indices, surveys, news) are families with
a `source`: `compute` fills the plane with NaN wherever nothing is known, and `build_features` names
the column in `FeaturePanel.masked` and adds `<group>_known`, the share of such columns of its group
that is known. A family that is the same for all assets fills its plane by `out[:] = row[:, None]`.
So `Family("sentiment", (), (), ("vix_level",), "...", compute, source="sentiment",
series=("vix",))` reads `x.sentiment.get("vix")`: a `Releases`, or None if it is missing, in which
case `x.sentiment.missing["vix"]` says why. A family of the panel's own prices has no source and is
finite after its warm-up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from envs.features import cross, indicators, ohlcv
from envs.features.earnings import EARNINGS
from envs.features.family import KNOWN, Family, Plane
from envs.features.inputs import Inputs
from envs.features.macro import MACRO
from envs.features.mood import SENTIMENT
from envs.features.news.families import NEWS
from envs.features.seasonal import SEASONAL, seasonal
from envs.features.trend import TREND


def _at_least_two(n: int) -> bool:
    return n >= 2


def _volatility(x: Inputs, out: Plane, n: int) -> None:
    year = float(np.sqrt(x.market.periods_per_year))
    indicators.deviation_nb(x.log_return, n, year, out)


def _range_volatility(x: Inputs, out: Plane, n: int) -> None:
    year = float(np.sqrt(x.market.periods_per_year))
    square = x.scratch()
    ohlcv.square_range_nb(x.high, x.low, square)
    ohlcv.range_volatility_nb(square, n, year, out)


def _macd(part: int) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane, fast: int, slow: int, signal: int) -> None:
        indicators.macd_nb(x.close, x.start, fast, slow, signal, part, out)

    return compute


def _stochastic_k(x: Inputs, out: Plane, n: int, smooth: int) -> None:
    raw = x.scratch()
    ohlcv.stochastic_nb(x.high, x.low, x.close, n, raw)
    indicators.mean_nb(raw, smooth, out)


def _stochastic_d(x: Inputs, out: Plane, n: int, smooth: int, signal: int) -> None:
    raw, slow = x.scratch(), x.scratch()
    ohlcv.stochastic_nb(x.high, x.low, x.close, n, raw)
    indicators.mean_nb(raw, smooth, slow)
    indicators.mean_nb(slow, signal, out)


def _williams(x: Inputs, out: Plane, n: int) -> None:
    raw = x.scratch()
    ohlcv.stochastic_nb(x.high, x.low, x.close, n, raw)
    np.subtract(raw, 100.0, out=out, casting="same_kind")


def _calendar(name: str) -> Callable[..., None]:
    def compute(x: Inputs, out: Plane) -> None:
        out[:] = seasonal(name, x.market.dates, x.calendar)[:, None]

    return compute


_CLOSE, _BAR = ("close",), ("high", "low", "close")


def _fast_before_slow(fast: int, slow: int, signal: int) -> bool:
    return 1 <= fast < slow and signal >= 1


_PRICE = {
    "return": Family(
        "price", _CLOSE, ("n",), ("return_1", "return_5", "return_21", "return_63"),
        "simple return over n rows",
        lambda x, out, n: indicators.return_nb(x.close, n, out), lambda n: n,
    ),
    "log_return": Family(
        "price", _CLOSE, ("n",), ("log_return_1", "log_return_5", "log_return_21"),
        "logarithmic return over n rows",
        lambda x, out, n: indicators.log_return_nb(x.close, n, out), lambda n: n,
    ),
    "volatility": Family(
        "price", _CLOSE, ("n",), ("volatility_10", "volatility_21", "volatility_63"),
        "realised volatility: deviation of n one-row log returns, a year",
        _volatility, lambda n: n, _at_least_two, "n >= 2",
    ),
    "sma_ratio": Family(
        "price", _CLOSE, ("n",), ("sma_ratio_10", "sma_ratio_50", "sma_ratio_200"),
        "price over its simple moving average, minus 1",
        lambda x, out, n: indicators.sma_ratio_nb(x.close, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
    "ema_ratio": Family(
        "price", _CLOSE, ("n",), ("ema_ratio_12", "ema_ratio_26", "ema_ratio_50"),
        "price over its exponential moving average, minus 1",
        lambda x, out, n: indicators.ema_ratio_nb(x.close, x.start, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
    "momentum": Family(
        "price", _CLOSE, ("n", "skip"), ("momentum_126_21", "momentum_252_21"),
        "return from n rows ago to skip rows ago",
        lambda x, out, n, skip: indicators.momentum_nb(x.close, n, skip, out),
        lambda n, skip: n, lambda n, skip: 1 <= skip < n, "1 <= skip < n",
    ),
    "rsi": Family(
        "price", _CLOSE, ("n",), ("rsi_14",), "Wilder's relative strength index, 0 to 100",
        lambda x, out, n: indicators.rsi_nb(x.close, x.start, n, out), lambda n: n,
    ),
    "macd": Family(
        "price", _CLOSE, ("fast", "slow", "signal"), ("macd_12_26_9",),
        "fast minus slow exponential average, over price",
        _macd(0), lambda fast, slow, signal: slow - 1, _fast_before_slow, "fast < slow, all >= 1",
    ),
    "macd_signal": Family(
        "price", _CLOSE, ("fast", "slow", "signal"), ("macd_signal_12_26_9",),
        "exponential average of MACD, over price",
        _macd(1), lambda fast, slow, signal: slow + signal - 2,
        _fast_before_slow, "fast < slow, all >= 1",
    ),
    "macd_hist": Family(
        "price", _CLOSE, ("fast", "slow", "signal"), ("macd_hist_12_26_9",),
        "MACD minus its signal, over price",
        _macd(2), lambda fast, slow, signal: slow + signal - 2,
        _fast_before_slow, "fast < slow, all >= 1",
    ),
    "bollinger": Family(
        "price", _CLOSE, ("n",), ("bollinger_20",),
        "position in the Bollinger band: -1 lower band, 1 upper",
        lambda x, out, n: indicators.bollinger_nb(x.close, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
    "bollinger_width": Family(
        "price", _CLOSE, ("n",), ("bollinger_width_20",),
        "width of the Bollinger band over its middle",
        lambda x, out, n: indicators.bollinger_width_nb(x.close, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
    "return_score": Family(
        "price", _CLOSE, ("n",), ("return_score_63",),
        "z-score of the one-row log return among the last n",
        lambda x, out, n: indicators.moments_nb(x.log_return, n, False, out), lambda n: n,
        _at_least_two, "n >= 2",
    ),
    "return_skewness": Family(
        "price", _CLOSE, ("n",), ("return_skewness_63",), "skewness of n one-row log returns",
        lambda x, out, n: indicators.moments_nb(x.log_return, n, True, out), lambda n: n,
        lambda n: n >= 3, "n >= 3",
    ),
    "drawdown": Family(
        "price", _CLOSE, ("n",), ("drawdown_252",), "price over its highest of n rows, minus 1",
        lambda x, out, n: indicators.drawdown_nb(x.close, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
}  # fmt: skip

_OHLC = {
    "atr": Family(
        "ohlc", _BAR, ("n",), ("atr_14",), "Wilder's average true range, over price",
        lambda x, out, n: ohlcv.atr_nb(x.high, x.low, x.close, x.start, n, out), lambda n: n,
    ),
    "stochastic_k": Family(
        "ohlc", _BAR, ("n", "smooth"), ("stochastic_k_14_3",),
        "slow %K: place of the close in the range of n rows, smoothed, 0 to 100",
        _stochastic_k, lambda n, smooth: n + smooth - 2,
    ),
    "stochastic_d": Family(
        "ohlc", _BAR, ("n", "smooth", "signal"), ("stochastic_d_14_3_3",),
        "%D: moving average of slow %K, 0 to 100",
        _stochastic_d, lambda n, smooth, signal: n + smooth + signal - 3,
    ),
    "williams_r": Family(
        "ohlc", _BAR, ("n",), ("williams_r_14",), "Williams %R, -100 to 0",
        _williams, lambda n: n - 1,
    ),
    "high_low_range": Family(
        "ohlc", _BAR, (), ("high_low_range",), "high minus low, over the close",
        lambda x, out: ohlcv.high_low_range_nb(x.high, x.low, x.close, out),
    ),
    "open_close_range": Family(
        "ohlc", ("open", "close"), (), ("open_close_range",), "close over open, minus 1",
        lambda x, out: ohlcv.ratio_nb(x.close, x.open, out),
    ),
    "range_volatility": Family(
        "ohlc", ("high", "low"), ("n",), ("range_volatility_21",),
        "volatility from the range of n rows, a year", _range_volatility, lambda n: n - 1,
    ),
    "overnight_gap": Family(
        "ohlc", ("open", "close"), (), ("overnight_gap",), "open over the last close, minus 1",
        lambda x, out: ohlcv.overnight_gap_nb(x.open, x.close, out), lambda: 1,
    ),
}  # fmt: skip

_VOLUME = {
    "obv": Family(
        "volume", ("close", "volume"), ("n",), ("obv_20",),
        "change of on-balance volume over n rows, per volume traded in them",
        lambda x, out, n: ohlcv.obv_nb(x.close, x.volume, n, out), lambda n: n,
    ),
    "volume_ratio": Family(
        "volume", ("volume",), ("n",), ("volume_ratio_20",),
        "volume over its mean of n rows, minus 1",
        lambda x, out, n: ohlcv.volume_ratio_nb(x.volume, n, out), lambda n: n - 1,
        _at_least_two, "n >= 2",
    ),
    "volume_trend": Family(
        "volume", ("volume",), ("short", "long"), ("volume_trend_5_20",),
        "mean volume of short over that of long rows, minus 1",
        lambda x, out, short, long: ohlcv.volume_trend_nb(x.volume, short, long, out),
        lambda short, long: long - 1, lambda short, long: 1 <= short < long, "1 <= short < long",
    ),
    "volume_roc": Family(
        "volume", ("volume",), ("n",), ("volume_roc_5",), "rate of change of volume over n rows",
        lambda x, out, n: ohlcv.volume_roc_nb(x.volume, n, out), lambda n: n,
    ),
    "vwap_ratio": Family(
        "volume", ("high", "low", "close", "volume"), ("n",), ("vwap_ratio_20",),
        "price over its volume-weighted average of n rows, minus 1",
        lambda x, out, n: ohlcv.vwap_ratio_nb(x.high, x.low, x.close, x.volume, n, out),
        lambda n: n - 1,
    ),
}  # fmt: skip

_SEASONAL = {
    name: Family("seasonal", (), (), (name,), description, _calendar(name))
    for name, description in SEASONAL.items()
}

_CROSS = {
    "return_rank": Family(
        "cross", _CLOSE, ("n",), ("return_rank_1", "return_rank_5", "return_rank_21"),
        "rank of the n-row return among the assets, 0 to 1",
        lambda x, out, n: cross.return_rank_nb(x.close, x.tradable, x.start, n, out),
        lambda n: n,
    ),
    "market_correlation": Family(
        "cross", _CLOSE, ("n",), ("market_correlation_63",),
        "correlation of n returns to the equal-weight mix",
        lambda x, out, n: cross.market_link_nb(x.close, x.market_return, n, False, out),
        lambda n: n, _at_least_two, "n >= 2",
    ),
    "market_beta": Family(
        "cross", _CLOSE, ("n",), ("market_beta_63",),
        "beta of n returns to the equal-weight mix",
        lambda x, out, n: cross.market_link_nb(x.close, x.market_return, n, True, out),
        lambda n: n, _at_least_two, "n >= 2",
    ),
    "breadth": Family(
        "cross", _CLOSE, ("n",), ("breadth_50", "breadth_200"),
        "share of assets above their n-row average",
        lambda x, out, n: cross.breadth_nb(x.close, x.tradable, x.start, n, out),
        lambda n: n - 1, _at_least_two, "n >= 2",
    ),
    "advance_decline": Family(
        "cross", _CLOSE, ("n",), ("advance_decline_1", "advance_decline_10"),
        "mean of (advances - declines) / assets over n rows",
        lambda x, out, n: cross.advance_decline_nb(x.close, x.tradable, x.start, n, out),
        lambda n: n,
    ),
}  # fmt: skip


def _known(group: str) -> Family:
    def compute(x: Inputs, out: Plane) -> None:
        out[:] = x.share_known(group)

    return Family(
        group, (), (), (f"{group}{KNOWN}",),
        f"share of the published features of {group} in the panel that is known", compute,
        source=group,
    )  # fmt: skip


_PANEL: dict[str, Family] = {**_PRICE, **TREND, **_OHLC, **_VOLUME, **_CROSS, **_SEASONAL}
_NAMED: dict[str, Family] = {**_PANEL, **EARNINGS, **SENTIMENT, **NEWS, **MACRO}
# Each group that has published features ends with its `<group>_known`.
_WITH_SOURCE = dict.fromkeys(family.group for family in _NAMED.values() if family.source)
FAMILIES: dict[str, Family] = {**_NAMED, **{f"{x}{KNOWN}": _known(x) for x in _WITH_SOURCE}}
