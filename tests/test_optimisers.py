"""The optimisers of skfolio: called directly, against closed forms and by their definitions."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize

from agents.baselines import Optimised, make_baseline
from envs.data.synthetic import synthetic
from envs.errors import InputError

ALL = (*Optimised.OPTIMISERS, "mean_variance", "minimum_cvar")


@pytest.fixture(scope="module")
def market():
    return synthetic(n_rows=300, n_assets=6, seed=4, volatility=0.3)


@pytest.fixture(scope="module")
def closes(market):
    return market.close[:253]


@pytest.fixture(scope="module")
def returns(closes):
    return closes[1:] / closes[:-1] - 1.0


def best_of(objective, n):
    """The long-only, fully invested weights that minimise a smooth objective."""
    found = minimize(
        objective, np.full(n, 1 / n), bounds=[(0, 1)] * n, method="SLSQP",
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-14},
    )  # fmt: skip
    assert found.success
    return found.x


@pytest.mark.parametrize("risk_aversion", [1.0, 20.0])
def test_mean_variance_maximises_its_utility(market, closes, returns, risk_aversion):
    mean, covariance = returns.mean(axis=0), np.cov(returns.T)
    best = best_of(lambda w: 1e4 * (risk_aversion / 2 * w @ covariance @ w - mean @ w), 6)
    policy = make_baseline("mean_variance", market, risk_aversion=risk_aversion)
    assert policy.target(closes) == pytest.approx(best, abs=2e-4)


def test_maximum_diversification_has_equal_correlations(market, closes, returns):
    """What it holds correlates equally with the portfolio, and what it leaves out more (Choueifaty,
    Froidure and Reynier 2013)."""
    covariance = np.cov(returns.T)
    weights = make_baseline("maximum_diversification", market).target(closes)
    correlation = (
        covariance @ weights / np.sqrt(np.diag(covariance) * (weights @ covariance @ weights))
    )
    held = weights > 1e-4
    assert held.sum() >= 3
    assert correlation[held] == pytest.approx(
        np.full(held.sum(), correlation[held].mean()), abs=1e-3
    )
    assert (correlation[~held] > correlation[held].mean() - 1e-3).all()


def test_minimum_cvar_has_the_smallest_tail(market, closes, returns):
    """Mean of the worst 5 % of 240 returns: whole observations, so that no share of one counts."""
    closes, returns = closes[-241:], returns[-240:]
    weights = make_baseline("minimum_cvar", market, window=240).target(closes)

    def tail(w):
        return -np.sort(returns @ w)[:12].mean()

    rng = np.random.default_rng(0)
    others = rng.dirichlet(np.ones(6), 2000)
    near = np.abs(weights + rng.normal(0, 0.01, (2000, 6)))
    near /= near.sum(axis=1, keepdims=True)
    assert min(map(tail, [*others, *near])) >= tail(weights) - 1e-6
    deep = make_baseline("minimum_cvar", market, window=240, tail=0.99).target(closes)
    assert np.abs(deep - weights).max() > 0.01


def test_nested_clusters_are_minimum_variance_within_and_between(market):
    """Two blocks that do not correlate: minimum variance of each, then of the two."""
    rng = np.random.default_rng(0)
    common = rng.normal(0, 0.01, (252, 2)) * [1.0, 1.5]
    returns = np.column_stack(
        [common[:, k // 3] + rng.normal(0, 0.001 + 0.0002 * k, 252) for k in range(6)]
    )
    closes = np.vstack([np.ones(6), np.cumprod(1 + returns, axis=0)])
    weights = make_baseline("nested_clusters", market).target(closes)
    covariance = np.cov(returns.T)
    blocks = [slice(0, 3), slice(3, 6)]
    inner = []
    for block in blocks:
        part = covariance[block, block]
        inner.append(best_of(lambda w, part=part: 1e4 * w @ part @ w, 3))
    both = np.cov(np.column_stack([returns[:, b] @ w for b, w in zip(blocks, inner)]).T)
    outer = best_of(lambda w: 1e4 * w @ both @ w, 2)
    expected = np.concatenate([share * w for share, w in zip(outer, inner)])
    assert weights == pytest.approx(expected, abs=2e-3)


def degenerate(returns):
    """Prices on which covariances have no full rank, or no rank at all."""
    twin = returns.copy()
    twin[:, 1] = twin[:, 0]
    mirrored = returns.copy()
    mirrored[:, 1] = -mirrored[:, 0]
    calm = returns.copy()
    calm[:, 1] *= 1e-5
    twitch = np.zeros_like(returns)
    twitch[-1] = 1e-9
    crash = np.where(np.random.default_rng(0).random(returns.shape) < 0.01, -0.9, 0.001)
    two = np.column_stack([returns[:, 0], returns[:, 0]])
    return {
        "twin": twin, "mirrored": mirrored, "calm": calm, "twitch": twitch, "crash": crash,
        "two": two, "falling": returns - 0.05, "short": returns[:3], "one": returns[:, :1],
    }  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_degenerate_prices_give_a_portfolio_and_no_warning(market, returns, name):
    for case, moved in degenerate(returns).items():
        closes = np.vstack([np.ones(moved.shape[1]), np.cumprod(1 + moved, axis=0)])
        policy = make_baseline(name, market, window=len(moved))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            weights = policy.target(closes)
        assert weights.sum() == pytest.approx(1.0, abs=1e-9), case
        assert weights.min() >= 0.0, case


def test_a_solver_that_fails_is_named(market, closes, monkeypatch):
    policy = make_baseline("minimum_cvar", market)

    class Broken:
        def fit(self, returns):
            raise ValueError("no luck")

    monkeypatch.setattr(policy, "estimator", Broken)
    words = (
        r"minimum_cvar finds no weights \(no luck\); .* evaluation\.baselines\.minimum_cvar=null"
    )
    with pytest.raises(InputError, match=words):
        policy.target(closes)
