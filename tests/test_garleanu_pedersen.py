"""Trading on factors: a Riccati solver, Bellman's equation, simulation and the env agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agents.paths import utility_on_paths
from envs.data.simulated import simulated
from envs.errors import InputError
from envs.features import observed_features
from envs.market.costs import QuadraticCost
from envs.market.known_answers import GarleanuPedersenPolicy, Limits, optimum
from envs.market.processes import MeanReverting
from envs.market.solutions import garleanu_pedersen as gp
from envs.rewards import Reward
from envs.simulation import make_setting
from tests import reference_known_answers as reference


def problem(seed, n_assets, n_factors):
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((n_assets, n_assets))
    covariance = 1e-4 * (mix @ mix.T + np.eye(n_assets))
    mix = rng.standard_normal((n_assets, n_assets))
    return {
        "loadings": rng.standard_normal((n_assets, n_factors)),
        "reversion": rng.uniform(0.01, 0.6, n_factors),
        "factor_covariance": np.diag(rng.uniform(0.5, 2.0, n_factors) * 1e-6),
        "covariance": covariance,
        "cost": 1e-3 * (mix @ mix.T + 0.5 * np.eye(n_assets)),
        "risk_aversion": float(rng.uniform(1, 10)),
    }


def simulate(parts, rate, aim, n_paths, n_steps, seed):
    """Positions `[N, n, A]` and factors of a linear rule, from the factors' stationary law."""
    rng = np.random.default_rng(seed)
    decay = 1 - parts["reversion"]
    shock = np.sqrt(np.diag(parts["factor_covariance"]))
    factors = np.empty((n_paths, n_steps, len(decay)))
    f = rng.standard_normal((n_paths, len(decay))) * shock / np.sqrt(1 - decay**2)
    positions = np.empty((n_paths, n_steps, len(rate)))
    x = np.zeros((n_paths, len(rate)))
    for k in range(n_steps):
        x = x + (f @ aim.T - x) @ rate.T
        positions[:, k], factors[:, k] = x, f
        f = decay * f + shock * rng.standard_normal(f.shape)
    return positions, factors


def gain_of(parts, positions, factors):
    parts = {k: v for k, v in parts.items() if k not in ("reversion", "factor_covariance")}
    return gp.gains(positions, factors, **parts)


@pytest.mark.parametrize("seed, n_assets, n_factors", [(0, 1, 1), (1, 2, 3), (2, 4, 2)])
@pytest.mark.parametrize("rho", [0.001, 0.05])
def test_rule_is_that_of_a_riccati_solver(seed, n_assets, n_factors, rho):
    parts = problem(seed, n_assets, n_factors)
    solution = gp.solve(**parts, discount=rho)
    decay = np.diag(1 - parts["reversion"])
    gain, p = reference.linear_quadratic(
        parts["loadings"], decay, parts["covariance"], parts["cost"], parts["risk_aversion"], rho
    )
    n = n_assets
    np.testing.assert_allclose(-gain[:, :n], solution.rate, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(gain[:, n:], solution.rate @ solution.aim, rtol=1e-7)
    np.testing.assert_allclose(2 * p[:n, :n], solution.value_xx, rtol=1e-7, atol=1e-11)
    np.testing.assert_allclose(-2 * p[:n, n:], solution.value_xf, rtol=1e-7)
    np.testing.assert_allclose(-2 * p[n:, n:], solution.value_ff, rtol=1e-7)


@pytest.mark.parametrize("rho", [0.0, 0.02])
def test_bellman_equation_holds_and_its_maximum_is_the_rule(rho):
    parts = problem(4, 3, 2)
    s = gp.solve(**parts, discount=rho)
    decay, kept = np.diag(1 - parts["reversion"]), 1 - rho
    gamma, sigma, cost = parts["risk_aversion"], parts["covariance"], parts["cost"]
    noise = np.trace(s.value_ff @ parts["factor_covariance"]) / 2
    rng = np.random.default_rng(0)

    def value(x, f):
        quadratic = -x @ s.value_xx @ x / 2 + x @ s.value_xf @ f + f @ s.value_ff @ f / 2
        # Without discounting only the part that depends on the state is finite.
        return quadratic + (s.value_0 if rho > 0 else 0.0)

    for _ in range(20):
        before, f = rng.standard_normal(3), rng.standard_normal(2)

        def ahead(x, before=before, f=f):
            step = x - before
            gain = kept * (x @ parts["loadings"] @ f - gamma / 2 * x @ sigma @ x)
            later = value(x, decay @ f) + (noise if rho > 0 else 0.0)
            return gain - step @ cost @ step / 2 + kept * later

        best = before + s.rate @ (s.aim @ f - before)
        assert ahead(best) == pytest.approx(value(before, f), rel=1e-10, abs=1e-10)
        for _ in range(5):
            assert ahead(best + 0.1 * rng.standard_normal(3)) < ahead(best)


def test_cost_in_proportion_to_risk_has_the_published_rate_and_aim():
    parts = {**problem(5, 3, 2), "cost": 40.0}
    for rho in (0.0, 0.01, 0.2):
        s = gp.solve(**parts, discount=rho)
        rate = gp.proportional_rate(parts["risk_aversion"], 40.0, rho)
        np.testing.assert_allclose(s.rate, rate * np.eye(3), atol=1e-12)
        # The aim scales each factor of the Markowitz portfolio by 1 / (1 + phi a / gamma)
        # (Proposition 3; phi a / gamma for rho = 0).
        if rho == 0:
            scale = 1 / (1 + parts["reversion"] * rate * 40.0 / parts["risk_aversion"])
            markowitz = np.linalg.solve(
                parts["risk_aversion"] * parts["covariance"], parts["loadings"]
            )
            np.testing.assert_allclose(s.aim, markowitz * scale, rtol=1e-9)


def test_without_cost_the_aim_is_markowitz_and_is_reached_at_once():
    parts = problem(6, 3, 2)
    free = gp.solve(**{**parts, "cost": 0.0})
    markowitz = np.linalg.solve(parts["risk_aversion"] * parts["covariance"], parts["loadings"])
    np.testing.assert_allclose(free.aim, markowitz, rtol=1e-12)
    np.testing.assert_array_equal(free.rate, np.eye(3))
    nearly = gp.solve(**{**parts, "cost": 1e-9 * parts["cost"]})
    np.testing.assert_allclose(nearly.rate, np.eye(3), atol=1e-4)
    np.testing.assert_allclose(nearly.aim, markowitz, rtol=1e-4)
    assert nearly.mean == pytest.approx(free.mean, rel=1e-4)


def test_mean_gain_is_what_a_long_run_earns_and_no_other_rule_earns_more():
    parts = problem(7, 2, 2)
    s = gp.solve(**parts)
    # Without discounting the optimal mean is the noise that the value of the factors feeds on.
    noise = np.trace(s.value_ff @ parts["factor_covariance"]) / 2
    assert s.mean == pytest.approx(noise, rel=1e-10)
    earned = gain_of(parts, *simulate(parts, s.rate, s.aim, 400, 3000, 0))[:, 200:].mean(axis=1)
    assert earned.mean() == pytest.approx(s.mean, abs=4 * earned.std() / np.sqrt(400))
    rng = np.random.default_rng(1)
    for size in (0.1, 0.3):
        for _ in range(3):
            rate = s.rate * (1 + size * rng.standard_normal(s.rate.shape))
            aim = s.aim * (1 + size * rng.standard_normal(s.aim.shape))
            other = gain_of(parts, *simulate(parts, rate, aim, 400, 3000, 0))[:, 200:].mean(axis=1)
            difference = earned - other
            assert difference.mean() > 4 * difference.std() / np.sqrt(400)


def test_value_is_the_discounted_gain_of_a_simulation():
    parts, rho = problem(8, 1, 2), 0.05
    s = gp.solve(**parts, discount=rho)
    positions, factors = simulate(parts, s.rate, s.aim, 4000, 400, 2)
    trades = np.diff(positions, axis=1, prepend=0.0)
    paid = np.einsum("nka,ab,nkb->nk", trades, parts["cost"], trades) / 2
    earned = gain_of(parts, positions, factors) + paid
    weight = (1 - rho) ** np.arange(400)
    total = ((1 - rho) * earned - paid) @ weight
    start = factors[:, 0]
    expected = np.einsum("nk,kl,nl->n", start, s.value_ff, start) / 2 + s.value_0
    difference = total - expected
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(4000)
    assert expected.mean() > 20 * difference.std() / np.sqrt(4000)


def test_what_has_no_solution_is_refused():
    parts = problem(9, 2, 1)
    with pytest.raises(InputError, match="positive definite"):
        gp.solve(**{**parts, "cost": np.diag([1.0, 0.0])})
    with pytest.raises(InputError, match="discount in"):
        gp.solve(**parts, discount=1.0)
    with pytest.raises(InputError, match="cost must not be negative"):
        gp.solve(**{**parts, "cost": -1.0})


PROCESS = MeanReverting(
    loadings=[[1.0, 0.0], [-0.5, 1.0]],
    reversion=[0.03, 0.25],
    factor_volatility=[0.0007, 0.001],
    volatility=[0.15, 0.2],
    correlation=0.3,
)


@pytest.mark.slow
def test_in_the_env_the_policy_earns_its_mean_and_no_other_earns_more():
    """Weights drift with prices and gains compound, so the mean is met to a few percent."""
    cost, gamma = QuadraticCost(quadratic=0.01), 8.0
    market = simulated(process=PROCESS, n_rows=300)
    setting = make_setting(
        market,
        observed_features(market),
        action="long_short",
        action_settings={"gross": 4.0, "net": 4.0},
        execution="same_close",
        cost=cost,
        reward=Reward(terms={"mean_variance": 1.0}, risk_aversion=gamma),
        fresh_paths=True,
        episode_length=250,
    )
    best = optimum(PROCESS, cost=cost, risk_aversion=gamma, action="long_short", gross=4.0, net=4.0)
    assert isinstance(best, GarleanuPedersenPolicy)

    def earned(policy):
        return utility_on_paths(policy, setting, term="mean_variance", n_paths=4000, seed=5)

    mine = earned(best)
    assert mine.mean() == pytest.approx(best.solution.mean, rel=0.1)
    for change in ("slower", "faster", "myopic", "smaller", "larger"):
        other = GarleanuPedersenPolicy(
            PROCESS, np.diag([0.02, 0.02]), Limits("long_short", 4.0, 4.0), gamma
        )
        s = other.solution
        other.solution = {
            "slower": replace(s, rate=0.5 * s.rate),
            "faster": replace(s, rate=np.minimum(1.0, 2 * s.rate)),
            "myopic": replace(s, rate=np.eye(2), aim=gp.solve(
                PROCESS.loadings, PROCESS.reversion, np.eye(2),
                PROCESS.correlation * np.outer(PROCESS.volatility, PROCESS.volatility) / 252,
                0.0, gamma).aim),
            "smaller": replace(s, aim=0.6 * s.aim),
            "larger": replace(s, aim=1.5 * s.aim),
        }[change]  # fmt: skip
        difference = mine - earned(other)
        assert difference.mean() > 3 * difference.std() / np.sqrt(4000), change
