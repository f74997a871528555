"""Inputs of trend-following networks. Their slow twins: tests/test_indicators.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines.trend import macd_signal
from envs.data import sp500, synthetic
from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.features import build_features, first_leak
from envs.features.trend import SPAN, TREND
from tests.gaps import with_halts, with_listing

EIGHT = [name for family in TREND.values() for name in family.examples]
PANEL = synthetic(n_rows=700, n_assets=3, seed=8)


def build(market: MarketData):
    return build_features(market, EIGHT)


def test_the_mean_response_to_the_three_trends_is_the_signal_of_the_macd_strategy():
    """Both begin their averages with the first of the 315 closes that the strategy reads."""
    trends = build(PANEL.rows(200, 515)).values[-1, :, 5:].astype(np.float64)
    response = trends * np.exp(-(trends**2) / 4.0) / 0.89
    np.testing.assert_allclose(
        response.mean(axis=1), macd_signal(PANEL.close[200:515]), rtol=1e-5, atol=1e-6
    )


def test_volatility_is_that_of_pandas_and_returns_have_the_scale_of_one():
    market = sp500().select(["AAPL", "JPM", "XOM"])
    values = build(market).values
    returns = pd.DataFrame(market.close).pct_change()
    sigma = (returns**2).ewm(span=SPAN).mean() ** 0.5
    for f, n in enumerate((1, 21, 63, 126, 252)):
        expected = pd.DataFrame(market.close).pct_change(n) / (sigma * n**0.5)
        np.testing.assert_allclose(values[252:, :, f], expected[252:], rtol=1e-5, atol=1e-6)
    assert (np.abs(values[313:].std(axis=(0, 1)) - 1.0) < 1.0).all()
    assert (np.abs(values[313:, :, 0]) <= np.sqrt((SPAN + 1) / 2)).all()


def test_a_rising_price_is_positive_and_a_falling_one_negative():
    rng = np.random.default_rng(3)
    noise = 0.01 * rng.normal(size=(600, 1))
    up = np.exp(np.cumsum(0.004 + noise, axis=0))
    close = np.concatenate([up, 1.0 / up], axis=1)
    values = build(MarketData(PANEL.dates[:600], ("UP", "DOWN"), close)).values[-1]
    assert (values[0, 1:5] > 0).all() and (values[1, 1:5] < 0).all()


@settings(max_examples=10, deadline=None)
@given(row=st.integers(315, 690), seed=st.integers(0, 2**31))
def test_nothing_sees_the_future(row, seed):
    market = with_halts(with_listing(PANEL, asset=1, row=40), slice(400, 410), 2, np.nan)
    assert first_leak(build, market, row, seed) is None


def test_nothing_sees_the_future_of_real_prices():
    market = sp500()
    for row in (400, 5432, 8310):
        assert first_leak(build, market, row) is None


def test_what_never_moves_is_zero_and_an_even_rise_is_finite():
    rows = np.arange(500.0)
    close = np.stack([np.full(500, 0.1), np.exp(1e-3 * rows), 2.0**rows], axis=1)
    panel = build(MarketData(PANEL.dates[:500], ("STILL", "EVEN", "FAST"), close))
    assert (panel.values[panel.warmup :, 0] == 0.0).all()
    assert np.isfinite(panel.values[panel.warmup :]).all()
    # An even rise: every one-row return is the volatility itself.
    np.testing.assert_allclose(panel.values[panel.warmup :, 1:, 0], 1.0, rtol=1e-6)


@settings(max_examples=10, deadline=None)
@given(
    moves=st.lists(st.sampled_from([-0.5, -0.01, 0.0, 0.0, 1e-15, 0.01, 1.0]), min_size=360),
)
def test_jumps_and_standstills_give_finite_numbers(moves):
    close = np.exp(np.cumsum(np.array(moves) - np.mean(moves)))[:, None]
    dates = np.datetime64("2001-01-01") + np.arange(len(close))
    panel = build(MarketData(dates, ("A",), close))
    assert np.isfinite(panel.values[panel.warmup :]).all()


def test_no_unit_of_price_and_no_other_asset_matters():
    one = build(PANEL).values
    other = replace(PANEL, close=PANEL.close * np.array([2.0**-7, 1.0, 2.0**5]))
    assert one.tobytes() == build(other).values.tobytes()
    alone = PANEL.select([PANEL.symbols[1]])
    assert np.ascontiguousarray(one[:, 1:2]).tobytes() == build(alone).values.tobytes()


def test_wrong_numbers_say_what_is_right():
    with pytest.raises(InputError, match="1 <= short < long"):
        build_features(PANEL, ["trend_24_8"])
    with pytest.raises(InputError, match="write normalised_return_1"):
        build_features(PANEL, ["normalised_return"])
