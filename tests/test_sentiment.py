"""Sentiment from the panel's own prices: slow twins, planted GARCH, and the package arch."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from envs.data import index_ohlcv, sp500, synthetic
from envs.features import sentiment
from envs.features.inputs import Inputs
from envs.features.mood import SENTIMENT, moving_average
from tests import reference_sentiment as twin

SMALL = synthetic(n_rows=90, n_assets=5, seed=4)


def series(name: str, market=SMALL, *numbers: int) -> np.ndarray:
    """`[T]` a feature of the market, the same for all assets."""
    plane = np.full(market.close.shape, np.nan, dtype=np.float32)
    family = SENTIMENT[name]
    family.compute(Inputs(market, "XNYS"), plane, *numbers)
    assert (plane[:, :1] == plane)[family.warmup(*numbers) :].all()
    return plane[:, 0]


def same(values: np.ndarray, expected: list[float], first: int) -> None:
    np.testing.assert_allclose(values[first:], expected[first:], rtol=2e-6, atol=2e-7)


# ------------------------------------------------------------------ volatility and ranks
def test_volatility_of_the_market_and_its_rank_are_their_slow_twins():
    r = twin.market_returns(SMALL.close.tolist())
    year = math.sqrt(SMALL.periods_per_year)
    n, m = 6, 11
    volatility = [math.nan] * n + [
        year * twin.deviation(r[t - n + 1 : t + 1]) for t in range(n, 90)
    ]
    same(series("market_volatility", SMALL, n), volatility, n)
    first = n + m - 1
    rank = [math.nan] * first + [twin.rank(volatility[t - m + 1 : t + 1]) for t in range(first, 90)]
    same(series("market_volatility_rank", SMALL, n, m), rank, first)


def test_a_rank_shares_places_among_equals():
    value = np.array([3.0, 1.0, 3.0, 3.0, 5.0, 0.0])
    out = np.full(6, np.nan)
    sentiment.rank_nb(value, 3, 1, out)
    assert np.isnan(out[:3]).all()
    np.testing.assert_array_equal(out[3:], [0.75, 1.0, 0.0])


# ------------------------------------------------------------------ GARCH
def planted(n: int, alpha: float, beta: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns of a GARCH(1,1) with 1 % a row, and the variance of the row after each."""
    rng = np.random.default_rng(seed)
    long_run, variance = 1e-4, 1e-4
    returns, ahead = np.empty(n), np.empty(n)
    for t in range(n):
        returns[t] = math.sqrt(variance) * rng.standard_normal()
        variance = long_run * (1 - alpha - beta) + alpha * returns[t] ** 2 + beta * variance
        ahead[t] = variance
    return returns, ahead


def test_garch_is_its_slow_twin():
    returns, _ = planted(80, 0.2, 0.7, 0)
    candidates = [(0.02, 0.9), (0.1, 0.97), (0.2, 0.9), (0.2, 0.995)]
    alpha, persistence = np.array(candidates).T
    out = np.full(80, np.nan)
    sentiment.garch_nb(returns, 0, alpha, persistence - alpha, 1.0, out)
    expected = twin.garch(returns.tolist(), candidates, sentiment.UNCOUNTED)
    np.testing.assert_allclose(out, expected, rtol=1e-10)
    # Different candidates win along the way, else the choice was not tested.
    plain = [np.sqrt(twin.garch_path(returns.tolist(), a, p - a)) for a, p in candidates]
    assert len({int(np.argmin([abs(x[t] - out[t]) for x in plain])) for t in range(25, 80)}) > 1


@pytest.mark.parametrize(("alpha", "beta"), [(0.05, 0.92), (0.15, 0.80)])
def test_garch_finds_the_volatility_that_was_planted(alpha, beta):
    returns, ahead = planted(6000, alpha, beta, 7)
    found = sentiment.garch_volatility(returns, 0, 1.0)[1000:]
    truth = np.sqrt(ahead[1000:])
    assert np.corrcoef(np.log(found), np.log(truth))[0, 1] > 0.97
    assert abs(np.log(found / truth)).mean() < 0.05
    # Constant weights (RiskMetrics) do clearly worse, so the fitting matters.
    smooth = np.empty(6000)
    smooth[0] = 1e-4
    for t in range(1, 6000):
        smooth[t] = 0.94 * smooth[t - 1] + 0.06 * returns[t] ** 2
    rough = np.sqrt(smooth[1000:])
    assert abs(np.log(rough / truth)).mean() > 1.5 * abs(np.log(found / truth)).mean()


def test_garch_agrees_with_the_package_arch():
    from arch import arch_model

    close = index_ohlcv(["SP500"]).close[:, 0]
    returns = close[1:] / close[:-1] - 1.0
    found = sentiment.garch_volatility(returns, 0, 1.0)
    half = len(returns) // 2
    # arch: maximum likelihood of all parameters on the first half, filtered through the second.
    model = arch_model(100 * returns, mean="Zero", vol="GARCH", p=1, q=1)
    fit = model.fit(disp="off", last_obs=half)
    omega, alpha, beta = fit.params
    variance = np.empty(len(returns) + 1)
    variance[0] = (100 * returns[:half]).var()
    for t, r in enumerate(100 * returns):
        variance[t + 1] = omega + alpha * r**2 + beta * variance[t]
    oracle = np.sqrt(variance[1:]) / 100
    ratio = found[half:] / oracle[half:]
    assert np.corrcoef(np.log(found[half:]), np.log(oracle[half:]))[0, 1] > 0.99
    assert abs(np.log(ratio)).mean() < 0.05


def test_a_market_that_stands_still_has_no_volatility():
    still = np.zeros(300)
    assert (sentiment.garch_volatility(still, 0, 252.0) == 0.0).all()
    moves = still.copy()
    moves[200] = 0.01
    after = sentiment.garch_volatility(moves, 0, 252.0)
    assert np.isfinite(after).all() and after[200] > 0.0 and (after[:200] == 0.0).all()


# ------------------------------------------------------------------ breadth
def test_highs_lows_and_mcclellan_are_their_slow_twins():
    close = SMALL.close.tolist()
    n = 12
    expected = [math.nan] * n + [twin.highs_lows(close, t, n) for t in range(n, 90)]
    found = series("market_highs_lows", SMALL, n)
    same(found, expected, n)
    assert found[n:].max() > 0 > found[n:].min()
    ratio = [twin.net_advances(close, t) for t in range(1, 90)]
    fast, slow = twin.exponential(ratio, 4), twin.exponential(ratio, 9)
    expected = [math.nan] * 9 + [fast[t] - slow[t] for t in range(8, 89)]
    same(series("market_mcclellan", SMALL, 4, 9), expected, 9)


def test_a_flat_price_is_neither_new_high_nor_advance():
    close = np.full((40, 2), 100.0)
    market = SimpleNamespace(price=close, tradable=np.ones((40, 2), bool), start=np.zeros(2, int))
    out = np.full((40, 2), np.nan, dtype=np.float32)
    sentiment.highs_lows_nb(market.price, market.tradable, market.start, 5, out)
    assert (out[5:] == 0.0).all()
    sentiment.mcclellan_nb(market.price, market.tradable, market.start, 1, 3, 5, out)
    assert (out[5:] == 0.0).all()


def test_only_assets_that_trade_and_have_the_history_are_counted():
    close = np.array([[10.0, np.nan], [11, 5], [12, 4], [13, 3], [14, 2], [15, 9]])
    tradable = np.isfinite(close)
    tradable[4, 0] = False
    start = np.array([0, 1])
    out = np.full(close.shape, np.nan, dtype=np.float32)
    sentiment.highs_lows_nb(np.nan_to_num(close, nan=-1.0), tradable, start, 2, out)
    # Row 2: only the first has two rows before; row 4: only the second trades, at a new low.
    assert out[2:, 0].tolist() == [1.0, 0.0, -1.0, 1.0]


# ------------------------------------------------------------------ on real prices
def test_proxies_move_with_the_real_vix():
    """The equal-weight mix of twenty large caps stands in for the index behind the VIX."""
    from envs.features.surveys import packaged_vix

    market = sp500(start="2008-01-01")
    vix = packaged_vix()
    garch = series("market_garch", market)
    realised = series("market_volatility", market, 21)
    _, rows, days = np.intersect1d(
        market.dates.astype("datetime64[D]"), vix.period, return_indices=True
    )
    assert len(rows) > 1200
    for values, least in ((garch, 0.80), (realised, 0.70)):
        assert np.corrcoef(np.log(values[rows]), np.log(vix.value[days]))[0, 1] > least
    # Options are dearer than what follows: the forecasts stay under the VIX on average.
    assert 0.7 < (garch[rows] / (vix.value[days] / 100)).mean() < 1.0


def test_moving_average_waits_for_its_rows():
    out = moving_average(np.array([1.0, 2.0, 6.0]), 2)
    assert np.isnan(out[0]) and out[1:].tolist() == [1.5, 4.0]
    assert np.isnan(moving_average(np.array([1.0]), 2)).all()
