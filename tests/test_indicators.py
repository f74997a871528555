"""Indicators against their slow twins, TA-Lib, and what must hold by definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.data import sp500, synthetic
from envs.data.market_data import MarketData
from envs.features import build_features, catalogue
from tests import reference_features as twin
from tests.gaps import FIELDS, with_listing

PANEL = synthetic(n_rows=420, n_assets=4, seed=3, ohlcv=True)
OWN = ("price", "ohlc", "volume")
# Half a unit in the last place of float32 is 6e-8; a float64 value of any quality is within this.
CLOSE = {"rtol": 2e-6, "atol": 1e-8}


def column(market: MarketData, name: str, asset: int = 0) -> np.ndarray:
    return build_features(market, [name]).values[:, asset, 0].astype(np.float64)


LATE = with_listing(PANEL, asset=2, row=60)


@pytest.mark.parametrize("entry", [e for e in catalogue() if e.group in OWN], ids=lambda e: e.name)
def test_every_indicator_equals_its_slow_twin(entry):
    values = build_features(LATE, [entry.name]).values[:, :, 0]
    for asset, listing in ((0, 0), (2, 60)):
        bars = twin.Bars(*(getattr(LATE, f)[listing:, asset].tolist() for f in FIELDS))
        expected = twin.of_one_asset(entry.name, bars, LATE.periods_per_year)
        # The twin's first value, not the catalogue's claim, says what the warm-up is.
        assert next(i for i, x in enumerate(expected) if x is not None) == entry.warmup
        expected = np.array([np.nan] * listing + [np.nan if x is None else x for x in expected])
        np.testing.assert_allclose(values[:, asset], expected, **CLOSE)


@pytest.mark.parametrize(
    "entry", [e for e in catalogue() if e.group == "cross"], ids=lambda e: e.name
)
def test_every_cross_sectional_feature_equals_its_slow_twin(entry):
    values = build_features(LATE, [entry.name]).values[:, :, 0]
    close = [[None if np.isnan(x) else x for x in row] for row in LATE.close.tolist()]
    rows = sorted({0, 1, *range(55, 130, 3), entry.warmup - 1, entry.warmup, 300, 419} - {-1})
    for asset in (0, 2):
        expected = [twin.of_all_assets(entry.name, close, t, asset) for t in rows]
        expected = np.array([np.nan if x is None else x for x in expected])
        np.testing.assert_allclose(values[rows, asset], expected, **CLOSE)
    assert np.isnan(values[entry.warmup - 1, 0]) and np.isfinite(values[entry.warmup, 0])


# ------------------------------------------------------------------ TA-Lib
def test_price_indicators_equal_talib_on_real_prices():
    market = sp500().select(["AAPL", "JPM", "XOM"])
    for a in range(market.n_assets):
        x = np.ascontiguousarray(market.close[:, a])
        macd = talib.MACD(x, 12, 26, 9)
        upper, middle, _ = talib.BBANDS(x, 20, 2, 2, 0)
        expected = {
            "return_5": talib.ROCP(x, 5),
            "sma_ratio_50": x / talib.SMA(x, 50) - 1,
            "ema_ratio_26": x / talib.EMA(x, 26) - 1,
            "momentum_252_21": np.r_[[np.nan] * 21, talib.ROCP(x, 231)[:-21]],
            "rsi_14": talib.RSI(x, 14),
            "macd_signal_12_26_9": macd[1] / x,
            "macd_hist_12_26_9": macd[2] / x,
            "bollinger_20": (x - middle) / (upper - middle),
            "bollinger_width_20": 2 * (upper - middle) / middle,
            "drawdown_252": x / talib.MAX(x, 252) - 1,
            # TA-Lib's deviation has ddof 0.
            "volatility_21": np.r_[np.nan, talib.STDDEV(np.diff(np.log(x)), 21)]
            * np.sqrt(252 * 21 / 20),
        }
        # TA-Lib hides MACD until its signal begins.
        panel = build_features(market, [*expected, "macd_12_26_9"])
        for name, right in expected.items():
            values = panel.values[:, a, panel.names.index(name)]
            assert np.array_equal(np.isnan(values), np.isnan(right)), name
            np.testing.assert_allclose(values, right, rtol=2e-5, atol=1e-7, err_msg=name)
        line = panel.values[33:, a, panel.names.index("macd_12_26_9")]
        np.testing.assert_allclose(line, (macd[0] / x)[33:], rtol=2e-5, atol=1e-7)


def test_bar_indicators_equal_talib():
    market = synthetic(n_rows=2000, n_assets=3, seed=8, ohlcv=True)
    for a in range(market.n_assets):
        h, low, c, v = (
            np.ascontiguousarray(getattr(market, f)[:, a])
            for f in ("high", "low", "close", "volume")
        )
        k, d = talib.STOCH(h, low, c, 14, 3, 0, 3, 0)
        balance = talib.OBV(c, v)
        change = np.r_[[np.nan] * 20, balance[20:] - balance[:-20]]
        expected = {
            "atr_14": talib.ATR(h, low, c, 14) / c,
            "williams_r_14": talib.WILLR(h, low, c, 14),
            "stochastic_d_14_3_3": d,
            "obv_20": change / talib.SUM(v, 20),
            "volume_ratio_20": v / talib.SMA(v, 20) - 1,
            "volume_trend_5_20": talib.SMA(v, 5) / talib.SMA(v, 20) - 1,
            "volume_roc_5": talib.ROCP(v, 5),
            "vwap_ratio_20": c / (talib.SUM(talib.TYPPRICE(h, low, c) * v, 20) / talib.SUM(v, 20))
            - 1,
        }
        panel = build_features(market, [*expected, "stochastic_k_14_3"])
        for name, right in expected.items():
            values = panel.values[:, a, panel.names.index(name)]
            assert np.array_equal(np.isnan(values), np.isnan(right)), name
            np.testing.assert_allclose(values, right, rtol=2e-5, atol=1e-6, err_msg=name)
        slow_k = panel.values[17:, a, panel.names.index("stochastic_k_14_3")]
        np.testing.assert_allclose(slow_k, k[17:], rtol=2e-5, atol=1e-5)


def test_moments_of_returns_equal_scipy():
    from scipy.stats import skew

    market = sp500().select(["AAPL", "JPM"])
    panel = build_features(market, ["return_score_63", "return_skewness_63"])
    returns = np.diff(np.log(market.close), axis=0)
    for t in (63, 1000, market.n_rows - 1):
        window = returns[t - 63 : t]
        score = (window[-1] - window.mean(axis=0)) / window.std(axis=0, ddof=1)
        np.testing.assert_allclose(panel.values[t, :, 0], score, rtol=1e-5)
        np.testing.assert_allclose(panel.values[t, :, 1], skew(window, axis=0), rtol=1e-5)


def test_range_volatility_finds_that_of_a_brownian_motion():
    """Parkinson 1980: the mean squared log range of a Brownian motion over 4 ln 2 is its variance;
    that of the steps of a path is a little less."""
    steps = np.random.default_rng(4).normal(0.0, 0.02 / np.sqrt(2000), (500, 2000))
    path = np.cumsum(steps, axis=1)
    bars = {
        "close": np.exp(path[:, -1:]), "high": np.exp(np.maximum(path.max(axis=1), 0))[:, None],
        "low": np.exp(np.minimum(path.min(axis=1), 0))[:, None],
    }  # fmt: skip
    dates = np.datetime64("2001-01-01") + np.arange(500)
    market = MarketData(dates, ("A",), **bars, periods_per_year=1.0)
    values = build_features(market, ["range_volatility_498"]).values[-1, 0, 0]
    # The deviation of the estimate of 500 days is 0.02 * sqrt(0.41 / 500) / 2, that of steps 2 %.
    np.testing.assert_allclose(values, 0.02, rtol=0.05)


# ------------------------------------------------------------------ by definition
def constant_market(volume: float) -> MarketData:
    price = np.full((400, 2), 0.1)
    dates = PANEL.dates[:400]
    return MarketData(dates, ("A", "B"), price, price, price, price, np.full_like(price, volume))


@pytest.mark.parametrize("volume", [0.0, 0.1])
def test_constant_prices_have_defined_values(volume):
    market = constant_market(volume)
    panel = build_features(market, ["price", "ohlc", "volume", "cross"])
    value = dict(zip(panel.names, panel.values[-1, 0]))
    middle = {"rsi_14": 50, "stochastic_k_14_3": 50, "stochastic_d_14_3_3": 50}
    middle |= {"williams_r_14": -50, "return_rank_1": 0.5, "return_rank_5": 0.5}
    middle |= {"return_rank_21": 0.5}
    for name, found in value.items():
        np.testing.assert_allclose(found, middle.get(name, 0.0), atol=2e-15, err_msg=name)
    assert np.isfinite(panel.values[panel.warmup :]).all()


def test_volume_that_starts_from_nothing_is_not_infinite():
    volume = PANEL.volume.copy()
    volume[100:200, 1] = 0.0
    volume[250, 1] = 5e-324
    panel = build_features(replace(PANEL, volume=volume), ["volume"])
    assert np.isfinite(panel.values[panel.warmup :]).all()
    roc = panel.values[:, 1, panel.names.index("volume_roc_5")]
    assert (roc[105:205] == 0.0).all()
    assert roc[255] == np.finfo(np.float32).max


def test_rsi_at_its_ends():
    up = replace(constant_market(1.0), close=np.cumsum(np.ones((400, 2)), axis=0),
                 open=None, high=None, low=None)  # fmt: skip
    assert (column(up, "rsi_14")[14:] == 100.0).all()
    down = replace(up, close=up.close[::-1].copy())
    assert (column(down, "rsi_14")[14:] == 0.0).all()


FINITE_MEMORY = [
    e.name
    for e in catalogue()
    if e.group in OWN
    and not e.name.startswith(("ema", "macd", "rsi", "atr", "normalised", "trend"))
]


def test_rolling_features_depend_on_their_window_alone():
    """A price a trillion times larger leaves no trace, bit for bit, once out of the window."""
    huge = {f: getattr(PANEL, f).copy() for f in FIELDS}
    for value in huge.values():
        value[:20] *= 1e12
    before = build_features(PANEL, FINITE_MEMORY)
    after = build_features(replace(PANEL, **huge), FINITE_MEMORY)
    for f, name in enumerate(before.names):
        memory = next(e.warmup for e in catalogue() if e.name == name)
        one, other = before.values[..., f], after.values[..., f]
        assert one[20 + memory :].tobytes() == other[20 + memory :].tobytes(), name
        # The shape of a bar does not tell its price.
        if memory > 0 and not name.startswith("range_volatility"):
            assert one[20 : 20 + memory].tobytes() != other[20 : 20 + memory].tobytes(), name


def test_rolling_sums_do_not_drift_over_a_long_panel():
    market = synthetic(n_rows=12_000, n_assets=1, seed=5)
    late = market.rows(11_000, 12_000)
    names = ["sma_ratio_50", "volatility_21", "bollinger_20", "market_correlation_63"]
    whole, part = build_features(market, names), build_features(late, names)
    assert whole.values[-900:].tobytes() == part.values[-900:].tobytes()


def scaled(market: MarketData, price: float, volume: float) -> MarketData:
    bars = {f: getattr(market, f) * price for f in ("open", "high", "low", "close")}
    return replace(market, **bars, volume=market.volume * volume)


@settings(max_examples=15, deadline=None)
@given(price=st.floats(1e-3, 1e4), volume=st.floats(1e-3, 1e6), seed=st.integers(0, 2**31))
def test_no_feature_depends_on_the_unit_of_prices_or_volume(price, volume, seed):
    market = synthetic(n_rows=300, n_assets=3, seed=seed, ohlcv=True)
    names = ["price", "ohlc", "volume", "market_correlation_63", "market_beta_63"]
    one = build_features(market, names).values
    other = build_features(scaled(market, price, volume), names).values
    assert np.isfinite(one[252:]).all()
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    # Powers of two move the exponent only, so not even a bit may differ.
    exact = build_features(scaled(market, 2.0**-7, 2.0**9), names).values
    assert one.tobytes() == exact.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    moves=st.lists(st.sampled_from([-0.5, -0.01, 0.0, 0.0, 0.0, 1e-15, 0.01, 3.0]), min_size=60),
    quiet=st.booleans(),
)
def test_jumps_and_standstills_give_finite_numbers_in_their_range(moves, quiet):
    close = np.exp(np.cumsum(np.clip(moves, -0.5, 1.0) - 0.05 * np.mean(moves)))[:, None]
    close = np.repeat(close, 2, axis=1)
    volume = np.zeros_like(close) if quiet else np.abs(np.diff(close, axis=0, prepend=1.0))
    dates = np.datetime64("2001-01-01") + np.arange(len(close))
    market = MarketData(dates, ("A", "B"), close, close, close * 1.01, close * 0.99, volume)
    names = [
        "rsi_14", "macd_hist_12_26_9", "bollinger_20", "atr_14", "stochastic_d_14_3_3", "obv_20",
        "williams_r_14", "volume_roc_5", "volume_ratio_20", "vwap_ratio_20", "volatility_21",
        "market_correlation_21", "market_beta_21", "breadth_20", "return_rank_5",
    ]  # fmt: skip
    panel = build_features(market, names)
    value = dict(zip(panel.names, np.moveaxis(panel.values[panel.warmup :], 2, 0)))
    assert all(np.isfinite(x).all() for x in value.values())
    limits = {
        "rsi_14": (0, 100), "stochastic_d_14_3_3": (0, 100), "williams_r_14": (-100, 0),
        "obv_20": (-1, 1), "market_correlation_21": (-1, 1), "breadth_20": (0, 1),
        "return_rank_5": (0, 1), "atr_14": (0, np.inf), "volatility_21": (0, np.inf),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        assert value[name].min() >= low - 1e-6 and value[name].max() <= high + 1e-6, name
    # Half of (n - 1) / sqrt(n - 1): the largest score that one of n values can have.
    assert np.abs(value["bollinger_20"]).max() <= np.sqrt(19) / 2 + 1e-5


def test_market_links_equal_numpy():
    market = synthetic(n_rows=200, n_assets=5, seed=1)
    panel = build_features(market, ["market_correlation_63", "market_beta_63"])
    returns = market.close[1:] / market.close[:-1] - 1
    window = returns[-63:]
    mix = window.mean(axis=1)
    for a in range(5):
        covariance = np.cov(window[:, a], mix)
        right = [np.corrcoef(window[:, a], mix)[0, 1], covariance[0, 1] / covariance[1, 1]]
        np.testing.assert_allclose(panel.values[-1, a], right, rtol=1e-6)
    # The mix's beta to itself is one, and so is the mean of the betas.
    np.testing.assert_allclose(panel.values[63:, :, 1].mean(axis=1), 1.0, rtol=1e-6)


def test_rank_equals_scipy_also_with_ties():
    from scipy.stats import rankdata

    close = np.round(synthetic(n_rows=80, n_assets=9, seed=2, start_price=4.0).close, 1)
    market = MarketData(PANEL.dates[:80], tuple("ABCDEFGHI"), close)
    values = build_features(market, ["return_rank_5"]).values[5:, :, 0]
    right = (rankdata(close[5:] / close[:-5], axis=1) - 1) / 8
    np.testing.assert_allclose(values, right, rtol=1e-6)
