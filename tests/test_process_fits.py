"""Fits recover what was planted, and read real prices.

Planted parameters come back within 4.5 standard errors of their estimates: known ones of moments,
and for maximum likelihood those that arch and statsmodels state for a panel of this length.
"""

from __future__ import annotations

import numpy as np
import pytest
from arch import arch_model
from scipy.stats import spearmanr

from envs.data import sp500, synthetic
from envs.data.simulated import simulated
from envs.errors import InputError
from envs.market.processes import (
    Bootstrap,
    Garch,
    GeometricBrownian,
    Heston,
    JumpDiffusion,
    MeanReverting,
    RegimeSwitching,
)

SYMBOLS = ["JNJ", "KO", "XOM"]


def test_geometric_brownian_motion_comes_back():
    truth = GeometricBrownian(
        drift=[0.1, 0.2], volatility=[0.1, 0.3], correlation=0.5, cash_rate=0.03,
        periods_per_year=400.0,
    )  # fmt: skip
    found = GeometricBrownian.fit(simulated(truth, n_rows=20_000, seed=3))
    n, years = 19_999, 19_999 / 400
    assert (np.abs(found.volatility / truth.volatility - 1) < 4.5 / np.sqrt(2 * n)).all()
    assert (np.abs(found.drift - truth.drift) < 4.5 * truth.volatility / np.sqrt(years)).all()
    assert abs(found.correlation[0, 1] - 0.5) < 4.5 * 0.75 / np.sqrt(n)
    assert found.cash_rate == pytest.approx(0.03) and found.periods_per_year == 400.0


def test_mean_reverting_factors_come_back():
    truth = MeanReverting(
        loadings=[[1.0, 0.5], [0.0, 1.0], [-1.0, 1.0]], reversion=[0.1, 0.3],
        factor_volatility=[0.004, 0.003], volatility=[0.2, 0.1, 0.15], correlation=0.3,
        cash_rate=0.02,
    )  # fmt: skip
    n = 20_000
    market = simulated(truth, n_rows=n + 1, seed=4)
    factors = truth.simulate(np.array([4], np.uint64), n).state[0]
    found = MeanReverting.fit(market, factors)
    error = truth.volatility[:, None] / np.sqrt(252 * n) / truth.factor_volatility
    assert (np.abs(found.loadings - truth.loadings) < 4.5 * error).all()
    error = np.sqrt((1 - (1 - truth.reversion) ** 2) / n)
    assert (np.abs(found.reversion - truth.reversion) < 4.5 * error).all()
    memory = (1 + (1 - truth.reversion) ** 2) / (1 - (1 - truth.reversion) ** 2)
    ratio = found.factor_volatility / truth.factor_volatility
    assert (np.abs(ratio - 1) < 4.5 * np.sqrt(memory / (2 * n))).all()
    assert (np.abs(found.volatility / truth.volatility - 1) < 4.5 / np.sqrt(2 * n)).all()
    assert (np.abs(found.correlation - truth.correlation) < 4.5 * 0.91 / np.sqrt(n)).all()


def test_garch_comes_back():
    truth = Garch(
        mean=[5e-4, 2e-4], omega=[3e-6, 5e-6], alpha=[0.03, 0.08], beta=[0.88, 0.85],
        gamma=[0.1, 0.04], dof=[6.0, 9.0], correlation=0.5,
    )  # fmt: skip
    market = simulated(truth, n_rows=10_000, seed=5)
    found = Garch.fit(market)
    logs = 100 * np.diff(np.log(market.close), axis=0)
    for a in range(2):
        # The standard errors are those that arch gives.
        errors = arch_model(logs[:, a], o=1, dist="t", rescale=False).fit(disp="off").std_err
        for name, key, unit in (
            ("mean", "mu", 1e-2), ("omega", "omega", 1e-4), ("alpha", "alpha[1]", 1.0),
            ("gamma", "gamma[1]", 1.0), ("beta", "beta[1]", 1.0), ("dof", "nu", 1.0),
        ):  # fmt: skip
            error = getattr(found, name)[a] - getattr(truth, name)[a]
            assert abs(error) < 4.5 * errors[key] * unit, (name, a)
    # The tails make the error of a correlation somewhat larger than the 0.75 / sqrt(T) of normals.
    assert abs(found.correlation[0, 1] - 0.5) < 4.5 / np.sqrt(10_000)


def test_regimes_come_back():
    truth = RegimeSwitching(
        drift=[[0.25, 0.15], [-0.4, -0.1]], volatility=[[0.12, 0.10], [0.30, 0.25]],
        correlation=0.5, transition=[[0.98, 0.02], [0.05, 0.95]],
    )  # fmt: skip
    n = 10_000
    found = RegimeSwitching.fit(simulated(truth, n_rows=n + 1, seed=6), observe="state")
    assert found.observe == "state"
    rows = n * truth.stationary[:, None]
    # Errors as if the regimes were seen, times 1.5 for those that are mistaken.
    error = 1.5 * 4.5 / np.sqrt(2 * rows)
    assert (np.abs(found.volatility / truth.volatility - 1) < error).all()
    error = 1.5 * 4.5 * truth.volatility * np.sqrt(252 / rows)
    assert (np.abs(found.drift - truth.drift) < error).all()
    error = 1.5 * 4.5 * np.sqrt(truth.transition * (1 - truth.transition) / rows)
    assert (np.abs(found.transition - truth.transition) < error).all()
    assert abs(found.correlation[0, 1] - 0.5) < 4.5 * 0.75 / np.sqrt(n)


def test_regimes_of_one_asset_are_those_of_statsmodels():
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    market = simulated(RegimeSwitching(), n_rows=5000, seed=7)
    found = RegimeSwitching.fit(market)
    logs = 100 * np.diff(np.log(market.close[:, 0]))
    known = MarkovRegression(logs, k_regimes=2, switching_variance=True).fit(em_iter=50)
    order = np.argsort(known.params[-2:])
    volatility = np.sqrt(known.params[-2:][order] * 252) / 100
    # Smoothed moments are a step of expectation-maximisation from the maximum: a fixed point of it.
    np.testing.assert_allclose(found.volatility[:, 0], volatility, rtol=1e-3)
    np.testing.assert_allclose(
        found.transition, known.regime_transition[:, :, 0].T[np.ix_(order, order)], rtol=1e-6
    )


def test_jumps_come_back():
    truth = JumpDiffusion(
        drift=[0.1, 0.05], volatility=[0.15, 0.2], correlation=0.5, jump_intensity=[10.0, 20.0],
        jump_mean=[-0.04, 0.02], jump_volatility=[0.05, 0.06],
    )  # fmt: skip
    n = 10_000
    found = JumpDiffusion.fit(simulated(truth, n_rows=n + 1, seed=8))
    jumps = truth.jump_intensity * n / 252
    # Errors as if the jumps were seen, times 2 for those that are mistaken.
    ratio = found.jump_intensity / truth.jump_intensity
    assert (np.abs(ratio - 1) < 2 * 4.5 / np.sqrt(jumps)).all()
    error = found.jump_mean - truth.jump_mean
    assert (np.abs(error) < 2 * 4.5 * truth.jump_volatility / np.sqrt(jumps)).all()
    ratio = found.jump_volatility / truth.jump_volatility
    assert (np.abs(ratio - 1) < 2 * 4.5 / np.sqrt(2 * jumps)).all()
    assert (np.abs(found.volatility / truth.volatility - 1) < 2 * 4.5 / np.sqrt(2 * n)).all()
    spread = truth.volatility**2 + truth.jump_intensity * (
        truth.jump_mean**2 + truth.jump_volatility**2
    )
    assert (np.abs(found.drift - truth.drift) < 4.5 * np.sqrt(spread * 252 / n)).all()
    assert abs(found.correlation[0, 1] - 0.5) < 0.05


def spread(logs):
    return logs.std(axis=0), np.corrcoef(logs, rowvar=False)


def middle(logs):
    """As `spread`, in medians and ranks: the variance of GARCH with these tails is few days."""
    return np.median(np.abs(logs), axis=0), spearmanr(logs).statistic


@pytest.mark.parametrize(
    ("process", "measure"),
    [
        (GeometricBrownian, spread),
        (Garch, middle),
        (RegimeSwitching, spread),
        (JumpDiffusion, spread),
    ],
)
def test_real_prices_can_be_fitted_and_simulated(process, measure):
    market = sp500(symbols=SYMBOLS)
    found = process.fit(market)
    logs = np.diff(np.log(market.close), axis=0)
    made = np.log(found.simulate(np.arange(400, dtype=np.uint64), 252).growth).reshape(-1, 3)
    (scale, between), (real_scale, real_between) = measure(made), measure(logs)
    assert (np.abs(scale / real_scale - 1) < 0.1).all()
    gap = between - real_between
    # Stocks jump together, and these jumps are independent: less correlation is all it can give.
    assert (gap < 0.05).all() and (process is JumpDiffusion or (gap > -0.05).all())
    assert found.cash_rate == pytest.approx(market.cash_rate[1:].mean() * 252)


def test_a_bootstrap_is_fitted_by_keeping_the_panel():
    market = synthetic(n_rows=100)
    assert Bootstrap.fit(market).market is market


def test_what_cannot_be_fitted_is_named():
    market = synthetic(n_rows=300, n_assets=2, volatility=[0.2, 0.0])
    with pytest.raises(InputError, match=r"Heston\.fit is not defined"):
        Heston.fit(market)
    with pytest.raises(InputError, match=r"GeometricBrownian\.fit: the price of S01 never moves"):
        GeometricBrownian.fit(simulated_still())
    with pytest.raises(InputError, match=r"19 returns are too few"):
        GeometricBrownian.fit(synthetic(n_rows=20))
    with pytest.raises(InputError, match=r"factors must be finite \[T, K\] with T=300, .*\(\)"):
        MeanReverting.fit(synthetic(n_rows=300))
    with pytest.raises(InputError, match=r"factor 1 does not revert"):
        MeanReverting.fit(synthetic(n_rows=300), np.cumsum(np.ones((300, 2)), axis=0) ** [-1, 1])
    with pytest.raises(InputError, match=r"n_regimes=1 must be >= 2"):
        RegimeSwitching.fit(synthetic(n_rows=300), n_regimes=1)
    with pytest.raises(InputError, match=r"RRC \(of its returns 13% are exactly 0\)"):
        Garch.fit(sp500(symbols=["RRC"]))


def simulated_still():
    from dataclasses import replace

    market = synthetic(n_rows=300, n_assets=2)
    close = market.close.copy()
    close[:, 1] = 100.0
    return replace(market, close=close)
