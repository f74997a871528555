"""Baselines: published wealth to six digits, what each decides, and that none sees the future."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import Optimised, make_baseline
from agents.policy import Policy
from agents.rollout import index_trajectory, rollout
from envs.data import olps, sp500
from envs.data.synthetic import synthetic
from envs.errors import InputError
from envs.market.costs import ProportionalCost
from envs.portfolio import PortfolioEnv

ALL = (
    "equal_weight", "buy_and_hold", "inverse_volatility", "momentum",
    "minimum_variance", "maximum_sharpe", "risk_parity", "hierarchical_risk_parity",
    "reversal", "mean_variance", "minimum_cvar", "maximum_diversification", "nested_clusters",
)  # fmt: skip
SHORT = {
    "inverse_volatility": {"window": 20, "every": 5},
    "momentum": {"lookback": 20, "skip": 2, "every": 5},
    "minimum_variance": {"window": 30, "every": 5},
    "maximum_sharpe": {"window": 30, "every": 5},
    "risk_parity": {"window": 30, "every": 5},
    "hierarchical_risk_parity": {"window": 30, "every": 5},
    "reversal": {"lookback": 10, "every": 5},
    "mean_variance": {"window": 30, "every": 5},
    "minimum_cvar": {"window": 30, "every": 5},
    "maximum_diversification": {"window": 30, "every": 5},
    "nested_clusters": {"window": 30, "every": 5},
}


def play(name, market, cost=0.0, execution="same_close", **keywords):
    policy = make_baseline(name, market, **SHORT.get(name, {}))
    assert isinstance(policy, Policy)
    env = PortfolioEnv(
        market,
        observation=policy.observation,
        action=policy.action,
        execution=execution,
        cost=ProportionalCost(cost * 1e4, 0.0),
        **keywords,
    )
    return rollout(policy, env)


def test_equal_weight_on_the_twenty_stocks():
    """248.4244: the wealth of 8,312 days without costs, computed elsewhere from the same closes."""
    trajectory = play("equal_weight", sp500())
    assert len(trajectory.dates) == 8312
    assert str(trajectory.dates[0])[:10] == "1990-01-03"
    assert trajectory.value[-1] == pytest.approx(248.4244, abs=5e-5)
    assert np.prod(1 + trajectory.net_return) == pytest.approx(trajectory.value[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("name", "baseline", "cost", "wealth"),
    [
        # Li and Hoi 2012; Borodin et al. 2003; the OLPS toolbox manual. Costs: `notional` model.
        ("nyse_o", "buy_and_hold", 0.0, 14.497308277140231),
        ("nyse_o", "buy_and_hold", 0.001, 14.482825451688543),
        ("nyse_o", "equal_weight", 0.0, 27.075246344641013),
        ("nyse_o", "equal_weight", 0.001, 25.333430637687716),
        ("nyse_o", "equal_weight", 0.005, 19.417857814836996),
        ("msci", "buy_and_hold", 0.0, 0.9063524626897211),
        ("msci", "buy_and_hold", 0.001, 0.9054470156740464),
        ("msci", "equal_weight", 0.0, 0.9268363659560831),
        ("msci", "equal_weight", 0.001, 0.9179708327811525),
        ("msci", "equal_weight", 0.005, 0.8833557447477945),
    ],
)
def test_published_wealth(name, baseline, cost, wealth):
    try:
        market = olps(name=name)
    except InputError as error:
        pytest.skip(str(error))
    assert play(baseline, market, cost).value[-1] == pytest.approx(wealth, rel=1e-9)


def test_the_printed_market_of_msci_leaves_out_the_first_day():
    """The manual prints 0.8986 for Market and keeps day 1 for UCRP; its own costs keep it, too."""
    try:
        market = olps(name="msci")
    except InputError as error:
        pytest.skip(str(error))
    later = market.rows(1, market.n_rows)
    assert play("buy_and_hold", later).value[-1] == pytest.approx(0.8986278670463698, rel=1e-9)


def test_index_is_that_of_the_source():
    market = sp500()
    trajectory = index_trajectory(market, 0, market.n_rows - 1)
    assert trajectory.value[-1] == pytest.approx(10.518002, abs=5e-7)


def test_buy_and_hold_trades_once():
    market = synthetic(n_rows=60, n_assets=3, seed=1)
    for execution in ("same_close", "next_close"):
        trajectory = play("buy_and_hold", market, 0.01, execution)
        assert trajectory.turnover[0] > 0.98
        assert trajectory.turnover[1:].max() < 1e-12
        first = 0 if execution == "same_close" else 1
        wealth = (market.close[-1] / market.close[first]).mean() / 1.01
        if execution == "next_close":
            wealth *= 1 + market.cash_rate[1]
        assert trajectory.value[-1] == pytest.approx(wealth, rel=1e-12)


def test_inverse_volatility_and_momentum_by_hand():
    market = synthetic(n_rows=80, n_assets=4, seed=2)
    inverse = make_baseline("inverse_volatility", market, window=20).target(market.close[:21])
    volatility = np.diff(np.log(market.close[:21]), axis=0).std(axis=0, ddof=1)
    assert inverse * volatility == pytest.approx(np.full(4, inverse[0] * volatility[0]))
    momentum = make_baseline("momentum", market, lookback=20, skip=5, share=0.5)
    weights = momentum.target(market.close[:21])
    past = market.close[15] / market.close[0]
    assert set(np.flatnonzero(weights)) == set(np.argsort(past)[-2:])
    assert weights.sum() == 1.0


def test_minimum_variance_and_risk_parity_by_closed_form():
    """Uncorrelated assets: minimum variance weighs by 1 / variance, parity by 1 / volatility."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=400)
    b = rng.normal(size=400)
    b -= a * (a @ b) / (a @ a) + 0.0
    returns = np.column_stack([0.01 * a, 0.02 * b])
    returns -= returns.mean(axis=0)
    covariance = np.cov(returns.T)
    market = synthetic(n_rows=500, n_assets=2, seed=0)
    closes = np.vstack([np.ones(2), np.cumprod(1 + returns, axis=0)]) * 100
    weights = make_baseline("minimum_variance", market).target(closes)
    one = np.linalg.solve(covariance, np.ones(2))
    assert weights == pytest.approx(one / one.sum(), abs=2e-3)
    parity = make_baseline("risk_parity", market).target(closes)
    contribution = parity * (covariance @ parity)
    assert contribution[0] == pytest.approx(contribution[1], rel=2e-2)


@pytest.mark.parametrize("name", ALL)
def test_long_only_invested_and_blind_to_the_future(name):
    """The same decisions, bit for bit, when every price after t is another one."""
    market = synthetic(n_rows=90, n_assets=3, seed=5)
    cut = 70
    close = market.close.copy()
    close[cut + 1 :] *= np.random.default_rng(0).uniform(0.5, 1.5, close[cut + 1 :].shape)
    other = replace(market, close=close)
    start = 40
    one, two = (play(name, panel, 0.001, "next_close", start=start) for panel in (market, other))
    # the decision at row t is executed, with the price of t+1, in step t - start
    steps = cut - start
    assert one.weights[: steps - 1].tobytes() == two.weights[: steps - 1].tobytes()
    assert one.weights.min() >= -1e-12
    assert one.weights.sum(axis=1) == pytest.approx(np.ones(len(one.weights)))
    if name != "equal_weight":
        assert one.active_share.max() > 0.001


@pytest.mark.parametrize("name", ALL)
def test_one_asset_is_enough(name):
    market = synthetic(n_rows=80, n_assets=1, seed=0)
    trajectory = play(name, market, start=40)
    assert trajectory.weights[1:, 0] == pytest.approx(np.ones(len(trajectory.weights) - 1))


def test_falling_markets_have_a_maximum_sharpe_portfolio():
    market = synthetic(n_rows=120, n_assets=3, seed=0, drift=-0.9, volatility=0.05)
    trajectory = play("maximum_sharpe", market, start=40)
    assert np.isfinite(trajectory.weights).all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("still", [1, 2, 3])
def test_prices_that_stand_still(name, still):
    market = synthetic(n_rows=120, n_assets=3, seed=0)
    close = market.close.copy()
    close[:, :still] = 100.0
    trajectory = play(name, replace(market, close=close), start=40)
    assert np.isfinite(trajectory.weights).all()
    assert trajectory.weights.sum(axis=1) == pytest.approx(np.ones(len(trajectory.weights)))
    if name in ("minimum_variance", "minimum_cvar"):
        assert trajectory.weights[1:, :still].sum(axis=1) == pytest.approx(
            np.ones(len(trajectory.weights) - 1)
        )


def test_bad_input():
    market = synthetic(n_rows=60, n_assets=3, seed=0)
    with pytest.raises(InputError, match="equal_weight, buy_and_hold"):
        make_baseline("equal_weigth", market)
    with pytest.raises(InputError, match="needs 31 rows"):
        play("minimum_variance", market, start=10)
    with pytest.raises(InputError, match="skip < lookback"):
        make_baseline("momentum", market, lookback=5, skip=5)
    with pytest.raises(InputError, match="window"):
        make_baseline("risk_parity", market, window=1)
    with pytest.raises(InputError, match="every"):
        make_baseline("inverse_volatility", market, every=0)
    assert set(Optimised.OPTIMISERS) < set(ALL)
