"""The accounting kernel against its slow twin in rational arithmetic, and its invariants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.data.market_data import MarketData
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.market.kernel import drift_nb, trade_nb
from envs.market.legs import make_legs
from tests import reference

N_ASSETS = 5
positive = arrays(np.float64, N_ASSETS + 1, elements=st.floats(1e-6, 1.0))
rates = arrays(np.float64, N_ASSETS, elements=st.floats(0.0, 0.2))
tilts = arrays(np.float64, N_ASSETS, elements=st.floats(-0.4, 0.4))


def trade(drifted, target, commission, half_spread):
    out = [np.empty(1) for _ in range(4)]
    trade_nb(drifted[None], target[None], commission, half_spread, *out)
    return tuple(float(o[0]) for o in out)  # kept, commission, spread, turnover


def simplex_point(raw):
    return raw / raw.sum()


def long_short_point(tilt):
    return np.append(tilt, 1.0 - tilt.sum())


points = st.one_of(positive.map(simplex_point), tilts.map(long_short_point))


@settings(max_examples=500, deadline=None)
@given(points, points, rates, rates)
def test_trade_solves_the_cost_equation_exactly(drifted, target, commission, half_spread):
    kept, paid, spread, turnover = trade(drifted, target, commission, half_spread)
    try:
        exact = float(reference.kept_exactly(drifted, target, commission, half_spread))
    except AssertionError:
        assert kept <= 1e-9  # the cost of this trade is more than all there is
        return
    assert kept == pytest.approx(exact, abs=1e-13)
    twin = reference.cost_of(exact, drifted, target, commission, half_spread)
    assert (paid, spread, turnover) == pytest.approx(twin, abs=1e-12)
    # conserved: what is left and what was charged is what there was
    assert kept + paid + spread == pytest.approx(1.0, abs=1e-15)


@settings(max_examples=200, deadline=None)
@given(points, points, rates, st.floats(1.0, 2.0))
def test_cost_grows_with_the_rate(drifted, target, commission, factor):
    low = trade(drifted, target, commission, np.zeros(N_ASSETS))
    high = trade(drifted, target, np.minimum(commission * factor, 0.4), np.zeros(N_ASSETS))
    assert high[0] <= low[0] + 1e-14
    assert high[1] >= low[1] - 1e-14


@settings(max_examples=200, deadline=None)
@given(points, points)
def test_no_cost_rate_no_cost(drifted, target):
    free = np.zeros(N_ASSETS)
    kept, paid, spread, turnover = trade(drifted, target, free, free)
    assert (kept, paid, spread) == (1.0, 0.0, 0.0)
    assert turnover == pytest.approx(np.abs(target - drifted)[:-1].sum(), abs=1e-15)


@settings(max_examples=200, deadline=None)
@given(points, rates, rates)
def test_no_trade_no_cost(weights, commission, half_spread):
    assert trade(weights, weights.copy(), commission, half_spread) == (1.0, 0.0, 0.0, 0.0)


@settings(max_examples=200, deadline=None)
@given(points)
def test_constant_prices_change_nothing(weights):
    drifted, factor = np.empty((1, N_ASSETS + 1)), np.empty(1)
    drift_nb(np.zeros(1, np.int64), np.ones((1, N_ASSETS + 1)), weights[None], drifted, factor)
    assert factor[0] == pytest.approx(1.0, abs=1e-15)
    assert drifted[0] == pytest.approx(weights, abs=1e-15)


@settings(max_examples=200, deadline=None)
@given(positive.map(simplex_point), arrays(np.float64, N_ASSETS + 1, elements=st.floats(0.2, 5.0)))
def test_drift_equals_its_twin(weights, growth):
    drifted, factor = np.empty((1, N_ASSETS + 1)), np.empty(1)
    drift_nb(np.zeros(1, np.int64), growth[None], weights[None], drifted, factor)
    twin, total = reference.drift(weights, growth)
    assert factor[0] == pytest.approx(total, rel=1e-14)
    assert drifted[0] == pytest.approx(twin, abs=1e-14)


def test_a_first_purchase_costs_what_theory_says():
    """All cash into one asset at rate c leaves 1 / (1 + c): the literature's `notional` model."""
    cash = np.array([0.0, 1.0])
    asset = np.array([1.0, 0.0])
    kept, paid, *_ = trade(cash, asset, np.array([0.001]), np.array([0.0]))
    assert kept == pytest.approx(1 / 1.001, abs=1e-15)
    assert paid == pytest.approx(0.001 / 1.001, abs=1e-15)
    kept, *_ = trade(asset, cash, np.array([0.001]), np.array([0.0]))
    assert kept == pytest.approx(1 - 0.001, abs=1e-15)


def test_a_short_that_loses_everything_is_ruin_without_nan():
    weights = np.array([[-2.0, 3.0]])  # short twice the value
    drifted, factor = np.empty((1, 2)), np.empty(1)
    drift_nb(np.zeros(1, np.int64), np.array([[1.6, 1.0]]), weights, drifted, factor)
    assert factor[0] == pytest.approx(-0.2)
    assert drifted[0].tolist() == [0.0, 1.0]


def test_value_is_conserved_over_ten_thousand_steps():
    """What is left plus what was charged is, at every step, what there was."""
    rng = np.random.default_rng(0)
    commission, half_spread = np.full(N_ASSETS, 2e-3), np.full(N_ASSETS, 1e-3)
    weights = np.zeros((1, N_ASSETS + 1))
    weights[0, -1] = 1.0
    value, worst = 1.0, 0.0
    drifted, factor = np.empty_like(weights), np.empty(1)
    for _ in range(10_000):
        target = rng.dirichlet(np.ones(N_ASSETS + 1))
        growth = np.exp(rng.normal(0.0015, 0.02, (1, N_ASSETS + 1)))
        drift_nb(np.zeros(1, np.int64), growth, weights, drifted, factor)
        holdings = value * weights[0] * growth[0]
        kept, paid, spread, _ = trade(drifted[0], target, commission, half_spread)
        before = value * factor[0]
        after = before * kept
        charged = (3e-3 * np.abs(after * target - holdings)[:-1]).sum()
        worst = max(worst, abs(after + charged - holdings.sum()) / before)
        assert charged == pytest.approx(before * (paid + spread), rel=1e-9)
        weights, value = target[None].copy(), after
    assert worst < 1e-12


@pytest.mark.parametrize("commission", [-1.0, float("nan"), [1.0, 2.0, 3.0]])
def test_bad_rates_are_refused(commission):
    with pytest.raises(InputError, match=r"cost\.commission_bps"):
        ProportionalCost(commission_bps=commission).rates(2)


def test_costs_of_everything_are_refused():
    with pytest.raises(InputError, match="basis points"):
        ProportionalCost(commission_bps=10_000, half_spread_bps=0).rates(2)
    with pytest.raises(InputError, match="basis points"):
        ProportionalCost(commission_bps=4_000, half_spread_bps=1_500).rates(2, gross_limit=2.0)
    ProportionalCost(commission_bps=4_000, half_spread_bps=1_500).rates(2)


# ------------------------------------------------------------------ legs
def small_market(**fields):
    close = np.array([[100.0, 50.0], [110.0, 45.0], [99.0, 54.0]])
    dates = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[ns]")
    return MarketData(dates, ("A", "B"), close, **fields)


def test_legs_multiply_to_the_whole_period():
    opens = np.array([[101.0, 50.5], [105.0, 46.0], [104.0, 50.0]])
    market = small_market(open=opens, cash_rate=np.array([0.5, 0.01, 0.02]))
    whole = make_legs(market, "same_close").after
    assert whole[:, -1].tolist() == [1.01, 1.02]
    assert whole[0, :2] == pytest.approx([1.1, 0.9])
    assert make_legs(market, "next_close").before == pytest.approx(whole)
    night_and_day = make_legs(market, "next_open")
    assert night_and_day.before[0, 0] == pytest.approx(105 / 100)
    assert night_and_day.before * night_and_day.after == pytest.approx(whole)


def test_legs_refuse_what_they_cannot_do():
    with pytest.raises(InputError, match="next_close"):
        make_legs(small_market(), "next_open")
    with pytest.raises(InputError, match="unknown execution"):
        make_legs(small_market(), "tomorrow")
