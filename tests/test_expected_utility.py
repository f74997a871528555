"""Expected utility of a step against the mean of steps that were drawn."""

from __future__ import annotations

import numpy as np
import pytest

from envs.errors import InputError
from envs.market import processes as p
from envs.market.expected_utility import conditional_outcomes, expected_utility
from envs.market.solutions import merton

PROCESSES = [
    p.GeometricBrownian(drift=[0.3, -0.2], volatility=[0.3, 0.5], correlation=0.4, cash_rate=0.05),
    p.JumpDiffusion(drift=[0.3, 0.1], jump_intensity=[60.0, 30.0], correlation=0.3),
    p.MeanReverting(loadings=[[1.0, 0.0], [-0.5, 1.0]], reversion=0.1, cash_rate=0.03),
    p.RegimeSwitching(drift=[[0.5, 0.1], [-0.6, 0.2]], volatility=[0.2, 0.5], correlation=0.3),
    p.Heston(drift=[0.2, 0.3], mean_variance=[0.04, 0.16], correlation=0.4, cash_rate=0.02),
    p.Garch(mean=[0.001, 0.0], omega=1e-5, alpha=0.2, beta=0.7, correlation=0.5),
    p.Garch(mean=0.001, omega=1e-5, alpha=0.2, beta=0.7, dof=4.5),
    p.Garch(mean=[0.001, 0.0], omega=1e-5, alpha=0.2, beta=0.7, dof=[5.0, 8.0], correlation=0.5),
]


@pytest.mark.parametrize("process", PROCESSES, ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("utility", ["log_return", "mean_variance"])
def test_mean_of_what_is_drawn(process, utility):
    n = process.n_assets
    paths = process.simulate(np.arange(15_000, dtype=np.uint64), 3)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(n + 1), 15_000)
    kept = rng.uniform(0.98, 1.0, 15_000)
    cash = np.full((15_000, 1), 1 + process.cash_rate * process.dt)
    wealth = kept * (weights * np.hstack([paths.growth[:, 2], cash])).sum(axis=1)
    simple = wealth - 1
    drawn = np.log(wealth) if utility == "log_return" else simple - 2.0 * simple**2
    expected = expected_utility(
        process, paths.state[:, 2], weights, kept, utility=utility, risk_aversion=4.0
    )
    noise = drawn - expected
    assert abs(noise.mean()) < 4 * noise.std() / np.sqrt(15_000)
    # It explains what the state and the weights explain, by halves of the known expectation.
    high = expected > np.median(expected)
    for half in (high, ~high):
        assert abs(noise[half].mean()) < 4 * noise[half].std() / np.sqrt(half.sum())


def test_closed_form_and_nodes():
    process = PROCESSES[0]
    covariance = process.correlation * np.outer(process.volatility, process.volatility)
    weights = np.array([[0.5, 0.2, 0.3]])
    got = expected_utility(process, np.zeros((1, 0)), weights)
    exact = merton.step_growth(weights[0], process.drift, covariance, process.dt, 0.05)
    assert got == pytest.approx([exact], abs=1e-14)
    for each in PROCESSES:
        state = each.simulate(np.arange(4, dtype=np.uint64), 1).state[:, 0]
        growth, probability = conditional_outcomes(each, state)
        assert probability.sum() == pytest.approx(1, abs=1e-13)
        assert growth.shape == (len(growth), len(probability), each.n_assets + 1)


def test_what_has_no_expectation_is_refused():
    state, weights = np.zeros((1, 0)), np.array([[0.5, 0.2, 0.3]])
    with pytest.raises(InputError, match="unknown utility 'sharpe'"):
        expected_utility(PROCESSES[0], state, weights, utility="sharpe")
    with pytest.raises(InputError, match="lose everything"):
        expected_utility(PROCESSES[0], state, np.array([[60.0, -60.0, 1.0]]))
    with pytest.raises(InputError, match="next growth of Mixture is not known"):
        expected_utility(p.Mixture(processes=PROCESSES[:1]), state, weights)
    with pytest.raises(InputError, match="substeps=1"):
        expected_utility(p.Heston(drift=[0.1, 0.1], substeps=2), np.ones((1, 2)), weights)
