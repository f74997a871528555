"""Simulated paths have the moments, memories and frequencies that theory says.

Paths are independent, so the spread of a statistic over paths is its Monte-Carlo error; seeds are
fixed. `near` also demands that the error be small enough to tell a wrong formula from a right one.
"""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
from scipy import stats

from envs.data.synthetic import synthetic
from envs.market.process_kernels import gamma_nb, normals_nb
from envs.market.processes import (
    Bootstrap,
    Garch,
    GeometricBrownian,
    Heston,
    JumpDiffusion,
    MeanReverting,
    RegimeSwitching,
)

ERRORS = 4.5  # standard errors


def simulate(process, n_paths, n_steps, seed=1):
    seeds = np.random.default_rng(seed).integers(0, 2**64, n_paths, dtype=np.uint64)
    return process.simulate(seeds, n_steps)


def near(by_path, truth, to):
    """The mean over paths is `truth` within 4.5 standard errors, which are at most `to`."""
    by_path = np.asarray(by_path, float)
    error = ERRORS * by_path.std(axis=0, ddof=1) / math.sqrt(len(by_path))
    assert (error <= to).all(), f"too few paths: {error} is more than {to}"
    assert (np.abs(by_path.mean(axis=0) - truth) <= error).all(), (
        f"{by_path.mean(axis=0)} is not {truth} +- {error}"
    )


def by_path(values):
    """Mean over the steps `[N, n, ...]`."""
    return values.mean(axis=1)


# ------------------------------------------------------------------ random numbers
def test_normals_are_normal():
    z = np.empty(1_000_001)
    normals_nb(np.uint64(3), z)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    # Pairs share a radius, so look at neighbours in and across pairs.
    for lag in (1, 2, 3):
        for left, right in ((z, z), (z**2 - 1, z**2 - 1), (z, z**2 - 1)):
            near((left[lag:] * right[:-lag])[::lag], 0.0, 0.02)
    near(z**4, 3.0, 0.05)
    # What is not within 4 standard deviations is as rare as it should be.
    rare = stats.norm.sf(4) * 2
    assert abs((np.abs(z) > 4).sum() - rare * len(z)) < ERRORS * math.sqrt(rare * len(z))


def test_first_normals_of_neighbouring_seeds_are_unrelated():
    growth = GeometricBrownian(volatility=1.0, drift=0.5, periods_per_year=1.0).simulate(
        np.arange(100_000, dtype=np.uint64), 1
    )
    z = np.log(growth.growth[:, 0, 0])
    assert stats.kstest(z, "norm").pvalue > 1e-3
    near(z[1:] * z[:-1], 0.0, 0.02)


@pytest.mark.parametrize("shape", [0.05, 0.6, 1.0, 3.7, 80.0])
def test_gamma_variates_have_their_law(shape):
    state, drawn = np.uint64(11), []
    for _ in range(20_000):
        state, g = gamma_nb(state, shape)
        state = np.uint64(state)
        drawn.append(g)
    assert stats.kstest(drawn, stats.gamma(shape).cdf).pvalue > 1e-3


# ------------------------------------------------------------------ geometric Brownian motion
def test_geometric_brownian_motion():
    process = GeometricBrownian(
        drift=[0.1, -0.3, 0.5],
        volatility=[0.2, 0.4, 0.3],
        correlation=[[1.0, 0.8, 0.1], [0.8, 1.0, -0.3], [0.1, -0.3, 1.0]],
        periods_per_year=12.0,
    )
    growth = simulate(process, 40_000, 12).growth
    near(by_path(growth), np.exp(process.drift / 12), 0.001)
    x = np.log(growth) - (process.drift - process.volatility**2 / 2) / 12
    covariance = process.correlation * np.outer(process.volatility, process.volatility) / 12
    near(by_path(x[..., :, None] * x[..., None, :]), covariance, 2e-4)
    near(by_path(x[:, 1:, :, None] * x[:, :-1, None, :]), 0.0, 2e-4)
    assert stats.kstest(x[..., 0].ravel() / (0.2 / math.sqrt(12)), "norm").pvalue > 1e-3


def test_twenty_correlated_assets():
    process = GeometricBrownian(drift=[0.0] * 20, correlation=0.35)
    x = np.log(simulate(process, 8000, 5).growth) + 0.02 / 252
    near(by_path(x[..., :, None] * x[..., None, :]) / (0.04 / 252), process.correlation, 0.04)


# ------------------------------------------------------------------ mean-reverting factors
def test_mean_reverting_factors():
    process = MeanReverting(
        loadings=[[1.0, 0.0], [-0.5, 2.0]],
        reversion=[0.5, 0.05],
        factor_volatility=[0.02, 0.005],
        volatility=[0.2, 0.3],
        correlation=0.6,
        cash_rate=0.05,
    )
    paths = simulate(process, 30_000, 60)
    f, cash = paths.state, 0.05 / 252
    for k in (0, 1, 30, 60):  # stationary from the first row on
        near(f[:, k] ** 2, process.factor_volatility**2, 3e-5)
    for lag in (1, 2, 10):
        memory = (1 - process.reversion) ** lag * process.factor_volatility**2
        near(by_path(f[:, lag:] * f[:, :-lag]), memory, 2e-5)
    near(by_path(f[..., 0] * f[..., 1]), 0.0, 1e-5)
    unforeseen = paths.growth - 1 - cash - f[:, :-1] @ process.loadings.T
    covariance = np.outer(process.volatility, process.volatility) / 252
    covariance *= process.correlation
    near(by_path(unforeseen[..., :, None] * unforeseen[..., None, :]), covariance, 2e-6)
    # What is foreseen says nothing of the rest, and the rest nothing of the factors to come.
    for rows in (f[:, :-1], f[:, 1:]):
        near(by_path(unforeseen[..., :, None] * rows[..., None, :]), 0.0, 2e-6)
    near(by_path(paths.growth), 1 + cash, 2e-3)


# ------------------------------------------------------------------ regimes
REGIMES = RegimeSwitching(
    drift=[[0.4, 0.2], [-0.8, 0.1], [0.0, 0.0]],
    volatility=[[0.1, 0.15], [0.4, 0.3], [0.2, 0.2]],
    correlation=0.5,
    transition=[[0.95, 0.03, 0.02], [0.1, 0.85, 0.05], [0.0, 0.2, 0.8]],
)


def test_regimes_move_as_their_chain():
    paths = simulate(REGIMES, 20_000, 50)
    pi = REGIMES.stationary
    np.testing.assert_allclose(pi @ REGIMES.transition, pi, atol=1e-15)
    assert abs(pi.sum() - 1) < 1e-15
    regime = paths.state == np.arange(3)
    for k in (0, 1, 50):
        near(regime[:, k], pi, 0.02)
    moves = regime[:, :-1, :, None] * regime[:, 1:, None, :]
    near(by_path(moves), pi[:, None] * REGIMES.transition, 0.01)
    far = np.linalg.matrix_power(REGIMES.transition, 7)
    near(by_path(regime[:, :-7, :, None] * regime[:, 7:, None, :]), pi[:, None] * far, 0.01)


def test_growth_in_a_regime():
    paths = simulate(REGIMES, 20_000, 50)
    logs, within = np.log(paths.growth), paths.state[:, :-1] == np.arange(3)
    variance = REGIMES.volatility**2 / 252
    error = logs[:, :, None, :] - (REGIMES.drift / 252 - variance / 2)
    share, weight = REGIMES.stationary, within[..., None]
    near(by_path(weight * error), 0.0, 2e-4)
    near(by_path(weight * error**2) / share[:, None], variance, 2e-5)
    product = weight[..., 0] * error[..., 0] * error[..., 1]
    near(by_path(product) / share, 0.5 * np.sqrt(variance.prod(axis=1)), 2e-5)


def test_beliefs_are_calibrated():
    """E[1{s_k = j} | growths] = belief: the error is unrelated to any function of the past."""
    paths = simulate(REGIMES, 20_000, 50)
    belief = paths.observed[:, :, 0].astype(float)
    error = (paths.state == np.arange(3)) - belief
    near(by_path(error), 0.0, 0.02)
    near(by_path(error[..., :, None] * belief[..., None, :]), 0.0, 0.01)
    near(by_path(error[:, 1:] * np.log(paths.growth[..., :1]) * 252**0.5), 0.0, 0.01)
    # And they know something: a guess from the long-run shares errs more.
    blind = ((paths.state == np.arange(3)) - REGIMES.stationary) ** 2
    assert (error**2).mean() < 0.8 * blind.mean()


def test_returns_are_shown_in_units_of_their_deviation():
    process = RegimeSwitching(observe="return")
    shown = simulate(process, 10_000, 300).observed[:, 1:, 0, 0].astype(float)
    mean = process.stationary @ ((process.drift[:, 0] - process.volatility[:, 0] ** 2 / 2) / 252)
    spread = math.sqrt(252 / (process.stationary @ process.volatility[:, 0] ** 2))
    near(by_path(shown), mean * spread, 0.01)
    near(by_path(shown**2), 1.0, 0.02)


# ------------------------------------------------------------------ Heston
def test_heston_variance_and_leverage():
    process = Heston(
        drift=[0.1, 0.3],
        mean_variance=[0.04, 0.09],
        reversion=[6.0, 10.0],
        volatility_of_variance=[0.3, 0.5],
        leverage=[-0.8, 0.4],
        correlation=0.5,
    )
    paths = simulate(process, 30_000, 60)
    v, theta, kappa = paths.state, process.mean_variance, process.reversion
    spread = theta * process.volatility_of_variance**2 / (2 * kappa)
    near(v[:, 0], theta, 1e-3)
    near((v[:, 0] - theta) ** 2, spread, 5e-5)
    law = stats.gamma(theta[0] ** 2 / spread[0], scale=spread[0] / theta[0])
    assert stats.kstest(v[:, 0, 0], law.cdf).pvalue > 1e-3
    near(v[:, 60], theta, 1e-3)
    for lag in (1, 20):  # of the Euler chain: v touches zero nowhere here
        memory = (1 - kappa / 252) ** lag * spread
        near((v[:, lag] - theta) * (v[:, 0] - theta), memory, 5e-5)
    near(by_path(paths.growth), np.exp(process.drift / 252), 2e-4)
    known = v[:, :-1]
    x = np.log(paths.growth) - (process.drift - known / 2) / 252
    z = x / np.sqrt(known / 252)
    change = v[:, 1:] - known - kappa * (theta - known) / 252
    shock = change / (process.volatility_of_variance * np.sqrt(known / 252))
    near(by_path(z**2), 1.0, 0.01)
    near(by_path(shock**2), 1.0, 0.01)
    near(by_path(z * shock), process.leverage, 0.01)
    near(by_path(z[..., 0] * z[..., 1]), 0.5, 0.01)


def heston_characteristic(u, process, years):
    """E[exp(i u log(S_T / S_0))] with v_0 from its stationary law (Heston 1993, affine)."""
    theta, kappa = process.mean_variance[0], process.reversion[0]
    xi, rho = process.volatility_of_variance[0], process.leverage[0]
    b = kappa - rho * xi * 1j * u
    d = cmath.sqrt(b * b + xi**2 * (u * u + 1j * u))
    g = (b - d) / (b + d)
    decay = cmath.exp(-d * years)
    slope = (b - d) / xi**2 * (1 - decay) / (1 - g * decay)
    level = kappa * theta / xi**2 * ((b - d) * years - 2 * cmath.log((1 - g * decay) / (1 - g)))
    scale = xi**2 / (2 * kappa)
    start = (1 - slope * scale) ** (-theta / scale)
    return cmath.exp(1j * u * process.drift[0] * years + level) * start


def test_heston_with_many_substeps_has_the_exact_characteristic_function():
    process = Heston(
        drift=0.1, mean_variance=0.04, reversion=3.0, volatility_of_variance=0.4, leverage=-0.7,
        periods_per_year=2.0, substeps=150,
    )  # fmt: skip
    x = np.log(simulate(process, 40_000, 1).growth[:, 0, 0])
    for u in (2.0, 6.0, 12.0):
        truth = heston_characteristic(u, process, 0.5)
        near(np.column_stack([np.cos(u * x), np.sin(u * x)]), [truth.real, truth.imag], 0.02)


def test_heston_without_volatility_of_variance_is_geometric_brownian_motion():
    process = Heston(mean_variance=0.09, volatility_of_variance=0.0)
    paths = simulate(process, 5000, 20)
    assert (paths.state == 0.09).all()
    near(by_path((np.log(paths.growth[..., 0]) - (0.06 - 0.045) / 252) ** 2), 0.09 / 252, 1e-5)


# ------------------------------------------------------------------ jumps
def test_jump_diffusion_cumulants():
    process = JumpDiffusion(
        drift=0.1, volatility=0.1, jump_intensity=100.0, jump_mean=-0.02, jump_volatility=0.03
    )
    growth = simulate(process, 40_000, 50).growth[..., 0]
    near(by_path(growth), math.exp(0.1 / 252), 2e-4)
    m, s, rate = -0.02, 0.03, 100 / 252
    mean = (0.1 - 0.005) / 252 - rate * (math.exp(m + s * s / 2) - 1) + rate * m
    x = np.log(growth) - mean
    variance = 0.01 / 252 + rate * (m**2 + s**2)
    near(by_path(x), 0.0, 2e-4)
    near(by_path(x**2), variance, 1e-5)
    near(by_path(x**3), rate * (m**3 + 3 * m * s**2), 1e-6)
    fourth = rate * (m**4 + 6 * m**2 * s**2 + 3 * s**4)
    near(by_path(x**4), fourth + 3 * variance**2, 1e-6)


def test_jumps_are_counted_by_poisson():
    process = JumpDiffusion(
        drift=[0.0, 0.0], volatility=0.0, jump_intensity=[300.0, 40.0], jump_mean=0.5,
        jump_volatility=0.0,
    )  # fmt: skip
    logs = np.log(simulate(process, 5000, 40).growth).reshape(-1, 2)
    rate = process.jump_intensity / 252
    counts = (logs + rate * (math.exp(0.5) - 1)) / 0.5
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-9)
    counts = np.round(counts).astype(int)
    for a in range(2):
        seen = np.bincount(counts[:, a], minlength=12)[:12]
        expected = stats.poisson(rate[a]).pmf(np.arange(12)) * len(counts)
        common = expected > 10
        found = stats.chisquare(
            np.r_[seen[common], seen[~common].sum()],
            np.r_[expected[common], len(counts) - expected[common].sum()],
        )
        assert found.pvalue > 1e-3
    near((counts[:, 0] - rate[0]) * (counts[:, 1] - rate[1]), 0.0, 0.02)


# ------------------------------------------------------------------ GARCH
def test_garch_moments_and_memory():
    process = Garch(mean=0.001, omega=1e-5, alpha=0.1, beta=0.8, burn_in=300)
    paths = simulate(process, 16_000, 200)
    e2 = (np.log(paths.growth[..., 0]) - 0.001) ** 2 / 1e-4
    assert process.long_run_variance == pytest.approx(1e-4)
    near(by_path(e2), 1.0, 0.01)
    near(paths.state[:, 0, 0] / 1e-4, 1.0, 0.05)
    kurtosis = 3 * (1 - 0.9**2) / (1 - 0.9**2 - 2 * 0.1**2)
    near(by_path(e2**2), kurtosis, 0.1)
    first = 0.1 * (1 - 0.1 * 0.8 - 0.8**2) / (1 - 2 * 0.1 * 0.8 - 0.8**2)
    for lag in (1, 2, 8):
        memory = first * 0.9 ** (lag - 1) * (kurtosis - 1)
        near(by_path((e2[:, lag:] - 1) * (e2[:, :-lag] - 1)), memory, 0.1)


def test_gjr_recursion_and_student_shocks():
    process = Garch(
        mean=[0.0, 0.001], omega=1e-5, alpha=0.02, beta=0.8, gamma=[0.2, 0.1], dof=[12.0, np.inf],
        correlation=0.7, burn_in=100,
    )  # fmt: skip
    paths = simulate(process, 8000, 100)
    e, h = np.log(paths.growth) - process.mean, paths.state
    news = process.alpha + process.gamma * (e < 0)
    expected = process.omega + news * e**2 + process.beta * h[:, :-1]
    np.testing.assert_allclose(h[:, 1:], expected, rtol=1e-9)
    near(by_path(h), process.long_run_variance, 1e-5)
    z = e / np.sqrt(h[:, :-1])
    near(by_path(z), 0.0, 0.01)
    near(by_path(z**2), 1.0, 0.02)
    near(by_path(z**4), [3 + 6 / (12 - 4), 3.0], 0.2)
    assert stats.kstest(z[..., 0].ravel() * math.sqrt(12 / 10), "t", (12,)).pvalue > 1e-3
    scale = math.sqrt(5) * math.gamma(5.5) / math.gamma(6)  # E sqrt(10 / chi2 of 12)
    near(by_path(z[..., 0] * z[..., 1]), 0.7 * scale, 0.02)
    # Bad news counts more: cov(e_k, h_{k+1}) = gamma E[e^3; e < 0], normal z of the second asset.
    third = 0.1 * (h[:, :-1, 1] ** 1.5).mean() * math.sqrt(2 / math.pi)
    near(by_path(e[..., 1] * h[:, 1:, 1]) / third, -1.0, 0.3)


def test_the_start_after_the_burn_in_is_stationary():
    process = Garch(alpha=0.05, beta=0.9, gamma=0.04, omega=3e-6, burn_in=500)
    h = simulate(process, 20_000, 100).state[..., 0] / process.long_run_variance
    near(h[:, 0] - h[:, 100], 0.0, 0.1)
    near(h[:, 0] ** 2 - h[:, 100] ** 2, 0.0, 0.6)


# ------------------------------------------------------------------ bootstrap
def test_bootstrap_draws_rows_evenly_in_blocks_of_geometric_length():
    panel = synthetic(n_rows=26, n_assets=2, seed=2)
    rows = panel.close[1:] / panel.close[:-1]
    growth = simulate(Bootstrap(market=panel, mean_block=5.0), 8000, 40).growth
    place = (growth[:, :, None, 0] == rows[:, 0]).argmax(axis=2)
    assert (rows[place] == growth).all()  # assets stay together
    for k in (0, 1, 39):
        near(place[:, k, None] == np.arange(25), 1 / 25, 0.02)
    follows = place[:, 1:] == (place[:, :-1] + 1) % 25
    near(by_path(follows), 0.8 + 0.2 / 25, 0.01)
    two = follows[:, 1:] & follows[:, :-1]
    near(by_path(two), (0.8 + 0.2 / 25) ** 2, 0.01)
    assert (place[:, :-1][follows] == 24).any()  # the panel is a circle
